"""Training on a few drawn faces: it learns, goes on from a checkpoint, and its ONNX file says what the network says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.model_folder import ONNX_FILE, read_detector
from fer_batch.detection.network import STRIDES
from fer_batch.errors import DatasetError
from fer_batch.model_folder import CONFIG_FILE, INT8_FILE, file_sha256
from fer_batch.training.detector import recipe as recipes
from fer_batch.training.detector.photographs import Photograph
from fer_batch.training.detector.recipe import DetectorRecipe
from fer_batch.training.detector.views import Views

pytest.importorskip("onnx", reason="the extra train is not installed")

TINY = DetectorRecipe(
    options={"widths": (2, 2, 3, 3, 3), "depths": (0, 0, 0, 0), "neck": 3},
    validation_sources=("b/two",),
    epochs=2,
    batch_size=4,
    learning_rate=0.01,
    warmup_epochs=0.0,
    ema=0.9,
    precision="float32",
    views=Views(side=128),
)


def drawn(seed: int, source: str = "a/one", face_free: bool = False) -> Photograph:
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(60, 120, (9, 12), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    x, y = rng.integers(10, 100), rng.integers(5, 60)
    points = np.array([(9, 14), (21, 14), (15, 21), (10, 29), (20, 29)]) + np.array((x, y))
    if not face_free:
        cv2.ellipse(picture, (int(x) + 15, int(y) + 20), (15, 20), 0, 0, 360, 220, -1)
        for point in points:
            cv2.circle(picture, point.tolist(), 2, 20, -1)
    n = 0 if face_free else 1
    box, landmarks = np.array([[x, y, 30, 40]], np.float32), points[None].astype(np.float32)
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    return Photograph(f"{seed}", source, encoded, face_free, box[:n], landmarks[:n], np.ones(n, np.float32))


@pytest.fixture(scope="module")
def photographs() -> list[Photograph]:
    training = [drawn(seed) for seed in range(10)] + [drawn(seed, face_free=True) for seed in range(10, 13)]
    return [*training, drawn(20, "b/two"), drawn(21, "b/two", face_free=True)]


@pytest.fixture(scope="module")
def training() -> Any:
    """The module under test; it imports Keras."""
    from fer_batch.training.detector import train

    return train


@pytest.fixture(scope="module")
def network(training: Any) -> Any:
    """A network with random weights and random moving averages."""
    import keras

    keras.utils.set_random_seed(3)
    built = training.face_network(**TINY.options)
    rng = np.random.default_rng(0)
    built.set_weights([np.abs(one + rng.normal(0, 0.1, one.shape)).astype(np.float32) for one in built.get_weights()])
    return built


@pytest.fixture(scope="module")
def teacher(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fer_batch.training.detector.export import export_onnx

    path = tmp_path_factory.mktemp("teacher") / "teacher.onnx"
    export_onnx(network, path)
    return path


@pytest.mark.parametrize("shape", [(64, 96), (128, 64)])
def test_opencv_says_what_the_network_says(network: Any, teacher: Path, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    net = cv2.dnn.readNet(str(teacher))
    net.setInput(cv2.dnn.blobFromImage(picture))
    names = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
    outputs = dict(zip(names, net.forward(names), strict=True))
    maps = network.predict_on_batch(picture[None, ..., None].astype(np.float32))
    for stride, one in zip(STRIDES, maps, strict=True):
        rows = np.asarray(one).reshape(1, -1, 15)
        score = 1 / (1 + np.exp(-rows[..., :1]))
        assert outputs[f"cls_{stride}"] == pytest.approx(score, abs=1e-3)
        assert outputs[f"obj_{stride}"] == pytest.approx(score, abs=1e-3)
        assert outputs[f"bbox_{stride}"] == pytest.approx(rows[..., 1:5], rel=1e-4, abs=1e-3)
        assert outputs[f"kps_{stride}"] == pytest.approx(rows[..., 5:], rel=1e-4, abs=1e-3)


def test_no_layer_is_left_out_of_the_file(training: Any, tmp_path: Path) -> None:
    import keras

    from fer_batch.training.detector.export import export_onnx

    inputs = keras.Input((None, None, 1))
    with pytest.raises(ValueError, match="no rule to write a Softmax as ONNX"):
        export_onnx(keras.Model(inputs, [keras.layers.Softmax()(inputs)]), tmp_path / "x.onnx")


def test_training_learns_and_goes_on_from_a_checkpoint(
    training: Any, photographs: list[Photograph], teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = training.train_detector(photographs, teacher, TINY, tmp_path / "straight").get_weights()
    with monkeypatch.context() as patch:
        saved = training._Trainer.save

        def save_and_stop(trainer: Any, path: Path) -> None:
            saved(trainer, path)
            raise KeyboardInterrupt

        patch.setattr(training._Trainer, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            training.train_detector(photographs, teacher, TINY, tmp_path / "resumed")
    halfway = training.checkpointed_network(tmp_path / "resumed").get_weights()
    resumed = training.train_detector(photographs, teacher, TINY, tmp_path / "resumed").get_weights()
    for one, two in zip(straight, resumed, strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    assert any(not np.allclose(one, two) for one, two in zip(halfway, resumed, strict=True))
    log = (tmp_path / "resumed" / training.LOG_FILE).read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch", "1", "2"]


def test_the_loss_falls_on_what_it_has_seen(training: Any, photographs: list[Photograph], teacher: Path) -> None:
    inputs, wanted = next(training.batches(photographs[:4], teacher, TINY, 0))
    trainer = training._Trainer(TINY, 20)
    losses = []
    for _ in range(16):
        trainer.model.reset_metrics()
        losses.append(float(trainer.model.train_on_batch(inputs, wanted)))
    assert losses[-1] < 0.7 * losses[0]


def test_batches_repeat(training: Any, photographs: list[Photograph], teacher: Path) -> None:
    def epoch(number: int) -> NDArray[np.float32]:
        return np.stack([inputs for inputs, _ in training.batches(photographs, teacher, TINY, number)])

    assert np.array_equal(epoch(1), epoch(1))
    assert not np.array_equal(epoch(1), epoch(2))


def test_the_loss_of_a_perfect_answer_is_nothing(training: Any) -> None:
    wanted = np.zeros((1, 4, 18), np.float32)
    wanted[..., 1] = 1
    wanted[0, 0, :4] = 1
    wanted[0, 0, 4:] = np.linspace(-1, 1, 14)
    given = np.zeros((1, 4, 15), np.float32)
    given[..., 0] = [20, -20, -20, -20]
    given[0, 0, 1:] = np.linspace(-1, 1, 14)
    assert float(training.detector_loss(TINY, wanted, given)) == pytest.approx(0, abs=1e-5)
    given[0, 0, 1] += 0.5  # Half a cell aside, of a face that is exp(-1 + 2 * 2 / 13) cells wide.
    error = 0.5 / np.exp(np.linspace(-1, 1, 14)[2]) / 4
    assert float(training.detector_loss(TINY, wanted, given)) == pytest.approx(TINY.box_loss * error, rel=1e-4)


def test_a_folder_that_the_detector_reads(
    network: Any, photographs: list[Photograph], tmp_path: Path, training: Any
) -> None:
    from fer_batch.training.detector.folder import detector_config, write_detector_folder

    write_detector_folder(network, photographs, TINY, tmp_path, "tiny", "3")
    model = read_detector(tmp_path)
    assert (model.name, model.version) == ("tiny", "3")
    assert 0.5 <= model.min_score <= 1
    assert model.int8_sha256 == file_sha256(tmp_path / INT8_FILE)
    config = detector_config(str(tmp_path))
    assert config == DetectorConfig("embedded", str(tmp_path / ONNX_FILE), min_face=1)
    create_detector(config).detect(photographs[0].gray(), 1)


def test_a_detector_is_quantized_again_as_often_as_wanted(
    network: Any, photographs: list[Photograph], tmp_path: Path, training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other photographs each time; an interruption leaves a folder that can be used."""
    from fer_batch.training.detector import folder as module

    module.write_detector_folder(network, photographs, TINY, tmp_path, "tiny", "3")
    first = read_detector(tmp_path)
    monkeypatch.setattr(module, "_as_searched", lambda one: np.full((1, 1, 64, 64), 255, np.float32))
    threshold = module.quantize_detector(tmp_path, photographs, TINY)
    second = read_detector(tmp_path)
    assert second.min_score == threshold
    assert first.int8_sha256 != second.int8_sha256 == file_sha256(tmp_path / INT8_FILE)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG_FILE, ONNX_FILE, INT8_FILE]
    monkeypatch.setattr(module, "quantize", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        module.quantize_detector(tmp_path, photographs, TINY)
    assert read_detector(tmp_path) == replace(second, int8_sha256=None)
    everything = replace(TINY, validation_sources=tuple({one.source for one in photographs}))
    with pytest.raises(DatasetError, match="all photographs are held out"):
        module.quantize_detector(tmp_path, photographs, everything)


def test_another_recipe_is_refused(
    training: Any, photographs: list[Photograph], teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(TINY, epochs=1)
    training.train_detector(photographs, teacher, one, tmp_path)
    with pytest.raises(DatasetError, match="belongs to another recipe"):
        training.train_detector(photographs, teacher, replace(one, seed=1), tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"precision": "float16"}, "precision 'float16' is none of"),
        ({"views": Views(side=100)}, "side is 100"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        recipes.check_detector_recipe(replace(TINY, **change))


def test_a_recipe_survives_json(tmp_path: Path) -> None:
    from dataclasses import asdict

    recipe = replace(TINY, options={})
    (tmp_path / "recipe.json").write_text(json.dumps(asdict(recipe)))
    assert recipes.read_detector_recipe(tmp_path / "recipe.json") == recipe
    (tmp_path / "recipe.json").write_text('{"speed": 1}')
    with pytest.raises(DatasetError, match="cannot be read as a detector's recipe"):
        recipes.read_detector_recipe(tmp_path / "recipe.json")


def test_a_wider_network_begins_with_what_a_narrower_one_has_learnt(
    training: Any, photographs: list[Photograph], teacher: Path, tmp_path: Path
) -> None:
    import keras

    narrow = training.train_detector(photographs, teacher, replace(TINY, epochs=1), tmp_path)
    wider = {"widths": (2, 3, 4, 3, 5), "depths": (0, 0, 0, 0), "neck": 4}
    keras.utils.set_random_seed(7)
    trainer = training._Trainer(replace(TINY, options=wider), 1)
    trainer.begin(tmp_path, [])
    begun = trainer.averaged_network()
    picture = np.random.default_rng(2).integers(0, 256, (1, 64, 96, 1)).astype(np.float32)
    for one, other in zip(narrow.predict_on_batch(picture), begun.predict_on_batch(picture), strict=True):
        assert np.asarray(other) == pytest.approx(np.asarray(one), abs=1e-4)
    for options in ({**wider, "widths": (1, 2, 3, 3, 3)}, {**wider, "depths": (1, 0, 0, 0)}):
        with pytest.raises(DatasetError, match="does not fit into the one to be trained"):
            training._Trainer(replace(TINY, options=options), 1).begin(tmp_path, [])


@pytest.mark.parametrize("averaged", [False, True], ids=["measured", "moving"])
def test_a_network_begins_with_what_a_detector_says(
    training: Any, network: Any, teacher: Path, tmp_path: Path, averaged: bool
) -> None:
    """In training batch normalization uses the batch's own figures, so both ways must give the detector's answers."""
    import keras

    (tmp_path / ONNX_FILE).write_bytes(teacher.read_bytes())
    recipes_file = tmp_path / recipes.RECIPE_FILE
    recipes_file.write_text(json.dumps({"options": TINY.options}))
    keras.utils.set_random_seed(8)
    trainer = training._Trainer(TINY, 1)
    pictures = np.random.default_rng(2).integers(0, 256, (4, 64, 96, 1)).astype(np.float32)
    trainer.begin(tmp_path, [pictures])
    begun = trainer.averaged_network()
    given = begun.predict_on_batch(pictures) if averaged else begun(pictures, training=True)
    for one, other in zip(network.predict_on_batch(pictures), given, strict=True):
        assert np.asarray(other) == pytest.approx(np.asarray(one), rel=1e-3, abs=1e-3)


def test_a_detector_of_another_network_can_not_begin_one(training: Any, teacher: Path, tmp_path: Path) -> None:
    (tmp_path / ONNX_FILE).write_bytes(teacher.read_bytes())
    other = {**TINY.options, "widths": (2, 2, 3, 3, 4)}
    (tmp_path / recipes.RECIPE_FILE).write_text(json.dumps({"options": other}))
    with pytest.raises(DatasetError, match="can't be used"):
        training._Trainer(replace(TINY, options=other), 1).begin(tmp_path, [])


def test_a_start_without_weights_is_named(training: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read as a detector's recipe"):
        training._Trainer(TINY, 1).begin(tmp_path, [])


def test_the_last_epochs_are_calm(
    training: Any, photographs: list[Photograph], teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Views] = []
    degraded = training.degrade

    def noted(view: Any, views: Views, rng: np.random.Generator) -> NDArray[np.uint8]:
        seen.append(views)
        picture: NDArray[np.uint8] = degraded(view, views, rng)
        return picture

    monkeypatch.setattr(training, "degrade", noted)
    recipe = replace(TINY, epochs=3, calm_epochs=1)
    for epoch in range(3):
        seen.clear()
        list(training.batches(photographs, teacher, recipe, epoch))
        assert set(seen) == {recipe.views.calmer() if epoch == 2 else recipe.views}
    assert recipe.views.calmer().noise < recipe.views.noise
