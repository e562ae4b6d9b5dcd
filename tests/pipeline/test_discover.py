"""Which files are media, and the one name that each has in every table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from fer_batch.pipeline import discover as module
from fer_batch.pipeline.discover import discover, outside, survey, table_path
from fer_batch.records import Code, Failure, Media, MediaType, Stage
from tests.helpers.clips import SAMPLES, make_moving, make_video, pictures, steady

JPEG = b"\xff\xd8\xff\xe0" + bytes(30)
MP4 = b"\0\0\0\x18ftypisom" + bytes(30)


def fill(folder: Path, *names: str, content: bytes = JPEG) -> Path:
    """Files of one content under a folder, which is made."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def paths(found: Iterable[Media]) -> list[str]:
    return [media.path for media in found]


def of_one(found: list[Media]) -> tuple[MediaType, Code | None]:
    (media,) = found
    return media.media_type, media.failure and media.failure.code


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_folder_gives_its_media_with_relative_paths(tmp_path: Path) -> None:
    fill(tmp_path / "in", "b.jpg", "a/c.jpg", "a/d/e.jpg")
    assert paths(discover(["in"])) == ["a/c.jpg", "a/d/e.jpg", "b.jpg"]
    media = discover([str(tmp_path / "in")])[0]
    status = (tmp_path / "in" / "a" / "c.jpg").stat()
    assert Path(media.file).samefile(tmp_path / "in" / "a" / "c.jpg")
    assert media == Media(media.file, "a/c.jpg", "image", status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize("given", ["in", "in/", "./in", "../{}/in", "in/../in"])
def test_a_folder_may_be_named_in_many_ways(tmp_path: Path, given: str) -> None:
    fill(tmp_path / "in", "a.jpg")
    assert paths(discover([given.format(tmp_path.name)])) == ["a.jpg"]


def test_an_empty_folder_gives_nothing(tmp_path: Path) -> None:
    assert discover([str(tmp_path)]) == []


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [("film.jpg", MP4, "video"), ("photo.mp4", JPEG, "image"), ("nothing", JPEG, "image"), ("notes.txt", MP4, "video")],
)
def test_content_goes_before_the_name(tmp_path: Path, name: str, content: bytes, kind: MediaType) -> None:
    assert of_one(discover([str(fill(tmp_path / "in", name, content=content))])) == (kind, None)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.gif", "video"), ("a.webp", "video"), ("still.gif", "image"), ("still.webp", "image")]
)
def test_gif_and_webp_are_videos_where_they_move(tmp_path: Path, name: str, kind: MediaType) -> None:
    frames = 1 if name.startswith("still") else 3
    make_moving(fill(tmp_path / "in") / name, [100] * frames)
    assert of_one(discover(["in"])) == (kind, None)


def test_real_media_under_wrong_names(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in")
    make_video(tmp_path / "a.mp4", steady(25, 2)).rename(folder / "a.jpg")
    pictures(1)[0].save(folder / "b.mp4", format="PNG")
    assert [(media.path, media.media_type) for media in discover(["in"])] == [("a.jpg", "video"), ("b.mp4", "image")]


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "image"), ("a.mp4", "video"), ("a.MKV", "video")])
def test_text_with_a_medias_name_is_left_to_the_decoder(tmp_path: Path, name: str, kind: MediaType) -> None:
    fill(tmp_path / "in", name, content=b"hello, world")
    assert of_one(discover(["in"])) == (kind, None)


def test_what_neither_is_nor_claims_to_be_media_is_passed_over(tmp_path: Path) -> None:
    fill(tmp_path / "in", "notes.txt", "data.csv", "README", content=b"hello, world")
    fill(tmp_path / "in", "empty.txt", "empty", content=b"")
    assert discover(["in"]) == []


def test_a_named_file_that_is_no_media_fails(tmp_path: Path) -> None:
    fill(tmp_path, "notes.txt", content=b"hello, world")
    (media,) = discover(["notes.txt"])
    assert media.path == "notes.txt"
    assert media.failure == Failure(
        Stage.DISCOVER, Code.NOT_MEDIA, "neither its content nor its name is a known media type"
    )


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "image"), ("a.mp4", "video")])
def test_an_empty_file_with_a_medias_name_fails(tmp_path: Path, name: str, kind: MediaType) -> None:
    fill(tmp_path / "in", name, content=b"")
    assert of_one(discover(["in"])) == (kind, Code.EMPTY_FILE)


