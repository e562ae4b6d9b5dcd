"""How does accuracy fall with the quality of a face, as the table `faces` tells it?

    python benchmarks/face_quality.py fer2013.parquet [--model NAME] [--usage PublicTest] [--faces N]

The faces are taken as they are, and made worse: smaller, out of focus, darker (with the noise of a camera's sensor),
overexposed, and cut off by the edge of a frame. Each is measured by `pipeline.crop.face_quality`, and classified with
the embedded model. `right`: the share whose most probable label is FER2013's; `same`: whose most probable label is that
of the face as it was. Then the same over all of them, by bins of each measure.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.base import CropRule
from fer_batch.emotion.int8_model import Int8Model
from fer_batch.emotion.model_folder import find_model
from fer_batch.pipeline.crop import crop_face, face_quality
from fer_batch.records import Detection, Frame
from fer_batch.training.emotion.dataset import read_faces

Face = NDArray[np.uint8]
Change = Callable[[Face, np.random.Generator], Face]
RULE = CropRule(scale=1.0)
BINS = {
    "sharpness": (0.0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.25, 0.5, 1.0, 99.0),
    "brightness": (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.01),
    "outside_frame": (0.0, 0.001, 0.1, 0.2, 0.3, 0.4, 0.5, 1.01),
}


def smaller(side: int) -> Change:
    def change(face: Face, random: np.random.Generator) -> Face:
        small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, face.shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)

    return change


def blurred(sigma: float) -> Change:
    return lambda face, random: np.asarray(cv2.GaussianBlur(face, (0, 0), sigma), np.uint8)


def exposed(gain: float, noise: float = 1.5) -> Change:
    def change(face: Face, random: np.random.Generator) -> Face:
        return (face * gain + random.normal(0, noise, face.shape)).round().clip(0, 255).astype(np.uint8)

    return change


def cut_off(share: float) -> Change:
    """The lower part of the face lies outside the frame; the crop repeats the frame's edge."""

    def change(face: Face, random: np.random.Generator) -> Face:
        return face[: round(len(face) * (1 - share))]

    return change


CHANGES: dict[str, Change] = {
    "as it is": lambda face, random: face,
    **{f"{side} pixels wide": smaller(side) for side in (32, 24, 20, 16, 12, 8)},
    **{f"blurred, sigma {sigma}": blurred(sigma) for sigma in (0.7, 1.0, 1.5, 2.0, 3.0)},
    **{f"light x {gain}": exposed(gain) for gain in (0.5, 0.2, 0.1, 0.05, 0.02, 1.5, 2.0, 3.0)},
    **{f"{share:.0%} cut off": cut_off(share) for share in (0.1, 0.2, 0.3, 0.4, 0.5)},
}


def measured(picture: Face) -> tuple[Face, tuple[float, float, float]]:
    """A picture, perhaps cut off below, as a run would crop a face of its width, and the crop's quality."""
    frame, side = Frame(picture, picture.shape[1], picture.shape[0], None), picture.shape[1]
    box = Detection(0.0, 0.0, side, side)
    crop = crop_face(frame, box, RULE)
    quality = face_quality(frame, box, RULE, crop)
    return crop, (quality.sharpness, quality.brightness, quality.outside_frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="emotion")
    parser.add_argument("--usage", default="PublicTest")
    parser.add_argument("--faces", type=int)
    options = parser.parse_args()
    faces = read_faces(options.data).split(options.usage)
    faces = faces.take(np.arange(len(faces))[: options.faces])
    model, random = Int8Model(find_model(options.model), batch_size=256), np.random.default_rng(0)
    plain: NDArray[np.int64] | None = None
    rights, sames, qualities = [], [], []
    print(f"{len(faces)} faces\n{'':20}  right   same  sharpness  brightness  outside_frame (medians)")
    for name, change in CHANGES.items():
        crops, quality = zip(*(measured(change(face, random)) for face in faces.images), strict=True)
        answers = model.answers(np.stack(crops))["fer2013"].argmax(axis=1)
        plain = answers if plain is None else plain
        rights.append(answers == faces.labels)
        sames.append(answers == plain)
        qualities.append(np.array(quality))
        middle = np.median(qualities[-1], axis=0)
        print(f"{name:20} {rights[-1].mean():6.3f} {sames[-1].mean():6.3f} " + "".join(f"{m:11.3f}" for m in middle))
    right, same, table = np.concatenate(rights), np.concatenate(sames), np.concatenate(qualities)
    alone = {0: range(12), 1: [0, *range(12, 20)], 2: [0, *range(20, 25)]}  # Each by what it is meant to show.
    for column, (name, edges) in enumerate(BINS.items()):
        chosen = np.isin(np.repeat(np.arange(len(CHANGES)), len(faces)), list(alone[column]))
        for title, rows in (("as they are", slice(0, len(faces))), ("all of its kind", np.flatnonzero(chosen))):
            print(f"\n{name}, {title}:    faces  right   same")
            for low, high in pairwise(edges):
                inside = (table[rows, column] >= low) & (table[rows, column] < high)
                if inside.sum() >= 30:
                    shares = f"{right[rows][inside].mean():6.3f} {same[rows][inside].mean():6.3f}"
                    print(f"  {low:6.3f} to {high:6.3f} {inside.sum():14d} {shares}")


if __name__ == "__main__":
    main()
