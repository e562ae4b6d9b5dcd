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
from fer_batch.training.detector.photographs import Photograph, read_photographs, split


def picture(seed: int, shape: tuple[int, int] = (60, 80)) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    return cv2.imencode(".png", cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC))[1].tobytes()


def row(seed: int, source: str = "a/one", role: str = "face", **changes: Any) -> dict[str, Any]:
    values = {"boxes": [10.0, 12.0, 20.0, 24.0], "landmarks": [float(i) for i in range(10)], "scores": [0.9]}
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
    with pytest.raises(DatasetError, match="lacks the column boxes, image"):
        read_photographs(path)
    with pytest.raises(DatasetError, match="no such file"):
        read_photographs(tmp_path / "none.parquet")
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(DatasetError, match=r"expected a \.parquet"):
        read_photographs(tmp_path / "x.csv")


def test_whole_sources_and_copies_of_their_pictures_are_held_out(tmp_path: Path) -> None:
    rows = [row(1), row(2), row(3, "b/two"), row(4, "b/two"), row(2, "b/two")]
    training, held_out = split(read_photographs(parquet(tmp_path, *rows)), ["b/two"])
    assert [one.source for one in held_out] == ["b/two"] * 3
    assert [one.gray().tobytes() for one in training] == [decode(picture(1))]


def decode(encoded: bytes) -> bytes:
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE).tobytes()


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no photograph is from c/none; there are: a/one"):
        split(read_photographs(parquet(tmp_path, row(1))), ["c/none"])


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
