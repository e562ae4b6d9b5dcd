"""What a cluster is sized by: media-hours per core-hour, and bytes of tables per media-hour.

    python benchmarks/sizing.py [--seconds 60] [--size 1280 720]

Makes an H.264 video of 25 frames a second in which two photographs drift, and has a worker prepare it at one sample a
second: decode, search, crop. What counts is processor time, so that other work on the machine does not matter. The
classifier's time comes on top and depends on the faces (docs/models/emotion.md). Photographs compress better than
footage, so real videos take longer to decode. The bytes are those of an hour of one face a second whose every figure
is random: real ones take less.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from stages import chunks_of  # noqa: E402

from fer_batch.config import DetectorConfig, Sampling  # noqa: E402
from fer_batch.emotions import EMOTIONS  # noqa: E402
from fer_batch.pipeline.chunks import NO_CROPS  # noqa: E402
from fer_batch.pipeline.discover import discover  # noqa: E402
from fer_batch.pipeline.worker import Settings, Worker  # noqa: E402
from fer_batch.records import Detection, FileResult, FrameChunk, Media, MediaInfo, SampledFrame, Task  # noqa: E402
from fer_batch.tables.parquet import write_table  # noqa: E402
from fer_batch.tables.schema import ClassifiedChunk, ClassifiedFile, to_tables  # noqa: E402
from tests.helpers.clips import SAMPLES, make_video, steady  # noqa: E402


def drifting(seconds: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Gray pictures, 25 a second, of two photographs that move a pixel a frame over a gray ground."""
    height = size[1] // 2
    faces = [Image.open(SAMPLES / "photos" / name).convert("L") for name in ("astronaut.jpg", "grace_hopper.jpg")]
    faces = [face.resize((face.width * height // face.height, height)) for face in faces]
    pictures = []
    for number in range(seconds * 25):
        picture = Image.new("L", size, 90)
        for place, face in enumerate(faces):
            x = (number + place * size[0] // 2) % (size[0] - face.width)
            picture.paste(face, (x, place * (size[1] - height)))
        pictures.append(np.asarray(picture))
    return pictures


def table_bytes(place: Path) -> dict[str, int]:
    """The sizes of the part files of one media-hour, one sample a second, one face in each."""
    rng = np.random.default_rng(1)
    frames = []
    for second in range(3600):
        x, y, width, height, score, *angles = rng.uniform(0, 1, 8) * [1280, 720, 200, 200, 1, 30, 30, 30]
        face = Detection(x, y, width, height, score, None, tuple(angles), int(rng.integers(9)))
        frames.append(SampledFrame(second, Fraction(second), 1280, 720, (face,)))
    media = Media("a.mp4", "camera-1/a.mp4", "video", 1, 0)
    chunk = FrameChunk(media, tuple(frames), NO_CROPS)
    classified = ClassifiedChunk(chunk, rng.dirichlet(np.ones(len(EMOTIONS)), 3600))
    result = FileResult(media, MediaInfo(), None, 0.0, 3600, 3600)
    tables = to_tables([ClassifiedFile(result, (classified,))], EMOTIONS)
    for name, table in tables.items():
        write_table(place / name, table)
    return {name: (place / name).stat().st_size for name in tables}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place, size = Path(name), tuple(options.size)
        shown = drifting(options.seconds, size)
        clip = make_video(place / "a.mp4", steady(25, len(shown)), size=size, gop=50, shown=shown)
        worker = Worker(Settings(Sampling(), DetectorConfig()))
        (media,) = discover([str(clip)])
        list(chunks_of(worker, Task((media,))))  # Once for what the first time loads.
        before = time.process_time()
        faces = sum(len(chunk.crops) for chunk in chunks_of(worker, Task((media,))))
        seconds = time.process_time() - before
        print(
            f"{size[0]}x{size[1]}, {options.seconds} s, {clip.stat().st_size / 1e6:.1f} MB, {faces} faces found: ",
            end="",
        )
        print(f"{seconds:.2f} s of processor time, {options.seconds / seconds:.0f} media-hours per core-hour")
        for table, count in table_bytes(place).items():
            print(f"{table}: {count / 1e3:.0f} kB a media-hour")


if __name__ == "__main__":
    main()
