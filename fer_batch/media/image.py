"""Still pictures, by Pillow: bounded before they are decoded, upright, gray."""

from __future__ import annotations

import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from fer_batch.records import Code, Frame, MediaError, MediaInfo, Stage
from fer_batch.storage import open_file

#: A picture with more pixels than this is refused; at 4 bytes a pixel it would take half a gigabyte a worker.
MAX_PIXELS = 128_000_000
#: JPEGs are decoded at a half, a quarter or an eighth of their size as long as this longest side is left: several
#: times what detectors are given, so that the crop still has its pixels.
JPEG_LONGEST_SIDE = 2560
_ORIENTATION_TAG = 0x0112
_SIDEWAYS = frozenset([5, 6, 7, 8])
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# MAX_PIXELS is our own bound, checked before decoding, with a message of ours.
Image.MAX_IMAGE_PIXELS = None


def read_image(file: str, colour: bool = False) -> tuple[MediaInfo, Frame]:
    """Decode a still picture. Returns what its header says and one Frame without a time, on request with colour.

    EXIF orientation is applied; CMYK, palette and 16-bit pictures become 8-bit gray, transparency becomes white.
    Raises MediaError: `invalid_data`, `unsupported` or `too_large`; OSError where the file can't be opened.
    """
    # Opened here: by name Pillow maps the file into memory, and garbles uncompressed TIFFs that lie on their side.
    with open_file(file) as stream:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of odd metadata; only pixels matter here.
                with Image.open(stream) as image:
                    return _read(image, colour)
        except MediaError:
            raise
        except UnidentifiedImageError as error:
            stream.seek(4)
            if _is_beyond_pillow(stream.read(8)):
                message = "Pillow has no decoder for this format (HEIC, or AVIF where it was built without)"
                raise MediaError(Stage.DECODE, Code.UNSUPPORTED, message) from error
            raise MediaError(Stage.DECODE, Code.INVALID_DATA, "not a picture, whatever its name says") from error
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError, struct.error … on damaged files.
            raise MediaError(Stage.DECODE, Code.INVALID_DATA, f"damaged picture ({error})") from error


def _is_beyond_pillow(brand: bytes) -> bool:
    """Whether these bytes, the fifth and on of a file, are of a kind that Pillow was built without, damaged or not."""
    return brand[:4] == b"ftyp" and not (brand[4:] in (b"avif", b"avis") and features.check("avif"))


def _read(image: Image.Image, colour: bool) -> tuple[MediaInfo, Frame]:
    width, height = image.size
    if image.format == "JPEG":
        # Sets the decoder to the mode and to the smallest of 1, 1/2, 1/4, 1/8 that is not below the wanted size.
        scale = min(1.0, JPEG_LONGEST_SIDE / max(image.size))
        image.draft("RGB" if colour else "L", (max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    # Of a progressive JPEG, libjpeg holds the coefficients at full size.
    pixels = width * height if "progressive" in image.info else image.width * image.height
    if pixels > MAX_PIXELS:
        megapixels = pixels / 1e6
        limit = MAX_PIXELS / 1e6
        message = f"{megapixels:.0f} megapixels, more than the limit of {limit:.0f}; make it smaller"
        raise MediaError(Stage.DECODE, Code.TOO_LARGE, message)
    codec = (image.format or "").lower() or None
    image.load()  # Before the EXIF is read: PNG keeps it behind the pixels, and a TIFF is turned by Pillow itself.
    orientation = image.getexif().get(_ORIENTATION_TAG)
    if orientation in _SIDEWAYS:
        width, height = height, width
    # Not ImageOps.exif_transpose: it writes the other tags anew and fails on odd ones.
    upright = flat(image.transpose(_TURNS[orientation]) if orientation in _TURNS else image)
    bgr = np.ascontiguousarray(np.asarray(upright.convert("RGB"))[:, :, ::-1]) if colour else None
    return MediaInfo(width, height, None, codec), Frame(np.asarray(upright.convert("L")), width, height, None, bgr)


def flat(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit gray or RGB without transparency, mode `L` or `RGB`."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # Deep pictures often use only part of their range (12 bits in 16): the brightest pixel becomes 255.
        deep = np.asarray(image).astype(np.float32)
        deep[~np.isfinite(deep)] = 0.0
        deep -= min(float(deep.min()), 0.0)
        return Image.fromarray((deep * (255.0 / max(float(deep.max()), 1e-6))).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")
