"""Still pictures, by Pillow and libheif: bounded before they are decoded, upright, gray."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError, features

from fer_batch.media.missing_end import missing_end
from fer_batch.media.orientation import is_sideways, upright
from fer_batch.media.raw_photo import is_raw_photo, largest_preview
from fer_batch.media.recorded import from_exif
from fer_batch.media.sniff import HEIF_BRANDS
from fer_batch.records import Code, Failure, Frame, MediaError, MediaInfo, Stage
from fer_batch.storage import open_file

#: A picture with more pixels than this is refused; at 4 bytes a pixel it would take half a gigabyte a worker.
MAX_PIXELS = 128_000_000
#: JPEGs are decoded at a half, a quarter or an eighth of their size as long as this longest side is left: several
#: times what detectors are given, so that the crop still has its pixels.
JPEG_LONGEST_SIDE = 2560
#: Share of pixels of one value above which a picture that was cut off holds little more than its header.
_EMPTY_SHARE = 0.99
#: Bytes by which formats are told that Pillow does not tell apart or does not know.
_HEADER_BYTES = 32
_ORIENTATION_TAG = 0x0112
#: TIFF's tag for what a picture in the file is, and the bits of a reduced copy and of a mask (TIFF 6.0, section 8).
_NEW_SUBFILE_TYPE, _NOT_A_PAGE = 254, 0b101
#: Formats that hold a JPEG first, for Pillow: MPO is a phone's or a stereo camera's JPEG with others behind it.
_JPEGS = ("JPEG", "MPO")
#: The first chunk of a PNG in Apple's own form, which is none by the standard.
_APPLE_PNG = b"CgBI"


@contextmanager
def own_pixel_limit() -> Iterator[None]:
    """Pillow's limit is off in the block: MAX_PIXELS is checked before decoding, with a message of ours, and Pillow's
    does not know that large JPEGs are decoded at a reduced size. It stays on for the program that uses us."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def read_image(file: str, colour: bool = False) -> tuple[MediaInfo, Frame, Failure | None]:
    """Decode a still picture.

    EXIF orientation is applied; CMYK, palette and 16-bit pictures become 8-bit gray, transparency becomes white. Of a
    raw photograph the largest embedded JPEG is read. Of a file that lost its end, what is there is kept.

    Args:
        file: Path or URL.
        colour: Whether the Frame gets its `bgr`.

    Returns:
        What its header says, one Frame without a time, and what was lost, if anything was: `truncated`.

    Raises:
        MediaError: `invalid_data`, `unsupported` or `too_large`.
        OSError: The file can't be opened.
    """
    # Opened here: by name Pillow maps the file into memory, and garbles uncompressed TIFFs that lie on their side.
    with open_file(file) as stream:
        header = stream.read(_HEADER_BYTES)
        try:
            with own_pixel_limit(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of odd metadata; only pixels matter here.
                return _read_any(stream, header, file, colour)
        except UnidentifiedImageError as error:
            raise _unidentified(header) from error
        except (MediaError, MemoryError):
            raise
        except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError, struct.error … on damaged files.
            raise MediaError(Stage.DECODE, Code.INVALID_DATA, f"damaged picture ({error})") from error


def _read_any(stream: BinaryIO, header: bytes, file: str, colour: bool) -> tuple[MediaInfo, Frame, Failure | None]:
    source, orientation = stream, None
    if header[12:16] == _APPLE_PNG:  # Pillow would call it damaged.
        message = "no decoder for PNG as Xcode packs it for iPhones (CgBI); convert it to a plain PNG"
        raise MediaError(Stage.DECODE, Code.UNSUPPORTED, message)
    if header[4:8] == b"ftyp" and header[8:12] in HEIF_BRANDS:
        _register_heif()
    if is_raw_photo(header, file) or _is_raw_tiff(stream, header, file):
        source, orientation = largest_preview(stream)  # type: ignore[assignment]
    try:
        info, frame = _decode(source, orientation, colour)
    except OSError as error:
        if "truncated" not in str(error).lower():
            raise
        with _truncated_images_allowed():
            info, frame = _decode(source, orientation, colour)
        if (frame.luma == frame.luma[-1, -1]).mean() > _EMPTY_SHARE:
            raise
        failure = Failure(Stage.DECODE, Code.TRUNCATED, "its end is missing; the rest of the picture was read")
        return info, frame, failure
    return info, frame, missing_end(file) or (_other_pages(stream) if info.codec == "tiff" else None)


def _other_pages(stream: BinaryIO) -> Failure | None:
    """That a TIFF has more pages than the first, which is read. Reduced copies of a page and masks are none."""
    stream.seek(0)
    with Image.open(stream) as image:
        pages = 0
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            pages += not image.tag_v2.get(_NEW_SUBFILE_TYPE, 0) & _NOT_A_PAGE  # type: ignore[attr-defined]
    if pages < 2:
        return None
    message = f"page 1 of {pages} was read, the others not; split it into a file for each page"
    return Failure(Stage.DECODE, Code.OTHER_PAGES, message)


@cache
def _register_heif() -> None:
    """Have Pillow open HEIC and HEIF. Imported late: few folders hold any."""
    from pi_heif import register_heif_opener

    # One thread, as everywhere in a worker; nothing but the picture itself is wanted.
    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)


