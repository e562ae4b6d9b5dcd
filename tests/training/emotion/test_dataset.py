"""Readers for labelled faces: what they read, and a DatasetError for everything they can't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS
from fer_batch.errors import DatasetError, UsageError
from fer_batch.training.emotion.dataset import FERPLUS_COLUMNS, Faces, read_faces

BLACK = " ".join(["0"] * 48 * 48)


def picture(gray: int = 7, size: tuple[int, int] = (48, 48), suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, np.full(size, gray, np.uint8))[1].tobytes()


def refusal(path: Path) -> str:
    """The one line that tells what is wrong; it names the place."""
    with pytest.raises(DatasetError) as caught:
        read_faces(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., Path]:
    """A fer2013.csv from lines of emotion, pixels, usage."""

    def write(*lines: str, header: str = "emotion,pixels,Usage") -> Path:
        (tmp_path / "fer2013.csv").write_text("\n".join([header, *lines, ""]))
        return tmp_path / "fer2013.csv"

    return write


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., Path]:
    """A Parquet file of one good row, with other values for some columns."""

    def write(**columns: Any) -> Path:
        values = {"usage": ["Training"], "emotion": [3], "image": [picture()]} | columns
        table = pa.table({name: column for name, column in values.items() if column is not None})
        pq.write_table(table, tmp_path / "faces.parquet")
        return tmp_path / "faces.parquet"

    return write


def test_an_error_of_the_data_is_an_error_of_usage() -> None:
    assert issubclass(DatasetError, UsageError)


def test_csv(csv: Callable[..., Path]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48))
    text = " ".join(map(str, pixels.ravel()))
    faces = read_faces(csv(f"0,{BLACK},Training", f'6,"{text}",PublicTest', f"3,{text},PrivateTest"))
    assert (faces.images.shape, faces.images.dtype) == ((3, 48, 48), np.uint8)
    np.testing.assert_array_equal(faces.images[1], pixels)
    assert faces.labels.tolist() == [0, 6, 3]
    assert faces.labels.dtype == np.int64
    assert faces.usages.tolist() == ["Training", "PublicTest", "PrivateTest"]
    assert faces.votes.shape == (3, 10)
    assert np.isnan(faces.votes).all()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"7,{BLACK},Training", "emotion is 7; labels must be 0 to 6"),
        (f"-1,{BLACK},Training", "emotion is -1; labels must be 0 to 6"),
        (f"happy,{BLACK},Training", "labels must be"),
        (f",{BLACK},Training", "labels must be"),
        (f"2.5,{BLACK},Training", "labels must be"),
        (f"0,{BLACK} 0,Training", "line 2: 2305 pixels where 2304 are due"),
        ("0,1 2 3,Training", "line 2: 3 pixels where 2304 are due"),
        ("0,,Training", "line 2"),
        (f"0,256{BLACK[1:]},Training", "line 2"),
        (f"0,-1{BLACK[1:]},Training", "line 2"),
        (f"0,x{BLACK[1:]},Training", "line 2"),
    ],
    ids=lambda value: value[:8],
)
def test_csv_that_is_refused(csv: Callable[..., Path], line: str, words: str) -> None:
    assert words in refusal(csv(line))


def test_csv_without_rows(csv: Callable[..., Path]) -> None:
    assert "holds no faces" in refusal(csv())


def test_csv_without_a_column(csv: Callable[..., Path]) -> None:
    message = refusal(csv(f"0,{BLACK}", header="emotion, pixels"))
    assert "lacks the column Usage, pixels" in message
    assert "it has emotion,  pixels" in message


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"\x00" * 10])
def test_a_file_that_is_no_csv_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    assert refusal(tmp_path / "a.csv")


def test_parquet(parquet: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 48, 48), dtype=np.uint8)
    votes = [list(range(10)), None]
    path = parquet(
        usage=["Training", "PublicTest"],
        emotion=[1, 5],
        image=[cv2.imencode(".png", image)[1].tobytes() for image in images],
        ferplus_votes=votes,
    )
    faces = read_faces(path)
    np.testing.assert_array_equal(faces.images, images)
    assert faces.labels.tolist() == [1, 5]
    assert faces.usages.tolist() == ["Training", "PublicTest"]
    np.testing.assert_array_equal(faces.votes, [list(range(10)), [np.nan] * 10])


def test_parquet_without_votes(parquet: Callable[..., Path]) -> None:
    assert np.isnan(read_faces(parquet()).votes).all()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"usage": None}, "lacks the column usage; it has emotion, image"),
        ({"emotion": None, "image": None}, "lacks the column emotion, image; it has usage"),
        ({"emotion": [7]}, "emotion is 7; labels must be 0 to 6"),
        ({"emotion": [-1]}, "emotion is -1; labels must be 0 to 6"),
        ({"emotion": ["happy"]}, "labels must be"),
        ({"emotion": [2.5]}, "labels must be"),
        ({"emotion": pa.array([None], pa.int64())}, "labels must be"),
        ({"image": [b"no picture"]}, "row 0: not a picture that can be read; remove it or replace it"),
        ({"image": [b""]}, "row 0: not a picture"),
        ({"image": pa.array([None], pa.binary())}, "row 0: not a picture"),
        ({"image": ["text"]}, "row 0: not a picture"),
        ({"image": [{"bytes": b"png"}]}, "row 0: not a picture"),
        ({"ferplus_votes": [[1, 2, 3]]}, "votes"),
        ({"ferplus_votes": [[3]]}, "votes"),
        (
            {
                "usage": pa.array([], pa.string()),
                "emotion": pa.array([], pa.int64()),
                "image": pa.array([], pa.binary()),
            },
            "holds no faces",
        ),
    ],
)
def test_parquet_that_is_refused(parquet: Callable[..., Path], columns: dict[str, Any], words: str) -> None:
    assert words in refusal(parquet(**columns))


@pytest.mark.parametrize("data", [b"", b"no Parquet file"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    assert refusal(tmp_path / "a.parquet")


@pytest.fixture
def folders(tmp_path: Path) -> Callable[..., Path]:
    """A directory of files from path = bytes."""

    def write(files: dict[str, bytes]) -> Path:
        for name, data in files.items():
            (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / name).write_bytes(data)
        return tmp_path / "data"

    return write


def test_folders(folders: Callable[..., Path]) -> None:
    path = folders(
        {
            "train/happy/b.png": picture(20),
            "train/happy/a.png": picture(10),
            "train/angry/a.jpg": picture(30, suffix=".jpg"),
            "test/neutral/a.png": picture(40, size=(96, 96)),
            "notes.txt": b"left alone",
        }
    )
    faces = read_faces(path)
    assert faces.images.shape == (4, 48, 48)
    assert faces.images[:, 0, 0].tolist() == [30, 10, 20, 40]
    assert [EMOTIONS[label] for label in faces.labels] == ["angry", "happy", "happy", "neutral"]
    assert faces.usages.tolist() == ["Training"] * 3 + ["PublicTest"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"train/joyful/a.png": picture()}, "train/joyful: not an emotion; the folders are named angry, disgust"),
        ({"train/Happy/a.png": picture()}, "train/Happy: not an emotion"),
        ({"train/happy/a.png": b"text"}, "train/happy/a.png: not a picture that can be read; remove it or replace it"),
        ({"train/happy/more/a.png": picture()}, "train/happy/more"),
        ({"happy/a.png": picture()}, "no pictures under train/<emotion>/ or test/<emotion>/"),
        ({"train/a.png": picture()}, "no pictures under train/<emotion>/ or test/<emotion>/"),
    ],
)
def test_folders_that_are_refused(folders: Callable[..., Path], files: dict[str, bytes], words: str) -> None:
    assert words in refusal(folders(files))


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such file or directory" in refusal(tmp_path / "gone.csv")


def test_an_unknown_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "faces.txt").touch()
    assert "expected a .parquet or .csv file, or a directory with train/ and test/" in refusal(tmp_path / "faces.txt")


@pytest.fixture
def faces(crops: NDArray[np.uint8]) -> Faces:
    usages = np.array(["Training"] * 8 + ["PublicTest"] * 3)
    return Faces(crops, np.arange(11) % 7, usages, np.full((11, 10), np.nan, np.float32))


def test_take_and_split(faces: Faces) -> None:
    assert len(faces) == 11
    assert len(faces.split("Training")) == 8
    public = faces.split("PublicTest")
    np.testing.assert_array_equal(public.images, faces.images[8:])
    assert public.labels.tolist() == [1, 2, 3]
    assert faces.take(np.array([3, 0])).labels.tolist() == [3, 0]


def test_a_missing_split_is_named_with_those_there_are(faces: Faces) -> None:
    with pytest.raises(DatasetError, match=r"^no rows of usage 'PrivateTest'; there are: PublicTest, Training$"):
        faces.split("PrivateTest")


def test_the_columns_of_ferplus() -> None:
    names = ["neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "not a face"]
    assert [names[column] for column in FERPLUS_COLUMNS] == list(EMOTIONS)


def test_the_two_forms_of_one_data_set_read_alike(csv: Callable[..., Path], parquet: Callable[..., Path]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    text = pd.Series(image.ravel()).astype(str).str.cat(sep=" ")
    first = read_faces(csv(f"3,{text},Training"))
    second = read_faces(parquet(image=[cv2.imencode(".png", image)[1].tobytes()]))
    np.testing.assert_array_equal(first.images, second.images)
    assert (first.labels.tolist(), first.usages.tolist()) == (second.labels.tolist(), second.usages.tolist())
