"""Draw viewers who smile, are surprised, look away and leave the picture, from two free photographs.

An expression is a warp of the photograph: a thin-plate spline moves mouth, brows, lids and cheeks. Nobody's real
expression was recorded. Lengths in `MOVES` are in distances between the eyes, x to the right and y down; a name with
`*` stands for both sides of the face, mirrored.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = dict[str, tuple[float, float]]
Moves = dict[str, tuple[float, float]]

GRID = 2  # the spline is evaluated at every second pixel, and interpolated between
REACH = 1.55  # half the width of what a warp may change, in distances between the eyes
ELONGATION = 1.1  # that region is so many times as high as it is wide
LIP_LINE = np.array([95, 48, 42], np.float32)
MOUTH_INSIDE = np.array([45, 18, 18], np.float32)

# Pixels of scikit-image's astronaut. The second set is for the photograph whose mouth `close_mouth` has shut.
ASTRONAUT: Points = {
    "eye_l": (203, 101), "eye_r": (246.6, 103), "lid_top_l": (203, 97), "lid_top_r": (247, 99),
    "lid_low_l": (203, 105), "lid_low_r": (247, 107), "brow_in_l": (211, 91), "brow_in_r": (239, 93),
    "brow_l": (200, 88.4), "brow_r": (250, 92.4), "brow_out_l": (190, 91), "brow_out_r": (263, 96),
    "nose": (225, 128), "wing_l": (213, 127), "wing_r": (236, 128), "cheek_l": (195, 130), "cheek_r": (256, 131),
    "corner_l": (204, 140), "corner_r": (244, 141), "top": (223, 139), "top_l": (213, 139.5), "top_r": (234, 139.5),
    "upper": (222.5, 147), "upper_l": (213, 145.4), "upper_r": (233, 145.2),
    "lower": (222.5, 147.6), "lower_l": (213, 146), "lower_r": (233, 145.8),
    "bottom": (222.5, 152), "bottom_l": (212, 150), "bottom_r": (234, 150),
    "chin": (223, 178), "jaw_l": (186, 152), "jaw_r": (261, 152), "jaw_low_l": (203, 172), "jaw_low_r": (243, 172),
}  # fmt: skip
# Pixels of Matplotlib's grace_hopper.jpg.
HOPPER: Points = {
    "eye_l": (222.3, 190), "eye_r": (305, 187.3), "lid_top_l": (222, 184), "lid_top_r": (305, 181),
    "lid_low_l": (222, 196), "lid_low_r": (305, 193.5), "brow_in_l": (243, 168), "brow_in_r": (282, 166),
    "brow_l": (222, 163), "brow_r": (303, 158), "brow_out_l": (195, 172), "brow_out_r": (330, 165),
    "nose": (266.7, 240), "wing_l": (241, 245), "wing_r": (294, 243), "cheek_l": (215, 250), "cheek_r": (320, 248),
    "corner_l": (232, 280), "corner_r": (305, 278), "top": (266.7, 271.5), "top_l": (250, 273), "top_r": (284, 272.5),
    "upper": (266.7, 279.3), "upper_l": (250, 279.5), "upper_r": (284, 278),
    "lower": (266.7, 280.3), "lower_l": (250, 280.3), "lower_r": (284, 279),
    "bottom": (266.7, 293.5), "bottom_l": (250, 291.5), "bottom_r": (284, 291),
    "chin": (268, 328), "jaw_l": (193, 290), "jaw_r": (345, 290), "jaw_low_l": (222, 318), "jaw_low_r": (315, 318),
}  # fmt: skip

SMILE: Moves = {
    "corner_*": (-0.14, -0.17), "upper_*": (-0.02, -0.03), "lower_*": (-0.02, 0.03), "lower": (0, 0.06),
    "bottom": (0, 0.05), "cheek_*": (-0.02, -0.1), "lid_low_*": (0, -0.03),
}  # fmt: skip
SURPRISE: Moves = {
    "brow_in_*": (0, -0.13), "brow_*": (0, -0.13), "brow_out_*": (0, -0.13), "lid_top_*": (0, -0.04),
    "lid_low_*": (0, 0.015), "upper": (0, -0.025), "upper_*": (0, -0.02), "top": (0, -0.015), "top_*": (0, -0.015),
    "lower": (0, 0.17), "lower_*": (0, 0.14), "bottom": (0, 0.18), "bottom_*": (0, 0.15), "corner_*": (0.11, 0.07),
    "chin": (0, 0.16), "jaw_low_*": (0, 0.12), "jaw_*": (0.02, 0.04),
}  # fmt: skip
# From the astronaut's smile, its mouth closed, to rest.
STRAIGHT_MOUTH: Moves = {
    "corner_*": (0.14, 0.145), "upper": (0, -0.04), "lower": (0, -0.04), "upper_*": (0.05, 0.025),
    "lower_*": (0.05, 0.025), "top_*": (0.03, 0.01), "top": (0, -0.01), "bottom_*": (0.04, -0.02),
    "bottom": (0, -0.03), "cheek_*": (0, 0.04), "wing_*": (0.025, 0), "lid_low_*": (0, 0.012),
}  # fmt: skip
AT_REST = 1.15  # how far along STRAIGHT_MOUTH the face is at rest

# The ellipse around the astronaut's head, hair and neck: pixels of the photograph.
HEAD_CENTRE, HEAD_RADIUS = (226.0, 104.0), (86.0, 112.0)
SMOOTHED = 12.0  # pixels: the standard deviation to which the hair of a turned head is smoothed

# The astronaut's teeth, from the upper to the lower lip: x, top and bottom in pixels of the photograph.
TEETH = np.array(
    [
        (203, 140.0, 140.0), (208, 141.8, 144.6), (213, 142.8, 148.6), (218, 143.3, 150.0), (222.5, 143.8, 150.6),
        (228, 143.4, 149.6), (233, 143.0, 147.9), (239, 142.2, 144.6), (245, 140.8, 140.8),
    ]
)  # fmt: skip
# The folds that the astronaut's smile draws from nose to mouth.
FOLDS = (
    [(210, 122), (199, 121), (190, 127), (188, 140), (191, 152), (202, 152), (201.5, 144), (205, 137)],
    [(240, 124), (250, 124), (259, 131), (263, 145), (258, 152), (247, 151.5), (247.5, 144), (243, 137)],
)


def both_sides(moves: Moves) -> Moves:
    """Return the moves by the points' full names; those of the right side mirror those of the left."""
    full: Moves = {}
    for name, (x, y) in moves.items():
        if name.endswith("*"):
            full[f"{name[:-1]}l"], full[f"{name[:-1]}r"] = (x, y), (-x, y)
        else:
            full[name] = (x, y)
    return full


