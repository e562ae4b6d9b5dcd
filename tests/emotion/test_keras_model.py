"""A network loaded from its folder and called on crops."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import ModelFolderError
from fer_batch.model_folder import CONFIG_FILE, WEIGHTS_FILE, file_sha256


@pytest.fixture
def changed(tiny_model: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the tiny model with another config or other weights, and the sha256 that goes with them."""

    def build(weights: bytes | None = None, **changes: Any) -> Path:
        folder = shutil.copytree(tiny_model, tmp_path / "changed")
        if weights is not None:
            (folder / WEIGHTS_FILE).write_bytes(weights)
        values = json.loads((folder / CONFIG_FILE).read_text()) | changes
        values["weights_sha256"] = file_sha256(folder / WEIGHTS_FILE)
        (folder / CONFIG_FILE).write_text(json.dumps(values))
        return folder

    return build


@pytest.fixture(scope="module")
def network(tiny_model: Path) -> Any:
    from fer_batch.emotion.keras_model import KerasModel

    return KerasModel(tiny_model, batch_size=4)


@pytest.mark.parametrize(
    ("logits", "temperature", "expected"),
    [
        ([[0.0, 0.0]], 1.0, [[0.5, 0.5]]),
        ([[np.log(3.0), 0.0]], 1.0, [[0.75, 0.25]]),
        ([[np.log(9.0), 0.0]], 2.0, [[0.75, 0.25]]),
        ([[1000.0, 0.0], [-1000.0, 0.0]], 1.0, [[1.0, 0.0], [0.0, 1.0]]),
    ],
)
def test_softmax(logits: list[list[float]], temperature: float, expected: list[list[float]]) -> None:
    from fer_batch.emotion.model import softmax

    given = np.array(logits, np.float32)
    np.testing.assert_allclose(softmax(given, temperature), expected, rtol=1e-6)
    np.testing.assert_array_equal(given, np.array(logits, np.float32))


def test_softmax_sums_to_one() -> None:
    from fer_batch.emotion.model import softmax

    logits = np.random.default_rng(0).normal(0, 30, (100, 7)).astype(np.float32)
    np.testing.assert_allclose(softmax(logits).sum(axis=1), 1.0, atol=1e-12)


def test_every_call_has_the_same_shape(crops: NDArray[np.uint8]) -> None:
    """Eleven crops in batches of four: three calls, the last one padded, and no output for the padding."""
    from fer_batch.emotion.keras_model import network_logits

    class Sums:
        output_shape = (None, 1)
        shapes: tuple[tuple[int, ...], ...] = ()

        def predict_on_batch(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            self.shapes += (batch.shape,)
            return batch.sum(axis=(1, 2, 3))[:, None]

    model = Sums()
    logits = network_logits(model, lambda batch: batch[..., None].astype(np.float32), crops, 4)
    assert model.shapes == ((4, 48, 48, 1),) * 3
    np.testing.assert_array_equal(logits[:, 0], crops.sum(axis=(1, 2)))
    assert logits.dtype == np.float32


@pytest.mark.parametrize("n", [0, 1, 4, 5])
def test_any_number_of_crops_gives_as_many_rows(network: Any, crops: NDArray[np.uint8], n: int) -> None:
    probabilities = network.probabilities(crops[:n])
    assert (probabilities.shape, probabilities.dtype) == ((n, 7), np.float64)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)


