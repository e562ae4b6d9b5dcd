"""Augmentation of training faces: random changes by cameras, codecs and detectors that keep the expression.

The limited range of video luma is not among them: `standardize` removes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """The strength of augmentation: the range of geometric changes, the probability of each other change.

    Attributes:
        rotation: Largest angle to either side, degrees.
        shift: Largest shift to either side, as a share of the width.
        scale: Largest relative change of the size.
        stretch: Largest relative change of the aspect ratio.
        flip: Probability of a horizontal flip.
        gamma: Probability of a gamma curve.
        low_resolution: Probability of downsampling to 14 to 40 pixels and back.
        blur: Probability of Gaussian or motion blur.
        compression: Probability of JPEG compression at low quality.
        noise: Probability of Gaussian noise.
        erasing: Probability of covering a rectangle (Zhong et al. 2017, "Random Erasing Data Augmentation").
    """

    rotation: float = 10.0
    shift: float = 0.08
    scale: float = 0.1
    stretch: float = 0.0
    flip: float = 0.5
    gamma: float = 0.0
    low_resolution: float = 0.0
    blur: float = 0.0
    compression: float = 0.0
    noise: float = 0.0
    erasing: float = 0.0

    def scaled(self, factor: float) -> Augmentation:
        """Ranges and probabilities times `factor`; flips, which cost no detail, stay as frequent."""
        scaled = {field.name: getattr(self, field.name) * factor for field in fields(self)}
        return Augmentation(**{**scaled, "flip": self.flip})


def augment(images: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An augmented copy of each image, uint8 (n, h, w).

    Borders are replicated, as in crops at the edge of a frame.
    """
    out = _warped(images, ranges, rng)
    for probability, change in (
        (ranges.gamma, _apply_gamma),
        (ranges.low_resolution, _downsample),
        (ranges.blur, _blur),
        (ranges.noise, _add_noise),
        (ranges.compression, _compress),
        (ranges.erasing, _erase),
    ):
        _now_and_then(out, probability, change, rng)
    return out


def _now_and_then(
    images: Image, probability: float, change: Callable[[Image, np.random.Generator], Image], rng: np.random.Generator
) -> None:
    for row in np.flatnonzero(rng.uniform(0, 1, len(images)) < probability):
        images[row] = change(images[row], rng)


def _warped(images: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    n = len(images)
    height, width = images.shape[1:]
    angles = ranges.rotation * rng.uniform(-1, 1, n)
    scales = np.exp(rng.uniform(-1, 1, n) * np.log1p(ranges.scale))
    stretches = np.exp(rng.uniform(-1, 1, n) * np.log1p(ranges.stretch) / 2)
    shifts = ranges.shift * width * rng.uniform(-1, 1, (n, 2))
    mirrored = rng.uniform(0, 1, n) < ranges.flip
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    out = np.empty_like(images)
    for row in range(n):
        matrix = cv2.getRotationMatrix2D((0, 0), angles[row], scales[row])
        matrix[:, :2] *= [[stretches[row]], [1 / stretches[row]]]
        matrix[:, 2] = centre - matrix[:, :2] @ centre + shifts[row]
        source = images[row, :, ::-1] if mirrored[row] else images[row]
        out[row] = cv2.warpAffine(source, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return out


def _apply_gamma(image: Image, rng: np.random.Generator) -> Image:
    curve = (np.arange(256) / 255) ** np.exp(rng.uniform(-0.6, 0.6)) * 255
    return np.asarray(cv2.LUT(image, curve.round().astype(np.uint8)), np.uint8)


def _downsample(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape
    side = int(rng.integers(14, 41))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _blur(image: Image, rng: np.random.Generator) -> Image:
    if rng.uniform() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.4)), np.uint8)
    length = int(rng.integers(2, 6))  # Half the length of the motion, in pixels.
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    end = length * np.array([np.cos(angle := rng.uniform(0, np.pi)), np.sin(angle)]) * rng.uniform(0.3, 1)
    centre = np.array([length, length])
    cv2.line(kernel, (centre - end).round().astype(int).tolist(), (centre + end).round().astype(int).tolist(), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _add_noise(image: Image, rng: np.random.Generator) -> Image:
    noisy = image + rng.normal(0, rng.uniform(2, 14), image.shape)
    return np.asarray(noisy.clip(0, 255), np.uint8)


def _compress(image: Image, rng: np.random.Generator) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(10, 60))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def _erase(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape
    area, ratio = rng.uniform(0.03, 0.2), np.exp(rng.uniform(-1, 1))
    h = min(height, max(1, round(height * np.sqrt(area * ratio))))
    w = min(width, max(1, round(width * np.sqrt(area / ratio))))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    covered = image.copy()
    covered[top : top + h, left : left + w] = rng.integers(0, 256)
    return covered
