"""STUDY.csv and SEGMENTS.csv, and what is said where something is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_batch.analysis.studies.design import Faces, Region, Segment, read_design
from fer_batch.errors import UsageError
from tests.helpers.studies import write_csv


def study_error(folder: Path, *lines: str) -> str:
    with pytest.raises(UsageError) as error:
        read_design(write_csv(folder / "STUDY.csv", *lines))
    return str(error.value).removeprefix(f"{folder}/")


def segments_error(folder: Path, *lines: str) -> str:
    study = write_csv(folder / "STUDY.csv", "media,stimulus", "a.mp4,film", "b.mp4,ad")
    with pytest.raises(UsageError) as error:
        read_design(study, write_csv(folder / "SEGMENTS.csv", *lines))
    return str(error.value).removeprefix(f"{folder}/")


def test_study_with_all_columns_is_read(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "STUDY.csv",
        "media,respondent,stimulus,offset_s,faces,x,y,width,height,group,city",
        "# a comment",
        "",
        '"a, b.mp4", anna ,film,-2.5,track 3,0.5,0,0.5,1,test,',
        "c.mp4,,,,,,,,,,Rome",
    )
    design = read_design(path)
    first, second = design.rows
    assert design.factors == ("group", "city")
    assert design.stimuli == ("film", "stimulus")
    assert (first.media, first.respondent, first.stimulus, first.offset_s) == ("a, b.mp4", "anna", "film", -2.5)
    assert first.faces == Faces(track=3, region=Region(0.5, 0, 0.5, 1))
    assert first.values == ("test", None)
    assert first.source.line == 4
    assert (second.respondent, second.stimulus, second.offset_s, second.faces) == (None, "stimulus", 0.0, Faces())
    assert second.values == (None, "Rome")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(("delimiter", "ending"), [(",", "\n"), (";", "\r\n"), (";", "\r")])
def test_spreadsheets_way_of_writing_is_read(tmp_path: Path, mark: str, delimiter: str, ending: str) -> None:
    """A byte order mark, semicolons, line ends of any system, and empty columns that were once in use."""
    lines = ["media,respondent,offset_s,,", "ä.mp4,anna,1.5,,", ",,,,"]
    path = tmp_path / "STUDY.csv"
    path.write_bytes((mark + ending.join(lines).replace(",", delimiter)).encode())
    (row,) = read_design(path).rows
    assert (row.media, row.respondent, row.offset_s) == ("ä.mp4", "anna", 1.5)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["media,respondant", "a,b"], "line 1: unknown column respondant; did you mean respondent?"),
        (["Media", "a"], "line 1: unknown column Media; did you mean media?"),
        (["media,offset", "a,1"], "line 1: unknown column offset; did you mean offset_s?"),
        (["respondent", "a"], "line 1: column media is missing; the columns are media, respondent, stimulus"),
        (["media,group,group", "a,1,2"], "line 1: column group is there twice; rename or remove one"),
        (["media,,group", "a,b,c"], "line 1: column 2 has no name; name it or remove it"),
        (["media,happy", "a,b"], "column happy is one of the study's results; rename it to happy_group"),
        (["media"], "has no rows below its header; write one per recording or segment"),
        (["# only", "# comments"], "is empty; its first line must name columns, media, respondent"),
        (["media\trespondent", "a\tb"], "its columns are separated by tabs; save it with commas or semicolons"),
        (["media,respondent", ",anna"], "line 2, column media: is empty; write a media_path or a pattern"),
        (["media,offset_s", "#", 'a,"1,5"'], "line 3, column offset_s: '1,5' has a decimal comma; write 1.5"),
        (["media;offset_s", "a;-1,25"], "line 2, column offset_s: '-1,25' has a decimal comma; write -1.25"),
        (["media,offset_s", "a,1,5"], "line 2: has 3 values for 2 columns; a decimal comma? Write a point; or put"),
        (["media,offset_s", "a,1:02:03"], "line 2, column offset_s: '1:02:03' is not in seconds; write 3723"),
        (["media,offset_s", "a,soon"], "line 2, column offset_s: 'soon' is not a number; write one such as 12.5"),
        (["media,offset_s", "a,nan"], "line 2, column offset_s: 'nan' is not a finite number; write a number such"),
        (["media,faces", "a,mian"], "line 2, column faces: 'mian' is none of all, main and 'track N'; did you mean"),
        (["media,faces", "a,7"], "line 2, column faces: '7' is none of all, main and 'track N'; write all, main"),
        (["media,x,y", "a,0,0"], "line 2, column width: is empty, but x is given; write all four of x, y, width and"),
        (["media,x,y,width,height", "a,0,0,640,1"], "column width: 640 is not a share of the frame; write 0 to 1"),
        (["media,x,y,width,height", "a,.5,0,.6,1"], "column width: 0.6 from 0.5 on reaches beyond the frame; write at"),
        (["media,x,y,width,height", "a,0,0,1,0"], "column height: 0 leaves nothing of the frame; write a share"),
    ],
)  # fmt: skip
def test_bad_study_is_refused_with_what_to_write(tmp_path: Path, lines: list[str], message: str) -> None:
    found = study_error(tmp_path, *lines)
    assert found.startswith("STUDY.csv")
    assert message in found


def test_study_that_is_not_utf8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "STUDY.csv"
    path.write_bytes("media\na.mp4\nä.mp4\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"line 3: is not UTF-8 \(byte 0xE4\); save it as 'CSV UTF-8'"):
        read_design(path)
    path.write_bytes("media\na.mp4\n".encode("utf-16"))
    with pytest.raises(UsageError, match=r"is in UTF-16, .*; save it as 'CSV UTF-8'"):
        read_design(path)


def test_study_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file; check the path"):
        read_design(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="can't be read"):
        read_design(tmp_path)


def test_quote_without_end_is_refused_with_the_line(tmp_path: Path) -> None:
    assert "line 2: can't be read" in study_error(tmp_path, "media", '"a.mp4')


def test_segments_are_read(tmp_path: Path) -> None:
    study = write_csv(tmp_path / "STUDY.csv", "media,stimulus", "a.mp4,film", "b.mp4,ad")
    path = write_csv(
        tmp_path / "SEGMENTS.csv",
        "segment,start_s,end_s,stimulus",
        "baseline,-10,0,",
        "chase,30,40,film",
        "kiss,35,90,film",
    )
    design = read_design(study, path)
    assert design.segments_of("ad") == (Segment("ad", "baseline", -10, 0),)
    assert [segment.name for segment in design.segments_of("film")] == ["baseline", "chase", "kiss"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["segment,start,end_s", "a,0,1"], "line 1: unknown column start; did you mean start_s?"),
        (["segment,start_s,end_s,note", "a,0,1,x"], "line 1: unknown column note; the columns are stimulus, segment"),
        (["segment,start_s,end_s", "a,0,"], "line 2, column end_s: is empty; write a number"),
        (["segment,start_s,end_s", "a,5,5"], "line 2, column end_s: 5 is not after start_s 5; write a later second"),
        (["segment,start_s,end_s", ",0,5"], "line 2, column segment: is empty; name it, or baseline where"),
        (["stimulus,segment,start_s,end_s", "flim,a,0,5"], "the stimulus 'flim'; did you mean film?"),
        (["segment,start_s,end_s", "a,0,5", "a,6,9"], "line 3, column segment: 'a' of 'ad' is in line 2 already"),
    ],
)  # fmt: skip
def test_bad_segments_are_refused_with_what_to_write(tmp_path: Path, lines: list[str], message: str) -> None:
    found = segments_error(tmp_path, *lines)
    assert found.startswith("SEGMENTS.csv")
    assert message in found