def _is_raw_tiff(stream: BinaryIO, header: bytes, file: str) -> bool:
    if header[:4] not in (b"II*\0", b"MM\0*"):
        return False
    stream.seek(0)
    with Image.open(stream) as image:
        return is_raw_photo(header, file, getattr(image, "tag_v2", None))


def _unidentified(header: bytes) -> MediaError:
    """Why Pillow knows no format for a file that begins so."""
    if header[4:8] == b"ftyp" and header[8:12] in (b"avif", b"avis") and features.check("avif"):
        return MediaError(Stage.DECODE, Code.INVALID_DATA, "not a picture, whatever its name says")
    if header[4:8] == b"ftyp" and header[8:12] in HEIF_BRANDS:
        return MediaError(Stage.DECODE, Code.INVALID_DATA, "damaged picture (not readable as HEIF)")
    if header[4:8] in (b"ftyp", b"JXL ") or header.startswith((b"\x76\x2f\x31\x01", b"II\xbc\x01", b"\xff\x0a")):
        message = "no decoder for this picture format; convert it to JPEG, PNG or TIFF"
        return MediaError(Stage.DECODE, Code.UNSUPPORTED, message)
    return MediaError(Stage.DECODE, Code.INVALID_DATA, "not a picture, whatever its name says")


@contextmanager
def _truncated_images_allowed() -> Iterator[None]:
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _decode(stream: BinaryIO, orientation: int | None, colour: bool) -> tuple[MediaInfo, Frame]:
    """Decode what Pillow opens. `orientation`: EXIF's number, where the picture itself does not say."""
    stream.seek(0)
    with Image.open(stream) as image:
        width, height = image.size
        _choose_size(image, colour)
        codec = (image.format or "").lower() or None
        image.load()  # Before the EXIF is read: PNG keeps it behind the pixels, and a TIFF is turned by Pillow itself.
        turn = _orientation(image, stream) or orientation
        if is_sideways(turn):
            width, height = height, width
        recorded_at = from_exif(image)
        frame = frame_from_image(image, colour, turn)
    return MediaInfo(width, height, None, codec, recorded_at), replace(frame, width=width, height=height)


def frame_from_image(image: Image.Image, colour: bool, turn: int | None = None) -> Frame:
    """A Pillow image as a frame without a time.

    Args:
        image: Of any mode; see `flat`.
        colour: Whether the Frame gets its `bgr`.
        turn: EXIF's number of how the picture is to be turned upright; None: it is upright.
    """
    flattened = flat(image)
    luma = upright(np.asarray(flattened.convert("L")), turn)
    bgr = upright(np.asarray(flattened.convert("RGB"))[:, :, ::-1], turn) if colour else None
    return Frame(luma, luma.shape[1], luma.shape[0], None, bgr)


def frame_from_bgr(bgr: NDArray[np.uint8], colour: bool) -> Frame:
    """An upright picture, uint8 (h, w, 3), BGR, as a frame without a time. `colour`: whether the frame gets its
    `bgr`."""
    luma = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)
    return Frame(luma, luma.shape[1], luma.shape[0], None, bgr if colour else None)


def _choose_size(image: Image.Image, colour: bool) -> None:
    """Have a large JPEG decoded at a reduced size. Raises MediaError `too_large` where there are too many pixels."""
    width, height = image.size
    if image.format in _JPEGS:
        # Sets the decoder to the mode and to the smallest of 1, 1/2, 1/4, 1/8 that is not below the wanted size.
        scale = min(1.0, JPEG_LONGEST_SIDE / max(image.size))
        image.draft("RGB" if colour else "L", (max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    # Of a progressive JPEG, libjpeg holds the coefficients at full size.
    pixels = width * height if "progressive" in image.info else image.width * image.height
    if pixels > MAX_PIXELS:
        message = f"{pixels / 1e6:.0f} megapixels, more than the limit of {MAX_PIXELS / 1e6:.0f}; make it smaller"
        raise MediaError(Stage.DECODE, Code.TOO_LARGE, message)


def _orientation(image: Image.Image, stream: BinaryIO) -> int | None:
    """EXIF's number of how the decoded picture is still to be turned, None where it does not say."""
    if image.format != "HEIF":
        found: int | None = image.getexif().get(_ORIENTATION_TAG)
        return found
    # libheif has applied the container's own turn; EXIF only counts where there is none (ISO/IEC 23008-12, 6.5.10).
    return None if _has_heif_transform(stream) else image.info.get("original_orientation")


def _has_heif_transform(stream: BinaryIO) -> bool:
    """Whether an HEIF file has a property that turns or mirrors: `irot` or `imir`, within its box `meta`."""
    stream.seek(0)
    while len(header := stream.read(8)) == 8:
        size = int.from_bytes(header[:4], "big")
        if header[4:] == b"meta":
            meta = stream.read(max(0, size - 8))
            return b"irot" in meta or b"imir" in meta
        if size < 8:
            break
        stream.seek(size - 8, 1)
    return False


def flat(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit gray or RGB without transparency, mode `L` or `RGB`."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # Deep pictures often use only part of their range (12 bits in 16): the brightest pixel becomes 255.
        deep = np.asarray(image).astype(np.float32)
        deep[~np.isfinite(deep)] = 0.0
        deep -= min(float(deep.min()), 0.0)
        return Image.fromarray((deep * (255.0 / max(float(deep.max()), 1e-6))).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")  # Pillow has no direct way.
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")
