"""Fixtures that the tests share. TensorFlow is loaded by the fixtures that need it, never at collection."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.records import Detection, Failure, FileResult, FrameChunk, Media, MediaInfo, SampledFrame
from fer_batch.tables.schema import ClassifiedChunk, ClassifiedFile
from tests.helpers.models import make_model, make_onnx_model

pytest_plugins = ["tests.helpers.run_folder", "tests.helpers.worker"]
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, since some tests wait for time-outs."""
    return (os.cpu_count() or 1) + 1


#: What costs most to set up: a Ray cluster, Keras. These tests come first, so that they stay in one process; xdist's
#: processes take from each other what comes last.
_FIRST = ("tests/contracts/", "tests/emotion/", "tests/training/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests; those of a folder stay together."""
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))


@pytest.fixture(autouse=True, scope="session")
def _signals_are_heard() -> None:
    """Tests begun in the background, or under nohup, ignore some signals, and so would the runs that they begin."""
    for name in ("SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _float32_afterwards() -> Iterator[None]:
    """The precision that one test sets must not reach the next."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(autouse=True)
def _messages_as_at_first() -> Iterator[None]:
    """Where a run in this process sends messages must not decide where those of the next test go."""
    package = logging.getLogger("fer_batch")

    def reset() -> None:
        for handler in package.handlers:
            handler.close()
        package.level, package.handlers, package.propagate = logging.NOTSET, [], True

    reset()  # A fixture of the whole session may have set them up.
    yield
    reset()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with seeded random weights and seven classes. Do not write to it."""
    return make_model(tmp_path_factory.mktemp("tiny"), EMOTIONS)


@pytest.fixture(scope="session")
def tiny_onnx_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with which a run on the CPU starts no TensorFlow. Do not write to it."""
    pytest.importorskip("onnx", reason="the extra train is not installed")
    return make_onnx_model(tmp_path_factory.mktemp("tiny-onnx"), EMOTIONS)


@pytest.fixture(scope="session")
def tiny_merged_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with six classes."""
    return make_model(tmp_path_factory.mktemp("tiny-merged"), EMOTIONS_MERGED)


@pytest.fixture(scope="session")
def crops() -> NDArray[np.uint8]:
    """Eleven random crops, uint8 (11, 48, 48)."""
    return np.random.default_rng(0).integers(0, 256, (11, 48, 48), dtype=np.uint8)


@pytest.fixture(scope="session")
def shares_of() -> Callable[..., NDArray[np.float64]]:
    """Probabilities in the order of `labels` from names: shares_of(happy=0.8, neutral=0.2)."""

    def build(labels: Sequence[str] = EMOTIONS, **named: float) -> NDArray[np.float64]:
        assert set(named) <= set(labels)
        return np.array([named.get(label, 0.0) for label in labels])

    return build


@pytest.fixture(scope="session")
def scored_file() -> Callable[..., ClassifiedFile]:
    """A classified file from its frames, each (time or None, probabilities of its faces)."""

    def build(
        path: str,
        frames: Sequence[tuple[float | None, Sequence[NDArray[np.float64]]]],
        failure: Failure | None = None,
        classes: int = len(EMOTIONS),
        **media: Any,
    ) -> ClassifiedFile:
        media_type = "image" if any(time is None for time, _ in frames) else "video"
        sampled = []
        for index, (time, faces) in enumerate(frames):
            # In a video the first face is always the same one, and so on.
            track = [None if time is None else n for n in range(len(faces))]
            boxes = tuple(Detection(10.0 * n, 20.0, 30.0, 40.0, track_id=track[n]) for n in range(len(faces)))
            exact = None if time is None else Fraction(str(time))
            sampled.append(SampledFrame(index, exact, 640, 360, boxes))
        rows = [face for _, faces in frames for face in faces]
        probabilities = np.stack(rows) if rows else np.empty((0, classes))
        file = Media(f"/data/{path}", path, media_type, **{"size_bytes": 1000, "modified_ns": 0, **media})
        pixels = np.zeros((len(rows), 48, 48), np.uint8)
        chunk = ClassifiedChunk(FrameChunk(file, tuple(sampled), pixels), probabilities)
        return ClassifiedFile(FileResult(file, MediaInfo(640, 360), failure, 0.5, len(sampled), len(rows)), (chunk,))

    return build


@pytest.fixture(autouse=True)
def ordinary_scheduling() -> Iterator[None]:
    """SVT-AV1, which some tests encode with, gives its caller real-time priority where that is allowed (to root): what
    the process starts later, Chromium for example, would starve everything else on the machine."""
    yield
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
