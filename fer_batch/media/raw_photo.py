"""Cameras' raw photographs: found by content or name, and read as the largest JPEG that lies within them."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, BinaryIO

from fer_batch.media.sniff import RAW_PHOTO_SUFFIXES
from fer_batch.records import Code, MediaError, Stage

#: A preview whose longest side is no longer than this is a thumbnail: too small to find faces in.
_THUMBNAIL_SIDE = 320
#: First bytes of those that are no TIFF: Fujifilm's, Panasonic's, Olympus's, Sigma's, Minolta's, Canon's CRW.
_MAGIC = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")
_TIFF = (b"II*\0", b"MM\0*")
_NEW_SUBFILE_TYPE, _ORIENTATION, _SUB_IFDS, _DNG_VERSION = 254, 274, 330, 50706
#: JPEG's frame headers that libjpeg decodes: baseline, extended, progressive. Raw data are often lossless JPEG, 0xC3.
_FRAME_HEADERS = (0xC0, 0xC1, 0xC2)
_ANY_FRAME_HEADER = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def is_raw_photo(header: bytes, name: str, tiff_tags: Any = None) -> bool:
    """Whether a file is a raw photograph.

    Args:
        header: Its first bytes, 32 or more.
        name: Its name; the suffix counts where the content is a TIFF.
        tiff_tags: The tags of its first directory, where it was opened as a TIFF.
    """
    if header.startswith(_MAGIC) or header[4:12] == b"ftypcrx ":
        return True
    if not header.startswith(_TIFF):
        return False
    if header[8:10] == b"CR" or name.lower().endswith(tuple(RAW_PHOTO_SUFFIXES)):
        return True
    tags = tiff_tags or {}
    # The first directory is a reduced picture, and others hang below it: how NEF, ARW and DNG are built.
    return _DNG_VERSION in tags or (tags.get(_NEW_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags)


def largest_preview(stream: BinaryIO) -> tuple[BytesIO, int]:
    """The largest embedded JPEG of a raw photograph, and the EXIF orientation that the camera gave.

    Raises:
        MediaError: `unsupported` where there is none larger than a thumbnail.
    """
    stream.seek(0)
    content = stream.read()
    largest, place = 0, -1
    start = content.find(b"\xff\xd8\xff")
    while start >= 0:
        width, height = _jpeg_size(content, start)
        if max(width, height) > _THUMBNAIL_SIDE and width * height > largest:
            largest, place = width * height, start
        start = content.find(b"\xff\xd8\xff", start + 2)
    if place < 0:
        message = "a raw photograph without an embedded picture to read; develop it to JPEG or TIFF first"
        raise MediaError(Stage.DECODE, Code.UNSUPPORTED, message)
    return BytesIO(content[place:]), _orientation(content)


def _jpeg_size(content: bytes, start: int) -> tuple[int, int]:
    """Width and height that a JPEG at `start` states; zeros where it is none, or of a kind that can't be decoded."""
    place = start + 2
    while place + 9 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in _ANY_FRAME_HEADER:
            precision, height, width = struct.unpack(">BHH", content[place + 4 : place + 9])
            return (width, height) if marker in _FRAME_HEADERS and precision == 8 else (0, 0)
        if marker in (0xD8, 0xD9, 0xDA, 0x00):
            return 0, 0
        place += 2 + int(struct.unpack(">H", content[place + 2 : place + 4])[0])
    return 0, 0


def _orientation(content: bytes) -> int:
    """The orientation in the first TIFF directory, of the file itself or, in a CR3, of its box CMT1."""
    start = 0
    if not content.startswith(_TIFF):
        box = content.find(b"CMT1", 0, 1 << 20)
        start = box + 4 if box >= 0 else 0
    order = {b"II": "<", b"MM": ">"}.get(content[start : start + 2])
    if order is None or start + 8 > len(content):
        return 1
    directory = start + struct.unpack(f"{order}I", content[start + 4 : start + 8])[0]
    if directory + 2 > len(content):
        return 1
    (count,) = struct.unpack(f"{order}H", content[directory : directory + 2])
    for index in range(count):
        entry = content[directory + 2 + 12 * index : directory + 14 + 12 * index]
        if len(entry) == 12 and struct.unpack(f"{order}H", entry[:2])[0] == _ORIENTATION:
            return int(struct.unpack(f"{order}H", entry[8:10])[0])
    return 1
