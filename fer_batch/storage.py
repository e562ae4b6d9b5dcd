"""Files here and on object stores. A local place is a plain path, as everywhere; only what starts with `s3://`, `gs://`
or `az://` goes through fsspec.

Inputs are texts, a path or a URL, and the functions here take either. An output folder is a `Path` or, on a store, a
`UPath`, which has the same interface. Credentials are found by fsspec's libraries where they look for them: the
environment, their configuration files, the machine's role. They are never part of a URL, so that none gets into a
table, a log or run.json.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from fer_batch.errors import UsageError

_URL = re.compile(r"(s3|gs|az)://")
_SECRET = re.compile(r"^\w+://[^/]*:[^/]*@|[?&](X-Amz-|X-Goog-|AWSAccessKeyId=|Signature=|sig=|token=)", re.IGNORECASE)
#: Videos are read in ranges of so many bytes, the next one fetched while one is decoded; so many are kept.
_RANGE, _RANGES_KEPT = 4 << 20, 8
#: Bytes at either end of a file that its digest is over.
_DIGEST_BYTES = 1 << 18
#: What the libraries call the time of the last change in their listings.
_MODIFIED = ("LastModified", "last_modified", "mtime")


@dataclass(frozen=True, slots=True)
class Status:
    """How large a file is, in bytes, and when it was changed, in nanoseconds since the epoch; whole seconds on a store,
    whose listings and single answers differ in what is below."""

    size_bytes: int
    modified_ns: int


def is_url(file: object) -> bool:
    """Whether a path is that of an object store."""
    return _URL.match(str(file)) is not None


def location(text: str) -> Path:
    """A place by its path or URL. Raises UsageError for a URL with credentials in it, one of an unknown kind, or where
    what reads it is not installed."""
    if not is_url(text):
        if re.match(r"[a-z][a-z0-9+.-]+://", text):
            raise UsageError(f"{text.split(':')[0]}://: only s3://, gs:// and az:// are known, and local paths")
        return Path(text)
    if _SECRET.search(text):
        raise UsageError(f"{text[:5]}…: credentials don't belong in a URL; docs/guide/cluster.md has the other ways")
    try:
        from upath import UPath

        with _in_one_kind():
            place = UPath(text.rstrip("/"), use_listings_cache=False)
            place.fs  # noqa: B018  # Imports the library of this store.
    except ImportError:
        raise UsageError(
            f"{text}: reading object stores needs more; install it: pip install 'fer-batch[cloud]'"
        ) from None
    return cast(Path, place)


def exists(file: str) -> bool:
    """Whether there is such a file or folder. On a store, raises OSError where it can't be told."""
    if not is_url(file):
        return os.path.exists(file)  # Unlike Path.exists, never raises: a name may be too long.
    fs, path = _store(file)
    with _in_one_kind():
        return bool(fs.exists(path))


def is_dir(file: str) -> bool:
    """Whether a path is a folder; on a store, whether objects lie below it."""
    if not is_url(file):
        return os.path.isdir(file)
    fs, path = _store(file)
    with _in_one_kind():
        return bool(fs.isdir(path))


def absolute(file: str) -> str:
    """A path from the root, without following links; a URL as it is."""
    return file.rstrip("/") if is_url(file) else os.path.abspath(file)


def real(file: str) -> str:
    """The one path of a file however many lead to it. Stores have no links."""
    return file.rstrip("/") if is_url(file) else os.path.realpath(file)


def status(file: str) -> Status:
    """Size and time of a file. Raises OSError, also where it is not a regular one."""
    if is_url(file):
        fs, path = _store(file)
        with _in_one_kind():
            return _status(fs.info(path))
    found = os.stat(file)
    if not stat.S_ISREG(found.st_mode):
        raise OSError("not a regular file")
    return Status(found.st_size, found.st_mtime_ns)


def walk(url: str, prune: Callable[[str], bool] = lambda _: False) -> Iterator[tuple[str, str, Status | None]]:
    """The objects below a URL as (URL, path relative to it, status), hidden ones left out; one that can't be listed
    comes without a status. `prune`: of a folder's relative path, whether to leave it out unlisted."""
    fs, root = _store(url)
    scheme = url[: url.index("://") + 3]
    pending = [root]
    while pending:
        directory = pending.pop()
        try:
            with _in_one_kind():
                entries = sorted(fs.ls(directory, detail=True), key=lambda entry: str(entry["name"]))
        except OSError:
            yield scheme + directory, directory[len(root) + 1 :], None
            continue
        for entry in entries:
            name = entry["name"].rstrip("/")
            if name.rsplit("/", 1)[-1].startswith(".") or name == directory:
                continue
            if entry["type"] == "directory":
                if not prune(name[len(root) + 1 :]):
                    pending.append(name)
            elif not entry["name"].endswith("/"):  # Consoles make empty objects that stand for folders.
                yield scheme + name, name[len(root) + 1 :], _status(entry)


