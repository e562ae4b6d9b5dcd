"""The footage of the speed benchmarks, drawn from the sample photographs: some seconds are encoded, then repeated."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

PHOTOS = Path(__file__).parent.parent / "sample_media" / "photos"
SIZE = (1920, 1080)
RATE = 30
#: Seconds that are encoded before they are repeated.
_LOOP_S = 20


def make_video(path: Path, minutes: float, codec: str = "libx264", gop: int = 250) -> Path:
    """1080p, 30 frames a second, the encoder's own defaults but for a fast preset: a camera drifts over photographs
    of people, with a film's grain; every ten seconds the picture changes."""
    loop = path.with_name(f"loop-{codec}-gop{gop}.mp4")
    if not loop.exists():
        _encode(loop.with_suffix(".part.mp4"), codec, gop).rename(loop)
    return repeat(loop, path, round(minutes * 60 / _LOOP_S))


def _encode(path: Path, codec: str, gop: int) -> Path:
    options = {"preset": "veryfast" if codec == "libx264" else "ultrafast", "crf": "23", "g": str(gop)}
    if codec == "libx265":
        options["x265-params"] = "log-level=none"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=RATE, options=options)
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        stream.codec_context.gop_size = gop
        for index, picture in enumerate(_pictures(_LOOP_S * RATE)):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def repeat(source: Path, target: Path, times: int) -> Path:
    """A video so many times in a row, without encoding it again."""
    with av.open(str(target), "w") as output:
        copy = None
        for turn in range(times):
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                copy = copy or output.add_stream_from_template(stream)
                assert stream.duration is not None
                for packet in container.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.dts += turn * stream.duration
                    packet.pts += turn * stream.duration
                    packet.stream = copy
                    output.mux(packet)
    return target


def make_photographs(folder: Path, count: int) -> Path:
    """So many JPEGs of 12 megapixels: ten are drawn, the others are hard links to them, since 2,000 files of 3 MB are a
    lot to make. They are in memory all the time: what a disk takes is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    drawn: list[Path] = []
    for number in range(min(10, count)):
        photo = cv2.resize(_photo(number), (4000, 3000), interpolation=cv2.INTER_CUBIC)
        grain = rng.integers(-12, 13, photo.shape[:2], np.int16)[:, :, None]
        picture = np.clip(photo.astype(np.int16) + grain, 0, 255).astype(np.uint8)
        drawn.append(folder / f"{number:05}.jpg")
        drawn[-1].write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    for number in range(len(drawn), count):
        (folder / f"{number:05}.jpg").hardlink_to(drawn[number % len(drawn)])
    return folder


def _photo(number: int) -> NDArray[np.uint8]:
    names = ("two_people.png", "astronaut.jpg", "grace_hopper.jpg")
    picture = cv2.imread(str(PHOTOS / names[number % len(names)]))
    assert picture is not None
    return np.asarray(picture if number < len(names) else picture[:, ::-1], np.uint8)


def _pictures(count: int) -> Iterator[NDArray[np.uint8]]:
    width, height = SIZE
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 4, (height + 64, width + 64, 1)).astype(np.int16)
    for index in range(count):
        scene, within = divmod(index, count // 2)
        photo = _photo(scene)
        if within == 0:
            side = 1.15 * max(width / photo.shape[1], height / photo.shape[0])
            canvas = cv2.resize(photo, None, fx=side, fy=side, interpolation=cv2.INTER_CUBIC).astype(np.int16)
            room = canvas.shape[1] - width, canvas.shape[0] - height
        phase = 0.5 - 0.5 * np.cos(2 * np.pi * within / (count // 2))
        x, y = round(room[0] * phase), round(room[1] * phase / 2)
        i, j = rng.integers(0, 64, 2)
        picture = canvas[y : y + height, x : x + width] + grain[i : i + height, j : j + width]
        yield np.clip(picture, 0, 255).astype(np.uint8)