def test_an_empty_file_that_is_named_fails(tmp_path: Path) -> None:
    fill(tmp_path, "empty.txt", content=b"")
    assert of_one(discover(["empty.txt"])) == ("image", Code.EMPTY_FILE)


@pytest.mark.parametrize(("name", "kind"), [("gone", "image"), ("gone.jpg", "image"), ("gone.mp4", "video")])
def test_a_named_file_that_is_not_there_fails(name: str, kind: MediaType) -> None:
    assert of_one(discover([name])) == (kind, Code.UNREADABLE)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(fill(tmp_path / "in") / "a.mp4")
    assert discover(["in"]) == []
    assert of_one(discover(["in/a.mp4"])) == ("video", Code.UNREADABLE)


@pytest.mark.parametrize("length", range(0, 24, 2))
@pytest.mark.parametrize("content", [b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0", b"GIF89a" + bytes(20), MP4])
def test_a_file_may_end_anywhere(tmp_path: Path, content: bytes, length: int) -> None:
    fill(tmp_path / "in", "a.webp", content=content[:length])
    fill(tmp_path / "in", "b.jpg")
    assert paths(discover(["in"])) == ["a.webp", "b.jpg"]


def test_hidden_files_and_folders_are_passed_over_unless_named(tmp_path: Path) -> None:
    fill(tmp_path / "in", "a.jpg", ".b.jpg", ".c/d.jpg", "e/.f/g.jpg")
    assert paths(discover(["in"])) == ["a.jpg"]
    assert paths(discover(["in/.b.jpg"])) == [".b.jpg"]
    assert paths(discover(["in/.c"])) == ["d.jpg"]


def test_links_are_followed_on_request_only(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "b.jpg", "c.jpg")
    folder = fill(tmp_path / "in", "a.jpg")
    (folder / "link.jpg").symlink_to("../elsewhere/b.jpg")
    (folder / "more").symlink_to("../elsewhere")
    assert paths(discover(["in"])) == ["a.jpg"]
    assert paths(discover(["in"], follow_symlinks=True)) == ["a.jpg", "link.jpg", "more/c.jpg"]


def test_a_named_link_is_followed_always(tmp_path: Path) -> None:
    fill(tmp_path / "real", "a.jpg")
    (tmp_path / "folder").symlink_to("real")
    assert paths(discover(["folder"])) == ["a.jpg"]


def test_a_link_keeps_the_name_that_the_user_gave(tmp_path: Path) -> None:
    """Links into a store, whose names say nothing, are common."""
    fill(tmp_path / "store", "4f3a", "deadbeef/a.jpg")
    (tmp_path / "holiday.jpg").symlink_to("store/4f3a")
    (tmp_path / "friends").symlink_to("store/deadbeef")
    assert paths(discover(["holiday.jpg"])) == ["holiday.jpg"]
    assert paths(discover(["holiday.jpg", "friends"])) == ["friends/a.jpg", "holiday.jpg"]


@pytest.mark.parametrize("target", [".", "..", "loop", "nowhere", "x" * 300])
def test_links_that_lead_round_or_nowhere_do_no_harm(tmp_path: Path, target: str) -> None:
    folder = fill(tmp_path / "in", "a.jpg", "sub/b.jpg")
    (folder / "loop").symlink_to(target)
    found = paths(discover(["in"], follow_symlinks=True))
    assert [path for path in found if not path.startswith("loop/")] == ["a.jpg", "sub/b.jpg"]
    assert len(found) == 2


def test_folders_that_link_to_each_other_are_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "in", "a/1.jpg", "b/2.jpg")
    (tmp_path / "in" / "a" / "b").symlink_to("../b")
    (tmp_path / "in" / "b" / "a").symlink_to("../a")
    listed: list[str] = []
    list_folder = module._entries
    monkeypatch.setattr(module, "_entries", lambda directory: listed.append(directory) or list_folder(directory))
    found = discover(["in"], follow_symlinks=True)
    assert sorted(Path(media.file).name for media in found) == ["1.jpg", "2.jpg"]
    assert len(listed) == 3


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        (["*.jpg"], [], ["a.jpg", "x/b.jpg", "x/y/c.jpg"]),
        (["a.*"], [], ["a.jpg", "a.png"]),
        (["x/*"], [], ["x/b.jpg", "x/y/c.jpg"]),
        (["x/b.jpg"], [], ["x/b.jpg"]),
        (["*.png", "c.jpg"], [], ["a.png", "x/y/c.jpg"]),
        ([], ["x/*"], ["a.jpg", "a.png"]),
        ([], ["*.jpg"], ["a.png"]),
        (["*.jpg"], ["*/y/*"], ["a.jpg", "x/b.jpg"]),
        (["*.JPG"], [], ["a.jpg", "x/b.jpg", "x/y/c.jpg"]),
        (["A.jpg"], [], []),
        ([], ["x"], ["a.jpg", "a.png"]),
        ([], ["y/"], ["a.jpg", "a.png", "x/b.jpg"]),
        ([], ["x/y/**"], ["a.jpg", "a.png", "x/b.jpg"]),
        (["[ab].jpg"], [], ["a.jpg", "x/b.jpg"]),
        ([], ["*"], []),
    ],
)
def test_globs_choose_by_path_or_name(
    tmp_path: Path, include: list[str], exclude: list[str], wanted: list[str]
) -> None:
    fill(tmp_path / "in", "a.jpg", "a.png", "x/b.jpg", "x/y/c.jpg")
    assert paths(discover(["in"], include, exclude)) == wanted


