"""Training on a few drawn faces: it learns, resumes from a checkpoint, and its ONNX file gives the same answers."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.model_folder import ONNX_FILE, read_detector
from fer_batch.errors import DatasetError
from fer_batch.model_folder import CONFIG_FILE, INT8_FILE, file_sha256
from fer_batch.training.detector import recipe as recipes
from fer_batch.training.detector.batches import BatchMaker, batch_stream
from fer_batch.training.detector.photographs import Photograph
from fer_batch.training.detector.recipe import DetectorRecipe, VerifierRecipe

pytest.importorskip("onnx", reason="the extra train is not installed")

OPTIONS = {"stem": (2, 3), "widths": (3, 4, 4), "blocks": (1, 0, 0), "neck": 4}
TINY = DetectorRecipe(
    options=OPTIONS,
    epochs=2,
    decay_epochs=1,
    steps=3,
    sides=((128, 1.0),),
    pixels=4 * 128**2,
    learning_rate=0.02,
    warmup_steps=1,
    ema=0.9,
    precision="float32",
    verifier=VerifierRecipe(passes=0),  # Untrained, the network finds nothing for it.
)


def drawn(seed: int, role: str = "face", held_out: bool = False) -> Photograph:
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(60, 120, (9, 12), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    x, y = rng.integers(10, 100), rng.integers(5, 60)
    points = np.array([(9, 14), (21, 14), (15, 21), (10, 29), (20, 29)]) + np.array((x, y))
    if role == "face":
        cv2.ellipse(picture, (int(x) + 15, int(y) + 20), (15, 20), 0, 0, 360, 220, -1)
        for point in points:
            cv2.circle(picture, point.tolist(), 2, 20, -1)
    n = 1 if role == "face" else 0
    box, landmarks = np.array([[x, y, 30, 40]], np.float32), points[None].astype(np.float32)
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    labels = box[:n], landmarks[:n], np.ones(n, np.float32)
    return Photograph(
        f"{seed}", "a/one", encoded, role == "negative", *labels, held_out, role == "none_found", np.ones(n, bool)
    )


@pytest.fixture(scope="module")
def photographs() -> list[Photograph]:
    training = [drawn(seed) for seed in range(10)] + [drawn(seed, "negative") for seed in range(10, 13)]
    return [*training, drawn(20, held_out=True), drawn(21, "none_found", held_out=True)]


@pytest.fixture(scope="module")
def training() -> Any:
    """The module under test; it imports Keras."""
    from fer_batch.training.detector import train

    return train


@pytest.fixture(scope="module")
def network(training: Any) -> Any:
    """A network with random weights, gains included."""
    import keras

    keras.utils.set_random_seed(3)
    built = training.face_network(**OPTIONS)
    rng = np.random.default_rng(0)
    built.set_weights([weight + rng.normal(0, 0.1, weight.shape) for weight in built.get_weights()])
    return built


@pytest.mark.parametrize("shape", [(64, 96), (128, 64)])
def test_the_file_gives_the_answers_of_the_network(network: Any, tmp_path: Path, shape: tuple[int, int]) -> None:
    """Folded convolutions, padding and strides of 2 included."""
    from fer_batch.detection.builtin import blocks
    from fer_batch.detection.network import plain_network
    from fer_batch.onnx.session import open_network
    from fer_batch.training.detector.export import export_onnx

    export_onnx(plain_network(network, **OPTIONS), tmp_path / ONNX_FILE)
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    faces = open_network(tmp_path / ONNX_FILE, threads=1)(blocks(picture))["faces"]
    maps = network.predict_on_batch(picture[None].astype(np.float32))
    expected = np.concatenate([np.asarray(answer).reshape(-1, 15) for answer in maps])
    assert faces == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_a_layer_without_a_rule_is_refused(training: Any, tmp_path: Path) -> None:
    import keras

    from fer_batch.training.detector.export import export_onnx

    inputs = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="no rule to write a Softmax as ONNX"):
        export_onnx(keras.Model(inputs, [keras.layers.Softmax()(inputs)]), tmp_path / "x.onnx")


@pytest.mark.slow
def test_training_resumes_from_a_checkpoint_of_its_own_recipe_with_the_same_weights(
    training: Any, photographs: list[Photograph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "resumed" / training.CHECKPOINT_FILE
    checkpoint.parent.mkdir()
    with monkeypatch.context() as patch:
        save = training._Trainer.save

        def save_and_keep_the_first(trainer: Any, path: Path) -> None:
            save(trainer, path)
            if trainer.epoch == 1:
                shutil.copy(path, checkpoint)

        patch.setattr(training._Trainer, "save", save_and_keep_the_first)
        straight = training.train_detector(photographs, TINY, tmp_path / "straight").get_weights()
    with pytest.raises(DatasetError, match="belongs to another recipe"):
        training.train_detector(photographs, replace(TINY, seed=1), tmp_path / "resumed")
    longer = training._Trainer(replace(TINY, epochs=3))
    longer.load(checkpoint)
    assert longer.epoch == 1
    resumed = training.train_detector(photographs, TINY, tmp_path / "resumed").get_weights()
    for one, two in zip(straight, resumed, strict=True):
        assert one == pytest.approx(two, abs=1e-4)
    log = (tmp_path / "resumed" / training.LOG_FILE).read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch", "1", "2"]


@pytest.mark.slow
def test_the_loss_falls_on_a_batch_that_is_learnt_again_and_again(training: Any, photographs: list[Photograph]) -> None:
    inputs, wanted = BatchMaker(photographs[:4], TINY).make(0, 0)
    steps = training._Trainer(TINY).steps
    losses = [steps.step(inputs, wanted, 0.02, 0.9) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]


def test_batches_do_not_depend_on_the_number_of_processes(photographs: list[Photograph]) -> None:
    def pictures(processes: int) -> list[bytes]:
        with batch_stream(photographs, TINY, 0, processes) as batches:
            return [views.tobytes() for views, _ in batches]

    assert len(pictures(1)) == TINY.epochs * TINY.steps
    assert pictures(1) == pictures(2)
    assert len(set(pictures(1))) == TINY.epochs * TINY.steps


def test_a_photograph_that_can_not_be_read_ends_the_training(photographs: list[Photograph]) -> None:
    broken = [replace(photographs[0], content=b"no picture")]
    with batch_stream(broken, TINY, 0, 1) as batches, pytest.raises(DatasetError, match="ended early"):
        next(batches)


def test_the_learning_rate_rises_stays_and_falls(training: Any) -> None:
    recipe = replace(TINY, epochs=10, decay_epochs=4, steps=100, warmup_steps=50, learning_rate=1.0)
    rates = [training.learning_rate(recipe, step) for step in (0, 24, 49, 300, 599, 800, 999)]
    assert rates == pytest.approx([0.02, 0.5, 1, 1, 1, 0.5, 0], abs=2e-3)
    longer = replace(recipe, epochs=20)
    assert [training.learning_rate(longer, step) for step in range(600)] == [
        training.learning_rate(recipe, step) for step in range(600)
    ]


def test_a_network_that_answers_rightly_has_a_small_loss(training: Any, photographs: list[Photograph]) -> None:
    """Made from the targets: the true box and landmarks in a face's nearest cell of one map."""
    from fer_batch.training.detector.loss import detector_loss

    _, wanted = BatchMaker(photographs[:10], TINY).make(0, 0)
    faces = wanted["allowed"].any(axis=1)
    answer = np.zeros((len(wanted["grid"]), 15), np.float32)
    answer[:, 0] = -12
    for face in np.flatnonzero(faces):
        cell = wanted["candidates"][face][np.argmax(wanted["allowed"][face])]
        (column, row, stride), box = wanted["grid"][cell], wanted["boxes"][face]
        answer[cell, 0] = 12
        answer[cell, 1:3] = (box[:2] + box[2:] / 2) / stride - (column, row)
        answer[cell, 3:5] = np.log(box[2:] / stride)
        answer[cell, 5:] = wanted["landmarks"][face] / stride - np.tile((column, row), 5)
    given = {name: np.asarray(value) for name, value in wanted.items()}
    right = {name: float(value) for name, value in detector_loss(TINY, given, answer).items()}
    assert right["box"] < 0.05
    assert right["landmarks"] < 0.05
    wrong = answer.copy()
    wrong[:, 3:5] += 1.0
    assert float(detector_loss(TINY, given, wrong)["box"]) > right["box"] + 0.3
    assert float(detector_loss(TINY, given, -answer)["score"]) > right["score"] + 1


