"""Where the media of a run lie, by what the tables keep of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_batch.config import SCHEMA_VERSION
from fer_batch.emotions import EMOTIONS
from fer_batch.errors import UsageError
from fer_batch.pipeline.discover import discover, input_prefixes
from fer_batch.preview import sources
from fer_batch.preview.previews import preview_path
from fer_batch.preview.sources import read_sources
from fer_batch.records import MediaError
from fer_batch.storage import content_digest
from fer_batch.tables.commit import commit_part
from fer_batch.tables.digests import Digests
from fer_batch.tables.schema import to_tables
from tests.helpers.clips import make_video, steady

ODD = ["plain.mp4", "back\\slash.mp4", "夏 休み.mp4", os.fsdecode(b"not \xff utf-8.mp4"), "a #1 [x].mp4"]


def run_folder(out: Path, inputs: list[str], scored_file: Callable) -> Path:
    """The tables of a run over inputs, without a frame."""
    files = [
        scored_file(media.path, [(0.0, [])], size_bytes=media.size_bytes, modified_ns=media.modified_ns)
        for media in discover(inputs)
    ]
    commit_part(out, 1, to_tables(files, EMOTIONS), {}, input_prefixes(inputs))
    return out


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "deep").mkdir(parents=True)
    clip = make_video(tmp_path / "clip.mp4", steady(10, 2)).read_bytes()
    for name in ODD:
        (folder / "deep" / name).write_bytes(clip)
    return folder


def test_every_name_leads_back_to_its_file(tmp_path: Path, media: Path, scored_file: Callable) -> None:
    found = read_sources(run_folder(tmp_path / "out", [str(media)], scored_file), [], None)
    assert {source.file for source in found} == {str(media / "deep" / name) for name in ODD}
    for source in found:
        source.check()


def test_files_of_several_inputs_are_found_under_theirs(tmp_path: Path, media: Path, scored_file: Callable) -> None:
    single = make_video(tmp_path / "single.mp4", steady(10, 2))
    out = run_folder(tmp_path / "out", [str(media / "deep"), str(single)], scored_file)
    found = {source.path: source.file for source in read_sources(out, [], None)}
    assert found["single.mp4"] == str(single)
    assert found["deep/plain.mp4"] == str(media / "deep/plain.mp4")


def test_folder_of_other_tables_versions_is_refused(
    tmp_path: Path, media: Path, scored_file: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run_folder(tmp_path / "out", [str(media)], scored_file)
    monkeypatch.setattr(sources, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(UsageError, match=f"version {SCHEMA_VERSION}.*run again"):
        read_sources(out, [], None)


def test_other_file_of_the_same_size_elsewhere_is_accepted_but_not_in_place(
    tmp_path: Path, media: Path, scored_file: Callable
) -> None:
    out = run_folder(tmp_path / "out", [str(media)], scored_file)
    os.utime(media / "deep/plain.mp4", (0, 0))
    (moved,) = read_sources(out, ["plain.mp4"], str(media))
    moved.check()
    (in_place,) = read_sources(out, ["plain.mp4"], None)
    with pytest.raises(MediaError, match="has changed since the run"):
        in_place.check()


def test_another_time_of_the_same_content_is_accepted_in_place(
    tmp_path: Path, media: Path, scored_file: Callable
) -> None:
    out = run_folder(tmp_path / "out", [str(media)], scored_file)
    digests = Digests(out)
    digests.add([("deep/plain.mp4", content_digest(str(media / "deep/plain.mp4")))])
    digests.save()
    os.utime(media / "deep/plain.mp4", (0, 0))
    (source,) = read_sources(out, ["plain.mp4"], None)
    source.check()


@pytest.mark.parametrize("glob", ["cafe\u0301.*", "caf\xe9.MP4", "*\xe9.mp4"])
def test_a_name_of_decomposed_letters_leads_back_to_its_file(
    tmp_path: Path, media: Path, scored_file: Callable, glob: str
) -> None:
    (media / "e\u0301").mkdir()
    odd = (media / "deep/plain.mp4").rename(media / "e\u0301/cafe\u0301.mp4")
    (source,) = read_sources(run_folder(tmp_path / "out", [str(media)], scored_file), [glob], None)
    assert (source.path, source.file) == ("\xe9/caf\xe9.mp4", str(odd))
    source.check()


def test_preview_never_lies_outside_its_folder(tmp_path: Path, scored_file: Callable) -> None:
    file = scored_file("../../up.mp4", [(0.0, [])])
    commit_part(tmp_path / "out", 1, to_tables([file], EMOTIONS), {}, {"": "/data"})
    (source,) = read_sources(tmp_path / "out", [], None)
    assert preview_path(tmp_path / "previews", source) == tmp_path / "previews/up.mp4.preview.mp4"
