"""Find the media under the given paths: by content, hidden files left out, every file once."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from fer_batch.media import kinds
from fer_batch.records import Code, Failure, Media, Stage


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
        for file, relative in _walk(given, follow_symlinks):
            parts = [part for part in (lead, relative) if part] or [os.path.basename(os.path.abspath(given))]
            path = table_path("/".join(parts))
            # A folder that can't be listed may hold what is wanted: no glob passes over it in silence.
            if not os.path.isdir(file) and not _selected(path, include, exclude):
                continue
            real = os.path.realpath(file)
            if real not in found and (media := _inspect(file, path, named=file == given)) is not None:
                found[real] = media
    return sorted(found.values(), key=lambda media: media.path)


def table_path(path: str) -> str:
    """The text that stands for a path in every table.

    Bytes that are no UTF-8 become `\\xNN`; backslashes are doubled, so that no two files share a text.
    """
    return path.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def roots(inputs: Sequence[str]) -> dict[str, str]:
    """What leads the table paths of each input: its name, or, where names clash, as much of its absolute path as tells
    them apart. A directory given alone needs no lead. An input given twice counts once."""
    inputs = list({os.path.realpath(given): given for given in reversed(inputs)}.values())[::-1]
    if len(inputs) == 1 and os.path.isdir(inputs[0]):
        return {"": inputs[0]}
    parts = [[part for part in os.path.abspath(given).split(os.sep) if part] or ["root"] for given in inputs]
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


def _walk(given: str, follow_symlinks: bool) -> Iterator[tuple[str, str]]:
    """Files below an input as (path to open, path relative to the input). A directory that can't be listed is passed
    on as if it were a file, so that it gets its row."""
    if not os.path.isdir(given):
        yield given, ""
        return
    seen = {os.path.realpath(given)}
    pending = [(given, "")]
    while pending:
        directory, relative = pending.pop()
        try:
            entries = _entries(directory)
        except OSError:
            yield directory, relative
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
                yield entry.path, below


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


def _inspect(file: str, path: str, named: bool) -> Media | None:
    """The Media of a file, or None where it is none. `named`: the user gave this very path."""
    claimed = kinds.by_suffix(path)
    header, failure, size, modified = b"", None, 0, 0
    try:
        status = os.stat(file)
        size, modified = status.st_size, status.st_mtime_ns
        if stat.S_ISDIR(status.st_mode):
            os.scandir(file).close()  # Raises what kept it from being listed.
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        with open(file, "rb") as stream:
            header = stream.read(kinds.HEADER_BYTES)
    except OSError as error:
        failure = Failure(Stage.DISCOVER, Code.UNREADABLE, f"can't be read ({error.strerror or error})")
    kind = kinds.sniff(header)
    if kind is None and claimed is None and not named and not os.path.isdir(file):
        return None
    if failure is None and not header:
        failure = Failure(Stage.DISCOVER, Code.EMPTY_FILE, "the file is empty")
    elif failure is None and kind is None and claimed is None:
        failure = Failure(Stage.DISCOVER, Code.NOT_MEDIA, "neither its content nor its name is a known media type")
    if kind == "image" and kinds.may_be_animated(header) and kinds.is_animated(file):
        kind = "video"
    return Media(file, path, kind or claimed or "image", size, modified, failure)


def outside(directory: Path, inputs: Sequence[str]) -> bool:
    """Whether a directory lies in none of the inputs."""
    real = Path(os.path.realpath(directory))
    return not any(real == root or root in real.parents for root in (Path(os.path.realpath(i)) for i in inputs))
