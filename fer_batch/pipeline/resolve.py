"""From what a user gave to a configuration that a run can work with: files are found, models are read.

What costs little is checked first, and nothing heavy is imported before it: a wrong path is reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_batch import resources, storage
from fer_batch.config import DetectorConfig, Device, Engine, ModelId, ResolvedConfig
from fer_batch.errors import UsageError
from fer_batch.run_config import RunConfig

if TYPE_CHECKING:
    from fer_batch.emotion.model_folder import ModelConfig


def resolve(config: RunConfig) -> ResolvedConfig:
    """Find the files and read the models that a configuration names.

    Raises:
        UsageError: Paths or the output folder are missing or unusable, or a model can't be used.
    """
    if not config.paths:
        raise UsageError("PATH is missing; name the files and folders to analyse")
    if config.out is None:
        raise UsageError("--out is missing; name a folder for the results with --out DIR")
    inputs, out = find_inputs(config.paths), find_out(config.out)
    detector = resolve_detector(config)
    model_folder, model, labels = resolve_model(config)
    given = replace(
        config,
        paths=inputs,
        out=str(out),
        detector_model=config.detector_model and os.path.abspath(config.detector_model),
        study=config.study and storage.absolute(config.study),
        segments=config.segments and storage.absolute(config.segments),
        model=os.path.abspath(config.model) if model_folder == Path(config.model) else config.model,
    )
    return ResolvedConfig(  # Long, for it lists every field.
        sampling=config.sampling,
        detector=detector,
        model_folder=model_folder,
        model=model,
        labels=labels,
        inputs=inputs,
        out=out,
        include=config.include,
        exclude=config.exclude,
        follow_symlinks=config.follow_symlinks,
        all_files=config.all_files,
        device=config.device,
        batch_size=config.batch_size,
        **choose_engine(config.engine, config.ray_address, config.workers, config.classifiers, config.device),
        timeout=config.timeout,
        window=config.window,
        report=config.report,
        study=None if given.study is None else storage.location(given.study),
        segments=None if given.segments is None else storage.location(given.segments),
        retry_failed=config.retry_failed,
        restart=config.restart,
        progress=not config.quiet,
        options=given.repeatable(),
    )


def find_inputs(paths: Sequence[str]) -> tuple[str, ...]:
    """The absolute paths or URLs of the inputs. Raises UsageError for one that does not exist."""
    found = [str(storage.location(path)) for path in paths]
    for path in found:
        try:
            if not storage.exists(path):
                raise UsageError(f"{path}: no such file or directory; check the path")
        except OSError as error:
            raise UsageError(f"{path}: can't be read ({error})") from error
    return tuple(storage.absolute(path) for path in found)


def find_out(text: str) -> Path:
    """The absolute output folder. Raises UsageError where a file is in the way or nothing can be written."""
    out = storage.location(text)
    if not isinstance(out, Path):  # On a store, only writing shows whether one may write; the lock is written first.
        return out
    # A link that leads nowhere is in the way as well.
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise UsageError(f"--out {out}: {nearest} is a file; choose a folder")
    if not os.access(nearest, os.W_OK):
        raise UsageError(f"--out {out}: {nearest} can't be written to; choose another folder")
    return out.absolute()


def resolve_detector(config: RunConfig) -> DetectorConfig:
    """The detector with its model file and that file's digest. Raises UsageError where it is missing or damaged."""
    from fer_batch.detection.model_folder import ONNX_FILE, embedded_detector, read_detector
    from fer_batch.model_folder import file_sha256

    resolved = DetectorConfig(
        config.detector, min_face=config.min_face, min_score=config.min_score, longest_side=config.longest_side
    )
    file = None if config.detector_model is None else Path(config.detector_model)
    if file is not None and not file.exists():
        raise UsageError(f"--detector-model {file}: no such file; check the path")
    if config.detector == "embedded":
        folder = file or embedded_detector()
        folder = folder.parent if folder.name == ONNX_FILE else folder
        digest = read_detector(folder).digest
        return replace(resolved, model_file=os.path.abspath(folder / ONNX_FILE), model_sha256=digest)
    if file is None:
        return resolved
    if not file.is_file():
        raise UsageError(f"--detector-model {file}: no such file; check the path")
    return replace(resolved, model_file=os.path.abspath(file), model_sha256=file_sha256(file))


def resolve_model(config: RunConfig) -> tuple[Path, ModelId, tuple[str, ...]]:
    """The emotion model's folder, its identity, and the emotions that the tables have columns for.

    Raises:
        ModelFolderError: There is no such model, or its folder is damaged.
    """
    from fer_batch.emotion.model_folder import find_model, read_config

    folder = find_model(config.model)
    model = read_config(folder)
    return folder, identify_model(model, config.merge_disgust), choose_labels(model, config.merge_disgust)


def identify_model(model: ModelConfig, merge_disgust: bool) -> ModelId:
    """What a run records about its emotion model."""
    correction = model.share_correction
    if correction is not None and merge_disgust:
        correction = correction.merged()
    return ModelId(model.name, model.version, model.weights_sha256, model.digest, correction)


def choose_labels(model: ModelConfig, merge_disgust: bool) -> tuple[str, ...]:
    """The emotions the tables have columns for."""
    from fer_batch.emotions import EMOTIONS_MERGED

    return EMOTIONS_MERGED if merge_disgust else model.labels


def choose_engine(
    engine: Engine, ray_address: str | None, workers: int | None, classifiers: int | None, device: Device
) -> dict[str, Any]:
    """The fields of a ResolvedConfig that say where work is done.

    By default there are as many workers as cores and memory allow, and on a Ray cluster a classifier for each GPU.

    Raises:
        UsageError: The cluster has too little, or there is no Ray.
    """
    if engine == "local":
        return {"workers": workers or resources.available_resources().workers}
    from fer_batch.runners.ray import connect

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