def test_globs_choose_among_named_files_too(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "b.jpg")
    assert paths(discover(["a.jpg", "b.jpg"], exclude=["a.*"])) == ["b.jpg"]


NAMES = {
    b"\xc3\xa9t\xc3\xa9.jpg": "été.jpg",
    b"e\xcc\x81.jpg": "\xe9.jpg",
    "写真🙂.jpg".encode(): "写真🙂.jpg",
    b"two\nlines.jpg": "two\nlines.jpg",
    b"a b  c.jpg": "a b  c.jpg",
    b"latin\xe9.jpg": "latin\\xe9.jpg",
    b"back\\slash.jpg": "back\\\\slash.jpg",
    b"back\\xe9.jpg": "back\\\\xe9.jpg",
    b"[1].jpg": "[1].jpg",
    b"-a.jpg": "-a.jpg",
    b"'\"$*?.jpg": "'\"$*?.jpg",
}


@pytest.mark.parametrize(("name", "path"), NAMES.items())
def test_every_name_has_a_text(tmp_path: Path, name: bytes, path: str) -> None:
    fill(tmp_path / "in", os.fsdecode(name))
    (media,) = discover(["in"])
    assert media.path == path
    assert media.path.encode() == path.encode()  # It can be written as UTF-8.
    assert Path(media.file).read_bytes() == JPEG
    assert paths(discover([media.file])) == [path]


def test_no_two_names_share_a_text() -> None:
    names = [os.fsdecode(name) for name in (b"\xe9", b"\\xe9", b"\\\\xe9", b"\\\xe9", b"\xc3\xa9")]
    assert len({table_path(name) for name in names}) == len(names)


def test_several_inputs_are_led_by_their_names(tmp_path: Path) -> None:
    fill(tmp_path, "one/a.jpg", "two/a.jpg", "b.jpg")
    assert paths(discover(["one", "two/", "b.jpg"])) == ["b.jpg", "one/a.jpg", "two/a.jpg"]
    assert paths(discover(["b.jpg"])) == ["b.jpg"]


def test_inputs_of_one_name_are_led_by_as_much_as_tells_them_apart(tmp_path: Path) -> None:
    fill(tmp_path, "x/in/a.jpg", "y/in/a.jpg", "z/a.jpg")
    assert paths(discover(["x/in", "y/in", "z"])) == ["x/in/a.jpg", "y/in/a.jpg", "z/a.jpg"]
    assert paths(discover(["x/in/a.jpg", "z/a.jpg"])) == ["in/a.jpg", "z/a.jpg"]


def test_longer_leads_do_not_run_into_other_inputs(tmp_path: Path) -> None:
    """`photos/b` tells two inputs named b apart; but b is also a folder of the input photos."""
    fill(tmp_path, "photos/b/x.jpg", "q/photos/b/x.jpg", "q/other/b/x.jpg")
    found = discover(["photos", "q/photos/b", "q/other/b"])
    assert len(found) == 3
    assert len(set(paths(found))) == 3


@pytest.mark.parametrize("inputs", [["in", "in/sub"], ["in/sub", "in"], ["in", "in/sub/b.jpg"], ["in", "./in/a.jpg"]])
def test_overlapping_inputs_give_each_file_once(tmp_path: Path, inputs: list[str]) -> None:
    fill(tmp_path / "in", "a.jpg", "sub/b.jpg")
    found = discover(inputs)
    assert sorted(Path(media.file).name for media in found) == ["a.jpg", "b.jpg"]
    assert len(set(paths(found))) == 2


