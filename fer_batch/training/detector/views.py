"""Views of photographs to learn from: cropped, scaled, tilted, mirrored and tiled, with their faces; then degraded."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.training.detector.photographs import SURE, Photograph

#: The landmarks of a mirrored face, in order: left and right change places.
_MIRRORED = [1, 0, 2, 4, 3]
#: Share of views moved so that the photograph fills them as far as it can: empty rims teach little.
_FILLED = 0.85
#: Photographs of the largest mosaic.
MOST_TILES = 9
#: A photograph's longest side in a view is at least this share of the view's: empty rims teach little.
_SMALLEST_PICTURE = 0.45
#: Faces smaller than this in the view, pixels, or visible by less than this share, are neither faces nor background.
_SMALLEST, _MIN_VISIBLE = 6.0, 0.35


@dataclass(frozen=True)
class Views:
    """How views are drawn.

    Attributes:
        tilt: Degrees either way.
        scales: Of a stored photograph, log-uniform, for views without a chosen face.
        sizes: Of the face that sets the scale, log-uniform: pixels at least, and a share of the side at most.
        enlarged: The most a photograph is enlarged.
        tilted: Share of views that are tilted.
        anchored: Share of views whose scale a face sets.
        mosaic: Share of views made of four.
        occlusion: Share of faces partly covered.
        gray: Share of views without colour.
        colour: Share of views with other colours.
        light: Share of views with another contrast and brightness.
        limited_range: Share of views in the levels of video.
        blur: Share of blurred views.
        coarse: Share of views enlarged from fewer pixels.
        noise: Share of noisy views.
        compression: Share of views compressed with loss.
    """

    tilt: float = 35.0
    scales: tuple[float, float] = (0.4, 1.6)
    sizes: tuple[float, float] = (8.0, 1.1)
    enlarged: float = 5.0
    tilted: float = 0.3
    anchored: float = 0.7
    mosaic: float = 0.3
    occlusion: float = 0.12
    gray: float = 0.12
    colour: float = 0.5
    light: float = 0.5
    limited_range: float = 0.3
    blur: float = 0.12
    coarse: float = 0.1
    noise: float = 0.15
    compression: float = 0.25


@dataclass(frozen=True)
class View:
    """A part of a photograph, or of several.

    Attributes:
        picture: Y, U, V; uint8 (side, side, 3).
        boxes: x, y, width, height in its pixels, of what is seen of each face; float32 (n, 4).
        landmarks: Float32 (n, 5, 2), NaN where unknown.
        sure: Faces to learn; the others are neither faces nor background; bool (n,).
    """

    picture: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    sure: NDArray[np.bool_]


def draw_view(photographs: list[Photograph], views: Views, side: int, rng: np.random.Generator) -> View:
    """A view, `side` pixels wide, of the first photograph or, now and then, a mosaic of the first four or all nine of
    those given (`MOST_TILES`); degraded."""
    if rng.random() >= views.mosaic:
        return _degraded(_single_view(photographs[0], views, side, rng), views, rng)
    across = 2 if rng.random() < 0.7 else 3
    tile = side // across
    picture = np.full((side, side, 3), 128, np.uint8)
    parts = []
    for number, photograph in enumerate(photographs[: across**2]):
        part, corner = _single_view(photograph, views, tile, rng), np.array(divmod(number, across)) * tile
        picture[corner[0] : corner[0] + tile, corner[1] : corner[1] + tile] = part.picture
        parts.append((part, corner[::-1].astype(np.float32)))
    view = View(
        picture,
        np.concatenate([part.boxes + np.concatenate([corner, (0, 0)]).astype(np.float32) for part, corner in parts]),
        np.concatenate([part.landmarks + corner for part, corner in parts]),
        np.concatenate([part.sure for part, _ in parts]),
    )
    return _degraded(view, views, rng)


def _single_view(photograph: Photograph, views: Views, side: int, rng: np.random.Generator) -> View:
    picture = photograph.yuv()
    height, width = picture.shape[:2]
    smallest = 0.8 * side / max(width, height)
    scale = max(smallest, np.exp(rng.uniform(*np.log(views.scales))))
    focus = rng.random(2) * (width, height)
    place = np.full(2, side / 2) + rng.uniform(-0.25, 0.25, 2) * side
    if photograph.face_weights is not None and rng.random() < 0.85:
        face = int(np.searchsorted(photograph.face_weights, rng.random()))
        x, y, box_width, box_height = photograph.boxes[face]
        focus, place = np.array((x + box_width / 2, y + box_height / 2)), rng.uniform(0.1, 0.9, 2) * side
        if rng.random() < views.anchored:
            size = np.exp(rng.uniform(np.log(views.sizes[0]), np.log(views.sizes[1] * side)))
            smallest = _SMALLEST_PICTURE * side / max(width, height)
            scale = np.clip(size / np.sqrt(box_width * box_height), smallest, max(smallest, views.enlarged))
            place = np.clip(place, min(size, side) / 2, side - min(size, side) / 2)
    angle = np.deg2rad(rng.uniform(-views.tilt, views.tilt)) if rng.random() < views.tilted else 0.0
    mirror = rng.random() < 0.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag((-1.0 if mirror else 1.0, 1.0)) * scale
    affine = np.column_stack([linear, place - linear @ focus])
    if rng.random() < _FILLED:
        affine[:, 2] += _filling_shift(affine, width, height, side)
    return _labelled(photograph, _warped(picture, affine, scale, side, rng), affine, scale, angle, mirror)


def _filling_shift(affine: NDArray[np.float64], width: int, height: int, side: int) -> NDArray[np.float64]:
    """How far to move a view so that the photograph's upright bounding box covers it or else lies inside."""
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)]) @ affine[:, :2].T + affine[:, 2]
    low, high = corners.min(axis=0), corners.max(axis=0)
    ends = np.sort(np.stack([-low, side - high]), axis=0)
    return np.asarray(np.clip(np.zeros(2), *ends))


