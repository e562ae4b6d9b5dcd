"""What FFmpeg and Pillow pass over in silence: a GIF that lost its end reads as a shorter one, and zeros in place of
the end, which a copy leaves that broke off, read as a gray or empty part of a picture."""

from __future__ import annotations

import os
from typing import BinaryIO

from fer_batch.media.sniff import HEIF_BRANDS
from fer_batch.records import Code, Failure, Stage
from fer_batch.storage import open_file

_START_BYTES = 12
_GIF, _GIF_TRAILER = b"GIF8", b"\x3b"  # GIF89a specification, section 27
_GIF_BYTES = 64
_JPEG, _JPEG_TRAILER = b"\xff\xd8\xff", b"\xff\xd9"
_MPEG_PROGRAM, _TS_SYNC = b"\0\0\x01\xba", b"G"
_PICTURE_BRANDS = HEIF_BRANDS | {b"avif"}
#: So many zeros at the end are none that an encoder wrote: bytes, and how many are looked at at a time.
_MIN_ZEROS, _BLOCK = 1024, 1 << 16


def missing_end(file: str) -> Failure | None:
    """A `truncated` failure where the end of a file is missing or zeros took its place.

    Zeros count in formats that are compressed and never padded with them, and in JPEG, which some cameras pad, where
    they follow anything but its last marker. Of other files than those and GIF nothing is said.

    Raises:
        OSError: The file can't be read.
    """
    with open_file(file) as stream:
        start = stream.read(_START_BYTES)
        if start.startswith(_GIF):
            message = None if _ends_as_gif(stream) else "its end is missing; pictures may be lost"
        elif start.startswith(_JPEG) or _is_never_padded(start):
            zeros = _zeros_at_end(stream)
            whole = start.startswith(_JPEG) and _bytes_before(stream, zeros, len(_JPEG_TRAILER)) == _JPEG_TRAILER
            message = None if whole or zeros < _MIN_ZEROS else f"its last {zeros} bytes are zeros: its end is missing"
        else:
            return None
    return None if message is None else Failure(Stage.DECODE, Code.TRUNCATED, message)


def _is_never_padded(start: bytes) -> bool:
    """Whether a file that begins so is WebP, AVIF, HEIC or a stream of MPEG packets."""
    if start[:4] == b"RIFF":
        return start[8:12] == b"WEBP"
    if start[4:8] == b"ftyp":
        return start[8:12] in _PICTURE_BRANDS
    return start.startswith((_TS_SYNC, _MPEG_PROGRAM)) or start[4:5] == _TS_SYNC


def _ends_as_gif(stream: BinaryIO) -> bool:
    """Whether the last byte is GIF's; zeros may follow it."""
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - _GIF_BYTES))
    return stream.read().rstrip(b"\0").endswith(_GIF_TRAILER)


def _zeros_at_end(stream: BinaryIO) -> int:
    """How many zeros a file ends with, 0 where they are too few to matter."""
    end, block = stream.seek(0, os.SEEK_END), _MIN_ZEROS
    zeros = 0
    while zeros < end:
        begin = max(0, end - zeros - block)
        stream.seek(begin)
        content = stream.read(end - zeros - begin)
        zeros += len(content) - len(content.rstrip(b"\0"))
        if zeros < end - begin:
            break
        block = _BLOCK
    return zeros if zeros >= _MIN_ZEROS else 0


def _bytes_before(stream: BinaryIO, zeros: int, count: int) -> bytes:
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - zeros - count))
    return stream.read(count)
