"""How fast is a run, beside decoding alone, the fer package, and itself with other settings?

    python benchmarks/speed.py [SCENARIO...] [--footage DIR] [--rounds 5] [--minutes 5] [--photos 200] [--clip FILE]
    python benchmarks/speed.py --page          # write docs/development/speed.md from what was measured so far

Makes the footage it needs (benchmarks/footage.py) in DIR, once; takes the entries of a scenario in turn in every round,
so that what else the machine does falls on all of them; and prints for each the wall time, and the ratio to the
scenario's first entry within the same round: median, least and most. DIR/speed.json keeps the figures; the page in the
docs is made from it. `ffmpeg` must be on the path (`apt-get install ffmpeg`). For the scenario `fer`, an environment
with that package is made in DIR/fer-venv (network, 3 GB), unless it is there. On a machine that others use, processor
time tells more than wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "benchmarks")]

import footage  # noqa: E402
from speed_page import table, write_page  # noqa: E402

RIVALS = str(REPOSITORY / "benchmarks" / "rivals.py")
FER = ["fer==25.10.3", "setuptools<80", "opencv-contrib-python<5"]


@dataclass(frozen=True)
class Entry:
    """Something to time: a command, and how much it goes through, in the scenario's unit. A command that prints its own
    count and seconds as JSON is taken at its word, so that its start-up does not count."""

    name: str
    command: list[str]
    amount: float
    out: Path | None = None


@dataclass(frozen=True)
class Scenario:
    """Entries to compare; the first is what the others are measured against."""

    title: str
    unit: str
    entries: list[Entry] = field(default_factory=list)


class Bench:
    """Makes scenarios on footage in a folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.folder: Path = options.footage.absolute()
        self.options = options
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seconds = 60 * options.minutes

    def ours(self, name: str, given: Path, amount: float, *arguments: object, workers: int = 2) -> Entry:
        out = self.folder / "out"
        command = [sys.executable, "-m", "fer_batch", "run", given, "--out", out, "--quiet"]
        return Entry(name, [str(part) for part in [*command, "--workers", workers, *arguments]], amount, out)

    def ffmpeg(self, name: str, given: Path, amount: float, *arguments: str) -> Entry:
        command = ["ffmpeg", "-v", "error", *arguments, "-i", str(given), "-map", "0:v", "-f", "null", "-"]
        return Entry(name, command, amount)

    def video(self, minutes: float, codec: str = "libx264", gop: int = 250) -> Path:
        path = self.folder / f"{codec}-gop{gop}-{minutes:g}min.mp4"
        return path if path.exists() else footage.make_video(path, minutes, codec, gop)

    def _against_ffmpeg(self, title: str, codec: str, gop: int) -> Scenario:
        video, seconds = self.video(self.options.minutes, codec, gop), self.seconds
        entries = [
            self.ffmpeg("FFmpeg, decoding alone", video, seconds),
            self.ffmpeg("FFmpeg, decoding alone, one thread", video, seconds, "-threads", "1"),
            self.ours("fer-batch, 1 sample a second", video, seconds),
            self.ours("fer-batch --fast", video, seconds, "--fast"),
            self.ours("fer-batch --keyframes", video, seconds, "--keyframes"),
        ]
        return Scenario(
            f"{title}, 1080p, 30 frames a second, {self.options.minutes:g} minutes", "media-seconds", entries
        )

    def h264(self) -> Scenario:
        return self._against_ffmpeg("H.264, a key frame every 250 frames", "libx264", 250)

    def h264_short(self) -> Scenario:
        return self._against_ffmpeg("H.264, a key frame every 30 frames", "libx264", 30)

    def h264_long(self) -> Scenario:
        """So long that start-up hardly counts."""
        minutes = 4 * self.options.minutes
        video, seconds = self.video(minutes), 60 * minutes
        entries = [
            self.ffmpeg("FFmpeg, decoding alone", video, seconds),
            self.ours("fer-batch, 1 sample a second", video, seconds),
            self.ours("fer-batch --fast", video, seconds, "--fast"),
            self.ours("fer-batch --keyframes", video, seconds, "--keyframes"),
        ]
        return Scenario(f"The same, {minutes:g} minutes", "media-seconds", entries)

    def hevc(self) -> Scenario:
        return self._against_ffmpeg("HEVC, a key frame every 250 frames", "libx265", 250)

    def fer(self) -> Scenario:
        clip = self.options.clip or REPOSITORY / "sample_media" / "clips" / "pan_and_zoom.mp4"
        video, frames, count = self.folder / f"repeated-{clip.stem}.mp4", 300, 0
        if not video.exists():
            seconds = float(_probe(clip, "format=duration"))
            footage.repeat(clip, video, round(120 / seconds))
        count = int(_probe(video, "stream=nb_frames"))
        python = _environment(self.folder / "fer-venv", FER)
        command = [python, RIVALS, "fer", str(video), str(frames)]
        entries = [
            Entry(f"fer, Haar, {frames} frames, start-up left out", command, frames),
            self.ours("fer-batch, every frame, start-up counted", video, count, "--every", 1),
            *(
                self.ours(f"the same with --longest-side {side}", video, count, "--every", 1, "--longest-side", side)
                for side in (320, 192)
            ),
        ]
        return Scenario(f"Every frame of {clip.name}, repeated to two minutes", "frames", entries)

    def photographs(self) -> Scenario:
        count, few = self.options.photos, 10
        photos = self.folder / f"photos-{count}"
        if not photos.exists():
            footage.make_photographs(photos, count)
        command = [sys.executable, RIVALS, "opencv", str(photos), str(few)]
        entries = [
            Entry(f"cv2.imread, detector at full size, {few} of them", command, few),
            self.ours("fer-batch", photos, count),
        ]
        return Scenario(f"{count} photographs of 12 megapixels", "photographs", entries)

    def workers(self) -> Scenario:
        """So long that start-up hardly counts: a worker alone leaves it to the other processor."""
        minutes = round(2 * self.options.minutes)
        long, short, several = self.video(minutes), self.video(1), self.folder / f"several-{minutes}"
        several.mkdir(exist_ok=True)
        for number in range(minutes):
            if not (several / f"{number}.mp4").exists():
                os.link(short, several / f"{number}.mp4")
        entries = [
            self.ours(f"{name}, {count} worker{'s' * (count > 1)}", given, 60 * length, workers=count)
            for name, given, length in (
                (f"{minutes} videos of a minute", several, minutes),
                (f"one video of {minutes} minutes", long, minutes),
            )
            for count in (1, 2)
        ]
        return Scenario("A second worker, 1080p H.264, 1 sample a second", "media-seconds", entries)

    def length(self) -> Scenario:
        entries = [self.ours(f"{n} minutes", self.video(n), 60 * n) for n in (10, 60)]
        return Scenario("Length of a video, 1080p H.264, 1 sample a second", "media-seconds", entries)

    def batches(self) -> Scenario:
        video = self.video(1)
        entries = [self.ours(f"--batch-size {n}", video, 60, "--fps", 10, "--batch-size", n) for n in (64, 16, 256)]
        return Scenario("Batch size, one minute at 10 samples a second", "media-seconds", entries)

    def files(self) -> Scenario:
        photos = footage.PHOTOS / "astronaut.jpg"
        entries = []
        for count in (1, 100, 1000):
            folder = self.folder / f"small-{count}"
            folder.mkdir(exist_ok=True)
            for number in range(count):
                shutil.copy(photos, folder / f"{number:04}.jpg")
            entries.append(self.ours(f"{count} photographs", folder, count))
        return Scenario("Number of files, 512 x 512 pixels each; the first is all start-up", "photographs", entries)


