"""Which files and faces the rows of a study claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_batch.analysis.studies.design import read_design
from fer_batch.analysis.studies.matching import MediaFile, Recording, match
from fer_batch.errors import UsageError
from tests.helpers.studies import write_csv

MEDIA = [
    *(MediaFile(path, "video", 60.0) for path in ("a/p1.mp4", "a/p2.mp4", "b/p3.mp4", "a/[x].mp4", "=1.mp4")),
    MediaFile("a/photo.jpg", "image"),
    MediaFile("failed.mp4", "video"),
]


def recordings(folder: Path, *lines: str) -> tuple[Recording, ...]:
    return match(read_design(write_csv(folder / "STUDY.csv", *lines)), MEDIA)


def error(folder: Path, *lines: str) -> str:
    with pytest.raises(UsageError) as raised:
        recordings(folder, *lines)
    return str(raised.value).removeprefix(f"{folder}/STUDY.csv, ")


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("a/p1.mp4", ["a/p1.mp4"]),
        ("a/p?.mp4", ["a/p1.mp4", "a/p2.mp4"]),
        ("*p[13].mp4", ["a/p1.mp4", "b/p3.mp4"]),
        ("a/*", ["a/[x].mp4", "a/p1.mp4", "a/p2.mp4"]),  # Not the photo.
        ("a/[x].mp4", ["a/[x].mp4"]),  # A path comes before a pattern.
        ("'=1.mp4", ["=1.mp4"]),  # As it stands in the CSV files of summaries.
        ("failed.mp4", ["failed.mp4"]),
        ("*p[13].MP4", ["a/p1.mp4", "b/p3.mp4"]),  # Extensions match in any case.
    ],
)
def test_path_or_pattern_matches_videos(tmp_path: Path, pattern: str, paths: list[str]) -> None:
    assert [recording.media_path for recording in recordings(tmp_path, "media", pattern)] == paths


def test_file_without_respondent_is_its_own(tmp_path: Path) -> None:
    found = recordings(tmp_path, "media,respondent", "a/p?.mp4,", "b/*,eva")
    assert [recording.respondent for recording in found] == ["a/p1.mp4", "a/p2.mp4", "eva"]


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("p1.mp4", "did you mean a/p1.mp4?"),
        (r"a\p2.mp4", "did you mean a/p2.mp4?"),
        ("b/p33.mp4", "did you mean b/p3.mp4?"),
        ("z*", "write a media_path of its media table, such as =1.mp4, or a pattern such as *.mp4"),
    ],
)
def test_pattern_that_matches_nothing_is_refused_with_a_hint(tmp_path: Path, pattern: str, hint: str) -> None:
    found = error(tmp_path, "media", "a/p1.mp4", pattern)
    assert found == f"line 3, column media: {pattern!r} matches no file of the run; {hint}"


def test_picture_is_refused(tmp_path: Path) -> None:
    assert "'a/photo.jpg' is a picture" in error(tmp_path, "media", "a/photo.jpg")


def test_offset_beyond_the_end_is_refused(tmp_path: Path) -> None:
    assert error(tmp_path, "media,offset_s", "a/p1.mp4,60").startswith(
        "line 2, column offset_s: 60 is beyond the end of a/p1.mp4, which is 60.0 s long; write the second"
    )
    recordings(tmp_path, "media,offset_s", "failed.mp4,60")  # Nobody knows how long it is.


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a/p1.mp4,anna,,,,,,", "a/p1.mp4,ben,,,,,,"),
        ("a/p1.mp4,anna,,,,,,", "a/*,anna,,,,,,"),
        ("a/p1.mp4,anna,,,,,,", "a/p1.mp4,anna,,main,,,,"),
        ("a/p1.mp4,anna,,main,,,,", "a/p1.mp4,ben,5,main,,,,"),
        ("a/p1.mp4,anna,,track 2,,,,", "a/p1.mp4,ben,,all,,,,"),
        ("a/p1.mp4,anna,,track 2,,,,", "a/p1.mp4,ben,,track 2,,,,"),
        ("a/p1.mp4,anna,,,0,0,.6,1", "a/p1.mp4,ben,,,.5,0,.5,1"),
        ("a/p1.mp4,anna,,,0,0,.6,1", "a/p1.mp4,ben,,,,,,"),
    ],
)
def test_two_rows_that_claim_the_same_faces_are_refused(tmp_path: Path, first: str, second: str) -> None:
    found = error(tmp_path, "media,respondent,offset_s,faces,x,y,width,height", first, second)
    assert found.startswith("line 3, column media: faces of a/p1.mp4 are claimed by line 2 already; ")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("track 1,,,,", "track 2,,,,"),
        ("main,,,,", "track 2,,,,"),  # It may be another; the tables tell.
        (",0,0,.5,1", ",.5,0,.5,1"),
        (",0,0,1,.5", ",0,.5,1,.5"),
        ("main,0,0,.5,1", "main,.5,0,.5,1"),
    ],
)
def test_other_tracks_and_regions_of_one_file_are_fine(tmp_path: Path, first: str, second: str) -> None:
    lines = [f"a/p1.mp4,{name},{faces}" for name, faces in (("anna", first), ("ben", second))]
    found = recordings(tmp_path, "media,respondent,faces,x,y,width,height", *lines)
    assert [recording.respondent for recording in found] == ["anna", "ben"]


def test_parts_of_one_recording_end_where_the_next_begins(tmp_path: Path) -> None:
    lines = ("a/p1.mp4,anna,ad,30", "a/p1.mp4,anna,film,2", "a/p1.mp4,anna,ad,45")
    found = recordings(tmp_path, "media,respondent,stimulus,offset_s", *lines)
    spans = [(recording.stimulus, recording.offset_s, recording.end_s) for recording in found]
    assert spans == [("ad", 30, 45), ("film", 2, 30), ("ad", 45, None)]
