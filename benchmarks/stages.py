"""Where does a run spend its processor time?

    python benchmarks/stages.py VIDEO [--fps 1 | --every 1] [--longest-side 640] [--yunet FILE] [--rounds 3]

Does in one process what a run does in several, one stage at a time, with libraries loaded before: prints for each stage
the milliseconds of processor time for a sampled frame and the share, medians over the rounds.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from fer_batch.config import Sampling
from fer_batch.emotion.classifier import Classifier
from fer_batch.emotion.model_folder import find_model, read_config
from fer_batch.pipeline import worker as work
from fer_batch.pipeline.resolve import resolve_detector
from fer_batch.pipeline.tracker import Tracker
from fer_batch.records import FrameChunk, Media, Section, Task, VideoSections
from fer_batch.run_config import RunConfig

Spent = defaultdict[str, float]


def timed(spent: Spent, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        started = time.process_time()
        try:
            return function(*args, **options)
        finally:
            spent[stage] += time.process_time() - started

    return call


def timed_steps(spent: Spent, stage: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def steps(*args: Any) -> Iterator[Any]:
        following = timed(spent, stage, function(*args).__next__)
        while True:
            try:
                yield following()
            except StopIteration:
                return

    return steps


def chunks_of(worker: work.Worker, task: Task) -> Iterator[FrameChunk]:
    """The frames that a worker samples of a task, then of the other sections of a long video."""
    others: tuple[Section, ...] = ()
    for message in worker.process(task):
        if isinstance(message, VideoSections):
            others = message.sections[1:]
        elif isinstance(message, FrameChunk):
            yield message
    for section in others:
        yield from chunks_of(worker, Task(task.media, section))


def track(chunks: list[FrameChunk]) -> None:
    tracker = Tracker()
    for chunk in chunks:
        crops = iter(chunk.crops)
        for frame in chunk.frames:
            tracker(float(frame.time or 0), frame.scene, [(face, next(crops)) for face in frame.faces])


def measure(task: Task, worker: work.Worker, classifier: Classifier, spent: Spent) -> int:
    """One round; returns the number of frames."""
    started = time.process_time()
    chunks = list(chunks_of(worker, task))
    known = spent["decode"] + spent["search"] + spent["crop"]
    spent["choose frames, look for cuts, the rest"] += time.process_time() - started - known
    timed(spent, "track faces", track)(chunks)
    timed(spent, "classify", classifier)(np.concatenate([chunk.crops for chunk in chunks]))
    return sum(len(chunk.frames) for chunk in chunks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--fps", type=float, default=1.0)
    parser.add_argument("--every", type=int)
    parser.add_argument("--longest-side", type=int, default=640)
    parser.add_argument("--yunet", type=Path, help="a YuNet file to search with, in place of the embedded detector")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sampling = Sampling(fps=options.fps) if options.every is None else Sampling("every", every=options.every)
    name = "yunet" if options.yunet else "embedded"
    detector = resolve_detector(
        RunConfig(detector=name, detector_model=options.yunet, longest_side=options.longest_side)
    )
    worker = work.Worker(work.Settings(sampling, detector))
    folder = find_model("emotion")
    classifier = Classifier(folder, read_config(folder).labels, 64, "cpu")
    classifier.load()
    status = options.video.stat()
    media = Media(str(options.video), options.video.name, "video", status.st_size, status.st_mtime_ns)
    originals = work._pictures, work.find_faces, work.crop_face
    rounds: list[Spent] = []
    for _ in range(options.rounds):
        spent: Spent = defaultdict(float)
        work._pictures = timed_steps(spent, "decode", originals[0])
        work.find_faces = timed(spent, "search", originals[1])
        work.crop_face = timed(spent, "crop", originals[2])
        frames = measure(Task((media,)), worker, classifier, spent)
        rounds.append(spent)
    total = median(sum(spent.values()) for spent in rounds)
    print(f"{options.video.name}, {frames} frames, longest side {options.longest_side}: {total:.2f} s")
    print("| stage | ms of processor time a frame | share |\n| --- | --- | --- |")
    for stage in rounds[0]:
        seconds = median(spent[stage] for spent in rounds)
        print(f"| {stage} | {seconds / frames * 1000:.2f} | {seconds / total:.0%} |")


if __name__ == "__main__":
    main()