def _warped(
    picture: NDArray[np.uint8], affine: NDArray[np.float64], scale: float, side: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The view itself. Averages where it reduces, as the search for faces does."""
    height, width = picture.shape[:2]
    if scale < 0.9:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        reduced = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        affine = affine @ np.diag((width / size[0], height / size[1], 1.0))
        picture = np.asarray(reduced, np.uint8)
    # Points count from the corner of the picture, OpenCV from the centre of the first pixel.
    centred = affine.copy()
    centred[:, 2] += affine[:, :2] @ (0.5, 0.5) - 0.5
    fill = (int(rng.integers(0, 256)), 128, 128)
    border = cv2.BORDER_CONSTANT if rng.random() < 0.7 else cv2.BORDER_REPLICATE
    warped = cv2.warpAffine(picture, centred, (side, side), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=fill)
    return np.asarray(warped, np.uint8)


def _labelled(
    photograph: Photograph,
    picture: NDArray[np.uint8],
    affine: NDArray[np.float64],
    scale: float,
    angle: float,
    mirror: bool,
) -> View:
    side = len(picture)
    sizes = photograph.boxes[:, 2:] * scale
    centres = (photograph.boxes[:, :2] + photograph.boxes[:, 2:] / 2) @ affine[:, :2].T + affine[:, 2]
    # The upright box around a turned ellipse: a face fills its box about as an ellipse does.
    squares = np.array([[np.cos(angle) ** 2, np.sin(angle) ** 2], [np.sin(angle) ** 2, np.cos(angle) ** 2]])
    sizes = np.sqrt(sizes**2 @ squares)
    low, high = centres - sizes / 2, centres + sizes / 2
    inside = np.clip(np.minimum(high, side) - np.maximum(low, 0), 0, None)
    visible = inside.prod(axis=1) / np.maximum(sizes.prod(axis=1), 1e-6)
    kept = visible > 0.02
    sure = (photograph.scores >= SURE) & (visible >= _MIN_VISIBLE) & (np.sqrt(sizes.prod(axis=1)) >= _SMALLEST)
    low, high = np.clip(low, 0, side), np.clip(high, 0, side)  # What is seen of a face is its box, as labels have it.
    landmarks = photograph.landmarks @ affine[:, :2].T + affine[:, 2]
    landmarks = landmarks[:, _MIRRORED] if mirror else landmarks
    boxes = np.concatenate([low, high - low], axis=1)[kept].astype(np.float32)
    return View(picture, boxes, landmarks[kept].astype(np.float32), sure[kept])


def _degraded(view: View, views: Views, rng: np.random.Generator) -> View:
    """The view as cameras, codecs, hands and light might leave it."""
    picture = view.picture
    for box in view.boxes[view.sure]:
        if rng.random() < views.occlusion:
            _cover(picture, box, rng)
    side = len(picture)
    if rng.random() < views.coarse:
        less = round(side * rng.uniform(0.4, 0.8))
        small = cv2.resize(picture, (less, less), interpolation=cv2.INTER_AREA)
        picture = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < views.blur:
        picture = _blurred(picture, rng)
    tables = [np.arange(256.0)] * 3
    if rng.random() < views.light:
        tables[0] = _light(rng)
    if rng.random() < views.gray:
        tables[1:] = [np.full(256, 128.0)] * 2
    elif rng.random() < views.colour:
        tables[1:] = [128 + (tables[1] - 128) * rng.uniform(0.4, 1.5) + rng.normal(0, 6) for _ in range(2)]
    if rng.random() < views.limited_range:
        tables = [16 + tables[0] * (219 / 255), *(128 + (table - 128) * (224 / 255) for table in tables[1:])]
    levels = np.clip(np.round(np.stack(tables, axis=-1)), 0, 255).astype(np.uint8)
    picture = np.asarray(cv2.LUT(picture, levels[:, None]), np.uint8)
    if rng.random() < views.noise:
        picture = _noisy(picture, rng)
    if rng.random() < views.compression:
        picture = _compressed(picture, rng)
    return View(picture, view.boxes, view.landmarks, view.sure)


def _cover(picture: NDArray[np.uint8], box: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Cover a strip of up to half a box from one side, as masks, hands, caps and hair do, or a small spot."""
    x, y, width, height = box
    share, horizontal, far = rng.uniform(0.15, 0.5), rng.random() < 0.7, rng.random() < 0.6
    part = np.array((width, height * share) if horizontal else (width * share, height))
    start = np.array((x, y)) + (np.array((width, height)) - part) * (far or rng.random())
    left, top = np.maximum(start, 0).astype(int)
    right, bottom = np.maximum(start + part, 0).astype(int)
    patch = picture[top:bottom, left:right]
    if not patch.size:
        return
    if rng.random() < 0.3:  # From elsewhere in the view.
        rows, columns = patch.shape[:2]
        top, left = rng.integers(0, len(picture) - rows + 1), rng.integers(0, len(picture) - columns + 1)
        patch[:] = picture[top : top + rows, left : left + columns].copy()
    else:
        patch[:] = (rng.integers(0, 256), *rng.normal(128, 15, 2).astype(int))


def _blurred(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    if rng.random() < 0.6:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.8)), np.uint8)
    length = int(rng.integers(2, 7))
    return np.asarray(cv2.blur(picture, (length, 1) if rng.random() < 0.7 else (1, length)), np.uint8)


