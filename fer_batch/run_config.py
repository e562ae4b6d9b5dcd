"""What a user gives a run: the options of `fer-batch run`, of a configuration file and of `fer_batch.run`, listed once.

A `RunConfig` is checked as it is made, from its values alone: no file is opened and nothing heavy is imported.
`pipeline.resolve` finds the files and models it names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fer_batch.config import DetectorConfig, DetectorName, Device, Engine, ResolvedConfig, Sampling
from fer_batch.environment import with_home
from fer_batch.errors import UsageError
from fer_batch.suggestions import did_you_mean

#: The groups in which `--help` lists the options, in this order.
GROUPS = READ, SAMPLING, FACES, EXPRESSIONS, WHERE, RESULTS, MESSAGES = (
    "What to read", "Sampling", "Faces", "Expressions", "Where it runs", "Results", "Messages",
)  # fmt: skip


@dataclass(frozen=True)
class OptionInfo:
    """What help says of an option, and the values it may have.

    Attributes:
        group: The heading it stands under.
        help: One line.
        metavar: What stands for its value: a unit or a kind.
        default_help: What stands for a default that is worked out later.
        above: Values must be greater.
        minimum: The least value.
        maximum: The greatest value.
        positional: An argument rather than an option.
        is_path: Relative paths in a configuration file are relative to it.
        repeats: Whether it belongs to a repetition of the run; see `repeatable`.
    """

    group: str
    help: str
    metavar: str | None = None
    default_help: str | None = None
    above: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    positional: bool = False
    is_path: bool = False
    repeats: bool = True


def _option(default: Any, group: str, help_text: str, metavar: str | None = None, **details: Any) -> Any:
    """A field of RunConfig that is an option."""
    return field(default=default, metadata={"option": OptionInfo(group, help_text, metavar, **details)})


# fmt: off
@dataclass(frozen=True)
class RunConfig:
    """The options of a run, by the names that the command has for them (`--min-face` is `min_face`).

    Values are checked as it is made. Paths may be given as text or as `pathlib.Path`, one path or a list of them, and
    are URLs on object stores. `None` stands for a default that depends on other options or on the machine.

    Raises:
        UsageError: A value is of a wrong type or out of range, or two options exclude each other.
    """

    paths: tuple[str, ...] = _option(
        (), READ, "Files and directories to analyse.", "PATH", positional=True, is_path=True)
    out: str | None = _option(None, RESULTS, "Folder for the results.", "DIR", is_path=True, default_help="")
    include: tuple[str, ...] = _option((), READ, "Only paths or names that match this glob.", "GLOB")
    exclude: tuple[str, ...] = _option((), READ, "No paths or names that match this glob.", "GLOB")
    follow_symlinks: bool = _option(False, READ, "Follow links found in folders.")
    all_files: bool = _option(False, READ, "Take side files, unfinished downloads and backup copies too.")
    fps: float | None = _option(
        None, SAMPLING, "Samples per second of video.", "N", default_help=f"{Sampling.fps:g}", above=0.0)
    every: int | None = _option(None, SAMPLING, "Sample every Nth frame instead.", "N", minimum=1)
    keyframes: bool = _option(False, SAMPLING, "Sample only key frames.")
    fast: bool = _option(
        False, SAMPLING, "Take the nearest frame that is cheap to decode, at most 1/4 of the interval away.")
    start: float = _option(Sampling.start, SAMPLING, "Where in each video to start.", "SECONDS", minimum=0.0)
    end: float | None = _option(
        Sampling.end, SAMPLING, "Where in each video to stop.", "SECONDS", minimum=0.0, default_help="its end")
    detector: DetectorName = _option(DetectorConfig.name, FACES, "Face detector.")
    detector_model: str | None = _option(None, FACES, "Model file of the detector.", "FILE", is_path=True)
    min_face: int = _option(
        DetectorConfig.min_face, FACES, "Smallest face, in pixels of the frame.", "PX", minimum=1)
    min_score: float | None = _option(
        DetectorConfig.min_score, FACES, "Lowest score of a face, 0 to 1; in videos three quarters of it are enough "
        "for a face that is tracked.", "SCORE", minimum=0.0, maximum=1.0, default_help="the detector's own")
    longest_side: int = _option(
        DetectorConfig.longest_side, FACES, "Frames are reduced to it before the search; more finds smaller faces.",
        "PX", minimum=64)
    model: str = _option("emotion", EXPRESSIONS, "Emotion model: an embedded one's name, or a folder.", "NAME|DIR")
    merge_disgust: bool = _option(False, EXPRESSIONS, "Six classes: disgust joins angry.")
    device: Device = _option(ResolvedConfig.device, WHERE, "Where faces are classified.")
    batch_size: int = _option(ResolvedConfig.batch_size, WHERE, "Faces per call of the classifier.", "N", minimum=1)
    workers: int | None = _option(
        None, WHERE, "Worker processes.", "N", minimum=1, default_help="one for each core")
    engine: Engine = _option(ResolvedConfig.engine, WHERE, "This machine, or a Ray cluster.")
    ray_address: str | None = _option(
        None, WHERE, "The Ray cluster's head, or auto.", "HOST:PORT", default_help="this machine alone")
    classifiers: int | None = _option(
        None, WHERE, "Ray workers that classify.", "N", minimum=0, default_help="one for each GPU of the cluster")
    timeout: float = _option(
        ResolvedConfig.timeout, WHERE, "A worker without a result for so long is stopped.", "SECONDS", above=0.0)
    window: float = _option(ResolvedConfig.window, RESULTS, "Seconds per row of the timeline.", "SECONDS", above=0.0)
    study: str | None = _option(
        None, RESULTS, "Who watched what: analyse that too at the end.", "STUDY.csv", is_path=True)
    segments: str | None = _option(
        None, RESULTS, "Named spans of stimulus time, for --study.", "SEGMENTS.csv", is_path=True)
    report: bool = _option(ResolvedConfig.report, RESULTS, "Write report.html at the end.")
    retry_failed: bool = _option(False, RESULTS, "Read files again that have failed.", repeats=False)
    restart: bool = _option(False, RESULTS, "Remove earlier results in the folder first.", repeats=False)
    quiet: bool = _option(False, MESSAGES, "Only errors.", repeats=False)
    verbose: bool = _option(False, MESSAGES, "More messages.", repeats=False)
    log_file: str | None = _option(
        None, MESSAGES, "Write all messages there too, as JSON lines.", "FILE", is_path=True, repeats=False)
    # fmt: on

    def __post_init__(self) -> None:
        """Convert and check every value, then those that depend on each other."""
        for option in fields(self):
            object.__setattr__(self, option.name, checked_value(option.name, getattr(self, option.name)))
        self._check_sampling()
        self._check_detector()
        if self.segments is not None and self.study is None:
            raise UsageError("--segments goes with --study; leave it out or add that")
        if self.engine == "local":
            for name in ("ray_address", "classifiers"):
                if getattr(self, name) is not None:
                    raise UsageError(f"{flag(name)} goes with --engine ray; leave it out or add that")

    def _check_sampling(self) -> None:
        given = [flag(name) for name in ("fps", "every", "keyframes") if getattr(self, name) not in (None, False)]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
        if self.end is not None and self.end <= self.start:
            raise UsageError(f"--end {self.end:g}: must be above --start {self.start:g}")
        if self.fast and (self.every or self.keyframes):
            raise UsageError(f"--fast goes with --fps; {given[0]} already says which frames")

    def _check_detector(self) -> None:
        if self.detector == "yunet" and self.detector_model is None:
            raise UsageError("--detector yunet: name its ONNX file with --detector-model FILE")
        if self.detector == "haar" and self.detector_model is not None:
            raise UsageError("--detector-model: the detector haar takes no file; add --detector yunet")
        if self.detector == "haar" and self.min_score is not None:
            raise UsageError("--min-score: the detector haar gives no scores; leave the option out or use yunet")

    @property
    def sampling(self) -> Sampling:
        """Which frames of a video are looked at."""
        if self.keyframes:
            return Sampling("keyframes", start=self.start, end=self.end)
        if self.every is not None:
            return Sampling("every", every=self.every, start=self.start, end=self.end)
        fps = Sampling.fps if self.fps is None else self.fps
        return Sampling("fps", fps=fps, start=self.start, end=self.end, fast=self.fast)

    def repeatable(self) -> dict[str, Any]:
        """The options that differ from their defaults and belong to a repetition of the run, as plain values."""
        return {
            option.name: list(value) if isinstance(value, tuple) else value
            for option in fields(self)
            if option_info(option).repeats and (value := getattr(self, option.name)) != option.default
        }


def flag(name: str) -> str:
    """An option as it is typed: `--min-face` for `min_face`."""
    return "PATH" if name == "paths" else f"--{name.replace('_', '-')}"


def option_info(option: Field[Any]) -> OptionInfo:
    """What help says of a field of RunConfig."""
    info: OptionInfo = option.metadata["option"]
    return info


@cache
def options() -> Mapping[str, Field[Any]]:
    """The fields of RunConfig by name."""
    return {option.name: option for option in fields(RunConfig)}


@cache
def value_types() -> Mapping[str, Any]:
    """The type of each option's values, without None."""
    return {name: _without_none(hint) for name, hint in get_type_hints(RunConfig).items()}


