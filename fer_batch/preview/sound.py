"""The sound of a source, beside the drawn video: copied where MP4 can hold it, else encoded as AAC."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any

import av
from av.error import FFmpegError

from fer_batch.storage import for_ffmpeg

log = logging.getLogger(__name__)

#: What MP4 can hold and players know.
_COPIED = frozenset(["aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"])
#: What other sound becomes, at so many samples a second, in mono or stereo: every encoder and player knows it.
_ENCODED_AS, _RATE = "aac", 48_000


class Sound:
    """The sound of a file, read as the video is written. A context manager."""

    def __init__(self, container: Any, clock_start: Fraction, start: Fraction, end: Fraction | None) -> None:
        """Take over an open file that has sound; see `open_sound`."""
        self._container, self._stream = container, container.streams.best("audio")
        self._begin, self._end = clock_start + start, None if end is None else clock_start + end
        if start > 0:
            container.seek(int(self._begin / self._stream.time_base), stream=self._stream)
        self._copied = self._stream.codec_context.codec.canonical_name in _COPIED
        self._output: Any = None
        self._into: Any = None
        self._packets: Iterator[tuple[Fraction, Any]] = iter(())
        self._waiting: tuple[Fraction, Any] | None = None

    def __enter__(self) -> Sound:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._container.close()

    def attach(self, output: Any) -> None:
        """Add its stream to an output container, before anything is written there."""
        self._output = output
        context = self._stream.codec_context
        if self._copied:
            self._into = output.add_stream_from_template(self._stream)
        else:
            layout = "mono" if context.layout.nb_channels == 1 else "stereo"
            self._into = output.add_stream(_ENCODED_AS, rate=_RATE, layout=layout)
        self._packets = self._copy() if self._copied else self._encode()

    def write_until(self, time: Fraction | None) -> None:
        """Write what is heard before `time`, in seconds since the start; None: all that is left."""
        while (packet := self._waiting or next(self._packets, None)) is not None:
            self._waiting = packet
            if time is not None and packet[0] >= time:
                return
            self._output.mux(packet[1])
            self._waiting = None

    def _read(self) -> Iterator[Any]:
        """The packets within the range; an error ends them."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                log.warning("the rest of the sound is left out: it can't be read (%s)", error)
                return
            if packet is None or packet.pts is None:  # The last one, empty, asks the decoder for what it holds back.
                return
            if self._end is not None and packet.pts * packet.time_base >= self._end:
                return
            if packet.pts * packet.time_base >= self._begin:
                yield packet

    def _copy(self) -> Iterator[tuple[Fraction, Any]]:
        for packet in self._read():
            shift = round(self._begin / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts  # Sound is never reordered.
            packet.stream = self._into
            yield packet.pts * packet.time_base, packet

    def _encode(self) -> Iterator[tuple[Fraction, Any]]:
        for packet in self._read():
            try:
                frames = packet.decode()
            except FFmpegError:  # A damaged packet costs that packet.
                continue
            for frame in frames:
                frame.pts -= round(self._begin / frame.time_base)
                yield from self._encoded(frame)
        yield from self._encoded(None)

    def _encoded(self, frame: Any) -> Iterator[tuple[Fraction, Any]]:
        for packet in self._into.encode(frame):
            yield packet.pts * packet.time_base, packet


def open_sound(file: str, clock_start: Fraction, start: Fraction, end: Fraction | None) -> Sound | None:
    """Open the sound of a video.

    Args:
        file: Path or URL.
        origin: The time stamp, in seconds, that is 0 on the clock of the pictures.
        start: Second on that clock from which on sound is wanted; it becomes 0.
        end: Second at which it ends; None for its own end.

    Returns:
        None where the file has no sound, or, with a warning, none that can be read.
    """
    container = av.open(for_ffmpeg(file), metadata_errors="ignore")
    stream: Any = container.streams.best("audio")
    if stream is not None and stream.codec_context is not None and stream.codec_context.sample_rate:
        return Sound(container, clock_start, start, end)
    if container.streams.audio:
        log.warning("%s: the sound is left out: there is no decoder for it", file)
    container.close()
    return None
