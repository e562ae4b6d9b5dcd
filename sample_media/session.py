"""Make the sample study: recordings of six viewers who watch the same minute, and the two files that describe it.

Run ``python sample_media/session.py [folder]``. The files go to ``sample_study`` beside this folder unless a folder is
given. `VIEWERS` and `SEGMENTS` say who does what and when; README.md there shows it as a table.
"""

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from make import View, load_photos, shoot, write_clip
from viewers import Image, Person, astronaut, hopper, turned

STIMULUS, STIMULUS_S = "trailer", 60
SEGMENTS = (("baseline", 0, 10), ("joke", 15, 25), ("lull", 30, 40), ("twist", 45, 55))
RATE = Fraction(10)  # frames a second
WEBCAM, SEAT = (320, 240), (320, 360)  # width and height in pixels: a recording, one of two seats side by side
ONSET_S = 0.5  # from rest to a full reaction, and back
AWAY_YAW = 62.0  # degrees that a head turns to look away
TAIL_S = 2  # what the recordings hold after the stimulus

GRAY, WARM, COOL, PLAIN = None, (1.08, 1.0, 0.86), (0.9, 1.0, 1.1), (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Viewer:
    """Who is seen and what they do, in seconds of the stimulus; `smile` is how strong, 0 to 1."""

    name: str
    group: str
    person: str
    offset_s: float  # the recording's time at which the stimulus begins
    smile: float
    smiles: tuple[float, float]
    surprised: tuple[float, float]
    away: tuple[float, float] | None = None
    absent: tuple[float, float] | None = None
    mirrored: bool = False
    tint: tuple[float, float, float] | None = PLAIN  # factors of red, green and blue; None is a gray picture


# One recording each for the first four; the last two sit side by side in one.
VIEWERS = (
    Viewer("viewer_1", "regular", "astronaut", 0.0, 1.0, (16.2, 23.5), (46.0, 50.5)),
    Viewer("viewer_2", "regular", "hopper", 3.0, 1.0, (15.8, 24.0), (46.4, 51.0), mirrored=True, tint=COOL),
    Viewer("viewer_3", "newcomer", "astronaut", 1.5, 0.2, (17.0, 21.5), (46.2, 49.5), (31.0, 38.5), tint=GRAY),
    Viewer("viewer_4", "newcomer", "hopper", 5.0, 0.5, (16.8, 21.0), (46.6, 50.0), absent=(33.0, 39.0)),
    Viewer("viewer_5", "regular", "hopper", 2.0, 1.0, (16.0, 24.2), (45.8, 50.2), tint=WARM),
    Viewer("viewer_6", "newcomer", "astronaut", 2.0, 0.12, (17.2, 21.8), (46.5, 49.8), (31.4, 38.0), mirrored=True),
)
SOFA = "sofa.mp4"
ON_SOFA = ("viewer_5", "viewer_6")

# Where the camera stands for a webcam and for a seat.
CAMERAS = {
    ("astronaut", WEBCAM): View(235, 125, 0.95),
    ("hopper", WEBCAM): View(258, 228, 0.7),
    ("astronaut", SEAT): View(225, 135, 1.4),
    ("hopper", SEAT): View(258, 275, 0.68),
}
PEOPLE = {"astronaut": astronaut, "hopper": hopper}


def strength(time: float, span: tuple[float, float] | None) -> float:
    """Return how far a reaction has come at a time: 0 outside its span, 1 inside, smooth at both ends."""
    if span is None:
        return 0.0
    part = float(np.clip(min(time - span[0], span[1] - time) / ONSET_S, 0, 1))
    return part * part * (3 - 2 * part)


def blend(a: Image, b: Image, part: float) -> Image:
    """Return a picture on the way from a (part 0) to b (part 1)."""
    return a if part == 0 else b if part == 1 else cv2.addWeighted(a, 1 - part, b, part, 0)


def picture(viewer: Viewer, person: Person, size: tuple[int, int], time: float) -> Image:
    """Return the viewer's frame at a time of the stimulus."""
    photo = blend(person.rest, person.smile, strength(time, viewer.smiles))
    photo = blend(photo, person.surprise, strength(time, viewer.surprised))
    away = strength(time, viewer.away)
    if away and person.wall is not None:
        photo = turned(photo, person.wall, AWAY_YAW * away)
    camera = CAMERAS[viewer.person, size]
    phase = len(viewer.name) + 2.4 * VIEWERS.index(viewer)
    x = camera.x + 3 * np.sin(time / 1.7 + phase)
    y = camera.y + 2 * np.sin(time / 2.3 + 2 * phase) - strength(time, viewer.absent) * 1.2 * size[1] / camera.zoom
    frame = shoot(photo, View(x, y, camera.zoom * (1 + 0.015 * np.sin(time / 3.1 + phase))), size)
    frame = frame[:, ::-1] if viewer.mirrored else frame
    if viewer.tint is None:
        return cv2.cvtColor(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.clip(frame * np.array(viewer.tint), 0, 255).astype(np.uint8)


def recording(viewer: Viewer, size: tuple[int, int], photos: dict[str, Image]) -> Iterator[Image]:
    """Yield all frames of a viewer, from before the stimulus begins to after it has ended."""
    person = PEOPLE[viewer.person](photos[viewer.person], viewer.smile)
    for index in range(int((viewer.offset_s + STIMULUS_S + TAIL_S) * RATE)):
        yield picture(viewer, person, size, index / float(RATE) - viewer.offset_s)


def write_recordings(folder: Path, photos: dict[str, Image]) -> None:
    """Write a video for each viewer at a webcam, and one for the two on the sofa."""
    seats = [viewer for viewer in VIEWERS if viewer.name in ON_SOFA]
    for viewer in VIEWERS:
        if viewer not in seats:
            write_clip(folder / f"{viewer.name}.mp4", recording(viewer, WEBCAM, photos), WEBCAM, RATE)
    both = zip(*(recording(viewer, SEAT, photos) for viewer in seats), strict=True)
    write_clip(folder / SOFA, (np.hstack(pair) for pair in both), (2 * SEAT[0], SEAT[1]), RATE)


def write_tables(folder: Path) -> None:
    """Write study.csv, a row per viewer, and segments.csv."""
    with (folder / "study.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["media", "respondent", "stimulus", "offset_s", "faces", "x", "y", "width", "height", "group"])
        for viewer in VIEWERS:
            where: tuple[object, ...] = ("", "", "", "")
            if viewer.name in ON_SOFA:
                where = (ON_SOFA.index(viewer.name) / 2, 0, 0.5, 1)
            media = SOFA if viewer.name in ON_SOFA else f"{viewer.name}.mp4"
            rows.writerow([media, viewer.name, STIMULUS, viewer.offset_s, "all", *where, viewer.group])
    with (folder / "segments.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("stimulus", "segment", "start_s", "end_s"))
        rows.writerows((STIMULUS, *segment) for segment in SEGMENTS)


def main() -> None:
    """Make all files in the folder named on the command line, or in ``sample_study``."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "sample_study"
    folder.mkdir(parents=True, exist_ok=True)
    first, second, _ = load_photos()
    write_recordings(folder, {"astronaut": first, "hopper": second})
    write_tables(folder)


if __name__ == "__main__":
    main()
