"""The configuration of a run once every option is resolved, and the fingerprint of what in it decides the results.

Defaults stand here, once: `RunConfig` (run_config.py), which holds what users give, takes them from these classes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:  # It needs NumPy, which help and usage errors do without.
    from fer_batch.share_correction import ShareCorrection

SCHEMA_VERSION = 2

SamplingMode = Literal["fps", "every", "keyframes"]
Device = Literal["auto", "cpu", "gpu"]
Engine = Literal["local", "ray"]
DetectorName = Literal["embedded", "haar", "yunet"]

#: The names of the detectors; `detection.create_detector` makes them.
DETECTORS: tuple[str, ...] = get_args(DetectorName)


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are looked at. `fps`: samples per second; `every`: every Nth frame; `start`, `end`:
    seconds on the player's clock, `end` excluded; `fast`: the nearest frame that is cheap to
    decode will do, at most a quarter of the sampling interval away."""

    mode: SamplingMode = "fps"
    fps: float = 1.0
    every: int = 1
    start: float = 0.0
    end: float | None = None
    fast: bool = False


@dataclass(frozen=True)
class DetectorConfig:
    """Which detector, on which model file. `min_face`: pixels of the original frame, the smaller side of the box;
    `min_score`: 0..1, None for the detector's own; `longest_side`: frames are reduced to it before the search."""

    name: str = "embedded"
    model_file: str | None = None
    model_sha256: str | None = None
    min_face: int = 10
    min_score: float | None = None
    longest_side: int = 640


@dataclass(frozen=True)
class ModelId:
    """Which emotion model: its name and version for people, the sha256 of its weights file, the digest of all that
    decides its output, and what the corrected shares of summaries need to know, for the labels of the tables."""

    name: str
    version: str
    weights_sha256: str
    digest: str
    share_correction: ShareCorrection | None = None


@dataclass(frozen=True)
class ResolvedConfig:
    """All that a run needs to know: a `RunConfig` whose files were found and whose models were read.

    Attributes:
        sampling: Which frames of a video are looked at.
        detector: Which detector, with the digest of its model.
        model_folder: The emotion model's folder.
        model: Which emotion model.
        labels: The emotions that the tables have columns for.
        inputs: Absolute paths or URLs.
        out: Absolute output folder, or one on an object store.
        timeout: Seconds without a result after which a worker is stopped; None for no limit.
        window: Seconds per row of the timeline.
        study: The file that says who watched what, for a study at the end; None for no study.
        segments: The file of named spans of stimulus time.
        classifiers: With the engine ray, how many of its workers classify; with 0 the main process does.
        options: What the user gave, with absolute paths, kept in run.json so that the run can be repeated.
    """

    sampling: Sampling
    detector: DetectorConfig
    model_folder: Path
    model: ModelId
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    out: Path
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow_symlinks: bool = False
    all_files: bool = False
    device: Device = "auto"
    batch_size: int = 64
    workers: int = 1
    engine: Engine = "local"
    ray_address: str | None = None
    classifiers: int = 0
    timeout: float | None = 3600.0
    window: float = 10.0
    report: bool = True
    study: Path | None = None
    segments: Path | None = None
    retry_failed: bool = False
    restart: bool = False
    progress: bool = True
    options: dict[str, Any] = field(default_factory=dict, compare=False)

    def result_settings(self) -> dict[str, Any]:
        """The part that decides the rows, as plain values: only these make a folder incompatible."""
        sampling = asdict(self.sampling)
        # Values that the chosen mode does not read must not tell two equal runs apart.
        for name, mode in (("fps", "fps"), ("fast", "fps"), ("every", "every")):
            if self.sampling.mode != mode:
                del sampling[name]
        detector = asdict(self.detector)
        del detector["model_file"]
        return {
            "schema_version": SCHEMA_VERSION,
            "sampling": sampling,
            "detector": detector,
            "model": {"digest": self.model.digest, "labels": list(self.labels)},
        }

    def fingerprint(self) -> str:
        """A sha256 over `result_settings()`."""
        return fingerprint(self.result_settings())


def fingerprint(settings: dict[str, Any]) -> str:
    """A sha256, in hexadecimal, over plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """The leaves in which two nested dictionaries differ, as `name: old -> new`."""
    found = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before} -> {after}")
    return found
