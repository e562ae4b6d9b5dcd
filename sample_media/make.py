"""Make the sample photos and clips from two free photographs of people and one of a coffee cup.

Run ``python sample_media/make.py [folder]``. The files go beside this script unless a folder is given.
README.md in this folder says where the photographs come from and what each file shows.
"""

import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from matplotlib import cbook
from PIL import Image
from skimage import data

WIDE = (640, 360)  # frame size of most clips: width, height in pixels
HALF = (320, 360)  # one of two people side by side in a wide frame
TALL = (270, 480)  # the phone clip as it is shown
SQUARE = (200, 200)  # the animated GIF

FILM_RATE = Fraction(25)
MEETING_RATE = Fraction(30000, 1001)
PHONE_RATE = Fraction(30)
GIF_RATE = 10

PAN_FRAMES = 200  # 8 s at 25 frames a second
FADE_FRAMES = 25  # length of the cross-fade in the middle
MEETING_FRAMES = (90, 90, 60)  # two people, nobody, one person: 3 s, 3 s, 2 s
PHONE_FRAMES = 120
GIF_FRAMES = 20

UNEVEN_GAPS_MS = (33, 40, 67, 100, 250)
UNEVEN_LENGTH_MS = 5000
UNEVEN_SEED = 7
UNEVEN_CLOCK = Fraction(1, 90000)  # seconds per tick
TICKS_PER_MS = 90

PHONE_ROTATION = -90  # degrees counter-clockwise from stored to shown: a phone held upright
EXIF_ORIENTATION_TAG = 0x0112
EXIF_TURN_CLOCKWISE = 6  # the reader must turn the stored pixels 90 degrees clockwise

JPEG_QUALITY = 88
GIF_COLOURS = 96
# With one thread and the same methods on every processor, a second run gives the same bytes.
X264_OPTIONS = {
    "crf": "27",
    "preset": "slow",
    "threads": "1",
    "flags": "+bitexact",
    "x264-params": "cpu-independent=1",
}
MP4_OPTIONS = {"fflags": "+bitexact", "movflags": "+faststart"}


class View(NamedTuple):
    """The part of a photo a frame shows: its centre in photo pixels, and frame pixels per photo pixel."""

    x: float
    y: float
    zoom: float


# Views of the astronaut (face about 95 pixels wide, centred near 224, 113).
ASTRONAUT_WIDE = View(250, 130, 1.45)
ASTRONAUT_CLOSE = View(226, 113, 2.0)
ASTRONAUT_HALF = View(222, 124, 1.5)
ASTRONAUT_HALF_END = View(228, 118, 1.6)
ASTRONAUT_LEFT = View(185, 122, 1.72)
ASTRONAUT_RIGHT = View(290, 118, 1.72)
ASTRONAUT_TALL = View(215, 200, 1.25)
ASTRONAUT_TALL_END = View(235, 190, 1.4)
ASTRONAUT_SQUARE = View(212, 112, 1.02)
ASTRONAUT_SQUARE_END = View(232, 116, 1.22)

# Views of Grace Hopper (face about 222 pixels wide, centred near 266, 216).
HOPPER_HIGH = View(256, 192, 1.27)
HOPPER_LOW = View(262, 222, 1.36)
HOPPER_HALF = View(256, 285, 0.645)
HOPPER_HALF_END = View(262, 272, 0.69)

# Views of the coffee cup.
COFFEE_LEFT = View(278, 190, 1.16)
COFFEE_RIGHT = View(322, 212, 1.16)


