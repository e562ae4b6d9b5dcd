"""Where the media of a run lie, and whether they are still those that it read."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from fer_batch.config import SCHEMA_VERSION
from fer_batch.errors import UsageError
from fer_batch.globs import Globs, composed
from fer_batch.measures import MEASURES
from fer_batch.preview.samples import Samples
from fer_batch.records import Code, MediaError, MediaType, Stage
from fer_batch.report.formatting import format_count
from fer_batch.storage import content_digest, is_url, status
from fer_batch.stores import Status
from fer_batch.suggestions import did_you_mean
from fer_batch.tables.digests import Digests
from fer_batch.tables.parquet import read_batches, read_rows, read_schema
from fer_batch.tables.parts import committed_parts
from fer_batch.tables.schema import modified_time

log = logging.getLogger(__name__)

_ESCAPE = re.compile(rb"\\(\\|x[0-9a-f]{2})")
_FRAMES = ["media_path", "sample_index", "timestamp_s", "width", "height"]
_FACES = ["media_path", "sample_index", "timestamp_s", "face_index", "track_id", "x", "y", "width", "height"]
_ANGLES = ["yaw", "pitch", "roll"]


@dataclass(frozen=True)
class Source:
    """A file of the media table.

    Attributes:
        path: Its name in the tables.
        media_type: `image` or `video`.
        part: The name of the part files that hold its rows.
        size_bytes: Its size when the run read it.
        modified: Its modification time then.
        duration_s: Its length in seconds; None for images.
        file: The path or URL at which it lay then, or lies now.
        fingerprint: Of the configuration that decided its rows.
        moved: Whether `file` is not where the run found it.
        digest: Of its content when the run read it; None where the run's folder does not keep it.
    """

    path: str
    media_type: MediaType
    part: str
    size_bytes: int
    modified: datetime
    duration_s: float | None
    file: str
    fingerprint: str
    moved: bool
    digest: str | None = None

    def check(self) -> None:
        """Raise MediaError `changed` or `unreadable` unless it is still the file that the run read.

        Size and modification time must be the same. In a new place, where copying sets the time, and where only the
        time has changed, the digest decides; without one, a copy of the same size is accepted.
        """
        try:
            now = status(self.file)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"{self.file} can't be read ({reason}); name with --source where the media lie now"
            raise MediaError(Stage.DECODE, Code.UNREADABLE, message) from error
        if now.size_bytes != self.size_bytes:
            changed = f"{self.size_bytes} bytes then, {now.size_bytes} now"
        elif self._has_same_content(now):
            return
        else:
            then, later = (f"{time:%Y-%m-%d %H:%M:%S}" for time in (self.modified, modified_time(now.modified_ns)))
            changed = f"other content; modified {then} then, {later} now"
        message = f"has changed since the run ({changed}); run again, then preview it"
        raise MediaError(Stage.DECODE, Code.CHANGED, message)

    def _has_same_content(self, now: Status) -> bool:
        """Whether a file of the same size is the same one."""
        if not self.moved and modified_time(now.modified_ns) == self.modified:
            return True
        return self.moved if self.digest is None else content_digest(self.file) == self.digest


def read_sources(directory: Path, globs: Sequence[str], moved_to: str | None) -> list[Source]:
    """The files of a run's media table that were read, in the order of their parts.

    Args:
        directory: The run's folder.
        globs: Which files, by path or bare name; all if there are none.
        moved_to: The folder in which the media lie now by their paths in the tables; None: where the run found them.

    Raises:
        UsageError: For a glob that matches no file, or tables of another version.
    """
    digests, failed = Digests(directory), list[str]()
    found = [
        replace(source, digest=digests.get(source.path))
        for part in committed_parts(directory)
        for source in _sources_of_part(directory, part, moved_to, failed)
    ]
    for glob in globs:
        if not any(_matches(source.path, [glob]) for source in found):
            if any(_matches(path, [glob]) for path in failed):
                raise UsageError(
                    f"{glob}: the run could not read it, so there is nothing to draw; see its row in media"
                )
            hint = did_you_mean(glob, (source.path for source in found))
            raise UsageError(f"{glob}: matches no file in the media table of {directory}{hint}")
    if count := sum(not globs or _matches(path, globs) for path in failed):
        log.info("%s that the run could not read left out", format_count(count, "file"))
    return [source for source in found if not globs or _matches(source.path, globs)]


def read_samples(directory: Path, source: Source, labels: Sequence[str]) -> Samples:
    """What the tables say of a file."""
    frames = _rows(directory, "frames", source, [*_FRAMES, *labels, *MEASURES])
    faces = _rows(directory, "faces", source, [*_FACES, *_ANGLES, *labels])
    return Samples(frames, faces, labels)


def _sources_of_part(directory: Path, part: str, moved_to: str | None, failed: list[str]) -> Iterator[Source]:
    """The files of a part that were read. `failed` gets the paths of the others."""
    path = directory / "media" / part
    metadata = read_schema(path).metadata or {}
    if (version := metadata.get(b"fer_batch.schema_version", b"").decode()) != str(SCHEMA_VERSION):
        raise UsageError(
            f"{directory}: holds tables of version {version}, whose times are not those of version {SCHEMA_VERSION}; "
            "run again with another --out, and preview that"
        )
    fingerprint = metadata.get(b"fer_batch.fingerprint", b"").decode()
    roots = json.loads(metadata.get(b"fer_batch.inputs", b"{}"))
    columns = ["media_path", "media_type", "status", "size_bytes", "modified", "duration_s"]
    for batch in read_batches(path, columns):
        for row in batch.to_pylist():
            if row["status"] == "done":
                yield _source(row, part, fingerprint, roots, moved_to)
            else:
                failed.append(row["media_path"])


def _source(row: dict[str, Any], part: str, fingerprint: str, roots: Mapping[str, str], moved_to: str | None) -> Source:
    name = _file_name(row["media_path"])
    file = _joined(moved_to, name) if moved_to is not None else _under_root(name, roots)
    return Source(
        row["media_path"], row["media_type"], part, row["size_bytes"], row["modified"], row["duration_s"], file,
        fingerprint, moved_to is not None,
    )  # fmt: skip


def _file_name(path: str) -> str:
    """The path that a text in the tables stands for: there backslashes are doubled and bytes that are no UTF-8 stand as
    \\xNN."""

    def byte(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return code if code == b"\\" else bytes([int(code[1:], 16)])

    return _ESCAPE.sub(byte, path.encode()).decode("utf-8", "surrogateescape")


def _under_root(name: str, roots: Mapping[str, str]) -> str:
    """Where a file lay: under the input whose lead begins its path, or it is that input."""
    for lead, root in roots.items():
        if lead == "":
            return _joined(root, name)
        if name == lead:
            return root
        if name.startswith(f"{lead}/"):
            return _joined(root, name[len(lead) + 1 :])
    return name


def _joined(root: str, name: str) -> str:
    return f"{root.rstrip('/')}/{name}" if is_url(root) else _on_disk(root, name.split("/"))


def _on_disk(folder: str, names: Sequence[str]) -> str:
    """The path of a file whose names are composed in the tables (NFC), and perhaps decomposed on the disk."""
    for name in names:
        path = os.path.join(folder, name)
        if not name.isascii() and not os.path.lexists(path) and os.path.isdir(folder):
            path = next((entry.path for entry in os.scandir(folder) if composed(entry.name) == name), path)
        folder = path
    return folder


def _matches(path: str, globs: Sequence[str]) -> bool:
    return path in globs or Globs(globs).match(path)


def _rows(directory: Path, table: str, source: Source, columns: Sequence[str]) -> pd.DataFrame:
    rows: pd.DataFrame = read_rows(directory / table / source.part, "media_path", source.path, columns).to_pandas()
    return rows
