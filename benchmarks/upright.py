"""Does turning a head upright by its eyes help the classifier?

    python benchmarks/upright.py fer2013.parquet [--model NAME] [--faces N]

PublicTest faces are tilted, set into a wider picture (see crop_margin.py) and found by the embedded detector. The
square around the box is classified as it is, and as runs cut it: turned upright by the roll that the landmarks tell,
where that is fifteen degrees or more.
Printed for each tilt: how many faces were found, and both accuracies on those, for both heads of the model.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from crop_margin import in_a_wider_picture, largest_face

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.head_pose import head_angles
from fer_batch.emotion.keras_model import KerasModel
from fer_batch.emotion.model_folder import find_model
from fer_batch.pipeline.crop import crop_face
from fer_batch.records import Frame
from fer_batch.training.emotion.dataset import FERPLUS_COLUMNS, Faces, read_faces

TILTS = (0, 5, 10, 15, 20, 30, 45)


def turned(frame: Frame, centre: tuple[float, float], degrees: float) -> Frame:
    """The frame turned clockwise about a point."""
    matrix = cv2.getRotationMatrix2D(centre, -degrees, 1.0)
    size = (frame.luma.shape[1], frame.luma.shape[0])
    luma = cv2.warpAffine(frame.luma, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return replace(frame, luma=np.asarray(luma, np.uint8))


def accuracies(network: KerasModel, crops: np.ndarray, faces: Faces) -> tuple[float, float]:
    """Against FER2013's label, and against the annotators where more than half of them name one emotion."""
    by_head = network.probabilities_by_head(crops)
    votes = np.nan_to_num(faces.votes)
    clear = votes[:, FERPLUS_COLUMNS].max(axis=1) > 5
    right = by_head["ferplus"].argmax(axis=1) == votes[:, FERPLUS_COLUMNS].argmax(axis=1)
    return float((by_head["fer2013"].argmax(axis=1) == faces.labels).mean()), float(right[clear].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="emotion")
    parser.add_argument("--faces", type=int, help="only that many faces")
    options = parser.parse_args()
    faces = read_faces(options.data).split("PublicTest")
    faces = faces.take(np.arange(len(faces))[: options.faces])
    network = KerasModel(find_model(options.model), batch_size=256)
    detector = create_detector(DetectorConfig("embedded"))
    print("| tilt | found | roll, median | label: as it is | label: upright | votes: as it is | votes: upright |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    signs = np.where(np.arange(len(faces)) % 2, 1, -1)
    for tilt in TILTS:
        frames = [in_a_wider_picture(face) for face in faces.images]
        frames = [turned(f, (f.width / 2, f.height / 2), s * tilt) for f, s in zip(frames, signs, strict=True)]
        pairs = [(frame, largest_face(frame, detector)) for frame in frames]
        rows = np.array([i for i, (_, face) in enumerate(pairs) if face is not None])
        found = [(pairs[i][0], pairs[i][1]) for i in rows]
        angles = [head_angles(face.landmarks) or (0.0, 0.0, 0.0) for _, face in found]
        rolls = np.array(angles)[:, 2] * signs[rows]
        plain = np.stack([crop_face(frame, face, detector.crop_rule) for frame, face in found])
        leaning = [(frame, replace(face, angles=head)) for (frame, face), head in zip(found, angles, strict=True)]
        straight = np.stack([crop_face(frame, face, detector.crop_rule) for frame, face in leaning])
        (label, votes), (label_up, votes_up) = (accuracies(network, c, faces.take(rows)) for c in (plain, straight))
        print(f"| {tilt}° | {len(rows)} of {len(faces)} | {np.median(rolls):.0f}° "
              f"| {label:.3f} | {label_up:.3f} | {votes:.3f} | {votes_up:.3f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
