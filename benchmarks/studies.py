"""Do the statistics of a study keep their promises, and how long does a large study take?

    python benchmarks/studies.py [--draws 2000] [--seed 0] [--only coverage,bands,contrasts,synchrony,speed]

Makes respondents whose curves are known: probabilities between 0 and 1, skewed, each second carrying over 0.8 of the
one before, respondents differing in level, a tenth of the seconds missing in gaps of some seconds. Prints

- coverage: how many of the 95 % intervals over respondents hold the true mean of a segment of 30 seconds;
- bands: how many of the 95 % bands hold the whole true curve of 300 seconds, in which nothing happens, all react at
  three moments, or some respondents do;
- contrasts: how often two groups, or two conditions of one group, differ with p < 0.05, without a true difference and
  with one of 0.1;
- synchrony: how often p < 0.05 where respondents have nothing in common and where they have, and how many of the 95 %
  intervals hold the true correlation;
- speed: seconds and memory of `fer-batch study` on 300 recordings of an hour at one sample a second, ten factor values.
  Linux only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import expit

from fer_batch.analysis.studies.comparison import paired_contrast, welch_contrast
from fer_batch.analysis.studies.inference import mean_interval, simultaneous_band
from fer_batch.analysis.studies.synchrony import synchrony
from fer_batch.emotions import EMOTIONS
from fer_batch.measures import add_face_measures, frame_means
from fer_batch.tables.commit import commit_part
from fer_batch.tables.schema import faces_schema, frames_schema, media_schema

Floats = NDArray[np.float64]

CARRIED_OVER, NOISE, MISSING, GAP_S = 0.8, 1.2, 0.1, 5
SEGMENT_S, CURVE_S = 30, 300
#: Respondents of a study whose intervals are tried, and whose bands.
GROUP_SIZES, BAND_SIZES = (3, 5, 10, 30, 100), (5, 10, 30, 100)
#: The middle of the logits, and the mean that it gives.
LEVELS = {"0.05": -4.0, "0.1": -3.0, "0.2": -2.0, "0.5": 0.0}
LIMITS = (0.0, 1.0)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


def logits(rng: np.random.Generator, shape: tuple[int, int, int], level: float, spread: float) -> Floats:
    """(draws, respondents, seconds): each respondent's level, and noise that carries over."""
    noise = rng.normal(size=shape)
    noise[..., 1:] *= np.sqrt(1 - CARRIED_OVER**2)
    return level + spread * rng.normal(size=(*shape[:2], 1)) + NOISE * lfilter([1], [1, -CARRIED_OVER], noise, axis=2)


def mean_probability(level: Floats | float, spread: float) -> Floats:
    """The mean of the logistic function of `logits`."""
    size = np.hypot(spread, NOISE)
    return np.asarray(expit(np.asarray(level)[..., None] + size * _NODES) @ _WEIGHTS / _WEIGHTS.sum())


def with_gaps(rng: np.random.Generator, values: Floats) -> Floats:
    """The values, some seconds in a row missing here and there."""
    begins = rng.random(values.shape) < MISSING / GAP_S
    missing = lfilter(np.ones(GAP_S), [1], begins, axis=-1) > 0
    return np.where(missing, np.nan, values)


