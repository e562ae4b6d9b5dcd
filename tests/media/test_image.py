"""Still pictures: every mode as 8-bit gray, upright, bounded before they are decoded, damage as MediaError."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from fer_batch.media import image as image_module
from fer_batch.media.image import frame_from_bgr, read_image
from fer_batch.records import Code, Failure, MediaError, MediaInfo, Stage
from tests.helpers.clips import (
    BRIGHT,
    DARK,
    SAMPLES,
    SIZE,
    announce_jpeg_size,
    cut,
    make_big_png,
    make_turned,
    number_in,
    numbered,
    with_exif,
)

GRAY = Image.fromarray(numbered(37))
ORIENTATION_6 = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)


def failure_of(path: Path) -> Failure:
    with pytest.raises(MediaError) as caught:
        read_image(str(path))
    return caught.value.failure


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I", "F", "I;16"])
def test_every_mode_becomes_gray(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tif"
    GRAY.convert(mode).save(path)
    info, frame, _ = read_image(str(path))
    assert info == MediaInfo(*SIZE, None, "tiff")
    assert (frame.width, frame.height, frame.time, frame.bgr) == (*SIZE, None, None)
    assert (frame.luma.shape, frame.luma.dtype) == (SIZE[::-1], np.uint8)
    assert number_in(frame.luma) == 37


@pytest.mark.parametrize(
    ("name", "mode", "codec"),
    [
        ("a.jpg", "L", "jpeg"),
        ("a.jpg", "RGB", "jpeg"),
        ("a.jpg", "CMYK", "jpeg"),
        ("a.png", "RGBA", "png"),
        ("a.webp", "RGB", "webp"),
        ("a.webp", "RGBA", "webp"),
        ("a.gif", "P", "gif"),
        ("a.bmp", "RGB", "bmp"),
        ("a.jp2", "L", "jpeg2000"),
        ("a.avif", "RGB", "avif"),
        ("a.pgm", "L", "ppm"),
    ],
)
def test_every_format(tmp_path: Path, name: str, mode: str, codec: str) -> None:
    path = tmp_path / name
    GRAY.convert(mode).save(path, quality=95)
    info, frame, _ = read_image(str(path), colour=True)
    assert info == MediaInfo(*SIZE, None, codec)
    assert frame.bgr is not None
    assert frame.bgr.flags.c_contiguous
    assert (frame.bgr.shape, frame.bgr.dtype) == ((*SIZE[::-1], 3), np.uint8)
    np.testing.assert_allclose(frame.luma.astype(int), numbered(37), atol=12)
    np.testing.assert_allclose(frame.bgr[:, :, 0].astype(int), numbered(37), atol=12)


def test_colour_is_blue_green_red(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (5, 4), (250, 20, 100)).save(path)
    _, frame, _ = read_image(str(path), colour=True)
    assert frame.bgr is not None
    assert frame.bgr[2, 3].tolist() == [100, 20, 250]
    assert frame.luma[2, 3] == round(0.299 * 250 + 0.587 * 20 + 0.114 * 100)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_orientation_is_undone(tmp_path: Path, suffix: str, orientation: int) -> None:
    info, frame, _ = read_image(str(make_turned(tmp_path / f"a{suffix}", orientation)), colour=True)
    assert (info.width, info.height, frame.width, frame.height) == SIZE * 2
    assert number_in(frame.luma) == 37
    assert frame.bgr is not None
    assert number_in(frame.bgr[:, :, 1]) == 37


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_tiff_is_undone_once(tmp_path: Path, orientation: int, compression: str) -> None:
    info, frame, _ = read_image(str(make_turned(tmp_path / "a.tif", orientation, compression=compression)))
    assert number_in(frame.luma) == 37
    assert frame.luma.shape == SIZE[::-1]
    assert (info.width, info.height, frame.width, frame.height) == SIZE * 2


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param(b"", id="none"),
        pytest.param(struct.pack("<HHIHH", 0x0112, 3, 1, 9, 0), id="orientation 9"),
        pytest.param(struct.pack("<HHII", 0x0112, 2, 2, 0x36), id="orientation as text"),
        pytest.param(b"\xff" * 24, id="garbage"),
    ],
)
def test_odd_exif_without_an_orientation(tmp_path: Path, tags: bytes) -> None:
    GRAY.save(tmp_path / "a.jpg")
    _, frame, _ = read_image(str(with_exif(tmp_path / "a.jpg", tags)))
    assert number_in(frame.luma) == 37


@pytest.mark.parametrize(
    "tag",
    [
        pytest.param(b"", id="none"),
        pytest.param(struct.pack("<HHIi", 0x011A, 9, 1, -1), id="negative resolution"),
        pytest.param(struct.pack("<HHIf", 0x0131, 11, 1, 1.0), id="number for a program"),
        pytest.param(struct.pack("<HHII", 0x8769, 4, 1, 0x7FFFFFFF), id="pointer to nowhere"),
        pytest.param(struct.pack("<HHII", 0x8825, 4, 1, 8), id="pointer in a circle"),
    ],
)
def test_one_odd_exif_tag_does_not_cost_the_picture(tmp_path: Path, tag: bytes) -> None:
    GRAY.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", quality=95)
    _, frame, _ = read_image(str(with_exif(tmp_path / "a.jpg", ORIENTATION_6 + tag)))
    assert (frame.width, frame.height) == SIZE
    assert number_in(frame.luma) == 37


@pytest.mark.parametrize(
    ("mode", "transparency"), [("RGBA", None), ("LA", None), ("P", 0), ("L", DARK), ("RGB", (DARK, DARK, DARK))]
)
def test_transparency_becomes_white(tmp_path: Path, mode: str, transparency: int | tuple[int, ...] | None) -> None:
    image = GRAY.convert(mode)
    if transparency is None:
        image.putalpha(Image.fromarray(np.where(numbered(37) == DARK, 0, 255).astype(np.uint8)))
        image.save(tmp_path / "a.png")
    else:
        if mode == "P":
            image = GRAY.quantize(2)
            transparency = int(np.asarray(image)[0, SIZE[0] * 3 // 8])  # The second block is dark.
        image.save(tmp_path / "a.png", transparency=transparency)
    _, frame, _ = read_image(str(tmp_path / "a.png"), colour=True)
    assert np.unique(frame.luma).tolist() == [BRIGHT, 255]
    assert frame.bgr is not None
    assert frame.bgr[0, SIZE[0] * 3 // 8].tolist() == [255, 255, 255]
    assert frame.bgr[0, 0].tolist() == [BRIGHT] * 3


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
@pytest.mark.parametrize("factor", [1, 16, 256])
def test_deep_pictures_keep_their_gray_steps(tmp_path: Path, name: str, factor: int) -> None:
    Image.fromarray(numbered(37).astype(np.uint16) * factor).save(tmp_path / name)
    _, frame, _ = read_image(str(tmp_path / name))
    assert sorted({int(frame.luma.min()), int(frame.luma.max())}) == pytest.approx([255 * DARK / BRIGHT, 255], abs=1)
    assert number_in(frame.luma) == 37


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_one_odd_number_does_not_blank_a_picture(tmp_path: Path, odd: float) -> None:
    values = numbered(37).astype(np.float32)
    values[0, 0] = odd
    Image.fromarray(values).save(tmp_path / "a.tif")
    _, frame, _ = read_image(str(tmp_path / "a.tif"))
    assert number_in(frame.luma) == 37


@pytest.mark.parametrize("level", [0, 7])
@pytest.mark.parametrize("mode", ["I;16", "F", "L"])
def test_a_picture_of_one_gray(tmp_path: Path, mode: str, level: int) -> None:
    Image.new(mode, (7, 5), level).save(tmp_path / "a.tif")
    _, frame, _ = read_image(str(tmp_path / "a.tif"))
    assert frame.luma.shape == (5, 7)
    assert len(np.unique(frame.luma)) == 1


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3000, 1), (1, 3000)])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_tiny_and_narrow_pictures(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    Image.new("RGB", size, (90, 90, 90)).save(tmp_path / f"a{suffix}")
    info, frame, _ = read_image(str(tmp_path / f"a{suffix}"), colour=True)
    assert (info.width, info.height) == (frame.width, frame.height) == size
    assert frame.luma.size > 0
    assert int(frame.luma.max()) == 90


def test_large_jpegs_are_decoded_smaller_but_keep_their_size(tmp_path: Path) -> None:
    GRAY.resize((6000, 3000)).save(tmp_path / "a.jpg")
    info, frame, _ = read_image(str(tmp_path / "a.jpg"))
    assert (info.width, info.height, frame.width, frame.height) == (6000, 3000, 6000, 3000)
    assert frame.luma.shape == (1500, 3000)  # A half: a quarter would be below the 2560 that are wanted.
    assert number_in(frame.luma) == 37


def test_only_the_first_page_or_frame_is_read(tmp_path: Path) -> None:
    GRAY.save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(numbered(1))])
    assert number_in(read_image(str(tmp_path / "a.tif"))[1].luma) == 37


def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_big_png(tmp_path / "a.png", 30000, 5000)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("it was decoded"))
    failure = failure_of(path)
    assert (failure.stage, failure.code) == (Stage.DECODE, Code.TOO_LARGE)
    assert failure.message == "150 megapixels, more than the limit of 128; make it smaller"


def test_the_limit_is_inclusive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    GRAY.save(tmp_path / "a.png")
    monkeypatch.setattr(image_module, "MAX_PIXELS", SIZE[0] * SIZE[1])
    assert read_image(str(tmp_path / "a.png"))[0].width == SIZE[0]
    monkeypatch.setattr(image_module, "MAX_PIXELS", SIZE[0] * SIZE[1] - 1)
    assert failure_of(tmp_path / "a.png").code == Code.TOO_LARGE


def test_progressive_jpegs_are_held_to_the_limit_at_full_size(tmp_path: Path) -> None:
    """Reduced or not, libjpeg keeps all coefficients of a progressive picture: two bytes and more a pixel."""
    GRAY.save(tmp_path / "a.jpg", progressive=True)
    failure = failure_of(announce_jpeg_size(tmp_path / "a.jpg", 12000, 11000))
    assert failure.code == Code.TOO_LARGE


def test_a_cut_webp_is_invalid(tmp_path: Path) -> None:
    GRAY.resize((200, 150)).save(tmp_path / "a.webp")
    failure = failure_of(cut(tmp_path / "a.webp", 0.5))
    assert (failure.stage, failure.code) == (Stage.DECODE, Code.INVALID_DATA)


@pytest.mark.parametrize("content", [b"", b"hello, world", b"\xff\xd8\xff\xe0", b"GIF89a", bytes(500)])
def test_what_is_no_picture_is_invalid(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert failure_of(tmp_path / "a.jpg").code == Code.INVALID_DATA


def test_a_format_without_a_decoder_is_unsupported(tmp_path: Path) -> None:
    (tmp_path / "a.jxl").write_bytes(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200))
    assert failure_of(tmp_path / "a.jxl").code == Code.UNSUPPORTED


def test_a_png_in_apples_own_form_is_unsupported_and_not_called_damaged(tmp_path: Path) -> None:
    path = make_big_png(tmp_path / "a.png", 64, 48)
    content = path.read_bytes()
    path.write_bytes(content[:8] + b"\0\0\0\4CgBIP\0 \x06" + bytes(4) + content[8:])
    with pytest.raises(MediaError, match="convert it to a plain PNG") as caught:
        read_image(str(path))
    assert caught.value.failure.code is Code.UNSUPPORTED


def test_sample_photos_stand_upright() -> None:
    info, frame, _ = read_image(str(SAMPLES / "photos" / "grace_hopper.jpg"))
    assert info == MediaInfo(512, 600, None, "jpeg")
    assert frame.luma.shape == (600, 512)


def test_frame_of_a_picture_in_memory_is_gray_by_bt_601() -> None:
    blue = np.zeros((2, 3, 3), np.uint8)
    blue[..., 0] = 255
    plain, coloured = frame_from_bgr(blue, colour=False), frame_from_bgr(blue, colour=True)
    assert (plain.width, plain.height, plain.bgr) == (3, 2, None)
    assert plain.luma.tolist() == [[29] * 3] * 2
    assert coloured.bgr is blue


def test_pillows_limit_stays_as_the_program_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    GRAY.save(tmp_path / "a.png")
    read_image(str(tmp_path / "a.png"))
    assert Image.MAX_IMAGE_PIXELS == 10
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.png")
