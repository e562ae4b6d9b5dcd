"""The kind of a file by its first bytes, by its name, and whether a picture moves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from fer_batch.media import sniff as module
from fer_batch.media.sniff import sniff
from tests.helpers.clips import SAMPLES, make_audio, make_moving, make_video, numbered, steady

PILLOW_FILES = ["a.jpg", "a.png", "a.gif", "a.webp", "a.bmp", "a.tif", "a.jp2", "a.pgm", "a.ppm", "a.avif"]
VIDEO_FILES = {
    "a.mp4": "libx264",
    "a.mov": "mjpeg",
    "a.mkv": "libx264",
    "a.webm": "libvpx-vp9",
    "a.avi": "mpeg4",
    "a.mpg": "mpeg2video",
    "a.ts": "mpeg2video",
    "a.m2ts": "libx264",
    "a.wmv": "wmv2",
    "a.flv": "flv",
    "a.3gp": "mpeg4",
    "a.mxf": "mpeg2video",
    "a.y4m": "wrapped_avframe",
}


def header(path: Path) -> bytes:
    return path.read_bytes()[: module.HEADER_BYTES]


@pytest.mark.parametrize("name", PILLOW_FILES)
def test_pictures_are_known_by_content_and_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    image = Image.fromarray(numbered(5))
    (image.convert("RGB") if path.suffix == ".ppm" else image).save(path)
    assert sniff(header(path)) == "image"
    assert module.type_by_suffix(name) == "image"
    assert module.type_by_suffix(name.upper()) == "image"
    assert not module.is_animated(str(path))


@pytest.mark.parametrize(("name", "codec"), VIDEO_FILES.items())
def test_videos_are_known_by_content_and_by_name(tmp_path: Path, name: str, codec: str) -> None:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_video(tmp_path / name, steady(25, 10), codec=codec, tick=Fraction(1, 25), pixel_format=pixels)
    assert sniff(header(path)) == "video"
    assert module.type_by_suffix(name) == (
        None if name == "a.ts" else "video"
    )  # TypeScript sources are called .ts too.
    assert not module.may_be_animated(header(path))


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x18ftypheic", "image"),
        (b"\0\0\0\x18ftypavif", "image"),
        (b"\0\0\0\x18ftypqt  ", "video"),
        (b"\0\0\0\x18ftypisom", "video"),
        (b"\0\0\0\x18ftypM4A ", None),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "video"),
        (b"MM\0*\0\0\0\x08", "image"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"BM\x10\0\0\0\0\0\0\0", "image"),
        (b"BM is a name, no bitmap", None),
        (b"%PDF-1.7", None),
        (b"G" * 100, None),
        (b"hello, world", None),
        (b"\xff\xd8", None),
        (b"", None),
    ],
)
def test_first_bytes(start: bytes, kind: str | None) -> None:
    assert sniff(start) == kind


@pytest.mark.parametrize("packet", [188, 192])
def test_transport_streams_need_three_sync_bytes(packet: int) -> None:
    lead = bytes(packet - 188)
    stream = (lead + b"\x47" + bytes(187)) * 3
    assert sniff(stream) == "video"
    assert sniff(stream[: 2 * packet]) is None


@pytest.mark.parametrize("name", ["notes.txt", "noextension", "mp4", ".jpg", "a.jpg.txt", "a.mp3", "a.m4a"])
def test_other_names_claim_nothing(name: str) -> None:
    assert module.type_by_suffix(name) is None


def test_sound_alone_is_no_kind_but_its_name_may_claim_one(tmp_path: Path) -> None:
    assert sniff(header(make_audio(tmp_path / "a.m4a"))) is None


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
@pytest.mark.parametrize("frames", [1, 3])
def test_gif_and_webp_move_with_more_than_one_frame(tmp_path: Path, suffix: str, frames: int) -> None:
    path = make_moving(tmp_path / f"a{suffix}", [100] * frames)
    assert module.is_animated(str(path)) == (frames > 1)
    assert module.may_be_animated(header(path)) or frames == 1


def test_only_some_headers_may_move() -> None:
    assert module.may_be_animated(header(SAMPLES / "clips" / "animated.gif"))
    assert not module.may_be_animated(header(SAMPLES / "photos" / "astronaut.jpg"))
    assert not module.may_be_animated(b"RIFF\0\0\0\0WEBPVP8 " + bytes(20))
    assert not module.may_be_animated(b"RIFF\0\0\0\0WEBPVP8X" + bytes(20))
    assert module.may_be_animated(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02" + bytes(20))


@pytest.mark.parametrize("length", [0, 8, 15, 16, 20, 21])
def test_a_header_may_end_anywhere(length: int) -> None:
    assert not module.may_be_animated((b"RIFF\0\0\0\0WEBPVP8X" + bytes(20))[:length])


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"hello"])
def test_what_can_not_be_read_counts_as_still(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(content)
    assert not module.is_animated(str(path))
    assert not module.is_animated(str(tmp_path / "missing.gif"))