SCENARIOS: dict[str, Callable[[Bench], Scenario]] = {
    "h264": Bench.h264,
    "h264_long": Bench.h264_long,
    "h264_short": Bench.h264_short,
    "hevc": Bench.hevc,
    "fer": Bench.fer,
    "photographs": Bench.photographs,
    "workers": Bench.workers,
    "length": Bench.length,
    "batches": Bench.batches,
    "files": Bench.files,
}


def _probe(path: Path, entries: str) -> str:
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", entries, "-of", "csv=p=0", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().rstrip(",")


def _environment(folder: Path, packages: list[str]) -> str:
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return str(python)


def timed(entry: Entry) -> dict[str, Any]:
    """Wall and processor seconds of one go; of what prints them itself, its own."""
    if entry.out:
        shutil.rmtree(entry.out, ignore_errors=True)
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(entry.command, capture_output=True, text=True, cwd=REPOSITORY)
    wall, after = time.perf_counter() - started, os.times()
    if done.returncode:
        raise SystemExit(f"{entry.command}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout.startswith("{") else {}
    if entry.out:
        counts = json.loads((entry.out / "run.json").read_text())["counts"]
        printed = {"frames": counts["processed_frames"], "faces": counts["processed_faces"]}
    return {"wall": printed.get("seconds", wall), "cpu": cpu, **{k: v for k, v in printed.items() if k != "seconds"}}


def measure(name: str, bench: Bench, rounds: int, store: Path) -> dict[str, Any]:
    """Add rounds to what is in the store of the same entries; kept after each, so that nothing measured is lost."""
    scenario = SCENARIOS[name](bench)
    known: dict[str, Any] = json.loads(store.read_text()) if store.exists() else {}
    amounts = {entry.name: entry.amount for entry in scenario.entries}
    figures = known.get(name, {})
    if (figures.get("title"), figures.get("amounts")) != (scenario.title, amounts):
        figures = {"title": scenario.title, "unit": scenario.unit, "amounts": amounts, "rounds": []}
    known[name] = figures | {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "date": time.strftime("%Y-%m-%d"),
    }
    for _ in range(rounds):
        figures["rounds"].append({entry.name: timed(entry) for entry in scenario.entries})
        store.write_text(json.dumps(known, indent=1))
        print(json.dumps(figures["rounds"][-1]), flush=True)
    return known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--footage", type=Path, default=Path("build/speed"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    bench, path = Bench(options), options.footage / "speed.json"
    store = json.loads(path.read_text()) if path.exists() else {}
    for name in options.scenarios or ([] if options.page else SCENARIOS):
        store = measure(name, bench, options.rounds, path)
        print(table(store[name]), flush=True)
    write_page([store[name] for name in SCENARIOS if name in store])


if __name__ == "__main__":
    main()
