"""What is still found in what was written is blurred as well, and what is left in the end is counted."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_batch.preview import image
from fer_batch.preview.blur import VideoBlur
from fer_batch.preview.blur_check import MOST_DRAWINGS, BlurCheck, found_in_picture, found_in_video
from fer_batch.preview.image import write_blurred_jpeg
from fer_batch.preview.options import DrawOptions
from fer_batch.preview.samples import Samples
from fer_batch.preview.video import _Drawing, draw_video
from tests.helpers.clips import SAMPLES, make_video, steady


@pytest.fixture
def photo() -> np.ndarray:
    """A photograph of two people."""
    return np.asarray(Image.open(SAMPLES / "photos" / "two_people.png").convert("RGB"))[:, :, ::-1].copy()


def faces_in(picture: np.ndarray) -> int:
    check = BlurCheck()
    check.count(found_in_picture(picture))
    return check.faces


def test_faces_left_in_a_written_picture_are_blurred(photo: np.ndarray, tmp_path: Path) -> None:
    assert faces_in(photo) == 2
    check = write_blurred_jpeg(photo, tmp_path / "a.jpg")
    assert (check.pictures, check.faces) == (1, 0)
    written = np.asarray(Image.open(tmp_path / "a.jpg"))[:, :, ::-1].copy()
    assert faces_in(written) == 0


def test_faces_that_stay_are_counted(photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "blur", lambda picture, boxes: None)  # As if blurring did not help.
    check = write_blurred_jpeg(photo, tmp_path / "a.jpg")
    assert (check.pictures, check.faces) == (1, 2)
    assert str(check).startswith("2 faces in 1 blurred picture at the detector's threshold of 0.")
    assert check + check == BlurCheck(2, 4, 2 * check.possible)


@pytest.fixture
def clip(photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A still of the photograph, ten frames a second, in which the first search finds nothing."""
    monkeypatch.setattr(VideoBlur, "_searched_boxes", lambda self, frames: ((frame, []) for frame in frames))
    height, width = (side // 2 * 2 for side in photo.shape[:2])
    luma = np.asarray(Image.fromarray(photo[:height, :width, ::-1]).convert("L"))
    return make_video(tmp_path / "clip.mp4", steady(10, 12), shown=[luma] * 12, size=(width, height))


def times_drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets an item for each time that a video is drawn."""
    drawn: list[int] = []
    write = _Drawing.write
    monkeypatch.setattr(_Drawing, "write", lambda *arguments: (drawn.append(1), write(*arguments))[1])
    return drawn


def test_film_in_which_faces_are_found_is_drawn_again(
    clip: Path, tmp_path: Path, make_samples: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, target, seconds = times_drawn(monkeypatch), tmp_path / "drawn.mp4", []
    options = DrawOptions(start=0.15, blur=True)  # Between two frames: the film does not begin at 0.
    done = draw_video(str(clip), "clip", make_samples([], [0.0]), options, target, "", seconds.append)
    assert (done.check.pictures, done.check.faces) == (10, 0)
    assert len(drawn) == 2
    assert sum(seconds) == pytest.approx(0.95 / 2 + 0.9 / 2, abs=1e-3)  # However often it is drawn.
    found = list(found_in_video(target))
    assert [time for time, _ in found] == pytest.approx([Fraction(index, 10) for index in range(10)])
    check = BlurCheck()
    for _, faces in found:
        check.count(faces)
    assert check == done.check


def test_film_is_not_drawn_for_ever(
    clip: Path, tmp_path: Path, make_samples: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = times_drawn(monkeypatch)
    monkeypatch.setattr(VideoBlur, "hide_shown", lambda *_: None)  # As if blurring did not help.
    target = tmp_path / "drawn.mp4"
    done = draw_video(str(clip), "clip", make_samples([], [0.0]), DrawOptions(blur=True), target, "", lambda _: None)
    assert len(drawn) == MOST_DRAWINGS
    assert done.check.faces >= done.check.pictures == 12
