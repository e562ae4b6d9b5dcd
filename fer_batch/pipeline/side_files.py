"""Recognizes what cameras, phones, network storage and programs write beside the media: smaller copies and previews of
the same pictures, unfinished downloads, backup copies."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from fer_batch import storage

#: Folders of Synology, QNAP and NetApp storage, of macOS archives and Windows disks, of Sony's and Panasonic's cards.
_FOLDERS = frozenset(
    [
        "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "~snapshot", "__macosx", "$recycle.bin",
        "system volume information", "thmbnl", "@tmp",
    ]
)  # fmt: skip
#: Jellyfin's and Emby's preview pictures, Lightroom's previews.
_FOLDER_SUFFIXES = (".trickplay", ".lrdata")
#: Folders below those of a camera card or a photo library that hold smaller copies.
_FOLDER_PATHS = re.compile(r"(^|/)(m4root/sub|contents/(proxy|icon)|[^/]*\.photoslibrary/resources/derivatives)$")
#: GoPro's and DJI's low-resolution videos and thumbnails; Canon's and Sony's thumbnails.
_SUFFIXES = (".lrv", ".lrf", ".thm", ".glv")
#: What browsers and FTP clients have not finished yet, and copies that programs keep of a file they change.
_UNFINISHED_OR_BACKUP = (".part", ".partial", ".filepart", ".crdownload", ".opdownload", ".bak", "~")
#: Insta360's low-resolution videos.
_PREFIXES = ("lrv_",)
#: Suffixes of the few moving seconds that belong to a photograph, and of photographs that have them.
_LIVE_MOVIES, _LIVE_PHOTOS = (".mov", ".mp4", ".mp"), (".heic", ".heif")
_JPEGS = (".jpg", ".jpeg")
#: What Apple writes into both halves of a Live Photo, and how much of either end of the movie is searched for it.
_LIVE_MARK, _LIVE_BYTES = b"com.apple.quicktime.content.identifier", 1 << 17


def is_side_folder(path: str) -> bool:
    """Whether a folder, by its table path, holds nothing but side files."""
    path = path.lower()
    name = path.rsplit("/", 1)[-1]
    return name in _FOLDERS or name.endswith(_FOLDER_SUFFIXES) or _FOLDER_PATHS.search(path) is not None


def is_side_file(file: str, siblings: Collection[str]) -> bool:
    """Whether a file is a side file: by its name, or as the movie of a Live Photo.

    Args:
        file: Path or URL to open.
        siblings: The names in its folder, in lower case.
    """
    name = os.path.basename(file).lower()
    stem, suffix = os.path.splitext(name)
    if suffix in _SUFFIXES or name.startswith(_PREFIXES) or name.endswith(_UNFINISHED_OR_BACKUP):
        return True
    if suffix not in _LIVE_MOVIES:
        return False
    if any(stem + photo in siblings or name + photo in siblings for photo in _LIVE_PHOTOS):
        return True
    if suffix == ".mp":  # Google's, beside IMG.MP.jpg.
        return any(name + photo in siblings for photo in _JPEGS)
    # JPEG and movie of one name are a Live Photo too, or two recordings: the movie tells.
    return any(stem + photo in siblings for photo in _JPEGS) and _is_live_movie(file)


def _is_live_movie(file: str) -> bool:
    try:
        start = storage.read_start(file, _LIVE_BYTES)
        return _LIVE_MARK in start or _LIVE_MARK in storage.read_end(file, _LIVE_BYTES)
    except OSError:  # Discovery tells of files that can't be read.
        return False
