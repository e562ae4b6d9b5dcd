"""How well `preview --blur` hides faces, counted by another detector, and how much else it blurs.

    python benchmarks/blur.py VIDEO... --yunet yunet_n_640_640.onnx --share 0.5 --share 0.3

Frames are compared as they go to the encoder, without boxes and labels. What is left once they are encoded, the command
itself says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.search import find_faces
from fer_batch.media.cuts import CutDetector
from fer_batch.media.image import frame_from_bgr
from fer_batch.media.video import open_video
from fer_batch.preview import face_finder
from fer_batch.preview.blur import VideoBlur
from fer_batch.preview.picture_size import sized
from fer_batch.preview.samples import DrawnFrame


def frames_of(video: Path) -> Iterator[DrawnFrame]:
    """A video's frames as a preview draws them, without a run's faces."""
    with open_video(str(video)) as reader:
        for frame in CutDetector()(reader.frames()):
            yield DrawnFrame(frame.time, sized(frame.picture), [], frame.scene)


class Counter:
    """Counts faces with YuNet, at the size of a run and at the full one."""

    def __init__(self, model: Path) -> None:
        self._config = DetectorConfig("yunet", str(model))
        self._large = DetectorConfig("yunet", str(model), longest_side=1280)
        self._detector = create_detector(self._config)

    def __call__(self, picture: NDArray[np.uint8]) -> int:
        frame = frame_from_bgr(picture, colour=True)
        configs = [self._config, self._large] if max(picture.shape) > self._config.longest_side else [self._config]
        return sum(len(find_faces(frame, self._detector, config)) for config in configs)


def measure(video: Path, counter: Counter) -> dict[str, float]:
    """Faces that YuNet finds before and after, and the blurred share of the pictures."""
    before, pictures = 0, []

    def seen(frames: Iterator[DrawnFrame]) -> Iterator[DrawnFrame]:
        nonlocal before
        for frame in frames:
            before += counter(frame.picture)
            pictures.append(frame.picture.copy())
            yield frame

    after, changed, count = 0, 0.0, 0
    with VideoBlur() as video_blur:
        for frame in video_blur.frames(seen(frames_of(video))):
            count += 1
            after += counter(frame.picture)
            changed += float((frame.picture != pictures.pop(0)).any(axis=2).mean())
    return {"frames": count, "faces_before": before, "faces_after": after, "blurred_share": changed / count}


def main(
    videos: list[Path],
    *,
    yunet: Annotated[Path, typer.Option(help="YuNet's ONNX file.")],
    share: Annotated[list[float] | None, typer.Option(help="Of the detector's threshold.  [default: as is]")] = None,
) -> None:
    counter, rows = Counter(yunet), []
    for value in share or [face_finder.SCORE_SHARE]:
        face_finder.SCORE_SHARE = value
        face_finder.face_finders.cache_clear()
        rows += [{"share": value, "video": video.name} | measure(video, counter) for video in videos]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.3g}".format))
    weighted = table.assign(blurred_share=table.blurred_share * table.frames).groupby("share").sum(numeric_only=True)
    print(
        weighted.assign(blurred_share=weighted.blurred_share / weighted.frames).to_string(float_format="{:.3g}".format)
    )


if __name__ == "__main__":
    typer.run(main)
