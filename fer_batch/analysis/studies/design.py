"""Who watched what: STUDY.csv and SEGMENTS.csv as checked, immutable values. Their files are not looked at here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_batch.analysis.studies.schemas import result_columns
from fer_batch.analysis.studies.sheet import Row, read_sheet
from fer_batch.errors import UsageError
from fer_batch.suggestions import did_you_mean

#: The segment that is each respondent's baseline.
BASELINE = "baseline"
#: The stimulus of rows that name none.
STIMULUS = "stimulus"
#: The columns of STUDY.csv that have a meaning; any other is a factor.
_REGION = ("x", "y", "width", "height")
STUDY_COLUMNS = ("media", "respondent", "stimulus", "offset_s", "faces", *_REGION)
SEGMENT_COLUMNS = ("stimulus", "segment", "start_s", "end_s")
_TRACK = re.compile(r"track\s+(\d+)")
#: What the region's shares may be off by through rounding.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Region:
    """A part of the frame, as shares 0..1 of its width and height; right and lower borders belong to the next one."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Region) -> bool:
        """Whether a box's centre may lie in both."""
        return all(
            min(start + size, other_start + other_size) - max(start, other_start) > _TOLERANCE
            for start, size, other_start, other_size in (
                (self.x, self.width, other.x, other.width),
                (self.y, self.height, other.y, other.height),
            )
        )


@dataclass(frozen=True)
class Faces:
    """Which faces of a file are meant. `main`: only the track that is seen longest; `track`: only the track of this
    number; `region`: only faces whose box centre lies there, None for everywhere."""

    main: bool = False
    track: int | None = None
    region: Region | None = None

    def may_share(self, other: Faces) -> bool:
        """Whether a face may be meant by both. The main track's number is not known yet: it may be any."""
        if self.region and other.region and not self.region.overlaps(other.region):
            return False
        if self.main != other.main and (self.track is not None or other.track is not None):
            return False  # Looked at once the main track is known.
        return self.track is None or other.track is None or self.track == other.track


@dataclass(frozen=True)
class StudyRow:
    """A line of STUDY.csv. `respondent`: None for the file itself; `values`: of the factors, None where empty."""

    source: Row
    media: str
    respondent: str | None
    stimulus: str
    offset_s: float
    faces: Faces
    values: tuple[str | None, ...]


@dataclass(frozen=True)
class Segment:
    """A span of stimulus time in seconds, end excluded. It may begin before the stimulus, at a time below 0."""

    stimulus: str
    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Design:
    """All of STUDY.csv and SEGMENTS.csv. `factors`: the names of the factor columns, in their order."""

    rows: tuple[StudyRow, ...]
    factors: tuple[str, ...]
    segments: tuple[Segment, ...] = ()

    @property
    def stimuli(self) -> tuple[str, ...]:
        """The names of the stimuli, sorted."""
        return tuple(sorted({row.stimulus for row in self.rows}))

    def segments_of(self, stimulus: str) -> tuple[Segment, ...]:
        """The segments of a stimulus, in the order of the file."""
        return tuple(segment for segment in self.segments if segment.stimulus == stimulus)


def read_design(study: Path, segments: Path | None = None) -> Design:
    """Read and check STUDY.csv and SEGMENTS.csv.

    Raises:
        UsageError: Something in them is wrong; the message names file, line, column and what to write instead.
    """
    sheet = read_sheet(study, ("media",), STUDY_COLUMNS, others=True)
    factors = tuple(name for name in sheet.columns if name not in STUDY_COLUMNS)
    taken = result_columns()
    for name in factors:
        if name in taken:
            raise UsageError(f"{sheet.file}: column {name} is one of the study's results; rename it to {name}_group")
    rows = tuple(_study_row(row, factors) for row in sheet.rows)
    design = Design(rows, factors)
    return design if segments is None else Design(rows, factors, _read_segments(segments, design.stimuli))


def _study_row(row: Row, factors: Sequence[str]) -> StudyRow:
    if not row.text("media"):
        raise row.error("media", "is empty; write a media_path or a pattern such as group_a/*.mp4")
    return StudyRow(
        source=row,
        media=row.text("media"),
        respondent=row.text("respondent") or None,
        stimulus=row.text("stimulus") or STIMULUS,
        offset_s=row.number("offset_s", 0.0),
        faces=_faces(row),
        values=tuple(row.text(name) or None for name in factors),
    )


def _faces(row: Row) -> Faces:
    text, region = row.text("faces").lower() or "all", _region(row)
    if text in ("all", "main"):
        return Faces(main=text == "main", region=region)
    if found := _TRACK.fullmatch(text):
        return Faces(track=int(found[1]), region=region)
    hint = did_you_mean(text, ("all", "main", "track")) or "; write all, main, or track and its number"
    raise row.error("faces", f"{row.text('faces')!r} is none of all, main and 'track N'{hint}")


def _region(row: Row) -> Region | None:
    given = [name for name in _REGION if row.text(name)]
    if not given:
        return None
    for name in _REGION:
        if name not in given:
            raise row.error(
                name, f"is empty, but {given[0]} is given; write all four of x, y, width and height, or none"
            )
    x, y, width, height = (row.number(name) for name in _REGION)
    for name, value in zip(_REGION, (x, y, width, height), strict=True):
        if not 0 <= value <= 1:
            raise row.error(name, f"{value:g} is not a share of the frame; write 0 to 1, such as 0.5 for half of it")
    for name, start, size in (("width", x, width), ("height", y, height)):
        if size == 0:
            raise row.error(name, "0 leaves nothing of the frame; write a share above 0")
        if start + size > 1 + _TOLERANCE:
            raise row.error(name, f"{size:g} from {start:g} on reaches beyond the frame; write at most {1 - start:g}")
    return Region(x, y, width, height)


def _read_segments(path: Path, stimuli: Sequence[str]) -> tuple[Segment, ...]:
    sheet = read_sheet(path, ("segment", "start_s", "end_s"), SEGMENT_COLUMNS, others=False)
    lines: dict[tuple[str, str], int] = {}
    segments = []
    for row in sheet.rows:
        name, start, end = row.text("segment"), row.number("start_s"), row.number("end_s")
        if not name:
            raise row.error("segment", f"is empty; name it, or {BASELINE} where respondents were at rest")
        if end <= start:
            raise row.error("end_s", f"{end:g} is not after start_s {start:g}; write a later second")
        for stimulus in _stimuli_of(row, stimuli):
            if before := lines.get((stimulus, name)):
                raise row.error("segment", f"{name!r} of {stimulus!r} is in line {before} already; rename one of them")
            lines[stimulus, name] = row.line
            segments.append(Segment(stimulus, name, start, end))
    return tuple(segments)


def _stimuli_of(row: Row, stimuli: Sequence[str]) -> Sequence[str]:
    """The stimuli that a segment is one of: the one named, or all."""
    text = row.text("stimulus")
    if not text:
        return stimuli
    if text not in stimuli:
        hint = did_you_mean(text, stimuli) or f"; write one of {', '.join(stimuli[:5])}"
        raise row.error("stimulus", f"no row of the study has the stimulus {text!r}{hint}")
    return (text,)
