"""The sound beside the pictures: copied or encoded, in step with them, and never at their cost."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from fer_batch.preview.options import DrawOptions
from fer_batch.preview.samples import Samples
from fer_batch.preview.sound import open_sound
from fer_batch.preview.sound_packets import sound_packets
from fer_batch.preview.video import draw_video
from fer_batch.preview.writer import VideoWriter
from tests.helpers.clips import make_video, scramble, steady

RATE = 16_000


def make_sound(
    path: Path, codec: str, lasts: float = 3.0, beep_at: float = 2.0, rate: int = RATE, layout: str = "mono"
) -> Path:
    """Write a clip of two numbered frames a second, three seconds long, whose sound lasts so many seconds and is
    silence and, from `beep_at` on, a tone."""
    pictures = make_video(path.with_name(f"mute_{path.stem}.mkv"), steady(2, 6))
    wave = np.sin(np.arange(round(lasts * rate)) * 2 * np.pi * 440 / rate)
    wave[: round(beep_at * rate)] = 0
    with av.open(str(pictures)) as source, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(source.streams.video[0])
        sound = output.add_stream(codec, rate=rate, layout=layout)
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for start in range(0, len(wave), 1024):
            samples = (wave[start : start + 1024] * 16_000).astype(np.int16)
            samples = np.tile(samples, (1 if layout == "mono" else 2, 1))
            frame = av.AudioFrame.from_ndarray(samples, format="s16p", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            packets += sound.encode(frame)
        packets += sound.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            if packet.stream is source.streams.video[0]:
                packet.stream = video
            output.mux(packet)
    return path


def copy_with_sound(source: Path, target: Path, start: float = 0.0, end: float | None = None) -> str | None:
    """Write a gray video of the same length with the sound of a source. Returns what is missing of the sound."""
    begin, stop = Fraction(start), Fraction(3 if end is None else end)
    with (
        open_sound(str(source), Fraction(0), begin, None if end is None else stop) or nullcontext() as sound,
        VideoWriter(target, (64, 48), "", sound) as writer,
    ):
        for index in range(int(10 * (stop - begin))):
            writer.write(np.full((48, 64, 3), 128, np.uint8), Fraction(index, 10))
    return None if sound is None else sound.lost


def loud_parts(path: Path) -> tuple[str, list[float]]:
    """The codec of the sound, and the seconds at which a tone begins after silence."""
    found, end = [], -1.0
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        for frame in container.decode(stream):
            loud = np.abs(frame.to_ndarray().astype(float)).reshape(-1) > (0.1 if "flt" in frame.format.name else 3000)
            if loud.any():
                time = float(frame.pts * frame.time_base) + loud.argmax() % frame.samples / frame.sample_rate
                if time > end + 0.7:
                    found.append(time)
                end = time + frame.samples / frame.sample_rate
        return stream.codec_context.name, found


def codec_and_onset(path: Path) -> tuple[str, float]:
    """The codec of the sound, and the second at which the tone begins."""
    codec, onsets = loud_parts(path)
    return codec, onsets[0]


def sound_packets_of(path: Path) -> list[tuple[Fraction, bytes]]:
    """Time and content of each packet of the sound."""
    with av.open(str(path)) as container:
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(audio=0) if packet.size]


def pictures_of(path: Path) -> int:
    """How many pictures a video has."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(("codec", "suffix", "kept"), [
    ("aac", ".mp4", "aac"), ("aac", ".ts", "aac"), ("libmp3lame", ".mkv", "mp3float"), ("pcm_s16le", ".mkv", "aac"),
    ("libopus", ".mkv", "opus"), ("flac", ".mkv", "flac"),
])  # fmt: skip
def test_sound_is_copied_or_encoded_and_stays_where_it_was(tmp_path: Path, codec: str, suffix: str, kept: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    source = make_sound(tmp_path / f"source{suffix}", codec)
    with av.open(str(source)) as container:
        first = (container.start_time or 0) / av.time_base
    onset = codec_and_onset(source)[1] - (first if suffix == ".ts" else 0)
    target = tmp_path / "preview.mp4"
    begin = Fraction(first).limit_denominator(90_000) if suffix == ".ts" else Fraction(0)
    with open_sound(str(source), begin, Fraction(0), None) as sound, VideoWriter(target, (64, 48), "", sound) as writer:
        for index in range(30):
            writer.write(np.full((48, 64, 3), 128, np.uint8), Fraction(index, 10))
    found, at = codec_and_onset(target)
    assert found == kept
    assert at == pytest.approx(onset, abs=0.03)


def test_sound_of_a_part_begins_and_ends_with_it(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "source.mp4", "aac")
    target = tmp_path / "preview.mp4"
    copy_with_sound(source, target, 1.5, 2.5)
    assert codec_and_onset(target)[1] == pytest.approx(codec_and_onset(source)[1] - 1.5, abs=0.03)
    with av.open(str(target)) as container:
        stream = container.streams.audio[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(1.0, abs=0.1)


def test_damaged_sound_costs_no_picture(tmp_path: Path) -> None:
    source = scramble(make_sound(tmp_path / "source.mkv", "pcm_s16le"), 0.3, 0.8)
    target = tmp_path / "preview.mp4"
    copy_with_sound(source, target)
    assert pictures_of(target) == 30


def test_clip_without_sound_gives_a_video_without(tmp_path: Path) -> None:
    target = tmp_path / "preview.mp4"
    copy_with_sound(make_video(tmp_path / "mute.mp4", steady(10, 5)), target)
    with av.open(str(target)) as container:
        assert not container.streams.audio


def test_sound_of_an_ordinary_clip_is_copied_packet_by_packet(tmp_path: Path) -> None:
    source, target = make_sound(tmp_path / "source.mp4", "aac"), tmp_path / "preview.mp4"
    assert copy_with_sound(source, target) is None
    # What lies before 0 is the encoder's priming, which a copy needs not.
    assert sound_packets_of(target) == [(time, content) for time, content in sound_packets_of(source) if time >= 0]


def test_sound_that_mp4_can_not_hold_as_a_copy_is_encoded(tmp_path: Path) -> None:
    if "libmp3lame" not in av.codecs_available:
        pytest.skip("this FFmpeg has no libmp3lame")
    source, target = make_sound(tmp_path / "source.mkv", "libmp3lame", rate=8000), tmp_path / "preview.mp4"
    assert copy_with_sound(source, target) is None
    codec, onset = codec_and_onset(target)
    assert codec == "aac"
    assert onset == pytest.approx(codec_and_onset(source)[1], abs=0.03)
    assert pictures_of(target) == 30


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".ts"), ("ac3", ".ts"), ("mp2", ".ts")])
@pytest.mark.parametrize("lasts", [2.4, 3.0])
def test_sound_of_joined_recordings_stays_with_their_pictures(
    tmp_path: Path, codec: str, suffix: str, lasts: float, make_samples: Callable[..., Samples]
) -> None:
    source = make_sound(tmp_path / f"source{suffix}", codec, lasts, 1.5, rate=48_000)
    alone, joined = tmp_path / "alone.mp4", tmp_path / "joined.mp4"
    samples = make_samples([], [0.0])
    draw_video(str(source), "alone", samples, DrawOptions(), alone, "", lambda _: None)
    source.write_bytes(2 * source.read_bytes())
    drawn = draw_video(str(source), "joined", samples, DrawOptions(), joined, "", lambda _: None)
    assert "sound" not in str(drawn.lost)
    assert pictures_of(joined) == 12
    onset = codec_and_onset(alone)[1]
    assert loud_parts(joined)[1] == pytest.approx([onset, onset + 3], abs=0.03)


