"""Cut the square around a face out of a frame, as the classifier wants it."""

from __future__ import annotations

from math import ceil, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.base import CropRule
from fer_batch.emotion.preprocessing import CROP_SIZE
from fer_batch.records import Detection, FaceQuality, Frame


def crop_face(frame: Frame, face: Detection, rule: CropRule) -> NDArray[np.uint8]:
    """The face as uint8 (48, 48), turned upright where its head leans far. What of the square lies outside the frame
    repeats the frame's edge."""
    centre_x, centre_y, side = _place(frame, face, rule)
    pixels = max(2, round(side))
    roll = 0.0 if face.angles is None else face.angles[2]
    if abs(roll) < rule.upright_from:
        square = _square(frame.luma, centre_x, centre_y, pixels)
    else:
        # A square of any turn lies in one that is wider by the root of two.
        wide = pixels + 2 * ceil(pixels * (sqrt(2) - 1) / 2)
        square = _upright(_square(frame.luma, centre_x, centre_y, wide), roll, pixels)
    # Averaging suits reduction; for enlarging, OpenCV's guide recommends cubic interpolation.
    interpolation = cv2.INTER_AREA if pixels >= CROP_SIZE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (CROP_SIZE, CROP_SIZE), interpolation=interpolation), np.uint8)


def face_quality(frame: Frame, face: Detection, rule: CropRule, crop: NDArray[np.uint8]) -> FaceQuality:
    """How well a face can be seen.

    The variance of the Laplacian is small where a picture is out of focus (Pech-Pacheco et al. 2000, "Diatom
    autofocusing in brightfield microscopy"), or was enlarged. Divided by the variance of the gray levels it does not
    depend on contrast, as the classifier's input does not either.

    Args:
        frame: The frame with the face.
        face: The face, in pixels of the full frame.
        rule: How its box became a square.
        crop: What `crop_face` made of it, uint8 (48, 48).
    """
    gray = crop.astype(np.float32)
    contrast = max(float(gray.var()), 1.0)  # A crop of a single gray value has neither contrast nor sharpness.
    sharpness = float(cv2.Laplacian(gray, cv2.CV_32F).var()) / contrast
    centre_x, centre_y, side = _place(frame, face, rule)
    height, width = frame.luma.shape
    inside_x = max(0.0, min(centre_x + side / 2, width) - max(centre_x - side / 2, 0.0))
    inside_y = max(0.0, min(centre_y + side / 2, height) - max(centre_y - side / 2, 0.0))
    return FaceQuality(sharpness, float(gray.mean()) / 255, 1.0 - inside_x * inside_y / side**2)


def _place(frame: Frame, face: Detection, rule: CropRule) -> tuple[float, float, float]:
    """The centre of the square around a face, x and y, and its side, in pixels of the luma."""
    scale_x, scale_y = frame.luma.shape[1] / frame.width, frame.luma.shape[0] / frame.height
    side = max(face.width * scale_x, face.height * scale_y) * rule.scale
    centre_x = (face.x + face.width / 2) * scale_x
    centre_y = (face.y + face.height * (0.5 + rule.shift_y)) * scale_y
    return centre_x, centre_y, side


def _upright(square: NDArray[np.uint8], roll: float, side: int) -> NDArray[np.uint8]:
    """The middle of a square, `side` pixels wide, of the picture turned against a head's roll, degrees clockwise."""
    middle = (len(square) - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), roll, 1.0)
    matrix[:, 2] -= (len(square) - side) // 2
    return np.asarray(cv2.warpAffine(square, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _square(luma: NDArray[np.uint8], centre_x: float, centre_y: float, side: int) -> NDArray[np.uint8]:
    height, width = luma.shape
    left, top = round(centre_x - side / 2), round(centre_y - side / 2)
    # A box entirely outside still needs one row and column to repeat.
    x0, y0 = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    x1, y1 = max(min(left + side, width), x0 + 1), max(min(top + side, height), y0 + 1)
    inside = luma[y0:y1, x0:x1]
    before_x, before_y = max(0, min(x0 - left, side - 1)), max(0, min(y0 - top, side - 1))
    after_x, after_y = max(0, side - before_x - (x1 - x0)), max(0, side - before_y - (y1 - y0))
    if not (before_x or before_y or after_x or after_y):
        return inside
    padded = cv2.copyMakeBorder(inside, before_y, after_y, before_x, after_x, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8)
