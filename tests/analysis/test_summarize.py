"""Summaries of tables worked out by hand."""

from __future__ import annotations

import csv
import errno
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fer_batch.analysis import sorted_merge
from fer_batch.analysis.groups import MEDIA_KEYS, Groups, Part
from fer_batch.analysis.summarize import has_summaries, summarize
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import UsageError
from fer_batch.records import Code, Failure, Stage
from fer_batch.share_correction import ShareCorrection
from fer_batch.tables.commit import commit_part
from fer_batch.tables.parts import part_path
from fer_batch.tables.schema import ClassifiedFile, to_tables

NAMES = ("overall", "by_media", "timeline", "by_track", "moments")
AGGREGATES = NAMES[:3]
EMOTIONS_AND_MEASURES = [*EMOTIONS, "valence", "expressiveness", "attention", "engagement"]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """An output folder from parts, each a list of scored files."""

    def build(*parts: Sequence[ClassifiedFile], labels: tuple[str, ...] = EMOTIONS, name: str = "out") -> Path:
        for number, part in enumerate(parts, 1):
            commit_part(tmp_path / name, number, to_tables(part, labels), {}, {})
        return tmp_path / name

    return build


@pytest.fixture
def files(scored_file: Callable, shares_of: Callable) -> list[ClassifiedFile]:
    """A video of four frames, an image, a file that failed."""
    happy, sad, certain = shares_of(happy=0.8, neutral=0.2), shares_of(sad=0.6, neutral=0.4), shares_of(happy=1.0)
    return [
        scored_file("v.mp4", [(0.0, [happy]), (4.0, []), (6.0, [sad, certain]), (12.5, [shares_of(neutral=1.0)])]),
        scored_file("i.png", [(None, [shares_of(angry=0.5, disgust=0.3, neutral=0.2)])]),
        scored_file("bad.mp4", [], failure=Failure(Stage.DECODE, Code.NOT_MEDIA, "bad.mp4: is text")),
    ]


def summaries(out: Path, window: float = 5.0) -> dict[str, list[dict[str, Any]]]:
    """The rows of all summary tables."""
    summarize(out, window)
    return {name: pq.read_table(out / "summary" / f"{name}.parquet").to_pylist() for name in NAMES}


def test_overall(folder: Callable, files: list[ClassifiedFile]) -> None:
    (row,) = summaries(folder(files))["overall"]
    counts = ("media_done", "media_failed", "frames", "frames_with_faces", "faces")
    assert [row[name] for name in counts] == [2, 1, 5, 4, 5]
    assert row["face_presence"] == pytest.approx(4 / 5)
    expected = {
        "faces_per_frame": 1.25,
        "happy": (0.8 + 0.5 + 0.0 + 0.0) / 4,  # Frames, not faces, and only those with one.
        "sad": 0.3 / 4,
        "disgust": 0.3 / 4,
        "neutral": (0.2 + 0.2 + 1.0 + 0.2) / 4,
        "valence": (0.8 + 0.2 + 0.0 - 0.5) / 4,
        "expressiveness": (0.8 + 0.8 + 0.0 + 0.8) / 4,
        "engagement": (90 + 90 + 50 + 90) / 4,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert row["attention"] is None
    shares = {"happy": 0.4, "sad": 0.2, "neutral": 0.2, "angry": 0.2}
    assert {name: row[f"share_{name}"] for name in EMOTIONS} == {name: shares.get(name, 0.0) for name in EMOTIONS}


def test_by_media(folder: Callable, files: list[ClassifiedFile]) -> None:
    rows = summaries(folder(files))["by_media"]
    keys = ("media_path", "media_type", "frames", "frames_with_faces", "faces")
    assert [tuple(row[key] for key in keys) for row in rows if row["frames"]] == [
        ("i.png", "image", 1, 1, 1),
        ("v.mp4", "video", 4, 3, 4),
    ]
    video = rows[-1]
    assert video["face_presence"] == 0.75
    assert video["happy"] == pytest.approx(1.3 / 3)
    assert video["share_happy"] == 0.5


def test_timeline_has_the_windows_of_videos_only(folder: Callable, files: list[ClassifiedFile]) -> None:
    rows = summaries(folder(files), window=5.0)["timeline"]
    keys = ("media_path", "media_type", "window_index", "start_s", "end_s", "frames", "faces", "face_presence")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("v.mp4", "video", 0, 0.0, 5.0, 2, 1, 0.5),
        ("v.mp4", "video", 1, 5.0, 10.0, 1, 2, 1.0),
        ("v.mp4", "video", 2, 10.0, 15.0, 1, 1, 1.0),
    ]
    assert [row["happy"] for row in rows] == pytest.approx([0.8, 0.5, 0.0])
    assert [row["share_happy"] for row in rows] == [1.0, 0.5, 0.0]


