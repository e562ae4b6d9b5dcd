"""Does a night's work survive being killed over and over?

    python benchmarks/soak.py [--files 500] [--kills 20] [--worker-kills 20] [--seed 1]

Makes small photos and videos, a tenth of them bad, and lets `fer-batch run` go through them once undisturbed. Then it
runs the same into another folder, and at seeded random moments kills the whole process group, or a random worker, with
SIGKILL, and starts the same command again. After every kill all tables must be readable and hold no row twice. A run
that ends before the kills are used up is begun anew with --restart. In the end, after one --retry-failed for files
whose worker was shot twice, the tables must equal those of the undisturbed run, and the failed rows must be the bad
files. Linux only. The model is a tiny one with random weights: what is tried is the machinery around it.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from fer_batch.emotions import EMOTIONS  # noqa: E402
from tests.clips import SAMPLES, make_video, steady  # noqa: E402
from tests.conftest import _make_model  # noqa: E402
from tests.test_end_to_end import KEYS, assert_same_rows, rows  # noqa: E402


def make_media(folder: Path, count: int, rng: random.Random) -> set[str]:
    """Half photos, half videos; returns the names of the bad ones, each tenth file."""
    photo = Image.open(SAMPLES / "photos" / "astronaut.jpg").convert("RGB").resize((160, 160))
    bad = set()
    for number in range(count):
        path = folder / f"{number:04}{'.jpg' if number % 2 else '.mp4'}"
        if path.suffix == ".jpg":
            whole = io.BytesIO()
            photo.rotate(rng.uniform(-10, 10)).save(whole, "JPEG")
            path.write_bytes(whole.getvalue())
        else:
            make_video(path, steady(Fraction(5), rng.randrange(5, 40)), size=(160, 120))
        if number % 20 in (3, 8):  # A photo and a video.
            bad.add(path.name)
            content = path.read_bytes()
            path.write_bytes(rng.choice([b"", b"no media at all", content[: len(content) // 3], bytes(len(content))]))
    return bad


def workers(main: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == main and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def check_readable(out: Path) -> int:
    """Read every part that counts; returns the number of files done so far."""
    counted: Counter[str] = Counter()
    for part in sorted((out / "media").glob("*.parquet")):
        for table in KEYS:
            if (path := out / table / part.name).exists():
                names = pq.read_table(path)["media_path"].to_pylist()
                counted.update(names if table == "media" else [])
    assert all(number == 1 for number in counted.values()), "a row twice"
    return len(counted)


class Soak:
    def __init__(self, command: list[str], out: Path, rng: random.Random, longest_wait: float) -> None:
        self.command, self.out, self.rng, self.longest_wait = [*command, "--out", str(out)], out, rng, longest_wait
        self.runs = self.restarts = 0
        self.restart = False

    def start(self) -> subprocess.Popen[bytes]:
        self.runs += 1
        self.restarts += self.restart
        command = self.command + (["--restart"] if self.restart else [])
        self.restart = False
        return subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)

    def disturb(self, shots: list[str]) -> None:
        process = self.start()
        try:
            while shots:
                try:
                    process.wait(self.rng.uniform(0, self.longest_wait))
                    assert process.returncode in (0, 1), f"ended by itself with {process.returncode}"
                    self.restart = True
                    process = self.start()
                    continue
                except subprocess.TimeoutExpired:
                    pass
                if shots[-1] == "group":
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    print(f"group killed, {check_readable(self.out)} files done", flush=True)
                    process = self.start()
                elif alive := workers(process.pid):
                    os.kill(self.rng.choice(alive), signal.SIGKILL)
                    print("worker killed", flush=True)
                else:
                    continue
                shots.pop()
            process.wait()
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--worker-kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for folder in ("in", "model"):
            (place / folder).mkdir()
        bad = make_media(place / "in", options.files, rng)
        model = _make_model(place / "model", EMOTIONS)
        command = [sys.executable, "-m", "fer_batch", "run", str(place / "in"), "--model", str(model), "--workers", "2"]
        started = time.monotonic()
        assert subprocess.run([*command, "--out", str(place / "calm")], stderr=subprocess.DEVNULL).returncode == 1
        calm = time.monotonic() - started
        print(f"{options.files} files, {len(bad)} of them bad; undisturbed in {calm:.0f} s", flush=True)

        soak = Soak(command, place / "shot", rng, 2 * calm / max(1, options.kills))
        shots = ["group"] * options.kills + ["worker"] * options.worker_kills
        rng.shuffle(shots)
        soak.disturb(shots)
        ended = subprocess.run([*soak.command, "--retry-failed"], stderr=subprocess.DEVNULL)
        assert ended.returncode == 1
        assert_same_rows(place / "calm", place / "shot")
        media = rows(place / "shot", "media")
        assert set(media[media.status == "failed"].media_path) == bad
        print(
            f"{options.kills} kills of the group, {options.worker_kills} of a worker, {soak.runs + 1} runs of which "
            f"{soak.restarts} began anew, {time.monotonic() - started - calm:.0f} s: the tables are those of the "
            f"undisturbed run, and the {len(bad)} failed rows are the bad files"
        )


if __name__ == "__main__":
    main()
