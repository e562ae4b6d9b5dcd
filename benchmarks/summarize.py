"""How long does `fer-batch summarize` take on a large folder, and how much memory?

    python benchmarks/summarize.py [--faces 10000000] [--smaller 1000000] [--seed 0]

Makes two folders of part files, as a run writes them, of videos of 2000 frames half a second apart with five faces
in each, all values made up, runs the command on each, and prints the seconds, the highest memory of the process and the
ratios of the two. Memory that is bounded grows by far less than the rows do. Linux only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS
from fer_batch.measures import add_face_measures, frame_means
from fer_batch.share_correction import ShareCorrection
from fer_batch.tables.commit import commit_part
from fer_batch.tables.schema import faces_schema, frames_schema, media_schema

FRAMES, FACES_IN_FRAME, INTERVAL_S, VIDEOS_IN_PART = 2000, 5, 0.5, 20
CORRECTION = ShareCorrection(1.7, (0.08, 0.02, 0.05, 0.3, 0.14, 0.11, 0.3))


def walk(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Logits that wander about, (frames, faces, labels)."""
    steps = rng.normal(0, 0.3, (FRAMES, count, len(EMOTIONS)))
    for frame in range(1, FRAMES):
        steps[frame] += 0.95 * steps[frame - 1]
    return steps + rng.normal([0, -3, -2, 1, 0, -1, 2], 1.0, (count, len(EMOTIONS)))


def make_part(out: Path, number: int, videos: int, rng: np.random.Generator) -> None:
    faces, frames, media = [], [], []
    for video in range(videos):
        path = f"folder {number % 10}/video {number:04}-{video:02}.mp4"
        likely = np.exp(walk(rng, FACES_IN_FRAME))
        likely /= likely.sum(axis=2, keepdims=True)
        index = np.repeat(np.arange(FRAMES), FACES_IN_FRAME)
        face = np.tile(np.arange(FACES_IN_FRAME, dtype=np.int32), FRAMES)
        angles = rng.normal(0, 20, (3, len(index)))
        box = {name: np.full(len(index), 50.0) for name in ("x", "y", "width", "height")}
        rows = pd.DataFrame(
            {"media_path": path, "media_type": "video", "sample_index": index, "timestamp_s": index * INTERVAL_S,
             "face_index": face, "track_id": face, **box, "detection_score": 0.9}
            | dict(zip(("yaw", "pitch", "roll"), angles, strict=True))
            | {label: likely[:, :, column].ravel() for column, label in enumerate(EMOTIONS)}
            | {"emotion": np.asarray(EMOTIONS)[likely.argmax(axis=2).ravel()]}
        )  # fmt: skip
        rows = add_face_measures(rows)
        faces.append(rows)
        frame = pd.DataFrame({"sample_index": np.arange(FRAMES), "media_path": path, "media_type": "video"})
        frame = frame.assign(
            timestamp_s=frame["sample_index"] * INTERVAL_S, width=640, height=360, face_count=FACES_IN_FRAME
        )
        frames.append(frame.join(frame_means(rows, ["sample_index"], EMOTIONS), on="sample_index"))
        media.append(
            {"media_path": path, "media_type": "video", "status": "done", "duration_s": FRAMES * INTERVAL_S,
             "frames_sampled": FRAMES, "faces_found": len(rows)}
        )  # fmt: skip
    tables = {"media": pa.Table.from_pylist(media, media_schema())}
    for name, rows, schema in (("faces", faces, faces_schema(EMOTIONS)), ("frames", frames, frames_schema(EMOTIONS))):
        complete = pd.concat(rows).reindex(columns=schema.names)  # Columns that summaries don't read are null.
        tables[name] = pa.Table.from_pandas(complete, schema, preserve_index=False)
    commit_part(out, number, tables, {}, {}, CORRECTION)


def make_folder(out: Path, faces: int, seed: int) -> Path:
    per_video = FRAMES * FACES_IN_FRAME
    videos = max(1, faces // per_video)
    for number, start in enumerate(range(0, videos, VIDEOS_IN_PART), 1):
        make_part(out, number, min(VIDEOS_IN_PART, videos - start), np.random.default_rng([seed, number]))
    return out


def measure(out: Path) -> tuple[float, float]:
    """Seconds and megabytes of the command."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "fer_batch", "summarize", str(out)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("fer-batch summarize failed")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=10_000_000)
    parser.add_argument("--smaller", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="make the folders there and leave them; there already, they are used")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = options.keep or Path(scratch)
        figures = []
        for count in (options.smaller, options.faces):
            out = place / f"{count}"
            if not out.exists():
                make_folder(out, count, options.seed)
            figures.append(measure(out))
            print(f"{count:10,} faces {figures[-1][0]:7.1f} s {figures[-1][1]:7.0f} MB", flush=True)
        (seconds, memory), (more_seconds, more_memory) = figures
        rows = options.faces / options.smaller
        growth = f"{more_seconds / seconds:.1f} times the time, {more_memory / memory:.2f} times the memory"
        print(f"{rows:.1f} times the rows: {growth}")


if __name__ == "__main__":
    main()
