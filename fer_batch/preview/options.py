"""What is wanted of a preview, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fer_batch.preview.blur_check import BlurCheck


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


@dataclass(frozen=True)
class Drawn:
    """What came of one file.

    Attributes:
        lost: What was lost of a damaged source, in words; None where nothing was.
        check: What is found in what was written, where faces are blurred.
    """

    lost: str | None = None
    check: BlurCheck = field(default_factory=BlurCheck)
