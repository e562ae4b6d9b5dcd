"""The card holds what was measured, for our detector and for others beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fer_batch.detection.model_folder import ONNX_FILE, DetectorModel, write_detector
from fer_batch.errors import DatasetError
from fer_batch.model_folder import INT8_FILE, file_sha256
from fer_batch.training.detector.card import detector_card, read_figures
from fer_batch.training.detector.folder import detector_config, detector_folder
from fer_batch.training.detector.recipe import RECIPE_FILE, DetectorRecipe

FIGURES: dict[str, Any] = {
    "data": "faces.parquet",
    "detector": "embedded",
    "longest_side": 320,
    "faces": 1848,
    "average_precision": 0.81234,
    "average_precision_from": {"16": 0.95},
    "recall": 0.7,
    "precision": 0.98,
    "landmark_error": None,
    "head_angles": None,
    "false_per_100": 0.4292,
}
ANGLES = {name: {"error": 3.21, "correlation": 0.876} for name in ("yaw", "pitch", "roll")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ONNX_FILE).write_bytes(bytes(1500))
    (tmp_path / INT8_FILE).write_bytes(bytes(400_000))
    digests = [file_sha256(tmp_path / name) for name in (ONNX_FILE, INT8_FILE)]
    write_detector(tmp_path, DetectorModel("faces", "7", 0.55, 1.1, 0.02, *digests))
    return tmp_path


def test_the_card(folder: Path) -> None:
    recipe = DetectorRecipe(validation_sources=("a/one", "b/two"), epochs=3)
    (folder / RECIPE_FILE).write_text(json.dumps(asdict(recipe)))
    text = detector_card(
        folder, [FIGURES, {**FIGURES, "detector": "yunet", "landmark_error": 0.0571, "head_angles": ANGLES}]
    )
    assert text.startswith("# faces, version 7\n")
    assert "Threshold: 0.55" in text
    assert f"below have it: `int8.onnx`, 400 kB, sha256 `{file_sha256(folder / INT8_FILE)}`." in text
    assert "1.1 times" in text
    assert "3 epochs" in text
    assert "a/one, b/two" in text
    rows = [line for line in text.splitlines() if "faces.parquet" in line]
    assert rows[0] == "| embedded | faces.parquet | 320 | 1848 | 0.812 | 0.950 | 0.700 | 0.980 | - | 0.4 |"
    assert rows[2] == "| yunet | faces.parquet | 320 | 3.2, 0.88 | 3.2, 0.88 | 3.2, 0.88 |"
    assert rows[1] == "| yunet | faces.parquet | 320 | 1848 | 0.812 | 0.950 | 0.700 | 0.980 | 0.057 | 0.4 |"


def test_figures_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text(json.dumps(FIGURES))
    assert read_figures(tmp_path / "figures.json") == FIGURES
    (tmp_path / "figures.json").write_text('{"accuracy": 1}')
    with pytest.raises(DatasetError, match=r"figures\.json: cannot be read as figures"):
        read_figures(tmp_path / "figures.json")


def test_a_detector_of_others_has_no_card() -> None:
    with pytest.raises(DatasetError, match="haar was not trained here"):
        detector_folder(detector_config("haar"))
