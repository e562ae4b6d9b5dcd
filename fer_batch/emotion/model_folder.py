"""The folder of a trained emotion model: config.json, the weights, the INT8 network, a card.

Nothing here imports Keras, so that a run can read labels and digests before it starts TensorFlow. The folder holds no
code: the config names the architecture, and this package builds it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from fer_batch.atomic import write_json
from fer_batch.emotion.architectures import ARCHITECTURES, network_side
from fer_batch.emotion.preprocessing import PREPROCESSING, Preprocess, preprocessing
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import ModelFolderError
from fer_batch.model_folder import (
    CONFIG_FILE,
    INT8_FILE,
    WEIGHTS_FILE,
    check_file,
    config_digest,
    embedded_folder,
    read_config_values,
)
from fer_batch.share_correction import ShareCorrection
from fer_batch.suggestions import did_you_mean

FORMAT = 2

#: What a network may predict, a head each: the label of FER2013 (from the search term a picture was found with), and
#: the shares of FER+'s annotators (what people who look at the face say).
HEADS = ("fer2013", "ferplus")

#: Names that config.json of format 2 has for fields of `ModelConfig`, and for options of architectures.
_STORED_FIELDS = {"flip_averaging": "mirror"}
STORED_OPTIONS = {"spatial_weights": "places", "se_reduction": "gates"}


@dataclass(frozen=True)
class ModelConfig:
    """The contents of config.json.

    Attributes:
        name: The model's name.
        version: The model's version.
        architecture: A key of `ARCHITECTURES`.
        labels: The classes, in the order of a head's outputs.
        preprocessing: A key of `PREPROCESSING`.
        heads: The network's heads in the order of its outputs, each with the temperature that divides its logits
            before the softmax (Guo et al. 2017, "On Calibration of Modern Neural Networks").
        tables: The head whose probabilities a run writes.
        weights_sha256: Of the weights file.
        options: The architecture's arguments.
        flip_averaging: Average the logits over a face and its horizontal flip (TTA), at twice the cost.
        share_correction: Calibration for the corrected shares of summaries; folders of earlier versions have none.
        int8_sha256: Of the network quantized to INT8, if the folder has it (see `Int8Model`).
        format: Version of the file's format.
    """

    name: str
    version: str
    architecture: str
    labels: tuple[str, ...]
    preprocessing: str
    heads: dict[str, float]
    tables: str
    weights_sha256: str
    options: dict[str, Any] = field(default_factory=dict)
    flip_averaging: bool = False
    share_correction: ShareCorrection | None = None
    int8_sha256: str | None = None
    format: int = FORMAT

    @property
    def outputs(self) -> int:
        """Number of logits per face: the labels of each head."""
        return len(self.heads) * len(self.labels)

    @property
    def preprocess(self) -> Preprocess:
        """The function from crops to the network's input."""
        return preprocessing(self.preprocessing, network_side(self.options))

    @cached_property
    def digest(self) -> str:
        """A sha256 over everything that determines the model's output: neither its name, nor what only summaries use,
        nor fields at their defaults, so that it does not change when a field is added."""
        defaults = {_STORED_FIELDS.get(field.name, field.name): field.default for field in fields(self)}
        values = {
            name: value
            for name, value in _stored(self).items()
            if name not in ("name", "version", "share_correction") and value != defaults[name]
        }
        # As a list: the heads have the order of the outputs, and keys are sorted.
        return config_digest({**values, "heads": list(self.heads.items())})


def find_model(name: str) -> Path:
    """The folder of a model given by path or by the name of an embedded one. Raises ModelFolderError."""
    for folder in (Path(name), embedded_folder() / name):
        if os.path.isfile(folder / CONFIG_FILE):  # Unlike Path.is_file, never raises: a name may be too long.
            return folder
    known = sorted(path.parent.name for path in embedded_folder().glob(f"*/{WEIGHTS_FILE}"))
    raise ModelFolderError(
        f"{name}: neither a folder with a {CONFIG_FILE} nor one of the embedded models ({', '.join(known)})"
        f"{did_you_mean(name, known)}"
    )


def read_config(folder: Path) -> ModelConfig:
    """Read and check a model folder's config and the digests of its files. Raises ModelFolderError."""
    path = folder / CONFIG_FILE
    try:
        values = renamed(read_config_values(folder, FORMAT), _STORED_FIELDS)
        values["options"] = renamed(values.get("options", {}), STORED_OPTIONS)
        values["labels"] = tuple(values["labels"])
        if (correction := values.get("share_correction")) is not None:
            values["share_correction"] = ShareCorrection(correction["exponent"], tuple(correction["prior"]))
        config = ModelConfig(**values)
        side = network_side(config.options)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelFolderError(f"{path}: cannot be read as a model's config ({error})") from error
    if config.labels not in (EMOTIONS, EMOTIONS_MERGED):
        raise ModelFolderError(f"{path}: labels must be {', '.join(EMOTIONS)} in this order, with or without disgust")
    if config.architecture not in list(ARCHITECTURES):
        known = ", ".join(ARCHITECTURES)
        raise ModelFolderError(f"{path}: architecture {config.architecture!r} is none of {known}")
    if config.preprocessing not in list(PREPROCESSING):
        raise ModelFolderError(f"{path}: preprocessing {config.preprocessing!r} is none of {', '.join(PREPROCESSING)}")
    if side <= 0:
        raise ModelFolderError(f"{path}: side must be above 0, found {side}")
    _check_heads(config, path)
    _check_share_correction(config, path)
    check_file(folder / WEIGHTS_FILE, config.weights_sha256)
    if config.int8_sha256 is not None:
        check_file(folder / INT8_FILE, config.int8_sha256)
    return config


def _check_heads(config: ModelConfig, path: Path) -> None:
    if not isinstance(config.heads, dict) or not config.heads or not set(config.heads) <= set(HEADS):
        raise ModelFolderError(f"{path}: heads must name at least one of {', '.join(HEADS)}, found {config.heads!r}")
    for head, temperature in config.heads.items():
        if not (isinstance(temperature, int | float) and 0 < temperature < float("inf")):
            raise ModelFolderError(f"{path}: temperature of {head} must be a number above 0, found {temperature!r}")
    if config.tables not in list(config.heads):
        raise ModelFolderError(f"{path}: tables must be one of {', '.join(config.heads)}, found {config.tables!r}")


def _check_share_correction(config: ModelConfig, path: Path) -> None:
    if (correction := config.share_correction) is None:
        return
    values = (correction.exponent, *correction.prior)
    numbers = all(isinstance(value, int | float) and 0 < value < float("inf") for value in values)
    if not numbers or len(correction.prior) != len(config.labels):
        raise ModelFolderError(
            f"{path}: share_correction must hold an exponent above 0 and a prior above 0 for each label"
        )


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write config.json into the folder."""
    write_json(folder / CONFIG_FILE, _stored(config))


def renamed(stored: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Stored values under the names of today. `names`: stored names by today's; both are accepted."""
    today = {old: new for new, old in names.items()}
    return {today.get(name, name): value for name, value in stored.items()}


def _stored(config: ModelConfig) -> dict[str, Any]:
    """The config's values under the names of format 2."""
    values = {_STORED_FIELDS.get(name, name): value for name, value in asdict(config).items()}
    options = {STORED_OPTIONS.get(name, name): value for name, value in config.options.items()}
    return {**values, "options": options}
