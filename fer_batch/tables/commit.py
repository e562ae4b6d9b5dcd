"""Commit rows to the tables, a part file of each at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from fer_batch.config import SCHEMA_VERSION, fingerprint
from fer_batch.share_correction import METADATA_KEY, ShareCorrection
from fer_batch.tables.layout import TABLES
from fer_batch.tables.parquet import write_table
from fer_batch.tables.parts import part_path

_CONFIGURATION = b"fer_batch.configuration"
_INPUTS = b"fer_batch.inputs"


class Provenance(NamedTuple):
    """How the rows of a part were made; kept as metadata of its files.

    Attributes:
        result_settings: The configuration that decided the rows.
        inputs: The inputs by the prefix that their paths have in the tables.
        correction: What the corrected shares of emotions need to know of the model.
    """

    result_settings: dict[str, Any]
    inputs: Mapping[str, str]
    correction: ShareCorrection | None = None


def commit_part(
    out: Path,
    number: int,
    tables: Mapping[str, pa.Table],
    result_settings: dict[str, Any],
    inputs: Mapping[str, str],
    correction: ShareCorrection | None = None,
) -> None:
    """Write one part of all three tables, with a `Provenance` as metadata.

    Interrupted at any moment it leaves a part that does not count, never a half one.
    """
    metadata = {
        b"fer_batch.schema_version": str(SCHEMA_VERSION).encode(),
        b"fer_batch.fingerprint": fingerprint(result_settings).encode(),
        _CONFIGURATION: json.dumps(result_settings, sort_keys=True).encode(),
        _INPUTS: json.dumps(dict(inputs), sort_keys=True).encode(),
    }
    if correction is not None:
        metadata[METADATA_KEY] = correction.to_json()
    for name in TABLES:
        table = tables[name].replace_schema_metadata(metadata)
        write_table(part_path(out, name, number), table)


def provenance_json(metadata: Mapping[bytes, bytes]) -> str:
    """The result settings and the inputs in a part's metadata, as JSON: a list of two objects, empty where missing."""
    configuration, inputs = (metadata.get(key, b"{}").decode() for key in (_CONFIGURATION, _INPUTS))
    return f"[{configuration}, {inputs}]"