def test_a_window_without_a_face_is_unknown_not_zero(folder: Callable, files: list[ClassifiedFile]) -> None:
    row = summaries(folder(files), window=4.0)["timeline"][1]
    assert (row["start_s"], row["frames"], row["face_presence"]) == (4.0, 2, 0.5)
    row = summaries(folder(files, name="again"), window=2.0)["timeline"][1]
    assert (row["start_s"], row["frames"], row["face_presence"], row["faces"]) == (4.0, 1, 0.0, 0)
    assert [row[name] for name in (*EMOTIONS_AND_MEASURES, *(f"share_{name}" for name in EMOTIONS))] == [None] * 18


@pytest.mark.parametrize("window", [0.1, 0.2, 0.3, 0.7, 1.0])
def test_a_frame_on_the_edge_opens_the_window(
    window: float, folder: Callable, scored_file: Callable, shares_of: Callable
) -> None:
    """0.6 / 0.2 is 2.9999999999999996: rounding must not put two samples in one window and none in the next."""
    frames = [(round(number * window, 1), [shares_of(happy=1.0)]) for number in range(20)]
    rows = summaries(folder([scored_file("v.mp4", frames)]), window)["timeline"]
    assert [row["frames"] for row in rows] == [1] * 20


def test_another_window_changes_the_timeline_alone(folder: Callable, files: list[ClassifiedFile]) -> None:
    out = folder(files)
    wide, narrow = summaries(out, 100.0), summaries(out, 1.0)
    assert [len(rows["timeline"]) for rows in (wide, narrow)] == [1, 4]
    assert wide["overall"] == narrow["overall"]
    assert wide["by_media"] == narrow["by_media"]
    (whole,) = wide["timeline"]
    assert whole["happy"] == wide["by_media"][-1]["happy"]


def test_no_face_anywhere(folder: Callable, scored_file: Callable) -> None:
    rows = summaries(folder([scored_file("a.mp4", [(0.0, []), (1.0, [])]), scored_file("b.png", [(None, [])])]))
    (overall,) = rows["overall"]
    assert (overall["frames"], overall["faces"], overall["face_presence"]) == (3, 0, 0.0)
    assert [overall[name] for name in (*EMOTIONS_AND_MEASURES, "faces_per_frame", "share_happy")] == [None] * 13
    assert [(row["media_path"], row["face_presence"]) for row in rows["by_media"]] == [("a.mp4", 0.0), ("b.png", 0.0)]
    assert len(rows["timeline"]) == 1


def test_no_media_at_all(folder: Callable) -> None:
    rows = summaries(folder([]))
    (overall,) = rows["overall"]
    assert [overall[name] for name in ("media_done", "media_failed", "frames", "faces")] == [0, 0, 0, 0]
    assert overall["face_presence"] is None
    assert overall["happy"] is None
    assert rows["by_media"] == rows["timeline"] == []


def test_images_alone_have_no_timeline(folder: Callable, files: list[ClassifiedFile]) -> None:
    rows = summaries(folder(files[1:2]))
    assert len(rows["by_media"]) == 1
    assert rows["timeline"] == []


