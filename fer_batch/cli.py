"""The command line: parse, make a configuration, run, give an exit status. Heavy libraries are imported when needed."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

EXIT_DONE, EXIT_SOME_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Apparent facial expressions in folders of images and videos, as Parquet tables.",
)


class DeviceOption(StrEnum):
    """Where faces are classified."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class EngineOption(StrEnum):
    """Where workers run."""

    local = "local"
    ray = "ray"


def _location(text: str) -> Path:
    from fer_batch.config import UsageError
    from fer_batch.storage import location

    try:
        return location(text)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None


Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of a run.", show_default=False, parser=_location)
]
Window = Annotated[float, typer.Option(min=0.001, help="Seconds per row of the timeline.")]


@app.command()
def run(
    paths: Annotated[
        list[Path], typer.Argument(help="Files and directories to analyse.", show_default=False, parser=_location)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.", show_default=False, parser=_location)],
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
    with _endings():
        from fer_batch.messages import set_up_logging

        set_up_logging(quiet, verbose, log_file)
        from fer_batch import run as orchestrator
        from fer_batch import usage
        from fer_batch.config import RunConfig
        from fer_batch.models.folder import find_model, read_config

        model_folder = find_model(model)
        model_config = read_config(model_folder)
        config = RunConfig(
            sampling=usage.choose_sampling(fps, every, keyframes, fast, start, end),
            detector=usage.choose_detector(detector, detector_model, min_face, min_score, longest_side),
            model_folder=model_folder,
            model=usage.identify_model(model_config, merge_disgust),
            labels=usage.choose_labels(model_config, merge_disgust),
            inputs=usage.check_inputs(paths),
            out=usage.check_out(out),
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
            follow_symlinks=follow_symlinks,
            device=device.value,
            batch_size=batch_size,
            **usage.choose_engine(engine.value, ray_address, workers, classifiers, device.value),
            timeout=timeout,
            window=window,
            report=report,
            retry_failed=retry_failed,
            restart=restart,
            progress=not quiet,
        )
        all_done = orchestrator.run(config)
    raise typer.Exit(EXIT_DONE if all_done else EXIT_SOME_FAILED)


@app.command()
def summarize(
    directory: Directory,
    window: Window = 10.0,
) -> None:
    """Rebuild summary/ from the tables in DIR, without decoding anything again."""
    with _endings():
        from fer_batch.lock import hold
        from fer_batch.runfile import read_run_file
        from fer_batch.stages import summarize as stage

        _parts_of(directory)
        with hold(directory):
            if read_run_file(directory).get("status") == "running":  # Not any more: the folder could be locked.
                typer.echo("fer-batch: the run there was killed; these are summaries of what it had finished", err=True)
            stage.summarize(directory, window)


@app.command()
def compact(
    directory: Directory,
    out: Annotated[
        Path | None, typer.Option(help="Write the tables into a new folder.  [default: in place]", parser=_location)
    ] = None,
) -> None:
    """Merge the many small part files of a long run into few large ones, unseen by whoever reads them."""
    with _endings():
        from contextlib import ExitStack

        from fer_batch.compact import compact as merge
        from fer_batch.lock import hold

        _parts_of(directory)
        with ExitStack() as held:
            held.enter_context(hold(directory))
            if out is not None:
                held.enter_context(hold(out))
            before, after = merge(directory, out)
        typer.echo(f"{before} parts of each table became {after}", err=True)


@app.command()
def report(directory: Directory) -> None:
    """Rebuild report.html from the tables, summaries and run.json in DIR."""
    with _endings():
        from fer_batch.lock import hold
        from fer_batch.stages import report as stage

        _summarized_parts_of(directory)
        with hold(directory):
            stage.report(directory)


@app.command()
def sql(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder of a run.")] = Path(),
) -> None:
    """Print SQL views of the tables in DIR, for DuckDB: who watched when, strongest moments, coverage and more."""
    with _endings():
        from fer_batch.sql import views

        typer.echo("\n".join(views(directory, _labels_of_tables(directory)).values()), nl=False)


@app.command()
def dashboard(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.", show_default=False)],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine, 127.0.0.1.")] = 8501,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only say where the page is.")] = False,
) -> None:
    """Open an interactive page over the tables in DIR, until Ctrl-C; needs the extra `dashboard`."""
    with _endings():
        from fer_batch.dashboard import serve

        _labels_of_tables(directory)
        raise typer.Exit(serve(directory, port, not no_browser))


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="A .parquet or fer2013.csv, or a folder of train/<emotion>/*.jpg.")],
    out: Annotated[Path, typer.Option(help="Model folder to make.", show_default=False)],
    recipe: Annotated[Path | None, typer.Option(help="Recipe as JSON; options below override it.")] = None,
    architecture: Annotated[str | None, typer.Option(help="Network.  [default: compact-resnet]")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0.0)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    merge_disgust: Annotated[bool, typer.Option("--merge-disgust", help="Six classes: disgust joins angry.")] = False,
    name: Annotated[str, typer.Option(help="The model's name.")] = "emotion",
    version: Annotated[str, typer.Option(help="The model's version.")] = "1",
) -> None:
    """Train an emotion model; the same command goes on from the last epoch's checkpoint."""
    with _endings():
        _set_up_backend()
        from fer_batch.training.dataset import read_faces
        from fer_batch.training.recipe import Recipe, read_recipe, with_overrides
        from fer_batch.training.train import train as train_model

        overrides = {
            "architecture": architecture,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "merge_disgust": merge_disgust or None,
        }
        chosen = with_overrides(read_recipe(recipe) if recipe else Recipe(), overrides)
        train_model(read_faces(data), chosen, out, name, version)
        typer.echo(f"wrote {out}")


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Model folder, or the name of an embedded model.")],
    data: Annotated[Path, typer.Argument(help="Labelled faces, as for train.")],
    usage: Annotated[str, typer.Option(help="The split of DATA to look at.")] = "PublicTest",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there too.")] = None,
    card: Annotated[Path | None, typer.Option(help="Write a model card there, its pictures beside it.")] = None,
) -> None:
    """Accuracy, calibration and per-class figures of a model on labelled faces."""
    with _endings():
        _set_up_backend()
        from fer_batch.files import write_json
        from fer_batch.models.folder import find_model
        from fer_batch.training.card import HELD_BACK, write_card
        from fer_batch.training.dataset import read_faces
        from fer_batch.training.evaluate import evaluate as evaluate_model
        from fer_batch.training.evaluate import report

        folder = find_model(model)
        faces = read_faces(data)
        figures = evaluate_model(folder, faces, usage)
        typer.echo(report(figures))
        if json_file is not None:
            write_json(json_file, figures)
        if card is not None:
            others = {HELD_BACK} & set(faces.usages) - {usage}
            write_card(card, folder, {usage: figures} | {name: evaluate_model(folder, faces, name) for name in others})


