"""What a worker makes of good and bad media: rows that add up, and one failure per broken file."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fer_batch.config import DetectorConfig, Sampling
from fer_batch.detection.base import DetectorError
from fer_batch.media import image as image_module
from fer_batch.pipeline import chunks as chunks_module
from fer_batch.pipeline import worker as module
from fer_batch.pipeline.worker import Message, Settings, Worker, make_worker
from fer_batch.records import Code, Detection, Failure, FileResult, FrameChunk, MediaInfo, Stage, Task
from fer_batch.storage import content_digest
from tests.helpers.clips import (
    SAMPLES,
    SIZE,
    announce_jpeg_size,
    cut,
    make_audio,
    make_big_png,
    make_moving,
    make_video,
    number_in,
    numbered,
    scramble,
    steady,
)
from tests.helpers.worker import Stub, WholeFile, failed, found, photo, prepare, whole_files


def test_videos_are_searched_for_low_score_faces_and_images_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float | None] = []

    class Scored(Stub):
        def __init__(self, config: DetectorConfig) -> None:
            super().__init__()
            asked.append(config.min_score)
            self.min_score = config.min_score or 0.8

        def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
            faces = [Detection(10.0 * n, 0.0, 30.0, 30.0, score) for n, score in enumerate((0.55, 0.61, 0.79, 0.81))]
            return [face for face in faces if (face.score or 0) >= self.min_score]

    monkeypatch.setattr(module, "create_detector", Scored)
    image, video = tmp_path / "a.png", make_video(tmp_path / "b.mp4", steady(2, 4))
    Image.new("L", (64, 64)).save(image)
    of_image, of_video = prepare(image, video)
    assert [(f.score, f.low_score) for f in of_image.frames[0].faces] == [(0.81, False)]
    assert [(f.score, f.low_score) for f in of_video.frames[0].faces] == [(0.61, True), (0.79, True), (0.81, False)]
    assert asked == [None, pytest.approx(0.6)]


def halves(number: int) -> NDArray[np.uint8]:
    """The crops of the stub's two faces: squares as high as the frame around the middle of each half."""
    left, right = np.clip(np.arange(-8, 40), 0, 63), np.clip(np.arange(24, 72), 0, 63)
    shown = numbered(number)
    return np.stack([shown[:, left], shown[:, right]])


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("detector")
def test_a_picture(tmp_path: Path) -> None:
    (prepared,) = prepare(photo(tmp_path / "a.png"))
    assert (prepared.failure, prepared.failed) == (None, False)
    assert replace(prepared.info, digest=None) == MediaInfo(*SIZE, None, "png")
    assert prepared.info.digest == content_digest(str(tmp_path / "a.png"))
    (frame,) = prepared.frames
    assert (frame.width, frame.height) == SIZE
    assert [(face.x, face.score, face.landmarks) for face in frame.faces] == [(0, 0.5, None), (32, None, None)]
    np.testing.assert_array_equal(prepared.crops, halves(37))


@pytest.mark.usefixtures("detector")
def test_a_film(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 60), b_frames=2)
    (prepared,) = prepare(path, sampling=Sampling(fps=2.5))
    assert prepared.failure is None
    assert replace(prepared.info, digest=None) == MediaInfo(*SIZE, 2.4, "h264", stream_index=0)
    assert [frame.time for frame in prepared.frames] == [Fraction(number, 25) for number in range(0, 60, 10)]
    assert prepared.crops.shape == (12, 48, 48)
    shown = np.concatenate([halves(number) for number in range(0, 60, 10)]) * (219 / 255) + 16  # Luma has less range.
    assert np.abs(prepared.crops - shown).mean(axis=(1, 2)).max() < 8


@pytest.mark.usefixtures("detector")
def test_a_turned_film_is_measured_upright(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 30), rotation=-90)
    (prepared,) = prepare(path)
    assert (prepared.info.width, prepared.info.height) == SIZE[::-1]
    assert (prepared.frames[0].width, prepared.frames[0].height) == SIZE[::-1]


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_moving_pictures_are_films(tmp_path: Path, suffix: str) -> None:
    (prepared,) = prepare(make_moving(tmp_path / f"a{suffix}", [300] * 6))
    assert prepared.media.media_type == "video"
    assert [frame.time for frame in prepared.frames] == [0, Fraction("1.2")]
    stream = 0 if suffix == ".gif" else None
    assert replace(prepared.info, digest=None) == MediaInfo(*SIZE, 1.8, suffix[1:], stream_index=stream)


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_film_shorter_than_the_start_is_done_without_frames(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, steady(25, 30), rotation=-90 if name == "a.mp4" else 0)
    (prepared,) = prepare(path, sampling=Sampling(start=60.0))
    assert (prepared.frames, prepared.failure) == ((), None)
    assert prepared.info.codec == "h264"
    assert (prepared.info.width, prepared.info.height) == (SIZE[::-1] if name == "a.mp4" else SIZE)


