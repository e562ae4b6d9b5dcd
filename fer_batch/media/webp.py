"""Animated WebP, by Pillow: FFmpeg decodes only still ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Self

from PIL import Image

from fer_batch.media.base import ReadStats, Skip, SkipPlan
from fer_batch.media.frame import DecodedFrame
from fer_batch.media.image import MAX_PIXELS, flat, own_pixel_limit
from fer_batch.records import Code, Failure, MediaError, MediaInfo, Stage
from fer_batch.storage import is_url, open_file

#: Browsers show a frame that states no more milliseconds than this for so many instead, as FFmpeg does for GIF.
_SHORTEST_MS, _SHOWN_INSTEAD_MS = 10, 100


class AnimatedWebpReader:
    """An animated WebP; see `FrameReader`. Its times are the sums of its frames' durations."""

    tick = Fraction(1, 1000)
    stated_end = None
    clock_start = Fraction(0)

    def __init__(self, file: str) -> None:
        """Open the file. Raises MediaError `invalid_data`."""
        self.stats = ReadStats()
        try:
            with own_pixel_limit():
                self._image = Image.open(open_file(file) if is_url(file) else file)
        except Exception as error:  # Pillow raises many types on damaged files.
            raise MediaError(Stage.DECODE, Code.INVALID_DATA, f"damaged picture ({error})") from error
        if self._image.width * self._image.height > MAX_PIXELS:
            self._image.close()
            raise MediaError(Stage.DECODE, Code.TOO_LARGE, "more pixels than the limit; make it smaller")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._image.close()

    def info(self, size: tuple[int, int] | None) -> MediaInfo:
        """Size and codec; the duration is known once all has been read."""
        duration = float(self.stats.end) if self.stats.end is not None else None
        return MediaInfo(*self._image.size, duration, "webp")

    def key_frames(self, times: Iterable[Fraction]) -> list[Fraction]:
        """None: it can only be read from its beginning."""
        return []

    def frames(
        self, skip: Skip = "DEFAULT", start: float | Fraction = 0, plan: SkipPlan | None = None
    ) -> Iterator[DecodedFrame]:
        """All frames in order; of a WebP none can be left out, but for key frames only the first is given."""
        time = Fraction(0)
        for index in range(1 if skip == "NONKEY" else getattr(self._image, "n_frames", 1)):
            try:
                self._image.seek(index)
                self._image.load()
            except Exception as error:  # As above.
                self.stats.count_error(error)
                return
            yield DecodedFrame(time, flat(self._image.copy()))
            shown_ms = round(self._image.info.get("duration", 0))
            time += Fraction(shown_ms if shown_ms > _SHORTEST_MS else _SHOWN_INSTEAD_MS) * self.tick
            self.stats.end = time

    def partial_failure(self, read_to_end: bool) -> Failure | None:
        """What was lost of the file."""
        if not self.stats.errors:
            return None
        return Failure(Stage.DECODE, Code.DAMAGED, f"damaged picture ({self.stats.last_error})")

    def no_frames_error(self) -> MediaError:
        """Why no frame was read."""
        return MediaError(Stage.DECODE, Code.INVALID_DATA, f"damaged picture ({self.stats.last_error})")