@app.command()
def quantize(
    model: Annotated[str, typer.Argument(help="Folder made by train or train-detector.")],
    data: Annotated[Path, typer.Argument(help="The data it was trained on.")],
) -> None:
    """Write a model's network in 8 bits into its folder, as training does where the package onnx is; of a detector the
    default threshold is chosen anew as well."""
    with _endings():
        _set_up_backend()
        from fer_batch.models.detector_folder import ONNX_FILE, read_detector
        from fer_batch.models.folder import INT8_FILE, find_model, read_config
        from fer_batch.training.onnx_graph import check_onnx

        check_onnx()  # Not after the data was read.
        folder = find_model(model)
        if (folder / ONNX_FILE).is_file():
            from fer_batch.training.detector.folder import quantize_detector
            from fer_batch.training.detector.photographs import read_photographs
            from fer_batch.training.detector.recipe import RECIPE_FILE, read_detector_recipe

            read_detector(folder)
            recipe = read_detector_recipe(folder / RECIPE_FILE)
            threshold = quantize_detector(folder, read_photographs(data), recipe)
            typer.echo(f"its default threshold is {threshold} now")
        else:
            from fer_batch.training.dataset import read_faces
            from fer_batch.training.export import quantize_model

            read_config(folder)
            quantize_model(folder, read_faces(data))
        typer.echo(f"wrote {folder / INT8_FILE}")