def test_training_leaves_a_folder_that_the_detector_reads(
    network: Any, photographs: list[Photograph], tmp_path: Path
) -> None:
    from fer_batch.training.detector.folder import detector_config, write_detector_folder

    write_detector_folder(network, photographs, TINY, tmp_path, "tiny", "3")
    model = read_detector(tmp_path)
    assert (model.name, model.version) == ("tiny", "3")
    assert 0 <= model.min_score <= 1
    assert model.int8_sha256 == file_sha256(tmp_path / INT8_FILE)
    config = detector_config(str(tmp_path))
    assert config == DetectorConfig("embedded", str(tmp_path / ONNX_FILE), min_face=1)
    bgr = photographs[0].frame(needs_colour=True).bgr
    assert bgr is not None
    create_detector(config).detect(bgr, 1)


def test_quantizing_again_replaces_the_file_and_an_interruption_leaves_a_folder_that_works(
    network: Any, photographs: list[Photograph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_batch.training.detector import folder as module

    module.write_detector_folder(network, photographs, TINY, tmp_path, "tiny", "3")
    first = read_detector(tmp_path)
    monkeypatch.setattr(module, "_as_searched", lambda photograph: np.full((1, *module._INPUT), 255, np.float32))
    threshold = module.quantize_detector(tmp_path, photographs, TINY)
    second = read_detector(tmp_path)
    assert second.min_score == threshold
    assert first.int8_sha256 != second.int8_sha256 == file_sha256(tmp_path / INT8_FILE)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONFIG_FILE, ONNX_FILE, INT8_FILE]
    monkeypatch.setattr(module, "quantize", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        module.quantize_detector(tmp_path, photographs, TINY)
    assert read_detector(tmp_path) == replace(second, int8_sha256=None)
    with pytest.raises(DatasetError, match="all photographs are held out"):
        module.quantize_detector(tmp_path, [replace(photograph, held_out=True) for photograph in photographs], TINY)


def test_a_training_begins_with_the_network_of_a_detector(training: Any, network: Any, tmp_path: Path) -> None:
    from fer_batch.detection.network import plain_network
    from fer_batch.training.detector.export import export_onnx

    export_onnx(plain_network(network, **OPTIONS), tmp_path / ONNX_FILE)
    trainer = training._Trainer(TINY)
    trainer.begin(tmp_path)
    picture = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3)).astype(np.float32)
    begun = trainer.averaged_network().predict_on_batch(picture)
    for old, new in zip(network.predict_on_batch(picture), begun, strict=True):
        assert np.asarray(new) == pytest.approx(np.asarray(old), rel=1e-3, abs=1e-3)
    with pytest.raises(DatasetError, match="none: its network can't be used"):
        trainer.begin(tmp_path / "none")
    with pytest.raises(DatasetError, match="its network can't be used"):
        training._Trainer(replace(TINY, options={**OPTIONS, "neck": 5})).begin(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"pixels": 100}, "as many as the largest view has"),
        ({"precision": "float16"}, "precision 'float16' is none of"),
        ({"sides": ((100, 1.0),)}, "multiple of 64"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_by_field(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        recipes.check_detector_recipe(replace(TINY, **change))


def test_a_recipe_survives_json(tmp_path: Path) -> None:
    recipe = replace(TINY, options={}, source_weights={"a/one": 2.0})
    (tmp_path / "recipe.json").write_text(json.dumps(asdict(recipe)))
    assert recipes.read_detector_recipe(tmp_path / "recipe.json") == recipe
    (tmp_path / "recipe.json").write_text('{"speed": 1}')
    with pytest.raises(DatasetError, match="cannot be read as a detector's recipe"):
        recipes.read_detector_recipe(tmp_path / "recipe.json")