def print_table(title: str, rows: list[dict[str, object]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(rows[0])} |\n|{' --- |' * len(rows[0])}")
    for row in rows:
        print("| " + " | ".join(f"{v:.1f}" if isinstance(v, float) else str(v) for v in row.values()) + " |")
    sys.stdout.flush()


def percent(found: list[bool] | NDArray[np.bool_]) -> float:
    return 100 * float(np.mean(found))


def segment_values(rng: np.random.Generator, draws: int, count: int, level: float, spread: float) -> Floats:
    """Respondents' means over a segment, (respondents, draws)."""
    return np.nanmean(with_gaps(rng, expit(logits(rng, (draws, count, SEGMENT_S), level, spread))), axis=2).T


def coverage(draws: int, rng: np.random.Generator) -> None:
    rows = []
    for mean, level in LEVELS.items():
        for spread in (0.5, 1.0, 1.5):
            row: dict[str, object] = {"mean": mean, "spread of levels": spread}
            truth = float(mean_probability(level, spread))
            for count in GROUP_SIZES:
                found = mean_interval(segment_values(rng, draws, count, level, spread), LIMITS)
                row[f"{count} respondents"] = percent((found.low <= truth) & (truth <= found.high))
            rows.append(row)
    rare: dict[str, object] = {"mean": "a fifth react", "spread of levels": 1.0}
    truth = float(0.8 * mean_probability(-4.0, 1.0) + 0.2 * mean_probability(1.0, 1.0))
    for count in GROUP_SIZES:
        react = rng.random((count, draws)) < 0.2
        some, others = (segment_values(rng, draws, count, level, 1.0) for level in (1.0, -4.0))
        found = mean_interval(np.where(react, some, others), LIMITS)
        rare[f"{count} respondents"] = percent((found.low <= truth) & (truth <= found.high))
    print_table("Of 100 intervals, so many hold the mean:", [*rows, rare])


def curves(
    rng: np.random.Generator, draws: int, count: int, mean: str, share: float
) -> tuple[Iterator[Floats], Floats]:
    """Curves of respondents of whom a share reacts at three moments, and the true mean curve."""
    seconds = np.arange(CURVE_S)
    bump = 3.0 * sum(np.exp(-0.5 * ((seconds - CURVE_S * part) / 4) ** 2) for part in (0.2, 0.5, 0.8))
    level = LEVELS[mean]
    truth = (1 - share) * mean_probability(level, 1.0) + share * mean_probability(level + bump, 1.0)

    def made() -> Iterator[Floats]:
        for _ in range(draws):
            react = rng.random((count, 1)) < share
            yield with_gaps(rng, expit(logits(rng, (1, count, CURVE_S), level, 1.0)[0] + react * bump))

    return made(), truth


def bands(draws: int, rng: np.random.Generator) -> None:
    rows = []
    for mean in ("0.1", "0.2", "0.5"):
        for name, share in (("nobody reacts", 0.0), ("all react", 1.0), ("two in ten react", 0.2)):
            row: dict[str, object] = {"mean at rest": mean, "reaction": name}
            for count in BAND_SIZES:
                made, truth = curves(rng, draws, count, mean, share)
                found = [simultaneous_band(curve, LIMITS) for curve in made]
                row[f"{count} respondents"] = percent([not ((b.low > truth) | (truth > b.high)).any() for b in found])
            rows.append(row)
    print_table("Of 100 bands, so many hold the whole curve:", rows)


def contrasts(draws: int, rng: np.random.Generator) -> None:
    rows = []
    for mean, level in LEVELS.items():
        shifted = np.linspace(level, level + 6, 4001)
        higher = float(shifted[np.abs(mean_probability(shifted, 1.0) - mean_probability(level, 1.0) - 0.1).argmin()])
        for count in (5, 10, 30):
            row: dict[str, object] = {"mean": mean, "respondents": count}
            for name, other in (("no difference", level), ("0.1", higher)):
                a, b = (segment_values(rng, draws, count, each, 1.0) for each in (level, other))
                row[f"{name}: groups"] = percent(welch_contrast(a, b).p < 0.05)
                base = rng.normal(size=(draws, count, 1))
                a, b = (
                    np.nanmean(expit(logits(rng, (draws, count, SEGMENT_S), each, 0.0) + base), axis=2).T
                    for each in (level, other)
                )
                row[f"{name}: same respondents"] = percent(paired_contrast(a, b).p < 0.05)
            rows.append(row)
    print_table("Of 100 contrasts, so many have p < 0.05 (groups: so many respondents in each):", rows)


def together(rng: np.random.Generator, count: int, shared: float, signal: Floats) -> Floats:
    """Curves that follow a shared signal, each respondent more or less."""
    follows = shared * np.abs(rng.normal(size=(count, 1)))
    return with_gaps(rng, expit(logits(rng, (1, count, CURVE_S), -1.0, 1.0)[0] + follows * signal))


def synchronies(draws: int, rng: np.random.Generator) -> None:
    rows = []
    signal = logits(rng, (1, 1, CURVE_S), 0.0, 0.0)[0] / NOISE  # The stimulus: the same in all studies.
    for shared in (0.0, 0.3, 0.8):
        for count in (5, 10, 30):
            studies = (together(rng, count, shared, signal) for _ in range(3 * draws))
            found = [synchrony(next(studies), shifts=199) for _ in range(draws)]
            truth = float(np.mean([each.isc for each in found] + [synchrony(each, shifts=0).isc for each in studies]))
            holds = [each.isc_low <= truth <= each.isc_high for each in found]
            rows.append(
                {"shared": shared, "respondents": count, "true isc": f"{truth:.2f}"}
                | {"p < 0.05": percent([each.p < 0.05 for each in found]), "intervals that hold it": percent(holds)}
            )
    print_table("Synchrony, of 100:", rows)


def make_recordings(out: Path, part: int, count: int, seconds: int, rng: np.random.Generator) -> None:
    """A part with so many recordings of one face, which is missing now and then."""
    faces, frames, media = [], [], []
    for number in range(count):
        path = f"recordings/r{part:03}_{number:02}.mp4"
        index = np.arange(seconds)
        noise = rng.normal(0, 0.3, (seconds, len(EMOTIONS)))
        likely = np.exp(lfilter([1], [1, -0.95], noise, axis=0) + ([0] * 6 + [2]))
        likely /= likely.sum(axis=1, keepdims=True)
        rows = pd.DataFrame(
            {"media_path": path, "media_type": "video", "sample_index": index, "timestamp_s": index * 1.0}
        )
        frame = rows.assign(width=640, height=360)
        rows = rows.assign(face_index=0, track_id=0, x=50.0, y=50.0, width=80.0, height=80.0, detection_score=0.9)
        rows = rows.assign(**dict(zip(("yaw", "pitch", "roll"), rng.normal(0, 15, (3, seconds)), strict=True)))
        rows = rows.assign(**dict(zip(EMOTIONS, likely.T, strict=True)))
        rows["emotion"] = np.asarray(EMOTIONS)[likely.argmax(axis=1)]
        rows = add_face_measures(rows[rng.random(seconds) > 0.05])
        faces.append(rows)
        frame["face_count"] = frame["sample_index"].isin(rows["sample_index"]).astype(int)
        frames.append(frame.join(frame_means(rows, ["sample_index"], EMOTIONS), on="sample_index"))
        media.append({"media_path": path, "media_type": "video", "status": "done", "duration_s": float(seconds)})
    tables = {"media": pa.Table.from_pylist(media, media_schema())}
    for name, rows, schema in (("faces", faces, faces_schema(EMOTIONS)), ("frames", frames, frames_schema(EMOTIONS))):
        complete = pd.concat(rows).reindex(columns=schema.names)  # Columns that studies don't read are null.
        tables[name] = pa.Table.from_pandas(complete, schema, preserve_index=False)
    commit_part(out, part, tables, {}, {})


def speed(recordings: int, seconds: int, rng: np.random.Generator) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out, per_part = Path(folder) / "out", 20
        for part, start in enumerate(range(0, recordings, per_part), 1):
            make_recordings(out, part, min(per_part, recordings - start), seconds, rng)
        study, segments = Path(folder) / "STUDY.csv", Path(folder) / "SEGMENTS.csv"
        paths = pd.concat([pd.read_parquet(file) for file in sorted((out / "media").iterdir())])["media_path"]
        table = pd.DataFrame({"media": paths, "group": np.arange(len(paths)) % 2, "city": np.arange(len(paths)) % 8})
        table.to_csv(study, index=False)
        spans = [("baseline", 0, 60), *((f"scene {n}", n * seconds / 6, (n + 1) * seconds / 6) for n in range(1, 6))]
        pd.DataFrame(spans, columns=["segment", "start_s", "end_s"]).to_csv(segments, index=False)
        command = [sys.executable, "-m", "fer_batch", "study", str(out), str(study), "--segments", str(segments)]
        started = time.monotonic()
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit("fer-batch study failed")
        wall, used = time.monotonic() - started, usage.ru_utime + usage.ru_stime
        print(
            f"\n{recordings} recordings of {seconds} s: {wall:.0f} s, {used:.0f} s of CPU, {usage.ru_maxrss >> 10} MB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="coverage,bands,contrasts,synchrony,speed")
    parser.add_argument("--recordings", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=3600)
    options = parser.parse_args()
    parts = {
        "coverage": lambda rng: coverage(2 * options.draws, rng),
        "bands": lambda rng: bands(options.draws // 4, rng),
        "contrasts": lambda rng: contrasts(2 * options.draws, rng),
        "synchrony": lambda rng: synchronies(options.draws // 4, rng),
        "speed": lambda rng: speed(options.recordings, options.seconds, rng),
    }
    for name in options.only.split(","):
        parts[name](np.random.default_rng(options.seed))


if __name__ == "__main__":
    main()