def test_sound_that_turns_from_mono_to_stereo_is_kept(tmp_path: Path) -> None:
    mono = make_sound(tmp_path / "mono.ts", "mp2", beep_at=1.5, rate=48_000)
    stereo = make_sound(tmp_path / "stereo.ts", "mp2", beep_at=1.5, rate=48_000, layout="stereo")
    source, target = tmp_path / "source.ts", tmp_path / "preview.mp4"
    source.write_bytes(mono.read_bytes() + stereo.read_bytes())
    assert copy_with_sound(source, target) is None
    assert pictures_of(target) == 30
    assert len(loud_parts(target)[1]) == 2


def fail_after(count: int, error: Exception) -> Callable[..., Iterator[Any]]:
    """What reads so many packets of a sound and then fails."""

    def read(container: Any, stream: Any) -> Iterator[Any]:
        yield from islice(container.demux(stream), count)
        raise error

    return read


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize(
    "error", [av.error.InvalidDataError(1, "damaged"), av.error.PermissionError(1, "damaged"), OverflowError("damaged")]
)
def test_error_of_the_sound_ends_it_and_costs_no_picture(
    tmp_path: Path, codec: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = make_sound(tmp_path / "source.mkv", codec, beep_at=0.5), tmp_path / "preview.mp4"
    seconds = [float(time) for time, _ in sound_packets_of(source)]
    count = next(index for index, time in enumerate(seconds) if time > 1.5)
    monkeypatch.setattr("fer_batch.preview.sound.sound_packets", fail_after(count, error))
    lost = copy_with_sound(source, target)
    assert lost is not None
    assert float(re.fullmatch(r"its sound is missing from (.*) s on \(damaged\)", lost)[1]) == pytest.approx(
        1.5, abs=0.2
    )
    assert pictures_of(target) == 30
    assert float(sound_packets_of(target)[-1][0]) == pytest.approx(1.5, abs=0.2)


def test_damaged_packet_of_copied_sound_costs_only_itself(tmp_path: Path) -> None:
    source, target = make_sound(tmp_path / "source.mkv", "ac3", rate=48_000), tmp_path / "preview.mp4"
    packets = [content for time, content in sound_packets_of(source) if time >= 0]
    damaged = packets[70]
    source.write_bytes(source.read_bytes().replace(damaged, bytes(8) + damaged[8:]))  # Its header is gone.
    assert copy_with_sound(source, target) == "packets of its sound left out as damaged: 1"
    assert [content for _, content in sound_packets_of(target)] == packets[:70] + packets[71:]
    assert pictures_of(target) == 30


def test_full_disk_is_raised_though_there_is_sound(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        copy_with_sound(make_sound(tmp_path / "source.mkv", "pcm_s16le"), Path("/dev/full"))


class Unseekable:
    """A container whose seeks fail."""

    def __init__(self, container: Any) -> None:
        self.container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)

    def seek(self, *_: object, **__: object) -> None:
        raise av.error.PermissionError(1, "Operation not permitted")


def test_sound_is_read_from_its_beginning_where_a_seek_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_sound(tmp_path / "source.mp4", "aac")
    sought, unsought = tmp_path / "sought.mp4", tmp_path / "unsought.mp4"
    copy_with_sound(source, sought, 1.5, 2.5)
    first, second = Unseekable(av.open(str(source))), av.open(str(source))
    opened = iter([first, second])
    monkeypatch.setattr("fer_batch.preview.sound._open", lambda _: next(opened))
    assert copy_with_sound(source, unsought, 1.5, 2.5) is None
    assert sound_packets_of(unsought) == sound_packets_of(sought)
    with pytest.raises(AssertionError, match="not open"):
        first.container.seek(0)


class Stamped:
    """A packet as far as its time counts."""

    time_base = Fraction(1)
    size = 1

    def __init__(self, pts: int) -> None:
        self.pts = pts


@pytest.mark.parametrize(("given", "kept"), [
    ([0, 1, 2, 9000, 9001, 3, 4], [0, 1, 2, 3, 4]),
    ([0, 1, *range(100, 200)], [0, 1, *range(100, 200)]),
    ([0, 1, 100, 101], [0, 1, 100, 101]),
])  # fmt: skip
def test_packets_far_ahead_of_their_neighbours_are_left_out_and_gaps_are_kept(
    given: list[int], kept: list[int]
) -> None:
    container = SimpleNamespace(format=SimpleNamespace(name="mov"), demux=lambda _: map(Stamped, given))
    assert [packet.pts for packet in sound_packets(container, None)] == kept


def test_sound_is_read_on_behind_a_packet_of_an_unknown_stream_to_its_end() -> None:
    remaining = iter(range(10))

    def demux(_: object) -> Iterator[Stamped]:
        yield from map(Stamped, islice(remaining, 4))
        raise IndexError("list index out of range")

    container = SimpleNamespace(format=SimpleNamespace(name="mov"), demux=demux)
    assert [packet.pts for packet in sound_packets(container, None)] == list(range(10))
