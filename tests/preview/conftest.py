"""What the tests of previews share: rows of the tables, and one run over a few sample files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_batch.emotions import EMOTIONS
from fer_batch.preview.samples import Samples
from tests.helpers.clips import SAMPLES
from tests.helpers.command import fer_batch

FOOTAGE = (
    "clips/pan_and_zoom.mp4", "clips/phone.mp4", "clips/variable_rate.mp4", "photos/no_face.jpg",
    "photos/two_people.png",
)  # fmt: skip


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some sample media. Do not change them."""
    folder = tmp_path_factory.mktemp("footage")
    for name in FOOTAGE:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy2(SAMPLES / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def results(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over `footage`, two samples a second."""
    out = tmp_path_factory.mktemp("results") / "out"
    done = fer_batch("run", footage, "--out", out, "--fps", 2, "--workers", 1, "--no-report")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def make_samples() -> Callable[..., Samples]:
    """Samples from faces, each (second, track, box in pixels), on frames of 100 by 50 pixels at `times`."""

    def build(
        faces: Sequence[tuple[float, int | None, tuple[float, float, float, float]]],
        times: Sequence[float],
        size: tuple[int, int] = (100, 50),
    ) -> Samples:
        frames = pd.DataFrame({"sample_index": range(len(times)), "timestamp_s": times})
        frames["width"], frames["height"] = size
        for name in ("valence", "expressiveness", "attention", "engagement", *EMOTIONS):
            seen = {time for time, _, _ in faces}
            frames[name] = [0.5 if time in seen else np.nan for time in times]
        rows = pd.DataFrame(
            [(time, track, *box) for time, track, box in faces],
            columns=["timestamp_s", "track_id", "x", "y", "width", "height"],
        )
        rows["track_id"] = rows["track_id"].astype("Int32")
        rows["sample_index"] = [list(times).index(time) for time, _, _ in faces]
        rows["face_index"] = rows.groupby("sample_index").cumcount()
        rows["yaw"], rows["pitch"], rows["roll"] = 10.0, 0.0, 0.0
        for name, value in zip(EMOTIONS, (0.0, 0.0, 0.1, 0.6, 0.0, 0.0, 0.3), strict=True):
            rows[name] = value
        return Samples(frames, rows, EMOTIONS)

    return build
