"""The tables of a study, against the same worked out with pandas and SciPy from the tables of the run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy import stats

from fer_batch.analysis.studies.study import METADATA_KEY, StudyOptions, is_up_to_date, study
from fer_batch.errors import UsageError
from fer_batch.tables.layout import STUDY_FILES, STUDY_TABLES
from tests.helpers.studies import NAMES, Person, failed, picture, recording, write_csv, write_run
from tests.helpers.study_folder import few_shifts

MEASURE = "happy"


def tables(out: Path, design: Path, segments: Path | None = None, **options: object) -> dict[str, pd.DataFrame]:
    """Make a study and read its tables."""
    study(out, StudyOptions(design, segments, **options))
    return {name: pd.read_parquet(out / "study" / f"{name}.parquet") for name in STUDY_TABLES}


def smile(rng: np.random.Generator, count: int, at: float | None = None, size: float = 0.4) -> np.ndarray:
    """A face that is nearly at rest, and smiles for four seconds."""
    happy = np.clip(rng.beta(2, 12) + rng.normal(0, 0.03, count), 0, 0.5)
    if at is not None:
        seconds = np.arange(count)
        happy[(seconds >= at) & (seconds < at + 4)] += size
    return happy


@pytest.fixture(scope="module", autouse=True)
def _few_shifts() -> Iterator[None]:
    with few_shifts():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight respondents in two groups and two waves, of whom one has gaps, one two recordings, and all begin at other
    times; in `result`, from the tables alone, what the study should be made of."""
    root = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    lines, recordings = [], []
    for number in range(8):
        for wave in ("one", "two"):
            offset = [-3, 0, 2, 7, 40, 0, 1, 5][number]
            happy = smile(rng, 50 + offset + number, 20 + offset, 0.1 + 0.05 * number)
            happy[rng.random(len(happy)) < 0.1] = np.nan
            path = f"{wave}/r{number}.mp4"
            recordings.append(recording(path, [Person(happy, yaw=float(rng.choice([0, 40])))]))
            lines.append(f"{path},r{number},{offset},{'ab'[number % 2]},{wave}")
    write_run(root / "out", recordings[:5], recordings[5:])
    write_csv(root / "STUDY.csv", "media,respondent,offset_s,group,wave", *lines)
    write_csv(root / "SEGMENTS.csv", "segment,start_s,end_s", "baseline,0,10", "scene,18,26", "late,30,45")
    return root


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, pd.DataFrame]:
    return tables(folder / "out", folder / "STUDY.csv", folder / "SEGMENTS.csv")


@pytest.fixture(scope="module")
def frames(folder: Path) -> pd.DataFrame:
    """The frames of the run with who is in them and the second of the stimulus."""
    rows = pd.read_parquet(folder / "out" / "frames").merge(
        pd.read_csv(folder / "STUDY.csv"), left_on="media_path", right_on="media"
    )
    rows[list(NAMES)] = rows[list(NAMES)].astype(float)
    return rows.assign(second=rows["timestamp_s"] - rows["offset_s"])


SPANS = {None: (0, np.inf), "baseline": (0, 10), "scene": (18, 26), "late": (30, 45)}


def within(frames: pd.DataFrame, segment: str | None) -> pd.DataFrame:
    start, end = SPANS[segment]
    return frames[(frames["second"] >= start) & (frames["second"] < end)]


