"""What a run would do: the files, the estimate, and that nothing is written."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fer_batch.cli.app import app
from fer_batch.config import DetectorConfig, ResolvedConfig, Sampling
from fer_batch.emotion.model_folder import find_model
from fer_batch.errors import UsageError
from fer_batch.pipeline import dry_run as module
from fer_batch.pipeline import measuring
from fer_batch.pipeline.dry_run import DryRun, dry_run, format_bytes
from fer_batch.pipeline.measuring import Measurement, Sample, Speed
from fer_batch.pipeline.worker import Settings
from fer_batch.records import Media
from fer_batch.resources import Resources
from fer_batch.tables.ledger import Ledger
from fer_batch.tables.schema import to_tables
from tests.helpers.clips import SAMPLES, make_video, steady
from tests.helpers.run_config import config as make_config

IMAGE = Measurement("image", 0.5, 0.0, 0.0, 1, 2)
STRETCH = Measurement("video", 2.0, 0.1, 4.0, 4, 4)


@pytest.fixture
def config(tmp_path: Path) -> ResolvedConfig:
    """A run over two images, two videos and a file that can't be read."""
    made = make_config(tmp_path, detector=DetectorConfig("haar"), model_folder=find_model("emotion"))
    media = Path(made.inputs[0])
    for name in ("photos/no_face.jpg", "photos/two_people.png"):
        shutil.copy(SAMPLES / name, media)
    make_video(media / "a.mp4", steady(10, 100))
    make_video(media / "b.mp4", steady(10, 50))
    (media / "empty.jpg").touch()
    return made


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "measure", lambda *_: Speed())


@pytest.mark.usefixtures("unmeasured")
def test_files_are_counted_by_kind_with_sizes_and_lengths(config: ResolvedConfig) -> None:
    found = dry_run(config)
    media = Path(config.inputs[0])
    assert (found.images, found.videos, found.unreadable, found.skipped) == (2, 2, 1, 0)
    assert found.video_bytes == sum((media / name).stat().st_size for name in ("a.mp4", "b.mp4"))
    assert found.video_s == pytest.approx(15.0, abs=0.3)
    assert found.all_known
    assert found.kinds == Counter({".jpg": 1, ".mp4": 2, ".png": 1})
    text = "\n".join(found.lines())
    assert "to read: 4 files" in text
    assert "2 videos" in text
    assert "15 s" in text
    assert "besides, 1 file that can't be read and would fail" in text


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("restart", [False, True])
def test_a_study_of_files_that_are_not_there_is_refused_as_by_the_run(
    config: ResolvedConfig, tmp_path: Path, restart: bool
) -> None:
    (tmp_path / "STUDY.csv").write_text("media\na.mp4\ngone.mp4\n")
    with pytest.raises(UsageError, match=r"line 3, column media: 'gone\.mp4' matches no file"):
        dry_run(replace(config, study=tmp_path / "STUDY.csv", restart=restart))


@pytest.mark.usefixtures("unmeasured")
def test_only_the_wanted_part_of_videos_counts(config: ResolvedConfig) -> None:
    assert dry_run(replace(config, sampling=Sampling(start=2.0, end=7.0))).video_s == pytest.approx(5.0 + 3.0, abs=0.3)