def test_the_temperature_divides_the_logits(network: Any, crops: NDArray[np.uint8]) -> None:
    logits = network.logits(crops).astype(float)
    expected = np.exp(logits / 1.5) / np.exp(logits / 1.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(network.probabilities(crops), expected, rtol=1e-6)
    assert np.ptp(expected, axis=0).max() > 0.01  # The crops do not all look alike to it.


def test_the_preprocessing_is_that_of_the_folder(
    network: Any, changed: Callable[..., Path], crops: NDArray[np.uint8]
) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    other = KerasModel(changed(preprocessing="unit_range"), batch_size=4)
    assert np.abs(other.logits(crops) - network.logits(crops)).max() > 0.01


def test_each_head_has_its_outputs_and_its_temperature(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    from fer_batch.emotion.architectures import ARCHITECTURES
    from fer_batch.emotion.keras_model import KerasModel
    from fer_batch.emotion.model import softmax
    from fer_batch.emotion.model_folder import ModelConfig, write_config

    ARCHITECTURES["classic-cnn"](14, dense=8).save_weights(tmp_path / WEIGHTS_FILE)
    digest = file_sha256(tmp_path / WEIGHTS_FILE)
    heads = {"ferplus": 0.5, "fer2013": 2.0}
    config = ModelConfig("m", "1", "classic-cnn", EMOTIONS, "standardize", heads, "fer2013", digest, {"dense": 8})
    write_config(tmp_path, config)
    network = KerasModel(tmp_path, batch_size=4)
    logits, answers = network.logits(crops), network.probabilities_by_head(crops)
    assert logits.shape == (11, 14)
    np.testing.assert_allclose(answers["ferplus"], softmax(logits[:, :7], 0.5))
    np.testing.assert_allclose(answers["fer2013"], softmax(logits[:, 7:], 2.0))
    np.testing.assert_array_equal(network.probabilities(crops), answers["fer2013"])


def test_size(network: Any) -> None:
    """Counted by hand: nine convolutions, two dense layers of eight, one of seven; batch normalization beside them."""
    at_48, at_24, at_12 = 9 * (32 + 2 * 32 * 32), 9 * (32 * 64 + 2 * 64 * 64), 9 * (64 * 128 + 2 * 128 * 128)
    dense = 6 * 6 * 128 * 8 + 8 * 8 + 8 * 7
    assert network.multiply_adds == 48**2 * at_48 + 24**2 * at_24 + 12**2 * at_12 + dense
    biases, normalization = 3 * (32 + 64 + 128) + 8 + 8 + 7, 4 * (32 + 64 + 128 + 8 + 8)
    assert network.parameters == at_48 + at_24 + at_12 + dense + biases + normalization


def test_flip_averaging_costs_twice(network: Any, changed: Callable[..., Path]) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    assert KerasModel(changed(mirror=True)).multiply_adds == 2 * network.multiply_adds


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"dense": 16}},
        {"options": {"dense": 0}},
        {"options": {"depth": 3}},
        {"options": {"dense": 8, "batch_norm": False}},
        {"labels": EMOTIONS_MERGED},
        {"weights": b""},
        {"weights": b"no HDF5 file"},
    ],
)
def test_weights_that_do_not_fit(changed: Callable[..., Path], changes: dict[str, Any]) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    folder = changed(**changes)
    with pytest.raises(ModelFolderError) as caught:
        KerasModel(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder}: the weights do not fit the network (")
    assert "\n" not in message


@pytest.mark.parametrize("error", [ValueError, TypeError, OSError])
def test_an_error_without_a_message_is_reported_by_its_type(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    from fer_batch.emotion import keras_model as network

    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setitem(network.ARCHITECTURES, "classic-cnn", fail)
    with pytest.raises(ModelFolderError, match="the weights do not fit the network"):
        network.KerasModel(tiny_model)


def test_another_hdf5_file_is_refused(changed: Callable[..., Path], tmp_path: Path) -> None:
    import h5py

    from fer_batch.emotion.keras_model import KerasModel

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    folder = changed(weights=(tmp_path / "other.h5").read_bytes())
    with pytest.raises(ModelFolderError, match="do not fit"):
        KerasModel(folder)


class Payload:
    """What a pickle can do to whoever loads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("kind", ["pickle", "keras"])
def test_no_code_from_a_model_is_run(changed: Callable[..., Path], tmp_path: Path, kind: str) -> None:
    import keras

    from fer_batch.emotion.keras_model import KerasModel

    mark = tmp_path / "was here"
    if kind == "pickle":
        weights = pickle.dumps(Payload(mark))
    else:  # A whole model, whose layer holds a function as byte code.
        lines = [keras.Input((48, 48, 1)), keras.layers.Lambda(lambda x, at=str(mark): Path(at).touch() or x)]
        keras.Sequential(lines).save(tmp_path / "whole.keras")
        mark.unlink(missing_ok=True)
        weights = (tmp_path / "whole.keras").read_bytes()
    folder = changed(weights=weights)
    with pytest.raises(ModelFolderError, match="do not fit"):
        KerasModel(folder)
    assert not mark.exists()


def test_flip_averaging_is_the_mean_over_a_face_and_its_flip(
    tiny_model: Path, changed: Callable[..., Path], crops: NDArray[np.uint8]
) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    plain, both = KerasModel(tiny_model, batch_size=4), KerasModel(changed(mirror=True), batch_size=4)
    expected = (plain.logits(crops) + plain.logits(crops[:, :, ::-1])) / 2
    assert np.allclose(both.logits(crops), expected, atol=1e-5)
    assert not np.allclose(plain.logits(crops), expected, atol=1e-4)
