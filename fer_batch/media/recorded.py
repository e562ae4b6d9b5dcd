"""When a picture or a video was recorded, by what the file says."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, date, datetime

from PIL import Image

#: Tags of the time and of its offset from UTC: of the recording, of digitizing, of the last change (Exif 3.0, 4.6).
_EXIF_TIMES = ((0x9003, 0x9011), (0x9004, 0x9012), (0x0132, 0x9010))
_EXIF_IFD = 0x8769
#: FFmpeg's names, the most telling first: Apple's states the time zone.
_CONTAINER_KEYS = ("com.apple.quicktime.creationdate", "creation_time", "date_recorded", "date")
#: What clocks that were never set count from.
_UNSET = (date(1904, 1, 1), date(1970, 1, 1))


def from_exif(image: Image.Image) -> datetime | None:
    """The time in UTC by the EXIF of an image, once that is loaded; None where it has none or can't be read.

    A time without an offset, as cameras without a time zone write it, is taken as UTC.
    """
    try:
        exif = image.getexif()
        tags = {**exif, **exif.get_ifd(_EXIF_IFD)}
    except (KeyError, OSError, SyntaxError, TypeError, ValueError, struct.error):  # Pillow's, on damaged EXIF.
        return None
    for time_tag, offset_tag in _EXIF_TIMES:
        day, _, time = str(tags.get(time_tag, "")).strip("\0 ").partition(" ")
        offset = str(tags.get(offset_tag, "")).strip("\0 ")
        if found := _parsed(f"{day.replace(':', '-')}T{time}{offset}") or _parsed(f"{day.replace(':', '-')}T{time}"):
            return found
    return None


def from_container(*metadata: Mapping[str, str]) -> datetime | None:
    """The time in UTC by the metadata of a container and of its stream, None where unknown."""
    for key in _CONTAINER_KEYS:
        for tags in metadata:
            value = next((text for name, text in tags.items() if name.lower() == key), "")
            if len(value) >= len("2026-01-01") and (found := _parsed(value)):
                return found
    return None


def _parsed(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.strip())
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None if time.date() in _UNSET else time
