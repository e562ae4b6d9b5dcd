"""What a run would read, and how long it would take on this machine. Nothing is written."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log
from pathlib import PurePosixPath

from fer_batch.config import ResolvedConfig, Sampling
from fer_batch.detection import create_detector
from fer_batch.media.video import open_video
from fer_batch.pipeline import studies
from fer_batch.pipeline.discover import input_prefixes, survey
from fer_batch.pipeline.measuring import STRETCH_S, Measurement, Sample, Speed, measure
from fer_batch.pipeline.run import check_out, report_left_out
from fer_batch.pipeline.scheduler import IMAGES_PER_TASK
from fer_batch.pipeline.worker import SECTION_S
from fer_batch.records import Media, MediaError
from fer_batch.report.formatting import format_count, format_duration
from fer_batch.resources import available_resources
from fer_batch.tables.ledger import Ledger

#: Seconds in which the lengths of videos are looked up; those of the others follow from their sizes.
_LOOK_UP_S = 5.0
#: Samples that are measured, at most; time ends it sooner.
_IMAGES, _STRETCHES = 64, 64
#: How long a run takes before its first and after its last file (imports, summaries, the report), in times of the
#: processor's seconds that this process needed to get here: 1.3 s and 0.3 to 0.9 in place of 1.1.
_ENDS_SHARE = 1.5
#: Seconds for which the main process is busy with a sampled frame, without classifying: what a worker sent, the rows.
_FRAME_S = 0.002
#: Bytes of the results, measured on tables of random values, which real ones stay below: of a face, a frame without and
#: with faces, a file, a window of the timeline with its text, the part files of a commit, a report without charts, and
#: one with as many as it holds.
_FACE, _EMPTY_FRAME, _FRAME, _FILE, _WINDOW = 93, 7, 57, 400, 1000
_PART, _FOLDER, _REPORT, _LARGEST_REPORT = 17_000, 44_000, 1_200_000, 9_000_000
_REPORT_WINDOW = 190


@dataclass(frozen=True)
class DryRun:
    """What a run would do.

    Attributes:
        images: Images to read.
        videos: Videos to read.
        image_bytes: Their sizes together.
        video_bytes: Their sizes together.
        video_s: Seconds of the videos that would be read.
        all_known: Whether the lengths of all videos were looked up.
        kinds: How many files to read there are by suffix.
        unreadable: Other files, which can't be read, as far as is known by now.
        skipped: Files that an earlier run has read, or has failed on.
        seconds: How long the run would take; None where nothing could be measured.
        result_bytes: The size of what it would add to its folder; None where nothing could be measured.
        measured: What was measured, in words.
    """

    images: int
    videos: int
    image_bytes: int
    video_bytes: int
    video_s: float
    all_known: bool
    kinds: Counter[str]
    unreadable: int
    skipped: int
    seconds: float | None
    result_bytes: int | None
    measured: str

    def lines(self) -> list[str]:
        """All of it as text for people."""
        about = "" if self.all_known else "about "
        length = f", {about}{format_duration(self.video_s)}" if self.videos else ""
        lines = [
            f"to read: {format_count(self.images + self.videos, 'file')}",
            f"  {format_count(self.images, 'image')} ({format_bytes(self.image_bytes)})",
            f"  {format_count(self.videos, 'video')} ({format_bytes(self.video_bytes)}{length})",
        ]
        if self.kinds:
            lines.append(
                "  by suffix: " + ", ".join(f"{suffix} {count:,}" for suffix, count in self.kinds.most_common())
            )
        if self.unreadable:
            lines.append(f"  besides, {format_count(self.unreadable, 'file')} that can't be read and would fail")
        lines.append(f"done already: {format_count(self.skipped, 'file')}")
        if self.seconds is not None and self.result_bytes is not None:
            took, size = format_duration(self.seconds), format_bytes(self.result_bytes)
            lines += [f"estimate: {took}, {size} of results", f"  {self.measured}"]
        return lines


def dry_run(config: ResolvedConfig) -> DryRun:
    """Find out what a run would read, measure some of it, and estimate the rest.

    Raises:
        UsageError: As the run would.
    """
    ends_s = _ends_s(config)
    check_out(config)
    studies.check_files(config)
    discovery = survey(config.inputs, config.include, config.exclude, config.follow_symlinks, config.all_files)
    report_left_out(config, discovery)
    files = found = discovery.media
    if config.restart:
        studies.check_media(config, found)
    else:
        ledger = Ledger(config.out)
        ledger.check(config.result_settings(), input_prefixes(config.inputs))
        studies.check_media(config, found, ledger.entries["media_path"])
        files = ledger.outstanding(found, config.retry_failed)
    readable = [media for media in files if media.failure is None]
    images = [media for media in readable if media.media_type == "image"]
    videos = [media for media in readable if media.media_type == "video"]
    lengths = _lengths(videos, config.sampling)
    known_bytes = sum(media.size_bytes for media in videos if media.path in lengths)
    video_bytes = sum(media.size_bytes for media in videos)
    video_s = sum(lengths.values()) * (video_bytes / known_bytes if known_bytes else 1.0)
    workers = max(1, min(config.workers, available_resources().cores))
    speed = measure(config, _samples(images, videos, lengths, config.sampling), workers)
    seconds, result_bytes = _estimate(config, speed, len(images), len(videos), video_s)
    seconds += ends_s
    return DryRun(
        images=len(images),
        videos=len(videos),
        image_bytes=sum(media.size_bytes for media in images),
        video_bytes=video_bytes,
        video_s=video_s,
        all_known=len(lengths) == len(videos),
        kinds=Counter(PurePosixPath(media.path).suffix.lower() or "none" for media in readable),
        unreadable=len(files) - len(readable),
        skipped=len(found) - len(files),
        seconds=seconds if speed.measurements else None,
        result_bytes=result_bytes if speed.measurements else None,
        measured=_measured(speed, workers),
    )


def _ends_s(config: ResolvedConfig) -> float:
    """Seconds that a run takes before its first and after its last file. Raises UsageError for a detector that can't be
    used."""
    started, started_cpu = time.perf_counter(), time.process_time()
    create_detector(config.detector)
    cpu = time.process_time()
    # How much longer it takes than it computes, on a machine that is busy with other things.
    slowdown = max(1.0, (time.perf_counter() - started) / max(cpu - started_cpu, 1e-3))
    return _ENDS_SHARE * cpu * slowdown


def format_bytes(size: float) -> str:
    """A number of bytes with its unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _lengths(videos: Sequence[Media], sampling: Sampling) -> dict[str, float]:
    """Seconds that would be read of each video, by its path; of some of them where there are very many."""
    lengths: dict[str, float] = {}
    begun = time.monotonic()
    for media in random.Random(0).sample(videos, len(videos)):
        if time.monotonic() - begun > _LOOK_UP_S:
            break
        try:
            with open_video(media.file) as reader:
                length = reader.info(None).duration_s or 0.0
        except (MediaError, OSError):  # It fails in the run too, in no time.
            length = 0.0
        end = length if sampling.end is None else min(length, sampling.end)
        lengths[media.path] = max(0.0, end - sampling.start)
    return lengths


