"""Does memory stay flat, however long a video is and however many images there are?

    python benchmarks/peak_memory.py [--minutes 10 60] [--fps 5] [--images 10000 100000] [--kept 10000 100000]
        [--model NAME|DIR]

Makes videos of the same kind, each as long as told, and folders of so many images, runs `fer-batch run` on each of them
and prints the highest sum over all its processes of the memory that is theirs (PSS: a page that several share counts
once), looked at five times a second, and that of the main process alone. Linux only. Every frame holds a face of a
sample photograph, so crops and rows flow.

`--kept` measures in seconds what the main process keeps of so many images: all of a run but the finding, reading and
classifying of them, in whose place are made-up files, each with a face.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import av
import numpy as np
from PIL import Image

from fer_batch.config import DetectorConfig, ModelId, ResolvedConfig, Sampling
from fer_batch.emotions import EMOTIONS
from fer_batch.log import set_up_logging
from fer_batch.pipeline import part_writer
from fer_batch.pipeline import run as orchestrator
from fer_batch.pipeline.worker import Message
from fer_batch.records import Detection, FileResult, FrameChunk, Media, MediaInfo, SampledFrame, Task
from fer_batch.runners.base import Outcome

SAMPLES = Path(__file__).parent.parent / "sample_media" / "photos"
SIZE = (128, 128)


def make_video(path: Path, minutes: float) -> Path:
    """A small video of a face that drifts about, 5 frames a second."""
    photo = Image.open(SAMPLES / "astronaut.jpg").convert("RGB").resize(SIZE)
    pictures = [np.roll(np.asarray(photo), shift, axis=1) for shift in range(10)]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=5, options={"preset": "ultrafast", "threads": "1"})
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        for index in range(round(minutes * 60 * 5)):
            frame = av.VideoFrame.from_ndarray(pictures[index // 5 % 10], format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 5)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def make_images(folder: Path, count: int) -> Path:
    """So many small photographs of a face, of which no two are alike to the last byte."""
    content = io.BytesIO()
    Image.open(SAMPLES / "astronaut.jpg").convert("RGB").crop((130, 20, 330, 220)).resize((96, 96)).save(
        content, "JPEG"
    )
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.getvalue() + f"{number:06}".encode())  # Decoders stop before it.
    return folder


def memory(session: int) -> tuple[float, float]:
    """Megabytes of all processes of a session, and of its leader."""
    total = leader = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == session:
                rollup = (folder / "smaps_rollup").read_text()
                size = int(rollup.split("Pss:")[1].split()[0])
                total += size
                leader += size * (int(folder.name) == session)
        except (OSError, IndexError):  # It has just ended.
            continue
    return total / 1024, leader / 1024


def keep(count: int, out: Path) -> None:
    """Run without workers and without a classifier on so many made-up images."""
    names = [f"/photographs/{number // 1000:03}/{number:06}.jpg" for number in range(count)]
    media = [Media(name, name[13:], "image", 3000 + number, number) for number, name in enumerate(names)]

    class Workers:
        """A runner that makes up what workers would send."""

        def run(self, next_task: Callable[[], Task | None]) -> Iterator[Outcome[Task, Message]]:
            face = Detection(10.0, 10.0, 60.0, 60.0, 0.9, None, (1.0, 2.0, 3.0))
            frames, crops = (SampledFrame(0, None, 96, 96, (face,)),), np.zeros((1, 48, 48), np.uint8)
            while (task := next_task()) is not None:
                for file in task.media:
                    yield Outcome(task, FrameChunk(file, frames, crops))
                    yield Outcome(task, FileResult(file, MediaInfo(96, 96, None, "jpeg"), None, 0.01, 1, 1))

    class Shares:
        device_name: str | None = None

        def load(self) -> None: ...

        def __call__(self, crops: np.ndarray) -> np.ndarray:
            return np.random.default_rng(0).dirichlet(np.ones(len(EMOTIONS)), len(crops))

    set_up_logging()
    config = ResolvedConfig(
        Sampling(), DetectorConfig(), out, ModelId("none", "1", "0" * 64, "0" * 64), EMOTIONS, (str(out.parent),), out
    )  # fmt: skip
    with (
        patch.object(orchestrator, "_check_place"),
        patch.object(orchestrator, "discover", lambda *_: media),
        patch.object(part_writer, "_ROWS_PER_PART", 8000),  # As in a run that reads 4000 images a minute.
    ):
        assert orchestrator.run(config, Workers(), Shares())


def run_command(given: Path, out: Path, options: argparse.Namespace) -> list[str]:
    arguments = ["--fps", options.fps, "--model", options.model, "--workers", "2"]
    return [sys.executable, "-m", "fer_batch", "run", str(given), "--out", str(out), *arguments]


def measure(command: list[str]) -> str:
    started, peak, leader = time.monotonic(), 0.0, 0.0
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        while process.poll() is None:
            found = memory(process.pid)
            peak, leader = max(peak, found[0]), max(leader, found[1])
            time.sleep(0.2)
    finally:
        process.kill()
    assert process.stderr is not None
    told = process.stderr.read().splitlines()
    if process.returncode != 0:
        raise SystemExit("\n".join(told))
    sizes = f"{peak:7.0f} MB, main process {leader:5.0f} MB"
    return f"{sizes} {time.monotonic() - started:6.0f} s   {told[-2].split('this run: ')[-1]}"


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # So that what was started is ended, too.
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="*", default=[10, 60])
    parser.add_argument("--images", type=int, nargs="*", default=[])
    parser.add_argument("--kept", type=int, nargs="*", default=[])
    parser.add_argument("--keep", nargs=2, help=argparse.SUPPRESS)  # What `--kept` calls.
    parser.add_argument("--fps", default="5")
    parser.add_argument("--model", default="emotion")
    options = parser.parse_args()
    if options.keep:
        keep(int(options.keep[0]), Path(options.keep[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for minutes in options.minutes:
            video = make_video(place / f"{minutes:g}.mp4", minutes)
            print(
                f"{minutes:6g} minutes {measure(run_command(video, place / f'out-{minutes:g}', options))}", flush=True
            )
        for count in options.images:
            images = make_images(place / f"images-{count}", count)
            print(
                f"{count:6} images  {measure(run_command(images, place / f'out-images-{count}', options))}", flush=True
            )
        for count in options.kept:
            command = [sys.executable, __file__, "--keep", str(count), str(place / f"out-kept-{count}")]
            print(f"{count:6} kept    {measure(command)}", flush=True)


if __name__ == "__main__":
    main()
