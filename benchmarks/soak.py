"""Does a night's work survive being killed over and over?

    python benchmarks/soak.py [--files 500] [--kills 20] [--worker-kills 20] [--seed 1]

Makes photographs and films of a face, a tenth of them bad, and lets `fer-batch run` go through them once undisturbed.
Then it runs the same into another folder, kills the whole process group, or a random worker, with SIGKILL, and starts
the same command again. The kills are spread over the work: each has a seeded number of files, and falls a seeded moment
after so many are in the tables. After every kill of the group all tables must be readable, hold no row twice, and have
every file that was in them before. In the end, after one --retry-failed for files whose worker was shot twice, the
tables must equal those of the undisturbed run, and the failed or truncated rows must be the bad files. Linux only. The
emotion model is a tiny one with random weights: what is tried is the machinery around it.
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
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from fer_batch.emotions import EMOTIONS  # noqa: E402
from fer_batch.tables.parquet import read_table  # noqa: E402
from fer_batch.tables.parts import committed_parts  # noqa: E402
from tests.helpers.clips import SAMPLES, make_video, steady  # noqa: E402
from tests.helpers.models import make_model  # noqa: E402
from tests.helpers.tables import KEYS, assert_same_rows, rows  # noqa: E402

#: Films of few lengths, each under many names; the longest are sent on in pieces.
FILMS, LONG_FILMS = 16, 2


def make_film(path: Path, frames: int, rng: random.Random) -> Path:
    """A face that drifts over a gray ground, 25 frames a second."""
    face = Image.open(SAMPLES / "photos" / "astronaut.jpg").convert("L").resize((200, 200))
    x, y, along, down = rng.uniform(0, 120), rng.uniform(0, 40), rng.uniform(-2, 2), rng.uniform(-1, 1)
    shown = []
    for number in range(frames):
        ground = Image.new("L", (320, 240), 90)
        ground.paste(face, (round(abs(x + along * number) % 120), round(abs(y + down * number) % 40)))
        shown.append(np.asarray(ground))
    return make_video(path, steady(Fraction(25), frames), size=(320, 240), shown=shown)


def make_media(folder: Path, count: int, rng: random.Random) -> set[str]:
    """A fifth photographs, the others films; returns the names of the bad ones, each tenth file."""
    photo = Image.open(SAMPLES / "photos" / "astronaut.jpg").convert("RGB").resize((1600, 1600))
    lengths = [1200] * LONG_FILMS + [rng.randrange(30, 80) for _ in range(FILMS)]
    films = [make_film(folder / f".{n}.mp4", frames, rng).read_bytes() for n, frames in enumerate(lengths)]
    bad = set()
    for number in range(count):
        path = folder / f"{number:04}{'.jpg' if number % 5 == 4 else '.mp4'}"
        if path.suffix == ".jpg":
            whole = io.BytesIO()
            photo.rotate(rng.uniform(-10, 10)).save(whole, "JPEG")
            path.write_bytes(whole.getvalue())
        else:
            path.write_bytes(films[number] if number < LONG_FILMS else rng.choice(films[LONG_FILMS:]))
        if number % 20 in (9, 18):  # A photograph and a film.
            bad.add(path.name)
            content = path.read_bytes()
            path.write_bytes(rng.choice([b"", b"no media at all", content[: len(content) // 3], bytes(len(content))]))
    for film in folder.glob(".*.mp4"):
        film.unlink()
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


def committed(out: Path) -> tuple[int, set[str]]:
    """The last part that counts, 0 for none, and the files in the tables."""
    parts = committed_parts(out)
    names: list[str] = []
    for part in parts:
        with suppress(FileNotFoundError):  # Retried files have just moved to another part.
            names += read_table(out / "media" / part, ["media_path"])["media_path"].to_pylist()
    return int(parts[-1][5:11]) if parts else 0, set(names)


def check_readable(out: Path) -> None:
    """Read all of every part that counts."""
    counted: Counter[str] = Counter()
    for part in committed_parts(out):
        for table in KEYS:
            names = read_table(out / table / part)["media_path"].to_pylist()
            counted.update(names if table == "media" else [])
    assert all(number == 1 for number in counted.values()), "a row twice"


@dataclass(frozen=True)
class Shot:
    """Whom to kill, and when: so many seconds after so many files are in the tables."""

    victim: str
    files: int
    seconds: float


class Soak:
    """The command, started anew after each kill of its group."""

    def __init__(self, command: list[str], out: Path, rng: random.Random) -> None:
        self.command, self.out, self.rng = [*command, "--out", str(out)], out, rng
        self.runs = 0
        #: Where each kill fell: whom it hit, the last part there was, and how many files were in the tables.
        self.hits: list[tuple[str, int, int]] = []
        self.before: set[str] = set()

    def start(self) -> subprocess.Popen[bytes]:
        self.runs += 1
        return subprocess.Popen(self.command, start_new_session=True, stderr=subprocess.DEVNULL)

    def disturb(self, shots: list[Shot]) -> None:
        process = self.start()
        try:
            for shot in shots:
                self.await_moment(process, shot)
                process = self.fire(process, shot.victim)
            process.wait()
        finally:
            process.kill()

    def await_moment(self, process: subprocess.Popen[bytes], shot: Shot) -> None:
        """Wait for the moment; for a worker also until there is one."""
        while len(committed(self.out)[1]) < shot.files or (shot.victim == "worker" and not workers(process.pid)):
            assert process.poll() is None, f"the run ended with {process.returncode} before {shot}"
            time.sleep(0.05)
        time.sleep(shot.seconds)
        assert process.poll() is None, f"the run ended with {process.returncode} before {shot}"

    def fire(self, process: subprocess.Popen[bytes], victim: str) -> subprocess.Popen[bytes]:
        """Kill; returns the process that runs from then on."""
        if victim == "group":
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            check_readable(self.out)
            process = self.start()
        elif alive := workers(process.pid):
            os.kill(self.rng.choice(alive), signal.SIGKILL)
        part, files = committed(self.out)
        assert files >= self.before, "a file has gone from the tables"
        self.before = files
        self.hits.append((victim, part, len(files)))
        print(f"{victim} killed between parts {part} and {part + 1}, {len(files)} files in the tables", flush=True)
        return process


def make_shots(kills: int, worker_kills: int, files: int, rng: random.Random) -> list[Shot]:
    """Spread over the files, at random; the last ones leave the run something to do. (Photographs come last.)"""
    victims = ["group"] * kills + ["worker"] * worker_kills
    rng.shuffle(victims)
    places = sorted(rng.uniform(0, 0.78) * files for _ in victims)
    return [Shot(victim, int(place), rng.uniform(0, 2.5)) for victim, place in zip(victims, places, strict=True)]


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
        model = make_model(place / "model", EMOTIONS)
        arguments = [str(place / "in"), "--model", str(model), "--fps", "25", "--workers", "2"]
        command = [sys.executable, "-m", "fer_batch", "run", *arguments]
        started = time.monotonic()
        assert subprocess.run([*command, "--out", str(place / "calm")], stderr=subprocess.DEVNULL).returncode == 1
        calm = time.monotonic() - started
        parts, _ = committed(place / "calm")
        print(f"{options.files} files, {len(bad)} bad; undisturbed in {calm:.0f} s and {parts} parts", flush=True)

        soak = Soak(command, place / "shot", rng)
        soak.disturb(make_shots(options.kills, options.worker_kills, options.files, rng))
        shot_twice = set(rows(place / "shot", "media").query("status == 'failed'").media_path) - bad
        ended = subprocess.run([*soak.command, "--retry-failed"], stderr=subprocess.DEVNULL)
        assert ended.returncode == 1
        assert_same_rows(place / "calm", place / "shot")
        media = rows(place / "shot", "media")
        # Of a photograph a third is kept, and marked.
        assert set(media[(media.status == "failed") | (media.error_code == "truncated")].media_path) == bad
        for victim in ("group", "worker"):
            parts = [part for hit, part, _ in soak.hits if hit == victim]
            after = [part for part in parts if part]
            print(f"{len(parts)} kills of a {victim}, {len(after)} after the first commit, after parts {parts}")
        print(
            f"{soak.runs + 1} runs, {time.monotonic() - started - calm:.0f} s, {len(shot_twice)} files shot twice and "
            f"retried: the tables are those of the undisturbed run; failed or truncated are the {len(bad)} bad files"
        )


if __name__ == "__main__":
    main()
