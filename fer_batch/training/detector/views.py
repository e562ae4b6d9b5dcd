"""Views of photographs to learn from: cropped, scaled, tilted, mirrored and tiled, with their faces; then degraded."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.training.detector.photographs import SURE, Photograph

#: The landmarks of a mirrored face, in order: left and right change places.
_MIRRORED = [1, 0, 2, 4, 3]
#: Enlarging much more only shows blur.
_MAX_ENLARGEMENT = 2.5
#: How often calmer views are degraded, as a share of the recipe's.
_CALM = 0.3
#: Share of views moved so that the photograph fills them as far as it can: empty rims teach little.
_FILLED = 0.85


@dataclass(frozen=True)
class Views:
    """How views are drawn. `side`: pixels, a multiple of 32; `tilt`: degrees either way; `scales`: of a stored
    photograph, log-uniform; `sizes`: of the face that sets the scale, in pixels at least and as a share of the side at
    most; `tilted`, `anchored`, `mosaic`: shares of views tilted, scaled by a face's size, made of four; `occlusion`:
    share of faces partly covered; the rest: shares of views so degraded."""

    side: int = 256
    tilt: float = 30.0
    tilted: float = 0.4
    scales: tuple[float, float] = (0.35, 1.2)
    sizes: tuple[float, float] = (8.0, 0.9)
    anchored: float = 0.4
    mosaic: float = 0.35
    occlusion: float = 0.15
    light: float = 0.6
    limited_range: float = 0.2
    blur: float = 0.2
    coarse: float = 0.15
    noise: float = 0.25
    compression: float = 0.3

    def calmer(self) -> Views:
        """The same views, degraded less often."""
        rare = ("occlusion", "light", "limited_range", "blur", "coarse", "noise", "compression")
        return replace(self, **{name: getattr(self, name) * _CALM for name in rare})


@dataclass(frozen=True)
class View:
    """A clean view: `picture` uint8 (side, side) and its faces, labelled as in `Photograph` in pixels of the view;
    `visible`: float32 (n,), the share of each box that lies inside."""

    picture: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    visible: NDArray[np.float32]


def draw_view(photographs: list[Photograph], views: Views, rng: np.random.Generator) -> View:
    """A view of the first photograph or, now and then, a mosaic of all four given."""
    if rng.random() >= views.mosaic:
        return _one_view(photographs[0], views, views.side, rng)
    half = views.side // 2
    tiles = [_one_view(photograph, views, half, rng) for photograph in photographs[:4]]
    corners = [np.array(corner, np.float32) * half for corner in ((0, 0), (1, 0), (0, 1), (1, 1))]
    picture = np.vstack([np.hstack([tile.picture for tile in row]) for row in (tiles[:2], tiles[2:])])
    moved = [np.concatenate([corner, (0, 0)]).astype(np.float32) for corner in corners]
    return View(
        picture,
        np.concatenate([tile.boxes + shift for tile, shift in zip(tiles, moved, strict=True)]),
        np.concatenate([tile.landmarks + corner for tile, corner in zip(tiles, corners, strict=True)]),
        np.concatenate([tile.scores for tile in tiles]),
        np.concatenate([tile.visible for tile in tiles]),
    )


def _one_view(photograph: Photograph, views: Views, side: int, rng: np.random.Generator) -> View:
    picture = photograph.gray()
    height, width = picture.shape
    sure = np.flatnonzero(photograph.scores >= SURE)
    least = 0.7 * side / max(width, height)
    scale = max(least, np.exp(rng.uniform(*np.log(views.scales))))
    focus = rng.random(2) * (width, height)
    place = np.full(2, side / 2) + rng.uniform(-0.25, 0.25, 2) * side
    if len(sure) and rng.random() < 0.8:
        x, y, box_width, box_height = photograph.boxes[rng.choice(sure)]
        focus, place = np.array((x + box_width / 2, y + box_height / 2)), rng.uniform(0.1, 0.9, 2) * side
        if rng.random() < views.anchored:
            size = np.exp(rng.uniform(np.log(views.sizes[0]), np.log(views.sizes[1] * side)))
            scale = min(_MAX_ENLARGEMENT, size / np.sqrt(box_width * box_height))
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
    height, width = picture.shape
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        reduced = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        affine = affine @ np.diag((width / size[0], height / size[1], 1.0))
        picture = np.asarray(reduced, np.uint8)
    # Points count from the corner of the picture, OpenCV from the centre of the first pixel.
    centred = affine.copy()
    centred[:, 2] += affine[:, :2] @ (0.5, 0.5) - 0.5
    flags = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    fill = int(rng.integers(0, 256))
    border = cv2.BORDER_CONSTANT if rng.random() < 0.7 else cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(picture, centred, (side, side), flags=flags, borderMode=border, borderValue=fill))


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
    corners = centres - sizes / 2
    landmarks = photograph.landmarks @ affine[:, :2].T + affine[:, 2]
    inside = np.clip(np.minimum(corners + sizes, side) - np.maximum(corners, 0), 0, None)
    visible = inside.prod(axis=1) / np.maximum(sizes.prod(axis=1), 1e-6)
    kept = visible > 0.1
    landmarks = landmarks[:, _MIRRORED] if mirror else landmarks
    boxes = np.concatenate([corners, sizes], axis=1)[kept].astype(np.float32)
    shown = visible[kept].astype(np.float32)
    return View(picture, boxes, landmarks[kept].astype(np.float32), photograph.scores[kept], shown)


def degrade(view: View, views: Views, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The view's picture as cameras, codecs, hands and light might leave it; uint8, of the same shape."""
    picture = view.picture.copy()
    for box in view.boxes:
        if rng.random() < views.occlusion:
            _cover(picture, box, rng)
    if rng.random() < views.coarse:
        side, less = len(picture), round(len(picture) * rng.uniform(0.4, 0.8))
        small = cv2.resize(picture, (less, less), interpolation=cv2.INTER_AREA)
        picture = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < views.blur:
        picture = _blurred(picture, rng)
    if rng.random() < views.light:
        picture = _lit(picture, rng)
    if rng.random() < views.noise:
        noise = rng.standard_normal(picture.shape, np.float32) * rng.uniform(2, 16)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if rng.random() < views.compression:
        quality = int(rng.integers(8, 70))
        _, encoded = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
        picture = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)
    if rng.random() < views.limited_range:
        picture = np.round(16 + picture * (219 / 255)).astype(np.uint8)
    return picture


