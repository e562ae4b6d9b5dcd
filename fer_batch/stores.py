"""The two kinds of places that files lie in: this machine's file system and object stores, behind one Protocol."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

#: Videos are read in ranges of so many bytes, the next one fetched while one is decoded; so many are kept.
_RANGE_BYTES, _RANGES_KEPT = 4 << 20, 8
#: The keys that the libraries have for the time of the last change in their listings.
_MODIFIED = ("LastModified", "last_modified", "mtime")


@dataclass(frozen=True, slots=True)
class Status:
    """How large a file is, in bytes, and when it was changed, in nanoseconds since the epoch; whole seconds on a store,
    whose listings and single answers differ in what is below."""

    size_bytes: int
    modified_ns: int


class Store(Protocol):
    """What can be done with files, wherever they are. Files are named by a path or a URL."""

    def exists(self, file: str) -> bool:
        """Whether there is such a file or folder. Raises OSError where a store can't tell."""
        ...

    def is_dir(self, file: str) -> bool:
        """Whether a path is a folder; on a store, whether objects lie below it."""
        ...

    def absolute(self, file: str) -> str:
        """A path from the root, without following links; a URL as it is."""
        ...

    def real(self, file: str) -> str:
        """The one path of a file however many lead to it."""
        ...

    def status(self, file: str) -> Status:
        """Size and time of a file. Raises OSError, also where it is not a regular one."""
        ...

    def open_file(self, file: str) -> BinaryIO:
        """Open a file to read."""
        ...

    def read_start(self, file: str, length: int) -> bytes:
        """The first bytes of a file."""
        ...

    def read_end(self, file: str, length: int) -> bytes:
        """The last bytes of a file."""
        ...

    def read_whole(self, file: str) -> bytes:
        """All bytes of a file."""
        ...

    def for_ffmpeg(self, file: str) -> str | BinaryIO:
        """What FFmpeg opens to read a file."""
        ...

    def list_names(self, directory: str) -> list[str]:
        """The names in a folder, in any order. Raises FileNotFoundError or NotADirectoryError."""
        ...

    def list_files(self, directory: str) -> Iterator[tuple[str, Status]]:
        """The names of the files in a folder, in any order, with their status. Raises as `list_names` does."""
        ...

    def remove_folder_if_empty(self, directory: str) -> None:
        """Remove a folder that nobody has anything in."""
        ...


