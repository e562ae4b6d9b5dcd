"""The configuration of a run, and the fingerprint of what in it decides the results."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fer_batch.share_correction import ShareCorrection

SCHEMA_VERSION = 1

SamplingMode = Literal["fps", "every", "keyframes"]
Device = Literal["auto", "cpu", "gpu"]
Engine = Literal["local", "ray"]


def available_cores() -> int:
    """The processors this process may use; containers and schedulers often allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are looked at. `fps`: samples per second; `every`: every Nth frame; `start`, `end`:
    seconds since the start of the stream, `end` excluded; `fast`: the nearest frame that is cheap to
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

    name: str = "haar"
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
class RunConfig:
    """All that a run needs to know. Fields are grouped by whether they change the rows of the tables."""

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
    device: Device = "auto"
    batch_size: int = 64
    workers: int = 1
    engine: Engine = "local"
    #: Of the engine ray: where the cluster is, and how many of its workers classify; with 0 the main process does.
    ray_address: str | None = None
    classifiers: int = 0
    timeout: float | None = None
    window: float = 10.0
    report: bool = True
    retry_failed: bool = False
    restart: bool = False
    progress: bool = True

    def results(self) -> dict[str, Any]:
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
        """A sha256 over `results()`."""
        return fingerprint(self.results())


def fingerprint(results: dict[str, Any]) -> str:
    """A sha256, in hexadecimal, over plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()


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