def test_six_classes(folder: Callable, scored_file: Callable, shares_of: Callable) -> None:
    faces = [shares_of(EMOTIONS_MERGED, angry=0.8, neutral=0.2), shares_of(EMOTIONS_MERGED, happy=1.0)]
    out = folder([scored_file("a.png", [(None, faces)], classes=6)], labels=EMOTIONS_MERGED)
    (row,) = summaries(out)["overall"]
    assert not [name for name in row if "disgust" in name]
    assert (row["share_angry"], row["share_happy"]) == (0.5, 0.5)
    assert row["valence"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", AGGREGATES)
def test_every_mean_has_its_interval_and_presence_beside_it(
    folder: Callable, files: list[ClassifiedFile], name: str
) -> None:
    out = folder(files)
    summarize(out, 10.0)
    names = pq.read_schema(out / "summary" / f"{name}.parquet").names
    for mean in ("face_presence", *EMOTIONS_AND_MEASURES):
        start = names.index(mean)
        assert names[start : start + 3] == [mean, f"{mean}_low", f"{mean}_high"]
    for emotion in EMOTIONS:
        assert f"share_{emotion}" in names
        assert f"adjusted_share_{emotion}" in names


@pytest.mark.parametrize("name", NAMES)
def test_csv_equals_parquet(
    folder: Callable, files: list[ClassifiedFile], scored_file: Callable, shares_of: Callable, name: str
) -> None:
    odd = scored_file('a, "b"\n é.mp4', [(1 / 3, [shares_of(happy=1 / 3, sad=2 / 3)])])
    out = folder([*files, odd])
    summarize(out, 0.1)
    parquet = pq.read_table(out / "summary" / f"{name}.parquet")
    with (out / "summary" / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
        header, *lines = csv.reader(stream)
    assert header == parquet.column_names
    assert len(lines) == parquet.num_rows > 0
    for line, row in zip(lines, parquet.to_pylist(), strict=True):
        for text, value in zip(line, row.values(), strict=True):
            assert (type(value)(text) if text else None) == value


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *((name, f"'{name}") for name in ("=1+1", "+1", "-dash.jpg", "@SUM(A1)", "\n=1", "  =1", "＝1")),
        ('=HYPERLINK("http://x","a, b")', '\'=HYPERLINK("http://x","a, b")'),
        ("\r=x", r"'\r=x"),
        ("a\r=x\x1b\t", r"a\r=x\x1b\t"),
        ("a=b-c.mp4", "a=b-c.mp4"),
    ],
)
def test_no_name_is_a_formula_in_a_spreadsheet(folder: Callable, scored_file: Callable, name: str, shown: str) -> None:
    out = folder([scored_file(name, [(0.0, [])])])
    summarize(out, 10.0)
    for table in ("by_media", "timeline"):
        with (out / "summary" / f"{table}.csv").open(newline="", encoding="utf-8") as stream:
            assert [row["media_path"] for row in csv.DictReader(stream)] == [shown]
        assert pq.read_table(out / "summary" / f"{table}.parquet")["media_path"].to_pylist() == [name]


