"""`fer-batch run`: parse, make a configuration, run. Heavy libraries are imported when needed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fer_batch.cli.arguments import Window, location_of
from fer_batch.cli.exit_status import EXIT_DONE, EXIT_SOME_FAILED, endings


class DeviceOption(StrEnum):
    """Where faces are classified."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class EngineOption(StrEnum):
    """Where workers run."""

    local = "local"
    ray = "ray"


def run(
    paths: Annotated[
        list[Path], typer.Argument(help="Files and directories to analyse.", show_default=False, parser=location_of)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.", show_default=False, parser=location_of)],
    fps: Annotated[float | None, typer.Option(help="Samples per second of video.  [default: 1.0]")] = None,
    every: Annotated[int | None, typer.Option(min=1, help="Sample every Nth frame instead.")] = None,
    keyframes: Annotated[bool, typer.Option("--keyframes", help="Sample only key frames.")] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Take the nearest frame that is cheap to decode, at most 1/4 interval away.")
    ] = False,
    start: Annotated[float, typer.Option(min=0.0, help="Seconds into each video to start at.")] = 0.0,
    end: Annotated[float | None, typer.Option(min=0.0, help="Seconds into each video to stop before.")] = None,
    detector: Annotated[
        str | None, typer.Option(help="Face detector: embedded, haar or yunet.  [default: embedded]")
    ] = None,
    detector_model: Annotated[Path | None, typer.Option(help="Model file of the detector.")] = None,
    min_face: Annotated[int, typer.Option(min=1, help="Smallest face, in pixels of the frame.")] = 10,
    min_score: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Least score of a face; in videos three quarters of it suffice for one that is followed.",
        ),
    ] = None,
    longest_side: Annotated[int, typer.Option(min=64, help="Size of the search; more for small faces.")] = 640,
    model: Annotated[str, typer.Option(help="Emotion model: an embedded one's name, or a folder.")] = "emotion",
    merge_disgust: Annotated[bool, typer.Option("--merge-disgust", help="Six classes: disgust joins angry.")] = False,
    device: Annotated[DeviceOption, typer.Option(help="Where faces are classified.")] = DeviceOption.auto,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces per call of the classifier.")] = 64,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes.  [default: the cores]")] = None,
    engine: Annotated[EngineOption, typer.Option(help="Where they run: this machine, or a Ray cluster.")] = (
        EngineOption.local
    ),
    ray_address: Annotated[
        str | None, typer.Option(help="The cluster's head, host:port, or auto.  [default: this machine alone]")
    ] = None,
    classifiers: Annotated[
        int | None, typer.Option(min=0, help="Ray workers that classify.  [default: the cluster's GPUs]")
    ] = None,
    include: Annotated[list[str] | None, typer.Option(help="Only paths or names that match this glob.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No paths or names that match this glob.")] = None,
    follow_symlinks: Annotated[bool, typer.Option("--follow-symlinks", help="Follow links found in folders.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try files again that have failed.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Remove earlier results in the folder first.")] = False,
    window: Window = 10.0,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")] = True,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds without a result that end a worker.")] = 3600.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="More messages.")] = False,
    log_file: Annotated[Path | None, typer.Option(help="Write all messages there too, as JSON lines.")] = None,
) -> None:
    """Find, classify and tabulate the faces of all images and videos under PATHS."""
    with endings():
        from fer_batch.log import set_up_logging

        set_up_logging(quiet, verbose, log_file)
        from fer_batch.cli import options
        from fer_batch.config import RunConfig
        from fer_batch.emotion.model_folder import find_model, read_config
        from fer_batch.pipeline import run as orchestrator

        model_folder = find_model(model)
        model_config = read_config(model_folder)
        config = RunConfig(
            sampling=options.choose_sampling(fps, every, keyframes, fast, start, end),
            detector=options.choose_detector(detector, detector_model, min_face, min_score, longest_side),
            model_folder=model_folder,
            model=options.identify_model(model_config, merge_disgust),
            labels=options.choose_labels(model_config, merge_disgust),
            inputs=options.check_inputs(paths),
            out=options.check_out(out),
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
            follow_symlinks=follow_symlinks,
            device=device.value,
            batch_size=batch_size,
            **options.choose_engine(engine.value, ray_address, workers, classifiers, device.value),
            timeout=timeout,
            window=window,
            report=report,
            retry_failed=retry_failed,
            restart=restart,
            progress=not quiet,
        )
        all_done = orchestrator.run(config)
    raise typer.Exit(EXIT_DONE if all_done else EXIT_SOME_FAILED)
