"""The sound of a source, beside the drawn video: copied where MP4 can hold it, else encoded as AAC."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from types import TracebackType
from typing import Any

import av
from av.error import FFmpegError

from fer_batch.media.base import Packet
from fer_batch.media.container import WITHOUT_INDEX
from fer_batch.media.timeline import JUMP_S
from fer_batch.preview.sound_packets import sound_packets
from fer_batch.storage import for_ffmpeg

#: What MP4 can hold and players know.
_COPIED = frozenset(["aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"])
#: What other sound becomes, at so many samples a second, in mono or stereo: every encoder and player knows it.
_ENCODED_AS, _RATE = "aac", 48_000
#: Packets in a row that may be damaged before the rest of the sound is given up.
_MAX_DAMAGED = 100
#: What damaged sound raises where it is read, decoded or encoded; its time stamps may be absurd numbers.
_ERRORS = (FFmpegError, ValueError, OverflowError)


class Sound:
    """The sound of a file, read as the video is written. A context manager.

    Sound that can't be read, decoded or written ends there and costs no picture; a damaged packet costs that packet.
    Each is first written to a trial file that is thrown away, which finds what MP4 refuses; an error of the real output
    is one of the disk.

    Attributes:
        ended: Why all or the rest of the sound is missing, in words; None where it is not.
    """

    def __init__(self, container: Any, clock_start: Fraction, start: Fraction, end: Fraction | None) -> None:
        """Take over an open file that stands at `start` or before; see `open_sound`."""
        self.ended: str | None = None
        self._damaged, self._damaged_in_a_row = 0, 0
        self._files = ExitStack()
        self._container, self._stream = self._files.enter_context(container), container.streams.best("audio")
        self._start, self._begin = start, clock_start + start
        self._end = None if end is None else clock_start + end
        self._output: Any = None
        self._into: Any = None
        self._trial: Any = None
        self._tried: Any = None
        self._packets: Iterator[tuple[Fraction, Packet]] = iter(())
        self._waiting: tuple[Fraction, Packet] | None = None

    def __enter__(self) -> Sound:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._files.close()

    @property
    def lost(self) -> str | None:
        """What is missing of the sound, in words; None where nothing is."""
        damaged = f"packets of its sound left out as damaged: {self._damaged}" if self._damaged else None
        return "; ".join(filter(None, [damaged, self.ended])) or None

    def attach(self, output: Any) -> None:
        """Add its stream to an output container, before anything is written there."""
        context = None if self._stream is None else self._stream.codec_context
        if context is None or not context.sample_rate:
            self.ended = "its sound is left out: there is no decoder for it"
            return
        copied = context.codec.canonical_name in _COPIED and self._begin_trial(copied=True)
        if copied or self._begin_trial(copied=False):
            self._output, self._into = output, self._add_stream(output, copied)
            self._packets = self._accepted(self._read() if copied else self._encode())
        else:
            self.ended = "its sound is left out: it can't be encoded"

    def write_until(self, time: Fraction | None) -> None:
        """Write what is heard before `time`, in seconds since the start; None: all that is left."""
        while (packet := self._waiting or next(self._packets, None)) is not None:
            self._waiting = packet
            if time is not None and packet[0] >= time:
                return
            self._output.mux(packet[1])
            self._waiting = None

    def _begin_trial(self, copied: bool) -> bool:
        """Begin the trial file; false where MP4 refuses the sound, such as a copy of MP3 below 16 kHz."""
        self._trial = self._files.enter_context(av.open(os.devnull, "w", format="mp4"))
        try:
            self._tried = self._add_stream(self._trial, copied)
            self._trial.start_encoding()
        except _ERRORS:
            return False
        return True

    def _add_stream(self, output: Any, copied: bool) -> Any:
        if copied:
            return output.add_stream_from_template(self._stream)
        layout = "mono" if self._stream.codec_context.layout.nb_channels == 1 else "stereo"
        return output.add_stream(_ENCODED_AS, rate=_RATE, layout=layout)

    def _accepted(self, packets: Iterator[Packet]) -> Iterator[tuple[Fraction, Packet]]:
        """What MP4 takes of the packets to write, each with its time; an error ends them."""
        latest: Fraction | None = None
        try:
            for packet in packets:
                time = packet.pts * packet.time_base
                if latest is not None and time <= latest:  # MP4 wants them to ascend.
                    if time < latest - JUMP_S:
                        raise ValueError("its time stamps run back")
                    continue
                packet.stream = self._tried
                try:
                    self._trial.mux(packet)
                except FFmpegError as error:
                    self._leave_out(error)
                    continue
                self._damaged_in_a_row = 0
                packet.stream = self._into
                latest = time
                yield time, packet
        except _ERRORS as error:
            reason = getattr(error, "strerror", None) or error
            self.ended = f"its sound is missing from {float(self._start + (latest or 0)):.1f} s on ({reason})"

    def _leave_out(self, error: FFmpegError) -> None:
        """Count a packet that is damaged. Raises its error where too many are."""
        self._damaged += 1
        self._damaged_in_a_row += 1
        if self._damaged_in_a_row > _MAX_DAMAGED:
            raise error

    def _read(self) -> Iterator[Packet]:
        """The packets within the range, on the clock of the video that is written."""
        for packet in sound_packets(self._container, self._stream):
            time = packet.pts * packet.time_base
            if self._end is not None and time >= self._end:
                return
            if time >= self._begin:
                packet.pts -= round(self._begin / packet.time_base)
                packet.dts = packet.pts  # Sound is never reordered.
                yield packet

    def _encode(self) -> Iterator[Packet]:
        for frame in self._resampled(self._decode()):
            yield from self._into.encode(frame)
        yield from self._into.encode(None)

    def _decode(self) -> Iterator[av.AudioFrame]:
        for packet in self._read():
            try:
                frames = packet.decode()
            except FFmpegError as error:
                self._leave_out(error)
                continue
            yield from (frame for frame in frames if frame.pts is not None)

    def _resampled(self, frames: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame | None]:
        """The frames as the encoder wants them, whose own resampler allows no change of their format, as broadcasts
        make between mono and stereo."""
        context, resampler, before = self._into.codec_context, None, None
        for frame in frames:
            made_as = (frame.format.name, frame.layout.name, frame.sample_rate)
            if resampler is None or made_as != before:
                if resampler is not None:
                    yield from filter(None, resampler.resample(None))
                resampler = av.AudioResampler(context.format, context.layout, context.sample_rate)
                before = made_as
            yield from resampler.resample(frame)
        if resampler is not None:
            yield from filter(None, resampler.resample(None))


def open_sound(file: str, clock_start: Fraction, start: Fraction, end: Fraction | None) -> Sound | None:
    """Open the sound of a video.

    Args:
        file: Path or URL.
        clock_start: The time stamp, in seconds, that is 0 on the clock of the pictures.
        start: Second on that clock from which on sound is wanted; it becomes 0.
        end: Second at which it ends; None for its own end.

    Returns:
        None where the file has no sound.

    Raises:
        OSError: Where the file can't be opened.
    """
    container = _open(file)
    if not container.streams.audio:
        container.close()
        return None
    stream = container.streams.best("audio")
    if start > 0 and stream is not None and container.format.name not in WITHOUT_INDEX:
        try:
            container.seek(int((clock_start + start) / stream.time_base), stream=stream)
        except _ERRORS:  # Only reading from the beginning is sure.
            container.close()
            container = _open(file)
    return Sound(container, clock_start, start, end)


def _open(file: str) -> Any:
    return av.open(for_ffmpeg(file), metadata_errors="ignore")
