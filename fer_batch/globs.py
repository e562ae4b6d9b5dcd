"""Globs over the names that files have in the tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase


class Globs:
    """Some globs over the table path or the bare name of files; `*` matches `/` too. File extensions match in any
    case, and composed and decomposed letters are the same."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._normal = [normal_form(pattern) for pattern in patterns]
        self._matched: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def match(self, path: str) -> bool:
        """Whether any of them matches a file."""
        path = normal_form(path)
        name = path.rsplit("/", 1)[-1]
        found = False
        for pattern, normal in zip(self.patterns, self._normal, strict=True):
            if fnmatchcase(path, normal) or fnmatchcase(name, normal):
                self._matched.add(pattern)
                found = True
        return found

    def match_folder(self, path: str) -> bool:
        """Whether any of them matches a folder, or all that lies in it: `lost+found`, `*/lost+found/*`."""
        path = composed(path)
        name = path.rsplit("/", 1)[-1]
        for pattern in self.patterns:
            folder = composed(pattern)
            while folder.endswith(("/*", "/**", "/")):
                folder = folder.rstrip("*").removesuffix("/")
            if folder and (fnmatchcase(path, folder) or fnmatchcase(name, folder)):
                self._matched.add(pattern)
                return True
        return False

    @property
    def unmatched(self) -> list[str]:
        """Those that have matched nothing so far."""
        return [pattern for pattern in self.patterns if pattern not in self._matched]


def composed(text: str) -> str:
    """A text with letters and accents composed (Unicode's NFC); some disks keep them apart."""
    return unicodedata.normalize("NFC", text)


def normal_form(text: str) -> str:
    """A path or glob in the form in which they are compared: composed, its extension in lower case."""
    stem, dot, extension = composed(text).rpartition(".")
    return f"{stem}{dot}{extension if '/' in extension or not dot else extension.lower()}"
