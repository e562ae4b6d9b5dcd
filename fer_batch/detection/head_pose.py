"""Which way a head is turned, from its five landmarks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: A mean face in distances between the eyes: right eye, left eye, nose, right and left corner of the mouth; x to the
#: right of the picture, y down, z away from the camera. x and y are the medians over 802 upright, symmetric faces of
#: photographs; the depths fit how far nose and mouth move aside on turned ones. No turn is those photographs' median.
_MEAN_FACE = np.array(
    [(-0.5, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.6, -0.41), (-0.44, 0.995, 0.04), (0.44, 0.995, 0.04)], np.float64
)
#: Focal length in spans of the face: so long that perspective hardly counts. The angles are against the line of sight.
_FOCAL_LENGTH = 20.0


def head_angles(landmarks: NDArray[np.floating]) -> tuple[float, float, float] | None:
    """Yaw, pitch and roll in degrees, or None where the landmarks are no face.

    `landmarks`: (5, 2) in the order of `Detection`, in pixels of equal width and height. Yaw is positive where the nose
    points to the right of the picture, pitch where it points up, roll where the head leans to the right of the
    picture, clockwise. All are 0 for a face that looks into the camera. By OpenCV's PnP (Terzakis & Lourakis 2020,
    "A Consistently Fast and Globally Optimal Solution to the Perspective-n-Point Problem") on a mean face.
    """
    points = landmarks.astype(np.float64)
    span = float(np.ptp(points, axis=0).max()) if np.isfinite(points).all() else 0.0
    if span < 1e-3:
        return None
    focal, (x, y) = _FOCAL_LENGTH * span, points.mean(axis=0)
    camera = np.array([(focal, 0, x), (0, focal, y), (0, 0, 1)])
    solved, turn, _ = cv2.solvePnP(_MEAN_FACE, points, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not solved or not np.isfinite(turn).all():
        return None
    rotation = cv2.Rodrigues(turn)[0]
    forward = -rotation[:, 2]
    yaw, pitch = np.arctan2(forward[0], -forward[2]), np.arcsin(np.clip(-forward[1], -1, 1))
    level = np.array([np.cos(yaw), 0.0, np.sin(yaw)])  # What is to the right of a head so turned that leans nowhere.
    roll = np.arctan2(rotation[:, 0] @ np.cross(rotation[:, 2], level), rotation[:, 0] @ level)
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))
