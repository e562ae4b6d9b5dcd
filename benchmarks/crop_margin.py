"""Which square around a detector's box shows the classifier a face as FER2013 does?

    python benchmarks/crop_margin.py fer2013.parquet [--yunet FILE] [--model NAME]

Each PublicTest face is enlarged and set into a wider picture whose rim repeats its edge. The detector searches that
picture; around its box squares of several sizes are cut by the crop stage and classified. The best square is the one
whose accuracy comes nearest to that of the original 48x48 faces. Faces the detector does not find are left out of both
columns. The rim is no real background, so how many are found says little about footage.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.base import CropRule, Detector
from fer_batch.emotion.keras_model import KerasModel
from fer_batch.emotion.model_folder import find_model
from fer_batch.pipeline.crop import crop_face
from fer_batch.records import Detection, Frame
from fer_batch.training.emotion.dataset import Faces, read_faces

SIDE, RIM = 192, 96
SCALES = (0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6)
SHIFTS = (-0.1, 0.0, 0.1)


def in_a_wider_picture(face: np.ndarray) -> Frame:
    large = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    luma = cv2.copyMakeBorder(large, RIM, RIM, RIM, RIM, cv2.BORDER_REPLICATE)
    return Frame(luma, luma.shape[1], luma.shape[0], None)


def largest_face(frame: Frame, detector: Detector) -> Detection | None:
    picture = cv2.cvtColor(frame.luma, cv2.COLOR_GRAY2BGR) if detector.needs_colour else frame.luma
    found = detector.detect(picture, 40)
    return max(found, key=lambda face: face.width * face.height, default=None)


def measure(detector: Detector, faces: Faces, network: KerasModel) -> None:
    pairs = [(frame, largest_face(frame, detector)) for frame in map(in_a_wider_picture, faces.images)]
    rows = np.array([i for i, (_, box) in enumerate(pairs) if box is not None])
    found = [(pairs[i][0], pairs[i][1]) for i in rows]
    sides = np.array([SIDE / max(box.width, box.height) for _, box in found])
    shifts = np.array([(RIM + SIDE / 2 - box.y - box.height / 2) / box.height for _, box in found])
    print(f"found {len(rows)} of {len(faces)}; FER2013's square is {np.median(sides):.2f} boxes wide (median), "
          f"its centre {np.median(shifts):+.3f} box heights below the box's")  # fmt: skip
    labels = faces.labels[rows]
    original = (network.probabilities_by_head(faces.images[rows])["fer2013"].argmax(axis=1) == labels).mean()
    print(f"accuracy of the original faces: {original:.3f}")
    print("scale " + "".join(f"  shift {shift:+.2f}" for shift in SHIFTS))
    for scale in SCALES:
        cells = []
        for shift in SHIFTS:
            crops = np.stack([crop_face(frame, box, CropRule(scale, shift)) for frame, box in found])
            cells.append((network.probabilities_by_head(crops)["fer2013"].argmax(axis=1) == labels).mean())
        print(f"{scale:5.2f} " + "".join(f"{cell:13.3f}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--yunet", type=Path, help="YuNet's ONNX file; without it only the cascade is measured")
    parser.add_argument("--model", default="emotion")
    parser.add_argument("--usage", default="PublicTest")
    parser.add_argument("--faces", type=int, help="only that many faces")
    options = parser.parse_args()
    faces = read_faces(options.data).split(options.usage)
    faces = faces.take(np.arange(len(faces))[: options.faces])
    network = KerasModel(find_model(options.model), batch_size=256)
    configs = [DetectorConfig("embedded"), DetectorConfig("haar")]
    if options.yunet:
        configs.append(DetectorConfig("yunet", str(options.yunet)))
    for config in configs:
        print(f"\n{config.name}")
        measure(create_detector(config), faces, network)


if __name__ == "__main__":
    main()
