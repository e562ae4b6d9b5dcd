"""What every reader of moving pictures has in common: one interface, and what it tells of the reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from fer_batch.media.frame import DecodedFrame
from fer_batch.records import Failure, MediaError, MediaInfo

#: Which frames the decoder may leave out, in FFmpeg's words: none, those no other depends on, all but key frames.
Skip = Literal["DEFAULT", "NONREF", "NONKEY"]
#: PyAV's packet, of a kind of stream that its stubs name.
Packet = Any
#: Seconds on the player's clock, from a time stamp (pts).
ToSeconds = Callable[[int], Fraction]
#: Every packet with what the decoder may leave out at it, or None where it need not see the packet at all.
SkipDecisions = Iterator[tuple[Packet, Skip | None]]
#: Decides what may be left out, from time stamps that are known a group of pictures ahead.
SkipPlan = Callable[[Iterable[Packet], ToSeconds], SkipDecisions]


@dataclass
class ReadStats:
    """What reading one file came across; filled while it is read.

    Attributes:
        errors: Packets and frames that were damaged, and reads that failed.
        last_error: FFmpeg's or Pillow's words for the last of them.
        given_up: Whether nothing more is read because of them.
        without_time: Frames that had no time stamp and were left out.
        joins: How often the time stamps began again.
        gaps_s: Seconds by which they jumped ahead, in all.
        end: Seconds on the player's clock at which the last frame ends; None before the first.
        begin: Seconds on the player's clock of the first frame; None before it.
        packets: Packets of the video stream.
        last_byte: Where in the file the last of them ends.
    """

    errors: int = 0
    last_error: str = ""
    given_up: bool = False
    without_time: int = 0
    joins: int = 0
    gaps_s: Fraction = Fraction(0)
    end: Fraction | None = None
    begin: Fraction | None = None
    packets: int = 0
    last_byte: int = 0

    def count_error(self, error: Exception) -> None:
        """Note an error."""
        self.errors += 1
        self.last_error = " ".join(str(error).split())

    def give_up(self, reason: str) -> None:
        """Note why nothing more is read."""
        self.count_error(ValueError(reason))
        self.given_up = True


class FrameReader(Protocol):
    """A moving picture, open for reading. Use it as a context manager."""

    stats: ReadStats

    @property
    def tick(self) -> Fraction:
        """The resolution of the time stamps, in seconds."""
        ...

    @property
    def clock_start(self) -> Fraction:
        """The time stamp, in seconds, that is 0 on the player's clock."""
        ...

    @property
    def stated_end(self) -> Fraction | None:
        """Seconds on the player's clock at which the video ends by what the file states; None where it states none."""
        ...

    def info(self, size: tuple[int, int] | None) -> MediaInfo:
        """What the file says of itself. `size`: width and height of a frame as shown, if one was read."""
        ...

    def key_frames(self, times: Iterable[Fraction]) -> list[Fraction]:
        """The time of the last key frame at or before each of `times`, ascending, none twice; empty where only reading
        from the beginning is sure."""
        ...

    def frames(
        self, skip: Skip = "DEFAULT", start: float | Fraction = 0, plan: SkipPlan | None = None
    ) -> Iterator[DecodedFrame]:
        """Decoded frames in order of presentation, from `start` seconds on, and perhaps a few before it.

        Args:
            skip: What the decoder may leave out.
            start: Seconds on the player's clock.
            plan: Takes the place of `skip` where time stamps are sure.
        """
        ...

    def partial_failure(self, read_to_end: bool) -> Failure | None:
        """What was lost of the file, or is odd about it, to be kept beside what was read."""
        ...

    def no_frames_error(self) -> MediaError:
        """Why a file that opened gave no frame at all."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
