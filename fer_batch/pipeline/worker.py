"""What a worker does: decode, sample, detect, crop. The only place where an exception becomes a Failure.

No TensorFlow here: workers hand on crops, one process classifies them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import dropwhile, pairwise
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig, Sampling
from fer_batch.detection import create_detector
from fer_batch.detection.base import Detector, DetectorError
from fer_batch.detection.search import find_faces
from fer_batch.emotion.preprocessing import CROP_SIZE
from fer_batch.log import one_line
from fer_batch.media.base import FrameReader, Skip, SkipPlan
from fer_batch.media.cuts import Scenes
from fer_batch.media.frame import DecodedFrame
from fer_batch.media.frame_skipping import skip_after_last, skip_unneeded
from fer_batch.media.image import read_image
from fer_batch.media.video import open_video
from fer_batch.pipeline.crop import crop_face
from fer_batch.pipeline.sampling import FramesTooSparseError, can_split, exact, is_due, last_due, select
from fer_batch.pipeline.tracker import FAINT
from fer_batch.records import (
    Ahead,
    Code,
    FaceCrop,
    Failure,
    Frame,
    Media,
    MediaError,
    MediaInfo,
    Outline,
    Piece,
    Prepared,
    SampledFrame,
    Section,
    Stage,
    Unit,
)
from fer_batch.storage import content_digest, status

#: The crops of a file without a face.
NO_CROPS = np.empty((0, CROP_SIZE, CROP_SIZE), np.uint8)


#: A piece of a long video is sent ahead when it has so many frames or, 1.2 MB of them, crops, or has taken so many
#: seconds: it is also the sign of life by which a worker that hangs is told from one with much to do.
FRAMES_PER_PIECE = 1024
CROPS_PER_PIECE = 512
SECONDS_PER_PIECE = 10.0
#: Seconds of a video after which a new section begins, at the next key frame before: so many that a section takes some
#: seconds to read, so few that workers end together and the classifier need not wait for long.
SECTION_S = {"keyframes": 60, "fps": 30, "every": 10}
_WHOLE = Section()


@dataclass(frozen=True)
class Settings:
    """What workers need of the configuration."""

    sampling: Sampling
    detector: DetectorConfig


@dataclass(frozen=True)
class _Reading:
    """What one file, or a section of it, gave, apart from the pieces sent ahead; `loss` where a part of it was damaged,
    `broken` where none of it may be used."""

    info: MediaInfo
    frames: Sequence[SampledFrame] = ()
    crops: Sequence[NDArray[np.uint8]] = ()
    loss: Failure | None = None
    ahead: Ahead = field(default_factory=Ahead)
    cuts: int = 0
    broken: bool = False


class Worker:
    """A worker's state: its settings and a loaded detector."""

    def __init__(self, settings: Settings) -> None:
        """Load the detector. Raises UsageError where that fails."""
        # Parallelism comes from worker processes; threads of OpenCV on top of them only fight for the cores.
        cv2.setNumThreads(1)
        self._settings = settings
        self._detector = create_detector(settings.detector)

    @cached_property
    def _keen_detector(self) -> Detector:
        """For videos: it finds faint faces too. The same one where it gives no scores."""
        if self._detector.min_score is None:
            return self._detector
        return create_detector(replace(self._settings.detector, min_score=self._detector.min_score * FAINT))

    def prepare(self, unit: Unit) -> Iterator[Outline | Piece | Prepared]:
        """Every file of the unit, each inside its own error boundary: pieces if it is long, then a Prepared. Of a video
        so long that others can help first an Outline, then what its first section gives. Never raises for what a file
        holds."""
        for media in unit.media:
            yield from self._prepare(media, unit.section)

    @property
    def needs_colour(self) -> bool:
        """Whether frames are wanted in colour as well."""
        return self._detector.needs_colour

    def prepare_frame(self, media: Media, frame: Frame) -> Prepared:
        """A picture that is decoded already, as `prepare` gives an image file. Raises MediaError."""
        started = time.perf_counter()
        face_crops = self._look(frame, self._detector)
        sampled, crops = _sampled(0, 0, frame, face_crops), _stacked([crop for _, crop in face_crops])
        info = MediaInfo(frame.width, frame.height)
        return Prepared(media, info, (sampled,), crops, None, time.perf_counter() - started)

    def _prepare(self, media: Media, section: Section | None) -> Iterator[Outline | Piece | Prepared]:
        started = time.perf_counter()
        try:
            reading = yield from self._read(media, section)
        except MediaError as error:
            reading = _Reading(MediaInfo(), loss=error.failure, broken=True)
        except MemoryError:
            reading = _broken(Stage.WORK, Code.OUT_OF_MEMORY, "not enough memory for this file")
        except FileNotFoundError:
            reading = _broken(Stage.DECODE, Code.CHANGED, "has gone since the run began")
        except OSError as error:
            reading = _broken(Stage.DECODE, Code.UNREADABLE, error.strerror or str(error))
        except Exception as error:
            reading = _broken(Stage.WORK, Code.INTERNAL, f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - started
        frames, crops, failure = tuple(reading.frames), _stacked(reading.crops), _with_name(reading.loss, media)
        number = 0 if section is None else section.number
        yield Prepared(
            media, reading.info, frames, crops, failure, seconds, reading.ahead, number, reading.cuts, reading.broken
        )

    def _read(self, media: Media, section: Section | None) -> Generator[Outline | Piece, None, _Reading]:
        if media.failure is not None:
            return _Reading(MediaInfo(), loss=media.failure)
        there = status(media.file)
        if (there.size_bytes, there.modified_ns) != (media.size_bytes, media.modified_ns):
            raise MediaError(Stage.DECODE, Code.CHANGED, "has changed since the run began; run again once it is whole")
        if media.media_type == "image":
            info, frame, lost = read_image(media.file, self._detector.needs_colour)
            face_crops = self._look(frame, self._detector)
            crops = [crop for _, crop in face_crops]
            info = replace(info, digest=content_digest(media.file))
            return _Reading(info, [_sampled(0, 0, frame, face_crops)], crops, lost)
        with open_video(media.file) as reader:
            if section is None:
                section, *others = _sections(reader, self._settings.sampling)
                if others:
                    yield Outline(media, (section, *others))
            try:
                return (yield from self._read_video(media, reader, section, self._settings.sampling))
            except FramesTooSparseError:
                pass
        with open_video(media.file) as reader:
            sampling = replace(self._settings.sampling, fast=False)
            return (yield from self._read_video(media, reader, section, sampling))

    def _read_video(
        self, media: Media, reader: FrameReader, section: Section, sampling: Sampling
    ) -> Generator[Piece, None, _Reading]:
        frames: list[SampledFrame] = []
        crops: list[NDArray[np.uint8]] = []
        ahead = Ahead()
        size = None
        begun = time.monotonic()
        length = reader.info(None).duration_s
        skip, scenes = _skip(sampling), Scenes()
        pictures = scenes(_pictures(reader, skip, sampling, section))
        for shown in select(pictures, sampling, reader.tick, reader.stated_end, section):
            late = bool(frames) and time.monotonic() - begun >= SECONDS_PER_PIECE
            if late or len(frames) >= FRAMES_PER_PIECE or len(crops) >= CROPS_PER_PIECE:
                yield Piece(media, tuple(frames), _stacked(crops), length, section.number)
                begun = time.monotonic()
                ahead = Ahead(ahead.pieces + 1, ahead.frames + len(frames), ahead.faces + len(crops))
                frames, crops = [], []
            frame = self._frame(shown.picture)
            size = size or (frame.width, frame.height)
            face_crops = self._look(frame, self._keen_detector)
            frames.append(_sampled(ahead.frames + len(frames), shown.scene, frame, face_crops))
            crops += [crop for _, crop in face_crops]
        if reader.stats.end is not None:
            loss = reader.partial_failure(read_to_end=sampling.end is None and section.end is None and skip != "NONKEY")
        elif section == _WHOLE:
            raise reader.no_frames_error()
        else:  # Other sections may hold something.
            loss = reader.no_frames_error().failure
        info = reader.info(size)
        if section.number == 0:  # The others' is not asked for.
            info = replace(info, digest=content_digest(media.file))
        return _Reading(info, frames, crops, loss, ahead, scenes.cuts)

    def _frame(self, picture: DecodedFrame) -> Frame:
        luma = picture.luma()
        bgr = picture.bgr(self._settings.detector.longest_side) if self._detector.needs_colour else None
        return Frame(luma, luma.shape[1], luma.shape[0], picture.time, bgr)

    def _look(self, frame: Frame, detector: Detector) -> list[FaceCrop]:
        """The faces of a frame, left to right, each with its crop."""
        try:
            faces = find_faces(frame, detector, self._settings.detector)
        except (cv2.error, DetectorError) as error:
            raise MediaError(Stage.DETECT, Code.DETECTOR_ERROR, f"the detector failed ({error})") from error
        sure = self._detector.min_score or 0.0
        faces = tuple(replace(face, faint=face.score is not None and face.score < sure) for face in faces)
        return [(face, crop_face(frame, face, detector.crop_rule)) for face in faces]


def make_worker(settings: Settings) -> Callable[[Unit], Iterator[Outline | Piece | Prepared]]:
    """The function that a worker process calls on units."""
    return Worker(settings).prepare


def _sections(reader: FrameReader, sampling: Sampling) -> list[Section]:
    """The sections of a video: they depend on the file and on what is to be sampled, and on nothing else, so that rows
    do not either."""
    length = Fraction(reader.info(None).duration_s or 0)
    begin = exact(sampling.start)
    end = length if sampling.end is None else min(length, exact(sampling.end))
    seconds = Fraction(SECTION_S[sampling.mode])
    first, last = begin // seconds + 1, ceil(end / seconds - Fraction(1, 2))
    times = (number * seconds for number in range(first, last))  # Millions, if the stated length is absurd.
    borders = reader.key_frames(times) if first < last and can_split(sampling) else []
    edges = [None, *(border for border in borders if border > begin), None]
    return [Section(number, *edge) for number, edge in enumerate(pairwise(edges))]


def _pictures(reader: FrameReader, skip: Skip, sampling: Sampling, section: Section) -> Iterator[DecodedFrame]:
    """The decoded frames from the start of the section on, those that are not needed left out where that is safe."""
    start, plan = section.start, _plan(sampling, reader.tick)
    if start is None:
        return reader.frames(skip, sampling.start, plan)
    # Behind a key frame in the file may lie frames that are shown before it.
    return dropwhile(lambda picture: picture.time < start, reader.frames(skip, start, plan))


def _plan(sampling: Sampling, tick: Fraction) -> SkipPlan | None:
    """How the decoder learns ahead what sampling by time will leave out."""
    if sampling.mode != "fps":
        return None
    if sampling.fast:
        return partial(skip_after_last, last_needed=last_due(sampling))
    return partial(skip_unneeded, is_needed=is_due(sampling, tick))


def _sampled(index: int, scene: int, frame: Frame, face_crops: Sequence[FaceCrop]) -> SampledFrame:
    # Landmarks have served the crop; they are not kept.
    faces = tuple(replace(face, landmarks=None) for face, _ in face_crops)
    return SampledFrame(index, frame.time, frame.width, frame.height, faces, scene)


def _stacked(crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack(crops) if crops else NO_CROPS


def _skip(sampling: Sampling) -> Skip:
    if sampling.mode == "keyframes":
        return "NONKEY"
    return "NONREF" if sampling.fast and sampling.mode == "fps" else "DEFAULT"


def _broken(stage: Stage, code: Code, message: str) -> _Reading:
    return _Reading(MediaInfo(), loss=Failure(stage, code, message), broken=True)


def _with_name(failure: Failure | None, media: Media) -> Failure | None:
    """The failure with a message of one printable line that leads with the file's table path."""
    if failure is None:
        return None
    return replace(failure, message=one_line(f"{media.path}: {failure.message}"))
