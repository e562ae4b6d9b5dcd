"""How well are faces followed through made footage, in which it is known who is who?

    python benchmarks/tracks.py [--ways moving ...] [--fps 1 2 5] [--seeds 3] [--detector embedded]

Draws the four faces of sample_media, which wander about (`moving`), up to 1.3 of their widths a second (`restless`),
pass in front of each other (`crossing`; `alike`: in front of a picture of the same person), vanish behind a board for
1.5 s (`hidden`), or change places at cuts ten seconds apart (`cuts`: everybody is somebody new), as videos of 40 s;
decodes, detects and follows as a run does; and compares. For each way and rate:

- faces, tracks: how many were drawn and how many were told apart;
- switches: how often a drawn face goes on under another number (Bernardin & Stiefelhagen 2008, "Evaluating multiple
  object tracking performance: the CLEAR MOT metrics"), and the rate of it, a minute of a face's presence;
- fragments: numbers a drawn face has, beyond its first; mixed: numbers that more than one drawn face has;
- found: share of drawn faces, covered by less than half, that have a detection.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fer_batch.config import DetectorConfig, Sampling
from fer_batch.detection import create_detector
from fer_batch.pipeline.video_merger import VideoMerger
from fer_batch.pipeline.worker import Settings, make_worker
from fer_batch.records import FileResult, FrameChunk, Media, SampledFrame, Task, VideoSections

PHOTOS = Path(__file__).parent.parent / "sample_media" / "photos"
WAYS = ("moving", "restless", "crossing", "alike", "hidden", "cuts")
SECONDS, RATE, SIZE = 40, 10, (640, 360)
SCENE_S, HIDDEN_S, FACE = 10, 1.5, 84
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Drawn:
    """A drawn face: who it is, its box, and whether at least half of it can be seen."""

    who: int
    box: Box
    visible: bool


def cut_out_faces(detector: DetectorConfig) -> list[NDArray[np.uint8]]:
    """The faces of the sample photographs with what is around them, twice as wide as the face, (2 FACE, 2 FACE, 3)."""
    finder, found = create_detector(replace(detector, name="embedded")), []
    for name in ("astronaut.jpg", "grace_hopper.jpg", "two_people.png"):
        photo = cv2.imread(str(PHOTOS / name))
        scale = 640 / max(photo.shape)
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture = photo if finder.needs_colour else cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
        for face in finder.detect(np.asarray(picture, np.uint8), 20):
            side = max(face.width, face.height) * 2
            left, top = face.x + face.width / 2 - side / 2, face.y + face.height / 2 - side / 2
            into = np.array(
                [[2 * FACE / side, 0, -left * 2 * FACE / side], [0, 2 * FACE / side, -top * 2 * FACE / side]]
            )
            found.append(cv2.warpAffine(photo, into, (2 * FACE, 2 * FACE), borderMode=cv2.BORDER_REPLICATE))
    return found


def places(way: str, time: float, rng_seed: int, count: int) -> NDArray[np.float64]:
    """The centres of the faces at a time, (faces, 2), in the order in which they lie behind each other."""
    rng = np.random.default_rng([rng_seed, int(time // SCENE_S) if way == "cuts" else 0])
    across, down = np.linspace(100, SIZE[0] - 100, count), rng.uniform(130, 230, count)
    phase, period = rng.uniform(0, 2 * np.pi, count), rng.uniform(6, 12, count)
    swing = np.sin(2 * np.pi * time / period + phase)
    if way in ("crossing", "alike"):  # Pairs change places and come back, one in front of the other.
        middle, half = np.repeat([180, 460], 2)[:count], np.tile([-90, 90], 2)[:count]
        across = middle + half * np.cos(2 * np.pi * time / 10 + np.repeat(rng.uniform(0, 6, 2), 2)[:count])
        return np.column_stack([across, down])
    if way == "cuts":
        across = rng.permutation(across)
    if way == "restless":
        return np.column_stack([across + 75 * np.sin(2 * np.pi * time / (period / 2 + 1) + phase), down + 20 * swing])
    return np.column_stack([across + 28 * swing, down + 20 * np.cos(2 * np.pi * time / period)])


def draw(way: str, seed: int, faces: list[NDArray[np.uint8]]) -> Iterator[tuple[NDArray[np.uint8], list[Drawn]]]:
    """The frames of a video with the faces in them."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(cv2.imread(str(PHOTOS / "no_face.jpg")), SIZE)
    grounds = [cv2.GaussianBlur(picture, (0, 0), 4) for picture in (ground, 255 - ground, ground[:, ::-1], ground // 2)]
    y, x = np.mgrid[: 2 * FACE, : 2 * FACE] - FACE + 0.5
    mask = np.clip(4 * (1.15 - np.hypot(x / (0.62 * FACE), y / (0.8 * FACE))), 0, 1)[:, :, None]
    hidden_from = rng.uniform(2, SCENE_S - 4, len(faces))
    for index in range(SECONDS * RATE):
        time = index / RATE
        scene = int(time // SCENE_S) if way == "cuts" else 0
        picture = grounds[scene % len(grounds)].astype(np.float32).copy()
        owner = np.full(SIZE[::-1], -1)
        centres = places(way, time, seed, len(faces))
        for who, (face, centre) in enumerate(zip(faces, centres, strict=True)):
            left, top = (round(float(value)) - FACE for value in centre)
            rows, columns = slice(max(top, 0), top + 2 * FACE), slice(max(left, 0), left + 2 * FACE)
            area = picture[rows, columns]
            part = (
                slice(max(-top, 0), max(-top, 0) + area.shape[0]),
                slice(max(-left, 0), max(-left, 0) + area.shape[1]),
            )
            area[:] = mask[part] * face[part] + (1 - mask[part]) * area
            owner[rows, columns][mask[part][:, :, 0] > 0.5] = who
            if way == "hidden" and 0 <= time % SCENE_S - hidden_from[who] < HIDDEN_S:
                board = (slice(max(top, 0), top + 2 * FACE), slice(max(left, 0), left + 2 * FACE))
                picture[board], owner[board] = 90, -1
        truth = []
        for who, (cx, cy) in enumerate(centres):
            box = (cx - FACE / 2, cy - FACE / 2, float(FACE), float(FACE))
            own = owner[max(int(box[1]), 0) : int(box[1]) + FACE, max(int(box[0]), 0) : int(box[0]) + FACE]
            truth.append(Drawn(who + scene * len(faces), box, bool((own == who).sum() > 0.5 * FACE**2)))
        yield picture.clip(0, 255).astype(np.uint8), truth


def make_video(path: Path, way: str, seed: int, faces: list[NDArray[np.uint8]]) -> list[list[Drawn]]:
    truths = []
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "threads": "1"})
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        for index, (picture, truth) in enumerate(draw(way, seed, faces)):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            output.mux(stream.encode(frame))
            truths.append(truth)
        output.mux(stream.encode(None))
    return truths


def overlap(one: Box, other: Box) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def followed(frames: list[SampledFrame], truths: list[list[Drawn]]) -> tuple[dict[int, list[int]], int, int]:
    """The numbers of each drawn face in the order of time; how often a drawn face could be seen, and was found."""
    numbers: dict[int, list[int]] = {}
    seen = found = 0
    for frame in frames:
        assert frame.time is not None
        drawn = [one for one in truths[round(float(frame.time) * RATE)] if one.visible]
        for one in drawn:
            numbers.setdefault(one.who, [])
        seen += len(drawn)
        boxes = [(face.x, face.y, face.width, face.height) for face in frame.faces]
        shares = np.array([[overlap(one.box, box) for box in boxes] for one in drawn]).reshape(len(drawn), len(boxes))
        for row, column in zip(*linear_sum_assignment(-shares), strict=True):
            number = frame.faces[column].track_id
            if shares[row, column] >= 0.3 and number is not None:
                numbers[drawn[row].who].append(number)
                found += 1
    return numbers, seen, found


def figures(frames: list[SampledFrame], truths: list[list[Drawn]], fps: float) -> NDArray[np.float64]:
    """faces, tracks, switches, fragments, mixed, times seen, times found, minutes of presence."""
    numbers, seen, found = followed(frames, truths)
    switches = sum(int(np.count_nonzero(np.diff(own))) for own in numbers.values())
    fragments = sum(max(len(set(own)) - 1, 0) for own in numbers.values())
    holders = [
        sum(number in own for own in numbers.values()) for number in {n for own in numbers.values() for n in own}
    ]
    tracks = {face.track_id for frame in frames for face in frame.faces}
    mixed = sum(count > 1 for count in holders)
    return np.array([len(numbers), len(tracks), switches, fragments, mixed, seen, found, seen / fps / 60])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fps", type=float, nargs="*", default=[1, 2, 5])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
    parser.add_argument("--detector", default="embedded")
    options = parser.parse_args()
    detector = DetectorConfig(options.detector)
    faces = cut_out_faces(detector)
    print(f"{'':10}{'fps':>5}" + "".join(f"{name:>10}" for name in _COLUMNS))
    with tempfile.TemporaryDirectory() as folder:
        for way in options.ways:
            totals = {fps: np.zeros(8) for fps in options.fps}
            for seed in range(options.seeds):
                path = Path(folder) / f"{way}-{seed}.mp4"
                # The photographs show two people twice: neighbours are different ones, or the same.
                truths = make_video(path, way, seed, [faces[i] for i in (0, 2, 1, 3)] if way == "alike" else faces)
                for fps in options.fps:
                    worker = make_worker(Settings(Sampling("fps", fps=fps), detector))
                    task = Task((Media(str(path), path.name, "video", path.stat().st_size, path.stat().st_mtime_ns),))
                    merger = VideoMerger()
                    sent = (message for message in worker(task) if not isinstance(message, VideoSections))
                    *chunks, result = (ready for message in sent for ready in merger.add(message))
                    assert isinstance(result, FileResult)
                    assert result.failure is None, result.failure
                    frames = [frame for chunk in chunks if isinstance(chunk, FrameChunk) for frame in chunk.frames]
                    totals[fps] += figures(frames, truths, fps)
            for fps, (drawn, tracks, switches, fragments, mixed, seen, found, minutes) in totals.items():
                counts = "".join(f"{value:10.0f}" for value in (drawn, tracks, switches, fragments, mixed))
                print(f"{way:10}{fps:5g}{counts}{switches / minutes:10.2f}{found / seen:10.1%}", flush=True)


_COLUMNS = ("faces", "tracks", "switches", "fragments", "mixed", "a minute", "found")


if __name__ == "__main__":
    main()