def _light(rng: np.random.Generator) -> NDArray[np.float64]:
    """A table of levels with another contrast, brightness and gamma."""
    levels = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-0.6, 0.6))
    levels = (levels - 0.5) * rng.uniform(0.4, 1.4) + 0.5 + rng.uniform(-0.25, 0.25)
    return np.asarray(levels.clip(0, 1) * 255)


#: Normal noise, of which views take parts: drawing it for each pixel would take longer than all else.
_NOISE = np.random.default_rng(0).standard_normal((1024, 1024, 3), np.float32)


def _noisy(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    side = len(picture)
    top, left = rng.integers(0, len(_NOISE) - side + 1, 2)
    part = np.ascontiguousarray(_NOISE[top : top + side, left : left + side])
    return np.asarray(cv2.scaleAdd(part, rng.uniform(2, 14), picture.astype(np.float32)).clip(0, 255), np.uint8)


def _compressed(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each plane on its own through JPEG, colours at half size, as most encoders have them."""
    quality, side = (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(10, 75))), len(picture)
    planes: list[NDArray[np.uint8]] = []
    for number, plane in enumerate(cv2.split(picture)):
        small = plane if number == 0 else cv2.resize(plane, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode(".jpg", small, quality)[1]
        decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)
        large = decoded if number == 0 else cv2.resize(decoded, (side, side), interpolation=cv2.INTER_LINEAR)
        planes.append(np.asarray(large, np.uint8))
    return np.asarray(cv2.merge(planes), np.uint8)