@pytest.mark.parametrize("rows", [1, 2, sorted_merge.ROWS])
def test_neither_the_order_nor_the_number_of_parts_matters(
    folder: Callable, scored_file: Callable, shares_of: Callable, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Probabilities of many magnitudes: their sum depends on the order in which they are added up. `rows`: of a slice
    of the summaries."""
    monkeypatch.setattr(sorted_merge, "ROWS", rows)
    happy = 10.0 ** -np.random.default_rng(0).uniform(0, 12, (5, 9))
    files = [
        scored_file(f"{name}.mp4", [(time / 7, [shares_of(happy=p, neutral=1 - p)]) for time, p in enumerate(row)])
        for name, row in zip("abcde", happy, strict=True)
    ]
    expected = summaries(folder(files, name="one"))
    assert summaries(folder(files[3:], files[:1], files[1:3], name="three")) == expected
    assert summaries(folder(*[[file] for file in files[::-1]], name="five")) == expected


@pytest.mark.parametrize("rows", [1, 3])
def test_files_without_rows_may_stand_anywhere(
    folder: Callable, files: list[ClassifiedFile], scored_file: Callable, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Where a large part is cut, failed files and films without a face are neither lost nor counted twice."""
    failure = Failure(Stage.DECODE, Code.NOT_MEDIA, "is text")
    others = [scored_file(f"{name}.mp4", [], failure=failure) for name in ("a", "j", "z")]
    empty = scored_file("k.mp4", [(float(time), []) for time in range(5)])
    every = [*files, *others, empty]
    expected = summaries(folder(every, name="whole"))
    assert (expected["overall"][0]["media_failed"], expected["overall"][0]["frames"]) == (4, 10)
    monkeypatch.setattr(sorted_merge, "ROWS", rows)
    assert summaries(folder(every, name="cut")) == expected
    assert summaries(folder(others[:1], every[:3], [empty, others[2]], others[1:2], name="parts")) == expected


def test_a_damaged_part_leaves_no_half_summary_and_is_named(folder: Callable, files: list[ClassifiedFile]) -> None:
    out = folder(files[:1], files[1:])
    path = part_path(out, "frames", 2)
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)  # Pages; the footer is whole.
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"part-000002\.parquet: is no whole Parquet file"):
        summarize(out, 10.0)
    assert not any(path.is_file() for path in (out / "summary").iterdir())


