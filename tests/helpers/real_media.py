"""Makes media as phones, cameras, meeting tools and recorders write them, where that differs from the plain case."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.clips import SIZE, numbered

#: Nine numbers of a display matrix in FFmpeg's layout, by the EXIF orientation that means the same.
DISPLAY_MATRICES = {
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
}  # fmt: skip
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Track:
    """A stream to be written: `kind` is video or audio. `start`: seconds at which it begins; `black`: nothing is shown.
    `orientation`: EXIF's number of a display matrix; `pixel_aspect`: of the stored pixels, width over height."""

    kind: str = "video"
    codec: str = "libx264"
    start: Fraction | float = 0
    seconds: float = 2.0
    size: tuple[int, int] = SIZE
    rate: int = 25
    black: bool = False
    default: bool | None = None
    orientation: int = 1
    pixel_aspect: Fraction | None = None
    first_number: int = 0


def stored(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """How a picture is stored so that it stands upright once EXIF's `orientation` is applied."""
    if orientation in (5, 6, 7, 8):
        turned = {5: picture.T, 6: np.rot90(picture), 7: np.rot90(picture, 2).T, 8: np.rot90(picture, -1)}[orientation]
    else:
        flips = {1: picture, 2: picture[:, ::-1], 3: picture[::-1, ::-1], 4: picture[::-1]}
        turned = flips[orientation]
    return np.ascontiguousarray(turned)


def make_tracks(path: Path, *tracks: Track, metadata: dict[str, str] | None = None) -> Path:
    """Write a file of several streams, whose nth video frame shows n, packets in the order of their times."""
    packets = []
    with av.open(str(path), "w") as output:
        output.metadata.update(metadata or {})
        streams = [_add_stream(output, track) for track in tracks]
        output.start_encoding()
        for stream, track in zip(streams, tracks, strict=True):
            encoded = _encode_video(stream, track) if track.kind == "video" else _encode_audio(stream, track)
            packets += [packet for packet in encoded if packet.dts is not None]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return path


def _add_stream(output, track: Track):  # type: ignore[no-untyped-def]
    if track.kind == "audio":
        return output.add_stream(track.codec, rate=16000, layout="mono")
    x264 = "bframes=0:scenecut=0:keyint=25:min-keyint=25"
    options = {"threads": "1", "preset": "veryfast", "x264-params": x264} if track.codec == "libx264" else {}
    stream = output.add_stream(track.codec, rate=track.rate, options=options)
    stream.width, stream.height = track.size if track.orientation < 5 else track.size[::-1]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.max_b_frames = 0
    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000 if track.codec == "libx264" else track.rate)
    if track.pixel_aspect:
        stream.codec_context.sample_aspect_ratio = track.pixel_aspect
    if track.orientation != 1:
        a, b, c, d = (65536 * value for value in DISPLAY_MATRICES[track.orientation])
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
    if track.default is not None:
        stream.disposition = av.stream.Disposition.default if track.default else av.stream.Disposition(0)
    return stream


def _encode_video(stream, track: Track):  # type: ignore[no-untyped-def]
    for index in range(round(track.seconds * track.rate)):
        upright = numbered((track.first_number + index) % 256, track.size)
        picture = stored(np.zeros_like(upright) if track.black else upright, track.orientation)
        frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")
        time_base = stream.codec_context.time_base
        frame.pts = round((Fraction(track.start) + Fraction(index, track.rate)) / time_base)
        frame.time_base = time_base
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _encode_audio(stream, track: Track):  # type: ignore[no-untyped-def]
    rate, samples = 16000, 1024
    for begin in range(0, int(track.seconds * rate), samples):
        silence = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
        silence.sample_rate, silence.time_base = rate, Fraction(1, rate)
        silence.pts = begin + int(Fraction(track.start) * rate)
        yield from stream.encode(silence)
    yield from stream.encode(None)


