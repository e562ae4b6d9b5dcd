"""What a worker does: decode, sample, detect, crop. The only place where an exception becomes a Failure.

No TensorFlow here: workers send crops, one process classifies them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import dropwhile, pairwise
from math import ceil

import cv2

from fer_batch.config import DetectorConfig, Sampling
from fer_batch.detection import create_detector
from fer_batch.detection.base import CropRule, Detector, DetectorError
from fer_batch.detection.search import find_faces
from fer_batch.log import one_line
from fer_batch.media.base import FrameReader, Skip, SkipPlan
from fer_batch.media.cuts import CutDetector
from fer_batch.media.frame import DecodedFrame
from fer_batch.media.frame_skipping import skip_after_last, skip_unneeded
from fer_batch.media.image import read_image
from fer_batch.media.video import open_video
from fer_batch.pipeline.chunks import ChunkBuilder
from fer_batch.pipeline.crop import crop_face, face_quality
from fer_batch.pipeline.sampling import FramesTooSparseError, can_split, exact, is_due, last_due, select
from fer_batch.pipeline.tracker import LOW_SCORE_SHARE
from fer_batch.records import (
    Code,
    Detection,
    FaceCrop,
    Failure,
    FileResult,
    Frame,
    FrameChunk,
    Media,
    MediaError,
    MediaInfo,
    Section,
    Stage,
    Task,
    VideoSections,
)
from fer_batch.storage import content_digest, status

#: What workers send.
Message = VideoSections | FrameChunk | FileResult

#: Seconds of a video after which a new section begins, at the next key frame before: so many that a section takes some
#: seconds to read, so few that workers end together and the classifier need not wait for long.
SECTION_S = {"keyframes": 60, "fps": 30, "every": 10}
_WHOLE = Section()
#: How often a worker may read a file in one task: with fast sampling, and again where that is not possible.
ATTEMPTS_PER_TASK = 2


@dataclass(frozen=True)
class Settings:
    """What workers need of the configuration."""

    sampling: Sampling
    detector: DetectorConfig


class Worker:
    """A worker's state: its settings and a loaded detector."""

    def __init__(self, settings: Settings) -> None:
        """Load the detector. Raises UsageError where that fails."""
        # Parallelism comes from worker processes; threads of OpenCV would compete with them for the cores.
        cv2.setNumThreads(1)
        self._settings = settings
        self._detector = create_detector(settings.detector)

    @cached_property
    def _video_detector(self) -> Detector:
        """Also gives low-score faces, for tracks to continue in. The same detector where it gives no scores."""
        if self._detector.min_score is None:
            return self._detector
        min_score = self._detector.min_score * LOW_SCORE_SHARE
        return create_detector(replace(self._settings.detector, min_score=min_score))

    def process(self, task: Task) -> Iterator[Message]:
        """Read every file of a task, each inside its own error boundary.

        Yields FrameChunks and one closing FileResult for each file. For a video that is long enough to be shared
        among workers, VideoSections come first, then the messages of its first section. Never raises for what a file
        holds.
        """
        for media in task.media:
            yield from self._process_file(media, task)

    @property
    def needs_colour(self) -> bool:
        """Whether frames are wanted in colour as well."""
        return self._detector.needs_colour

    def process_image(self, media: Media, frame: Frame, attempt: int = 1) -> FrameChunk:
        """The faces of an image that is decoded already. Raises MediaError."""
        chunks = ChunkBuilder(media, attempt)
        chunks.add(frame, self._find_faces(frame, self._detector))
        (chunk,) = chunks.take()
        return chunk

    def _process_file(self, media: Media, task: Task) -> Iterator[Message]:
        started = time.perf_counter()
        try:
            result = yield from self._read(media, task)
        except MediaError as error:
            result = _failed(media, task, error.failure)
        except MemoryError:
            result = _failed(media, task, Failure(Stage.WORK, Code.OUT_OF_MEMORY, "not enough memory for this file"))
        except FileNotFoundError:
            result = _failed(media, task, Failure(Stage.DECODE, Code.CHANGED, "has gone since the run began"))
        except OSError as error:
            result = _failed(media, task, Failure(Stage.DECODE, Code.UNREADABLE, error.strerror or str(error)))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            result = _failed(media, task, Failure(Stage.WORK, Code.INTERNAL, message))
        seconds = time.perf_counter() - started
        yield replace(result, failure=_with_name(result.failure, media), processing_s=seconds)

    def _read(self, media: Media, task: Task) -> Generator[Message, None, FileResult]:
        if media.failure is not None:
            return _failed(media, task, media.failure)
        found = status(media.file)
        if (found.size_bytes, found.modified_ns) != (media.size_bytes, media.modified_ns):
            raise MediaError(Stage.DECODE, Code.CHANGED, "has changed since the run began; run again once it is whole")
        if media.media_type == "image":
            return (yield from self._read_image(media, task.attempt))
        sampling, section = self._settings.sampling, task.section
        with open_video(media.file) as reader:
            if section is None:
                section, *others = _sections(reader, sampling)
                if others:
                    yield VideoSections(media, (section, *others))
            try:
                return (yield from self._read_video(media, reader, section, sampling, task.attempt))
            except FramesTooSparseError:
                pass
        with open_video(media.file) as reader:
            exactly = replace(sampling, fast=False)
            return (yield from self._read_video(media, reader, section, exactly, task.attempt + 1))

    def _read_image(self, media: Media, attempt: int) -> Generator[FrameChunk, None, FileResult]:
        info, frame, failure = read_image(media.file, self._detector.needs_colour)
        chunk = self.process_image(media, frame, attempt)
        yield chunk
        info = replace(info, digest=content_digest(media.file))
        return FileResult(media, info, failure, 0.0, 1, len(chunk.crops), attempt=attempt)

    def _read_video(
        self, media: Media, reader: FrameReader, section: Section, sampling: Sampling, attempt: int
    ) -> Generator[FrameChunk, None, FileResult]:
        chunks = ChunkBuilder(media, attempt, section.number, reader.info(None).duration_s)
        size = None
        skip, cuts = _skip(sampling), CutDetector()
        frames = cuts(_pictures(reader, skip, sampling, section))
        for selected in select(frames, sampling, reader.tick, reader.stated_end, section):
            if chunks.complete:
                yield from chunks.take()
            frame = self._frame(selected.picture)
            size = size or (frame.width, frame.height)
            chunks.add(frame, self._find_faces(frame, self._video_detector), selected.scene)
        if reader.stats.end is not None:
            to_end = sampling.end is None and section.end is None and skip != "NONKEY"
            failure = reader.partial_failure(read_to_end=to_end)
        elif section == _WHOLE:
            raise reader.no_frames_error()
        else:  # Other sections may hold something.
            failure = reader.no_frames_error().failure
        yield from chunks.take()
        info = reader.info(size)
        if section.number == 0:  # That of the others is not used.
            info = replace(info, digest=content_digest(media.file))
        return FileResult(
            media, info, failure, 0.0, chunks.frames_sampled, chunks.faces_found,
            section.number, attempt, cuts.cuts,
        )  # fmt: skip

    def _frame(self, picture: DecodedFrame) -> Frame:
        luma = picture.luma()
        bgr = picture.bgr(self._settings.detector.longest_side) if self._detector.needs_colour else None
        return Frame(luma, luma.shape[1], luma.shape[0], picture.time, bgr)

    def _find_faces(self, frame: Frame, detector: Detector) -> list[FaceCrop]:
        """The faces of a frame, left to right, each with its crop."""
        try:
            faces = find_faces(frame, detector, self._settings.detector)
        except (cv2.error, DetectorError) as error:
            raise MediaError(Stage.DETECT, Code.DETECTOR_ERROR, f"the detector failed ({error})") from error
        min_score = self._detector.min_score or 0.0
        faces = tuple(replace(face, low_score=face.score is not None and face.score < min_score) for face in faces)
        return [_cropped(frame, face, detector.crop_rule) for face in faces]


def make_worker(settings: Settings) -> Callable[[Task], Iterator[Message]]:
    """The function that a worker process calls on tasks."""
    return Worker(settings).process


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


def _cropped(frame: Frame, face: Detection, rule: CropRule) -> FaceCrop:
    crop = crop_face(frame, face, rule)
    return replace(face, quality=face_quality(frame, face, rule, crop)), crop


def _skip(sampling: Sampling) -> Skip:
    if sampling.mode == "keyframes":
        return "NONKEY"
    return "NONREF" if sampling.fast and sampling.mode == "fps" else "DEFAULT"


def _failed(media: Media, task: Task, failure: Failure) -> FileResult:
    section = 0 if task.section is None else task.section.number
    attempt = task.attempt + ATTEMPTS_PER_TASK - 1
    return FileResult(media, MediaInfo(), failure, 0.0, section=section, attempt=attempt, unusable=True)


def _with_name(failure: Failure | None, media: Media) -> Failure | None:
    """The failure with a message of one printable line that leads with the file's table path."""
    if failure is None:
        return None
    return replace(failure, message=one_line(f"{media.path}: {failure.message}"))
