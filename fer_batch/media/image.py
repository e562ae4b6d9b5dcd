"""Still pictures, by Pillow: bounded before they are decoded, upright, gray."""

from __future__ import annotations

import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_batch.records import Code, Frame, MediaError, MediaInfo, Stage

#: A picture with more pixels than this is refused; at 4 bytes a pixel it would take half a gigabyte a worker.
MAX_PIXELS = 128_000_000
#: JPEGs are decoded at a half, a quarter or an eighth of their size as long as this longest side is left: several
#: times what detectors are given, so that the crop still has its pixels.
JPEG_LONGEST_SIDE = 2560
_ORIENTATION_TAG = 0x0112
_SIDEWAYS = frozenset([5, 6, 7, 8])

# MAX_PIXELS is our own bound, checked before decoding, with a message of ours.
Image.MAX_IMAGE_PIXELS = None


def read_image(file: str, colour: bool = False) -> tuple[MediaInfo, Frame]:
    """Decode a still picture. Returns what its header says and one Frame without a time, on request with colour.

    EXIF orientation is applied; CMYK, palette and 16-bit pictures become 8-bit gray, transparency becomes white.
    Raises MediaError: `invalid_data`, `unsupported` or `too_large`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; only pixels matter here.
            with Image.open(file) as image:
                return _read(image, colour)
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        raise MediaError(Stage.DECODE, Code.INVALID_DATA, "not a picture, whatever its name says") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError, struct.error … on damaged files.
        raise MediaError(Stage.DECODE, Code.INVALID_DATA, f"damaged picture ({error})") from error


def _read(image: Image.Image, colour: bool) -> tuple[MediaInfo, Frame]:
    width, height = image.size
    if image.getexif().get(_ORIENTATION_TAG) in _SIDEWAYS:
        width, height = height, width
    if image.format == "JPEG":
        # Sets the decoder to the mode and to the smallest of 1, 1/2, 1/4, 1/8 that is not below the wanted size.
        scale = min(1.0, JPEG_LONGEST_SIDE / max(image.size))
        image.draft("RGB" if colour else "L", (max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    if image.width * image.height > MAX_PIXELS:
        megapixels = image.width * image.height / 1e6
        limit = MAX_PIXELS / 1e6
        message = f"{megapixels:.0f} megapixels, more than the limit of {limit:.0f}; make it smaller"
        raise MediaError(Stage.DECODE, Code.TOO_LARGE, message)
    codec = (image.format or "").lower() or None
    upright = flat(ImageOps.exif_transpose(image))
    bgr = np.ascontiguousarray(np.asarray(upright.convert("RGB"))[:, :, ::-1]) if colour else None
    return MediaInfo(width, height, None, codec), Frame(np.asarray(upright.convert("L")), width, height, None, bgr)


def flat(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit gray or RGB without transparency, mode `L` or `RGB`."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # Deep pictures often use only part of their range (12 bits in 16): the brightest pixel becomes 255.
        deep = np.asarray(image).astype(np.float32)
        deep -= min(float(deep.min()), 0.0)
        return Image.fromarray((deep * (255.0 / max(float(deep.max()), 1e-6))).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")