def one(table: pd.DataFrame, **keys: object) -> pd.Series:
    """The one row with these keys; None is null."""
    for name, value in keys.items():
        table = table[table[name].isna() if value is None else table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


@pytest.mark.parametrize("segment", SPANS)
def test_by_respondent_has_the_means_over_frames_with_a_face(found: dict, frames: pd.DataFrame, segment: str) -> None:
    for respondent, rows in within(frames, segment).groupby("respondent"):
        row = one(found["by_respondent"], respondent=respondent, segment=segment)
        base = within(frames[frames["respondent"] == respondent], "baseline")[list(NAMES)].mean()
        assert row["frames"] == len(rows)
        assert row["frames_with_faces"] == (rows["face_count"] > 0).sum()
        assert row["face_presence"] == pytest.approx((rows["face_count"] > 0).mean())
        assert row[list(NAMES)].astype(float).to_numpy() == pytest.approx(
            rows[list(NAMES)].mean().to_numpy(), rel=1e-6, abs=1e-6
        )
        change = row[[f"{name}_change" for name in NAMES]].astype(float).to_numpy()
        expected = (rows[list(NAMES)].mean() - base).to_numpy()
        assert change == pytest.approx(
            np.full(len(NAMES), np.nan) if segment == "baseline" else expected, nan_ok=True, abs=1e-5
        )
        assert (row["recordings"], row["group"], row["wave"]) == (2, "ab"[int(respondent[1]) % 2], "one; two")


def by_second(frames: pd.DataFrame) -> pd.DataFrame:
    """A row per respondent, a column per second."""
    shown = frames[frames["second"] >= 0].assign(second=np.floor(frames["second"]))
    return shown.pivot_table(index="respondent", columns="second", values=MEASURE)


def test_curve_has_the_mean_over_respondents_of_each_second(found: dict, frames: pd.DataFrame) -> None:
    views = [(None, None, frames)]
    views += [(name, value, rows) for name in ("group", "wave") for value, rows in frames.groupby(name)]
    for factor, value, rows in views:
        curve = found["curve"]
        curve = curve[
            curve["factor"].isna() if factor is None else (curve["factor"] == factor) & (curve["value"] == value)
        ]
        expected = by_second(rows).reindex(columns=curve["bin_start_s"])
        assert curve[MEASURE].to_numpy() == pytest.approx(expected.mean().to_numpy(), abs=1e-6, nan_ok=True)
        assert curve["respondents"].tolist() == expected.notna().sum().tolist()
        assert curve["enough_respondents"].tolist() == (expected.notna().sum() >= 3).tolist()
        enough = curve[curve["enough_respondents"]]
        for low, high in (("_low", "_high"), ("_band_low", "_band_high")):
            assert (enough[MEASURE + low] < enough[MEASURE]).all()
            assert (enough[MEASURE + high] > enough[MEASURE]).all()
        assert curve.loc[~curve["enough_respondents"], f"{MEASURE}_low"].isna().all()


def test_reacting_is_two_deviations_above_the_own_baseline(found: dict, frames: pd.DataFrame) -> None:
    curve = found["curve"][found["curve"]["factor"].isna()]
    seconds = by_second(frames)  # Expressiveness is happy here: the rest is neutral.
    base = seconds.loc[:, 0:9]
    limit = [within(rows, "baseline")[MEASURE].mean() for _, rows in frames.groupby("respondent")]
    limit = np.array(limit) + 2 * base.std(axis=1).to_numpy()
    expected = seconds.gt(limit, axis=0).where(seconds.notna()).mean()
    assert curve["reacting_share"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)
    assert curve.loc[curve["bin_start_s"].between(20, 23), "reacting_share"].min() > 0.8


def test_by_segment_has_the_mean_over_respondents(found: dict, frames: pd.DataFrame) -> None:
    rows = found["by_respondent"].assign(whole=lambda table: table["segment"].fillna("-"))
    for segment, each in rows.groupby("whole"):
        row = one(found["by_segment"], factor=None, segment=None if segment == "-" else segment)
        assert row["respondents"] == 8
        for name in (MEASURE, "face_presence", f"{MEASURE}_change"):
            assert row[name] == pytest.approx(each[name].mean(), nan_ok=True)
            if name != "face_presence" and not np.isnan(row[name]):  # Which is skewed more than a t interval can take.
                low, high = stats.t.interval(0.95, 7, each[name].mean(), stats.sem(each[name]))
                assert [row[f"{name}_low"], row[f"{name}_high"]] == pytest.approx([low, high], abs=0.3 * (high - low))
    assert (found["by_segment"].groupby(["factor", "value"]).size() == 4).all()


@pytest.mark.parametrize("segment", SPANS)
@pytest.mark.parametrize("measure", [MEASURE, f"{MEASURE}_change"])
def test_contrasts_of_groups_are_welchs(found: dict, segment: str, measure: str) -> None:
    if (segment, measure) == ("baseline", f"{MEASURE}_change"):
        return
    rows = found["by_respondent"]
    rows = rows[rows["segment"].isna() if segment is None else rows["segment"] == segment]
    a, b = (rows.loc[rows["group"] == value, measure] for value in "ab")
    row = one(found["contrasts"], factor="group", segment=segment, measure=measure)
    expected = stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval()
    assert (row["value_a"], row["value_b"], row["respondents_a"], row["respondents_b"]) == ("a", "b", 4, 4)
    assert not row["paired"]
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    assert row["p"] == pytest.approx(expected.pvalue)
    assert [row["difference_low"], row["difference_high"]] == pytest.approx([interval.low, interval.high])


def test_contrasts_of_the_same_respondents_are_paired(found: dict, frames: pd.DataFrame) -> None:
    means = within(frames, "scene").groupby(["respondent", "wave"])[MEASURE].mean().unstack()
    row = one(found["contrasts"], factor="wave", segment="scene", measure=MEASURE)
    assert row["paired"]
    assert (row["respondents_a"], row["respondents_b"]) == (8, 8)
    assert row["p"] == pytest.approx(stats.ttest_rel(means["one"], means["two"]).pvalue, rel=1e-4)
    correction = 1 - 3 / (4 * 7 - 1)
    spread = np.sqrt((means["one"].var() + means["two"].var()) / 2)
    effect = correction * (means["one"] - means["two"]).mean() / spread
    assert row["hedges_g"] == pytest.approx(effect, rel=0.01)


def test_p_values_are_adjusted_over_the_stimulus(found: dict) -> None:
    contrasts = found["contrasts"].dropna(subset="p").sort_values("p")
    steps = contrasts["p"] * np.arange(len(contrasts), 0, -1)
    assert contrasts["p_adjusted"].to_numpy() == pytest.approx(steps.cummax().clip(upper=1).to_numpy())


def test_synchrony_is_the_leave_one_out_correlation(found: dict, frames: pd.DataFrame) -> None:
    seconds = by_second(frames).T.loc[18:25]
    apart = seconds - seconds.mean()
    each = [apart[name].corr(apart.drop(columns=name).fillna(0).mean(axis=1)) for name in apart]
    row = one(found["synchrony"], segment="scene", measure=MEASURE)
    assert row["isc"] == pytest.approx(np.mean(each), abs=1e-6)
    assert row["isc_low"] < row["isc"] < row["isc_high"]
    assert (row["respondents"], row["p"] < 0.05) == (8, True)


def test_planted_reaction_is_the_first_moment_and_its_size_is_in_the_interval(tmp_path: Path) -> None:
    """Twenty respondents whose recordings begin from 3 s after the stimulus to 40 s before it, of whom half smile for
    four seconds at second 30: at their second, and by 0.3 over all."""
    rng = np.random.default_rng(1)
    offsets = np.linspace(-3, 40, 20).round()
    people = [smile(rng, 60 + int(offset), 30 + offset if n % 2 else None, 0.6) for n, offset in enumerate(offsets)]
    out = write_run(tmp_path / "out", [recording(f"r{n:02}.mp4", [Person(happy)]) for n, happy in enumerate(people)])
    lines = [f"r{n:02}.mp4,{offset}" for n, offset in enumerate(offsets)]
    segments = write_csv(tmp_path / "G.csv", "segment,start_s,end_s", "baseline,0,20", "smile,30,34")
    made = tables(out, write_csv(tmp_path / "S.csv", "media,offset_s", *lines), segments)
    moments = made["moments"][made["moments"]["measure"] == MEASURE]
    assert set(moments["bin_start_s"]) == {30, 31, 32, 33}
    assert moments["rank"].tolist() == [1, 2, 3, 4]
    assert set(moments["direction"]) == {"high"}
    assert (moments["respondents"] == 20).all()
    assert (moments["respondents_beyond"] >= 10).all()
    assert (
        (moments["change_band_low"] > 0) & (moments["change_band_low"] < 0.3) & (moments["change_band_high"] > 0.3)
    ).all()
    row = one(made["by_segment"], segment="smile")
    assert row[f"{MEASURE}_change_low"] < 0.3 < row[f"{MEASURE}_change_high"]


def test_moments_without_a_baseline_leave_the_respondents_own_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    out = write_run(tmp_path / "out", [recording(f"{n}.mp4", [Person(smile(rng, 60, 40))]) for n in range(9)])
    moments = tables(out, write_csv(tmp_path / "S.csv", "media", "*.mp4"))["moments"]
    strongest = moments[(moments["measure"] == MEASURE) & (moments["direction"] == "high")]
    assert set(strongest["bin_start_s"]) == {40, 41, 42, 43}
    assert set(moments["compared_with"]) == {"stimulus mean"}


def test_missing_faces_and_late_starts_are_said_and_not_neutral(tmp_path: Path) -> None:
    nan = np.nan
    recordings = [
        recording("gap.mp4", [Person([0.5, nan, nan, 0.5, 0.5, nan, 0.5, 0.5, 0.5, 0.5])]),
        recording("late.mp4", [Person([0.5] * 7)]),  # Begins at second 3.
        recording("short.mp4", [Person([0.5] * 4)]),
        recording("whole.mp4", [Person([0.5] * 12)]),
        failed("failed.mp4"),
    ]
    out = write_run(tmp_path / "out", recordings)
    design = write_csv(
        tmp_path / "S.csv", "media,offset_s", "gap.mp4,", "late.mp4,-3", "short.mp4,", "whole.mp4,2", "failed.mp4,"
    )
    segments = write_csv(tmp_path / "G.csv", "segment,start_s,end_s", "begin,0,4", "half,1.5,4.5", "before,-2,0")
    rows = tables(out, design, segments)["by_respondent"]
    missing = {name: each["missing_s"].tolist() for name, each in rows.groupby("respondent")}
    assert missing == {  # Of the whole, begin, half, before.
        "gap.mp4": pytest.approx([3, 2, 1.5, 2]),
        "late.mp4": pytest.approx([3, 3, 1.5, 2]),
        "short.mp4": pytest.approx([6, 0, 0.5, 2]),
        "whole.mp4": pytest.approx([0, 0, 0, 0]),
        "failed.mp4": pytest.approx([10, 4, 3, 2]),
    }
    assert rows["happy"].dropna().to_numpy() == pytest.approx(0.5)
    nobody = one(rows, respondent="failed.mp4", segment="begin")
    assert (nobody["recordings"], nobody["frames"], nobody["respondent"]) == (1, 0, "failed.mp4")
    assert np.isnan(nobody["happy"])


def test_stimulus_shown_twice_is_pooled_and_parts_of_a_recording_are_apart(tmp_path: Path) -> None:
    """One recording: the ad from second 2 to 5 and again from second 8, the film between."""
    happy = [0.9, 0.9, 0.1, 0.2, 0.3, 0.8, 0.8, 0.8, 0.3, 0.4, 0.5]
    out = write_run(tmp_path / "out", [recording("a.mp4", [Person(happy)])])
    lines = ("a.mp4,anna,ad,2", "a.mp4,anna,film,5", "a.mp4,anna,ad,8")
    made = tables(out, write_csv(tmp_path / "S.csv", "media,respondent,stimulus,offset_s", *lines))
    rows = made["by_respondent"].set_index("stimulus")
    assert rows["happy"].to_dict() == pytest.approx({"ad": 0.3, "film": 0.8}, abs=1e-6)
    assert rows["frames"].to_dict() == {"ad": 6, "film": 3}
    assert rows["missing_s"].to_dict() == pytest.approx({"ad": 0, "film": 0})
    curve = made["curve"][made["curve"]["stimulus"] == "ad"]
    assert curve["happy"].tolist() == pytest.approx([0.2, 0.3, 0.4], abs=1e-6)
    assert not curve["enough_respondents"].any()


def test_tracks_and_regions_choose_among_the_faces(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A call with two tiles, of which the left one has a poster; and a room in which one face is seen longest."""
    nan = np.nan
    call = [Person([0.2] * 6, track=0, centre=(0.2, 0.5)), Person([0.9] * 6, track=1, centre=(0.4, 0.9))]
    call += [Person([0.6] * 6, track=2, centre=(0.5, 0.5))]
    room = [
        Person([0.1] * 3 + [nan] * 3, track=0),
        Person([0.7] * 5 + [nan], track=1),
        Person([0.4] * 2 + [nan] * 4, track=2),
    ]
    out = write_run(tmp_path / "out", [recording("call.mp4", call), recording("room.mp4", room)])
    design = write_csv(
        tmp_path / "S.csv",
        "media,respondent,stimulus,faces,x,y,width,height",
        "call.mp4,left,call,all,0,0,0.5,0.8",
        "call.mp4,right,call,main,0.5,0,0.5,1",
        "room.mp4,longest,room,main,,,,",
        "room.mp4,second,room,track 2,,,,",
    )
    with caplog.at_level(logging.INFO):
        rows = tables(out, design)["by_respondent"].set_index("respondent")
    # The poster's 6 and the 3 of the room's first track; those of each other's rows are meant by one.
    assert "9 of 28 faces in the study's recordings are meant by no row of it" in caplog.text
    assert rows["happy"].to_dict() == pytest.approx(
        {"left": 0.2, "right": 0.6, "longest": 0.7, "second": 0.4}, abs=1e-6
    )
    assert rows["faces"].to_dict() == {"left": 6, "right": 6, "longest": 5, "second": 2}
    assert rows["faces_left_out"].to_dict() == {"left": 12, "right": 12, "longest": 5, "second": 8}
    assert rows.loc["longest", "missing_s"] == 1


def test_all_faces_of_a_room_are_the_frames_means(tmp_path: Path) -> None:
    room = [Person([0.1, np.nan, 0.3], track=0), Person([0.5, 0.7, np.nan], track=1, yaw=50.0)]
    out = write_run(tmp_path / "out", [recording("room.mp4", room)])
    row = tables(out, write_csv(tmp_path / "S.csv", "media", "room.mp4"))["by_respondent"].iloc[0]
    frames = pd.read_parquet(out / "frames")
    assert row[list(NAMES)].astype(float).to_numpy() == pytest.approx(frames[list(NAMES)].mean().to_numpy(), rel=1e-5)


def test_attention_without_landmarks_is_unknown(tmp_path: Path) -> None:
    out = write_run(tmp_path / "out", [recording(f"{n}.mp4", [Person([0.2, 0.4], yaw=None)]) for n in range(3)])
    made = tables(out, write_csv(tmp_path / "S.csv", "media", "*"))
    assert made["by_respondent"]["attention"].isna().all()
    assert made["curve"]["engagement"].notna().all()


def test_few_respondents_have_values_without_intervals(tmp_path: Path) -> None:
    out = write_run(tmp_path / "out", [recording(f"{n}.mp4", [Person([0.2, 0.4 + n / 10, 0.3])]) for n in range(2)])
    made = tables(out, write_csv(tmp_path / "S.csv", "media,group", "0.mp4,a", "1.mp4,b"))
    assert made["by_segment"]["happy"].notna().all()
    assert made["by_segment"]["happy_low"].isna().all()
    assert made["contrasts"]["difference"].notna().any()
    assert made["contrasts"]["p"].isna().all()
    assert made["moments"].empty
    for name in ("curve", "by_segment", "contrasts", "synchrony"):
        assert not made[name]["enough_respondents"].any()


def test_nobody_found_gives_tables_without_values(tmp_path: Path) -> None:
    out = write_run(tmp_path / "out", [recording(f"{n}.mp4", [Person([np.nan] * 4)]) for n in range(3)])
    made = tables(out, write_csv(tmp_path / "S.csv", "media", "*"))
    assert made["by_respondent"]["missing_s"].tolist() == [4, 4, 4]
    assert made["by_segment"]["respondents"].tolist() == [0]
    assert made["curve"]["respondents"].tolist() == [0, 0, 0, 0]
    assert made["moments"].empty


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("media,faces", "a.mp4,track 9"), r"line 2, column faces: a.mp4 has no track 9; its tracks are 0 to 1, see"),
        (("media,faces", "a.mp4,track 1", "a.mp4,main"), r"line 3, column faces: the main track of a.mp4 is track 1,"),
    ],
)  # fmt: skip
def test_track_that_is_not_there_or_taken_is_refused_and_nothing_is_written(
    tmp_path: Path, lines: tuple, message: str
) -> None:
    people = [Person([0.1, np.nan]), Person([0.3, 0.4], track=1)]
    out = write_run(tmp_path / "out", [recording("a.mp4", people)])
    with pytest.raises(UsageError, match=message):
        study(out, StudyOptions(write_csv(tmp_path / "S.csv", *lines)))
    assert not (out / "study").exists()


def test_bins_follow_the_sampling_unless_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = write_run(tmp_path / "out", [recording(f"{n}.mp4", [Person([0.2] * 5)], step=2.5) for n in range(3)])
    design = write_csv(tmp_path / "S.csv", "media", "*")
    with caplog.at_level(logging.WARNING):
        assert tables(out, design)["curve"]["bin_start_s"].tolist() == [0, 2.5, 5, 7.5, 10]
    assert "a frame every 2.5 s: bins are 2.5 s wide" in caplog.text
    assert tables(out, design, bin=5.0)["curve"]["bin_start_s"].tolist() == [0, 5, 10]
    with pytest.raises(UsageError, match=r"--bin 1: the recordings have a frame every 2\.5 s; give 2\.5 or more"):
        study(out, StudyOptions(design, bin=1.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bin": 0.0}, "--bin 0: must be above 0"),
        ({"confidence": 95.0}, "--confidence 95: must lie between 0 and 1, such as 0.95"),
        ({"factors": ("gruop",)}, "--factor gruop: is no factor column of .*; did you mean group?"),
    ],
)
def test_bad_options_are_refused(folder: Path, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        study(folder / "out", StudyOptions(folder / "STUDY.csv", **options))


def test_only_the_factors_asked_for_are_compared(folder: Path) -> None:
    made = tables(folder / "out", folder / "STUDY.csv", factors=("wave",))
    assert set(made["contrasts"]["factor"]) == {"wave"}
    assert set(made["curve"]["factor"].dropna()) == {"wave"}
    assert "group" in made["by_respondent"]


def test_factor_of_many_values_is_kept_but_not_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = write_run(tmp_path / "out", [recording(f"{n}.mp4", [Person([0.2, 0.3])]) for n in range(21)])
    design = write_csv(tmp_path / "S.csv", "media,age", *(f"{n}.mp4,{20 + n}" for n in range(21)))
    with caplog.at_level(logging.WARNING):
        made = tables(out, design)
    assert "age has 21 values: it is kept, not compared; group them first" in caplog.text
    assert made["contrasts"].empty
    assert made["by_respondent"]["age"].nunique() == 21
    with pytest.raises(UsageError, match="--factor age: has 21 values; at most 20 are compared"):
        study(out, StudyOptions(design, factors=("age",)))


def test_what_is_not_in_the_study_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    people = {"a.mp4": 0.2, "b.mp4": np.nan, "c.mp4": 0.1}
    recordings = [recording(path, [Person([happy])]) for path, happy in people.items()]
    out = write_run(tmp_path / "out", recordings, [picture("d.jpg")])
    with caplog.at_level(logging.WARNING):
        tables(
            out,
            write_csv(tmp_path / "S.csv", "media", "a.mp4", "b.mp4"),
            write_csv(tmp_path / "G.csv", "segment,start_s,end_s", "later,60,70"),
        )
    assert "1 videos of the run are in no row of the study" in caplog.text
    assert "no face was found of 1 respondents: b.mp4" in caplog.text
    assert "nothing was recorded of segment later" in caplog.text


def test_study_is_up_to_date_until_its_files_options_or_the_tables_change(folder: Path) -> None:
    options = StudyOptions(folder / "STUDY.csv", folder / "SEGMENTS.csv")
    study(folder / "out", options)
    assert is_up_to_date(folder / "out", options)
    assert not is_up_to_date(folder / "out", StudyOptions(folder / "STUDY.csv"))
    assert not is_up_to_date(
        folder / "out", StudyOptions(folder / "STUDY.csv", folder / "SEGMENTS.csv", confidence=0.9)
    )
    (folder / "out" / "study" / "curve.csv").unlink()
    assert not is_up_to_date(folder / "out", options)
    study(folder / "out", options)
    write_csv(folder / "SEGMENTS.csv", "segment,start_s,end_s", "baseline,0,10", "scene,18,26", "late,30,46")
    assert not is_up_to_date(folder / "out", options)


def test_study_leaves_whole_files_that_say_what_they_were_made_of(folder: Path, found: dict) -> None:
    assert sorted(path.name for path in (folder / "out" / "study").iterdir()) == sorted(STUDY_FILES)
    for name in STUDY_TABLES:
        path = folder / "out" / "study" / f"{name}.parquet"
        origin = json.loads(pq.read_schema(path).metadata[METADATA_KEY.encode()])
        assert (origin["bin_s"], origin["confidence"]) == (1.0, 0.95)
        assert pd.read_csv(path.with_suffix(".csv")).shape == pd.read_parquet(path).shape


def test_study_twice_gives_the_same_files(folder: Path) -> None:
    options = StudyOptions(folder / "STUDY.csv", folder / "SEGMENTS.csv")
    contents = []
    for _ in range(2):
        study(folder / "out", options)
        contents.append({path.name: path.read_bytes() for path in (folder / "out" / "study").iterdir()})
    assert contents[0] == contents[1]