def test_a_full_disk_names_the_file_that_it_has_no_room_for(
    folder: Callable, files: list[ClassifiedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fer_batch.analysis.summary_writer.pa_csv.write_csv", full)
    with pytest.raises(OSError, match=r"by_media\.csv"):
        summarize(folder(files), 10.0)


def test_a_part_that_was_never_committed_does_not_count(folder: Callable, files: list[ClassifiedFile]) -> None:
    """Killed before the last rename: the part has faces and frames but no media file."""
    expected = summaries(folder(files[:1], name="clean"))
    out = folder(files[:1], files[1:])
    part_path(out, "media", 2).unlink()
    assert summaries(out) == expected


def test_unknown_measures_are_left_out_of_their_mean() -> None:
    where = {"media_path": "v.mp4", "media_type": "video"}
    measures = {name: [1.0, 1.0, 1.0, None] for name in EMOTIONS_AND_MEASURES}
    times = {"sample_index": range(4), "timestamp_s": [0.0, 1.0, 2.0, 3.0]}
    frames = pd.DataFrame({**where, **times, **measures, "face_count": [1, 1, 1, 0]})
    frames["attention"] = [1.0, None, 0.5, None]
    faces = frames[:3].assign(emotion="happy", track_id=0, facing=None)
    part = Part(pd.DataFrame({"status": ["done"]}), frames, faces)
    (row,) = Groups(part, ["media_path"], EMOTIONS, None).table(MEDIA_KEYS, {}).to_pylist()
    assert (row["attention"], row["valence"], row["face_presence"]) == (0.75, 1.0, 0.75)


def test_corrected_shares(tmp_path: Path, scored_file: Callable, shares_of: Callable) -> None:
    """Faces that look a little more neutral than happy: half of these are happy, if happy was rare in training."""
    unsure = shares_of(happy=0.45, neutral=0.55)
    frames = [(float(time), [unsure, shares_of(happy=1.0)]) for time in range(40)]
    scored = [scored_file("v.mp4", frames), scored_file("w.mp4", frames[:5])]
    prior = tuple({"happy": 0.1, "neutral": 0.8}.get(label, 0.02) for label in EMOTIONS)
    commit_part(tmp_path / "out", 1, to_tables(scored, EMOTIONS), {}, {}, ShareCorrection(1.0, prior))
    commit_part(tmp_path / "out", 2, to_tables([], EMOTIONS), {}, {})  # As an earlier version writes it.
    rows = summaries(tmp_path / "out", 40.0)
    for row in (rows["overall"][0], rows["by_media"][0], rows["timeline"][0]):
        assert row["share_happy"] == pytest.approx(0.5)
        assert row["adjusted_share_happy"] > 0.95
        assert sum(row[f"adjusted_share_{label}"] for label in EMOTIONS) == pytest.approx(1.0)
    assert rows["by_media"][1]["adjusted_share_happy"] is None  # Ten faces are too few.


def test_without_what_the_correction_needs_its_shares_are_unknown(
    folder: Callable, reacting: list[ClassifiedFile]
) -> None:
    (row,) = summaries(folder(reacting))["overall"]
    assert row["share_happy"] is not None
    assert [row[f"adjusted_share_{label}"] for label in EMOTIONS] == [None] * 7


def test_whether_all_summaries_are_there(folder: Callable, files: list[ClassifiedFile]) -> None:
    out = folder(files)
    assert not has_summaries(out)
    summarize(out, 10.0)
    assert has_summaries(out)
    (out / "summary" / "timeline.csv").unlink()
    assert not has_summaries(out)


def test_a_folder_without_tables(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no tables of a run"):
        summarize(tmp_path, 10.0)
    assert list(tmp_path.iterdir()) == []


def test_it_needs_nothing_but_the_tables(folder: Callable, files: list[ClassifiedFile]) -> None:
    out = folder(files)
    first = summaries(out)
    shutil.rmtree(out / "summary")
    assert summaries(out) == first
    assert sorted(path.name for path in out.iterdir()) == ["faces", "frames", "media", "summary"]


# Intervals and moments.


@pytest.fixture
def reacting(scored_file: Callable, shares_of: Callable) -> list[ClassifiedFile]:
    """Two minutes of a video at a frame a second: happier from second 40 to 50, sad for one frame at second 90."""
    rng = np.random.default_rng(0)
    happy = 0.2 + 0.5 * ((np.arange(120) >= 40) & (np.arange(120) < 50)) + rng.uniform(0, 0.05, 120)
    faces = [shares_of(happy=share, neutral=1 - share) for share in happy]
    faces[90] = shares_of(sad=1.0)
    return [scored_file("v.mp4", [(float(time), [face]) for time, face in enumerate(faces)])]


def test_means_lie_within_their_intervals(folder: Callable, reacting: list[ClassifiedFile]) -> None:
    for rows in (summaries(folder(reacting), 10.0)[name] for name in AGGREGATES):
        for row in rows:
            for mean in ("happy", "neutral", "valence", "engagement"):
                assert row[f"{mean}_low"] < row[mean] < row[f"{mean}_high"]
            assert row["face_presence_low"] < row["face_presence"] == row["face_presence_high"] == 1.0
            assert row["attention_low"] is None


def test_more_footage_makes_narrower_intervals(folder: Callable, scored_file: Callable, shares_of: Callable) -> None:
    happy = np.random.default_rng(0).uniform(0.2, 0.4, 320)
    frames = [(float(time), [shares_of(happy=p, neutral=1 - p)]) for time, p in enumerate(happy)]
    widths = []
    for length in (40, 320):
        rows = summaries(folder([scored_file("v.mp4", frames[:length])], name=str(length)))
        (whole,), (everything,) = rows["by_media"], rows["overall"]
        assert everything["happy_low"] == pytest.approx(whole["happy_low"])  # One video is all there is.
        widths.append(whole["happy_high"] - whole["happy_low"])
    assert widths[1] < widths[0] / 2


def test_too_few_frames_have_no_interval(folder: Callable, files: list[ClassifiedFile]) -> None:
    rows = summaries(folder(files))["by_media"]
    assert [row["happy_low"] for row in rows if row["media_path"] == "i.png"] == [None]
    assert [row["happy"] is None for row in rows] == [False, False]


def test_moments(folder: Callable, reacting: list[ClassifiedFile]) -> None:
    rows = summaries(folder(reacting), 10.0)["moments"]
    best = {(row["measure"], row["direction"]): row for row in rows if row["rank"] == 1}
    assert (best["happy", "high"]["start_s"], best["happy", "high"]["end_s"]) == (40.0, 50.0)
    assert best["happy", "high"]["value"] == pytest.approx(0.725, abs=0.02)
    assert best["happy", "high"]["value_low"] < 0.725 < best["happy", "high"]["value_high"]
    assert best["valence", "high"]["start_s"] == 40.0
    assert not [row for row in rows if row["measure"] == "attention"]  # Unknown is nowhere strongest.
    happy = [row for row in rows if row["measure"] == "happy"]
    assert [row["rank"] for row in happy] == list(range(1, 13))


def test_one_odd_frame_is_no_moment(folder: Callable, scored_file: Callable, shares_of: Callable) -> None:
    """The mean of a window with a few frames of pure joy is higher, that of a steady smile surer."""
    steady = [(float(t), [shares_of(happy=0.3 + 0.01 * (t % 2), neutral=0.7 - 0.01 * (t % 2))]) for t in range(30)]
    odd = [(float(t), [shares_of(happy=1.0) if t % 10 < 4 else shares_of(neutral=1.0)]) for t in range(30)]
    rows = summaries(folder([scored_file("odd.mp4", odd), scored_file("steady.mp4", steady)]), 10.0)["moments"]
    assert [row["media_path"] for row in rows if row["measure"] == "happy"] == ["steady.mp4"] * 3 + ["odd.mp4"] * 3


def test_a_window_without_an_interval_gives_way(folder: Callable, scored_file: Callable, shares_of: Callable) -> None:
    """Nobody knows how sure it is; but it comes before those that have nothing of it."""
    smile = [(float(t), [shares_of(happy=0.2, neutral=0.8)]) for t in range(30)]
    short = [(float(t), [shares_of(happy=0.9, sad=0.1)]) for t in range(10)]
    rows = summaries(folder([scored_file("long.mp4", smile), scored_file("short.mp4", short)]), 10.0)["moments"]
    order = {name: [row["media_path"] for row in rows if row["measure"] == name] for name in ("happy", "sad")}
    assert order == {"happy": ["long.mp4"] * 3 + ["short.mp4"], "sad": ["short.mp4"] + ["long.mp4"] * 3}


def test_no_video_no_moments(folder: Callable, files: list[ClassifiedFile]) -> None:
    assert summaries(folder(files[1:2]))["moments"] == []


def test_by_track(folder: Callable, files: list[ClassifiedFile]) -> None:
    """The video of four frames: one face in three of them, a second one in the third frame; samples 4 s apart."""
    rows = summaries(folder(files))["by_track"]
    keys = ("media_path", "track_id", "first_s", "last_s", "frames", "seconds_seen")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("v.mp4", 0, 0.0, 12.5, 3, 12.0),
        ("v.mp4", 1, 6.0, 6.0, 1, 4.0),
    ]
    assert rows[0]["happy"] == pytest.approx(0.8 / 3)
    assert rows[0]["engagement"] == pytest.approx((90 + 80 + 50) / 3)
    assert rows[1]["valence"] == pytest.approx(1.0)
    assert rows[0]["attention"] is None


def test_the_mean_of_a_track_has_the_precision_of_float64(
    folder: Callable, scored_file: Callable, shares_of: Callable
) -> None:
    happy = np.random.default_rng(0).random(1000)
    frames = [(float(second), [shares_of(happy=share, neutral=1 - share)]) for second, share in enumerate(happy)]
    (row,) = summaries(folder([scored_file("v.mp4", frames)]))["by_track"]
    assert row["happy"] == pytest.approx(happy.astype(np.float32).astype(np.float64).mean(), rel=1e-12)


def test_pictures_have_no_tracks(folder: Callable, files: list[ClassifiedFile]) -> None:
    assert summaries(folder(files[1:2]))["by_track"] == []


def test_a_video_with_one_sample_was_seen_for_no_known_time(
    folder: Callable, scored_file: Callable, shares_of: Callable
) -> None:
    (row,) = summaries(folder([scored_file("v.mp4", [(0.0, [shares_of(happy=1.0)])])]))["by_track"]
    assert (row["frames"], row["seconds_seen"]) == (1, 0.0)
