"""Output folders with a study of synthetic respondents, for tests of the report and the dashboard."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.analysis.studies import synchrony
from fer_batch.analysis.studies.study import StudyOptions, study
from fer_batch.analysis.summarize import summarize
from fer_batch.emotions import EMOTIONS
from fer_batch.tables.commit import commit_part
from fer_batch.tables.schema import to_tables

#: When everybody smiles, as shares of the stimulus.
REACTION = (0.6, 0.7)


def happy_curve(random: np.random.Generator, seconds: int, strength: float) -> NDArray[np.float64]:
    """A calm curve, one value a second, with a smile of this strength during `REACTION`."""
    noise = np.convolve(random.normal(0, 0.06, seconds + 4), np.ones(5) / 5, "valid")
    smile = np.zeros(seconds)
    start, end = (int(share * seconds) for share in REACTION)
    smile[start:end] = strength
    return np.clip(0.12 + random.uniform(-0.04, 0.08) + noise + smile, 0.01, 0.95)


def make_study(
    out: Path,
    scored_file: Callable,
    respondents: int,
    groups: Sequence[str] = (),
    baseline: bool = True,
    seconds: int = 60,
    faces: bool = True,
) -> Path:
    """An output folder with summaries and a study: every respondent in one recording with one frame a second.

    Respondents smile more in later groups. Every seventh has no face for a quarter of the time. `faces`: False for
    recordings without any face; `baseline`: whether the first sixth is a segment of that name.
    """
    random = np.random.default_rng(respondents)
    files, rows = [], []
    for number in range(respondents):
        group = number % max(1, len(groups))
        happy = happy_curve(random, seconds, 0.25 + 0.12 * group)
        missing = range(seconds // 4, seconds // 2) if number % 7 == 3 else range(0)
        frames = []
        for second, share in enumerate(happy):
            face = np.full(len(EMOTIONS), (1 - share) * 0.05)
            face[EMOTIONS.index("happy")] = share
            face[EMOTIONS.index("neutral")] = 1 - face[: EMOTIONS.index("neutral")].sum()
            frames.append((float(second), [face] if faces and second not in missing else []))
        path = f"respondent {number + 1:03d}.mp4"
        files.append(scored_file(path, frames))
        rows.append([path, f"R{number + 1:03d}", "film", *([groups[group]] if groups else [])])
    commit_part(out, 1, to_tables(files, EMOTIONS), {}, {})
    summarize(out, 10.0)
    _write(out / "study.csv", ["media", "respondent", "stimulus", *(["group"] if groups else [])], rows)
    segments = [["opening", seconds / 6, seconds / 2], ["the joke", REACTION[0] * seconds, REACTION[1] * seconds]]
    segments += [["ending", 0.75 * seconds, seconds], ["second half", seconds / 2, seconds]]
    if baseline:
        segments.insert(0, ["baseline", 0, seconds / 6])
    _write(out / "segments.csv", ["stimulus", "segment", "start_s", "end_s"], [["film", *row] for row in segments])
    with few_shifts():
        study(out, StudyOptions(out / "study.csv", out / "segments.csv"))
    return out


@contextmanager
def few_shifts() -> Iterator[None]:
    """Fewer random shifts behind the p values of synchrony, which take most of the time of a small study."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synchrony, "_MOST_SHIFTS", 199)
        yield


def _write(path: Path, heading: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([heading, *rows])
