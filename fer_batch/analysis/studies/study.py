"""Analyse the tables of a run by who watched what, into study/."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_batch.analysis.studies.collection import Collection, Grid, MediaRows, choose_faces, main_track
from fer_batch.analysis.studies.design import Design, read_design
from fer_batch.analysis.studies.folder import METADATA_KEY, table_path
from fer_batch.analysis.studies.matching import MediaFile, Recording, match
from fer_batch.analysis.studies.reading import RunMedia, read_media, read_rows, sampling_interval
from fer_batch.analysis.studies.results import StimulusResults
from fer_batch.analysis.studies.schemas import Schemas
from fer_batch.analysis.studies.template import template
from fer_batch.analysis.summarize import table_labels
from fer_batch.analysis.summary_writer import SummaryWriter
from fer_batch.errors import UsageError
from fer_batch.measures import MEASURES
from fer_batch.storage import read_whole
from fer_batch.suggestions import did_you_mean
from fer_batch.tables.layout import STUDY_FILES, STUDY_FOLDER, STUDY_TABLES
from fer_batch.tables.parquet import read_schema
from fer_batch.tables.parts import committed_parts, part_stamps

log = logging.getLogger(__name__)

DEFAULT_BIN = 1.0
#: Frames may be this much farther apart than a bin is wide: time stamps of videos are not exact.
_SLACK = 1.05
#: Factors with more values are kept, not compared.
_MOST_VALUES = 20


@dataclass(frozen=True)
class StudyOptions:
    """What a study is asked for.

    `study`, `segments`: the files; `bin`: seconds, None for 1 or the sampling interval where that is longer;
    `confidence`: of all intervals and bands, in 0..1; `factors`: those to compare, empty for all.
    """

    study: Path
    segments: Path | None = None
    bin: float | None = None
    confidence: float = 0.95
    factors: tuple[str, ...] = ()


def check_options(options: StudyOptions) -> Design:
    """The files of a study, read and checked, without the run they are about.

    Raises:
        UsageError: Something is wrong with them or with the options; the message says what to write instead.
    """
    if options.bin is not None and not (options.bin > 0 and math.isfinite(options.bin)):
        raise UsageError(f"--bin {options.bin:g}: must be above 0")
    if not 0 < options.confidence < 1:
        raise UsageError(f"--confidence {options.confidence:g}: must lie between 0 and 1, such as 0.95")
    design = read_design(options.study, options.segments)
    for name in options.factors:
        if name not in design.factors:
            hint = did_you_mean(name, design.factors) or f"; the factors are: {', '.join(design.factors) or 'none'}"
            raise UsageError(f"--factor {name}: is no factor column of {options.study}{hint}")
    return design


def check_media(design: Design, paths: Sequence[MediaFile]) -> None:
    """Check a study against the files that a run has found, before it decodes them. Raises UsageError."""
    match(design, paths)


def study(out: Path, options: StudyOptions) -> None:
    """Write the tables of a study into study/, as .parquet and .csv.

    Raises:
        UsageError: The files of the study, the options and the tables of the run don't fit, or the folder has no
            tables; nothing was written.
    """
    design = check_options(options)
    parts = parts_of(out)
    media = read_media(out, parts)
    recordings = match(design, media.files)
    names = (*table_labels(out, parts), *MEASURES)
    paths = {recording.media_path for recording in recordings}
    used = sorted({media.parts[path] for path in paths})
    width = _bin_width(options, sampling_interval(out, used, paths))
    collections = {
        stimulus: Collection(Grid(width, design.segments_of(stimulus), names)) for stimulus in design.stimuli
    }
    faces = _collect(collections, recordings, read_rows(out, used, paths, names))
    schemas = Schemas.of(names, design.factors).with_metadata({METADATA_KEY: _origin(out, options, width)})
    compared = _compared(design, options.factors)
    _report(design, media, recordings, collections)
    if faces.in_no_row:
        log.info("%d of %d faces in the study's recordings are meant by no row of it", faces.in_no_row, faces.all)
    _write(
        out / STUDY_FOLDER,
        schemas,
        [
            StimulusResults(stimulus, collection, design.factors, compared, schemas, options.confidence)
            for stimulus, collection in collections.items()
        ],
    )


def run_template(out: Path) -> str:
    """A STUDY.csv to fill in, with the videos of a run. Raises UsageError where the folder has no tables."""
    return template(read_media(out, parts_of(out)).files)


def is_up_to_date(out: Path, options: StudyOptions) -> bool:
    """Whether study/ is complete, and was made of these files and options and of the tables that are there now."""
    return set(_made_of(out, "fingerprint")) == {_fingerprint(out, options)}


def is_stale(out: Path) -> bool:
    """Whether there is a study of other tables than are there now."""
    return bool(set(_made_of(out, "tables")) - {_tables_digest(out), None})


def _made_of(out: Path, key: str) -> list[str | None]:
    """What each table of a study says that it was made of; None where one is missing."""
    if not all((out / STUDY_FOLDER / name).is_file() for name in STUDY_FILES):
        return [None]
    schemas = [read_schema(table_path(out, name)) for name in STUDY_TABLES]
    metadata = [(schema.metadata or {}).get(METADATA_KEY.encode(), b"{}") for schema in schemas]
    return [json.loads(text).get(key) for text in metadata]


def parts_of(out: Path) -> list[str]:
    """The names of the committed parts of a run. Raises UsageError where the folder has none."""
    if not (parts := committed_parts(out)):
        raise UsageError(f"{out}: holds no tables of a run; give the --out folder of a run")
    return parts


def _bin_width(options: StudyOptions, interval: float | None) -> float:
    width = DEFAULT_BIN if options.bin is None else options.bin
    if interval is None or interval <= width * _SLACK:
        return width
    wider = math.ceil(round(interval * 10, 6)) / 10
    if options.bin is not None:
        raise UsageError(f"--bin {width:g}: the recordings have a frame every {interval:.3g} s; give {wider:g} or more")
    log.warning("the recordings have a frame every %.3g s: bins are %g s wide", interval, wider)
    return wider


@dataclass
class _Faces:
    """How many faces the files of a study have, and how many of them no row means: other tracks, other regions."""

    all: int = 0
    in_no_row: int = 0


def _collect(collections: dict[str, Collection], recordings: Sequence[Recording], files: Iterator[MediaRows]) -> _Faces:
    """Have each recording's rows in its stimulus's collection."""
    faces = _Faces()
    by_path: dict[str, list[Recording]] = {}
    for recording in recordings:
        collections[recording.stimulus].expect(recording)
        by_path.setdefault(recording.media_path, []).append(recording)
    for media in files:
        claimed: dict[int, Recording] = {}
        in_no_row = np.ones(len(media.face_frames), bool)
        for recording in by_path[media.path]:
            main = main_track(recording, media) if recording.faces.main else recording.faces.track
            _check_track(recording, media, main, claimed)
            chosen = choose_faces(recording, media, main)
            collections[recording.stimulus].add(recording, media, chosen)
            in_no_row &= ~chosen
        faces.all += len(in_no_row)
        faces.in_no_row += int(in_no_row.sum())
    return faces


def _check_track(recording: Recording, media: MediaRows, track: int | None, claimed: dict[int, Recording]) -> None:
    """Raise UsageError for a track that the file does not have, and for one that is another row's main track."""
    source = recording.row.source
    if recording.faces.track is not None and track not in media.tracks:
        last = int(media.tracks.max(initial=-1))
        there = f"its tracks are 0 to {last}" if last >= 0 else "no face was found in it"
        raise source.error("faces", f"{media.path} has no track {track}; {there}, see summary/by_track.csv")
    if track is None:
        return
    other = claimed.setdefault(track, recording)
    if other.faces.main != recording.faces.main and _meet(recording, other):
        raise source.error(
            "faces",
            f"the main track of {media.path} is track {track}, which line {other.row.source.line} claims already; "
            "write the number of another track",
        )


