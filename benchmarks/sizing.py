"""What a cluster is sized by: media-hours per core-hour, and bytes of tables per media-hour.

    python benchmarks/sizing.py [--seconds 120] [--copies 4] [--size 1280 720]

Makes an H.264 video of 25 frames a second in which two photographs drift, copies it, and runs the main job with one
worker at one sample a second. Media-hours per core-hour come from the seconds that the worker itself took for each file
(`processing_s`): decode, search, crop. The classifier's time comes on top and depends on the faces
(docs/emotion_model.md). Photographs compress better than footage, so real videos take longer to decode.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tests.clips import SAMPLES, make_video, steady  # noqa: E402


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "in", Path(name) / "out"
        folder.mkdir()
        shown = drifting(options.seconds, tuple(options.size))
        first = make_video(folder / "0.mp4", steady(25, len(shown)), size=tuple(options.size), gop=50, shown=shown)
        for number in range(1, options.copies):
            shutil.copy(first, folder / f"{number}.mp4")
        command = [sys.executable, "-m", "fer_batch", "run", folder, "--out", out, "--workers", "1", "--quiet"]
        subprocess.run(list(map(str, command)), check=True)
        media = pq.ParquetDataset(out / "media").read().to_pandas()
        hours = media.duration_s.sum() / 3600
        rows = {"frames": media.frames_sampled.sum(), "faces": media.faces_found.sum()}
        print(f"{options.copies} videos of {options.seconds} s, {first.stat().st_size / 1e6:.1f} MB each")
        print(f"{media.duration_s.sum() / media.processing_s.sum():.1f} media-hours per core-hour")
        for table, count in rows.items():
            size = sum(part.stat().st_size for part in (out / table).glob("*.parquet"))
            print(f"{table}: {count} rows, {size / count:.0f} bytes a row, {size / hours / 1e3:.0f} kB a media-hour")


if __name__ == "__main__":
    main()
