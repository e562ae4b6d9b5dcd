"""Random changes of a training face that leave its expression alone."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes. `rotation` in degrees to either side, `shift` as a share of the
    width to either side, `scale` as the largest relative change of size, `flip` as a probability."""

    rotation: float = 10.0
    shift: float = 0.08
    scale: float = 0.1
    flip: float = 0.5


def augment(images: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A randomly turned, shifted, scaled and mirrored copy of each image; uint8 (n, h, w) in and out.

    What moves in from outside repeats the edge, as the crop stage pads faces at the rim of a frame.
    """
    n = len(images)
    height, width = images.shape[1:]
    angles = ranges.rotation * rng.uniform(-1, 1, n)
    scales = np.exp(rng.uniform(-1, 1, n) * np.log1p(ranges.scale))
    shifts = ranges.shift * width * rng.uniform(-1, 1, (n, 2))
    mirrored = rng.uniform(0, 1, n) < ranges.flip
    centre = ((width - 1) / 2, (height - 1) / 2)
    out = np.empty_like(images)
    for row in range(n):
        matrix = cv2.getRotationMatrix2D(centre, angles[row], scales[row])
        matrix[:, 2] += shifts[row]
        source = images[row, :, ::-1] if mirrored[row] else images[row]
        out[row] = cv2.warpAffine(source, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return out
