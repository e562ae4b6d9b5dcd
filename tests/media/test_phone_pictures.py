"""Pictures as phones and cameras write them: HEIC, MPO, raw photographs, transfers that broke off."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_batch.media import image as module
from fer_batch.media import sniff
from fer_batch.media.image import read_image
from fer_batch.records import Code, MediaError, Stage
from tests.helpers.clips import SAMPLES, make_video, number_in, numbered, steady
from tests.helpers.real_media import make_heic, make_mpo, make_raw_photo
from tests.helpers.worker import Stub, detector, found, photo, prepare  # noqa: F401

SHOWN = numbered(37, (320, 240))


@pytest.mark.parametrize("by", ["container", "exif", "both"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_once_whoever_states_its_orientation(tmp_path: Path, orientation: int, by: str) -> None:
    path = make_heic(tmp_path / "a.heic", SHOWN, orientation, by)
    content = path.read_bytes()
    assert (b"irot" in content or b"imir" in content) == (by != "exif" and orientation > 1)
    assert found(path).media_type == "image"
    info, frame, failure = read_image(str(path), colour=True)
    assert number_in(frame.luma) == 37
    assert frame.bgr is not None
    assert number_in(np.ascontiguousarray(frame.bgr[:, :, 0])) == 37
    assert (info.width, info.height, info.codec, failure) == (320, 240, "heif", None)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_a_heic_is_read_under_every_brand(tmp_path: Path, brand: bytes) -> None:
    path = make_heic(tmp_path / "a.heif", SHOWN)
    path.write_bytes(path.read_bytes().replace(b"ftypheic", b"ftyp" + brand, 1))
    assert number_in(read_image(str(path))[1].luma) == 37


def test_a_heic_of_ten_bits_is_read(tmp_path: Path) -> None:
    import pillow_heif

    deep = np.repeat((SHOWN.astype(np.uint16) << 8)[:, :, None], 3, axis=2)
    pillow_heif.from_bytes(mode="RGB;16", size=(320, 240), data=deep.tobytes()).save(tmp_path / "a.heic", quality=90)
    info, frame, _ = read_image(str(tmp_path / "a.heic"))
    assert (info.width, frame.luma.dtype, number_in(frame.luma)) == (320, np.uint8, 37)
    assert frame.luma.max() > 200


def test_a_heic_of_several_pictures_gives_the_primary_one(tmp_path: Path) -> None:
    others = [Image.fromarray(numbered(number, (320, 240))).convert("RGB") for number in (5, 6)]
    path = make_heic(tmp_path / "a.heic", SHOWN, save_all=True, append_images=others, primary_index=1)
    assert number_in(read_image(str(path))[1].luma) == 5


@pytest.mark.parametrize("brand", [b"hevc", b"msf1"])
@pytest.mark.usefixtures("detector")
def test_a_heic_sequence_is_a_video(tmp_path: Path, brand: bytes) -> None:
    path = make_video(tmp_path / "a.mp4", steady(5, 10), codec="libx265", tick=Fraction(1, 5))
    content = path.read_bytes().replace(b"ftypisom", b"ftyp" + brand, 1).replace(b"vide\0", b"pict\0", 1)
    (tmp_path / "a.heics").write_bytes(content)
    (prepared,) = prepare(tmp_path / "a.heics")
    assert (prepared.media.media_type, prepared.failure) == ("video", None)
    assert [frame.time for frame in prepared.frames] == [0, 1]


def test_a_cut_heic_is_invalid(tmp_path: Path) -> None:
    path = make_heic(tmp_path / "a.heic", SHOWN)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MediaError) as caught:
        read_image(str(path))
    assert caught.value.failure.code == Code.INVALID_DATA


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".gif"])
@pytest.mark.usefixtures("detector")
def test_of_a_picture_that_lost_its_end_what_is_there_is_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.open(SAMPLES / "photos" / "astronaut.jpg").save(path)
    whole = read_image(str(path))[1].luma.astype(int)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - max(33, len(content) // 10)])
    (prepared,) = prepare(path)
    assert (len(prepared.frames), prepared.failed) == (1, False)
    assert prepared.failure is not None
    assert (prepared.failure.stage, prepared.failure.code) == (Stage.DECODE, Code.TRUNCATED)
    part = read_image(str(path))[1].luma.astype(int)
    rows = slice(-400, None) if suffix == ".bmp" else slice(400)  # A BMP begins with its lowest row.
    assert np.abs(part - whole)[rows].max() <= 2


def test_a_jpeg_of_a_header_alone_is_invalid(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.open(SAMPLES / "photos" / "astronaut.jpg").save(path)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\xff\xda") + 14])
    with pytest.raises(MediaError) as caught:
        read_image(str(path))
    assert caught.value.failure.code == Code.INVALID_DATA


def make_tiff(path: Path, *pages: tuple[int, int]) -> Path:
    """A TIFF with a picture of each number, of each type (tag 254: 0 a page, 1 a reduced copy of one)."""
    first, *others = (Image.fromarray(numbered(number, (320, 240))) for number, _ in pages)
    for picture, (_, kind) in zip([first, *others], pages, strict=True):
        picture.encoderinfo = {"tiffinfo": {254: kind}}
    first.save(path, save_all=True, append_images=others, tiffinfo={254: pages[0][1]})
    return path


def test_of_a_tiff_with_several_pages_the_first_is_read_and_the_others_are_told(tmp_path: Path) -> None:
    path = make_tiff(tmp_path / "scan.tif", (37, 0), (5, 0), (6, 0))
    _, frame, failure = read_image(str(path))
    assert number_in(frame.luma) == 37
    assert failure is not None
    assert (failure.code, failure.message[:17]) == (Code.OTHER_PAGES, "page 1 of 3 was r")


@pytest.mark.parametrize("others", [(), ((5, 1), (6, 1))])
def test_a_tiff_of_one_page_has_no_remark_whatever_copies_it_holds(
    tmp_path: Path, others: tuple[tuple[int, int], ...]
) -> None:
    path = make_tiff(tmp_path / "scan.tif", (37, 0), *others)
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 1 + len(others)
    assert read_image(str(path))[2] is None


def test_an_mpo_is_reduced_as_a_jpeg_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 6_000_000)
    path = make_mpo(tmp_path / "a.jpg", numbered(37, (5200, 3900)), numbered(5, (640, 480)))
    with Image.open(path) as image:
        assert image.format == "MPO"
    info, frame, failure = read_image(str(path))
    assert (info.width, info.height, failure) == (5200, 3900, None)
    assert frame.luma.shape == (1950, 2600)
    assert number_in(frame.luma) == 37


@pytest.mark.parametrize("suffix", [".dng", ".nef", ".arw", ".cr2", ".tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_of_a_raw_photograph_the_largest_embedded_picture_is_read(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    previews = [numbered(5, (160, 120)), SHOWN.repeat(3, 0).repeat(3, 1), numbered(6, (640, 480))]
    if orientation == 6:
        previews = [np.ascontiguousarray(np.rot90(preview)) for preview in previews]
    path = make_raw_photo(tmp_path / f"a{suffix}", previews, orientation)
    assert found(path).media_type == "image"
    info, frame, failure = read_image(str(path), colour=True)
    assert (info.width, info.height, failure) == (960, 720, None)
    assert number_in(frame.luma) == 37


def test_a_raw_photograph_with_a_thumbnail_alone_is_unsupported_with_a_hint(tmp_path: Path) -> None:
    path = make_raw_photo(tmp_path / "a.dng", [numbered(5, (160, 120))], dng=True)
    with pytest.raises(MediaError) as caught:
        read_image(str(path))
    assert caught.value.failure.code == Code.UNSUPPORTED
    assert "develop it to JPEG" in caught.value.failure.message


@pytest.mark.parametrize(
    "header",
    [b"FUJIFILMCCD-RAW 0201", b"IIU\0\x18\0\0\0", b"IIRO\x08\0\0\0", b"\0\0\0\x18ftypcrx ", b"FOVb\0\0\2\0"],
    ids=["raf", "rw2", "orf", "cr3", "x3f"],
)
def test_other_makers_raw_photographs_are_read_too(tmp_path: Path, header: bytes) -> None:
    jpeg = make_mpo(tmp_path / "p.jpg", numbered(37, (640, 480)), numbered(5)).read_bytes()
    content = header.ljust(300, b"\0") + jpeg + np.random.default_rng(1).bytes(5000)
    (tmp_path / "a").write_bytes(content)
    assert sniff.sniff(content[: sniff.HEADER_BYTES]) == "image"
    assert number_in(read_image(str(tmp_path / "a"))[1].luma) == 37


def test_a_tiff_of_several_pages_is_no_raw_photograph(tmp_path: Path) -> None:
    pages = [Image.fromarray(numbered(number)) for number in (37, 5)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert number_in(read_image(str(tmp_path / "a.tif"))[1].luma) == 37


@pytest.mark.parametrize(
    ("tags", "offsets", "recorded_at"),
    [
        ({0x9003: "2024:05:17 14:03:00"}, {0x9011: "+02:00"}, datetime(2024, 5, 17, 12, 3, tzinfo=UTC)),
        ({0x9003: "2024:05:17 14:03:00"}, {}, datetime(2024, 5, 17, 14, 3, tzinfo=UTC)),
        ({0x0132: "2023:01:02 03:04:05"}, {}, datetime(2023, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ({0x9003: "0000:00:00 00:00:00"}, {}, None),
        ({0x9003: "    :  :     :  :  "}, {}, None),
        ({0x9003: "1970:01:01 00:00:00"}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_time_of_a_photograph_is_that_of_its_exif(
    tmp_path: Path, tags: dict[int, str], offsets: dict[int, str], recorded_at: datetime | None
) -> None:
    exif = Image.Exif()
    for tag, value in (tags | offsets).items():
        if tag == 0x0132:
            exif[tag] = value
        else:
            exif.get_ifd(0x8769)[tag] = value
    Image.fromarray(SHOWN).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(str(tmp_path / "a.jpg"))[0].recorded_at == recorded_at


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".heic"])
def test_of_a_picture_whose_end_became_zeros_what_is_there_is_kept_and_the_loss_is_told(
    tmp_path: Path, suffix: str
) -> None:
    path, picture = tmp_path / f"a{suffix}", np.asarray(Image.open(SAMPLES / "photos" / "astronaut.jpg").convert("L"))
    if suffix == ".heic":
        make_heic(path, picture)
    else:
        Image.fromarray(picture).save(path, quality=95)
    size = path.stat().st_size
    content = path.read_bytes()[: size * 2 // 3]
    path.write_bytes(content.ljust(size, b"\0"))
    (prepared,) = prepare(path)
    assert prepared.failure is not None
    assert (prepared.failed, prepared.failure.code) == (False, Code.TRUNCATED)
    assert len(prepared.frames) == 1


@pytest.mark.usefixtures("detector")
def test_zeros_behind_the_end_of_a_jpeg_are_no_loss(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + bytes(100_000))
    (prepared,) = prepare(path)
    assert prepared.failure is None
