"""Measures how fast this machine reads some of the media of a run: a few images, a few seconds of some videos."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import numpy as np

from fer_batch.config import ResolvedConfig, Sampling
from fer_batch.emotion.classifier import Classifier
from fer_batch.emotion.preprocessing import CROP_SIZE
from fer_batch.media.video import open_video
from fer_batch.pipeline.sampling import exact
from fer_batch.pipeline.worker import Settings, Worker
from fer_batch.records import FileResult, Media, MediaError, MediaType, Section, Task
from fer_batch.runners.local import LocalRunner

#: Seconds of measuring, once the workers have started.
MEASURE_S = 6.0
#: Seconds of a video that are measured at a time, at least, and samples that lie in them.
STRETCH_S, _STRETCH_SAMPLES = 4, 4
#: So many samples are measured however long it takes.
_LEAST_SAMPLES = 4
#: Crops on which the classifier is measured.
_CROPS = 128


@dataclass(frozen=True)
class Sample:
    """What is measured at a time: an image, or a video from a time, in seconds, on."""

    media: Media
    start: float = 0.0


@dataclass(frozen=True)
class Measurement:
    """What one sample took and gave.

    Attributes:
        media_type: What was measured.
        seconds: Of a worker's time, without opening the file.
        open_s: Seconds that opening a video took.
        media_seconds: How much of a video was read.
        frames: Frames that were sampled.
        faces: Faces that were found.
    """

    media_type: MediaType
    seconds: float
    open_s: float
    media_seconds: float
    frames: int
    faces: int


@dataclass
class Speed:
    """What this machine needs.

    Attributes:
        measurements: Of the samples that could be read in the time.
        start_s: Seconds until a worker had begun.
        load_s: Seconds until the classifier was loaded.
        face_s: Seconds for which the classifier is busy with a face.
    """

    measurements: list[Measurement] = field(default_factory=list)
    start_s: float = 0.0
    load_s: float = 0.0
    face_s: float = 0.0

    def mean(self, media_type: MediaType, value: Callable[[Measurement], float]) -> float:
        """The mean of something per image, or per second of video; 0 where nothing was measured."""
        some = [measurement for measurement in self.measurements if measurement.media_type == media_type]
        amount = sum(1.0 if media_type == "image" else measurement.media_seconds for measurement in some)
        return sum(map(value, some)) / amount if amount else 0.0

    @property
    def open_s(self) -> float:
        """Mean seconds to open a video."""
        opened = [measurement.open_s for measurement in self.measurements if measurement.media_type == "video"]
        return sum(opened) / len(opened) if opened else 0.0


def measure(config: ResolvedConfig, samples: Sequence[Sample], workers: int) -> Speed:
    """Read samples, in their order, for `MEASURE_S` seconds with as many workers as a run would use.

    Raises:
        UsageError: The detector or the emotion model can't be used.
    """
    speed = Speed()
    if not samples:
        return speed
    waiting = deque(samples)
    started = time.perf_counter()
    begun: list[float] = []

    def next_sample() -> Sample | None:
        late = bool(begun) and time.perf_counter() - begun[0] > MEASURE_S
        enough = len(samples) - len(waiting) >= _LEAST_SAMPLES
        return waiting.popleft() if waiting and not (late and enough) else None

    make = partial(make_measurer, Settings(config.sampling, config.detector))
    runner = LocalRunner[Sample, Measurement](make, workers, config.timeout)
    with closing(runner.run(next_sample)) as outcomes:
        for outcome in outcomes:
            if not begun:
                begun.append(time.perf_counter())
                first = outcome.result
                # It was read twice. What the first time took longer belongs to the start.
                speed.start_s = begun[0] - started - (0.0 if first is None else 2 * (first.seconds + first.open_s))
            if outcome.result is not None:
                speed.measurements.append(outcome.result)
    if any(measurement.faces for measurement in speed.measurements):
        speed.load_s, speed.face_s = _classifier_times(config)
    return speed


def make_measurer(settings: Settings) -> Callable[[Sample], Iterator[Measurement]]:
    """The function that a worker process calls on samples. The first sample is read twice: decoder and networks take
    longer at first, which a run of any length does not notice."""
    worker, warm = Worker(settings), False

    def measured(sample: Sample) -> Iterator[Measurement]:
        nonlocal warm
        if not warm:
            list(_measure(worker, settings.sampling, sample))
            warm = True
        yield from _measure(worker, settings.sampling, sample)

    return measured


def _measure(worker: Worker, sampling: Sampling, sample: Sample) -> Iterator[Measurement]:
    """Read one sample. One that can't be read counts with what it took and without frames, as others like it will;
    nothing where its file can't be opened, since its length does not count either."""
    section, media_seconds, open_s = None, 0.0, 0.0
    if sample.media.media_type == "video":
        started = time.perf_counter()
        try:
            section, media_seconds = _stretch(sample, sampling)
        except (MediaError, OSError):
            return
        open_s = time.perf_counter() - started
    *_, result = worker.process(Task((sample.media,), section))
    if isinstance(result, FileResult):
        seconds = max(0.0, result.processing_s - open_s)  # It opened the file as well.
        yield Measurement(
            sample.media.media_type, seconds, open_s, media_seconds, result.frames_sampled, result.faces_found
        )


def _stretch(sample: Sample, sampling: Sampling) -> tuple[Section, float]:
    """The section of a video to read, from the key frame before the sample's start on, and how many seconds it has."""
    length = Fraction(STRETCH_S)
    if sampling.mode == "fps":
        length = max(length, _STRETCH_SAMPLES / exact(sampling.fps))
    with open_video(sample.media.file) as reader:
        key_frames = reader.key_frames([Fraction(sample.start)]) if sample.start else []
        duration = reader.info(None).duration_s
    start = key_frames[-1] if key_frames else None
    begin = max(start or Fraction(0), exact(sampling.start))
    ends = [begin + length, *([Fraction(duration)] if duration else [])]
    ends += [] if sampling.end is None else [exact(sampling.end)]
    return Section(0, start, begin + length), max(0.0, float(min(ends) - begin))


def _classifier_times(config: ResolvedConfig) -> tuple[float, float]:
    """Seconds to load the classifier, and seconds that it needs for a face, of batches as in a run."""
    classifier = Classifier(config.model_folder, config.labels, config.batch_size, config.device)
    crops = np.random.default_rng(0).integers(0, 256, (_CROPS, CROP_SIZE, CROP_SIZE), np.uint8)
    started = time.perf_counter()
    classifier(crops[: config.batch_size])  # The first call may compile.
    loaded = time.perf_counter()
    classifier(crops)
    return loaded - started, (time.perf_counter() - loaded) / len(crops)
