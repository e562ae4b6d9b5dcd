"""Recall and average precision against time by the size at which pictures are searched: the curve behind the default.

    python benchmarks/longest_side.py photographs.parquet

Looks at the held-out photographs of `train-detector`'s file. Processor time of the search alone, one thread, median of
`--rounds` passes over the same photographs.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cv2
import typer

from fer_batch.detection import create_detector
from fer_batch.detection.search import find_faces
from fer_batch.training.detector.evaluate import evaluate_detector
from fer_batch.training.detector.folder import detector_config, held_out_part
from fer_batch.training.detector.photographs import read_photographs


def main(
    data: Annotated[Path, typer.Argument(help="A .parquet as for train-detector.")],
    detector: Annotated[str, typer.Option(help="embedded, or a folder of train-detector.")] = "embedded",
    sides: Annotated[str, typer.Option(help="Longest sides, with commas.")] = "160,224,320,416,448",
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    timed: Annotated[int, typer.Option(min=1, help="Photographs to time.")] = 100,
) -> None:
    cv2.setNumThreads(1)
    config = detector_config(detector)
    photographs = held_out_part(read_photographs(data))
    colour = create_detector(config).needs_colour
    frames = [photograph.frame(needs_colour=colour) for photograph in photographs[:timed]]
    print("| longest side | recall | average precision | from 16 px | landmark error | processor ms a picture |")
    print("| --- | --- | --- | --- | --- | --- |")
    for side in (int(part) for part in sides.split(",")):
        chosen = replace(config, longest_side=side)
        figures = evaluate_detector(chosen, photographs)
        loaded = create_detector(chosen)
        passes = []
        for _ in range(rounds):
            started = time.thread_time()
            for frame in frames:
                find_faces(frame, loaded, chosen)
            passes.append((time.thread_time() - started) / len(frames) * 1e3)
        print(
            f"| {side} | {figures['recall']:.3f} | {figures['average_precision']:.3f} "
            f"| {figures['average_precision_from']['16']:.3f} | {figures['landmark_error']:.3f} "
            f"| {statistics.median(passes):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
