"""Photographs with boxed faces: the Parquet file to train from, and folders with boxes drawn by people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.errors import DatasetError
from fer_batch.media.image import read_image
from fer_batch.records import Frame, MediaError
from fer_batch.training.common.near_duplicates import has_copy

#: Labels from this score up count as faces; those below are neither faces nor background.
SURE = 0.6

_COLUMNS = {"source", "role", "image", "boxes", "landmarks", "scores"}
_THUMBNAIL = (48, 48)
_FIELDS = 4


@dataclass(frozen=True)
class Photograph:
    """A picture and its faces. `content`: an encoded picture, or the file that holds it. `boxes`: float32 (n, 4), x, y,
    width, height in its pixels; `landmarks`: float32 (n, 5, 2), NaN where unknown; `scores`: float32 (n,), how sure
    each label is, 0..1 (see `SURE`). `face_free`: it is said to hold no face."""

    name: str
    source: str
    content: bytes | Path
    face_free: bool
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]

    def gray(self) -> NDArray[np.uint8]:
        """The picture, uint8 (h, w). Raises DatasetError where it can't be read."""
        return self.frame(needs_colour=False).luma

    def frame(self, needs_colour: bool) -> Frame:
        """The picture as the stages take it. Raises DatasetError where it can't be read."""
        if isinstance(self.content, Path):
            try:
                return read_image(str(self.content), needs_colour)[1]
            except (MediaError, OSError) as error:
                raise DatasetError(f"{self.content}: not a picture that can be read ({error})") from error
        encoded = np.frombuffer(self.content, np.uint8)
        luma = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE) if len(encoded) else None
        if luma is None:
            raise DatasetError(f"{self.name}: not a picture that can be read; remove the row")
        bgr = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8) if needs_colour else None
        return Frame(np.asarray(luma, np.uint8), luma.shape[1], luma.shape[0], None, bgr)


def read_photographs(path: Path) -> list[Photograph]:
    """Read labelled photographs: a `.parquet` file as `train-detector` takes it, a WIDER FACE style `.txt` or a `.json`
    list, both with the pictures' paths relative to a folder `images` beside the file or to the file's own folder.

    The text holds, for each picture, its path, the number of faces, and a line per face that begins with x, y, width
    and height; of WIDER FACE's further fields, a 1 in `invalid` (the eighth) makes a face count neither way. The JSON
    is a list of objects with `image`, `boxes` (a list of [x, y, width, height]) and, if wanted, `ignore`, more such
    boxes that count neither way. Raises DatasetError with the place and the mend.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; give a .parquet, .txt or .json file")
    readers = {".parquet": _read_parquet, ".txt": _read_wider, ".json": _read_json}
    if path.suffix not in readers:
        raise DatasetError(f"{path}: expected a .parquet, .txt or .json file")
    photographs = readers[path.suffix](path)
    if not photographs:
        raise DatasetError(f"{path}: holds no photographs")
    return photographs


def split(photographs: Sequence[Photograph], sources: Sequence[str]) -> tuple[list[Photograph], list[Photograph]]:
    """Photographs to train on, and those of `sources` to validate on.

    Whole sources, because many show one person or scene in several pictures. What is to be trained on and is a copy of
    a picture to validate on (see `copies`) is left out. Raises DatasetError for a source there is none of.
    """
    known = {photograph.source for photograph in photographs}
    if missing := sorted(set(sources) - known):
        raise DatasetError(f"no photograph is from {', '.join(missing)}; there are: {', '.join(sorted(known))}")
    held = [photograph for photograph in photographs if photograph.source in sources]
    rest = [photograph for photograph in photographs if photograph.source not in sources]
    copied = has_copy(_thumbnails(rest), _thumbnails(held))
    return [photograph for photograph, copy in zip(rest, copied, strict=True) if not copy], held


def _thumbnails(photographs: Sequence[Photograph]) -> NDArray[np.uint8]:
    small = [cv2.resize(one.gray(), _THUMBNAIL, interpolation=cv2.INTER_AREA) for one in photographs]
    return np.array(small, np.uint8).reshape(-1, *_THUMBNAIL)


def _read_parquet(path: Path) -> list[Photograph]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())})") from error
    if missing := sorted(_COLUMNS - set(table.column_names)):
        raise DatasetError(f"{path}: lacks the column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    return [_from_row(row, f"{path}, row {number}") for number, row in enumerate(table.to_pylist())]


def _from_row(row: dict[str, Any], where: str) -> Photograph:
    if row["role"] not in ("face", "negative"):
        raise DatasetError(f"{where}: role is {row['role']!r}; it must be face or negative")
    try:
        scores = np.asarray(row["scores"], np.float32)
        boxes = np.asarray(row["boxes"], np.float32).reshape(len(scores), 4)
        landmarks = np.asarray(row["landmarks"], np.float32).reshape(len(scores), 5, 2)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{where}: 4 numbers a box and 10 a face's landmarks are due, a score each") from error
    photograph = Photograph(
        where, str(row["source"]), row["image"], row["role"] == "negative", boxes, landmarks, scores
    )
    # What a detector found where there is no face is no label.
    return _with_faces(photograph, np.zeros(len(scores), bool)) if photograph.face_free else photograph


def _with_faces(photograph: Photograph, kept: NDArray[np.bool_]) -> Photograph:
    boxes, landmarks, scores = photograph.boxes[kept], photograph.landmarks[kept], photograph.scores[kept]
    return replace(photograph, boxes=boxes, landmarks=landmarks, scores=scores)


def _read_wider(path: Path) -> list[Photograph]:
    lines = path.read_text(encoding="utf-8").splitlines()
    photographs, at = [], 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        name, where = lines[at].strip(), f"{path}, line {at + 1}"
        try:
            count = int(lines[at + 1])
            faces = [[float(field) for field in line.split()] for line in lines[at + 2 : at + 2 + count]]
            boxes = np.array([face[:_FIELDS] for face in faces], np.float32).reshape(count, _FIELDS)
        except (ValueError, IndexError) as error:
            raise DatasetError(f"{where}: a path, a count and that many lines of x y w h are due") from error
        at += 2 + count
        if count == 0 and at < len(lines) and not any(field != "0" for field in lines[at].split()):
            at += 1  # WIDER FACE writes one line of zeros where there is no face.
        invalid = [len(face) > 7 and face[7] == 1 for face in faces]
        photographs.append(_annotated(path, name, boxes, np.array(invalid, bool)))
    return photographs


def _read_json(path: Path) -> list[Photograph]:
    photographs = []
    try:
        for entry in json.loads(path.read_text(encoding="utf-8")):
            faces, ignored = entry["boxes"], entry.get("ignore", [])
            boxes = np.array([*faces, *ignored], np.float32).reshape(len(faces) + len(ignored), _FIELDS)
            invalid = np.arange(len(boxes)) >= len(faces)
            photographs.append(_annotated(path, str(entry["image"]), boxes, invalid))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f'{path}: a list of {{"image": ..., "boxes": [[x, y, w, h], ...]}} is due ({error})'
        raise DatasetError(message) from error
    return photographs


def _annotated(path: Path, name: str, boxes: NDArray[np.float32], invalid: NDArray[np.bool_]) -> Photograph:
    places = [path.parent / "images" / name, path.parent / name]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise DatasetError(f"{path}: {name} is neither beside it nor in its folder images")
    usable = (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
    scores = np.where(invalid, 0.0, 1.0).astype(np.float32)
    landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
    photograph = Photograph(name, path.name, file, not len(boxes), boxes, landmarks, scores)
    return _with_faces(photograph, usable)
