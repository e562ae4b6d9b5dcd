"""Share of portraits whose face is found, by the height of the face in the searched picture.

    python benchmarks/face_sizes.py photographs.parquet
    python benchmarks/face_sizes.py photographs.parquet --detector yunet --detector-model yunet.onnx

Takes held-out photographs with one sure face and no other label. For small faces a photograph is reduced; for large
ones it is cut around the face, as close as it takes, and enlarged. A face is found where a detection overlaps the part
of its box that is in the picture by half.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.base import Detector
from fer_batch.detection.search import find_faces
from fer_batch.media.image import frame_from_bgr
from fer_batch.training.detector.folder import detector_config, held_out_part
from fer_batch.training.detector.photographs import SURE, Photograph, read_photographs
from fer_batch.training.detector.targets import intersection_over_union

#: Enlarging a face further than this shows more blur than face.
_MOST_ENLARGED = 8.0


def main(
    data: Annotated[Path, typer.Argument(help="A .parquet as for train-detector, or boxes as for evaluate-detector.")],
    detector: Annotated[str, typer.Option(help="embedded, haar, yunet, or a folder of train-detector.")] = "embedded",
    detector_model: Annotated[Path | None, typer.Option(help="Model file of the detector.")] = None,
    sources: Annotated[str, typer.Option(help="Sources of portraits, with commas.")] = "portraits,cutout_people,osie",
    heights: Annotated[
        str, typer.Option(help="Heights in pixels, with commas.")
    ] = "12,16,24,48,96,192,384,448,512,576,640",
    longest_side: Annotated[int, typer.Option(min=32)] = 640,
) -> None:
    cv2.setNumThreads(1)
    config = replace(detector_config(detector, detector_model), longest_side=longest_side)
    loaded = create_detector(config)
    chosen = [
        photograph
        for photograph in held_out_part(read_photographs(data))
        if photograph.source in sources.split(",") and len(photograph.boxes) == 1 and photograph.scores[0] >= SURE
    ]
    print(f"{detector}: {len(chosen)} portraits, searched at {longest_side}")
    print("| face height | portraits | found |\n| --- | --- | --- |")
    for height in (int(part) for part in heights.split(",")):
        views = [view for photograph in chosen if (view := view_of(photograph, height, longest_side)) is not None]
        found = [_is_found(picture, box, loaded, config) for picture, box in views]
        print(f"| {height} | {len(found)} | {np.mean(found) if found else float('nan'):.3f} |", flush=True)


def view_of(
    photograph: Photograph, height: int, longest_side: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]] | None:
    """A view of a portrait in which the face is so high, no longer than `longest_side`, and the face's box in it; None
    where the photograph would have to be enlarged too far."""
    picture = photograph.frame(needs_colour=True).bgr
    assert picture is not None
    box = photograph.boxes[0].astype(float)
    scale = height / box[3]
    if scale > _MOST_ENLARGED:
        return None
    size = np.minimum(picture.shape[1::-1], np.floor(longest_side / scale))
    corner = np.clip(box[:2] + box[2:] / 2 - size / 2, 0, np.array(picture.shape[1::-1]) - size).round()
    left, top, right, bottom = (*corner.astype(int), *(corner + size).astype(int))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    width, tall = (max(1, round(side * scale)) for side in size)
    view = cv2.resize(picture[top:bottom, left:right], (width, tall), interpolation=kind)
    low = np.clip((box[:2] - corner) * scale, 0, (width, tall))
    high = np.clip((box[:2] + box[2:] - corner) * scale, 0, (width, tall))
    return np.asarray(view, np.uint8), np.concatenate([low, high - low])


def _is_found(picture: NDArray[np.uint8], box: NDArray[np.float64], detector: Detector, config: DetectorConfig) -> bool:
    found = find_faces(frame_from_bgr(picture, detector.needs_colour), detector, config)
    boxes = np.array([(face.x, face.y, face.width, face.height) for face in found]).reshape(-1, 4)
    return bool((intersection_over_union(boxes, box[None]) >= 0.5).any())


if __name__ == "__main__":
    typer.run(main)
