"""What counts as a cut."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_batch.media.cuts import CutDetector, is_cut
from fer_batch.media.frame import DecodedFrame
from fer_batch.media.video import open_video
from tests.helpers.clips import make_video, steady


def scene(number: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(100 + number).integers(0, 256, (5, 8), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (640, 360), interpolation=cv2.INTER_CUBIC), np.uint8)


def thumbnail(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return DecodedFrame(Fraction(0), Image.fromarray(luma)).thumbnail()


def test_what_is_a_cut_and_what_is_none() -> None:
    before = scene(0)
    rng = np.random.default_rng(0)
    darker = before // 2  # A lamp goes out.
    noisy = (before + rng.normal(0, 25, before.shape)).clip(0, 255).astype(np.uint8)
    panned = np.roll(before, 24, axis=1)
    someone = before.copy()
    someone[120:, 160:360] = 20  # Somebody steps before the camera.
    for after in (darker, noisy, panned, someone):
        assert not is_cut(thumbnail(before), thumbnail(after))
    assert is_cut(thumbnail(before), thumbnail(scene(1)))
    dark = [scene(number) // 5 for number in (2, 3)]  # A stage, then its audience: gray values of 0 to 50.
    assert is_cut(thumbnail(dark[0]), thumbnail(dark[1]))
    black = np.zeros((360, 640), np.uint8)
    assert not is_cut(thumbnail(black), thumbnail(black))


def test_scenes_are_counted_at_every_frame(tmp_path: Path) -> None:
    """Two seconds of each of three scenes, also where no sample lies near a cut."""
    shown = [scene(number) for number in (0, 1, 2) for _ in range(20)]
    path = make_video(tmp_path / "cuts.mp4", steady(10, 60), size=(640, 360), shown=shown)
    with open_video(str(path)) as reader:
        numbers = [each.scene for each in CutDetector()(reader.frames("DEFAULT", 0.0))]
    assert numbers == [0] * 20 + [1] * 20 + [2] * 20


def test_a_glimpse_is_too_small_to_show_a_face() -> None:
    assert thumbnail(np.zeros((1080, 1920), np.uint8)).shape == (9, 16)
