"""The check that keeps pictures out of what runs leave finds them wherever they hide, and lets everything else be."""

from __future__ import annotations

import io
import json
from base64 import b64encode as base64_of
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.helpers.clips import SAMPLES
from tests.helpers.privacy import assert_no_pictures

CROP = np.asarray(Image.open(SAMPLES / "photos" / "astronaut.jpg").convert("L").resize((48, 48)))
VECTOR = np.random.default_rng(0).normal(size=128)


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(CROP).save(stream, kind)
    return stream.getvalue()


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def table(values: pa.Array, name: str = "x") -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({name: values}), stream)
    return stream.getvalue()


def text_of(values: np.ndarray) -> str:
    return json.dumps(values.ravel().tolist())


HIDDEN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a photograph under another name": ("notes.txt", lambda: encoded("JPEG")),
    "a picture behind a text": ("run.json", lambda: b"{}\n" + encoded("PNG")),
    "raw gray values": ("cache.bin", lambda: CROP.tobytes()),
    "an array": ("x.npy", lambda: saved(VECTOR)),
    "a picture in a page": ("report.html", lambda: b"<img src='data:image/png;base64," + base64_of(encoded("PNG"))),
    "a picture a script makes": ("report.html", lambda: b"<script>a='" + base64_of(encoded("JPEG")) + b"'</script>"),
    "gray values in base64": ("report.html", lambda: b"<p title='" + base64_of(CROP.tobytes()) + b"'>"),
    "gray values in hexadecimal": ("log", lambda: CROP.tobytes().hex().encode()),
    "gray values spelled out": ("report.html", lambda: text_of(CROP).encode()),
    "gray values in a page's data": (
        "report.html",
        lambda: b'<script type="application/json">' + text_of(CROP).encode() + b"</script>",
    ),
    "an embedding spelled out": ("run.json", lambda: text_of(VECTOR).encode()),
    "a column of bytes": ("a.parquet", lambda: table(pa.array([CROP.tobytes()]))),
    "a column of lists": ("a.parquet", lambda: table(pa.array([VECTOR.tolist()]))),
    "an embedding, number by number": (
        "a.parquet",
        lambda: table(pa.StructArray.from_arrays([pa.array([v]) for v in VECTOR], [f"e{n}" for n in range(128)])),
    ),
    "a column of codes": ("a.parquet", lambda: table(pa.array([base64_of(CROP.tobytes()).decode()]))),
    "an embedding in base64": ("a.parquet", lambda: table(pa.array([base64_of(VECTOR.tobytes()).decode()]))),
}  # fmt: skip


@pytest.mark.parametrize("what", HIDDEN)
def test_hidden_pictures_are_found(tmp_path: Path, what: str) -> None:
    name, content = HIDDEN[what]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / name).write_bytes(content())
    with pytest.raises(AssertionError, match=name):
        assert_no_pictures(tmp_path)


def test_an_embedding_in_columns_is_found(tmp_path: Path) -> None:
    pq.write_table(pa.table({f"e{number}": [value] for number, value in enumerate(VECTOR)}), tmp_path / "a.parquet")
    with pytest.raises(AssertionError, match="may be a vector"):
        assert_no_pictures(tmp_path)


def test_what_reports_hold_is_let_be(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("media_path,happy\n" + "a.mp4,0.25\n" * 1000)
    (tmp_path / "run.json").write_text(json.dumps({"sha256": "0f" * 32, "folder": "/home/Someone/films/2024/" * 4}))
    series = json.dumps({"happy": (VECTOR.repeat(20).round(3) / 10).tolist(), "t": list(range(0, 26000, 10))})
    (tmp_path / "report.html").write_text(f"<svg/><script>var chart = 1</script><script>{series}</script>")
    pq.write_table(pa.table({"media_path": ["a.mp4"], "happy": [0.5]}), tmp_path / "a.parquet")
    assert_no_pictures(tmp_path)
