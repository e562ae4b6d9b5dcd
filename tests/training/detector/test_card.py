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
    "data": "photographs.parquet",
    "detector": "embedded",
    "longest_side": 320,
    "faces": 1848,
    "average_precision": 0.81234,
    "average_precision_from": {"16": 0.95},
    "recall": 0.7,
    "precision": 0.98,
    "landmark_error": None,
    "turned": 0.112,
    "head_angles": None,
    "false_per_100": 0.4292,
    "drawn": {
        "faces": 900,
        "average_precision": 0.71,
        "recall_from_32": 0.905,
        "recall_by_size": {"16-24": {"faces": 10, "recall": 0.5}, "80-inf": {"faces": 0, "recall": None}},
    },
    "curve": [{"threshold": 0.5, "recall_from_16": 0.8, "recall_from_32": 0.9, "false_per_100": 2.0}],
    "by_source": {"portraits": {"faces": 128, "average_precision": 0.93, "recall": 0.88}},
}
ANGLES = {name: {"error": 3.21, "correlation": 0.876} for name in ("yaw", "pitch", "roll")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ONNX_FILE).write_bytes(bytes(1500))
    (tmp_path / INT8_FILE).write_bytes(bytes(400_000))
    digests = [file_sha256(tmp_path / name) for name in (ONNX_FILE, INT8_FILE)]
    write_detector(tmp_path, DetectorModel("faces", "7", 0.55, 1.1, 0.02, *digests))
    return tmp_path


def test_the_card_has_a_row_per_detector_in_every_table(folder: Path) -> None:
    (folder / RECIPE_FILE).write_text(json.dumps(asdict(DetectorRecipe(epochs=3, steps=250))))
    other = {**FIGURES, "detector": "yunet", "landmark_error": 0.0571, "head_angles": ANGLES}
    text = detector_card(folder, [FIGURES, other])
    assert text.startswith("# faces, version 7\n")
    assert "Default threshold: 0.55" in text
    assert f"use it: `int8.onnx`, 400 kB, sha256 `{file_sha256(folder / INT8_FILE)}`." in text
    assert "1.1 times" in text
    assert "750 steps" in text
    lines = text.splitlines()
    assert "| embedded | 320 | 1848 | 0.812 | 0.950 | 900 | 0.710 | 0.905 | 0.980 | - | 0.112 | 0.4 |" in lines
    assert "| yunet | 320 | 1848 | 0.812 | 0.950 | 900 | 0.710 | 0.905 | 0.980 | 0.057 | 0.112 | 0.4 |" in lines
    assert "| detector | longest side | 16-24 | 80 and more |" in lines
    assert "| embedded | 320 | 0.500 | - |" in lines
    assert "| 0.50 | 0.800 | 0.900 | 2.0 |" in lines
    assert "| detector | longest side | portraits (128) |" in lines
    assert "| embedded | 320 | 0.930, 0.880 |" in lines
    assert "| yunet | 320 | 3.2, 0.88 | 3.2, 0.88 | 3.2, 0.88 |" in lines


def test_figures_are_read_from_a_file_and_others_refused(tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text(json.dumps(FIGURES))
    assert read_figures(tmp_path / "figures.json") == FIGURES
    (tmp_path / "figures.json").write_text('{"accuracy": 1}')
    with pytest.raises(DatasetError, match=r"figures\.json: cannot be read as figures"):
        read_figures(tmp_path / "figures.json")


def test_a_detector_that_was_not_trained_here_has_no_card() -> None:
    with pytest.raises(DatasetError, match="haar was not trained here"):
        detector_folder(detector_config("haar"))
