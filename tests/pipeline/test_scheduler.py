"""Sections of a video make up the whole exactly, in whatever order they come and whatever is lost on the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig, Sampling
from fer_batch.detection.base import CropRule
from fer_batch.media.video import open_video
from fer_batch.pipeline import chunks as chunks_module
from fer_batch.pipeline import worker as module
from fer_batch.pipeline.discover import discover
from fer_batch.pipeline.sampling import FramesTooSparseError, exact, select
from fer_batch.pipeline.scheduler import Scheduler, plan
from fer_batch.pipeline.worker import Settings, Worker
from fer_batch.records import (
    Code,
    Detection,
    Failure,
    FileResult,
    Media,
    MediaInfo,
    Stage,
    Task,
    VideoSections,
)
from fer_batch.runners.base import Outcome, TaskError
from tests.helpers.clips import make_moving, make_video, scramble, steady
from tests.helpers.worker import WholeFile, merged

SIZE = (160, 96)
RATE = 25
MILLISECOND = Fraction(1, 1000)


def scene(number: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(100 + number).integers(0, 256, (5, 8), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC), np.uint8)


def footage(count: int, cuts: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Pictures in which a pattern drifts, another one after each cut."""
    number, shown = 0, []
    for index in range(count):
        number += index in cuts
        shown.append(np.roll(scene(number), index // 4, axis=1))
    return shown


class Faces:
    """A detector that finds one or two faces, by how bright the picture is; sometimes none. One of them often has a
    low score."""

    crop_rule = CropRule(scale=1.0)
    needs_colour = False
    min_score = 0.6

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        tone = int(picture.sum()) % 7
        boxes = [
            Detection(20.0 + tone, 30.0, 30.0, 30.0, 0.5 if tone % 2 else 0.7),
            Detection(100.0 - 2 * tone, 20.0, 30.0, 30.0, 0.75),
        ]
        return boxes[: 2 if tone > 2 else tone]


@pytest.fixture(autouse=True)
def _detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "create_detector", lambda config: Faces())


def found(path: Path) -> Media:
    (media,) = discover([str(path)])
    return media


def in_sections(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(module, "SECTION_S", dict.fromkeys(module.SECTION_S, Fraction(str(seconds))))


def assert_same(split: WholeFile, whole: WholeFile) -> None:
    assert np.array_equal(split.crops, whole.crops)
    assert (split.frames, split.result) == (whole.frames, whole.result)


def uneven(count: int) -> list[Fraction]:
    """Times of a variable frame rate, with gaps of up to a second and a half."""
    rng = random.Random(count)
    times = [Fraction(0)]
    while len(times) < count:
        times.append(times[-1] + Fraction(rng.choice([20, 33, 40, 41, 80, 120]), 1000))
        if rng.random() < 0.02:
            times[-1] += Fraction(rng.randrange(200, 1500), 1000)
    return times


SAMPLINGS = {
    "one a second": Sampling(),
    "three a second": Sampling(fps=3.0),
    "as fast as frames": Sampling(fps=25.0),
    "one in two seconds": Sampling(fps=0.5),
    "odd": Sampling(fps=2.3),
    "fast": Sampling(fast=True),
    "fast, two a second": Sampling(fps=2.0, fast=True),
    "fast, odd": Sampling(fps=1.7, fast=True),
    "every frame": Sampling("every"),
    "every seventh": Sampling("every", every=7),
    "key frames": Sampling("keyframes"),
    "from within to within": Sampling(fps=2.0, start=1.3, end=9.1),
    "fast from within to within": Sampling(fps=2.0, start=1.3, end=9.1, fast=True),
    "every frame from within": Sampling("every", start=3.01),
    "key frames to within": Sampling("keyframes", start=1.0, end=8.0),
}
CUTS = (31, 75, 76, 150, 201)
KINDS: dict[str, dict[str, Any]] = {
    "a.mp4": {"b_frames": 2, "gop": 25},
    "long_gops.mp4": {"b_frames": 3, "gop": 110},
    "short_gops.mkv": {"gop": 7, "tick": MILLISECOND},
    "thin.mkv": {"b_frames": 3, "gop": 48, "tick": MILLISECOND},
    "uneven.mp4": {"b_frames": 2, "gop": 30},
    "uneven.mkv": {"gop": 20, "tick": MILLISECOND},
    "hevc.mp4": {"codec": "libx265", "gop": 25},
    "vp9.webm": {"codec": "libvpx-vp9", "gop": 25, "tick": MILLISECOND},
    "turned.mp4": {"rotation": 90, "gop": 25},
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, shown = tmp_path_factory.mktemp("clips"), footage(260, CUTS)
    made = {}
    for name, options in KINDS.items():
        times = uneven(260) if name.startswith("uneven") else steady(RATE, 260)
        if name == "turned.mp4":
            options = options | {"shown": [np.rot90(picture).copy() for picture in shown]}
        made[name] = make_video(folder / name, times, **{"size": SIZE, "shown": shown} | options)
    return made


def falls_back(path: Path, sampling: Sampling) -> bool:
    """Whether fast sampling finds somewhere in a film that no frame is near enough."""
    with open_video(str(path)) as reader:
        try:
            list(select(reader.frames("NONREF", sampling.start), sampling, reader.tick, reader.stated_end))
        except FramesTooSparseError:
            return True
    return False


def section_cases() -> list[Any]:
    """All samplings of two kinds of clips, and of the others one for each way to read them; the rest is slow."""
    cases = []
    for name, (label, sampling) in product(KINDS, SAMPLINGS.items()):
        decides = name in ("a.mp4", "long_gops.mp4") or label in ("one a second", "fast", "every frame", "key frames")
        marks = () if decides else pytest.mark.slow
        cases.append(pytest.param(name, sampling, id=f"{name}, {label}", marks=marks))
    return cases


@pytest.mark.parametrize(("name", "sampling"), section_cases())
def test_sections_make_up_the_whole(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, sampling: Sampling
) -> None:
    in_sections(monkeypatch, 60)
    whole, alone = merged(clips[name], sampling)
    assert len(alone.tasks) == 1
    assert whole.frames
    assert name == "long_gops.mp4" or len({face.track_id for frame in whole.frames for face in frame.faces}) > 2
    in_sections(monkeypatch, 1.1)
    monkeypatch.setattr(chunks_module, "FRAMES_PER_CHUNK", 5)
    split, together = merged(clips[name], sampling)
    splits = sampling.mode != "every" or sampling.every == 1
    assert len(together.tasks) == 1 if not splits else len(together.tasks) >= 2
    if sampling.fast and falls_back(clips[name], sampling):
        assert_near_or_exact(split, whole, sampling)
    else:
        assert_same(split, whole)


def assert_near_or_exact(split: WholeFile, exactly: WholeFile, sampling: Sampling) -> None:
    """A section that is too sparse is read exactly, others need not be."""
    start, interval = exact(sampling.start), 1 / exact(sampling.fps)
    there = [frame.time or Fraction(0) for frame in split.frames]
    assert all(one < other for one, other in pairwise(there))
    for frame in exactly.frames:
        time = frame.time or Fraction(0)
        due = start + (time - start) // interval * interval
        assert time in there or any(abs(near - due) <= interval / 4 for near in there)
    wanted = {frame.time for frame in exactly.frames}
    assert all(time in wanted or abs(time - start - round((time - start) / interval) * interval) <= interval / 4
               for time in there)  # fmt: skip


def test_the_cuts_are_seen_in_every_section(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    in_sections(monkeypatch, 1.1)
    split, _ = merged(clips["a.mp4"], Sampling("every"))
    assert [frame.sample_index for before, frame in pairwise(split.frames)
            if frame.scene > before.scene] == list(CUTS)  # fmt: skip


def open_gops(path: Path) -> Path:
    """A clip whose key frames are followed by frames that are shown before them and need the frames before."""
    shown = footage(200, (60, 61, 130))
    return make_video(path, steady(RATE, 200), size=SIZE, shown=shown, b_frames=3, gop=20, open_gop=True)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("sampling", [Sampling("every"), Sampling(fps=3.0), Sampling(fps=2.0, fast=True)])
def test_frames_shown_before_the_key_frame_they_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sampling: Sampling
) -> None:
    path = open_gops(tmp_path / name)
    whole, _ = merged(path, sampling)
    in_sections(monkeypatch, 1.1)
    split, together = merged(path, sampling)
    # In MP4 such a frame is none to begin at, so only its first one is.
    assert len(together.tasks) > 2 or name == "a.mp4"
    assert_same(split, whole)


def test_sections_are_the_same_whenever_they_are_asked_for(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_sections(monkeypatch, 2)
    first, second = [
        next(Worker(Settings(Sampling(), DetectorConfig())).process(Task((found(clips["a.mp4"]),)))) for _ in range(2)
    ]
    assert first == second
    assert isinstance(first, VideoSections)
    borders = [None, *(Fraction(second) for second in (2, 4, 6, 8)), None]
    assert [(section.start, section.end) for section in first.sections] == list(pairwise(borders))


@pytest.mark.parametrize("name", ["a.ts", "a.avi", "a.gif", "a.webp"])
def test_what_has_no_sure_index_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    in_sections(monkeypatch, 1)
    if name in ("a.gif", "a.webp"):
        path = make_moving(tmp_path / name, [500] * 12)
    else:
        codec, tick = ("mpeg4", Fraction(1, 25)) if name == "a.avi" else ("libx264", MILLISECOND)
        path = make_video(tmp_path / name, steady(RATE, 120), codec=codec, tick=tick)
    split, runner = merged(path, Sampling())
    assert len(runner.tasks) == 1
    assert split.failure is None


def test_a_short_film_stays_whole(clips: dict[str, Path]) -> None:
    _, runner = merged(clips["a.mp4"], Sampling())
    assert runner.tasks == [Task((found(clips["a.mp4"]),))]


@pytest.mark.parametrize("losses", [{0: [0]}, {0: [1]}, {0: [2]}, {3: [0]}, {3: [1]}, {1: [1], 2: [1], 4: [0]}])
def test_a_section_that_is_lost_once_is_read_again(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch, losses: dict[int, list[int]]
) -> None:
    whole, _ = merged(clips["a.mp4"], Sampling(fps=3.0))
    in_sections(monkeypatch, 1)
    monkeypatch.setattr(chunks_module, "FRAMES_PER_CHUNK", 2)
    lost = sum(len(each) for each in losses.values())
    for seed in range(4):
        split, runner = merged(
            clips["a.mp4"], Sampling(fps=3.0), {key: list(each) for key, each in losses.items()}, seed
        )
        assert_same(split, whole)
        sections = [unit.section and unit.section.number for unit in runner.tasks]
        assert len(sections) == len(set(sections) - {None}) + lost + (0 if 0 in set(sections) else 1)


@pytest.mark.parametrize(("number", "losses"), [(0, [0, 0]), (0, [1, 0]), (2, [0, 0]), (9, [0, 0])])
def test_a_section_that_is_lost_twice_fails_its_file_alone(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch, number: int, losses: list[int]
) -> None:
    in_sections(monkeypatch, 1)
    split, runner = merged(clips["a.mp4"], Sampling(), {number: losses})
    assert split.failed
    assert split.frames == ()
    assert split.failure is not None
    assert split.failure.code is Code.WORKER_DIED
    assert len(runner.tasks) <= 10 + 1


def waiting(scheduler: Scheduler) -> list[Task]:
    """The tasks that are there now, taken."""
    return list(iter(scheduler.next_task, None))


def test_few_sections_are_in_progress_at_a_time(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    in_sections(monkeypatch, 1)
    media = found(clips["a.mp4"])
    worker = Worker(Settings(Sampling(), DetectorConfig()))
    scheduler = Scheduler([Task((media,))], window=3)
    first = scheduler.next_task()
    assert first is not None
    messages = worker.process(first)
    assert list(scheduler.handle(Outcome(first, next(messages)))) == []
    others = waiting(scheduler)
    assert [task.section.number for task in others if task.section] == [1, 2]
    for task in others:  # They wait for the first.
        for message in worker.process(task):
            assert list(scheduler.handle(Outcome(task, message))) == []
    assert waiting(scheduler) == []
    ready = [each for message in messages for each in scheduler.handle(Outcome(first, message))]
    assert len(ready) == 3
    assert len(waiting(scheduler)) == 3


def test_sections_are_scheduled_in_their_order_and_before_other_files(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that come into the window while earlier ones are still waiting."""
    in_sections(monkeypatch, 1)
    media = found(clips["a.mp4"])
    worker = Worker(Settings(Sampling(), DetectorConfig()))
    other = Task((replace(media, path="b.mp4"),))
    scheduler = Scheduler([Task((media,)), other], window=3)
    taken = []
    for _ in range(10):
        task = scheduler.next_task()
        assert task is not None
        taken.append(task.section.number if task.section else 0)
        for message in worker.process(task):
            list(scheduler.handle(Outcome(task, message)))
    assert taken == list(range(10))
    assert waiting(scheduler) == [other]


def test_a_detector_that_fails_in_one_section_fails_the_file(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_sections(monkeypatch, 1)
    calls = iter(range(10**6))

    def detect(self: Faces, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        if next(calls) == 5:
            raise cv2.error("bad picture")
        return []

    monkeypatch.setattr(Faces, "detect", detect)
    split, _ = merged(clips["a.mp4"], Sampling())
    assert split.failed
    assert split.failure is not None
    assert split.failure.code is Code.DETECTOR_ERROR


def test_damage_in_sections_is_told_and_the_rest_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "a.mp4", steady(RATE, 250), gop=25, faststart=True)
    scramble(path, 0.45, 0.5, after=b"mdat")
    in_sections(monkeypatch, 1)
    split, runner = merged(path, Sampling(fps=5.0))
    assert len(runner.tasks) > 5
    assert not split.failed
    assert split.failure is not None
    assert split.failure.code is Code.DAMAGED
    assert len(split.frames) > 40


def test_a_file_changed_between_two_sections_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "a.mp4", steady(RATE, 250), gop=25)
    in_sections(monkeypatch, 1)
    media, worker = found(path), Worker(Settings(Sampling(), DetectorConfig()))
    video, *_ = worker.process(Task((media,)))
    assert isinstance(video, VideoSections)
    path.write_bytes(path.read_bytes() + b"more")
    (changed,) = worker.process(Task((media,), video.sections[3]))
    assert isinstance(changed, FileResult)
    assert (changed.unusable, changed.section) == (True, 3)
    assert changed.failure is not None
    assert changed.failure.code is Code.CHANGED


def media_named(name: str, kind: str = "image", size: int = 1) -> Media:
    return Media(name, name, kind, size, 0)  # type: ignore[arg-type]


class LosingRunner:
    """Loses tasks that hold certain files as often as told, and gives results for all others."""

    def __init__(self, losses: dict[str, int], error: TaskError) -> None:
        self.losses, self.error, self.calls = losses, error, list[list[str]]()

    def run(self, next_task: Callable[[], Task | None]) -> Iterator[Outcome[Task, Any]]:
        while (task := next_task()) is not None:
            names = [media.path for media in task.media]
            self.calls.append(names)
            lost = [name for name in names if self.losses.get(name, 0) > 0]
            for name in lost:
                self.losses[name] -= 1
            if lost:
                yield Outcome(task, None, self.error, "its worker process died (signal SIGKILL)")
            else:
                for media in task.media:
                    yield Outcome(task, FileResult(media, MediaInfo(), None, 0.0, attempt=task.attempt))


def results_of(runner: LosingRunner, *media: Media) -> dict[str, FileResult]:
    scheduler = Scheduler(plan(media), window=3)
    ready = [each for outcome in runner.run(scheduler.next_task) for each in scheduler.handle(outcome)]
    assert len({each.media.path for each in ready}) == len(ready) == len(media)
    return {each.media.path: each for each in ready if isinstance(each, FileResult)}


def test_videos_come_alone_and_largest_first_images_in_batches() -> None:
    images = [media_named(f"{i:02d}.jpg") for i in range(20)]
    tasks = plan([media_named("small.mp4", "video", 1), *images, media_named("large.mp4", "video", 9)])
    assert [[media.path for media in task.media] for task in tasks[:2]] == [["large.mp4"], ["small.mp4"]]
    assert [len(task.media) for task in tasks[2:]] == [16, 4]


def test_a_batch_that_is_lost_is_tried_file_by_file_and_the_culprit_given_up() -> None:
    runner = LosingRunner({"b.jpg": 2}, TaskError.WORKER_DIED)
    results = results_of(runner, *map(media_named, ("a.jpg", "b.jpg", "c.jpg")))
    assert runner.calls == [["a.jpg", "b.jpg", "c.jpg"], ["a.jpg"], ["b.jpg"], ["c.jpg"]]
    message = "b.jpg: its worker process died (signal SIGKILL)"
    lost = Failure(Stage.WORK, Code.WORKER_DIED, message)
    assert {path: result.failure for path, result in results.items()} == {"a.jpg": None, "b.jpg": lost, "c.jpg": None}


def test_a_file_lost_once_by_chance_is_done_at_the_second_attempt() -> None:
    results = results_of(LosingRunner({"a.mp4": 1}, TaskError.TIMEOUT), media_named("a.mp4", "video"))
    assert results["a.mp4"].failure is None


def test_a_timeout_has_its_own_code() -> None:
    results = results_of(LosingRunner({"a.mp4": 9}, TaskError.TIMEOUT), media_named("a.mp4", "video"))
    assert results["a.mp4"].failed
    assert results["a.mp4"].failure is not None
    assert results["a.mp4"].failure.code is Code.TIMEOUT