@pytest.mark.usefixtures("detector")
def test_a_start_and_an_end_are_no_damage(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 75))
    (prepared,) = prepare(path, sampling=Sampling(start=0.5, end=1.6))
    assert [frame.time for frame in prepared.frames] == [Fraction(13, 25), Fraction(38, 25)]
    assert prepared.failure is None


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("mode", ["fps", "every", "keyframes"])
@pytest.mark.parametrize("fast", [False, True])
def test_no_mode_takes_a_whole_film_for_a_damaged_one(tmp_path: Path, mode: Any, fast: bool) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 75), gop=60, b_frames=3)
    (prepared,) = prepare(path, sampling=Sampling(mode=mode, every=5, fast=fast))
    assert prepared.failure is None
    assert len(prepared.frames) == {"fps": 3, "every": 15, "keyframes": 2}[mode]


def messages_of(path: Path, sampling: Sampling) -> list[Message]:
    return list(Worker(Settings(sampling, DetectorConfig())).process(Task((found(path),))))


def joined(messages: list[Message]) -> WholeFile:
    """The file that a worker's messages describe."""
    assert [isinstance(message, FileResult) for message in messages] == [False] * (len(messages) - 1) + [True]
    (file,) = whole_files(messages)
    return file


def timeless(file: WholeFile) -> FileResult:
    return replace(file.result, processing_s=0.0)


SAMPLINGS = [
    Sampling(fps=5.0),
    Sampling("every", every=2, start=0.5, end=2.5),
    Sampling("keyframes"),
    Sampling(fast=True),
]


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["fps", "every", "keyframes", "fast"])
@pytest.mark.parametrize("harm", [None, cut, lambda path, share, after: scramble(path, 0.5, 0.6, after)])
def test_chunks_of_a_video_make_up_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampling: Sampling, harm: Any
) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 90), b_frames=2, gop=5, faststart=True)
    if harm is not None:
        harm(path, 0.7, b"mdat")
    (whole,) = prepare(path, sampling=sampling)
    for name, most in (("FRAMES_PER_CHUNK", 1), ("FRAMES_PER_CHUNK", 2), ("CROPS_PER_CHUNK", 5)):
        with monkeypatch.context() as patch:
            patch.setattr(chunks_module, name, most)
            messages = messages_of(path, sampling)
        assert len(messages) >= len(whole.frames) // 3
        assert all(len(chunk.frames) <= 3 for chunk in messages if isinstance(chunk, FrameChunk))
        chunked = joined(messages)
        assert np.array_equal(chunked.crops, whole.crops)
        assert (chunked.frames, timeless(chunked)) == (whole.frames, timeless(whole))


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize(("name", "length"), [("a.mp4", 4.0), ("a.mkv", 4.0), ("a.webp", None)])
def test_chunks_come_by_time_too_and_state_the_duration_of_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, length: float | None
) -> None:
    if length is None:  # Says nowhere how long it is.
        path = make_moving(tmp_path / name, [40] * 100)
    else:
        path = make_video(tmp_path / name, steady(25, 100), tick=Fraction(1, 1000))
    monkeypatch.setattr(chunks_module, "SECONDS_PER_CHUNK", 0.0)
    *chunks, last = messages_of(path, Sampling(fps=5.0))
    assert isinstance(last, FileResult)
    assert len(chunks) == last.frames_sampled == 20
    assert [chunk.duration_s for chunk in chunks if isinstance(chunk, FrameChunk)] == [pytest.approx(length)] * 20


@pytest.mark.usefixtures("detector")
def test_chunks_of_an_attempt_that_was_given_up_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "a.mp4", [0, 1, 2, 3, 3.7, 4.1, 6.0])
    (whole,) = prepare(path, sampling=Sampling(fast=True))
    monkeypatch.setattr(chunks_module, "FRAMES_PER_CHUNK", 1)
    messages = messages_of(path, Sampling(fast=True))
    # Fast sampling had sent some before it found the video too sparse.
    assert {chunk.attempt for chunk in messages if isinstance(chunk, FrameChunk)} == {1, 2}
    assert joined(messages).frames == whole.frames


def test_a_video_that_fails_half_way_has_no_chunks_that_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: Stub
) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 75))
    detector.error = cv2.error("bad picture")
    detector.when = lambda picture: number_in(picture) >= 40
    monkeypatch.setattr(chunks_module, "FRAMES_PER_CHUNK", 2)
    messages = messages_of(path, Sampling(fps=5.0))
    assert len(messages) > 2
    file = joined(messages)
    assert (file.failed, file.frames, file.result.frames_sampled) == (True, (), 0)


