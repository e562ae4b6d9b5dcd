"""The recordings of sample_study show what its README says, at the times that it says, by the embedded models."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.clips import SAMPLES
from tests.helpers.command import fer_batch
from tests.helpers.tables import rows

pytestmark = pytest.mark.slow  # All of it is analysed.

STUDY = SAMPLES.parent / "sample_study"
FPS = 2


@dataclass(frozen=True)
class Viewer:
    """A row of the README's table; spans in seconds of the recording."""

    media: str
    left: float  # the part of the frame in which the viewer sits, as shares of its width
    right: float
    smiles: tuple[float, float]
    surprised: tuple[float, float]
    away: tuple[float, float] | None
    absent: tuple[float, float] | None


def viewers() -> dict[str, Viewer]:
    described = {}
    for line in (STUDY / "README.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("| viewer_"):
            continue
        name, _, recording, begins = (cell.strip() for cell in line.split("|")[1:5])
        offset = float(begins.split()[0])

        def span(words: str, line: str = line, offset: float = offset) -> tuple[float, float] | None:
            found = re.search(rf"{words}[^|,]*, ([\d.]+) to ([\d.]+)", line)
            return None if found is None else (float(found[1]) + offset, float(found[2]) + offset)

        smiles, surprised = span("smiles"), span("surprised")
        assert smiles is not None
        assert surprised is not None
        left, right = (0.0, 0.5) if "left" in recording else (0.5, 1.0) if "right" in recording else (0.0, 1.0)
        media = re.findall(r"`([\w.]+)`", recording)[0]
        described[name] = Viewer(media, left, right, smiles, surprised, span("looks away"), span("is not in"))
    return described


VIEWERS = viewers()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    arguments = ["--fps", FPS, "--window", 5, "--workers", 2, "--no-report"]
    arguments += ["--study", STUDY / "study.csv", "--segments", STUDY / "segments.csv"]
    done = fer_batch("run", STUDY, "--out", out, *arguments)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def faces(run: Path) -> dict[str, pd.DataFrame]:
    """The faces of each viewer, by time in the recording."""
    table, media = rows(run, "faces"), rows(run, "media").set_index("media_path")
    by_viewer = {}
    for name, viewer in VIEWERS.items():
        own = table[table.media_path == viewer.media]
        across = (own.x + own.width / 2) / media.width[viewer.media]
        by_viewer[name] = own[(across >= viewer.left) & (across < viewer.right)].set_index("timestamp_s")
    return by_viewer


def within(faces: pd.DataFrame, span: tuple[float, float]) -> pd.DataFrame:
    """The faces while a reaction is at its full, half a second after it began."""
    return faces[(faces.index >= span[0] + 0.6) & (faces.index <= span[1] - 0.6)]


def test_six_viewers_are_described() -> None:
    assert len(VIEWERS) == 6
    assert sum(viewer.away is not None for viewer in VIEWERS.values()) == 2
    assert sum(viewer.absent is not None for viewer in VIEWERS.values()) == 1


@pytest.mark.parametrize("name", VIEWERS)
def test_a_viewer_is_found_once_in_every_frame_but_when_away(
    run: Path, faces: dict[str, pd.DataFrame], name: str
) -> None:
    viewer, frames = VIEWERS[name], rows(run, "frames")
    times = frames[frames.media_path == viewer.media].timestamp_s
    for span in (viewer.away, viewer.absent):
        if span is not None:
            times = times[(times < span[0]) | (times > span[1])]
    seen = faces[name].index
    assert not seen.duplicated().any()
    assert times.isin(seen).mean() > 0.97


@pytest.mark.parametrize("name", VIEWERS)
def test_smiles_and_surprises_are_seen_at_their_times_and_no_others(faces: dict[str, pd.DataFrame], name: str) -> None:
    viewer = VIEWERS[name]
    before = faces[name][faces[name].index < viewer.smiles[0] - 1]
    smiling, surprised = within(faces[name], viewer.smiles), within(faces[name], viewer.surprised)
    assert smiling.happy.mean() > before.happy.max() + 0.1
    assert surprised.surprise.mean() > 0.4 > before.surprise.max() + 0.2
    assert before.neutral.mean() > 0.6


def test_who_looks_away_or_leaves_is_not_attentive(faces: dict[str, pd.DataFrame]) -> None:
    for name, viewer in VIEWERS.items():
        if viewer.away is not None:
            assert not within(faces[name], viewer.away).facing.astype(bool).any()
        elif viewer.absent is not None:
            assert within(faces[name], viewer.absent).empty
        else:
            assert faces[name].facing.astype(bool).all()


def test_the_strongest_moments_of_the_run_are_the_known_reactions(run: Path) -> None:
    moments = pd.read_parquet(run / "summary" / "moments.parquet")
    for measure, attribute in (("happy", "smiles"), ("surprise", "surprised")):
        first = moments[(moments.measure == measure) & (moments["rank"] == 1)].iloc[0]
        spans = [getattr(viewer, attribute) for viewer in VIEWERS.values() if viewer.media == first.media_path]
        assert any(first.start_s < end and first.end_s > start for start, end in spans)


def test_the_strongest_seconds_of_every_recording_are_a_known_reaction(run: Path) -> None:
    frames = rows(run, "frames").set_index("timestamp_s")
    for viewer in VIEWERS.values():
        two_seconds = frames[frames.media_path == viewer.media].rolling(2 * FPS, min_periods=2)
        for measure, (start, end) in (("happy", viewer.smiles), ("surprise", viewer.surprised)):
            last = two_seconds[measure].mean().idxmax()
            assert start < last < end + 2


def test_the_studys_moments_lie_in_the_segments_of_the_reactions(run: Path) -> None:
    moments = pd.read_parquet(run / "study" / "moments.parquet")
    segments = pd.read_csv(STUDY / "segments.csv", index_col="segment")
    for measure, segment in (("happy", "joke"), ("surprise", "twist")):
        found = moments[(moments.measure == measure) & (moments.direction == "high")]
        assert len(found) > 0
        assert found.bin_start_s.between(segments.start_s[segment], segments.end_s[segment]).all()


def test_the_study_knows_who_looked_away_and_who_was_missing(run: Path) -> None:
    by_respondent = pd.read_parquet(run / "study" / "by_respondent.parquet")
    lull = by_respondent[by_respondent.segment == "lull"].set_index("respondent")
    for name, viewer in VIEWERS.items():
        assert (lull.attention[name] < 0.6) == (viewer.away is not None)
        assert (lull.missing_s[name] > 4) == (viewer.absent is not None)


def test_regular_viewers_smile_more_at_the_joke_than_newcomers(run: Path) -> None:
    contrasts = pd.read_parquet(run / "study" / "contrasts.parquet")
    row = contrasts[(contrasts.measure == "happy_change") & (contrasts.segment == "joke")].iloc[0]
    assert (row.value_a, row.value_b) == ("newcomer", "regular")
    assert row.difference_high < -0.2


def test_the_script_writes_the_tables_that_are_there(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("matplotlib")
    code = f"from pathlib import Path; import session; session.write_tables(Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=SAMPLES, check=True, timeout=300)
    for name in ("study.csv", "segments.csv"):
        assert (tmp_path / name).read_text() == (STUDY / name).read_text()


def test_all_sample_files_together_take_less_than_five_megabytes() -> None:
    files = [path for folder in (SAMPLES, STUDY) for path in folder.rglob("*") if "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 5_000_000