def load_photos() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the astronaut, Grace Hopper and the coffee cup as 8-bit RGB arrays."""
    hopper_file = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    with Image.open(hopper_file) as image:
        hopper = np.asarray(image.convert("RGB"))
    return data.astronaut(), hopper, data.coffee()


def shoot(photo: np.ndarray, view: View, size: tuple[int, int]) -> np.ndarray:
    """Return what a camera sees of the photo: an RGB frame of the given width and height in pixels."""
    width, height = size
    matrix = np.array(
        [
            [view.zoom, 0, (width - 1) / 2 - view.zoom * view.x],
            [0, view.zoom, (height - 1) / 2 - view.zoom * view.y],
        ]
    )
    if view.zoom < 1:
        # Warping does not average pixels, so fine detail would flicker when the photo shrinks.
        photo = cv2.GaussianBlur(photo, (0, 0), 0.4 / view.zoom)
    return cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def glide(start: View, end: View, part: float) -> View:
    """Return the view on the way from start (part 0) to end (part 1), slow at both ends."""
    eased = part * part * (3 - 2 * part)
    return View(*(a + (b - a) * eased for a, b in zip(start, end, strict=True)))


def film(photo: np.ndarray, start: View, end: View, size: tuple[int, int], length: int) -> Iterator[np.ndarray]:
    """Yield ``length`` frames of a camera gliding over the photo."""
    for part in np.linspace(0, 1, length):
        yield shoot(photo, glide(start, end, part), size)


def pan_and_zoom(astronaut: np.ndarray, hopper: np.ndarray) -> Iterator[np.ndarray]:
    """Yield frames that zoom in on the astronaut, then cross-fade to Grace Hopper at the middle."""
    shot = (PAN_FRAMES + FADE_FRAMES) // 2
    first = list(film(astronaut, ASTRONAUT_WIDE, ASTRONAUT_CLOSE, WIDE, shot))
    second = list(film(hopper, HOPPER_HIGH, HOPPER_LOW, WIDE, PAN_FRAMES + FADE_FRAMES - shot))
    yield from first[:-FADE_FRAMES]
    for i in range(FADE_FRAMES):
        weight = (i + 1) / (FADE_FRAMES + 1)
        yield cv2.addWeighted(first[i - FADE_FRAMES], 1 - weight, second[i], weight, 0)
    yield from second[FADE_FRAMES:]


def meeting(astronaut: np.ndarray, hopper: np.ndarray, coffee: np.ndarray) -> Iterator[np.ndarray]:
    """Yield frames with two people, then with nobody, then with one person."""
    together, nobody, alone = MEETING_FRAMES
    left = film(astronaut, ASTRONAUT_HALF, ASTRONAUT_HALF_END, HALF, together)
    right = film(hopper, HOPPER_HALF, HOPPER_HALF_END, HALF, together)
    yield from (np.hstack(pair) for pair in zip(left, right, strict=True))
    yield from film(coffee, COFFEE_LEFT, COFFEE_RIGHT, WIDE, nobody)
    yield from film(hopper, HOPPER_LOW, HOPPER_HIGH, WIDE, alone)


def phone(astronaut: np.ndarray) -> Iterator[np.ndarray]:
    """Yield upright portrait frames turned sideways, as a phone's sensor stores them."""
    for frame in film(astronaut, ASTRONAUT_TALL, ASTRONAUT_TALL_END, TALL, PHONE_FRAMES):
        yield np.rot90(frame, k=-PHONE_ROTATION // 90)


def uneven_times() -> list[int]:
    """Return frame times in milliseconds with gaps of many lengths, the same on every run."""
    rng = np.random.default_rng(UNEVEN_SEED)
    times = [0]
    while times[-1] < UNEVEN_LENGTH_MS:
        times.append(times[-1] + int(rng.choice(UNEVEN_GAPS_MS)))
    return times


def variable_rate(astronaut: np.ndarray, times_ms: list[int]) -> Iterator[np.ndarray]:
    """Yield one frame for each time. The camera moves by the clock, so the face moves smoothly."""
    for time in times_ms:
        yield shoot(astronaut, glide(ASTRONAUT_LEFT, ASTRONAUT_RIGHT, time / times_ms[-1]), WIDE)


def write_clip(
    path: Path,
    frames: Iterable[np.ndarray],
    size: tuple[int, int],
    rate: Fraction,
    *,
    ticks: Iterable[int] | None = None,
    rotation: int = 0,
) -> None:
    """Write RGB frames as an H.264 MP4 file.

    ``size`` is the stored width and height in pixels, ``rate`` is in frames a second. ``ticks`` gives uneven frame
    times, counted by UNEVEN_CLOCK. ``rotation`` is how far, in degrees counter-clockwise, a player turns the picture.
    """
    clock = UNEVEN_CLOCK if ticks else 1 / rate
    with av.open(path, "w", container_options=MP4_OPTIONS) as container:
        stream = container.add_stream("libx264", rate=rate, options=X264_OPTIONS)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = clock
        if rotation:
            stream.set_display_rotation(rotation)
        for frame, tick in zip(frames, ticks or count(), strict=False):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = tick, clock
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def write_gif(path: Path, frames: Iterable[np.ndarray]) -> None:
    """Write RGB frames as an endless GIF. All frames share the first frame's colours, so they do not flicker."""
    images = [Image.fromarray(frame) for frame in frames]
    palette = images[0].quantize(GIF_COLOURS)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    images[0].save(path, save_all=True, append_images=images[1:], duration=1000 // GIF_RATE, loop=0)


def write_sideways_jpeg(path: Path, photo: np.ndarray) -> None:
    """Write the photo with its pixels on their side and an EXIF tag that tells readers to turn them back."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION_TAG] = EXIF_TURN_CLOCKWISE
    Image.fromarray(np.rot90(photo)).save(path, quality=JPEG_QUALITY, exif=exif)


def write_photos(folder: Path, astronaut: np.ndarray, hopper: np.ndarray, coffee: np.ndarray) -> None:
    """Write the still images into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = shoot(astronaut, ASTRONAUT_HALF, HALF), shoot(hopper, HOPPER_HALF, HALF)
    Image.fromarray(astronaut).save(folder / "astronaut.jpg", quality=JPEG_QUALITY)
    write_sideways_jpeg(folder / "grace_hopper.jpg", hopper)
    Image.fromarray(np.hstack(pair)).save(folder / "two_people.png", optimize=True)
    Image.fromarray(coffee).save(folder / "no_face.jpg", quality=JPEG_QUALITY)


def write_clips(folder: Path, astronaut: np.ndarray, hopper: np.ndarray, coffee: np.ndarray) -> None:
    """Write the videos and the GIF into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_clip(folder / "pan_and_zoom.mp4", pan_and_zoom(astronaut, hopper), WIDE, FILM_RATE)
    write_clip(folder / "meeting.mp4", meeting(astronaut, hopper, coffee), WIDE, MEETING_RATE)
    write_clip(folder / "phone.mp4", phone(astronaut), TALL[::-1], PHONE_RATE, rotation=PHONE_ROTATION)
    times = uneven_times()
    mean_rate = Fraction(1000 * (len(times) - 1), times[-1])
    ticks = [time * TICKS_PER_MS for time in times]
    write_clip(folder / "variable_rate.mp4", variable_rate(astronaut, times), WIDE, mean_rate, ticks=ticks)
    gif = film(astronaut, ASTRONAUT_SQUARE, ASTRONAUT_SQUARE_END, SQUARE, GIF_FRAMES)
    write_gif(folder / "animated.gif", gif)


def main() -> None:
    """Make all files in the folder named on the command line, or beside this script."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    photos = load_photos()
    write_photos(folder / "photos", *photos)
    write_clips(folder / "clips", *photos)


if __name__ == "__main__":
    main()