@pytest.mark.usefixtures("detector")
def test_fast_falls_back_to_exact(tmp_path: Path) -> None:
    """Thinly and unevenly filled, the film has no frame near some due times."""
    path = make_video(tmp_path / "a.mp4", [0, 0.7, 1.5, 3.6, 3.7, 4.1, 6.0], b_frames=1)
    fast, exact = (prepare(path, sampling=Sampling(fast=fast))[0] for fast in (True, False))
    assert fast.frames == exact.frames
    assert [float(frame.time or 0) for frame in fast.frames] == [0.0, 1.5, 3.6, 4.1, 6.0]
    assert np.array_equal(fast.crops, exact.crops)


def test_a_real_face() -> None:
    (prepared,) = prepare(SAMPLES / "photos" / "astronaut.jpg")
    (face,) = prepared.frames[0].faces
    assert face.x < 224 < face.x + face.width
    assert prepared.crops.std() > 20


def test_a_picture_without_a_face_is_done() -> None:
    (prepared,) = prepare(SAMPLES / "photos" / "no_face.jpg")
    assert prepared.failure is None
    assert [len(frame.faces) for frame in prepared.frames] == [0]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3000, 2)])
def test_tiny_and_narrow_pictures_are_done(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size, 128).save(tmp_path / "a.png")
    (prepared,) = prepare(tmp_path / "a.png")
    assert prepared.failure is None
    assert (prepared.frames[0].width, prepared.frames[0].height) == size


BROKEN: dict[str, tuple[Callable[[Path], Path], Stage, Code]] = {
    "empty.jpg": (lambda path: write(path, b""), Stage.DISCOVER, Code.EMPTY_FILE),
    "notes.txt": (lambda path: write(path, b"hello"), Stage.DISCOVER, Code.NOT_MEDIA),
    "missing.jpg": (lambda path: path, Stage.DISCOVER, Code.UNREADABLE),
    "text.jpg": (lambda path: write(path, b"hello"), Stage.DECODE, Code.INVALID_DATA),
    "text.mp4": (lambda path: write(path, b"hello"), Stage.DECODE, Code.INVALID_DATA),
    "cut.jpg": (lambda path: cut(photo(path), 0.5), Stage.DECODE, Code.INVALID_DATA),
    "cut.webp": (lambda path: cut(make_moving(path, [100] * 5), 0.5), Stage.DECODE, Code.INVALID_DATA),
    "no_index.mp4": (lambda path: cut(make_video(path, steady(25, 9)), 0.5), Stage.DECODE, Code.INVALID_DATA),
    "sound.mp4": (make_audio, Stage.DECODE, Code.NO_VIDEO_STREAM),
    "no_frames.avi": (
        lambda path: make_video(path, [], codec="mpeg4", tick=Fraction(1, 25)),
        Stage.DECODE,
        Code.NO_FRAMES,
    ),
    "no_decoder.mp4": (
        lambda path: write(path, make_video(path, steady(25, 9)).read_bytes().replace(b"avc1", b"zzzz")),
        Stage.DECODE,
        Code.UNSUPPORTED,
    ),
    "large.png": (lambda path: make_big_png(path, 30000, 30000), Stage.DECODE, Code.TOO_LARGE),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_file_has_its_code(tmp_path: Path, name: str) -> None:
    make, stage, code = BROKEN[name]
    failure = failed(make(tmp_path / name))
    assert (failure.stage, failure.code) == (stage, code)


@pytest.mark.usefixtures("detector")
def test_one_broken_file_harms_no_other_in_its_task(tmp_path: Path) -> None:
    files: list[Path] = []
    for place, (name, (make, _, _)) in enumerate(BROKEN.items()):
        files += [make(tmp_path / name), photo(tmp_path / f"good{place}.png", place)]
    prepared = prepare(*files)
    assert [file.failed for file in prepared] == [True, False] * len(BROKEN)
    assert all(len(file.crops) == 2 for file in prepared[1::2])


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_a_file_that_has_changed_since_it_was_found(tmp_path: Path, name: str) -> None:
    path = photo(tmp_path / name) if name == "a.png" else make_video(tmp_path / name, steady(25, 9))
    media = found(path)
    for later in (replace(media, size_bytes=media.size_bytes - 1), replace(media, modified_ns=media.modified_ns - 1)):
        assert failed(later).code == Code.CHANGED
    os.utime(path, ns=(0, media.modified_ns + 1))
    assert failed(media).code == Code.CHANGED
    os.utime(path, ns=(0, media.modified_ns))
    assert prepare(media)[0].failure is None


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_a_file_that_has_gone_since_it_was_found(tmp_path: Path, name: str) -> None:
    media = found(photo(tmp_path / name) if name == "a.png" else make_video(tmp_path / name, steady(25, 9)))
    Path(media.file).unlink()
    failure = failed(media)
    assert (failure.stage, failure.code) == (Stage.DECODE, Code.CHANGED)


@pytest.mark.usefixtures("detector")
def test_the_limit_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = announce_jpeg_size(photo(tmp_path / "a.jpg"), 4000, 3000)
    monkeypatch.setattr(image_module, "MAX_PIXELS", 1_000_000)
    failure = failed(path)
    assert failure == Failure(
        Stage.DECODE, Code.TOO_LARGE, "a.jpg: 12 megapixels, more than the limit of 1; make it smaller"
    )


ERRORS: list[tuple[BaseException, Stage, Code]] = [
    (cv2.error("OpenCV(4)\nassertion failed"), Stage.DETECT, Code.DETECTOR_ERROR),
    (DetectorError("no memory for a layer"), Stage.DETECT, Code.DETECTOR_ERROR),
    (ValueError("odd\x1b[31m value\u202e\n"), Stage.WORK, Code.INTERNAL),
    (MemoryError(), Stage.WORK, Code.OUT_OF_MEMORY),
    (AssertionError(), Stage.WORK, Code.INTERNAL),
]


@pytest.mark.parametrize(("error", "stage", "code"), ERRORS, ids=[type(error).__name__ for error, _, _ in ERRORS])
@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_a_detector_that_fails(
    tmp_path: Path, detector: Stub, name: str, error: BaseException, stage: Stage, code: Code
) -> None:
    path = photo(tmp_path / name) if name == "a.png" else make_video(tmp_path / name, steady(25, 9))
    detector.error = error
    failure = failed(path)
    assert (failure.stage, failure.code) == (stage, code)


def test_a_detector_that_fails_on_one_file_goes_on_with_the_next(tmp_path: Path, detector: Stub) -> None:
    detector.error = cv2.error("bad picture")
    detector.when = lambda picture: number_in(picture) == 2
    prepared = prepare(*(photo(tmp_path / f"{number}.png", number) for number in range(4)))
    assert [file.failed for file in prepared] == [False, False, True, False]


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_detector_that_reports_nonsense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: float) -> None:
    nonsense = Stub()
    monkeypatch.setattr(nonsense, "detect", lambda picture, min_face: [Detection(odd, 0.0, 20.0, 20.0)])
    monkeypatch.setattr(module, "create_detector", lambda config: nonsense)
    assert failed(photo(tmp_path / "a.png")).code == Code.INTERNAL


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize(
    ("name", "shown"),
    [("two\nlines.jpg", "two lines.jpg"), ("\x1b[31mred.jpg", "\\x1b[31mred.jpg"), ("\u202egnp.jpg", "\\u202egnp.jpg")],
)
def test_messages_are_one_printable_line_whatever_the_name(tmp_path: Path, name: str, shown: str) -> None:
    media = found(write(tmp_path / name, b"hello"))
    (prepared,) = prepare(media)
    assert prepared.failure is not None
    assert prepared.failure.message == f"{shown}: not a picture, whatever its name says"


