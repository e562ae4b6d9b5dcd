"""The records that pass between the steps of a run. Frozen; no step is known here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MediaType = Literal["image", "video"]


class Stage(StrEnum):
    """Where something went wrong; the values of `error_stage`."""

    DISCOVER = "discover"
    DECODE = "decode"
    DETECT = "detect"
    WORK = "work"


class Code(StrEnum):
    """What went wrong; the closed set of values of `error_code`. docs/guide/tables.md explains each for users."""

    EMPTY_FILE = "empty_file"
    UNREADABLE = "unreadable"
    CHANGED = "changed"
    NOT_MEDIA = "not_media"
    INVALID_DATA = "invalid_data"
    NO_VIDEO_STREAM = "no_video_stream"
    NO_FRAMES = "no_frames"
    NO_TIMESTAMPS = "no_timestamps"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    DAMAGED = "damaged"
    TRUNCATED = "truncated"
    TIME_JUMPS = "time_jumps"
    UNLIKELY_RATE = "unlikely_rate"
    OTHER_STREAMS = "other_streams"
    OTHER_PAGES = "other_pages"
    DETECTOR_ERROR = "detector_error"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    WORKER_DIED = "worker_died"
    INTERNAL = "internal"


#: Codes of files that nothing was lost of; those of losses go before them.
REMARKS = frozenset([Code.NO_TIMESTAMPS, Code.UNLIKELY_RATE, Code.OTHER_STREAMS, Code.OTHER_PAGES])


@dataclass(frozen=True)
class Failure:
    """Why a file failed, or, beside frames that were read, what was lost of it."""

    stage: Stage
    code: Code
    message: str


class MediaError(Exception):
    """Raised for one file by a step of a run; carries the Failure that becomes its row."""

    def __init__(self, stage: Stage, code: Code, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(stage, code, message)


@dataclass(frozen=True, slots=True)
class Media:
    """One input file. `file` is the path to open (undecodable bytes as surrogates), `path` the name it has in
    every table; `size_bytes` and `modified_ns` (since the epoch) tell whether it has changed.
    `failure` is set where discovery already knows that it can't be read."""

    file: str
    path: str
    media_type: MediaType
    size_bytes: int
    modified_ns: int
    failure: Failure | None = None


@dataclass(frozen=True)
class Section:
    """A part of a video, which one worker reads: the frames behind that at `start`, up to and with that at `end`. Both
    are key frames, by their seconds on the player's clock, exact; None for the video's own ends."""

    number: int = 0
    start: Fraction | None = None
    end: Fraction | None = None


@dataclass(frozen=True)
class Task:
    """What one worker takes on at a time: a video, a section of a long one, or a batch of images.

    Attributes:
        media: The files; one, unless they are images.
        section: The part of a video to read; None for all of it.
        attempt: What the messages of this task carry, see `FrameChunk`; above 1 where a worker was lost at it.
    """

    media: tuple[Media, ...]
    section: Section | None = None
    attempt: int = 1


@dataclass(frozen=True)
class VideoSections:
    """The sections of a long video, sent by the worker that opened it and goes on to read the first of them."""

    media: Media
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Frame:
    """One decoded picture, upright.

    `luma`: uint8 (h, w), perhaps at a reduced size; `width`, `height`: pixels of the full picture. `time`: seconds
    on the player's clock, exact, None for an image. `bgr`: the same picture in colour, uint8
    (h, w, 3), perhaps smaller still; None where the detector needs no colour.
    """

    luma: NDArray[np.uint8]
    width: int
    height: int
    time: Fraction | None
    bgr: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """How well a face can be seen, measured on its crop; see `pipeline.crop.face_quality`.

    Attributes:
        sharpness: Variance of the crop's Laplacian over the variance of its gray levels, from 0.
        brightness: Mean gray level of the crop, 0 (black) to 1 (white).
        outside_frame: Share of the crop's square that lies outside the frame, 0 to 1.
    """

    sharpness: float
    brightness: float
    outside_frame: float


@dataclass(frozen=True)
class Detection:
    """A face as a detector reports it. Box in pixels of the picture it was given; `score` in 0..1 or None;
    `landmarks`, where the detector has them: float32 (5, 2), right eye, left eye, nose, right and left
    corner of the mouth; `angles`, worked out from them: yaw, pitch and roll in degrees. `track_id`: the same face
    through one video, once it has been followed. `low_score`: below the detector's minimum score; it counts only where
    a track continues in it. `quality`: measured once its crop is made."""

    x: float
    y: float
    width: float
    height: float
    score: float | None = None
    landmarks: NDArray[np.float32] | None = None
    angles: tuple[float, float, float] | None = None
    track_id: int | None = None
    low_score: bool = False
    quality: FaceQuality | None = None


#: A face and its crop, uint8 (48, 48).
FaceCrop = tuple[Detection, NDArray[np.uint8]]


@dataclass(frozen=True)
class SampledFrame:
    """A sampled frame after its picture has been let go: its number, time and size, and its faces in pixels of
    the full upright frame, left to right. `scene`: how many cuts lie before it."""

    sample_index: int
    time: Fraction | None
    width: int
    height: int
    faces: tuple[Detection, ...]
    scene: int = 0


@dataclass(frozen=True)
class MediaInfo:
    """What a container or an image header says; None where unknown.

    Attributes:
        width: Pixels as a player shows it: upright, its pixels square.
        height: Likewise.
        duration_s: Seconds on the player's clock at which the picture ends.
        codec: FFmpeg's or Pillow's name.
        recorded_at: The container's creation time or EXIF's, UTC.
        stream_index: Which of the container's streams was read, of videos.
        digest: What tells the file from another of its size; see `content_digest`.
    """

    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    codec: str | None = None
    recorded_at: datetime | None = None
    stream_index: int | None = None
    digest: str | None = None


@dataclass(frozen=True)
class FrameChunk:
    """Some consecutive sampled frames of a file, ready to be classified.

    Chunks are sent while the rest of a long video is still being read, so that no process holds all of it. A
    `FileResult` of the same attempt follows the last one; without it, or if it says so, they do not count.

    Attributes:
        media: The file.
        frames: The frames in order. Workers number frames and scenes within the section that they read.
        crops: The faces, uint8 (faces, 48, 48), in the order of the frames and of the faces within them.
        duration_s: Seconds that the file states for all of it; None where it states none.
        section: The number of the section of the video.
        attempt: Increases whenever the file, or the section, is read again from its start. What an earlier attempt
            sent is then void.
    """

    media: Media
    frames: tuple[SampledFrame, ...]
    crops: NDArray[np.uint8]
    duration_s: float | None = None
    section: int = 0
    attempt: int = 1


@dataclass(frozen=True)
class FileResult:
    """The last message about a file, or about a section of a video: all its frames have been sent as `FrameChunk`s.

    Attributes:
        media: The file.
        info: What its header says.
        failure: Why it failed, if there are no frames; otherwise what was lost or odd beside the frames that were read.
        processing_s: Seconds a worker took.
        frames_sampled: Frames in the chunks of this attempt.
        faces_found: Faces in them.
        section: See `FrameChunk`.
        attempt: See `FrameChunk`.
        cuts: Cuts within the section.
        unusable: The whole file has failed, whatever its other sections give; chunks that were sent are void.
    """

    media: Media
    info: MediaInfo
    failure: Failure | None
    processing_s: float
    frames_sampled: int = 0
    faces_found: int = 0
    section: int = 0
    attempt: int = 1
    cuts: int = 0
    unusable: bool = False

    @property
    def failed(self) -> bool:
        """Whether nothing of the file could be used."""
        return self.failure is not None and not self.frames_sampled
