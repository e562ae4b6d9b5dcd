"""Photographs with boxed faces: the Parquet file to train from, and folders with boxes drawn by people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
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

#: Labels from this score up count as faces; those below are neither faces nor background.
SURE = 0.6

_COLUMNS = {"source", "split", "role", "image", "boxes", "landmarks", "scores", "kinds"}
_ROLES = {"face", "negative", "unlabelled", "none_found"}
#: What a label counts as by its kind: a person drew it; the teacher was sure, and its own score stands; or neither face
#: nor background.
_PERSON, _IGNORED = 1.0, 0.3
_FIELDS = 4


@dataclass(frozen=True)
class Photograph:
    """A picture and its faces.

    Attributes:
        name: What messages call it.
        source: What belongs together.
        content: An encoded picture, or the file that holds it.
        face_free: It is known to hold no face.
        boxes: x, y, width, height in its pixels; float32 (n, 4).
        landmarks: Float32 (n, 5, 2), NaN where unknown.
        scores: How sure each label is, 0..1 (see `SURE`); float32 (n,).
        held_out: It must not be trained on.
        none_found: The teacher found no face in it; there may be one.
        drawn: Which labels people drew; bool (n,).
    """

    name: str
    source: str
    content: bytes | Path
    face_free: bool
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    held_out: bool = False
    none_found: bool = False
    drawn: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    @cached_property
    def face_weights(self) -> NDArray[np.float64] | None:
        """How often each face is chosen for a view, as cumulative shares, (n,); None without a sure face. Turned,
        tilted and covered faces, which are rarer, and those that only people saw, are chosen more often."""
        sure = self.scores >= SURE
        if not sure.any():
            return None
        weights = np.where(sure, _rarity(self.boxes, self.landmarks, self.scores), 0.0)
        return np.asarray(np.cumsum(weights) / weights.sum())

    @cached_property
    def rarity(self) -> float:
        """How rare its rarest kind of face is; 1 for ordinary ones and where there is none."""
        sure = self.scores >= SURE
        return float(_rarity(self.boxes, self.landmarks, self.scores)[sure].max(initial=1.0))

    def yuv(self) -> NDArray[np.uint8]:
        """The picture as full-range Y, U, V (BT.601), uint8 (h, w, 3); kept once it was decoded."""
        kept = self.__dict__.get("_yuv")
        if kept is None:
            bgr = self.frame(needs_colour=True).bgr
            assert bgr is not None
            kept = self.__dict__["_yuv"] = np.ascontiguousarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YCrCb)[..., [0, 2, 1]])
        return np.asarray(kept, np.uint8)

    def forget(self) -> None:
        """Let the picture that `yuv` kept go."""
        self.__dict__.pop("_yuv", None)

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


def _rarity(
    boxes: NDArray[np.float32], landmarks: NDArray[np.float32], scores: NDArray[np.float32]
) -> NDArray[np.float64]:
    """1 for faces that look at the camera; up to 4 for turned, tilted and covered ones; (n,)."""
    eyes = landmarks[:, 1] - landmarks[:, 0]
    across = np.linalg.norm(eyes, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        turn = np.abs((landmarks[:, 2] - landmarks[:, :2].mean(axis=1)) * eyes).sum(axis=1) / across**2
        narrow, tilt = across / boxes[:, 2], np.abs(np.degrees(np.arctan2(eyes[:, 1], eyes[:, 0])))
        rare = 1 + 2.0 * ((turn > 0.3) | (narrow < 0.28)) + 1.0 * (tilt > 20) + 0.5 * (scores < 0.8)
    return np.where(np.isfinite(landmarks).all(axis=(1, 2)), rare, 3.0)


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


def _read_parquet(path: Path) -> list[Photograph]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())})") from error
    if missing := sorted(_COLUMNS - set(table.column_names)):
        raise DatasetError(f"{path}: lacks the column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    return [_from_row(row, f"{path}, row {number}") for number, row in enumerate(table.to_pylist())]


def _from_row(row: dict[str, Any], where: str) -> Photograph:
    if row["role"] not in _ROLES:
        raise DatasetError(f"{where}: role is {row['role']!r}; it must be one of {', '.join(sorted(_ROLES))}")
    try:
        kinds = np.asarray(row["kinds"], object)
        scores = np.asarray(row["scores"], np.float32)
        scores = np.where(kinds == "person", _PERSON, np.where(kinds == "ignore", _IGNORED, scores)).astype(np.float32)
        boxes = np.asarray(row["boxes"], np.float32).reshape(len(scores), 4)
        landmarks = np.asarray(row["landmarks"], np.float32).reshape(len(scores), 5, 2)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{where}: 4 numbers a box and 10 a face's landmarks are due, a score each") from error
    photograph = Photograph(
        where,
        str(row["source"]),
        row["image"],
        row["role"] == "negative",
        boxes,
        landmarks,
        scores,
        row["split"] == "held_out",
        row["role"] == "none_found",
        np.asarray(kinds == "person", bool).reshape(len(scores)),
    )
    # What a detector found where there is no face is no label.
    return _with_faces(photograph, np.zeros(len(scores), bool)) if photograph.face_free else photograph


def _with_faces(photograph: Photograph, kept: NDArray[np.bool_]) -> Photograph:
    boxes, landmarks, scores = photograph.boxes[kept], photograph.landmarks[kept], photograph.scores[kept]
    return replace(photograph, boxes=boxes, landmarks=landmarks, scores=scores, drawn=photograph.drawn[kept])


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
    drawn = np.ones(len(boxes), bool)
    photograph = Photograph(name, path.name, file, not len(boxes), boxes, landmarks, scores, held_out=True, drawn=drawn)
    return _with_faces(photograph, usable)
