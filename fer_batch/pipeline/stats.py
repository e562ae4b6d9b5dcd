"""What became of the files of a run: the counts of run.json, that they add up, and the closing summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fer_batch.records import FileResult
from fer_batch.tables.ledger import Ledger


@dataclass
class Processed:
    """What this run has processed so far. `media_seconds`: seconds of video."""

    files: int = 0
    failed: int = 0
    frames: int = 0
    faces: int = 0
    media_seconds: float = 0.0

    def add(self, result: FileResult) -> None:
        """Count a file."""
        self.files += 1
        self.failed += result.failed
        self.frames += result.frames_sampled
        self.faces += result.faces_found
        self.media_seconds += 0.0 if result.failed else result.info.duration_s or 0.0


def count(found: pa.Array, skipped: int, ledger: Ledger, processed: Processed) -> dict[str, Any]:
    """Files `found`, given by their paths, by what the tables say of them, and what this run has processed.

    `outstanding`: not in the tables yet; `skipped`: in them before this run, which left them alone; `absent`: files of
    earlier runs that are no longer found, whose rows stay; `kept_in_part`: files that are done, by what was lost.
    """
    entries = ledger.entries.filter(pc.is_in(ledger.entries["media_path"], value_set=found))
    # As texts: every part has numbers of its own for them.
    texts = pa.table({name: entries[name].cast(pa.string()) for name in ("status", "error_code")})
    codes = texts.group_by(["status", "error_code"]).aggregate([([], "count_all")]).to_pylist()
    failed, in_part = Counter[str](), Counter[str]()
    for group in codes:
        if group["status"] == "failed":
            failed[group["error_code"]] += group["count_all"]
        elif group["error_code"] is not None:
            in_part[group["error_code"]] += group["count_all"]
    return {
        "discovered": len(found),
        "done": entries.num_rows - failed.total(),
        "failed": failed.total(),
        "outstanding": len(found) - entries.num_rows,
        "skipped": skipped,
        "absent": ledger.entries.num_rows - entries.num_rows,
        "failed_by_code": dict(sorted(failed.items())),
        "kept_in_part": dict(sorted(in_part.items())),
        "processed": processed.files,
        "processed_failed": processed.failed,
        "processed_frames": processed.frames,
        "processed_faces": processed.faces,
        "processed_media_seconds": round(processed.media_seconds, 3),
    }


def assert_complete(counts: Mapping[str, Any]) -> None:
    """Raise AssertionError unless every file found has its row, and was skipped or processed once."""
    everywhere = counts["discovered"] == counts["done"] + counts["failed"]
    if not everywhere or counts["discovered"] != counts["processed"] + counts["skipped"]:
        raise AssertionError(f"counts do not add up: {counts}")


def closing_lines(counts: Mapping[str, Any], seconds: float) -> list[str]:
    """The closing summary: the state of all files, and what this run did in so many seconds."""
    parts = [
        f"{counts['done']} done{_by_code('kept in part: ', counts['kept_in_part'])}",
        f"{counts['failed']} failed{_by_code('', counts['failed_by_code'])}",
    ]
    if counts["outstanding"]:
        parts.append(f"{counts['outstanding']} outstanding")
    media_seconds = counts["processed_media_seconds"]
    rows = f"{counts['processed_frames']} frames, {counts['processed_faces']} faces"
    return [
        f"{counts['discovered']} files: {', '.join(parts)}; {counts['skipped']} skipped, already in the tables",
        f"this run: {counts['processed']} files, {rows}, {media_seconds:.0f} s of video in {seconds:.0f} s "
        f"({media_seconds / seconds:.2f} media-seconds per second)",
    ]


def _by_code(what: str, codes: Mapping[str, int]) -> str:
    return f" ({what}{', '.join(f'{number} {code}' for code, number in codes.items())})" if codes else ""
