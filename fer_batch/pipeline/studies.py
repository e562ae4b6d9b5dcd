"""The study that a run makes at its end, checked before it begins."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum, auto

import pyarrow as pa

from fer_batch.analysis.studies import study
from fer_batch.analysis.studies.matching import MediaFile
from fer_batch.config import ResolvedConfig
from fer_batch.errors import UsageError
from fer_batch.records import Media
from fer_batch.tables.layout import STUDY_FOLDER

log = logging.getLogger(__name__)


class Outcome(Enum):
    """What became of the study of a run."""

    MADE = auto()
    #: There is none to make, or it is up to date.
    LEFT = auto()
    #: Its files don't fit what was found in the media.
    REFUSED = auto()


def check_files(config: ResolvedConfig) -> None:
    """Raise UsageError where something is wrong with the files of the study themselves."""
    if (options := _options(config)) is not None:
        study.check_options(options)


def check_media(config: ResolvedConfig, found: Sequence[Media], done: pa.ChunkedArray | None = None) -> None:
    """Raise UsageError where the study is of files that are not there. `found`: what the run has found; `done`: the
    paths in the tables, those of earlier runs among them, as Arrow has them: there may be millions, and no study."""
    if (options := _options(config)) is None:
        return
    files = {path: MediaFile(path, "video") for path in ([] if done is None else done.to_pylist())}
    files |= {media.path: MediaFile(media.path, media.media_type) for media in found}
    study.check_media(study.check_options(options), list(files.values()))


def make(config: ResolvedConfig) -> Outcome:
    """Make the study that is asked for, unless it is up to date; say where an earlier one no longer fits the tables."""
    options = _options(config)
    if options is None:
        if study.is_stale(config.out):
            log.warning("%s is of earlier tables; fer-batch study makes it again", config.out / STUDY_FOLDER)
        return Outcome.LEFT
    if study.is_up_to_date(config.out, options):
        return Outcome.LEFT
    try:
        study.study(config.out, options)
    except UsageError as error:  # What only the tables could tell, such as how long a recording is.
        log.error("%s; all tables of the run are there: correct it and give the same command again", error)
        return Outcome.REFUSED
    return Outcome.MADE


def _options(config: ResolvedConfig) -> study.StudyOptions | None:
    return None if config.study is None else study.StudyOptions(config.study, config.segments)
