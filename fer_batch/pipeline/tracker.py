"""Track faces through a video by position, size and appearance. No identity is worked out or kept.

Samples may lie a fraction of a second or seconds apart, so a face may have moved by more than its own width: no motion
is predicted, every face is compared with the last detection of every track. A track ends at a cut, and when its face
has not been detected for some seconds; numbers mean nothing outside their video. A low-score detection counts only
where a track continues in it (after Zhang et al. 2022, "ByteTrack"), such as that of a head turned away for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.records import FaceCrop

#: A track ends when its face has not been detected for more than so many seconds and more than so many samples.
MAX_GAP_S, MAX_GAP_SAMPLES = 3.0, 3
#: The minimum score of a detection that a track may continue in, as a share of the detector's minimum score.
LOW_SCORE_SHARE = 0.75
#: How far a face may move between two samples, in widths of the face: at once, per second, and at most.
_REACH_AT_ONCE, _REACH_PER_S, _MAX_REACH = 0.9, 1.2, 2.5
#: How many times larger or smaller a face may be than at its last detection.
_MAX_GROWTH = 1.8
#: Side of the thumbnails that are compared, pixels: small, so that expression and a slight turn matter little.
_THUMBNAIL_SIDE = 12
#: Weight of the appearance in the cost, beside distance and size.
_APPEARANCE_WEIGHT = 2.0
#: Minimum correlation of the thumbnails of faces further apart than their own width.
_MIN_CORRELATION = 0.5


@dataclass
class _Track:
    """A face at its last detection."""

    number: int
    centre: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    size: float = 0.0
    thumbnail: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), np.float32)
    )
    last_s: float = 0.0
    last_sample: int = 0


class Tracker:
    """The faces of one video so far. Call it on its samples in the order of time."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._tracks_begun = 0
        self._samples = 0
        self._scene = 0
        self._frame_size: tuple[int, int] | None = None

    def __call__(
        self, time: float, scene: int, face_crops: Sequence[FaceCrop], frame_size: tuple[int, int] | None = None
    ) -> list[FaceCrop]:
        """The faces of a sample with their `track_id`, without the low-score ones that no track continues in.

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
        recent = [t for t in self._tracks if time - t.last_s <= MAX_GAP_S or self._since(t) <= MAX_GAP_SAMPLES]
        self._tracks = recent
        centres = np.array([(f.x + f.width / 2, f.y + f.height / 2) for f, _ in face_crops]).reshape(-1, 2)
        sizes = np.array([max(face.width, face.height, 1.0) for face, _ in face_crops])
        thumbnails = [_thumbnail(crop) for _, crop in face_crops]
        chosen = self._matched(time, centres, sizes, thumbnails)
        tracked = []
        for row, (face, crop) in enumerate(face_crops):
            if face.low_score and row not in chosen:
                continue
            track = chosen.get(row) or self._begin()
            track.centre, track.size, track.thumbnail = centres[row], float(sizes[row]), thumbnails[row]
            track.last_s, track.last_sample = time, self._samples
            tracked.append((replace(face, track_id=track.number), crop))
        return tracked

    def _rescale(self, frame_size: tuple[int, int] | None) -> None:
        """Have the tracks lie in pixels of a frame of another size."""
        if self._frame_size is not None and frame_size is not None and frame_size != self._frame_size:
            scale = np.array(frame_size) / np.array(self._frame_size)
            for track in self._tracks:
                track.centre, track.size = track.centre * scale, track.size * float(np.sqrt(scale.prod()))
        self._frame_size = frame_size

    def _begin(self) -> _Track:
        track = _Track(self._tracks_begun)
        self._tracks_begun += 1
        self._tracks.append(track)
        return track

    def _since(self, track: _Track) -> int:
        return self._samples - track.last_sample

    def _matched(
        self,
        time: float,
        centres: NDArray[np.float64],
        sizes: NDArray[np.float64],
        thumbnails: list[NDArray[np.float32]],
    ) -> dict[int, _Track]:
        """Which face belongs to which track: the assignment with the least cost among those that are possible."""
        if not self._tracks or len(sizes) == 0:
            return {}
        from scipy.optimize import linear_sum_assignment  # Takes a third of a second, which workers need not wait for.

        tracks = self._tracks
        seconds = np.array([time - track.last_s for track in tracks])[:, None]
        before = np.array([track.size for track in tracks])[:, None]
        apart = np.linalg.norm(np.array([t.centre for t in tracks])[:, None] - centres[None, :], axis=2)
        apart /= np.maximum(before, sizes[None, :])
        growth = np.abs(np.log(before / sizes[None, :]))
        alike = np.array(
            [[float((track.thumbnail * thumbnail).mean()) for thumbnail in thumbnails] for track in tracks]
        )
        reach = np.minimum(_REACH_AT_ONCE + _REACH_PER_S * seconds, _MAX_REACH)
        possible = (apart <= reach) & (growth <= np.log(_MAX_GROWTH)) & ((apart <= 1.0) | (alike >= _MIN_CORRELATION))
        cost = apart / reach + growth + _APPEARANCE_WEIGHT * (1 - alike)
        # An impossible pair costs more than all possible ones together, so none is taken where another way exists.
        rows, columns = linear_sum_assignment(np.where(possible, cost, 1e3))
        return {int(column): tracks[row] for row, column in zip(rows, columns, strict=True) if possible[row, column]}


def _thumbnail(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A small picture of zero mean and unit variance, so that the mean product of two is their correlation."""
    small = cv2.resize(crop, (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    return np.asarray(small / max(float(small.std()), 1.0), np.float32)
