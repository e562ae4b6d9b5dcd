"""From what the user typed to a checked configuration. Every UsageError here says what to type instead."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fer_batch import storage
from fer_batch.config import DetectorConfig, Device, Engine, ModelId, Sampling, available_cores
from fer_batch.detection import DEFAULT_DETECTOR, DETECTORS
from fer_batch.detection.model_folder import ONNX_FILE, embedded_detector, read_detector
from fer_batch.emotion.model_folder import ModelConfig
from fer_batch.emotions import EMOTIONS_MERGED
from fer_batch.errors import UsageError
from fer_batch.model_folder import file_sha256
from fer_batch.runners.ray import connect


def check_inputs(paths: Sequence[Path]) -> tuple[str, ...]:
    """The absolute paths or URLs of the inputs. Raises UsageError for one that does not exist."""
    for path in paths:
        try:
            if not storage.exists(str(path)):
                raise UsageError(f"{path}: no such file or directory; check the path")
        except OSError as error:
            raise UsageError(f"{path}: can't be looked at ({error})") from error
    return tuple(storage.absolute(str(path)) for path in paths)


def check_out(out: Path) -> Path:
    """The absolute output folder. Raises UsageError where a file is in the way or nothing can be written."""
    if not isinstance(out, Path):  # Of a store, the lock tells: only writing says whether one may write.
        return out
    # A link that leads nowhere is in the way as well.
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise UsageError(f"--out {out}: {nearest} is a file; choose a folder")
    if not os.access(nearest, os.W_OK):
        raise UsageError(f"--out {out}: {nearest} can't be written to; choose another folder")
    return out.absolute()


def choose_sampling(
    fps: float | None, every: int | None, keyframes: bool, fast: bool, start: float, end: float | None
) -> Sampling:
    """The sampling asked for, one sample a second if none. Raises UsageError for options that exclude each other."""
    asked = [name for name, given in (("--fps", fps), ("--every", every), ("--keyframes", keyframes)) if given]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} exclude each other; give one of them")
    for name, value in (("--fps", fps), ("--start", start), ("--end", end)):
        if value is not None and not math.isfinite(value):
            raise UsageError(f"{name} {value:g}: must be a finite number")
    if fps is not None and fps <= 0:
        raise UsageError(f"--fps {fps:g}: must be above 0")
    if end is not None and end <= start:
        raise UsageError(f"--end {end:g}: must be above --start {start:g}")
    if fast and (every or keyframes):
        raise UsageError(f"--fast goes with --fps; {asked[0]} already says which frames")
    if keyframes:
        return Sampling("keyframes", start=start, end=end)
    if every is not None:
        return Sampling("every", every=every, start=start, end=end)
    return Sampling("fps", fps=1.0 if fps is None else fps, start=start, end=end, fast=fast)


def choose_detector(
    name: str | None, model_file: Path | None, min_face: int, min_score: float | None, longest_side: int
) -> DetectorConfig:
    """The detector asked for, by default the embedded one. Raises UsageError for an unknown name or a missing file."""
    name = name or DEFAULT_DETECTOR
    if name not in DETECTORS:
        raise UsageError(f"--detector {name}: is none of {', '.join(DETECTORS)}")
    limits: dict[str, Any] = {"min_face": min_face, "min_score": min_score, "longest_side": longest_side}
    if name == "embedded":
        folder = model_file or embedded_detector()
        folder = folder.parent if folder.name == ONNX_FILE else folder
        return DetectorConfig(name, os.path.abspath(folder / ONNX_FILE), read_detector(folder).digest, **limits)
    if model_file is None:
        return DetectorConfig(name, **limits)
    if name == "haar":
        raise UsageError("--detector-model: the detector haar takes no file; add --detector yunet")
    if not model_file.is_file():
        raise UsageError(f"--detector-model {model_file}: no such file; check the path")
    return DetectorConfig(name, os.path.abspath(model_file), file_sha256(model_file), **limits)


def identify_model(model: ModelConfig, merge_disgust: bool) -> ModelId:
    """What a run keeps of its emotion model."""
    correction = model.share_correction
    if correction is not None and merge_disgust:
        correction = correction.merged()
    return ModelId(model.name, model.version, model.weights_sha256, model.digest, correction)


def choose_engine(
    engine: Engine, ray_address: str | None, workers: int | None, classifiers: int | None, device: Device
) -> dict[str, Any]:
    """The fields of a RunConfig that say where work is done. By default there is a worker for each processor, and on a
    Ray cluster a classifier for each GPU. Raises UsageError where options don't fit, and where there is no Ray."""
    if engine == "local":
        for name, value in (("--ray-address", ray_address), ("--classifiers", classifiers)):
            if value is not None:
                raise UsageError(f"{name} goes with --engine ray")
        return {"workers": workers or available_cores()}
    cluster = connect(ray_address)
    if classifiers is None:
        classifiers = 0 if device == "cpu" else cluster.gpus
    if device != "cpu" and 0 < cluster.gpus < classifiers:
        raise UsageError(
            f"--classifiers {classifiers}: the cluster has {cluster.gpus} GPUs; ask for no more, or --device cpu"
        )
    room = cluster.cpus - classifiers  # Each takes a processor, and would wait for ever for one that workers hold.
    if room < 1:
        raise UsageError(
            f"--classifiers {classifiers}: leave one of the cluster's {cluster.cpus} processors to a worker"
        )
    workers = min(workers or room, room) if classifiers else workers or room
    return {"workers": workers, "engine": engine, "ray_address": ray_address, "classifiers": classifiers}


def choose_labels(model: ModelConfig, merge_disgust: bool) -> tuple[str, ...]:
    """The emotions the tables have columns for."""
    return EMOTIONS_MERGED if merge_disgust else model.labels