def open_file(file: str) -> BinaryIO:
    """Open a file to read. On a store nothing is copied: what is read is fetched, range by range."""
    if not is_url(file):
        return open(file, "rb")
    fs, path = _store(file)
    ranges = {"block_size": _RANGE, "cache_type": "background", "cache_options": {"maxblocks": _RANGES_KEPT}}
    with _in_one_kind():
        return cast(BinaryIO, fs.open(path, "rb", **ranges))


def read_start(file: str, length: int) -> bytes:
    """The first bytes of a file, by one request where it is on a store."""
    if not is_url(file):
        with open(file, "rb") as stream:
            return stream.read(length)
    fs, path = _store(file)
    with _in_one_kind():
        return cast(bytes, fs.cat_file(path, start=0, end=length))


def read_end(file: str, length: int) -> bytes:
    """The last bytes of a file, by one request where it is on a store."""
    if not is_url(file):
        with open(file, "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - length))
            return stream.read(length)
    fs, path = _store(file)
    with _in_one_kind():
        return cast(bytes, fs.cat_file(path, start=-length))


def content_digest(file: str) -> str:
    """What tells a file from another of its size, whatever its time says: 16 hexadecimal digits over its first and its
    last 256 kB. Raises OSError."""
    digest = hashlib.sha256(read_start(file, _DIGEST_BYTES))
    digest.update(read_end(file, _DIGEST_BYTES))
    return digest.hexdigest()[:16]


def for_ffmpeg(file: str) -> str | BinaryIO:
    """What FFmpeg opens: an absolute path, since in a relative one what stands before a colon is a protocol to it."""
    return open_file(file) if is_url(file) else os.path.abspath(file)


def list_names(directory: Path) -> list[str]:
    """The names in a folder, in any order; none where there is no such folder."""
    try:
        if isinstance(directory, Path):
            return os.listdir(directory)
        with _in_one_kind():
            return [name.rstrip("/").rsplit("/", 1)[-1] for name in directory.fs.ls(directory.path, detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def list_files(directory: Path) -> Iterator[tuple[str, Status]]:
    """The names of the files in a folder, in any order, each with its status; none where there is no such folder."""
    try:
        if isinstance(directory, Path):
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_file():
                        found = entry.stat()
                        yield entry.name, Status(found.st_size, found.st_mtime_ns)
            return
        with _in_one_kind():
            listed = directory.fs.ls(directory.path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    for one in listed:
        if one["type"] == "file":
            yield one["name"].rsplit("/", 1)[-1], _status(one)


def read_whole(path: Path) -> memoryview:
    """The bytes of a file or an object of an output folder."""
    if isinstance(path, Path):
        return memoryview(path.read_bytes())
    with _in_one_kind():
        return memoryview(path.fs.cat_file(path.path))


def put(path: Path, content: bytes, new: bool = False) -> None:
    """Write an object of a store: there whole or not at all, in one request or in parts that count once all have come.
    `new`: raises FileExistsError where there is one already, by the store's own word."""
    store: Any = path
    with _in_one_kind():
        store.fs.pipe_file(store.path, content, mode="create" if new else "overwrite")


def copy(source: Path, target: Path) -> None:
    """Copy a file between two output folders, wherever they are."""
    if isinstance(target, Path):
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_file(str(source)) as read, target.open("wb") as write:
            shutil.copyfileobj(read, write)
    else:
        put(target, bytes(read_whole(source)))


def remove_folder_if_empty(directory: Path) -> None:
    """Remove a folder nobody has anything in. On a store there are no folders to remove."""
    if isinstance(directory, Path):
        try:
            directory.rmdir()
        except OSError:  # Not there, or not empty: somebody else's files stay.
            return


@contextmanager
def _in_one_kind() -> Iterator[None]:
    """Every library has errors of its own, such as for missing credentials; to us they are all OSError."""
    try:
        yield
    except (OSError, ImportError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _store(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    with _in_one_kind():
        fs, path = url_to_fs(url, use_listings_cache=False)
        return fs, path.rstrip("/")


def _status(entry: dict[str, Any]) -> Status:
    if entry["type"] != "file":
        raise OSError("not a regular file")
    modified = next((entry[name] for name in _MODIFIED if entry.get(name)), None)
    return Status(int(entry["size"] or 0), int(modified.timestamp()) * 1_000_000_000 if modified else 0)
