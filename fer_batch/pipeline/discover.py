"""Find the media under the given paths: by content, hidden files left out, every file once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path

from fer_batch import storage
from fer_batch.globs import Globs, composed
from fer_batch.media import sniff
from fer_batch.pipeline.side_files import is_side_file, is_side_folder
from fer_batch.records import Code, Failure, Media, Stage
from fer_batch.stores import Status

#: Objects of a store that are looked at at the same time.
_REQUESTS = 32


@dataclass
class Discovery:
    """What was found under the inputs, and what was not taken.

    Attributes:
        media: Sorted by table path.
        side_files: Side files that were left out, by their suffix or folder.
        filtered: Files that the globs left out.
        unmatched: `include` globs that matched nothing.
    """

    media: list[Media] = field(default_factory=list)
    side_files: Counter[str] = field(default_factory=Counter)
    filtered: int = 0
    unmatched: list[str] = field(default_factory=list)


def discover(
    inputs: Sequence[str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    follow_symlinks: bool = False,
    all_files: bool = False,
) -> list[Media]:
    """All media under `inputs`, sorted by table path; see `survey`."""
    return survey(inputs, include, exclude, follow_symlinks, all_files).media


def survey(
    inputs: Sequence[str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    follow_symlinks: bool = False,
    all_files: bool = False,
) -> Discovery:
    """Find all media, and count what was left out.

    Inside directories a file counts when its first bytes or its name say that it is media; a file named in `inputs`
    counts always.

    Args:
        inputs: Files and directories, paths or URLs.
        include: Globs over the table path or the bare name, see `Globs`; empty for all.
        exclude: Likewise; a folder that one matches is not opened.
        follow_symlinks: Whether links found in directories are followed. No directory is entered twice.
        all_files: Whether to take side files of cameras and network storage too.
    """
    discovery = Discovery()
    includes = Globs(include)
    walk = _Walk(includes, Globs(exclude), follow_symlinks, all_files, discovery)
    found: dict[str, Media] = {}  # By real path: one file, one row, however many ways lead to it.
    for prefix, given in input_prefixes(inputs).items():
        inspect = partial(_inspect, given=given)
        if storage.is_url(given):  # Each look takes a request's time there and back, whatever the processor.
            with ThreadPoolExecutor(_REQUESTS) as pool:
                inspected = [*pool.map(inspect, walk(prefix, given))]
        else:
            inspected = [inspect(candidate) for candidate in walk(prefix, given)]
        for media in inspected:
            if media is not None:
                found.setdefault(storage.real(media.file), media)
    discovery.media = sorted(_with_distinct_paths(list(found.values())), key=lambda media: media.path)
    discovery.unmatched = includes.unmatched
    return discovery


def table_path(path: str) -> str:
    """The text that stands for a path in every table, in Unicode's composed form (NFC).

    Bytes that are no UTF-8 become `\\xNN`; backslashes are doubled, so that no two files share a text.
    """
    return composed(_as_text(path))


def _as_text(path: str) -> str:
    return path.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _with_distinct_paths(media: Sequence[Media]) -> Iterator[Media]:
    """Files whose names have the same Unicode normal form keep the form that each has on the disk."""
    counts = Counter(file.path for file in media)
    for file in media:
        if counts[file.path] > 1:
            name, raw = file.path.rsplit("/", 1)[-1], _as_text(os.path.basename(file.file))
            yield replace(file, path=file.path.removesuffix(name) + raw) if table_path(raw) == name else file
        else:
            yield file


def input_prefixes(inputs: Sequence[str]) -> dict[str, str]:
    """What the table paths of each input begin with: its name, or, where names clash, as much of its absolute path as
    tells them apart. A directory given alone needs no prefix. An input given twice counts once."""
    inputs = list({storage.real(given): given for given in reversed(inputs)}.values())[::-1]
    if len(inputs) == 1 and storage.is_dir(inputs[0]):
        return {"": inputs[0]}
    absolute = [storage.absolute(given).replace(os.sep, "/") for given in inputs]
    parts = [[part for part in path.split("/") if part] or ["root"] for path in absolute]
    lengths = [1] * len(parts)
    while True:
        prefixes = ["/".join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
        clashing = {prefix for prefix, count in Counter(prefixes).items() if count > 1}
        known = set(prefixes)
        clashing |= {prefix for prefix in prefixes if not known.isdisjoint(_parents(prefix))}
        growing = [i for i, prefix in enumerate(prefixes) if prefix in clashing and lengths[i] < len(parts[i])]
        if not growing:
            return dict(zip(prefixes, inputs, strict=True))
        for i in growing:
            lengths[i] += 1


def _parents(path: str) -> Iterator[str]:
    """The folders above a path: `a` and `a/b` for `a/b/c`."""
    return (path[:place] for place, character in enumerate(path) if character == "/")


@dataclass(frozen=True)
class _Walk:
    """Walks an input and gives its files as (path to open, table path, status if it is known)."""

    include: Globs
    exclude: Globs
    follow_symlinks: bool
    all_files: bool
    discovery: Discovery

    def __call__(self, prefix: str, given: str) -> Iterator[tuple[str, str, Status | None]]:
        is_folder = storage.is_dir(given)

        def to_table(relative: str) -> str:
            parts = [part for part in (prefix, relative) if part] or [os.path.basename(storage.absolute(given))]
            return table_path("/".join(parts))

        if not is_folder:
            files: Iterator[tuple[str, str, Status | None]] = iter([(given, "", None)])
        elif storage.is_url(given):
            files = storage.walk(given, prune=lambda relative: self._prunes(given, relative, to_table(relative)))
        else:
            files = self._local_files(given, to_table)
        for _, group in groupby(files, key=lambda found: os.path.dirname(found[1])):
            in_folder = list(group)
            siblings = frozenset(os.path.basename(file).lower() for file, *_ in in_folder)
            for file, relative, status in in_folder:
                path = to_table(relative)
                if status is None and not storage.is_url(file) and os.path.isdir(file):  # It could not be listed.
                    yield file, path, None
                elif is_folder and self._is_side_file(file, siblings):
                    continue
                elif self.exclude.match(path) or (self.include and not self.include.match(path)):
                    self.discovery.filtered += 1
                else:
                    yield file, path, status

    def _local_files(self, given: str, to_table: Callable[[str], str]) -> Iterator[tuple[str, str, None]]:
        """Files below a folder, with their paths relative to it. A folder that can't be listed is passed on as if it
        were a file, so that it gets its row."""
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
                if entry.name.startswith(".") or (entry.is_symlink() and not self.follow_symlinks):
                    continue
                if _is(entry.is_dir):
                    real = os.path.realpath(entry.path)
                    if real not in seen and not self._prunes(entry.path, below, to_table(below)):
                        seen.add(real)
                        pending.append((entry.path, below))
                elif _is(entry.is_file):
                    yield entry.path, below, None

    def _prunes(self, folder: str, relative: str, path: str) -> bool:
        """Whether a folder is left out without being opened, or but for counting what it holds."""
        if self.exclude.match_folder(path):
            return True
        if self.all_files or not is_side_folder(path):
            return False
        name = relative.rsplit("/", 1)[-1]
        kind = f"*{os.path.splitext(name)[1]}" if "." in name else name
        count = 1 if storage.is_url(folder) else sum(len(files) for *_, files in os.walk(folder))
        self.discovery.side_files[f"{kind}/"] += count
        return True

    def _is_side_file(self, file: str, siblings: frozenset[str]) -> bool:
        if self.all_files or not is_side_file(file, siblings):
            return False
        self.discovery.side_files[os.path.splitext(file)[1].lower()] += 1
        return True


def _is(question: Callable[[], bool]) -> bool:
    """The answer of a directory entry; no, where a link leads round or nowhere."""
    try:
        return question()
    except OSError:
        return False


def _entries(directory: str) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _inspect(candidate: tuple[str, str, Status | None], given: str) -> Media | None:
    """The Media of a file, or None where it is none. `given`: the input; what the user named counts always."""
    file, path, status = candidate
    claimed = sniff.type_by_suffix(path)
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
    media_type = sniff.sniff(header)
    if media_type is None and claimed is None and file != given and not folder:
        return None
    if failure is None and not header:
        failure = Failure(Stage.DISCOVER, Code.EMPTY_FILE, "the file is empty")
    elif failure is None and media_type is None and claimed is None:
        failure = Failure(Stage.DISCOVER, Code.NOT_MEDIA, "neither its content nor its name is a known media type")
    if media_type == "image" and (sniff.may_be_animated(header) and sniff.is_animated(file)):
        media_type = "video"
    if media_type == "image" and sniff.is_jpeg_sequence(path):
        media_type = "video"
    return Media(file, path, media_type or claimed or "image", size, modified, failure)


def outside(directory: Path, inputs: Sequence[str]) -> bool:
    """Whether a directory lies in none of the inputs."""
    real = Path(storage.real(str(directory)))
    return not any(real == root or root in real.parents for root in (Path(storage.real(i)) for i in inputs))
