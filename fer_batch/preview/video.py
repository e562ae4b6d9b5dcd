"""Draws one video from what the tables say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from fer_batch.media.base import FrameReader
from fer_batch.media.cuts import CutDetector
from fer_batch.media.frame import DecodedFrame
from fer_batch.media.video import open_video
from fer_batch.preview.blur import VideoBlur
from fer_batch.preview.blur_check import MOST_DRAWINGS, BlurCheck, found_in_video
from fer_batch.preview.drawing import draw_faces
from fer_batch.preview.options import Drawn, DrawOptions
from fer_batch.preview.picture_size import sized
from fer_batch.preview.samples import DrawnFrame, Samples
from fer_batch.preview.sound import open_sound
from fer_batch.preview.strip import Strip
from fer_batch.preview.writer import VideoWriter
from fer_batch.records import Code, MediaError, Stage


def _nothing_to_draw(reader: FrameReader, options: DrawOptions) -> MediaError:
    """Why a video gave no frame to draw."""
    error, length = reader.no_frames_error(), reader.info(None).duration_s
    if error.failure.code != Code.NO_FRAMES:
        return error
    if length is not None and length <= options.start:
        message = f"it ends at {length:.1f} s, before --start {options.start:g}"
    elif options.end is not None:
        message = f"it has no picture from --start {options.start:g} to --end {options.end:g}"
    else:
        return error
    return MediaError(Stage.DECODE, Code.NO_FRAMES, message)


def draw_video(
    file: str,
    name: str,
    samples: Samples,
    options: DrawOptions,
    target: Path,
    signature: str,
    advance: Callable[[float], object],
) -> Drawn:
    """Draw a video as MP4, frame by frame: memory does not grow with its length.

    Args:
        file: Path or URL of the source.
        name: What it is called in the strip.
        samples: What the tables say of it.
        options: What is wanted.
        target: Where the MP4 is written.
        signature: What it is made of, kept in the file.
        advance: Called with the seconds of video that were drawn since the last call.

    Returns:
        What was lost, and what is found in it where faces are blurred.

    Raises:
        MediaError: Where no frame can be read.
        OSError: Where the source can't be opened or the target can't be written.
    """
    drawing = _Drawing(file, name, samples, options, target, signature)
    if not options.blur:
        return Drawn(drawing.write(None, advance))
    with VideoBlur() as video_blur:
        for count in range(MOST_DRAWINGS):
            # Drawing is half of the work and the search of the film the other; what is drawn again is beyond the bar.
            progress = _share_of(advance, 0.0 if count else 0.5)
            lost = drawing.write(video_blur, progress)
            check, before = BlurCheck(), Fraction(0)
            for time, found in found_in_video(target):
                video_blur.add_shown(time, check.count(found))
                progress(float(time - before))
                before = time
            if not check.faces:
                break
    return Drawn(lost, check)


def _share_of(advance: Callable[[float], object], share: float) -> Callable[[float], object]:
    return lambda seconds: advance(share * seconds)


@dataclass(frozen=True)
class _Drawing:
    """How a video is drawn; attributes as the arguments of `draw_video`."""

    file: str
    name: str
    samples: Samples
    options: DrawOptions
    target: Path
    signature: str

    def write(self, video_blur: VideoBlur | None, advance: Callable[[float], object]) -> str | None:
        """Write the file. Returns what was lost of a damaged source, in words. Raises: see `draw_video`."""
        start, end = Fraction(str(self.options.start)), None
        if self.options.end is not None:
            end = Fraction(str(self.options.end))
        with open_video(self.file) as reader:
            frames = _frames(reader.frames(start=start), self.samples, start, end, self.options.fps)
            if video_blur is not None:
                frames = video_blur.frames(frames)
            if (first := next(frames, None)) is None:
                raise _nothing_to_draw(reader, self.options)
            height, width = first.picture.shape[:2]
            strip = self._strip(width, height, max(reader.info(None).duration_s or 0.0, float(first.time)))
            with (
                open_sound(self.file, reader.clock_start, start, end) or nullcontext() as sound,
                VideoWriter(self.target, (width, height + strip.height), self.signature, sound) as writer,
            ):
                first_time, before, canvas = first.time, start, np.empty((height + strip.height, width, 3), np.uint8)
                for frame in chain([first], frames):
                    draw_faces(frame.picture, frame.faces, arrows=video_blur is None)
                    canvas[:height], canvas[height:] = frame.picture, strip.draw(float(frame.time))
                    if video_blur is not None:
                        video_blur.hide_shown(canvas, frame.time - first_time)
                    writer.write(canvas, frame.time - start)
                    advance(float(frame.time - before))
                    before = frame.time
                writer.end_at(_shown_until(reader, before) - start, None if end is None else end - start)
            failure = reader.partial_failure(read_to_end=end is None)
            losses = [None if failure is None else failure.message, None if sound is None else sound.lost]
            return "; ".join(filter(None, losses)) or None

    def _strip(self, width: int, height: int, length: float) -> Strip:
        """The strip of a video of `length` seconds, below pictures of that size."""
        start, end = self.options.start, max([length, *self.samples.times[-1:]])
        span = (start, end if self.options.end is None else min(end, self.options.end))
        return Strip(width, height, self.name, self.samples, span)


def _shown_until(reader: FrameReader, last: Fraction) -> Fraction:
    """Second until which the frame at `last` is shown: to the end of what was read, else the end that the container
    states, which a file that was cut off does not reach; else `last`."""
    ends = (reader.stats.end, Fraction(reader.info(None).duration_s or 0))
    return next((end for end in ends if end is not None and end > last), last)


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
