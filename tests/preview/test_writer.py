"""The MP4 that is written: times, codec, signature."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fer_batch.preview.writer import VideoWriter, signature_of_video


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


@pytest.mark.parametrize(("times", "end", "limit", "length"), [
    ([0, 2], 4, None, 4), ([0, 2], 4, 3, 3), ([0, 2], 2, None, 4), ([0, 2], 2, 3, 3), ([0, 1, 3], None, None, 5),
    ([0], 2, None, 2), ([0], 0, None, 0.04),
])  # fmt: skip
@pytest.mark.parametrize("encoders", [{"libx264", "mpeg4"}, {"mpeg4"}])
def test_last_frame_is_shown_to_its_end(
    tmp_path: Path,
    encoders: set[str],
    times: list[int],
    end: int | None,
    limit: int | None,
    length: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(av, "codecs_available", encoders)
    with VideoWriter(tmp_path / "preview.mp4", (64, 48), "", None) as writer:
        for time in times:
            writer.write(np.full((48, 64, 3), 128, np.uint8), Fraction(time))
        if end is not None:
            writer.end_at(Fraction(end), None if limit is None else Fraction(limit))
    with av.open(str(tmp_path / "preview.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(length, abs=1e-3)
        assert container.duration / av.time_base == pytest.approx(length, abs=1e-3)
        assert sum(1 for packet in container.demux(stream) if packet.size) == len(times)
