"""Files by their path or URL, wherever they are. A local file has a plain path, as everywhere; only what starts with
`s3://`, `gs://` or `az://` is on an object store.

Inputs are texts, a path or a URL. An output folder is a `Path` or, on a store, a `UPath`, which has the same interface.
The functions here take either. Credentials are found by fsspec's libraries where they look for them: the environment,
their configuration files, the machine's role. They are never part of a URL, so that none gets into a table, a log or
run.json.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from fer_batch.environment import with_home
from fer_batch.errors import UsageError, missing_extra
from fer_batch.stores import LocalStore, ObjectStore, Status, Store, as_os_error

_URL = re.compile(r"(s3|gs|az)://")
_SECRET = re.compile(r"^\w+://[^/]*:[^/]*@|[?&](X-Amz-|X-Goog-|AWSAccessKeyId=|Signature=|sig=|token=)", re.IGNORECASE)
#: Bytes at either end of a file that its digest is over.
_DIGEST_BYTES = 1 << 18
_LOCAL, _OBJECTS = LocalStore(), ObjectStore()


def is_url(file: object) -> bool:
    """Whether a path is that of an object store."""
    return _URL.match(str(file)) is not None


def store_of(file: object) -> Store:
    """What has a file, by its path or URL."""
    return _OBJECTS if is_url(file) else _LOCAL


def location(text: str) -> Path:
    """A place by its path or URL; `~` is the home folder. Raises UsageError where it is empty, for a URL with
    credentials in it, one of an unknown kind, or where what reads it is not installed."""
    if not text:
        raise UsageError("'': is empty; name a file or a folder")
    if not is_url(text):
        if re.match(r"[a-z][a-z0-9+.-]+://", text):
            raise UsageError(f"{text.split(':')[0]}://: only s3://, gs:// and az:// are known, and local paths")
        return Path(with_home(text))
    if _SECRET.search(text):
        raise UsageError(f"{text[:5]}…: credentials don't belong in a URL; docs/guide/cluster.md has the other ways")
    try:
        from upath import UPath

        with as_os_error():
            place = UPath(text.rstrip("/"), use_listings_cache=False)
            place.fs  # noqa: B018  # Imports the library of this store.
    except ImportError:
        raise missing_extra(f"{text}: object stores need more packages", "cloud") from None
    return cast(Path, place)


def exists(file: str) -> bool:
    """See `Store.exists`."""
    return store_of(file).exists(file)


def is_dir(file: str) -> bool:
    """See `Store.is_dir`."""
    return store_of(file).is_dir(file)


def absolute(file: str) -> str:
    """See `Store.absolute`."""
    return store_of(file).absolute(file)


def real(file: str) -> str:
    """See `Store.real`."""
    return store_of(file).real(file)


def status(file: str) -> Status:
    """See `Store.status`."""
    return store_of(file).status(file)


def walk(url: str, prune: Callable[[str], bool] = lambda _: False) -> Iterator[tuple[str, str, Status | None]]:
    """See `ObjectStore.walk`."""
    return _OBJECTS.walk(url, prune)


def open_file(file: str) -> BinaryIO:
    """See `Store.open_file`."""
    return store_of(file).open_file(file)


def read_start(file: str, length: int) -> bytes:
    """See `Store.read_start`."""
    return store_of(file).read_start(file, length)


def read_end(file: str, length: int) -> bytes:
    """See `Store.read_end`."""
    return store_of(file).read_end(file, length)


def content_digest(file: str) -> str:
    """What tells a file from another of its size, whatever its time says: 16 hexadecimal digits over its first and its
    last 256 kB. Raises OSError."""
    digest = hashlib.sha256(read_start(file, _DIGEST_BYTES))
    digest.update(read_end(file, _DIGEST_BYTES))
    return digest.hexdigest()[:16]


def for_ffmpeg(file: str) -> str | BinaryIO:
    """See `Store.for_ffmpeg`."""
    return store_of(file).for_ffmpeg(file)


def list_names(directory: Path) -> list[str]:
    """The names in a folder, in any order; none where there is no such folder."""
    try:
        return store_of(directory).list_names(str(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def list_files(directory: Path) -> Iterator[tuple[str, Status]]:
    """The names of the files in a folder, in any order, each with its status; none where there is no such folder."""
    try:
        yield from store_of(directory).list_files(str(directory))
    except (FileNotFoundError, NotADirectoryError):
        return


def read_whole(path: Path) -> memoryview:
    """The bytes of a file or an object of an output folder."""
    return memoryview(store_of(path).read_whole(str(path)))


def put(path: Path, content: bytes, new: bool = False) -> None:
    """See `ObjectStore.put`."""
    _OBJECTS.put(str(path), content, new)


def copy(source: Path, target: Path) -> None:
    """Copy a file between two output folders, wherever they are."""
    if is_url(target):
        put(target, bytes(read_whole(source)))
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_file(str(source)) as read, target.open("wb") as write:
        shutil.copyfileobj(read, write)


def remove_folder_if_empty(directory: Path) -> None:
    """See `Store.remove_folder_if_empty`."""
    store_of(directory).remove_folder_if_empty(str(directory))
