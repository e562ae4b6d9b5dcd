"""The MP4 that is written: times, codec, signature, and the sound beside the pictures."""

from __future__ import annotations

from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fer_batch.preview.sound import open_sound
from fer_batch.preview.writer import VideoWriter, signature_of_video
from tests.helpers.clips import make_video, scramble, steady

RATE = 16_000


def make_sound(path: Path, codec: str, seconds: float = 3.0, beep_at: float = 2.0) -> Path:
    """Write a clip of two numbered frames a second whose sound is silence and, from `beep_at` on, a tone."""
    pictures = make_video(path.with_name(f"mute_{path.stem}.mkv"), steady(2, round(2 * seconds)))
    wave = np.sin(np.arange(round(seconds * RATE)) * 2 * np.pi * 440 / RATE)
    wave[: round(beep_at * RATE)] = 0
    with av.open(str(pictures)) as source, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(source.streams.video[0])
        sound = output.add_stream(codec, rate=RATE, layout="mono")
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for start in range(0, len(wave), 1024):
            samples = (wave[start : start + 1024] * 16_000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            packets += sound.encode(frame)
        packets += sound.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            if packet.stream is source.streams.video[0]:
                packet.stream = video
            output.mux(packet)
    return path


def copy_with_sound(source: Path, target: Path, start: float = 0.0, end: float | None = None) -> None:
    """Write a gray video of the same length with the sound of a source."""
    begin, stop = Fraction(start), Fraction(3 if end is None else end)
    with (
        open_sound(str(source), Fraction(0), begin, None if end is None else stop) or nullcontext() as sound,
        VideoWriter(target, (64, 48), "", sound) as writer,
    ):
        for index in range(int(10 * (stop - begin))):
            writer.write(np.full((48, 64, 3), 128, np.uint8), Fraction(index, 10))


def codec_and_onset(path: Path) -> tuple[str, float]:
    """The codec of the sound, and the second at which the tone begins."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        for frame in container.decode(stream):
            loud = np.abs(frame.to_ndarray().astype(float)).reshape(-1) > (0.1 if "flt" in frame.format.name else 3000)
            if loud.any():
                return stream.codec_context.name, float(frame.pts * frame.time_base) + loud.argmax() / frame.sample_rate
    raise AssertionError("no tone")


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
    with av.open(str(target)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


def test_clip_without_sound_gives_a_video_without(tmp_path: Path) -> None:
    target = tmp_path / "preview.mp4"
    copy_with_sound(make_video(tmp_path / "mute.mp4", steady(10, 5)), target)
    with av.open(str(target)) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("encoders", [{"libx264", "mpeg4"}, {"mpeg4"}])
def test_times_and_signature_are_kept_by_every_encoder(
    tmp_path: Path, encoders: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(av, "codecs_available", encoders)
    target, times = tmp_path / "preview.mp4", [Fraction(0), Fraction(1, 24), Fraction(1), Fraction(1001, 1000)]
    with VideoWriter(target, (65, 49), "made of this", None) as writer:
        for time in times:
            writer.write(np.full((49, 65, 3), 128, np.uint8), time)
    assert signature_of_video(target) == "made of this"
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == ("h264" if "libx264" in encoders else "mpeg4")
        assert (stream.width, stream.height) == (64, 48)
        found = [float(frame.pts * frame.time_base) for frame in container.decode(stream)]
    assert found == pytest.approx([float(time) for time in times], abs=1e-4)