@pytest.mark.parametrize("inputs", [["in", "in"], ["in", "./in/"], ["in", "in", "in/../in"]])
def test_an_input_named_twice_counts_once(tmp_path: Path, inputs: list[str]) -> None:
    fill(tmp_path / "in", "a.jpg")
    assert paths(discover(inputs)) == ["a.jpg"]


def test_two_hard_links_are_two_files(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "a.jpg")
    (folder / "b.jpg").hardlink_to(folder / "a.jpg")
    assert paths(discover(["in"])) == ["a.jpg", "b.jpg"]


def test_the_order_of_the_names_on_disk_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "in", *(f"{number % 3}/{number}.jpg" for number in range(12)))
    first = discover(["in"])
    with_scandir = module._entries
    monkeypatch.setattr(module, "_entries", lambda directory: with_scandir(directory)[::-1])
    assert discover(["in"]) == first


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_what_may_not_be_read_fails(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "a.jpg", "closed/b.jpg")
    (folder / "a.jpg").chmod(0)
    (folder / "closed").chmod(0)
    found = discover(["in"])
    (folder / "closed").chmod(0o700)
    assert [(media.path, media.failure and media.failure.code) for media in found] == [
        ("a.jpg", Code.UNREADABLE),
        ("closed", Code.UNREADABLE),
    ]


@pytest.mark.parametrize(("closed", "path"), [("in/closed", "closed"), ("in", "in")])
def test_a_folder_that_can_not_be_listed_gets_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str, path: str
) -> None:
    fill(tmp_path / "in", "closed/b.jpg")
    list_folder = module._entries

    def entries(directory: str) -> list[os.DirEntry[str]]:
        if directory == closed:
            raise PermissionError(13, "Permission denied")
        return list_folder(directory)

    monkeypatch.setattr(module, "_entries", entries)
    (media,) = discover(["in"])
    assert media.path == path
    assert media.failure is not None
    assert (media.failure.stage, media.failure.code) == (Stage.DISCOVER, Code.UNREADABLE)


def test_sample_media() -> None:
    found = {media.path: media.media_type for media in discover([str(SAMPLES)])}
    assert found == {
        "clips/animated.gif": "video",
        "clips/meeting.mp4": "video",
        "clips/pan_and_zoom.mp4": "video",
        "clips/phone.mp4": "video",
        "clips/variable_rate.mp4": "video",
        "photos/astronaut.jpg": "image",
        "photos/grace_hopper.jpg": "image",
        "photos/no_face.jpg": "image",
        "photos/two_people.png": "image",
    }


@pytest.mark.parametrize(
    ("directory", "inputs", "is_outside"),
    [
        ("out", ["in"], True),
        ("in/out", ["in"], False),
        ("in", ["in"], False),
        ("in2", ["in"], True),
        ("link", ["in"], False),
        ("out", ["in/a.jpg"], True),
        ("out", ["in", "."], False),
        ("in/../out", ["in"], True),
    ],
)
def test_outside(tmp_path: Path, directory: str, inputs: list[str], is_outside: bool) -> None:
    fill(tmp_path / "in", "a.jpg")
    (tmp_path / "link").symlink_to("in")
    assert outside(Path(directory), inputs) == is_outside


NFC, NFD = "caf\xe9", "cafe\u0301"


def test_names_are_in_one_normal_form_whatever_the_disk_has(tmp_path: Path) -> None:
    fill(tmp_path / "in", f"{NFD}/{NFD}.jpg")
    assert paths(discover(["in"])) == [f"{NFC}/{NFC}.jpg"]
    fill(tmp_path / NFD, "b.jpg")
    assert paths(discover([NFD, "in"])) == [f"{NFC}/b.jpg", f"in/{NFC}/{NFC}.jpg"]


@pytest.mark.parametrize("on_disk", [NFC, NFD])
@pytest.mark.parametrize("typed", [NFC, NFD])
def test_globs_match_in_either_normal_form(tmp_path: Path, on_disk: str, typed: str) -> None:
    fill(tmp_path / "in", f"{on_disk}.jpg", "other.jpg", f"{on_disk}s/a.jpg")
    assert paths(discover(["in"], [f"{typed}.*"])) == [f"{NFC}.jpg"]
    assert paths(discover(["in"], exclude=[f"{typed}*"])) == ["other.jpg"]
    assert paths(discover(["in"], exclude=[f"{typed}s"])) == [f"{NFC}.jpg", "other.jpg"]


