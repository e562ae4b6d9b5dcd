"""Part files: names, order, compression and what their metadata says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from fer_batch.config import DetectorConfig, ModelId, ResolvedConfig, Sampling, fingerprint
from fer_batch.emotions import EMOTIONS
from fer_batch.tables import commit
from fer_batch.tables.commit import commit_part, provenance_json
from fer_batch.tables.parts import part_path
from fer_batch.tables.schema import to_tables

TABLES = ("faces", "frames", "media")
RESULTS: dict[str, Any] = {"schema_version": 2, "sampling": {"mode": "fps", "fps": 1.0, "end": None}}


@pytest.fixture
def tables(scored_file: Callable, shares_of: Callable) -> dict[str, pa.Table]:
    return to_tables([scored_file("a.mp4", [(0.0, [shares_of(happy=1.0)])])], EMOTIONS)


def test_names(tmp_path: Path, tables: dict[str, pa.Table]) -> None:
    commit_part(tmp_path, 12, tables, RESULTS, {})
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == [f"{name}/part-000012.parquet" for name in TABLES]


@pytest.mark.parametrize("name", TABLES)
def test_metadata_and_compression(tmp_path: Path, tables: dict[str, pa.Table], name: str) -> None:
    commit_part(tmp_path, 1, tables, RESULTS, {})
    file = pq.ParquetFile(part_path(tmp_path, name, 1))
    metadata = file.schema_arrow.metadata
    assert metadata[b"fer_batch.schema_version"] == b"2"
    assert metadata[b"fer_batch.fingerprint"] == fingerprint(RESULTS).encode()
    group = file.metadata.row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {"ZSTD"}
    assert file.schema_arrow.equals(tables[name].schema)
    assert file.read().to_pylist() == tables[name].to_pylist()


def test_the_fingerprint_is_that_of_the_configuration(tmp_path: Path, tables: dict[str, pa.Table]) -> None:
    config = ResolvedConfig(
        Sampling(), DetectorConfig(), Path("m"), ModelId("m", "1", "00", "11"), EMOTIONS, ("/data",), tmp_path
    )
    commit_part(tmp_path, 1, tables, config.result_settings(), {"in": "/x/in"})
    metadata = pq.read_schema(part_path(tmp_path, "media", 1)).metadata
    assert metadata[b"fer_batch.fingerprint"].decode() == config.fingerprint()
    assert json.loads(provenance_json(metadata)) == [config.result_settings(), {"in": "/x/in"}]


def test_no_configuration_in_a_foreign_file(tmp_path: Path) -> None:
    assert json.loads(provenance_json({})) == [{}, {}]


def test_the_media_table_comes_last(
    tmp_path: Path, tables: dict[str, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def fail_at_media(old: Path, new: Path) -> None:
        if Path(new).parent.name == "media":
            raise KeyboardInterrupt
        rename(old, new)

    monkeypatch.setattr(os, "replace", fail_at_media)
    with pytest.raises(KeyboardInterrupt):
        commit_part(tmp_path, 1, tables, RESULTS, {})
    assert commit.TABLES[-1] == "media"
    assert sorted(path.parent.name for path in tmp_path.rglob("part-*")) == ["faces", "frames"]
    assert list((tmp_path / "media").iterdir()) == []


def test_parts_scan_as_one_table(tmp_path: Path, scored_file: Callable, shares_of: Callable) -> None:
    """Also where one part has no rows, or only nulls where another has values."""
    commit_part(tmp_path, 1, to_tables([], EMOTIONS), RESULTS, {})
    commit_part(tmp_path, 2, to_tables([scored_file("a.png", [(None, [shares_of(happy=1.0)])])], EMOTIONS), RESULTS, {})
    commit_part(tmp_path, 3, to_tables([scored_file("b.mp4", [(2.0, [shares_of(sad=1.0)])])], EMOTIONS), RESULTS, {})
    table = ds.dataset(tmp_path / "faces", format="parquet").to_table().sort_by("media_path")
    assert table["emotion"].to_pylist() == ["happy", "sad"]
    assert table["timestamp_s"].to_pylist() == [None, 2.0]