def combined(*parts: tuple[Moves, float]) -> Moves:
    """Return the sum of moves, each times its weight, by the points' full names."""
    total: Moves = {}
    for moves, weight in parts:
        for name, (x, y) in both_sides(moves).items():
            before = total.get(name, (0.0, 0.0))
            total[name] = (before[0] + weight * x, before[1] + weight * y)
    return total


def mask(shape: tuple[int, int], polygon: NDArray[np.floating], blur: float) -> NDArray[np.float32]:
    """Return 0 outside and 1 inside a polygon (n, 2), float32 (h, w, 1), blurred by so many pixels."""
    filled = np.zeros(shape, np.uint8)
    cv2.fillPoly(filled, [np.round(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(filled, (0, 0), blur).astype(np.float32)[..., None] / 255


def painted(photo: Image, colour: NDArray[np.float32], where: NDArray[np.float32]) -> Image:
    """Return the photo with a colour, or another picture, laid over it where the mask is not 0."""
    return np.clip(photo * (1 - where) + colour * where, 0, 255).astype(np.uint8)


def close_mouth(photo: Image) -> Image:
    """Return the astronaut with its lips closed over the teeth: each column loses what lies between them."""
    height, width = photo.shape[:2]
    map_x, map_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    above, below = 128, 172  # rows that stay where they are
    columns = np.arange(int(TEETH[0, 0]), int(TEETH[-1, 0]) + 1)
    top, bottom = (np.interp(columns, TEETH[:, 0], TEETH[:, i]) for i in (1, 2))
    lip = np.interp(columns, [203, 213, 233, 245], [0, 1.2, 1.2, 0])  # the teeth's edge is not sharp
    rows = np.arange(above, below + 1)
    for x, a, b, extra in zip(columns, top, bottom, lip, strict=True):
        seam = (a + b) / 2
        known = [above, seam - 0.01, seam + 0.01, below]
        map_y[above : below + 1, x] = np.interp(rows, known, [above, a - 0.3 * extra, b + extra, below])
    closed = cv2.remap(photo, map_x, map_y, cv2.INTER_CUBIC)
    line = np.zeros(photo.shape[:2], np.uint8)
    points = np.round(np.c_[columns, (top + bottom) / 2] * 16).astype(np.int32)
    cv2.polylines(line, [points], False, 255, 1, cv2.LINE_AA, 4)
    return painted(closed, LIP_LINE, cv2.GaussianBlur(line, (0, 0), 0.6).astype(np.float32)[..., None] / 255 * 0.75)


def without_folds(photo: Image, amount: float) -> Image:
    """Return the astronaut with the folds beside the mouth smoothed, by 0 (not at all) to 1."""
    where = np.maximum(*(mask(photo.shape[:2], np.array(fold), 2) for fold in FOLDS))
    filled = cv2.inpaint(photo, (where[..., 0] > 0.3).astype(np.uint8), 6, cv2.INPAINT_TELEA)
    smooth = cv2.GaussianBlur(filled, (0, 0), 3).astype(np.float32)
    return painted(photo, smooth, where * amount)


def spline(
    source: NDArray[np.floating], target: NDArray[np.floating], where: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return where the points `where` (n, 2) of the warped picture come from, less themselves.

    A thin-plate spline (Bookstein 1989, "Principal Warps") that takes each `target` point to its `source` point.
    """
    count = len(target)

    def radial(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
        square = ((a[:, None] - b[None]) ** 2).sum(axis=2)
        return square * np.log(np.maximum(square, 1e-12))

    affine = np.c_[np.ones(count), target]
    system = np.block([[radial(target, target), affine], [affine.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.r_[source - target, np.zeros((3, 2))])
    return radial(where, target) @ weights[:count] + np.c_[np.ones(len(where)), where] @ weights[count:]


def warp(photo: Image, points: Points, moves: Moves, mouth: float = 0.0) -> Image:
    """Return the photo with its points moved; `mouth`: how dark the inside of the mouth is painted, 0 to 1."""
    left, right = np.array(points["eye_l"]), np.array(points["eye_r"])
    eyes = float(np.hypot(*(right - left)))
    centre, radius = (left + right) / 2 + (0, 0.5 * eyes), np.array((1, ELONGATION)) * REACH * eyes
    source = np.array(list(points.values()), float)
    target = source + eyes * np.array([moves.get(name, (0, 0)) for name in points])
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    still = centre + radius * np.c_[np.cos(turn), np.sin(turn)]
    height, width = photo.shape[:2]
    grid_x, grid_y = np.meshgrid(np.arange(0, width + GRID, GRID), np.arange(0, height + GRID, GRID))
    inside = np.hypot((grid_x - centre[0]) / radius[0], (grid_y - centre[1]) / radius[1])
    where = np.c_[grid_x[inside < 1], grid_y[inside < 1]].astype(float)
    shift = np.zeros((*grid_x.shape, 2), np.float32)
    fade = np.clip((1 - inside[inside < 1]) / 0.12, 0, 1)[:, None]
    shift[inside < 1] = spline(np.r_[source, still], np.r_[target, still], where) * fade
    at_x, at_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    full = cv2.remap(shift, at_x / GRID, at_y / GRID, cv2.INTER_LINEAR)
    warped = cv2.remap(photo, at_x + full[..., 0], at_y + full[..., 1], cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE)
    if not mouth:
        return warped
    at = dict(zip(points, target, strict=True))
    ends = [0.75 * at[f"corner_{side}"] + 0.25 * at[f"upper_{side}"] for side in "lr"]
    lips = [ends[0], at["upper_l"], at["upper"], at["upper_r"], ends[1], at["lower_r"], at["lower"], at["lower_l"]]
    return painted(warped, MOUTH_INSIDE, mask((height, width), np.array(lips), 0.02 * eyes) * mouth)


def turned(photo: Image, wall: Image, yaw: float) -> Image:
    """Return the astronaut with the head turned by degrees of yaw, as if its picture lay on an ellipsoid.

    `wall` is the photograph without the head. Where the neck ends nothing moves.
    """
    height, width = photo.shape[:2]
    at_x, at_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    across, down = (at_x - HEAD_CENTRE[0]) / HEAD_RADIUS[0], (at_y - HEAD_CENTRE[1]) / HEAD_RADIUS[1]
    depth = np.sqrt(np.clip(1 - across**2 - down**2, 0, 1))
    sine, cosine = np.sin(np.radians(yaw)), np.cos(np.radians(yaw))
    shift = (across * cosine - depth * sine - across) * HEAD_RADIUS[0] * np.clip((1.05 - down) / 0.4, 0, 1)
    map_x = (at_x + shift).astype(np.float32)
    head = cv2.remap(photo, map_x, at_y, cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE).astype(np.float32)
    # What was the edge of the picture of the head is stretched over its side: smoothed, it looks like nothing but hair.
    edge = np.clip((-0.6 - (map_x - HEAD_CENTRE[0]) / HEAD_RADIUS[0]) / 0.2, 0, 1)[..., None]
    head = edge * cv2.GaussianBlur(head, (0, 0), SMOOTHED) + (1 - edge) * head
    where = cv2.remap(head_mask(), map_x, at_y, cv2.INTER_LINEAR)
    # Without this, the front of the head would show a second time, on its far side.
    front = (across * sine + depth * cosine > 0) & (depth > 0)
    return painted(wall, head, (where * cv2.GaussianBlur(front.astype(np.float32), (0, 0), 1.5))[..., None])


def head_mask() -> NDArray[np.float32]:
    """Return 1 inside the ellipse around the astronaut's head and 0 outside, float32 (512, 512), with a soft edge."""
    filled = np.zeros((512, 512), np.uint8)
    axes = (1.9 * HEAD_RADIUS[0], 1.9 * HEAD_RADIUS[1])
    cv2.ellipse(filled, (HEAD_CENTRE, axes, 0), 255, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(filled, (0, 0), 2).astype(np.float32) / 255


def without_head(photo: Image) -> Image:
    """Return the astronaut's photograph with the head painted over by what surrounds it."""
    head = head_mask()
    filled = cv2.inpaint(photo, (head > 0.1).astype(np.uint8), 8, cv2.INPAINT_TELEA)
    where = cv2.GaussianBlur(head, (0, 0), 4)[..., None]
    return painted(filled, cv2.GaussianBlur(filled, (0, 0), 6).astype(np.float32), where)


@dataclass(frozen=True)
class Person:
    """A photographed person at rest, smiling and surprised, and the photograph without the head, for those who turn."""

    rest: Image
    smile: Image
    surprise: Image
    wall: Image | None = None


def astronaut(photo: Image, smile: float) -> Person:
    """Return the astronaut; a `smile` of 1 is the photograph itself, less is a smile with closed lips."""
    closed = close_mouth(photo)
    smooth = without_folds(closed, 0.95)
    rest = warp(smooth, ASTRONAUT, combined((STRAIGHT_MOUTH, AT_REST)))
    surprise = warp(smooth, ASTRONAUT, combined((STRAIGHT_MOUTH, 0.6), (SURPRISE, 1)), mouth=0.85)
    weak = warp(without_folds(closed, 1 - smile), ASTRONAUT, combined((STRAIGHT_MOUTH, AT_REST * (1 - smile))))
    return Person(rest, photo if smile == 1 else weak, surprise, without_head(photo))


def hopper(photo: Image, smile: float) -> Person:
    """Return Grace Hopper; the photograph is the rest."""
    smiling = warp(photo, HOPPER, combined((SMILE, smile)))
    surprise = warp(photo, HOPPER, combined((SURPRISE, 1)), mouth=0.85)
    return Person(photo, smiling, surprise)
