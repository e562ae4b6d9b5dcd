"""Reading photographs with boxed faces, and holding sources out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_batch.errors import DatasetError
from fer_batch.training.detector.photographs import SURE, Photograph, read_photographs


def picture(seed: int, shape: tuple[int, int] = (60, 80)) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    return cv2.imencode(".png", cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC))[1].tobytes()


def row(seed: int, source: str = "a/one", role: str = "face", **changes: Any) -> dict[str, Any]:
    values = {"boxes": [10.0, 12.0, 20.0, 24.0], "landmarks": [float(i) for i in range(10)], "scores": [0.9]}
    values |= {"kinds": ["teacher"], "split": "train"}
    return {"source": source, "role": role, "width": 80, "height": 60, "image": picture(seed), **values, **changes}


def parquet(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "faces.parquet"
    pd.DataFrame(list(rows)).to_parquet(path)
    return path


def test_reads_pictures_boxes_landmarks_and_scores(tmp_path: Path) -> None:
    (one,) = read_photographs(parquet(tmp_path, row(1)))
    assert one.gray().shape == (60, 80)
    assert one.boxes.tolist() == [[10, 12, 20, 24]]
    assert one.landmarks.reshape(-1).tolist() == list(range(10))
    assert one.scores.tolist() == pytest.approx([0.9])
    assert not one.face_free


def test_what_a_detector_found_where_no_face_is_counts_for_nothing(tmp_path: Path) -> None:
    (one,) = read_photographs(parquet(tmp_path, row(1, role="negative")))
    assert one.face_free
    assert len(one.boxes) == len(one.landmarks) == len(one.scores) == 0


def test_colour_where_a_detector_needs_it(tmp_path: Path) -> None:
    (one,) = read_photographs(parquet(tmp_path, row(1)))
    bgr = one.frame(needs_colour=True).bgr
    assert bgr is not None
    assert (bgr == one.gray()[..., None]).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"role": "dog"}, "row 0: role is 'dog'"),
        ({"scores": [0.9, 0.8]}, "row 0: 4 numbers a box"),
        ({"landmarks": [1.0]}, "row 0: 4 numbers a box"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        read_photographs(parquet(tmp_path, {**row(1), **changes}))


def test_a_picture_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (one,) = read_photographs(parquet(tmp_path, row(1, image=b"no picture")))
    with pytest.raises(DatasetError, match=r"row 0: not a picture"):
        one.gray()


def test_missing_columns_and_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pd.DataFrame({"source": ["a"]}).to_parquet(path)
    with pytest.raises(DatasetError, match="lacks the column boxes, image, kinds"):
        read_photographs(path)
    with pytest.raises(DatasetError, match="no such file"):
        read_photographs(tmp_path / "none.parquet")
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(DatasetError, match=r"expected a \.parquet"):
        read_photographs(tmp_path / "x.csv")


def test_kinds_decide_what_a_label_counts_as(tmp_path: Path) -> None:
    three = {"boxes": [1.0, 2.0, 20.0, 24.0] * 3, "landmarks": [float("nan")] * 30, "scores": [-1.0, 0.75, 0.5]}
    (one,) = read_photographs(parquet(tmp_path, row(1, **three, kinds=["person", "teacher", "ignore"])))
    assert (one.scores >= SURE).tolist() == [True, True, False]
    assert one.drawn.tolist() == [True, False, False]


def test_split_and_role_are_kept(tmp_path: Path) -> None:
    rows = [row(1), row(2, split="held_out"), row(3, role="none_found", split="held_out"), row(4, role="unlabelled")]
    photographs = read_photographs(parquet(tmp_path, *rows))
    assert [photograph.held_out for photograph in photographs] == [False, True, True, False]
    assert [photograph.none_found for photograph in photographs] == [False, False, True, False]


def test_turned_and_unknown_faces_are_chosen_more_often(tmp_path: Path) -> None:
    ahead = [14, 20, 26, 20, 20, 24, 16, 30, 24, 30]
    aside = [14, 20, 18, 20, 22, 24, 15, 30, 19, 30]
    labels = {"boxes": [10.0, 12.0, 20.0, 24.0] * 3, "landmarks": [*ahead, *aside, *[float("nan")] * 10]}
    (one,) = read_photographs(parquet(tmp_path, row(1, **labels, scores=[0.9, 0.9, -1.0], kinds=["person"] * 3)))
    assert one.face_weights is not None
    shares = np.diff(one.face_weights, prepend=0)
    assert shares == pytest.approx([1 / 7, 3 / 7, 3 / 7])
    assert one.rarity == 3


def test_the_picture_in_yuv(tmp_path: Path) -> None:
    (one,) = read_photographs(parquet(tmp_path, row(1)))
    assert one.yuv().shape == (60, 80, 3)
    np.testing.assert_allclose(one.yuv()[..., 0].astype(int), one.gray(), atol=1)
    assert (one.yuv()[..., 1:] == 128).all()  # A gray picture.


WIDER = """0--Parade/one.png
2
10 12 20 24 0 0 0 0 0 0
40 12 10 14 2 0 0 1 0 0
two.png
0
0 0 0 0 0 0 0 0 0 0
three.png
1
5 5 0 9
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "0--Parade").mkdir(parents=True)
    (tmp_path / "images" / "0--Parade" / "one.png").write_bytes(picture(1))
    for name in ("two.png", "three.png"):
        (tmp_path / name).write_bytes(picture(2))
    return tmp_path


def check(photographs: list[Photograph]) -> None:
    one, two = photographs[:2]
    assert one.boxes.tolist() == [[10, 12, 20, 24], [40, 12, 10, 14]]
    assert one.scores.tolist() == [1, 0]
    assert np.isnan(one.landmarks).all()
    assert one.gray().shape == (60, 80)
    assert (one.face_free, two.face_free) == (False, True)


def test_reads_wider_face(folder: Path) -> None:
    (folder / "boxes.txt").write_text(WIDER)
    photographs = read_photographs(folder / "boxes.txt")
    check(photographs)
    assert len(photographs[2].boxes) == 0  # A box without a width holds no face to find.


def test_reads_json(folder: Path) -> None:
    first = {"image": "0--Parade/one.png", "boxes": [[10, 12, 20, 24]], "ignore": [[40, 12, 10, 14]]}
    (folder / "boxes.json").write_text(json.dumps([first, {"image": "two.png", "boxes": []}]))
    check(read_photographs(folder / "boxes.json"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("boxes.txt", "two.png\nmany\n", r"line 1: a path, a count"),
        ("boxes.txt", "two.png\n2\n1 2 3 4\n", r"line 1: a path, a count"),
        ("boxes.txt", "none.png\n0\n", "none.png is neither beside it"),
        ("boxes.json", '[{"boxes": []}]', r"boxes.json: a list of"),
        ("boxes.json", "{", r"boxes.json: a list of"),
        ("boxes.json", "[]", "holds no photographs"),
    ],
)
def test_bad_annotations_are_named(folder: Path, name: str, text: str, words: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(DatasetError, match=words):
        read_photographs(folder / name)
