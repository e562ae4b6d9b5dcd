"""Readers for labelled 48x48 faces: our Parquet file, Kaggle's fer2013.csv, and folders of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.emotion.preprocessing import CROP_SIZE
from fer_batch.emotions import EMOTIONS
from fer_batch.errors import DatasetError

#: Folder names of the split folders, and the usage each stands for in FER2013's own words.
FOLDER_USAGES = {"train": "Training", "test": "PublicTest"}

#: FER+ counts votes in its own order; these are its columns in the order of `EMOTIONS`.
FERPLUS_COLUMNS = [4, 5, 6, 1, 3, 2, 0]


@dataclass(frozen=True)
class Faces:
    """Labelled faces.

    Attributes:
        images: uint8 (n, 48, 48).
        labels: Indices into `EMOTIONS`, int64 (n,).
        usages: FER2013's split names, str (n,).
        votes: FER+'s counts in FER+'s order, float32 (n, 10); NaN where a face has none.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    usages: NDArray[np.str_]
    votes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Faces:
        """The rows of a mask or an index array, in its order."""
        return Faces(self.images[rows], self.labels[rows], self.usages[rows], self.votes[rows])

    def split(self, usage: str) -> Faces:
        """The rows of one split. Raises DatasetError, naming the splits there are, if it is empty."""
        rows = self.usages == usage
        if not rows.any():
            raise DatasetError(f"no rows of usage {usage!r}; there are: {', '.join(sorted(set(self.usages)))}")
        return self.take(rows)


def read_faces(path: Path) -> Faces:
    """Read a data set: a directory of `train|test/<emotion>/*`, Kaggle's `.csv` or our `.parquet`.

    Raises:
        DatasetError: The data can't be read; the message names the place and what to do.
    """
    if path.is_dir():
        return _read_folders(path)
    if not path.exists():
        raise DatasetError(f"{path}: no such file or directory")
    if path.suffix == ".csv":
        return _read_csv(path)
    if path.suffix == ".parquet":
        return _read_parquet(path)
    raise DatasetError(f"{path}: expected a .parquet or .csv file, or a directory with train/ and test/")


def _labels(column: Sequence[Any], path: Path) -> NDArray[np.int64]:
    """Labels as whole numbers from 0 up. Raises DatasetError for anything else, or for none at all."""
    if len(column) == 0:
        raise DatasetError(f"{path}: holds no faces")
    for row, label in enumerate(column):
        if not isinstance(label, int | float | np.number) or label not in range(len(EMOTIONS)):
            what = f"{len(EMOTIONS) - 1}, in the order {', '.join(EMOTIONS)}"
            raise DatasetError(f"{path}, row {row}: emotion is {label!r}; labels must be 0 to {what}")
    return np.asarray(column, np.int64)


def _no_votes(n: int) -> NDArray[np.float32]:
    return np.full((n, 10), np.nan, np.float32)


def _decode(data: Any, where: str) -> NDArray[np.uint8]:
    usable = isinstance(data, bytes) and len(data) > 0
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if usable else None
    if image is None:
        raise DatasetError(f"{where}: not a picture that can be read; remove it or replace it")
    if image.shape != (CROP_SIZE, CROP_SIZE):
        image = cv2.resize(image, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8)


def _require_columns(found: list[str], needed: set[str], path: Path) -> None:
    missing = needed - set(found)
    if missing:
        raise DatasetError(f"{path}: lacks the column {', '.join(sorted(missing))}; it has {', '.join(found)}")


def _read_parquet(path: Path) -> Faces:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())})") from error
    _require_columns(table.column_names, {"usage", "emotion", "image"}, path)
    labels = _labels(table["emotion"].to_pylist(), path)
    images = [_decode(cell.as_py(), f"{path}, row {row}") for row, cell in enumerate(table["image"])]
    votes = _no_votes(table.num_rows)
    if "ferplus_votes" in table.column_names:
        for row, cell in enumerate(table["ferplus_votes"].to_pylist()):
            if cell is not None and len(cell) != votes.shape[1]:
                raise DatasetError(f"{path}, row {row}: {len(cell)} FER+ votes where {votes.shape[1]} are due")
            if cell is not None:
                votes[row] = cell
    return Faces(np.stack(images), labels, np.asarray(table["usage"].to_pylist()), votes)


def _read_csv(path: Path) -> Faces:
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:  # Of ValueError are a wrong encoding, an empty file and a broken table.
        raise DatasetError(f"{path}: cannot be read as CSV ({error})") from error
    _require_columns(list(frame.columns), {"emotion", "pixels", "Usage"}, path)
    labels = _labels(frame["emotion"].tolist(), path)
    images = [_pixels(text, f"{path}, line {row + 2}") for row, text in enumerate(frame["pixels"])]
    return Faces(np.stack(images), labels, frame["Usage"].to_numpy(str), _no_votes(len(labels)))


def _pixels(text: Any, where: str) -> NDArray[np.uint8]:
    """A face from its gray values, written out with spaces between."""
    values = str(text).split()
    if len(values) != CROP_SIZE * CROP_SIZE:
        raise DatasetError(f"{where}: {len(values)} pixels where {CROP_SIZE**2} are due")
    try:
        return np.array([int(value) for value in values], np.uint8).reshape(CROP_SIZE, CROP_SIZE)
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{where}: pixels must be whole numbers from 0 to 255 ({error})") from error


def _read_folders(path: Path) -> Faces:
    images, labels, usages = [], [], []
    for folder, usage in FOLDER_USAGES.items():
        for emotion_dir in sorted((path / folder).glob("*/")):
            if emotion_dir.name not in EMOTIONS:
                raise DatasetError(f"{emotion_dir}: not an emotion; the folders are named {', '.join(EMOTIONS)}")
            for file in sorted(emotion_dir.iterdir()):
                if not file.is_file():
                    raise DatasetError(f"{file}: is no file; pictures lie directly in the emotion's folder")
                images.append(_decode(file.read_bytes(), str(file)))
                labels.append(EMOTIONS.index(emotion_dir.name))
                usages.append(usage)
    if not images:
        raise DatasetError(f"{path}: no pictures under train/<emotion>/ or test/<emotion>/")
    return Faces(np.stack(images), np.asarray(labels, np.int64), np.asarray(usages), _no_votes(len(labels)))
