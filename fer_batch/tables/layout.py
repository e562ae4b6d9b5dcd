"""The names of the files and folders in an output folder."""

from __future__ import annotations

RUN_FILE = "run.json"
REPORT_FILE = "report.html"
LOCK_FILE = ".fer-batch.lock"
DIGESTS_FILE = ".fer-batch-digests.parquet"
INDEX_FILE = ".fer-batch-index.parquet"

#: The tables with part files. In this order they are renamed into place: a part counts once all of it is there.
TABLES = ("faces", "frames", "media")

SUMMARY_FOLDER = "summary"
SUMMARIES = ("overall", "by_media", "timeline", "by_track", "moments")
SUMMARY_FILES = tuple(f"{name}.{kind}" for name in SUMMARIES for kind in ("parquet", "csv"))

STUDY_FOLDER = "study"
STUDY_TABLES = ("by_respondent", "respondent_curves", "curve", "by_segment", "contrasts", "synchrony", "moments")
STUDY_FILES = tuple(f"{name}.{kind}" for name in STUDY_TABLES for kind in ("parquet", "csv"))
