"""Draws one video or image from what the tables say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import ceil
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_batch.media.base import FrameReader
from fer_batch.media.cuts import CutDetector
from fer_batch.media.frame import DecodedFrame
from fer_batch.media.image import read_image
from fer_batch.media.video import open_video
from fer_batch.preview.blur import BlurCheck, blur, blurred, face_finder, searched
from fer_batch.preview.drawing import draw_faces
from fer_batch.preview.samples import DrawnFrame, Samples
from fer_batch.preview.sound import open_sound
from fer_batch.preview.strip import Strip
from fer_batch.preview.writer import VideoWriter
from fer_batch.records import Code, MediaError, Stage
from fer_batch.storage import open_file

#: Narrower pictures are enlarged, larger ones reduced, so that text can be read and a file can be played.
_LEAST_WIDTH, _LONGEST_SIDE = 320, 3840
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class DrawOptions:
    """What is drawn of a video.

    Attributes:
        start: First second.
        end: Second before which it ends; None for the video's end.
        fps: Frames a second, at most; sampled frames are always drawn. None for all frames.
        blur: Whether faces are made unrecognizable.
    """

    start: float = 0.0
    end: float | None = None
    fps: float | None = None
    blur: bool = False


def draw_image(
    file: str,
    name: str,
    samples: Samples,
    options: DrawOptions,
    target: Path,
    signature: str,
    check: BlurCheck | None = None,
) -> None:
    """Draw an image as JPEG; nothing of its metadata is kept. Arguments: as of `draw_video`. Raises MediaError and
    OSError."""
    _, frame, _ = read_image(file, colour=True)
    assert frame.bgr is not None
    picture = _resized(frame.bgr, *_size(frame.bgr.shape[1], frame.bgr.shape[0]))
    faces = samples.faces_at(0.0)
    if options.blur:
        blur(picture, [*face_finder().boxes(picture), *(face.box for face in faces)])
    draw_faces(picture, faces, arrows=not options.blur)
    if check is not None:
        check.search(picture)
    strip = Strip(picture.shape[1], picture.shape[0], name, samples, (0.0, 0.0))
    write_jpeg(np.vstack([picture, strip.draw(0.0)]), target, signature)


def write_jpeg(picture: NDArray[np.uint8], target: Path, signature: str = "") -> None:
    """Write a picture, uint8 (h, w, 3), BGR. `signature`: what it is made of, kept as its comment."""
    image = Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1]))
    with target.open("wb") as stream:
        image.save(stream, "JPEG", quality=_JPEG_QUALITY, comment=signature.encode())


def signature_of_image(path: Path) -> str | None:
    """What a JPEG was made of, as `write_jpeg` was told; None for another file. Raises OSError where it can't be
    read."""
    with open_file(str(path)) as stream, Image.open(stream) as image:
        comment = image.info.get("comment")
        return comment.decode("utf-8", "replace") if isinstance(comment, bytes) else None


def _nothing_to_draw(reader: FrameReader, options: DrawOptions) -> MediaError:
    """Why a video gave no frame to draw."""
    error, length = reader.no_frames_error(), reader.info(None).duration_s
    if error.failure.code != Code.NO_FRAMES or length is None or length > options.start:
        return error
    message = f"it ends at {length:.1f} s, before --start {options.start:g}"
    return MediaError(Stage.DECODE, Code.NO_FRAMES, message)


def draw_video(
    file: str,
    name: str,
    samples: Samples,
    options: DrawOptions,
    target: Path,
    signature: str,
    advance: Callable[[float], object],
    check: BlurCheck | None = None,
) -> str | None:
    """Draw a video as MP4, frame by frame: memory does not grow with its length.

    Args:
        file: Path or URL of the source.
        name: What it is called in the strip.
        samples: What the tables say of it.
        options: What is wanted.
        target: Where the MP4 is written.
        signature: What it is made of, kept in the file.
        advance: Called with the seconds of video that were drawn since the last call.
        check: Searches all that is drawn, where faces are blurred.

    Returns:
        What was lost of a damaged source, in words.

    Raises:
        MediaError: Where no frame can be read.
        OSError: Where the source can't be opened or the target can't be written.
    """
    start, end = Fraction(str(options.start)), None if options.end is None else Fraction(str(options.end))
    with open_video(file) as reader:
        frames = _frames(reader.frames(start=start), samples, start, end, options.fps)
        if options.blur:
            frames = blurred(searched(frames))
        if (first := next(frames, None)) is None:
            raise _nothing_to_draw(reader, options)
        height, width = first.picture.shape[:2]
        length = max(reader.info(None).duration_s or 0.0, *samples.times[-1:], float(first.time))
        strip = Strip(width, height, name, samples, (options.start, length if end is None else min(length, float(end))))
        with (
            open_sound(file, reader.clock_start, start, end) or nullcontext() as sound,
            VideoWriter(target, (width, height + strip.height), signature, sound) as writer,
        ):
            before, canvas = start, np.empty((height + strip.height, width, 3), np.uint8)
            for frame in chain([first], frames):
                draw_faces(frame.picture, frame.faces, arrows=not options.blur)
                if check is not None:
                    check.search(frame.picture)
                canvas[:height], canvas[height:] = frame.picture, strip.draw(float(frame.time))
                writer.write(canvas, frame.time - start)
                advance(float(frame.time - before))
                before = frame.time
        failure = reader.partial_failure(read_to_end=end is None)
        return None if failure is None else failure.message


def _frames(
    pictures: Iterable[DecodedFrame], samples: Samples, start: Fraction, end: Fraction | None, fps: float | None
) -> Iterator[DrawnFrame]:
    """The frames to draw, all of one size."""
    interval = Fraction(0) if fps is None else 1 / Fraction(str(fps))
    scene, cut = 0, 0.0
    latest: Fraction | None = None
    size: tuple[int, int] | None = None
    for frame in CutDetector()(pictures):
        time = float(frame.time)
        if frame.scene != scene:
            scene, cut = frame.scene, time
        if end is not None and frame.time >= end:
            return
        if frame.time < start or (latest is not None and frame.time <= latest):  # Time jumps back in some files.
            continue
        due = latest is None or (frame.time - start) // interval > (latest - start) // interval if interval else True
        if not due and not samples.is_sampled(time):
            continue
        latest = frame.time
        picture = sized(frame.picture, size)
        size = size or (picture.shape[1], picture.shape[0])
        faces = [face for face in samples.faces_at(time) if face.held_since is None or face.held_since >= cut]
        yield DrawnFrame(frame.time, picture, faces, frame.scene)


def sized(picture: DecodedFrame, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A decoded frame at the size at which it is drawn, or at another, width and height; uint8 (h, w, 3), BGR."""
    bgr = picture.bgr(_LONGEST_SIDE)
    return _resized(bgr, *(size or _size(bgr.shape[1], bgr.shape[0])))


def _size(width: int, height: int) -> tuple[int, int]:
    """The size at which a picture is drawn, in pixels."""
    scale = min(max(1, ceil(_LEAST_WIDTH / width)), _LONGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A picture of that size that may be drawn into."""
    if picture.shape[:2] == (height, width):
        return picture if picture.flags.writeable else picture.copy()
    interpolation = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=interpolation), np.uint8)