@pytest.mark.usefixtures("unmeasured")
def test_lengths_that_were_not_looked_up_follow_from_the_sizes(
    config: ResolvedConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_UP_S", -1.0)
    found = dry_run(config)
    assert not found.all_known
    monkeypatch.setattr(module, "_lengths", lambda videos, _: {"a.mp4": 10.0})
    found = dry_run(config)
    assert "about" in "\n".join(found.lines())
    assert found.video_s == pytest.approx(10.0 * found.video_bytes / (Path(config.inputs[0]) / "a.mp4").stat().st_size)


@pytest.mark.usefixtures("unmeasured")
def test_files_of_an_earlier_run_are_done_already(config: ResolvedConfig, scored_file, shares_of) -> None:
    there = (Path(config.inputs[0]) / "a.mp4").stat()
    done = scored_file(
        "a.mp4", [(0.0, [shares_of(neutral=1.0)])], size_bytes=there.st_size, modified_ns=there.st_mtime_ns
    )
    Ledger(config.out).commit(to_tables([done], config.labels), config.result_settings(), {"": config.inputs[0]})
    found = dry_run(config)
    assert (found.videos, found.skipped) == (1, 1)
    assert dry_run(replace(config, restart=True)).skipped == 0
    with pytest.raises(UsageError, match="sampling"):
        dry_run(replace(config, sampling=Sampling(fps=5.0)))


def test_some_of_each_kind_is_measured_and_nothing_is_written(
    config: ResolvedConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "MEASURE_S", 0.0)
    before = sorted(Path(config.inputs[0]).iterdir())
    found = dry_run(config)
    assert found.seconds is not None
    assert found.seconds > 0
    assert found.result_bytes is not None
    assert "image" in found.measured
    assert "of video" in found.measured
    assert sorted(Path(config.inputs[0]).iterdir()) == before
    assert not config.out.exists()


def estimate(images: int, videos: int, video_s: float, workers: int, speed: Speed, tmp_path: Path) -> float:
    return module._estimate(make_config(tmp_path, workers=workers), speed, images, videos, video_s)[0]


def test_time_grows_with_the_media_and_falls_with_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_resources", lambda: Resources(8))
    speed = Speed([IMAGE, STRETCH])
    one = estimate(100, 0, 0.0, 1, speed, tmp_path)
    assert one == pytest.approx(50.0)
    assert estimate(200, 0, 0.0, 1, speed, tmp_path) == pytest.approx(2 * one)
    assert estimate(100, 0, 0.0, 4, speed, tmp_path) == pytest.approx(one / 4)
    assert estimate(16, 0, 0.0, 4, speed, tmp_path) == pytest.approx(8.0)  # One task: no two workers share it.
    hour = estimate(0, 1, 3600.0, 1, speed, tmp_path)
    assert hour == pytest.approx(3600 / 2 + 120 * 0.1)


def test_a_slow_classifier_decides_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_resources", lambda: Resources(8))
    speed = Speed([IMAGE], face_s=10.0)
    assert estimate(100, 0, 0.0, 4, speed, tmp_path) == pytest.approx(100 * (2 * 10.0 + module._FRAME_S))


def test_samples_are_spread_over_sizes_and_times() -> None:
    images = [Media(f"/{i}.jpg", f"{i}.jpg", "image", i, 0) for i in range(1000)]
    videos = [Media(f"/{i}.mp4", f"{i}.mp4", "video", i, 0) for i in range(3)]
    samples = module._samples(images, videos, {"0.mp4": 100.0, "1.mp4": 0.0, "2.mp4": 3000.0}, Sampling())
    sizes = sorted(sample.media.size_bytes for sample in samples if sample.media.media_type == "image")
    assert len(sizes) == 64
    assert max(after - before for before, after in pairwise(sizes)) <= 16
    starts = sorted(sample.start for sample in samples if sample.media.path == "2.mp4")
    assert len(starts) == 62
    assert starts[-1] - starts[0] > 2900
    assert [sample.media.media_type for sample in samples[:4]] == ["image", "video", "image", "video"]


def test_seconds_that_cannot_be_decoded_count_as_seconds_without_frames(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "a.mp4", steady(10, 100))
    content = bytearray(clip.read_bytes())
    begin, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    content[begin:end] = b"\xff" * (end - begin)  # Its index still states ten seconds.
    clip.write_bytes(content)
    media = Media(str(clip), "a.mp4", "video", len(content), 0)
    measured = list(measuring.make_measurer(Settings(Sampling(), DetectorConfig("haar")))(Sample(media, 2.0)))
    assert [(measurement.media_seconds, measurement.frames) for measurement in measured] == [(4.0, 0)]


def test_short_videos_are_not_measured_twice() -> None:
    video = Media("/a.mp4", "a.mp4", "video", 1, 0)
    assert module._samples([], [video], {"a.mp4": 8.0}, Sampling()) in (
        [Sample(video, 2.0), Sample(video, 6.0)],
        [Sample(video, 6.0), Sample(video, 2.0)],
    )


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (12_345_678, "12.3 MB"), (5e12, "5.0 TB")]
)
def test_sizes_are_printed_with_their_unit(size: float, text: str) -> None:
    assert format_bytes(size) == text


def test_command_prints_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = DryRun(3, 1, 2_000_000, 10_000_000, 7200.0, True, Counter({".jpg": 3, ".mp4": 1}), 0, 5, 90.0, 10**6, "x")
    monkeypatch.setattr(module, "dry_run", lambda _: found)
    done = CliRunner().invoke(app, ["run", str(SAMPLES), "--out", str(tmp_path / "out"), "--dry-run"])
    assert done.exit_code == 0
    assert "estimate: 1.5 min, 1.0 MB of results" in done.stdout
    assert "done already: 5 files" in done.stdout
    assert not (tmp_path / "out").exists()
