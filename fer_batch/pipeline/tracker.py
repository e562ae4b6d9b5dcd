"""Follow faces through a video by where they are and what their crops look like. No identity is worked out or kept.

Samples may lie a fraction of a second or seconds apart, so a face may have moved by more than its own width: nothing is
predicted, every face is compared with the last sight of every track. A track ends at a cut, and when it has not been
seen for some seconds; numbers mean nothing outside their video. A faint face is one only where a track leads to it
(after Zhang et al. 2022, "ByteTrack"): a head that turns away for a moment is still there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.records import FaceCrop

#: Seconds after which a face that was lost counts as another one, and samples that it may be missed in a row.
PATIENCE_S, PATIENCE_SAMPLES = 3.0, 3
#: The least score of a face that a track leads to, as a share of that of any other face.
FAINT = 0.75
#: How far a face may go between two samples, in widths of the face: at once, and more for each second, up to a most.
_NEAR, _SPEED, _FAR = 0.9, 1.2, 2.5
#: A face does not become this many times larger or smaller from one sight to the next.
_GROWTH = 1.8
#: Side of the picture of a face that is compared, in pixels: small, so that expression and a slight turn matter little.
_LOOK = 12
#: How much the looks count beside distance and size.
_LOOK_WEIGHT = 2.0
#: Faces further apart than their own width must look alike, by correlation.
_ALIKE = 0.5


@dataclass
class _Track:
    """A face at its last sight."""

    number: int
    centre: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    size: float = 0.0
    look: NDArray[np.float32] = field(default_factory=lambda: np.zeros((_LOOK, _LOOK), np.float32))
    seen_s: float = 0.0
    seen_sample: int = 0


class Tracker:
    """The faces of one video so far. Call it on its samples in the order of time."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._begun = 0
        self._samples = 0
        self._scene = 0
        self._frame_size: tuple[int, int] | None = None

    def __call__(
        self, time: float, scene: int, face_crops: Sequence[FaceCrop], frame_size: tuple[int, int] | None = None
    ) -> list[FaceCrop]:
        """The faces of a sample with their `track_id`; faint ones that no track leads to are left out.

        Args:
            time: Seconds.
            scene: See `SampledFrame`.
            face_crops: The faces, with boxes in pixels of the frame.
            frame_size: Width and height of the frame in pixels; a call may change its resolution at any time.
        """
        if scene != self._scene:
            self._tracks.clear()
        self._scene = scene
        self._rescale(frame_size)
        self._samples += 1
        patient = [t for t in self._tracks if time - t.seen_s <= PATIENCE_S or self._since(t) <= PATIENCE_SAMPLES]
        self._tracks = patient
        centres = np.array([(f.x + f.width / 2, f.y + f.height / 2) for f, _ in face_crops]).reshape(-1, 2)
        sizes = np.array([max(face.width, face.height, 1.0) for face, _ in face_crops])
        looks = [_look(crop) for _, crop in face_crops]
        chosen = self._matched(time, centres, sizes, looks)
        followed = []
        for row, (face, crop) in enumerate(face_crops):
            if face.faint and row not in chosen:
                continue
            track = chosen.get(row) or self._begin()
            track.centre, track.size, track.look = centres[row], float(sizes[row]), looks[row]
            track.seen_s, track.seen_sample = time, self._samples
            followed.append((replace(face, track_id=track.number), crop))
        return followed

    def _rescale(self, frame_size: tuple[int, int] | None) -> None:
        """Have the tracks lie in pixels of a frame of another size."""
        if self._frame_size is not None and frame_size is not None and frame_size != self._frame_size:
            scale = np.array(frame_size) / np.array(self._frame_size)
            for track in self._tracks:
                track.centre, track.size = track.centre * scale, track.size * float(np.sqrt(scale.prod()))
        self._frame_size = frame_size

    def _begin(self) -> _Track:
        track = _Track(self._begun)
        self._begun += 1
        self._tracks.append(track)
        return track

    def _since(self, track: _Track) -> int:
        return self._samples - track.seen_sample

    def _matched(
        self, time: float, centres: NDArray[np.float64], sizes: NDArray[np.float64], looks: list[NDArray[np.float32]]
    ) -> dict[int, _Track]:
        """Which face belongs to which track: the assignment with the least cost among those that are possible."""
        if not self._tracks or len(sizes) == 0:
            return {}
        from scipy.optimize import linear_sum_assignment  # Takes a third of a second, which workers need not wait for.

        tracks = self._tracks
        seconds = np.array([time - track.seen_s for track in tracks])[:, None]
        before = np.array([track.size for track in tracks])[:, None]
        apart = np.linalg.norm(np.array([t.centre for t in tracks])[:, None] - centres[None, :], axis=2)
        apart /= np.maximum(before, sizes[None, :])
        growth = np.abs(np.log(before / sizes[None, :]))
        alike = np.array([[float((track.look * look).mean()) for look in looks] for track in tracks])
        reach = np.minimum(_NEAR + _SPEED * seconds, _FAR)
        possible = (apart <= reach) & (growth <= np.log(_GROWTH)) & ((apart <= 1.0) | (alike >= _ALIKE))
        cost = apart / reach + growth + _LOOK_WEIGHT * (1 - alike)
        # An impossible pair costs more than all possible ones together, so none is taken where another way exists.
        rows, columns = linear_sum_assignment(np.where(possible, cost, 1e3))
        return {int(column): tracks[row] for row, column in zip(rows, columns, strict=True) if possible[row, column]}


def _look(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A small picture of zero mean and unit variance, so that the mean product of two is their correlation."""
    small = cv2.resize(crop, (_LOOK, _LOOK), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    return np.asarray(small / max(float(small.std()), 1.0), np.float32)
