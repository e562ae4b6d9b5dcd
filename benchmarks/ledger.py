"""How long does a resumed run need to see what is left, and how much memory?

    python benchmarks/ledger.py [--files 1000000] [--parts 1000] [--keep DIR]

Simulates the folder of a run that has finished `--files` media in so many parts: real part files of the three tables,
those of faces and frames without rows, which the ledger does not read. Then a process of its own does what a run does
before its first unit: check the folder, read the ledger, and decide for as many found files which are outstanding, a
hundredth of which have changed and as many of which are new. It prints the seconds of each step and the peak of memory,
with and without what the list of found files takes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa
import pyarrow.parquet as pq

from fer_batch.emotions import EMOTIONS
from fer_batch.records import Media
from fer_batch.tables.commit import commit_part
from fer_batch.tables.ledger import Ledger
from fer_batch.tables.parquet import read_schema
from fer_batch.tables.parts import part_path
from fer_batch.tables.schema import faces_schema, frames_schema, media_schema

RESULTS, ROOTS = {"sampling": {"fps": 1.0}}, {"": "/archive"}
MODIFIED = datetime(2024, 1, 1, tzinfo=UTC)
#: Parts without rows that are links to one file; ext4 allows 65,000.
LINKS = 50_000
#: As long as paths in an archive are.
PATH = "camera-{:03d}/2024/01/{:08d}.mp4"


def make(out: Path, files: int, parts: int) -> None:
    empty = {"faces": faces_schema(EMOTIONS).empty_table(), "frames": frames_schema(EMOTIONS).empty_table()}
    stencils: dict[bool, tuple[int, bytes]] = {}
    with patch("os.fsync"):  # Nobody will miss them after a power cut, and a million of them take hours.
        for part in range(parts):
            numbers = range(part * files // parts, (part + 1) * files // parts)
            if part % LINKS == 0:
                commit_part(out, part + 1, empty | {"media": media_table(numbers)}, RESULTS, ROOTS)
                first, metadata = part + 1, read_schema(part_path(out, "media", part + 1)).metadata
                continue
            for name in empty:
                os.link(part_path(out, name, first), part_path(out, name, part + 1))
            if len(numbers) == 1:
                content = from_stencil(stencils, numbers[0], metadata)
            else:
                content = parquet(media_table(numbers).replace_schema_metadata(metadata))
            part_path(out, "media", part + 1).write_bytes(content)


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **{"compression": "zstd", **options})
    return sink.getvalue().to_pybytes()


def from_stencil(stencils: dict[bool, tuple[int, bytes]], number: int, metadata: Mapping[bytes, bytes]) -> bytes:
    """A part of one file in a fiftieth of the time that Arrow takes: a part as Arrow makes it, but for the columns of
    path and size, which are plain, so that their bytes can be replaced."""
    failed = number % 50 == 0
    if failed not in stencils:
        table = media_table(range(number, number + 1)).replace_schema_metadata(metadata)
        plain = ["media_path", "size_bytes"]
        others = [name for name in table.column_names if name not in plain]
        packed = {name: "none" if name in plain else "zstd" for name in table.column_names}
        content = parquet(table, compression=packed, use_dictionary=others, write_statistics=others)
        assert all(content.count(text) == 1 for text in stamps(number))
        stencils[failed] = number, content
    before, content = stencils[failed]
    for old, new in zip(stamps(before), stamps(number), strict=True):
        content = content.replace(old, new)
    return content


def stamps(number: int) -> tuple[bytes, bytes]:
    """The bytes of path and size, by which files differ."""
    return path(number).encode(), struct.pack("<q", 1_000_000 + number)


def media_table(numbers: range) -> pa.Table:
    rows = [
        {"media_path": path(n), "media_type": "video", "status": "failed" if n % 50 == 0 else "done",
         "error_code": "invalid_data" if n % 50 == 0 else None, "size_bytes": 1_000_000 + n, "modified": MODIFIED,
         "frames_sampled": 0, "faces_found": 0}
        for n in numbers
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, media_schema())


def path(number: int) -> str:
    return PATH.format(number % 200, number)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def decide(out: Path, files: int) -> None:
    modified_ns = int(MODIFIED.timestamp()) * 1_000_000_000
    before = peak_mb()
    found = [
        Media("/archive/" + path(n), path(n), "video", 1_000_000 + n + (n % 100 == 7), modified_ns)
        for n in range(files + files // 100)
    ]
    listed = peak_mb()
    started, busy = time.perf_counter(), time.process_time()
    ledger = Ledger(out)
    read = time.perf_counter()
    ledger.check(RESULTS, ROOTS)
    ledger.clean_up()
    checked = time.perf_counter()
    outstanding = ledger.outstanding(found, retry_failed=False)
    decided = time.perf_counter()
    changed = len(range(7, files, 100))
    assert ledger.entries.num_rows == files
    assert len(outstanding) == changed + files // 100, len(outstanding)
    figures = {
        "read_s": read - started,
        "check_and_tidy_s": checked - read,
        "decide_s": decided - checked,
        "total_s": decided - started,
        "processor_s": time.process_time() - busy,
        "peak_mb": peak_mb(),
        "of_it_imports_mb": before,
        "of_it_found_files_mb": listed - before,
    }
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="make the folder there, or use the one that is there")
    parser.add_argument("--decide", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.decide:
        decide(options.keep, options.files)
        return
    with tempfile.TemporaryDirectory() as name:
        out = options.keep or Path(name) / "out"
        if not out.exists():
            make(out, options.files, options.parts)
        print(f"{options.files} files in {options.parts} parts:", flush=True)
        command = [sys.executable, __file__, "--decide", "--keep", str(out), "--files", str(options.files)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