@app.command("train-detector")
def train_detector(
    data: Annotated[Path, typer.Argument(help="A .parquet of photographs with boxes, landmarks and scores.")],
    teacher: Annotated[Path, typer.Option(help="ONNX file of the detector to learn from.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Detector folder to make.", show_default=False)],
    recipe: Annotated[Path | None, typer.Option(help="Recipe as JSON; options below override it.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0.0)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    name: Annotated[str, typer.Option(help="The detector's name.")] = "face_detector",
    version: Annotated[str, typer.Option(help="The detector's version.")] = "1",
) -> None:
    """Train a face detector; the same command goes on from the last epoch's checkpoint."""
    with _endings():
        _set_up_backend()
        from fer_batch.training.detector.folder import write_detector_folder
        from fer_batch.training.detector.photographs import read_photographs
        from fer_batch.training.detector.recipe import DetectorRecipe, read_detector_recipe
        from fer_batch.training.detector.train import CHECKPOINT_FILE
        from fer_batch.training.detector.train import train_detector as train_network
        from fer_batch.training.onnx_graph import check_onnx

        check_onnx()  # Not after an hour of training.
        given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
        overrides: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        chosen = read_detector_recipe(recipe) if recipe else DetectorRecipe()
        chosen = replace(chosen, **overrides)
        photographs = read_photographs(data)
        network = train_network(photographs, teacher, chosen, out)
        write_detector_folder(network, photographs, chosen, out, name, version)
        (out / CHECKPOINT_FILE).unlink(missing_ok=True)
        typer.echo(f"wrote {out}")


@app.command("evaluate-detector")
def evaluate_detector(
    detector: Annotated[str, typer.Argument(help="embedded, haar, yunet, or a folder made by train-detector.")],
    data: Annotated[
        Path, typer.Argument(help="A .parquet as for train-detector, or a WIDER FACE style .txt or .json.")
    ],
    detector_model: Annotated[Path | None, typer.Option(help="Model file of the detector.")] = None,
    longest_side: Annotated[int, typer.Option(min=32, help="Pictures are reduced to it, never enlarged.")] = 640,
    recipe: Annotated[
        Path | None, typer.Option(help="Recipe whose held-out sources of a .parquet to look at.  [default: its own]")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there too.")] = None,
    card: Annotated[Path | None, typer.Option(help="Write the detector's card there.")] = None,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Figures written by --json to set beside, in the card.")
    ] = None,
) -> None:
    """Average precision, landmark error and false faces of a detector on labelled photographs."""
    with _endings():
        from fer_batch.files import write_json
        from fer_batch.training.detector.card import detector_card, read_figures
        from fer_batch.training.detector.evaluate import evaluate_detector as measure
        from fer_batch.training.detector.evaluate import report
        from fer_batch.training.detector.folder import detector_config, detector_folder, validation_part
        from fer_batch.training.detector.photographs import read_photographs

        config = detector_config(detector, detector_model, longest_side)
        photographs = read_photographs(data)
        if data.suffix == ".parquet":
            photographs = validation_part(config, photographs, recipe)
        figures = {"data": data.name, **measure(config, photographs)}
        typer.echo(report(figures))
        if json_file is not None:
            write_json(json_file, figures)
        if card is not None:
            table = [figures, *(read_figures(file) for file in beside or ())]
            card.write_text(detector_card(detector_folder(config), table), encoding="utf-8")


@app.command()
def info() -> None:
    """Versions, devices, the models at hand with their sha256, and the video decoders."""
    with _endings():
        from fer_batch.info import describe

        typer.echo(json.dumps(describe(), indent=2, ensure_ascii=False))


def _parts_of(directory: Path) -> list[str]:
    """The names of the parts in a folder. Raises UsageError where it has none."""
    from fer_batch.config import UsageError
    from fer_batch.tables import committed_parts

    if not (parts := committed_parts(directory)):
        raise UsageError(f"{directory}: holds no tables of a run; give the --out folder of a run")
    return parts


def _summarized_parts_of(directory: Path) -> list[str]:
    """The same. Raises UsageError also where there are no summaries."""
    from fer_batch.config import UsageError
    from fer_batch.stages.summarize import has_summaries

    parts = _parts_of(directory)
    if not has_summaries(directory):
        raise UsageError(f"{directory}: holds no summaries; fer-batch summarize {directory} makes them")
    return parts


def _labels_of_tables(directory: Path) -> tuple[str, ...]:
    """The emotions that the tables of a folder have. Raises UsageError where it has none, or no summaries."""
    from fer_batch.stages.summarize import table_labels

    return table_labels(directory, _summarized_parts_of(directory))


@contextmanager
def _endings() -> Iterator[None]:
    """What the user can mend becomes one line and status 2; Ctrl-C, SIGTERM and a closed terminal become status 130."""
    from fer_batch.config import UsageError
    from fer_batch.messages import one_line

    _interrupt_at_signals()
    try:
        yield
    except UsageError as error:
        typer.echo(f"fer-batch: {one_line(str(error))}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    except OSError as error:  # A full disk, a folder that has gone: nothing of ours can go on.
        logging.getLogger("fer_batch").debug("", exc_info=True)
        typer.echo(
            f"fer-batch: {one_line(str(error))}; mend it, then the same command goes on where it stopped", err=True
        )
        raise typer.Exit(EXIT_SOME_FAILED) from None
    except KeyboardInterrupt:
        typer.echo("fer-batch: interrupted; the same command goes on where it stopped", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _interrupt_at_signals() -> None:
    """The first signal ends the run in order; a second one ends the process at once, as the system does it."""
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What is ignored stays so: nohup and shells do that to jobs in the background.
    heeded = [number for name in names if signal.getsignal(number := getattr(signal, name)) != signal.SIG_IGN]

    def interrupt(*_: object) -> NoReturn:
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in heeded:
        signal.signal(number, interrupt)


def _set_up_backend() -> None:
    """Let the user's choice of Keras backend stand, TensorFlow being the default, without its start-up notes."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
