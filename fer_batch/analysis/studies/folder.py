"""Whether an output folder has a study, and with which options it was made; for what shows its tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fer_batch.measures import MEASURES
from fer_batch.tables.layout import STUDY_FOLDER, STUDY_TABLES
from fer_batch.tables.parquet import read_schema

#: Where a table's schema metadata says what the study was made of.
METADATA_KEY = "fer_batch.study"


@dataclass(frozen=True)
class StudyFacts:
    """What a study was made with. `confidence`: of its intervals, 0..1; `bin_s`: seconds of a bin; `factors`: its
    factor columns; `measures`: the measures and emotions of its tables, measures first."""

    confidence: float
    bin_s: float
    factors: tuple[str, ...]
    measures: tuple[str, ...]


def table_path(out: Path, name: str) -> Path:
    """The path of a table of a study."""
    return out / STUDY_FOLDER / f"{name}.parquet"


def has_study(out: Path) -> bool:
    """Whether the output folder has all tables of a study."""
    return all(table_path(out, name).is_file() for name in STUDY_TABLES)


def study_facts(out: Path) -> StudyFacts:
    """Read the options of a study from the schema of its tables."""
    schema = read_schema(table_path(out, "by_respondent"))
    options = json.loads((schema.metadata or {}).get(METADATA_KEY.encode(), b"{}"))
    first, last = schema.names.index("end_s"), schema.names.index("recordings")
    measures = [name.removesuffix("_change") for name in schema.names if name.endswith("_change")]
    ordered = sorted(measures, key=lambda name: (name not in MEASURES, measures.index(name)))
    factors = tuple(schema.names[first + 1 : last])
    return StudyFacts(options.get("confidence", 0.95), options.get("bin_s", 1.0), factors, tuple(ordered))
