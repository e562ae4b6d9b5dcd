"""Gather the sampled frames of a file into chunks, so that no process holds all of a long video."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fer_batch.emotion.preprocessing import CROP_SIZE
from fer_batch.records import FaceCrop, Frame, FrameChunk, Media, SampledFrame

#: The crops of frames without a face.
NO_CROPS = np.empty((0, CROP_SIZE, CROP_SIZE), np.uint8)

#: A chunk is complete when it has so many frames or crops (1.2 MB of them), or has taken so many seconds: it also shows
#: that a worker with much to do does not hang.
FRAMES_PER_CHUNK = 1024
CROPS_PER_CHUNK = 512
SECONDS_PER_CHUNK = 10.0


class ChunkBuilder:
    """The chunks of one attempt at a file, or at a section of a video."""

    def __init__(self, media: Media, attempt: int, section: int = 0, duration_s: float | None = None) -> None:
        """See `FrameChunk` for the arguments."""
        self._media, self._attempt, self._section, self._duration_s = media, attempt, section, duration_s
        self._frames: list[SampledFrame] = []
        self._crops: list[NDArray[np.uint8]] = []
        self._started = time.monotonic()
        #: Of all chunks together.
        self.frames_sampled = self.faces_found = 0

    def add(self, frame: Frame, face_crops: Sequence[FaceCrop], scene: int = 0) -> None:
        """Add the next frame with its faces, left to right."""
        # Landmarks were needed for the crops only.
        faces = tuple(replace(face, landmarks=None) for face, _ in face_crops)
        sampled = SampledFrame(self.frames_sampled, frame.time, frame.width, frame.height, faces, scene)
        self._frames.append(sampled)
        self._crops += [crop for _, crop in face_crops]
        self.frames_sampled += 1
        self.faces_found += len(faces)

    @property
    def complete(self) -> bool:
        """Whether to send what has been gathered."""
        if len(self._frames) >= FRAMES_PER_CHUNK or len(self._crops) >= CROPS_PER_CHUNK:
            return True
        return bool(self._frames) and time.monotonic() - self._started >= SECONDS_PER_CHUNK

    def take(self) -> list[FrameChunk]:
        """What has been gathered, as one chunk; none where there are no frames."""
        frames, crops = tuple(self._frames), np.stack(self._crops) if self._crops else NO_CROPS
        self._frames, self._crops, self._started = [], [], time.monotonic()
        if not frames:
            return []
        return [FrameChunk(self._media, frames, crops, self._duration_s, self._section, self._attempt)]