class LocalStore:
    """This machine's file system. See `Store`."""

    def exists(self, file: str) -> bool:  # noqa: D102
        return os.path.exists(file)  # Unlike Path.exists, never raises: a name may be too long.

    def is_dir(self, file: str) -> bool:  # noqa: D102
        return os.path.isdir(file)

    def absolute(self, file: str) -> str:  # noqa: D102
        return os.path.abspath(file)

    def real(self, file: str) -> str:  # noqa: D102
        return os.path.realpath(file)

    def status(self, file: str) -> Status:  # noqa: D102
        found = os.stat(file)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("not a regular file")
        return Status(found.st_size, found.st_mtime_ns)

    def open_file(self, file: str) -> BinaryIO:  # noqa: D102
        return open(file, "rb")

    def read_start(self, file: str, length: int) -> bytes:  # noqa: D102
        with open(file, "rb") as stream:
            return stream.read(length)

    def read_end(self, file: str, length: int) -> bytes:  # noqa: D102
        with open(file, "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - length))
            return stream.read(length)

    def read_whole(self, file: str) -> bytes:  # noqa: D102
        return Path(file).read_bytes()

    def for_ffmpeg(self, file: str) -> str | BinaryIO:
        """An absolute path, since FFmpeg takes what stands before a colon in a relative one for a protocol."""
        return os.path.abspath(file)

    def list_names(self, directory: str) -> list[str]:  # noqa: D102
        return os.listdir(directory)

    def list_files(self, directory: str) -> Iterator[tuple[str, Status]]:  # noqa: D102
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_file():
                    found = entry.stat()
                    yield entry.name, Status(found.st_size, found.st_mtime_ns)

    def remove_folder_if_empty(self, directory: str) -> None:  # noqa: D102
        with suppress(OSError):  # Not there, or not empty: somebody else's files stay.
            os.rmdir(directory)


class ObjectStore:
    """Object stores, through fsspec: S3, Google Cloud Storage, Azure Blob Storage. See `Store`."""

    def exists(self, file: str) -> bool:  # noqa: D102
        with _located(file) as (fs, path):
            return bool(fs.exists(path))

    def is_dir(self, file: str) -> bool:  # noqa: D102
        with _located(file) as (fs, path):
            return bool(fs.isdir(path))

    def absolute(self, file: str) -> str:  # noqa: D102
        return file.rstrip("/")

    def real(self, file: str) -> str:
        """The URL: stores have no links."""
        return file.rstrip("/")

    def status(self, file: str) -> Status:  # noqa: D102
        with _located(file) as (fs, path):
            return _status(fs.info(path))

    def open_file(self, file: str) -> BinaryIO:
        """Open an object to read. Nothing is copied: what is read is fetched, range by range."""
        ranges = {"block_size": _RANGE_BYTES, "cache_type": "background", "cache_options": {"maxblocks": _RANGES_KEPT}}
        with _located(file) as (fs, path):
            return cast(BinaryIO, fs.open(path, "rb", **ranges))

    def read_start(self, file: str, length: int) -> bytes:
        """The first bytes of an object, by one request."""
        with _located(file) as (fs, path):
            return cast(bytes, fs.cat_file(path, start=0, end=length))

    def read_end(self, file: str, length: int) -> bytes:
        """The last bytes of an object, by one request."""
        with _located(file) as (fs, path):
            return cast(bytes, fs.cat_file(path, start=-length))

    def read_whole(self, file: str) -> bytes:  # noqa: D102
        with _located(file) as (fs, path):
            return cast(bytes, fs.cat_file(path))

    def for_ffmpeg(self, file: str) -> str | BinaryIO:  # noqa: D102
        return self.open_file(file)

    def list_names(self, directory: str) -> list[str]:  # noqa: D102
        with _located(directory) as (fs, path):
            return [name.rstrip("/").rsplit("/", 1)[-1] for name in fs.ls(path, detail=False)]

    def list_files(self, directory: str) -> Iterator[tuple[str, Status]]:  # noqa: D102
        with _located(directory) as (fs, path):
            entries = fs.ls(path, detail=True)
        for entry in entries:
            if entry["type"] == "file":
                yield entry["name"].rsplit("/", 1)[-1], _status(entry)

    def remove_folder_if_empty(self, directory: str) -> None:
        """Nothing: a store has no folders."""

    def put(self, file: str, content: bytes, new: bool = False) -> None:
        """Write an object: it is there complete or not at all, in one request or in parts that count once all have
        come. `new`: raises FileExistsError where there is one already, as the store itself decides."""
        with _located(file) as (fs, path):
            fs.pipe_file(path, content, mode="create" if new else "overwrite")

    def walk(
        self, url: str, prune: Callable[[str], bool] = lambda _: False
    ) -> Iterator[tuple[str, str, Status | None]]:
        """The objects below a URL as (URL, path relative to it, status), hidden ones left out; one that can't be listed
        comes without a status. `prune`: of a folder's relative path, whether to leave it out unlisted."""
        with _located(url) as (fs, root):
            scheme = url[: url.index("://") + 3]
        pending = [root]
        while pending:
            directory = pending.pop()
            try:
                with as_os_error():
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


@contextmanager
def as_os_error() -> Iterator[None]:
    """Raise OSError for whatever the libraries of stores raise, such as for missing credentials."""
    try:
        yield
    except (OSError, ImportError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


@contextmanager
def _located(url: str) -> Iterator[tuple[Any, str]]:
    """The file system of a store and the path within it; errors in the block are OSErrors."""
    from fsspec.core import url_to_fs

    with as_os_error():
        fs, path = url_to_fs(url, use_listings_cache=False)
        yield fs, path.rstrip("/")


def _status(entry: dict[str, Any]) -> Status:
    if entry["type"] != "file":
        raise OSError("not a regular file")
    modified = next((entry[name] for name in _MODIFIED if entry.get(name)), None)
    return Status(int(entry["size"] or 0), int(modified.timestamp()) * 1_000_000_000 if modified else 0)
