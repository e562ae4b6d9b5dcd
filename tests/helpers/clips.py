"""Makes the odd pictures and clips that the tests read.

Every frame shows its own number in black and white blocks, large enough to survive compression, so a test can tell
whether the right picture has the right time. The blocks read wrongly when a picture lies on its side.
"""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = (64, 48)  # width and height in pixels
BLOCKS = (4, 2)  # blocks across and down: eight binary digits, the lowest in the upper left
DARK, BRIGHT = 32, 224

SAMPLES = Path(__file__).resolve().parents[2] / "sample_media"


def numbered(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """The gray picture of a number below 256, uint8 (h, w)."""
    width, height = size
    digits = np.array([number >> place & 1 for place in range(BLOCKS[0] * BLOCKS[1])]).reshape(BLOCKS[::-1])
    block = np.ones((height // BLOCKS[1], width // BLOCKS[0]))
    return np.kron(DARK + (BRIGHT - DARK) * digits, block).astype(np.uint8)


def number_in(luma: NDArray[np.uint8]) -> int:
    """The number that a picture of `numbered` shows, at whatever size."""
    height, width = luma.shape
    digits = 0
    for place in range(BLOCKS[0] * BLOCKS[1]):
        down, across = divmod(place, BLOCKS[0])
        y, x = (2 * down + 1) * height // (2 * BLOCKS[1]), (2 * across + 1) * width // (2 * BLOCKS[0])
        middle = luma[y - height // 12 : y + height // 12 + 1, x - width // 24 : x + width // 24 + 1]
        digits |= int(middle.mean() > (DARK + BRIGHT) / 2) << place
    return digits


def steady(rate: int | Fraction, count: int) -> list[Fraction]:
    """The times, in seconds, of `count` frames at so many a second."""
    return [index / Fraction(rate) for index in range(count)]


#: Clips by what they were made of: many cases read the same one.
_ENCODED: dict[tuple[object, ...], bytes] = {}
_MAX_KEPT = 1_000_000


def make_video(
    path: Path, times: Sequence[Fraction | float], *, shown: Sequence[NDArray[np.uint8]] | None = None, **options: Any
) -> Path:
    """Write a clip as `_encode` does; one that was written before is copied."""
    pictures = None if shown is None else hashlib.sha256(b"".join(picture.tobytes() for picture in shown)).digest()
    shapes = None if shown is None else tuple(picture.shape for picture in shown)
    key = (path.suffix, tuple(map(Fraction, times)), tuple(sorted(options.items())), pictures, shapes)
    if key in _ENCODED:
        path.write_bytes(_ENCODED[key])
        return path
    _encode(path, times, shown=shown, **options)
    if path.stat().st_size <= _MAX_KEPT:
        _ENCODED[key] = path.read_bytes()
    return path


def _encode(
    path: Path,
    times: Sequence[Fraction | float],
    *,
    codec: str = "libx264",
    tick: Fraction = Fraction(1, 90000),
    rate: Fraction = Fraction(25),
    size: tuple[int, int] = SIZE,
    gop: int = 12,
    b_frames: int = 0,
    rotation: int = 0,
    pixel_format: str = "yuv420p",
    container: str | None = None,
    faststart: bool = False,
    open_gop: bool = False,
    shown: Sequence[NDArray[np.uint8]] | None = None,
) -> None:
    """Write a clip whose nth frame shows n, or the nth gray picture of `shown`, at the nth of `times` (seconds).

    `tick`: resolution of the encoder's time stamps in seconds; `rate`: the frame rate it is told. `gop`: frames from
    one key frame to the next; none of the B frames is a reference. `open_gop`: B frames may lie before the key frame
    that they follow in the file. `rotation`: degrees counter-clockwise that a player
    turns the picture, which is stored lying accordingly.
    """
    options = {"threads": "1"}
    if codec == "libx264":
        x264 = f"bframes={b_frames}:b-adapt=0:b-pyramid=0:scenecut=0:keyint={gop}:min-keyint={gop}"
        x264 += f":open-gop={open_gop:d}"
        options |= {"preset": "veryfast", "x264-params": x264}
    elif codec == "libx265":
        options |= {"preset": "ultrafast", "x265-params": "log-level=none"}
    elif codec == "libvpx-vp9":
        options |= {"cpu-used": "8", "deadline": "realtime"}
    muxer = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", format=container, options=muxer) as output:
        stream = output.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        stream.time_base = stream.codec_context.time_base = tick
        if rotation:
            stream.set_display_rotation(rotation)
        output.start_encoding()  # Or a clip without frames would be no file.
        for index, time in enumerate(times):
            upright = shown[index] if shown else numbered(index, size if rotation % 180 == 0 else size[::-1])
            stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
            frame = av.VideoFrame.from_ndarray(stored, format="gray").reformat(format=pixel_format)
            frame.pts, frame.time_base = round(Fraction(time) / tick), tick
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def face(size: tuple[int, int], shift: int = 0) -> NDArray[np.uint8]:
    """The gray picture of a face that stands `shift` pixels to the right; uint8 (h, w)."""
    photograph = Image.open(SAMPLES / "photos" / "astronaut.jpg").convert("L").resize((size[1], size[1]))
    ground = Image.new("L", size, 90)
    ground.paste(photograph, (shift, 0))
    return np.asarray(ground)


def make_hdr(path: Path, transfer: str, codec: str, count: int = 5) -> Path:
    """Write a face in 10 bits by BT.2100's `pq` or `hlg`, tagged so; white is 203 cd/m2 (ITU-R BT.2408), for HLG on a
    screen of 1000."""
    gray = face((320, 240)) / 255.0
    light = np.where(gray <= 0.04045, gray / 12.92, ((gray + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    if transfer == "pq":
        power = (light * 203 / 10_000) ** 0.1593017578125
        signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        scene = (light * 203 / 1000) ** (1 / 1.2)
        logarithmic = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-6)) + 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), logarithmic)
    luma = np.round(64 + 876 * signal).astype(np.uint16)
    planes = np.concatenate([luma, np.full((120, 320), 512, np.uint16)])
    options = {"libx265": {"preset": "ultrafast", "x265-params": "log-level=none"}, "libsvtav1": {"preset": "12"}}[
        codec
    ]
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        (stream.width, stream.height), stream.pix_fmt = (320, 240), "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.colorspace, context.color_trc = 9, 9, 16 if transfer == "pq" else 18
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p10le")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            frame.color_primaries, frame.colorspace, frame.color_trc = 9, 9, context.color_trc
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def make_interlaced(path: Path, count: int, speed: int = 3) -> Path:
    """Write a face that moves `speed` pixels from each field to the next, 50 fields a second, upper field first."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"threads": "1", "x264-params": "tff=1"})
        (stream.width, stream.height), stream.pix_fmt = (320, 240), "yuv420p"
        for index in range(count):
            woven = face((320, 240), 2 * speed * index).copy()
            woven[1::2] = face((320, 240), 2 * speed * index + speed)[1::2]
            frame = av.VideoFrame.from_ndarray(woven, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def make_audio(path: Path, seconds: float = 0.5, cover: bool = False) -> Path:
    """Write silence as AAC; `cover`: with a picture, which FFmpeg calls a video stream."""
    samples, rate = 1024, 16000
    with av.open(str(path), "w") as output:
        sound = output.add_stream("aac", rate=rate, layout="mono")
        if cover:
            picture = output.add_stream("mjpeg", rate=1)
            picture.width, picture.height = SIZE
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            output.mux(picture.encode(av.VideoFrame.from_ndarray(numbered(0), format="gray")))
            output.mux(picture.encode(None))
        for start in range(0, int(seconds * rate), samples):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts, silence.time_base = rate, start, Fraction(1, rate)
            output.mux(sound.encode(silence))
        output.mux(sound.encode(None))
    return path


def cut(path: Path, share: float, after: bytes = b"") -> Path:
    """Shorten a file to a share of what follows the first `after`."""
    content = path.read_bytes()
    start = content.index(after)
    path.write_bytes(content[: start + int((len(content) - start) * share)])
    return path


def scramble(path: Path, begin: float, end: float, after: bytes = b"") -> Path:
    """Overwrite the bytes between two shares of what follows the first `after`, the same way every time."""
    content = path.read_bytes()
    start = content.index(after)
    first, last = (start + int((len(content) - start) * share) for share in (begin, end))
    path.write_bytes(content[:first] + random.Random(1).randbytes(last - first) + content[last:])
    return path


def mutated(content: bytes, rng: random.Random) -> bytes:
    """One of the things that happen to files: an end cut off, bytes flipped, a stretch zeroed, doubled or lost, or a
    number somewhere in it replaced by an absurd one."""
    start, length = rng.randrange(len(content)), rng.randrange(1, 1 + len(content) // 4)
    stretch = content[start : start + length]
    kind = rng.randrange(6)
    if kind == 0:
        return content[:start]
    if kind == 1:
        flipped = bytearray(content)
        for _ in range(rng.randrange(1, 20)):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    replacement = (bytes(len(stretch)), 2 * stretch, b"")[kind - 2] if kind < 5 else None
    if replacement is None:
        stretch, replacement = content[start : start + 4], rng.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(4)))
    return content[:start] + replacement + content[start + len(stretch) :]


def without_length(path: Path) -> Path:
    """Turn a Matroska file into one that says neither how long it is nor how long its tracks are."""
    content = path.read_bytes()
    duration = b"\x44\x89\x88"  # the Duration element: its id and the length of what follows
    place = content.index(duration)
    # An element of the same length that means nothing (EBML Void), here and for the name of the track's tag.
    blank = b"\xec\x89" + bytes(9)
    content = content[:place] + blank + content[place + len(blank) :]
    path.write_bytes(content.replace(b"DURATION", b"NOTHING!"))
    return path


def pictures(count: int) -> list[Image.Image]:
    """The first `count` numbered pictures."""
    return [Image.fromarray(numbered(index)) for index in range(count)]


def make_moving(path: Path, durations_ms: Iterable[int]) -> Path:
    """Write an animated GIF or WebP, as the name says; each frame is shown so many milliseconds."""
    durations = list(durations_ms)
    first, *rest = pictures(len(durations))
    options = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, **options)
    return path


def make_wide_gif(path: Path, width: int, height: int) -> Path:
    """Write a moving GIF of two frames of one pixel each on a screen of any size; under a hundred bytes."""
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\0\x0a\0\0\0" + b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0" + b"\x02\x02\x44\x01\0"
    path.write_bytes(screen + 2 * frame + b";")
    return path


def make_turned(path: Path, orientation: int, number: int = 37, **options: str) -> Path:
    """Write a picture that is stored as EXIF `orientation` 1 to 8 says, and is upright once that is undone."""
    upright = Image.fromarray(numbered(number))
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = upright.transpose(stored[orientation]) if orientation in stored else upright
    if path.suffix == ".tif":
        image.save(path, tiffinfo={0x0112: orientation}, **options)
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(path, exif=exif, **options)
    return path


def with_exif(path: Path, tags: bytes) -> Path:
    """Put raw EXIF into a JPEG: little-endian entries of 12 bytes each, of which the first may be the orientation."""
    jpeg = path.read_bytes()
    directory = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags) // 12) + tags + bytes(8)
    segment = b"Exif\0\0" + directory
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:])
    return path


def make_big_png(path: Path, width: int, height: int) -> Path:
    """Write a PNG that announces any size and holds no pixel."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def announce_jpeg_size(path: Path, width: int, height: int) -> Path:
    """Change the size that a JPEG's header states, without a pixel more."""
    content = bytearray(path.read_bytes())
    place = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))  # the frame header: baseline or progressive
    content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    path.write_bytes(content)
    return path
