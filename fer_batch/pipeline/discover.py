"""Find the media under the given paths: by content, hidden files left out, every file once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from fer_batch import storage
from fer_batch.media import sniff
from fer_batch.records import Code, Failure, Media, Stage
from fer_batch.storage import Status

#: Objects of a store that are looked at at the same time.
_REQUESTS = 32


def discover(
    inputs: Sequence[str], include: Sequence[str] = (), exclude: Sequence[str] = (), follow_symlinks: bool = False
) -> list[Media]:
    """All media under `inputs` (files and directories), sorted by table path.

    Inside directories a file counts when its first bytes or its name say that it is media; a file named
    in `inputs` counts always. `include` and `exclude` are globs over the table path or the bare name; `*` matches
    `/` too. Links found in directories are followed on request only, and no directory is entered twice.
    """
    found: dict[str, Media] = {}  # By real path: one file, one row, however many ways lead to it.
    for lead, given in roots(inputs).items():
        candidates = _candidates(lead, given, follow_symlinks, include, exclude)
        inspect = partial(_inspect, given=given)
        if storage.is_url(given):  # Each look takes a request's time there and back, whatever the processor.
            with ThreadPoolExecutor(_REQUESTS) as pool:
                looked_at = [*pool.map(inspect, candidates)]
        else:
            looked_at = [inspect(candidate) for candidate in candidates]
        for media in looked_at:
            if media is not None:
                found.setdefault(storage.real(media.file), media)
    return sorted(found.values(), key=lambda media: media.path)


def _candidates(
    lead: str, given: str, follow_symlinks: bool, include: Sequence[str], exclude: Sequence[str]
) -> Iterator[tuple[str, str, Status | None]]:
    """Files that the globs let through, as (path to open, table path, status if it is known)."""
    walk = storage.walk(given) if storage.is_url(given) and storage.is_dir(given) else _walk(given, follow_symlinks)
    for file, relative, status in walk:
        parts = [part for part in (lead, relative) if part] or [os.path.basename(storage.absolute(given))]
        path = table_path("/".join(parts))
        # A folder that can't be listed may hold what is wanted: no glob passes over it in silence.
        folder = not storage.is_url(file) and os.path.isdir(file)
        if not folder and not _selected(path, include, exclude):
            continue
        yield file, path, status


def table_path(path: str) -> str:
    """The text that stands for a path in every table.

    Bytes that are no UTF-8 become `\\xNN`; backslashes are doubled, so that no two files share a text.
    """
    return path.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def roots(inputs: Sequence[str]) -> dict[str, str]:
    """What leads the table paths of each input: its name, or, where names clash, as much of its absolute path as tells
    them apart. A directory given alone needs no lead. An input given twice counts once."""
    inputs = list({storage.real(given): given for given in reversed(inputs)}.values())[::-1]
    if len(inputs) == 1 and storage.is_dir(inputs[0]):
        return {"": inputs[0]}
    whole = [storage.absolute(given).replace(os.sep, "/") for given in inputs]
    parts = [[part for part in path.split("/") if part] or ["root"] for path in whole]
    lengths = [1] * len(parts)
    while True:
        tails = ["/".join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
        doubled = {tail for tail, count in Counter(tails).items() if count > 1}
        known = set(tails)
        doubled |= {tail for tail in tails if not known.isdisjoint(_heads(tail))}
        growing = [i for i, tail in enumerate(tails) if tail in doubled and lengths[i] < len(parts[i])]
        if not growing:
            return dict(zip(tails, inputs, strict=True))
        for i in growing:
            lengths[i] += 1


def _heads(path: str) -> Iterator[str]:
    """What a path lies under: `a` and `a/b` for `a/b/c`."""
    return (path[:place] for place, character in enumerate(path) if character == "/")


def _walk(given: str, follow_symlinks: bool) -> Iterator[tuple[str, str, None]]:
    """Files below an input as (path to open, path relative to the input, no status). A directory that can't be listed
    is passed on as if it were a file, so that it gets its row."""
    if storage.is_url(given) or not os.path.isdir(given):
        yield given, "", None
        return
    seen = {os.path.realpath(given)}
    pending = [(given, "")]
    while pending:
        directory, relative = pending.pop()
        try:
            entries = _entries(directory)
        except OSError:
            yield directory, relative, None
            continue
        for entry in entries:
            below = f"{relative}/{entry.name}" if relative else entry.name
            if entry.name.startswith(".") or (entry.is_symlink() and not follow_symlinks):
                continue
            if _is(entry.is_dir):
                real = os.path.realpath(entry.path)
                if real not in seen:
                    seen.add(real)
                    pending.append((entry.path, below))
            elif _is(entry.is_file):
                yield entry.path, below, None


def _is(question: Callable[[], bool]) -> bool:
    """The answer of a directory entry; no, where a link leads round or nowhere."""
    try:
        return question()
    except OSError:
        return False


def _entries(directory: str) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _selected(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    def matches(globs: Sequence[str]) -> bool:
        name = path.rsplit("/", 1)[-1]
        return any(fnmatchcase(path, glob) or fnmatchcase(name, glob) for glob in globs)

    return (not include or matches(include)) and not matches(exclude)


def _inspect(candidate: tuple[str, str, Status | None], given: str) -> Media | None:
    """The Media of a file, or None where it is none. `given`: the input; what the user named counts always."""
    file, path, status = candidate
    claimed = sniff.by_suffix(path)
    header, failure, size, modified = b"", None, 0, 0
    folder = not storage.is_url(file) and os.path.isdir(file)
    try:
        if folder:
            os.scandir(file).close()  # Raises what kept it from being listed.
        status = status or storage.status(file)
        size, modified = status.size_bytes, status.modified_ns
        # Of an empty object no store gives a range.
        header = storage.read_start(file, sniff.HEADER_BYTES) if size or not storage.is_url(file) else b""
    except OSError as error:
        failure = Failure(Stage.DISCOVER, Code.UNREADABLE, f"can't be read ({error.strerror or error})")
    kind = sniff.sniff(header)
    if kind is None and claimed is None and file != given and not folder:
        return None
    if failure is None and not header:
        failure = Failure(Stage.DISCOVER, Code.EMPTY_FILE, "the file is empty")
    elif failure is None and kind is None and claimed is None:
        failure = Failure(Stage.DISCOVER, Code.NOT_MEDIA, "neither its content nor its name is a known media type")
    if kind == "image" and sniff.may_be_animated(header) and sniff.is_animated(file):
        kind = "video"
    return Media(file, path, kind or claimed or "image", size, modified, failure)


def outside(directory: Path, inputs: Sequence[str]) -> bool:
    """Whether a directory lies in none of the inputs."""
    real = Path(storage.real(str(directory)))
    return not any(real == root or root in real.parents for root in (Path(storage.real(i)) for i in inputs))