@pytest.mark.usefixtures("detector")
def test_a_damaged_film_keeps_what_could_be_read(tmp_path: Path) -> None:
    path = scramble(make_video(tmp_path / "a.mp4", steady(25, 75), faststart=True), 0.5, 0.6, after=b"mdat")
    (prepared,) = prepare(path, sampling=Sampling(fps=5.0))
    assert prepared.failure is not None
    assert not prepared.failed
    assert (prepared.failure.stage, prepared.failure.code) == (Stage.DECODE, Code.DAMAGED)
    assert 8 <= len(prepared.frames) <= 15
    assert prepared.frames[0].time == 0
    assert float(prepared.frames[-1].time or 0) > 2.7
    assert replace(prepared.info, digest=None) == MediaInfo(*SIZE, 3.0, "h264", stream_index=0)


@pytest.mark.usefixtures("detector")
def test_a_cut_film_keeps_what_it_holds(tmp_path: Path) -> None:
    path = cut(make_video(tmp_path / "a.mp4", steady(25, 75), faststart=True), 0.5, after=b"mdat")
    (prepared,) = prepare(path, sampling=Sampling(fps=5.0))
    assert prepared.failure is not None
    assert not prepared.failed
    assert prepared.failure.code == Code.TRUNCATED
    assert 5 <= len(prepared.frames) <= 10


def test_workers_are_made_from_what_can_be_sent(tmp_path: Path) -> None:
    settings = pickle.loads(pickle.dumps(Settings(Sampling(fps=2.0), DetectorConfig())))
    (prepared,) = whole_files(make_worker(settings)(Task((found(photo(tmp_path / "a.png")),))))
    assert prepared.failure is None


def test_an_empty_task_gives_nothing() -> None:
    assert prepare() == []
