"""Labels of faces: what they say, and that any picture can have them."""

from __future__ import annotations

from math import nan
from unittest.mock import Mock

import numpy as np
import pytest

from fer_batch.preview import drawing
from fer_batch.preview.drawing import draw_faces
from fer_batch.preview.samples import DrawnFace

BOX = (0.4, 0.1, 0.05, 0.8)


def labels(monkeypatch: pytest.MonkeyPatch, face: DrawnFace) -> list[str]:
    """The lines of the label of a face whose direction is no arrow."""
    draw_text = Mock()
    monkeypatch.setattr(drawing, "draw_text", draw_text)
    draw_faces(np.zeros((360, 640, 3), np.uint8), [face], arrows=False)
    return [call.args[1] for call in draw_text.call_args_list]


@pytest.mark.parametrize(("height", "width"), [(40, 640), (10, 640), (1, 640), (640, 40), (640, 1)])
def test_faces_of_low_and_narrow_pictures_are_drawn(height: int, width: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    draw_faces(picture, [DrawnFace(1, BOX, (10.0, 0.0, 0.0), (("surprise", 0.5), ("fear", 0.3)))])
    assert picture.any()


def test_unknown_probabilities_are_left_out_of_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    face = DrawnFace(1, BOX, None, (("happy", 0.91), ("sad", nan)))
    assert labels(monkeypatch, face) == ["#1", "happy 91%"]


def test_face_of_which_nothing_is_known_has_a_box_without_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    assert labels(monkeypatch, DrawnFace(None, BOX, None, (("happy", nan), ("sad", nan)))) == []


def test_angles_that_round_to_zero_have_no_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    assert labels(monkeypatch, DrawnFace(None, BOX, (-0.3, -2.6, 0.0), ())) == ["yaw 0° pitch −3°"]
