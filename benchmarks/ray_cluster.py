"""Does a Ray cluster of two nodes give the tables of one machine, also when a node dies half way?

    python benchmarks/ray_cluster.py [--clips 200] [--seed 1]

Starts two nodes of one processor each, runs `fer-batch run --engine ray` on sample_media and on generated clips, and
compares the tables with those of the local engine. Then it runs the clips again and kills all processes of the second
node with SIGKILL once a quarter of the files is in the tables; the run has to end with status 0 and the same tables.

Linux only. All of it happens in a network namespace of its own that has the loopback device alone (`unshare --net`; as
a user that may make one), since the nodes of a cluster listen on every address they find.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from fer_batch.emotions import EMOTIONS  # noqa: E402
from tests.helpers.clips import SAMPLES, make_video, steady  # noqa: E402
from tests.helpers.models import make_model  # noqa: E402
from tests.helpers.tables import assert_same_rows  # noqa: E402

ADDRESS = "127.0.0.1:6379"
_INSIDE = "FER_BATCH_BENCHMARK_NAMESPACE"


class Node:
    """A node of the cluster, known by a mark in the environment of everything it starts."""

    def __init__(self, place: Path, number: int) -> None:
        self.mark = f"FER_BATCH_NODE={secrets.token_hex(8)}"
        name, value = self.mark.split("=")
        join = ["--head", "--port=6379", "--include-dashboard=false"] if number == 0 else [f"--address={ADDRESS}"]
        size = ["--num-cpus=1", "--object-store-memory=200000000", f"--temp-dir={place / 'ray'}"]
        ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
        command = [*ray, "start", *join, *(size if number == 0 else size[:2]), "--node-ip-address=127.0.0.1"]
        with open(place / f"node{number}.log", "w") as log:
            subprocess.run(command, check=True, env=os.environ | {name: value}, stdout=log, stderr=log, timeout=180)

    def kill(self) -> int:
        """Kill all its processes with SIGKILL; returns how many."""
        killed = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
                    killed += 1
            except OSError:
                continue
        return killed


def fer_batch(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fer_batch", "run", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> str:
    _, told = process.communicate(timeout=900)
    assert process.returncode == 0, told
    return told


def done(out: Path) -> int:
    return sum(pq.read_metadata(part).num_rows for part in (out / "media").glob("*.parquet"))


def make_clips(folder: Path, count: int, rng: random.Random) -> Path:
    folder.mkdir()
    for number in range(count):
        make_video(folder / f"{number:04}.mp4", steady(Fraction(5), rng.randrange(5, 40)), size=(160, 120))
    for clip in SAMPLES.rglob("clips/*.mp4"):  # Some with faces.
        shutil.copy(clip, folder)
    return folder


def measure(place: Path, clips: int, seed: int) -> None:
    (place / "model").mkdir()
    common = ["--model", make_model(place / "model", EMOTIONS), "--fps", 2]
    inputs = {"sample_media": SAMPLES, "clips": make_clips(place / "clips", clips, random.Random(seed))}
    for name, folder in inputs.items():
        started = time.monotonic()
        finish(fer_batch(folder, "--out", place / f"{name} local", *common))
        print(f"{name}: local engine in {time.monotonic() - started:.0f} s", flush=True)
    nodes = [Node(place, number) for number in range(2)]
    try:
        on_ray = [*common, "--engine", "ray", "--ray-address", ADDRESS]
        for name, folder in inputs.items():
            started = time.monotonic()
            finish(fer_batch(folder, "--out", place / f"{name} ray", *on_ray))
            assert_same_rows(place / f"{name} local", place / f"{name} ray")
            print(f"{name}: two nodes in {time.monotonic() - started:.0f} s, the same tables", flush=True)
        out = place / "clips killed"
        process = fer_batch(inputs["clips"], "--out", out, *on_ray)
        while done(out) < clips // 4:
            assert process.poll() is None, "ended before a node could be killed"
            time.sleep(0.1)
        before, killed = done(out), nodes[1].kill()
        told = finish(process)
        assert_same_rows(place / "clips local", out)
        again = next((line for line in told.splitlines() if "tried once more" in line), "no file was tried again")
        print(f"clips: {killed} processes of a node killed after {before} files, the same tables ({again})", flush=True)
    finally:
        for node in nodes:
            node.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if _INSIDE not in os.environ:
        inside = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv]
        os.execvpe("unshare", ["unshare", "--map-root-user", "--net", *inside], os.environ | {_INSIDE: "1"})
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # No node is left behind.
    with tempfile.TemporaryDirectory(prefix="fb") as name:
        measure(Path(name), options.clips, options.seed)


if __name__ == "__main__":
    main()