def test_two_files_whose_names_differ_in_their_normal_form_alone_have_two_paths(tmp_path: Path) -> None:
    fill(tmp_path / "in", f"{NFD}.jpg", f"{NFC}.jpg")
    assert sorted(paths(discover(["in"]))) == sorted([f"{NFD}.jpg", f"{NFC}.jpg"])


SIDE_FILES = [
    "GL010001.LRV", "GX010001.THM", "DJI_0001.LRF", "LRV_20240101_00_001.mp4",
    "@eaDir/a.mp4/SYNOPHOTO_THUMB_XL.jpg", "sub/@eaDir/SYNO.jpg", "#recycle/old.jpg", "a.trickplay/320/0.jpg",
    "M4ROOT/THMBNL/C0001T01.JPG", "M4ROOT/SUB/C0001S03.MP4", "__MACOSX/x.jpg",
    "GX010002.MP4.part", "talk.mp4.crdownload", "GX010001.MP4~", "GX010001.MP4.bak",
]  # fmt: skip


def test_side_files_are_left_out_and_counted(tmp_path: Path) -> None:
    fill(tmp_path / "in", "GX010001.MP4", "M4ROOT/CLIP/C0001.MP4", *SIDE_FILES, content=MP4)
    found = survey(["in"])
    assert paths(found.media) == ["GX010001.MP4", "M4ROOT/CLIP/C0001.MP4"]
    assert found.side_files.total() == len(SIDE_FILES)
    everything = survey(["in"], all_files=True)
    assert len(everything.media) == 2 + len(SIDE_FILES)
    assert not everything.side_files


@pytest.mark.parametrize("given", ["in/GL010001.LRV", "in/@eaDir"])
def test_a_side_file_that_is_named_is_taken(tmp_path: Path, given: str) -> None:
    fill(tmp_path / "in", "GL010001.LRV", "@eaDir/a.jpg", content=MP4)
    assert len(discover([given])) == 1


def live(mark: bool) -> bytes:
    return MP4 + bytes(200_000) + (b"com.apple.quicktime.content.identifier" if mark else b"")


@pytest.mark.parametrize(
    ("photo", "movie", "mark", "is_live"),
    [
        ("IMG_1.HEIC", "IMG_1.MOV", True, True),
        ("img_1.heic", "IMG_1.mov", False, True),
        ("IMG_1.JPG", "IMG_1.MOV", True, True),
        ("IMG_1.JPG", "IMG_1.MOV", False, False),
        ("IMG_2.HEIC", "IMG_1.MOV", True, False),
        ("PXL_1.MP.jpg", "PXL_1.MP", False, True),
        ("IMG_1.JPG", "IMG_1.MP4", False, False),
    ],
)
def test_the_movie_of_a_live_photo_is_a_side_file(
    tmp_path: Path, photo: str, movie: str, mark: bool, is_live: bool
) -> None:
    fill(tmp_path / "in", photo)
    fill(tmp_path / "in", movie, content=live(mark))
    found = survey(["in"])
    assert (movie in paths(found.media)) == (not is_live)
    assert found.side_files.total() == is_live
    assert photo in paths(found.media)


@pytest.mark.parametrize("excluded", ["lost+found", "*/lost+found", "*lost+found*", "a/lost+found/*", "lost+found/"])
def test_an_excluded_folder_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, excluded: str) -> None:
    fill(tmp_path / "in", "a/b.jpg", "a/lost+found/c.jpg")
    list_folder = module._entries

    def entries(directory: str) -> list[os.DirEntry[str]]:
        if directory.endswith("lost+found"):
            raise PermissionError(13, "Permission denied")
        return list_folder(directory)

    monkeypatch.setattr(module, "_entries", entries)
    assert [media.failure is not None for media in discover(["in"])] == [False, True]
    assert paths(discover(["in"], exclude=[excluded])) == ["a/b.jpg"]


def test_what_the_globs_left_out_is_counted(tmp_path: Path) -> None:
    fill(tmp_path / "in", "a.jpg", "b.png", "c/d.png")
    found = survey(["in"], include=["*.jpg", "*.mkv"])
    assert (paths(found.media), found.filtered, found.unmatched) == (["a.jpg"], 2, ["*.mkv"])
