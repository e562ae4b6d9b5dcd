"""The folder a trained face detector is kept in: config.json, the network as ONNX in float32 and INT8, a card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from fer_batch.atomic import write_json
from fer_batch.errors import ModelFolderError
from fer_batch.model_folder import (
    CONFIG_FILE,
    INT8_FILE,
    check_file,
    config_digest,
    embedded_folder,
    read_config_values,
)

ONNX_FILE, VERIFIER_FILE = "detector.onnx", "verifier.onnx"
FORMAT = 2


@dataclass(frozen=True)
class DetectorModel:
    """What config.json says.

    Attributes:
        name: The detector's name.
        version: Its version.
        min_score: The default threshold, 0..1.
        crop_scale: With `crop_shift_y`: how a box becomes the classifier's square (see `CropRule`).
        crop_shift_y: See `crop_scale`.
        onnx_sha256: Of the network in float32.
        int8_sha256: Of the same network in INT8, if the folder has it.
        format: Of the folder.
        verifier_sha256: Of the second stage, if the folder has one.
        score_weights: How both stages' logits make the score (see `combined_scores`).
    """

    name: str
    version: str
    min_score: float
    crop_scale: float
    crop_shift_y: float
    onnx_sha256: str
    int8_sha256: str | None = None
    format: int = FORMAT
    verifier_sha256: str | None = None
    score_weights: tuple[float, float, float] = (1.0, 0.0, 0.0)

    @property
    def digest(self) -> str:
        """A sha256 over all that decides what is found and how it is cut out: neither name nor version."""
        deciding = {name: value for name, value in asdict(self).items() if name not in ("name", "version")}
        return config_digest(deciding)


def embedded_detector() -> Path:
    """The folder of the detector that comes with the package; it may not be there."""
    return embedded_folder() / "face_detector"


def read_detector(folder: Path) -> DetectorModel:
    """Read and check a detector's config and the digests of its networks. Raises ModelFolderError."""
    path = folder / CONFIG_FILE
    try:
        values = read_config_values(folder, FORMAT)
        first, second, offset = map(float, values.pop("score_weights", DetectorModel.score_weights))
        model = DetectorModel(**values, score_weights=(first, second, offset))
        usable = 0 <= model.min_score <= 1 and model.crop_scale > 0 and model.crop_shift_y + 1 > 0
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelFolderError(f"{path}: cannot be read as a detector's config ({error})") from error
    if not usable:
        raise ModelFolderError(f"{path}: min_score must be 0 to 1 and crop_scale above 0")
    check_file(folder / ONNX_FILE, model.onnx_sha256)
    if model.int8_sha256 is not None:
        check_file(folder / INT8_FILE, model.int8_sha256)
    if model.verifier_sha256 is not None:
        check_file(folder / VERIFIER_FILE, model.verifier_sha256)
    return model


def network_file(folder: Path, model: DetectorModel) -> Path:
    """The file that runs compute with: the INT8 one, if there is one."""
    return folder / (ONNX_FILE if model.int8_sha256 is None else INT8_FILE)


def write_detector(folder: Path, model: DetectorModel) -> None:
    """Write config.json into the folder."""
    write_json(folder / CONFIG_FILE, asdict(model))
