"""Commit rows to the tables, a part file of each at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from fer_batch.config import SCHEMA_VERSION, fingerprint
from fer_batch.share_correction import METADATA_KEY, ShareCorrection
from fer_batch.tables.layout import TABLES
from fer_batch.tables.parquet import write_table
from fer_batch.tables.parts import part_path

_CONFIGURATION = b"fer_batch.configuration"
_INPUTS = b"fer_batch.inputs"


def commit_part(
    out: Path,
    number: int,
    tables: Mapping[str, pa.Table],
    results: dict[str, Any],
    roots: Mapping[str, str],
    correction: ShareCorrection | None = None,
) -> None:
    """Write one part of all three tables. Kept as metadata: `results`, the configuration that decided the rows,
    `roots`, the inputs by what leads their paths in the tables, and `correction`, for corrected shares.

    Interrupted at any moment it leaves a part that does not count, never a half one.
    """
    metadata = {
        b"fer_batch.schema_version": str(SCHEMA_VERSION).encode(),
        b"fer_batch.fingerprint": fingerprint(results).encode(),
        _CONFIGURATION: json.dumps(results, sort_keys=True).encode(),
        _INPUTS: json.dumps(dict(roots), sort_keys=True).encode(),
    }
    if correction is not None:
        metadata[METADATA_KEY] = correction.to_json()
    for name in TABLES:
        table = tables[name].replace_schema_metadata(metadata)
        write_table(part_path(out, name, number), table)


def origin(metadata: Mapping[bytes, bytes]) -> str:
    """The configuration and the inputs in a part's metadata, as JSON: a list of two objects, each empty where it has
    none."""
    configuration, inputs = (metadata.get(key, b"{}").decode() for key in (_CONFIGURATION, _INPUTS))
    return f"[{configuration}, {inputs}]"
