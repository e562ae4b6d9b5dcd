"""What kind of media a file holds, told from its first bytes; the name only helps where they say nothing."""

from __future__ import annotations

from pathlib import PurePath

from fer_batch.records import MediaType
from fer_batch.storage import open_file

#: Bytes needed to tell a kind. MPEG transport streams repeat a sync byte every 188 bytes.
HEADER_BYTES = 512

# fmt: off
_IMAGE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
    ".jp2", ".pgm", ".ppm",
))
# Without .ts: TypeScript sources are called that too, and transport streams are told by their content.
_VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".vob", ".wmv",
    ".asf", ".flv", ".ogv", ".3gp", ".3g2", ".mxf", ".y4m",
))
# fmt: on
_IMAGE_BRANDS = frozenset([b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1"])
_AUDIO_BRANDS = frozenset([b"M4A ", b"M4B ", b"M4P "])


def sniff(header: bytes) -> MediaType | None:
    """The media type the first `HEADER_BYTES` of a file announce, or None where they announce none.

    GIF counts as an image here; whether it moves is only known once it is opened (see `is_animated`).
    """
    if header.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")):
        return "image"
    if header.startswith(b"BM") and header[6:10] == b"\0\0\0\0":
        return "image"
    if header.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"P5\n", b"P6\n", b"P5 ", b"P6 ")):
        return "image"
    if header.startswith(b"RIFF"):
        return {b"WEBP": "image", b"AVI ": "video"}.get(header[8:12])  # type: ignore[return-value]
    if header[4:8] == b"ftyp":
        return _sniff_iso_media(header[8:12])
    if header[4:8] in (b"moov", b"mdat", b"wide"):  # QuickTime before it had brands.
        return "video"
    if header.startswith((b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\x30\x26\xb2\x75", b"\0\0\x01\xba", b"YUV4MPEG2 ")):
        return "video"
    if header.startswith(b"\x06\x0e\x2b\x34\x02\x05\x01\x01"):  # MXF
        return "video"
    for packet, offset in ((188, 0), (192, 4)):  # MPEG-TS, and as camcorders write it with a time code in front.
        if len(header) > offset + 2 * packet and all(header[offset + i * packet] == 0x47 for i in range(3)):
            return "video"
    return None


def _sniff_iso_media(brand: bytes) -> MediaType | None:
    if brand in _IMAGE_BRANDS:
        return "image"
    return None if brand in _AUDIO_BRANDS else "video"


def by_suffix(name: str) -> MediaType | None:
    """The media type a file name claims, or None."""
    suffix = PurePath(name).suffix.lower()
    if suffix in _IMAGE_SUFFIXES:
        return "image"
    return "video" if suffix in _VIDEO_SUFFIXES else None


def may_be_animated(header: bytes) -> bool:
    """Whether a file with this header could hold a moving picture that announces itself as an image."""
    if header.startswith((b"GIF87a", b"GIF89a")):
        return True
    # Extended WebP: the second bit of the flags says that it moves (WebP container specification).
    return header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and len(header) > 20 and bool(header[20] & 0x02)


def is_animated(file: str) -> bool:
    """Whether a GIF or WebP holds more than one picture. A file that can't be read counts as still: decoding it
    will say what is wrong with it."""
    from PIL import Image

    try:
        with open_file(file) as stream, Image.open(stream) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # Pillow raises many types on damaged files; the decode stage reports them.
        return False
