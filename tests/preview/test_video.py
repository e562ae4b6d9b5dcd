"""One video or image drawn: which frames, what is in them, where boxes end."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_batch.media.video import open_video
from fer_batch.preview.drawing import track_colour
from fer_batch.preview.image import draw_image
from fer_batch.preview.options import DrawOptions
from fer_batch.preview.samples import Samples
from fer_batch.preview.video import draw_video
from fer_batch.records import MediaError
from tests.helpers.clips import cut, make_moving, make_turned, make_video, steady

BOX = (20.0, 10.0, 40.0, 30.0)
SIZE = (320, 240)


def draw(source: Path, samples: Samples, options: DrawOptions | None = None) -> tuple[list[float], list[np.ndarray]]:
    """The times and pictures of a drawn video."""
    target = source.with_name(f"{source.name}.drawn")
    draw_video(str(source), source.name, samples, options or DrawOptions(), target, "", lambda _: None)
    with open_video(str(target)) as reader:
        shown = [(float(picture.time), picture.bgr(10_000)) for picture in reader.frames()]
    return [time for time, _ in shown], [picture for _, picture in shown]


def has_box(
    picture: np.ndarray, box: tuple[float, float, float, float] = BOX, size: tuple[int, int] = (100, 50)
) -> bool:
    """Whether most of a box's left edge has the colour of track 0. `size`: of the frame that `box` is in pixels of."""
    scale_x, scale_y = SIZE[0] / size[0], SIZE[1] / size[1]
    x, top, bottom = round(box[0] * scale_x), round(box[1] * scale_y), round((box[1] + box[3]) * scale_y)
    edge = picture[top + 4 : bottom - 4, x - 1 : x + 2].astype(int)
    near = np.abs(edge - np.array(track_colour(0))).sum(axis=2).min(axis=1) < 150
    return bool(near.mean() > 0.35)  # Half of a dashed line.


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three seconds of a gray picture, ten frames a second."""
    gray = [np.full(SIZE[::-1], 128, np.uint8)] * 30
    return make_video(tmp_path / "clip.mp4", steady(10, 30), shown=gray, size=SIZE)


def test_box_is_drawn_from_the_first_sample_to_shortly_after_the_last(
    clip: Path, make_samples: Callable[..., Samples]
) -> None:
    samples = make_samples([(1.0, 0, BOX), (2.0, 0, BOX)], [0.0, 1.0, 2.0, 2.9])
    times, pictures = draw(clip, samples)
    assert times == pytest.approx([index / 10 for index in range(30)], abs=1e-4)
    with_box = [time for time, picture in zip(times, pictures, strict=True) if has_box(picture)]
    assert with_box == pytest.approx([index / 10 for index in range(10, 23)], abs=1e-4)


def test_box_is_not_held_over_a_cut(tmp_path: Path, make_samples: Callable[..., Samples]) -> None:
    rng = np.random.default_rng(0)
    before, after = (np.kron(rng.integers(0, 2, (6, 8)), np.full((40, 40), 200)).astype(np.uint8) for _ in range(2))
    clip = make_video(tmp_path / "cut.mp4", steady(10, 20), shown=[before] * 11 + [after] * 9, size=SIZE)
    samples = make_samples([(0.0, 0, BOX), (1.0, 0, BOX)], [0.0, 1.0, 2.0])
    _, pictures = draw(clip, samples)
    assert has_box(pictures[10])
    assert not has_box(pictures[11])  # It would be held for two frames more.


def test_box_is_solid_where_sampled_and_dashed_between(clip: Path, make_samples: Callable[..., Samples]) -> None:
    _, pictures = draw(clip, make_samples([(1.0, 0, BOX), (2.0, 0, BOX)], [1.0, 2.0]))

    def covered(picture: np.ndarray) -> float:
        edge = picture[60:180, 63:66].astype(int)
        return float((np.abs(edge - np.array(track_colour(0))).sum(axis=2).min(axis=1) < 150).mean())

    assert covered(pictures[10]) > 0.9
    assert 0.3 < covered(pictures[15]) < 0.7


def test_range_begins_at_its_start_and_ends_before_its_end(clip: Path, make_samples: Callable[..., Samples]) -> None:
    samples = make_samples([(1.0, 0, BOX), (2.0, 0, BOX)], [0.0, 1.0, 2.0])
    times, pictures = draw(clip, samples, DrawOptions(start=0.8, end=1.5))
    assert times == pytest.approx([index / 10 for index in range(7)], abs=1e-4)
    assert [has_box(picture) for picture in pictures] == [False] * 2 + [True] * 5


def test_fewer_frames_on_request_but_every_sampled_one(clip: Path, make_samples: Callable[..., Samples]) -> None:
    samples = make_samples([(1.3, 0, BOX)], [0.0, 1.3, 2.0])
    times, _ = draw(clip, samples, DrawOptions(fps=2))
    assert times == pytest.approx([0, 0.5, 1.0, 1.3, 1.5, 2.0, 2.5], abs=1e-4)


def test_variable_times_are_kept(tmp_path: Path, make_samples: Callable[..., Samples]) -> None:
    times = [Fraction(0), Fraction(1, 25), Fraction(2), Fraction(21, 10)]
    clip = make_video(tmp_path / "clip.mp4", times)
    assert draw(clip, make_samples([], [0.0]))[0] == pytest.approx([float(time) for time in times], abs=1e-3)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_turned_video_is_drawn_upright(tmp_path: Path, rotation: int, make_samples: Callable[..., Samples]) -> None:
    half = np.zeros((240, 320) if rotation % 180 == 0 else (320, 240), np.uint8)
    half[: len(half) // 2] = 220
    clip = make_video(tmp_path / "clip.mp4", steady(10, 3), shown=[half] * 3, size=SIZE, rotation=rotation)
    _, pictures = draw(clip, make_samples([], [0.0]))
    height = round(len(half) * pictures[0].shape[1] / half.shape[1])
    upper, lower = (pictures[0][row].mean() for row in (height // 4, height * 3 // 4))
    assert upper > 180
    assert lower < 40


def test_small_picture_is_enlarged_so_that_text_can_be_read(
    tmp_path: Path, make_samples: Callable[..., Samples]
) -> None:
    _, pictures = draw(make_moving(tmp_path / "small.gif", [100, 100]), make_samples([], [0.0]))
    assert pictures[0].shape[1] == 320


def test_video_of_one_column_is_drawn_two_columns_wide(tmp_path: Path, make_samples: Callable[..., Samples]) -> None:
    column = np.full((4000, 1), 100, np.uint8)
    clip = make_video(
        tmp_path / "column.mkv", steady(1, 2), shown=[column] * 2, size=(1, 4000), codec="rawvideo", pixel_format="gray"
    )
    _, pictures = draw(clip, make_samples([], [0.0]))
    assert pictures[0].shape[1] == 2


@pytest.mark.parametrize(("options", "length"), [(DrawOptions(), 4), (DrawOptions(end=3.0), 3)])
def test_last_picture_of_slides_is_shown_as_long_as_the_source_says(
    tmp_path: Path, options: DrawOptions, length: float, make_samples: Callable[..., Samples]
) -> None:
    target = tmp_path / "drawn.mp4"
    slides = make_moving(tmp_path / "slides.gif", [2000, 2000])
    draw_video(str(slides), "slides", make_samples([], [0.0]), options, target, "", lambda _: None)
    with open_video(str(target)) as reader:
        assert reader.info(None).duration_s == pytest.approx(length, abs=1e-3)


def test_damaged_video_is_drawn_as_far_as_it_goes(tmp_path: Path, make_samples: Callable[..., Samples]) -> None:
    clip = cut(make_video(tmp_path / "clip.mkv", steady(10, 100)), 0.5)
    target = tmp_path / "drawn.mp4"
    drawn = draw_video(str(clip), "clip", make_samples([], [0.0]), DrawOptions(), target, "", lambda _: None)
    assert drawn.lost is not None
    with open_video(str(target)) as reader:
        assert 10 < sum(1 for _ in reader.frames()) < 100


def test_video_without_frames_in_range_raises(clip: Path, make_samples: Callable[..., Samples]) -> None:
    with pytest.raises(MediaError, match=r"^it ends at \d+\.\d s, before --start 100$"):
        draw(clip, make_samples([], [0.0]), DrawOptions(start=100.0))


def test_range_without_a_picture_is_told_as_such(tmp_path: Path, make_samples: Callable[..., Samples]) -> None:
    clip = make_video(tmp_path / "clip.mp4", [Fraction(0), Fraction(3), Fraction(4)])
    with pytest.raises(MediaError, match=r"^it has no picture from --start 1 to --end 2$"):
        draw(clip, make_samples([], [0.0]), DrawOptions(start=1.0, end=2.0))


def test_video_without_samples_is_drawn(clip: Path, make_samples: Callable[..., Samples]) -> None:
    assert len(draw(clip, make_samples([], []))[1]) == 30


def test_image_is_drawn_upright_without_its_metadata(tmp_path: Path, make_samples: Callable[..., Samples]) -> None:
    source = make_turned(tmp_path / "a.jpg", 6)
    target = tmp_path / "drawn.jpg"
    draw_image(str(source), "a.jpg", make_samples([(0.0, None, BOX)], [0.0]), DrawOptions(), target, "made of this")
    with Image.open(target) as image:
        assert not image.getexif()
        assert image.info["comment"] == b"made of this"
        assert image.width == 320
        assert image.height > 240  # A strip lies below.
        assert has_box(np.asarray(image)[:, :, ::-1])
