"""The folder a model is kept in: round trip, and a plain word for everything that can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fer_batch.emotion import model_folder as folder_module
from fer_batch.emotion.model_folder import ModelConfig, find_model, read_config, write_config
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import ModelFolderError, UsageError
from fer_batch.model_folder import CONFIG_FILE, WEIGHTS_FILE, file_sha256
from fer_batch.share_correction import ShareCorrection

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
CONFIG = ModelConfig(
    name="m",
    version="1",
    architecture="classic-cnn",
    labels=EMOTIONS,
    preprocessing="standardize",
    heads={"fer2013": 1.25, "ferplus": 0.75},
    tables="ferplus",
    weights_sha256=SHA256_OF_ABC,
    options={"dense": 8},
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder whose config is right; its weights are the three letters abc."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / WEIGHTS_FILE).write_bytes(b"abc")
    write_config(tmp_path / "m", CONFIG)
    return tmp_path / "m"


@pytest.fixture
def refusal(model: Path) -> Callable[..., str]:
    """The one line that tells what is wrong with the config after some changes."""

    def change(**changes: Any) -> str:
        values = json.loads((model / CONFIG_FILE).read_text()) | changes
        (model / CONFIG_FILE).write_text(json.dumps(values))
        with pytest.raises(ModelFolderError) as caught:
            read_config(model)
        message = str(caught.value)
        assert message.startswith(str(model))
        assert "\n" not in message
        return message

    return change


def test_round_trip(model: Path) -> None:
    assert read_config(model) == CONFIG
    assert read_config(model).labels == EMOTIONS


def test_six_classes(model: Path) -> None:
    write_config(model, replace(CONFIG, labels=EMOTIONS_MERGED))
    assert read_config(model).labels == EMOTIONS_MERGED


def test_an_error_of_the_folder_is_an_error_of_usage() -> None:
    assert issubclass(ModelFolderError, UsageError)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 1}, "format 1, but this version reads format 2"),
        ({"format": 3, "mirrored": True}, "format 3, but this version reads format 2"),
        ({"labels": ["happy", "sad"]}, "labels must be angry, disgust, fear"),
        ({"labels": [*EMOTIONS[1:], "angry"]}, "labels must be angry, disgust, fear"),
        ({"labels": "angry"}, "labels must be"),
        ({"labels": [["angry"]]}, "labels must be"),
        ({"labels": None}, "cannot be read"),
        ({"architecture": "resnet"}, "architecture 'resnet' is none of classic-cnn"),
        ({"architecture": ["classic-cnn"]}, "architecture"),
        ({"preprocessing": "whiten"}, "preprocessing 'whiten' is none of standardize, unit_range"),
        ({"preprocessing": {}}, "preprocessing"),
        ({"heads": {}}, "heads must name at least one of fer2013, ferplus, found {}"),
        ({"heads": ["ferplus"]}, "heads must name at least one of"),
        ({"heads": {"affectnet": 1.0}}, "heads must name at least one of"),
        ({"tables": "affectnet"}, "tables must be one of fer2013, ferplus, found 'affectnet'"),
        ({"tables": None}, "tables must be one of"),
        ({"tables": ["ferplus"]}, "tables must be one of"),
        ({"heads": {"ferplus": 0}}, "temperature of ferplus must be a number above 0, found 0"),
        ({"heads": {"ferplus": -1.5}}, "temperature of ferplus must be a number above 0, found -1.5"),
        ({"heads": {"ferplus": "1"}}, "temperature of ferplus must be a number above 0, found '1'"),
        ({"heads": {"ferplus": float("nan")}}, "temperature of ferplus must be a number above 0, found nan"),
        ({"heads": {"ferplus": float("inf")}}, "temperature of ferplus must be a number above 0, found inf"),
        ({"heads": {"ferplus": None}}, "temperature of ferplus must be a number above 0, found None"),
        ({"share_correction": {"exponent": 0, "prior": [0.1] * 7}}, "share_correction must hold an exponent above 0"),
        ({"share_correction": {"exponent": 1, "prior": [0.1] * 6}}, "a prior above 0 for each label"),
        ({"share_correction": {"exponent": 1, "prior": [0.1] * 6 + [0]}}, "a prior above 0 for each label"),
        ({"share_correction": {"exponent": 1}}, "cannot be read"),
        ({"options": {"side": 0}}, "side must be above 0, found 0"),
        ({"options": {"side": "large"}}, "cannot be read"),
        ({"options": None}, "cannot be read"),
        ({"weights_sha256": "00"}, "its sha256 is not the one in config.json; copy the folder again"),
        ({"unknown": 1}, "cannot be read as a model's config"),
    ],
)
def test_what_can_be_wrong_with_the_config(refusal: Callable[..., str], changes: dict[str, Any], words: str) -> None:
    assert words in refusal(**changes)


@pytest.mark.parametrize("text", ["{", "", "[]", "7", '"a"', "{}", '{"name": "m"}', "\udcff"])
def test_a_config_that_can_not_be_read(model: Path, text: str) -> None:
    (model / CONFIG_FILE).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ModelFolderError, match=r"config\.json: cannot be read as a model's config"):
        read_config(model)


def test_no_config(model: Path) -> None:
    (model / CONFIG_FILE).unlink()
    with pytest.raises(ModelFolderError, match=r"config\.json: cannot be read"):
        read_config(model)


def test_no_weights(model: Path) -> None:
    (model / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelFolderError, match=r"model\.weights\.h5: missing; the folder is incomplete"):
        read_config(model)


def test_a_changed_byte_in_the_weights(model: Path) -> None:
    (model / WEIGHTS_FILE).write_bytes(b"abd")
    with pytest.raises(ModelFolderError, match=r"model\.weights\.h5: its sha256 is not the one in config\.json"):
        read_config(model)


def test_sha256_of_a_file(model: Path) -> None:
    assert file_sha256(model / WEIGHTS_FILE) == SHA256_OF_ABC


@pytest.mark.parametrize(
    "change",
    [
        {"heads": {"fer2013": 1.26, "ferplus": 0.75}},
        {"heads": {"ferplus": 0.75, "fer2013": 1.25}},
        {"tables": "fer2013"},
        {"weights_sha256": "00"},
        {"labels": EMOTIONS_MERGED},
        {"preprocessing": "unit_range"},
        {"options": {"dense": 9}},
        {"int8_sha256": "00"},
    ],
)
def test_what_decides_the_output_changes_the_digest(change: dict[str, Any]) -> None:
    assert replace(CONFIG, **change).digest != CONFIG.digest
    assert replace(CONFIG).digest == CONFIG.digest
    # Fixed, so that a run that an earlier version began can be resumed.
    assert CONFIG.digest == "79687523e370bb06b4ac69181cd2f332949d4232d6f722f2b28ebd1cfc01f079"


def test_format_2_has_other_names_for_some_options(model: Path) -> None:
    """They are on disk only, and the digest is over them: that of the embedded model is as version 0.1.0 wrote it."""
    options = {"spatial_weights": True, "se_reduction": 8}
    write_config(model, replace(CONFIG, architecture="compact-resnet", options=options, flip_averaging=True))
    stored = json.loads((model / CONFIG_FILE).read_text())
    assert stored["options"] == {"places": True, "gates": 8}
    assert stored["mirror"] is True
    config = read_config(model)
    assert (config.options, config.flip_averaging) == (options, True)
    embedded = read_config(folder_module.embedded_folder() / "emotion")
    assert embedded.options["spatial_weights"] is True
    assert embedded.digest == "c0c5f2131d82ef26590145b26d2acbc2407b9da8894a1cd22d4a922914aecff9"


def test_what_summaries_need_is_kept_and_changes_no_digest(model: Path) -> None:
    """So that folders of earlier versions, and the tables made with them, stay usable."""
    config = replace(CONFIG, share_correction=ShareCorrection(1.5, (0.1, 0.1, 0.1, 0.3, 0.1, 0.1, 0.2)))
    write_config(model, config)
    assert read_config(model) == config
    assert config.digest == CONFIG.digest


def test_find_by_path_and_by_name(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_model(str(model)) == model
    monkeypatch.setattr(folder_module, "embedded_folder", lambda: model.parent)
    assert find_model("m") == model


def test_an_unknown_name_lists_the_known_ones(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "embedded_folder", lambda: model.parent)
    (model.parent / "no-model").mkdir()
    with pytest.raises(ModelFolderError, match=r"^gone: neither a folder .* nor one of the embedded models \(m\)$"):
        find_model("gone")


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"neither a folder with a config\.json"):
        find_model(str(tmp_path))


def test_a_name_no_file_can_have() -> None:
    with pytest.raises(ModelFolderError, match="neither a folder"):
        find_model("a" * 5000)
