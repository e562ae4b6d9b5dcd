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
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa

from fer_batch.emotions import EMOTIONS
from fer_batch.ledger import Ledger, check_folder
from fer_batch.records import Media
from fer_batch.schema import faces_schema, frames_schema, media_schema
from fer_batch.stages.write import commit_part

RESULTS, ROOTS = {"sampling": {"fps": 1.0}}, {"": "/archive"}
MODIFIED = datetime(2024, 1, 1, tzinfo=UTC)
#: As long as paths in an archive are.
PATH = "camera-{:03d}/2024/01/{:08d}.mp4"


def make(out: Path, files: int, parts: int) -> None:
    empty = {"faces": faces_schema(EMOTIONS).empty_table(), "frames": frames_schema(EMOTIONS).empty_table()}
    for part in range(parts):
        numbers = range(part * files // parts, (part + 1) * files // parts)
        rows = [
            {"media_path": path(n), "media_type": "video", "status": "failed" if n % 50 == 0 else "done",
             "error_code": "invalid_data" if n % 50 == 0 else None, "size_bytes": 1_000_000 + n, "modified": MODIFIED,
             "frames_sampled": 0, "faces_found": 0}
            for n in numbers
        ]  # fmt: skip
        media = pa.Table.from_pylist(rows, media_schema())
        commit_part(out, part + 1, empty | {"media": media}, RESULTS, ROOTS)


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
    started = time.perf_counter()
    check_folder(out, RESULTS, ROOTS)
    checked = time.perf_counter()
    ledger = Ledger(out)
    read = time.perf_counter()
    outstanding = ledger.outstanding(found, retry_failed=False)
    decided = time.perf_counter()
    changed = len(range(7, files, 100))
    assert len(ledger.entries) == files
    assert len(outstanding) == changed + files // 100, len(outstanding)
    figures = {
        "check_s": checked - started,
        "read_s": read - checked,
        "decide_s": decided - read,
        "total_s": decided - started,
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