def make_heic(
    path: Path, picture: NDArray[np.uint8], orientation: int = 1, by: str = "both", **options: object
) -> Path:
    """Write a HEIC that is upright once EXIF's `orientation` is applied, stated `by` the container (irot and imir),
    by `exif`, or by both."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = orientation if by != "exif" else 1
    image = Image.fromarray(stored(picture, orientation)).convert("RGB")
    image.save(path, format="HEIF", exif=exif.tobytes(), quality=95, **options)
    if by == "both" or orientation == 1:
        return path
    content = bytearray(path.read_bytes())
    place = next(
        place for mark in (b"II*\0", b"MM\0*") if (place := content.find(mark)) >= 0
    )  # The EXIF is a little TIFF within the file.
    order = "<" if content[place : place + 2] == b"II" else ">"
    directory = place + struct.unpack(f"{order}I", content[place + 4 : place + 8])[0]
    (count,) = struct.unpack(f"{order}H", content[directory : directory + 2])
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        if struct.unpack(f"{order}H", content[entry : entry + 2])[0] == _EXIF_ORIENTATION:
            content[entry + 8 : entry + 10] = struct.pack(f"{order}H", orientation if by == "exif" else 1)
    path.write_bytes(content)
    return path


def make_raw_photo(
    path: Path, previews: Sequence[NDArray[np.uint8]], orientation: int = 1, dng: bool = False, noise: int = 20_000
) -> Path:
    """Write what NEF, ARW and DNG have in common: a TIFF whose first directory is a thumbnail of 160 by 120, not
    compressed, and below it JPEGs; sensor data follow, here noise."""
    jpegs = [_jpeg(preview) for preview in previews]
    thumbnail = np.asarray(Image.fromarray(previews[-1] if previews else numbered(0)).resize((160, 120)))
    pixels = np.repeat(thumbnail[:, :, None], 3, axis=2).tobytes()
    tags = [
        (254, 4, 1, 1), (256, 4, 1, 160), (257, 4, 1, 120), (258, 3, 3, None), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, None), (274, 3, 1, orientation), (277, 3, 1, 3), (278, 4, 1, 120), (279, 4, 1, len(pixels)),
        (284, 3, 1, 1), (330, 4, max(1, len(jpegs)), None),
    ] + ([(50706, 1, 4, 0x00000401)] if dng else [])  # fmt: skip
    first = 8
    bits = first + 2 + 12 * len(tags) + 4
    sub_list = bits + 6
    subs = sub_list + 4 * max(1, len(jpegs))
    sub_size = 2 + 12 * 4 + 4
    data = subs + sub_size * max(1, len(jpegs))
    places, at = [], data + len(pixels)
    for jpeg in jpegs:
        places.append(at)
        at += len(jpeg)
    values = {258: bits, 273: data, 330: sub_list if len(jpegs) > 1 else subs}
    body = struct.pack("<H", len(tags))
    for tag, kind, count, value in tags:
        body += struct.pack("<HHII", tag, kind, count, values[tag] if value is None else value)
    body += struct.pack("<I", 0) + struct.pack("<HHH", 8, 8, 8)
    body += b"".join(struct.pack("<I", subs + sub_size * number) for number in range(max(1, len(jpegs))))
    for number in range(max(1, len(jpegs))):
        place, length = (places[number], len(jpegs[number])) if jpegs else (data, 0)
        entries = [(254, 4, 1, 1), (259, 3, 1, 6), (513, 4, 1, place), (514, 4, 1, length)]
        body += struct.pack("<H", 4) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    random = np.random.default_rng(1).integers(0, 256, noise, np.uint8).tobytes()
    path.write_bytes(b"II*\0" + struct.pack("<I", first) + body + pixels + b"".join(jpegs) + random)
    return path


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def make_mpo(path: Path, *pictures: NDArray[np.uint8]) -> Path:
    """Write a JPEG with others behind it, as phones and stereo cameras do."""
    first, *others = (Image.fromarray(picture) for picture in pictures)
    first.save(path, "MPO", save_all=True, append_images=others, quality=92)
    return path


def state_avi_rate(path: Path, rate: int) -> Path:
    """Have an AVI's headers state another number of frames a second."""
    content = bytearray(path.read_bytes())
    place = content.index(b"strh") + 8 + 20  # scale and rate of the first stream
    content[place : place + 8] = struct.pack("<II", 1, rate)
    place = content.index(b"avih") + 8
    content[place : place + 4] = struct.pack("<I", round(1e6 / rate))
    path.write_bytes(content)
    return path


def damage_steadily(path: Path, every: int = 200_000, begin: int = 10_000) -> Path:
    """Overwrite a byte of every so many."""
    content = bytearray(path.read_bytes())
    for place in range(begin, len(content), every):
        content[place] ^= 0x55
    path.write_bytes(content)
    return path


def edit(path: Path, *spans: tuple[Fraction | float, Fraction | float]) -> Path:
    """Have an MP4, its `moov` behind its frames, show only these spans of its frames, from and to seconds, in a row, as
    phones write what was cut out of a recording without encoding it again."""
    content = bytearray(path.read_bytes())
    movie_scale, scale = (struct.unpack_from(">I", content, content.index(box) + 16)[0] for box in (b"mvhd", b"mdhd"))
    old = content.index(b"edts") - 4
    (old_size,) = struct.unpack_from(">I", content, old)
    (first,) = struct.unpack_from(">i", content, content.index(b"elst") + 16)  # Where the first frame is shown.
    entries = b"".join(
        struct.pack(">IiI", round((end - begin) * movie_scale), first + round(begin * scale), 1 << 16)
        for begin, end in spans
    )
    edit_list = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(spans)) + entries
    box = struct.pack(">I4s", 8 + len(edit_list), b"edts") + edit_list
    content[old : old + old_size] = box
    for parent in (b"moov", b"trak"):
        place = content.index(parent) - 4
        struct.pack_into(">I", content, place, struct.unpack_from(">I", content, place)[0] + len(box) - old_size)
    path.write_bytes(content)
    return path
