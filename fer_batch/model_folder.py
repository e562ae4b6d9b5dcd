"""What the folders of trained models have in common: names of files, digests, and where the embedded ones are."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

from fer_batch.errors import ModelFolderError

CONFIG_FILE = "config.json"

WEIGHTS_FILE = "model.weights.h5"

#: The network as ONNX, in whole numbers of 8 bits: what processors compute with, where a folder has it.
INT8_FILE = "int8.onnx"

#: What `evaluate` measured, by split of the data: what the card and the report print.
METRICS_FILE = "metrics.json"


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def embedded_folder() -> Path:
    """Where the models that come with the package are: inside it when installed, beside it in a checkout."""
    package = Path(str(files("fer_batch")))
    installed = package / "embedded"
    return installed if installed.is_dir() else package.parent / "models"


def check_file(path: Path, sha256: str) -> None:
    """Raise ModelFolderError where a file of a model's folder is missing or has another sha256."""
    if not path.is_file():
        raise ModelFolderError(f"{path}: missing; the folder is incomplete")
    if file_sha256(path) != sha256:
        raise ModelFolderError(f"{path}: its sha256 is not the one in {CONFIG_FILE}; copy the folder anew")
