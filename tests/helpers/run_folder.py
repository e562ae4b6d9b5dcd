"""A folder of a run that the dashboard and the SQL views are tried on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_batch.analysis.summarize import summarize
from fer_batch.emotions import EMOTIONS
from fer_batch.records import Code, Failure, Stage
from fer_batch.tables.commit import commit_part
from fer_batch.tables.schema import to_tables

#: A file name that would do harm in a page that took it for HTML.
HARMFUL = "b/<img src=x onerror=alert(1)>.mp4"


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, scored_file: Callable, shares_of: Callable) -> Path:
    """Two folders with a video each, of 90 and 30 samples a second apart, a picture and a file that failed."""
    rng = np.random.default_rng(0)
    happy = np.clip(0.3 + 0.4 * np.sin(np.arange(90) / 15) + rng.normal(0, 0.05, 90), 0, 1)
    smiling = [(float(t), [shares_of(happy=p, neutral=1 - p)]) for t, p in enumerate(happy)]
    sad = [(float(t), [shares_of(sad=0.7, neutral=0.3)] * (t % 3)) for t in range(30)]
    files = [
        scored_file("a/smiling.mp4", smiling),
        scored_file(HARMFUL, sad),
        scored_file("picture.png", [(None, [shares_of(surprise=0.9, fear=0.1)])]),
        scored_file("bad.mp4", [], failure=Failure(Stage.DECODE, Code.INVALID_DATA, "bad.mp4: is no video")),
    ]
    out = tmp_path_factory.mktemp("a [folder]'s results")
    commit_part(out, 1, to_tables(files, EMOTIONS), {}, {})
    summarize(out, 10.0)
    return out
