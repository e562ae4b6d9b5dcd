"""What the detector finds in blurred films and pictures, as they were written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.media.video import open_video
from fer_batch.preview.face_finder import AS_IN_A_RUN, Found, face_finders, found_ahead
from fer_batch.preview.samples import Box
from fer_batch.report.formatting import format_count

#: A film or picture in which a face is still found is drawn again, with that blurred too, until it is drawn so often.
MOST_DRAWINGS = 3
#: What is found from this share of the detector's threshold on is reported, and blurred if it is drawn again.
_POSSIBLE_SHARE = 0.5


@dataclass
class BlurCheck:
    """What is found in blurred pictures, searched as in a run.

    Attributes:
        pictures: Pictures that were searched.
        faces: Faces in them with at least the detector's threshold.
        possible: Faces with at least half of it, those above included.
    """

    pictures: int = 0
    faces: int = 0
    possible: int = 0

    def count(self, found: Sequence[Found]) -> list[Box]:
        """Count what was found in a picture. Returns the boxes of what has at least half the threshold."""
        threshold = face_finders()[0].threshold
        boxes = [box for score, box in found if score >= _POSSIBLE_SHARE * threshold]
        self.pictures += 1
        self.faces += sum(score >= threshold for score, _ in found)
        self.possible += len(boxes)
        return boxes

    def __add__(self, other: BlurCheck) -> BlurCheck:
        return BlurCheck(self.pictures + other.pictures, self.faces + other.faces, self.possible + other.possible)

    def __str__(self) -> str:
        threshold = face_finders()[0].threshold
        return (
            f"{format_count(self.faces, 'face')} in {format_count(self.pictures, 'blurred picture')} at the detector's "
            f"threshold of {threshold:g}, {self.possible:,} at {_POSSIBLE_SHARE * threshold:g}"
        )


def found_in_video(file: Path) -> Iterator[tuple[Fraction, list[Found]]]:
    """What is found in a video's frames, each with its seconds after the first one. Raises MediaError and OSError."""
    with open_video(str(file)) as reader:
        first: Fraction | None = None
        frames = ((frame.time, frame.bgr(DetectorConfig.longest_side), AS_IN_A_RUN) for frame in reader.frames())
        for time, found in found_ahead(frames):
            first = time if first is None else first
            yield time - first, found


def found_in_picture(picture: NDArray[np.uint8]) -> list[Found]:
    """What is found in a picture, uint8 (h, w, 3), BGR."""
    return face_finders()[0].find(picture, AS_IN_A_RUN)
