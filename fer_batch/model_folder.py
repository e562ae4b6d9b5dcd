"""What the folders of both trained models have in common: file names, reading config.json, digests, where they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from fer_batch.errors import ModelFolderError

CONFIG_FILE = "config.json"

WEIGHTS_FILE = "model.weights.h5"

#: The network as ONNX, quantized to INT8: what a run without a GPU uses, if the folder has it.
INT8_FILE = "int8.onnx"

#: What `evaluate` measured, by split of the data: what the card and the report print.
METRICS_FILE = "metrics.json"


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def embedded_folder() -> Path:
    """Where the embedded models are: inside the package when installed, beside it in a checkout."""
    package = Path(str(files("fer_batch")))
    installed = package / "embedded"
    return installed if installed.is_dir() else package.parent / "models"


def read_config_values(folder: Path, supported: int) -> dict[str, Any]:
    """Read a model folder's config.json.

    Args:
        folder: The model folder.
        supported: The format that is read.

    Returns:
        The file's values.

    Raises:
        ModelFolderError: The file has another format.
        OSError, ValueError, TypeError: The file is missing or holds no JSON object.
    """
    path = folder / CONFIG_FILE
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise TypeError("it holds no JSON object")
    if (found := values.get("format", supported)) != supported:
        raise ModelFolderError(f"{path}: format {found}, but this version reads format {supported}")
    return values


def config_digest(values: Mapping[str, Any]) -> str:
    """The sha256 of a config's values, in hexadecimal; their order does not matter."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def check_file(path: Path, sha256: str) -> None:
    """Raise ModelFolderError where a file of a model folder is missing or has another sha256."""
    if not path.is_file():
        raise ModelFolderError(f"{path}: missing; the folder is incomplete")
    if file_sha256(path) != sha256:
        raise ModelFolderError(f"{path}: its sha256 is not the one in {CONFIG_FILE}; copy the folder again")
