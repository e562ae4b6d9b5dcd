"""Which files the rows of a study mean, and which faces of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import translate

from fer_batch.analysis.studies.design import Design, Faces, StudyRow
from fer_batch.globs import composed, normal_form

#: How a text begins to which the CSV files of summaries add an apostrophe, lest a spreadsheet take it for a formula.
_SPREADSHEET_QUOTE = "'"


@dataclass(frozen=True)
class MediaFile:
    """A file of the run. `duration_s`: None where it is unknown, as before decoding and of a file that failed."""

    path: str
    media_type: str
    duration_s: float | None = None


@dataclass(frozen=True)
class Recording:
    """Some faces of one video, of one respondent who watches one stimulus.

    `offset_s`: the video's time at which the stimulus begins; `end_s`: the video's time at which another part of the
    same recording begins, None for its end; `values`: of the factors.
    """

    media_path: str
    respondent: str
    stimulus: str
    values: tuple[str | None, ...]
    faces: Faces
    offset_s: float
    end_s: float | None
    row: StudyRow


def match(design: Design, media: Sequence[MediaFile]) -> tuple[Recording, ...]:
    """The recordings of a study among the files of a run.

    A row's `media` is a path, or else a pattern in which `*` stands for any characters, `/` among them. Rows may claim
    the same faces of a file only as consecutive parts of one respondent's recording, each up to where the next begins.

    Raises:
        UsageError: A row matches no video, begins beyond its end, or claims faces that another row has claimed; the
            message names the line.
    """
    files = {file.path: file for file in media}
    claims: dict[str, list[Recording]] = {}
    for row in design.rows:
        for path in _paths(row, files):
            _check_offset(row, files[path])
            recording = Recording(
                path, row.respondent or path, row.stimulus, row.values, row.faces, row.offset_s, None, row
            )
            for other in claims.setdefault(path, []):
                _check_claims(recording, other)
            claims[path].append(recording)
    return tuple(part for path in sorted(claims) for part in _consecutive(claims[path]))


def _paths(row: StudyRow, files: dict[str, MediaFile]) -> list[str]:
    """The videos that a row means, sorted."""
    wanted = [composed(text) for text in (row.media, row.media.removeprefix(_SPREADSHEET_QUOTE))]
    found = [text for text in wanted if text in files][:1]
    if not found:
        pattern = re.compile(translate(normal_form(row.media)))
        found = sorted(path for path in files if pattern.fullmatch(normal_form(path)))
    videos = [path for path in found if files[path].media_type == "video"]
    if videos:
        return videos
    if found:
        raise row.source.error("media", f"{row.media!r} is a picture; a study is made of videos, which have a time")
    raise row.source.error("media", f"{row.media!r} matches no file of the run{_nearest(row.media, list(files))}")


def _nearest(text: str, paths: Sequence[str]) -> str:
    """A hint at the path that may have been meant: the same name in another folder, or a similar one."""
    name = text.replace("\\", "/").rsplit("/", 1)[-1].lower()
    same_name = [path for path in paths if path.rsplit("/", 1)[-1].lower() == name]
    near = same_name[:1] or get_close_matches(text, paths[:100_000], 1, 0.6)
    if near:
        return f"; did you mean {near[0]}?"
    example = f", such as {min(paths)}" if paths else ""
    return f"; write a media_path of its media table{example}, or a pattern such as *.mp4"


def _check_offset(row: StudyRow, file: MediaFile) -> None:
    if file.duration_s is not None and row.offset_s >= file.duration_s:
        problem = f"{row.offset_s:g} is beyond the end of {file.path}, which is {file.duration_s:.1f} s long"
        raise row.source.error("offset_s", f"{problem}; write the second at which the stimulus begins in it")


def _check_claims(recording: Recording, other: Recording) -> None:
    """Raise UsageError where two rows mean the same faces at the same time."""
    if not recording.faces.may_share(other.faces):
        return
    same_respondent = recording.respondent == other.respondent and recording.faces == other.faces
    if same_respondent and recording.offset_s != other.offset_s:
        return
    advice = "give one of them another track or region, or remove it"
    if same_respondent:
        advice = "remove one of them, or give them the different offset_s of two parts"
    raise recording.row.source.error(
        "media", f"faces of {recording.media_path} are claimed by line {other.row.source.line} already; {advice}"
    )


def _consecutive(recordings: list[Recording]) -> list[Recording]:
    """The recordings of one file, each ended where the next part of the same faces begins."""
    ended = []
    for recording in recordings:
        later = [
            other.offset_s
            for other in recordings
            if other.faces == recording.faces and other.offset_s > recording.offset_s
        ]
        ended.append(replace(recording, end_s=min(later, default=None)))
    return ended