def _meet(first: Recording, second: Recording) -> bool:
    """Whether two recordings of the same track may share a face."""
    return not (first.faces.region and second.faces.region and not first.faces.region.overlaps(second.faces.region))


def _compared(design: Design, asked: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The values of the factors to compare, sorted."""
    compared = {}
    for index, factor in enumerate(design.factors):
        if asked and factor not in asked:
            continue
        values = sorted({value for row in design.rows if (value := row.values[index]) is not None})
        if len(values) <= _MOST_VALUES:
            compared[factor] = tuple(values)
        elif asked:
            raise UsageError(
                f"--factor {factor}: has {len(values)} values; at most {_MOST_VALUES} are compared, group them first"
            )
        else:
            log.warning("%s has %d values: it is kept, not compared; group them first", factor, len(values))
    return compared


def _report(
    design: Design, media: RunMedia, recordings: Sequence[Recording], collections: dict[str, Collection]
) -> None:
    """Say what a reader of the tables should know."""
    named = {recording.media_path for recording in recordings}
    if others := sum(file.media_type == "video" and file.path not in named for file in media.files):
        log.warning("%d videos of the run are in no row of the study", others)
    for stimulus, collection in collections.items():
        unseen = sorted(name for (name, _), unit in collection.units.items() if not unit.segments.seen[0])
        if unseen:
            shown = ", ".join(unseen[:5]) + (", …" if len(unseen) > 5 else "")
            log.warning("%s: no face was found of %d respondents: %s", stimulus, len(unseen), shown)
        for segment in design.segments_of(stimulus):
            if segment.start_s >= collection.end_s:
                log.warning("%s: nothing was recorded of segment %s", stimulus, segment.name)


def _write(folder: Path, schemas: Schemas, results: Sequence[StimulusResults]) -> None:
    """Write all tables; they are put in place once all are complete."""
    with ExitStack() as stack:
        files = {name: stack.enter_context(SummaryWriter(folder, name, schema)) for name, schema in schemas}
        for result in results:
            files["by_respondent"].write(result.by_respondent())
            files["respondent_curves"].write(result.respondent_curves())
            for table in result.curves():
                files["curve"].write(table)
            for table in result.by_segment():
                files["by_segment"].write(table)
            files["contrasts"].write(result.contrasts())
            files["synchrony"].write(result.synchrony())
            files["moments"].write(result.moments())


def _origin(out: Path, options: StudyOptions, width: float) -> str:
    """What the tables were made of, as JSON."""
    return json.dumps(
        {
            "fingerprint": _fingerprint(out, options),
            "tables": _tables_digest(out),
            "study": str(options.study),
            "segments": options.segments and str(options.segments),
            "bin_s": width,
            "confidence": options.confidence,
            "factors": list(options.factors),
        }
    )


def _fingerprint(out: Path, options: StudyOptions) -> str:
    """Of all that decides the tables: the files of the study, the options, and the tables of the run."""
    digest = hashlib.sha256()
    for file in (options.study, options.segments):
        digest.update(b"" if file is None else hashlib.sha256(read_whole(file)).digest())
    digest.update(json.dumps([options.bin, options.confidence, options.factors, _tables_digest(out)]).encode())
    return digest.hexdigest()


def _tables_digest(out: Path) -> str:
    """Of the part files of a run: each has its number, size and time."""
    stamps = sorted((number, status.size_bytes, status.modified_ns) for number, status in part_stamps(out, "media"))
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