def _samples(
    images: Sequence[Media], videos: Sequence[Media], lengths: dict[str, float], sampling: Sampling
) -> list[Sample]:
    """What to measure: images over the range of their sizes, videos at times spread over all their seconds; in an order
    in which any beginning is a fair choice."""
    by_size = sorted(images, key=lambda media: media.size_bytes)
    count = min(_IMAGES, len(by_size))
    of_images = [Sample(by_size[(2 * i + 1) * len(by_size) // (2 * count)]) for i in range(count)]
    known = sorted((media for media in videos if lengths.get(media.path)), key=lambda media: media.size_bytes)
    step = max(STRETCH_S, sum(lengths[media.path] for media in known) / _STRETCHES)
    of_videos, due = [], step / 2
    for media in known:
        while due < lengths[media.path]:
            of_videos.append(Sample(media, sampling.start + due))
            due += step
        due -= lengths[media.path]
    rng = random.Random(0)
    rng.shuffle(of_images)
    rng.shuffle(of_videos)
    # Alternating, so that both are measured, whenever the time is up.
    pairs = zip(of_images, of_videos, strict=False)
    longer = (of_images, of_videos)[len(of_videos) > len(of_images)][min(len(of_images), len(of_videos)) :]
    return [sample for pair in pairs for sample in pair] + list(longer)


def _estimate(config: ResolvedConfig, speed: Speed, images: int, videos: int, video_s: float) -> tuple[float, int]:
    """Seconds of a run from the start of its workers to its last file, and bytes of its results."""
    sections = max(videos, ceil(video_s / SECTION_S[config.sampling.mode]))

    def total(value: Callable[[Measurement], float]) -> float:
        return images * speed.mean("image", value) + video_s * speed.mean("video", value)

    work = total(lambda measured: measured.seconds) + sections * speed.open_s
    frames, faces = total(lambda measured: measured.frames), total(lambda measured: measured.faces)
    main_process = frames * _FRAME_S + faces * speed.face_s
    tasks = max(1, ceil(images / IMAGES_PER_TASK) + sections)
    # Workers are measured while all of them work. The main process, which classifies, has the same cores.
    cores = available_resources().cores if config.engine == "local" else config.workers + max(1, config.classifiers)
    busy = max(work / min(config.workers, tasks), main_process, (work + main_process) / cores)
    seconds = speed.start_s + speed.load_s + busy
    windows = video_s / config.window
    per_frame = _FRAME if faces > 0.1 * frames else _EMPTY_FRAME
    report = min(_LARGEST_REPORT, _REPORT + _REPORT_WINDOW * windows) if config.report else 0
    size = faces * _FACE + frames * per_frame + (images + videos) * _FILE + windows * _WINDOW
    return seconds, round(size + _FOLDER + report + _PART * min(_parts(busy), tasks))


def _parts(seconds: float) -> float:
    """How many part files a run writes in a time: every two seconds at first, every minute after an hour."""
    if seconds <= 120:
        return max(1.0, seconds / 2)
    return 60 + 60 * log(min(seconds, 3600) / 120) + max(0.0, seconds - 3600) / 60


def _measured(speed: Speed, workers: int) -> str:
    """What was measured, in words."""
    images = sum(measured.media_type == "image" for measured in speed.measurements)
    seconds = sum(measured.media_seconds for measured in speed.measurements)
    some = [format_count(images, "image")] if images else []
    some += [f"{format_duration(seconds)} of video"] if seconds else []
    return f"measured on {' and '.join(some)}, with {format_count(workers, 'worker')}"
