"""The folder a trained emotion model is kept in: config.json, the weights, the network in 8 bits, a card.

Nothing here imports Keras, so that a run can read labels and digests before it starts TensorFlow.
The folder holds no code: the architecture is named in the config and built by this package.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from fer_batch.atomic import write_json
from fer_batch.emotion.architectures import ARCHITECTURES, network_side
from fer_batch.emotion.preprocessing import PREPROCESSING, Preprocess, preprocessing
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import ModelFolderError
from fer_batch.model_folder import CONFIG_FILE, INT8_FILE, WEIGHTS_FILE, check_file, embedded_folder
from fer_batch.share_correction import ShareCorrection
from fer_batch.suggestions import did_you_mean

FORMAT = 2

#: The questions a network may answer, a head each: the label of FER2013 (from the words a picture was found with), and
#: the shares of FER+'s judges (what people who look at the face say).
HEADS = ("fer2013", "ferplus")


@dataclass(frozen=True)
class ModelConfig:
    """What config.json says.

    `heads` names the network's heads in the order of its outputs, each with the temperature that divides its logits
    before the softmax (Guo et al. 2017); a head has an output for each of `labels`. `tables` is the head whose
    probabilities a run writes. `options` are the architecture's arguments. `mirror`: the logits are the mean of those
    of a face and of its mirror image, at twice the cost. `share_correction`: what the corrected shares of summaries
    need to know of the tables' probabilities; folders made by earlier versions have none. `int8_sha256`: of the same
    network in 8 bits, if the folder has it (see `Int8Model`).
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
    mirror: bool = False
    share_correction: ShareCorrection | None = None
    int8_sha256: str | None = None
    format: int = FORMAT

    @property
    def outputs(self) -> int:
        """How many logits the network gives for a face: each head's labels."""
        return len(self.heads) * len(self.labels)

    @property
    def preprocess(self) -> Preprocess:
        """What makes crops the network's input."""
        return preprocessing(self.preprocessing, network_side(self.options))

    @cached_property
    def digest(self) -> str:
        """A sha256 over everything that decides the model's output: not its name, what summaries need, nor a field left
        at its default."""
        defaults = {one.name: one.default for one in fields(self)}
        deciding = {
            name: value
            for name, value in asdict(self).items()
            if name not in ("name", "version", "share_correction") and value != defaults[name]
        }
        deciding["heads"] = list(
            self.heads.items()
        )  # Their order is that of the outputs; as keys they would be sorted.
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


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
        values = json.loads(path.read_text(encoding="utf-8"))
        if (version := values.get("format", FORMAT)) != FORMAT:
            raise ModelFolderError(f"{path}: format {version}, but this version reads format {FORMAT}")
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
    write_json(folder / CONFIG_FILE, asdict(config))