def _cover(picture: NDArray[np.uint8], box: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Cover a strip of up to 45 % of a box from one side, as masks, hands and hair do, or a small spot."""
    x, y, width, height = box
    share, horizontal, far = rng.uniform(0.15, 0.45), rng.random() < 0.6, rng.random() < 0.6
    part = np.array((width, height * share) if horizontal else (width * share, height))
    start = np.array((x, y)) + (np.array((width, height)) - part) * (far or rng.random())
    left, top = np.maximum(start, 0).astype(int)
    right, bottom = np.maximum(start + part, 0).astype(int)
    patch = picture[top:bottom, left:right]
    if patch.size:
        patch[:] = rng.integers(0, 256) if rng.random() < 0.7 else rng.integers(0, 256, patch.shape)


def _blurred(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    if rng.random() < 0.6:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.8)), np.uint8)
    length = int(rng.integers(2, 7))
    kernel = np.full((1, length), 1 / length, np.float32)
    return np.asarray(cv2.filter2D(picture, -1, kernel if rng.random() < 0.7 else kernel.T), np.uint8)


def _lit(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another contrast, brightness and gamma."""
    levels = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-0.6, 0.6))
    levels = (levels - 0.5) * rng.uniform(0.4, 1.4) + 0.5 + rng.uniform(-0.25, 0.25)
    return np.asarray(cv2.LUT(picture, np.clip(np.round(levels * 255), 0, 255).astype(np.uint8)), np.uint8)
