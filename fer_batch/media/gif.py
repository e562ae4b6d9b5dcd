"""What FFmpeg and Pillow pass over in silence: a GIF that lost its end reads as a shorter one."""

from __future__ import annotations

import os

from fer_batch.records import Code, Failure, Stage
from fer_batch.storage import open_file

_TRAILER = b"\x3b"  # GIF89a specification, section 27
_LOOKED_AT = 64


def missing_end(file: str) -> Failure | None:
    """A `truncated` failure where a file is a GIF without its last byte; zeros may follow that. Raises OSError."""
    with open_file(file) as stream:
        if stream.read(4) != b"GIF8":
            return None
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LOOKED_AT))
        if stream.read().rstrip(b"\0").endswith(_TRAILER):
            return None
    return Failure(Stage.DECODE, Code.TRUNCATED, "its end is missing; pictures may be lost")
