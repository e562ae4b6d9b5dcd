"""Looks for pictures of faces, and for vectors that a face could be known again by, in whatever a run leaves."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

#: How pictures begin, wherever they are hidden: JPEG, PNG, GIF, WebP, TIFF, and arrays by NumPy.
_SIGNATURES = re.compile(
    rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n|GIF8[79]a|RIFF.{4}WEBP|II\*\0\x08\0\0\0|\x93NUMPY", re.DOTALL
)
#: The same in base64, as in a `data:` URL, whatever it is called there.
_ENCODED = re.compile(r"data:image/(?!svg)|/9j/4|iVBORw0KGgo|R0lGOD|UklGR[A-Za-z0-9+/]{4}")
#: A 48x48 crop in base64 has 3072 characters, in hexadecimal 4608; a short embedding, 64 bytes, 88 or 128.
_CODE = re.compile(r"[A-Za-z0-9+/]{80,}={0,2}|[A-Za-z0-9_-]{80,}")
#: A crop spelled out has 2304 gray values, an embedding a hundred numbers and more.
_PIXELS = re.compile(r"(?:\b\d{1,3}\b[\s,;\[\]]+){1500}")
_NUMBERS = re.compile(r"(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[\s,;]+){100}")
#: What shows measures over time has rows of numbers: tables for spreadsheets, and a page with charts.
_ROWS_OF_NUMBERS = (".csv", ".html")
#: The longest text in a table: a path, or a message about it.
_LONGEST = 1200


def assert_no_pictures(folder: Path) -> None:
    """Raise AssertionError for a file in `folder` that holds a picture or a vector, or that nobody could tell of."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        if path.suffix == ".parquet":
            _check_table(path)
        else:
            _check_text(path)


def _check_table(path: Path) -> None:
    table = pq.read_table(path)
    for field in table.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        plain = any(
            check(kind)
            for check in (
                pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_timestamp,
                pa.types.is_string, pa.types.is_large_string, pa.types.is_null,
            )
        )  # fmt: skip
        assert plain, f"{path}: {field} is neither a number, a word nor a time"
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            for value in table[field.name].unique().to_pylist():
                assert value is None or len(value) < _LONGEST, f"{path}: {field.name} holds a long text"
                _check_words(value or "", f"{path}: {field.name}")
    numbers = [field.name for field in table.schema if pa.types.is_floating(field.type) and _is_numbered(field.name)]
    assert len(numbers) < 16, f"{path}: {numbers} may be a vector"
    for key, value in (table.schema.metadata or {}).items():
        assert key.startswith(b"fer_batch.") or key == b"pandas", f"{path}: unknown metadata {key!r}"
        _check_words(value.decode("utf-8"), f"{path}: metadata {key!r}")


def _is_numbered(name: str) -> bool:
    return re.fullmatch(r"\D*\d+", name) is not None


def _check_text(path: Path) -> None:
    content = path.read_bytes()
    assert not _SIGNATURES.search(content), f"{path}: holds a picture"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AssertionError(f"{path}: is no text, and no table either") from error
    assert not re.search(r"[\x00-\x08\x0e-\x1f]", text), f"{path}: is no text, and no table either"
    text = text.replace(_charts(), "")  # The library's own words of `data:image` are not what a run has seen.
    assert not _ENCODED.search(text), f"{path}: holds a picture in base64"
    if path.suffix not in _ROWS_OF_NUMBERS:
        assert not _NUMBERS.search(text), f"{path}: spells out a vector"
    # Programs that a page carries with it are the same whatever was seen.
    data = re.sub(r"<script(?![^>]*application/json)[^>]*>.*?</script>", "", text, flags=re.DOTALL)
    _check_words(data, str(path))


@cache
def _charts() -> str:
    """The script that draws the report's charts, the same in every report."""
    return (files("fer_batch.report") / "assets" / "echarts.min.js").read_text(encoding="utf-8")


def _check_words(text: str, where: str) -> None:
    assert not _ENCODED.search(text), f"{where}: holds a picture in base64"
    assert not _PIXELS.search(text), f"{where}: spells out a picture"
    for word in _CODE.findall(text):
        assert not _looks_encoded(word), f"{where}: holds a long code ({word[:20]}...)"


def _looks_encoded(word: str) -> bool:
    """Whether a long word mixes cases and digits as encoded bytes do. Paths and rows of dashes do not."""
    longest = max(word.split("/"), key=len)
    mixed = all(re.search(kind, longest) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return len(longest) >= 40 and (mixed or re.fullmatch("[0-9a-f]+", longest) is not None)
