"""Commit rows to the tables, a part file of each at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from fer_batch.config import SCHEMA_VERSION, fingerprint
from fer_batch.tables import part_path, read_schema, write_table

#: The order of the renames: a part counts once its media file is there, so that one comes last.
COMMIT_ORDER = ("faces", "frames", "media")
_CONFIGURATION = b"fer_batch.configuration"


def commit_part(out: Path, number: int, tables: Mapping[str, pa.Table], results: dict[str, Any]) -> None:
    """Write one part of all three tables. `results`: the configuration that decided the rows, kept as metadata.

    Interrupted at any moment it leaves a part that does not count, never a half one.
    """
    metadata = {
        b"fer_batch.schema_version": str(SCHEMA_VERSION).encode(),
        b"fer_batch.fingerprint": fingerprint(results).encode(),
        _CONFIGURATION: json.dumps(results, sort_keys=True).encode(),
    }
    for name in COMMIT_ORDER:
        table = tables[name].replace_schema_metadata(metadata)
        write_table(part_path(out, name, number), table)


def read_results(part: Path) -> dict[str, Any] | None:
    """The configuration kept in a part file's metadata, None where it has none."""
    metadata = read_schema(part).metadata or {}
    text = metadata.get(_CONFIGURATION)
    return json.loads(text) if text else None