def choices(name: str) -> tuple[str, ...]:
    """The values an option may have; empty where they are not a fixed set."""
    kind = value_types()[name]
    return get_args(kind) if get_origin(kind) is Literal else ()


def checked_value(name: str, value: Any) -> Any:
    """A value of an option, converted to the option's type.

    Raises:
        UsageError: The value is of another type or out of range.
    """
    option = options()[name]
    if value is None and option.default is None:
        return None
    kind = value_types()[name]
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            known = ", ".join(get_args(kind))
            raise UsageError(f"{flag(name)} {value}: is none of {known}{did_you_mean(str(value), get_args(kind))}")
        return value
    converted = _converted(kind, value)
    if converted is MISSING:
        raise UsageError(f"{flag(name)} {value!r}: must be {_KINDS[get_origin(kind) or kind]}")
    if option_info(option).is_path:
        return tuple(_path(name, path) for path in converted) if name == "paths" else _path(name, converted)
    if isinstance(converted, int | float) and not isinstance(converted, bool):
        _check_range(name, converted, option_info(option))
    return converted


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list of texts"}


def _converted(kind: Any, value: Any) -> Any:
    """The value as `kind`; MISSING where it is of another."""
    if kind is bool:
        return value if isinstance(value, bool) else MISSING
    if kind is int:  # NumPy's numbers too: options may come from an array or a data frame.
        return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else MISSING
    if kind is float:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else MISSING
    if isinstance(value, str | os.PathLike):
        return os.fspath(value) if kind is str else (os.fspath(value),)
    if kind is str or not isinstance(value, Iterable):
        return MISSING
    texts = [os.fspath(text) if isinstance(text, str | os.PathLike) else MISSING for text in value]
    return MISSING if MISSING in texts else tuple(texts)


def _path(name: str, path: str) -> str:
    if not path:  # It would be the folder one is in, where only a variable was not set.
        raise UsageError(f"{flag(name)} '': is empty; name a file or a folder")
    return with_home(path)


def _check_range(name: str, value: float, info: OptionInfo) -> None:
    given = f"{flag(name)} {value:g}"
    if not math.isfinite(value):
        raise UsageError(f"{given}: must be a finite number")
    if info.above is not None and value <= info.above:
        raise UsageError(f"{given}: must be above {info.above:g}")
    if info.minimum is not None and value < info.minimum:
        raise UsageError(f"{given}: must be at least {info.minimum:g}")
    if info.maximum is not None and value > info.maximum:
        raise UsageError(f"{given}: must be at most {info.maximum:g}")


def _without_none(hint: Any) -> Any:
    if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
    return hint
