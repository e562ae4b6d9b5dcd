"""Training on a tiny synthetic data set: the folder it leaves, going on from a checkpoint, heads, teachers, recipes."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.emotion.model import softmax
from fer_batch.emotion.model_folder import read_config
from fer_batch.emotion.preprocessing import standardize
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import DatasetError, UsageError
from fer_batch.model_folder import CONFIG_FILE, INT8_FILE, WEIGHTS_FILE, file_sha256
from fer_batch.training.emotion import recipe as recipes
from fer_batch.training.emotion.batches import batches, training_split
from fer_batch.training.emotion.calibration import fit_temperature
from fer_batch.training.emotion.dataset import Faces
from fer_batch.training.emotion.targets import plain_targets

TINY = {
    "architecture": "small",
    "options": {"units": 8},
    "epochs": 2,
    "batch_size": 8,
    "holdout": 0.1,
    "precision": "float32",
    "ema": 0.9,
    "learning_rate": 0.01,
    "flip_averaging": False,
}


@pytest.fixture(scope="module")
def training() -> Any:
    """The module under test; it imports Keras."""
    from fer_batch.training.emotion import train

    return train


@pytest.fixture(scope="module")
def trainer() -> Any:
    """The module with a network in training; it imports Keras."""
    from fer_batch.training.emotion import trainer

    return trainer


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """A network with all that has a state of its own, dropout and batch normalization, that is quick to build."""
    from keras import Input, Model, layers

    from fer_batch.emotion.architectures import ARCHITECTURES

    def small(classes: int, units: int = 4, dropout: float = 0.5, batch_norm: bool = True) -> Model:
        inputs = Input((48, 48, 1))
        x = layers.Flatten()(layers.Conv2D(units, 8, strides=8, activation="relu")(inputs))
        x = layers.BatchNormalization()(x) if batch_norm else x
        return Model(inputs, layers.Dense(classes, dtype="float32")(layers.Dropout(dropout)(x)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "small", small)
        yield


@pytest.fixture(scope="module")
def recipe(training: Any) -> Any:
    return recipes.Recipe(**TINY)


@pytest.fixture(scope="module")
def finished(training: Any, faces: Faces, recipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training run that nothing interrupted. Do not write to it."""
    return training.train(faces, recipe, tmp_path_factory.mktemp("finished") / "deep" / "m", "tiny", "3")


@pytest.fixture(scope="module")
def stopped(training: Any, trainer: Any, faces: Faces, recipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the same run leaves when it is interrupted in its second epoch. Do not write to it."""
    out = tmp_path_factory.mktemp("stopped") / "m"
    run_epoch = trainer.Trainer.run_epoch

    def interrupt(self: Any, faces: Faces) -> float:
        if self.epoch == 1:
            raise KeyboardInterrupt
        return run_epoch(self, faces)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "run_epoch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            training.train(faces, recipe, out, "tiny", "3")
    return out


def logits_of(folder: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    from fer_batch.emotion.keras_model import KerasModel

    return KerasModel(folder, batch_size=8).logits(images)


# The folder.


def test_training_without_the_package_onnx_says_how_to_quantize_later(
    training: Any, faces: Faces, recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """As on a machine that only trains. What an earlier training left is no part of the folder."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / INT8_FILE).write_bytes(b"of an earlier training")
    monkeypatch.setattr(training, "has_onnx", lambda: False)
    training.train(faces, replace(recipe, epochs=1), tmp_path / "m", "tiny", "3")
    assert f"`fer-batch quantize {tmp_path / 'm'} DATA`" in capsys.readouterr().out
    assert read_config(tmp_path / "m").int8_sha256 is None
    assert not (tmp_path / "m" / INT8_FILE).exists()


def test_the_folder_of_a_training_loads_and_holds_its_recipe(
    training: Any, finished: Path, recipe: Any, faces: Faces
) -> None:
    pytest.importorskip("onnx", reason="the extra train is not installed")
    assert sorted(path.name for path in finished.iterdir()) == [
        CONFIG_FILE,
        INT8_FILE,
        WEIGHTS_FILE,
        "recipe.json",
        "training_log.csv",
    ]
    config = read_config(finished)
    assert (config.name, config.version, config.labels) == ("tiny", "3", EMOTIONS)
    assert (config.architecture, config.preprocessing) == ("small", "standardize")
    assert config.options == {"units": 8, "dropout": 0.5, "batch_norm": True}  # With the defaults of today.
    assert list(config.heads) == ["fer2013"]  # All that can be answered without votes.
    assert config.tables == "fer2013"
    assert config.share_correction is not None
    assert sum(config.share_correction.prior) == pytest.approx(1.0, abs=1e-5)
    assert 0.1 <= config.heads["fer2013"] <= 10
    assert recipes.read_recipe(finished / "recipe.json") == replace(recipe, heads=("fer2013",))
    assert logits_of(finished, faces.images[:3]).shape == (3, 7)


@pytest.mark.slow
def test_the_original_network_trains_in_half_precision(
    training: Any, recipe: Any, faces: Faces, tmp_path: Path
) -> None:
    classic = replace(
        recipe,
        architecture="classic-cnn",
        options={"dense": 8},
        epochs=1,
        precision="bfloat16",
        merge_disgust=True,
    )
    out = training.train(faces, classic, tmp_path / "m", "classic", "1")
    assert read_config(out).labels == EMOTIONS_MERGED
    logits = logits_of(out, faces.images)
    assert logits.shape == (40, 6)
    assert np.isfinite(logits).all()


def test_the_log_has_a_row_an_epoch(finished: Path) -> None:
    with (finished / "training_log.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert list(rows[0]) == ["epoch", "loss", "fer2013_accuracy", "fer2013_nll", "seconds"]
    assert all(0.5 < float(row["loss"]) < 10.0 for row in rows)


def test_the_temperature_is_the_best_one_for_the_held_out_faces(
    training: Any, finished: Path, faces: Faces, recipe: Any
) -> None:
    _, held_out = training_split(faces, recipe)
    fitted = fit_temperature(logits_of(finished, held_out.images), np.eye(7)[held_out.labels])
    assert read_config(finished).heads["fer2013"] == pytest.approx(fitted, rel=1e-3)


def test_the_logged_loss_is_the_mean_over_the_batches(training: Any, recipe: Any, faces: Faces, tmp_path: Path) -> None:
    """With a learning rate of 0 the weights stay, so the loss can be worked out from the folder that is left."""
    from fer_batch.emotion.model import softmax

    still = replace(
        recipe,
        heads=("fer2013",),
        options={"units": 8, "dropout": 0.0, "batch_norm": False},
        epochs=1,
        learning_rate=0.0,
        label_smoothing=0.0,
    )
    out = training.train(faces, still, tmp_path / "m", "still", "1")
    with (out / "training_log.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    from fer_batch.emotion.keras_model import KerasModel

    model = KerasModel(out).model
    rest, _ = training_split(faces, still)
    losses = [
        -np.log((softmax(np.asarray(model.predict_on_batch(standardize(crops)))) * targets).sum(axis=1)).mean()
        for crops, targets in batches(rest, still, 0)
    ]
    assert np.ptp(losses) > 0.01
    assert float(row["loss"]) == pytest.approx(np.mean(losses), rel=1e-3)


def test_the_precision_of_a_run_does_not_outlive_it(
    training: Any, trainer: Any, recipe: Any, faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or every network built later in the same process would compute in bfloat16."""
    import keras

    def interrupt(self: Any, faces: Faces) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Trainer, "run_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        training.train(faces, replace(recipe, precision="bfloat16"), tmp_path / "m", "half", "1")
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("n", "changes", "words"),
    [
        (8, {}, "7 faces to train on are fewer than one batch of 8"),
        (1, {}, "0 faces to train on are fewer than one batch of 8"),
        (36, {"holdout": 1.0}, "holdout must lie between 0 and 1, found 1.0"),
        (0, {}, "no rows of usage 'Training'"),
    ],
)
def test_too_few_faces_leave_nothing_behind(
    training: Any, recipe: Any, faces: Faces, tmp_path: Path, n: int, changes: dict[str, Any], words: str
) -> None:
    few = faces.take(np.r_[:n, 36:40])
    with pytest.raises(DatasetError, match=words):
        training.train(few, replace(recipe, **changes), tmp_path / "m", "few", "1")
    assert list(tmp_path.iterdir()) == []


# Going on.


def test_an_interrupted_run_leaves_a_checkpoint_alone(stopped: Path) -> None:
    assert [path.name for path in stopped.iterdir()] == ["checkpoint.npz"]


@pytest.fixture(scope="module")
def resumed(
    training: Any, trainer: Any, stopped: Path, faces: Faces, recipe: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = shutil.copytree(stopped, tmp_path_factory.mktemp("resumed") / "m")
    epochs = []
    run_epoch = trainer.Trainer.run_epoch

    def count(self: Any, faces: Faces) -> float:
        epochs.append(self.epoch)
        return run_epoch(self, faces)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "run_epoch", count)
        training.train(faces, recipe, out, "tiny", "3")
    assert epochs == [1]
    return out


def test_going_on_gives_the_weights_of_an_uninterrupted_run(finished: Path, resumed: Path) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    expected, found = (KerasModel(folder).model.get_weights() for folder in (finished, resumed))
    assert len(found) == len(expected)
    for weight, uninterrupted in zip(found, expected, strict=True):
        np.testing.assert_allclose(weight, uninterrupted, atol=1e-5)


def test_going_on_leaves_a_whole_folder(finished: Path, resumed: Path) -> None:
    assert sorted(path.name for path in resumed.iterdir()) == sorted(path.name for path in finished.iterdir())
    assert len((resumed / "training_log.csv").read_text().splitlines()) == 3
    assert file_sha256(resumed / WEIGHTS_FILE) == read_config(resumed).weights_sha256


def test_the_checkpoint_of_another_recipe_is_refused(
    training: Any, stopped: Path, faces: Faces, recipe: Any, tmp_path: Path
) -> None:
    out = shutil.copytree(stopped, tmp_path / "m")
    before = file_sha256(out / "checkpoint.npz")
    with pytest.raises(DatasetError, match=r"checkpoint\.npz: belongs to another recipe; remove it to start over"):
        training.train(faces, replace(recipe, learning_rate=0.02), out, "tiny", "3")
    assert file_sha256(out / "checkpoint.npz") == before


# Two heads, teachers.


@pytest.fixture(scope="module")
def two_heads(training: Any, voted: Faces, recipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.train(voted, recipe, tmp_path_factory.mktemp("two") / "m", "two", "1")


def test_faces_with_votes_train_both_heads(training: Any, two_heads: Path, voted: Faces, recipe: Any) -> None:
    config = read_config(two_heads)
    assert (list(config.heads), config.tables) == (["fer2013", "ferplus"], "ferplus")
    logits = logits_of(two_heads, voted.images)
    assert logits.shape == (40, 14)
    _, held_out = training_split(voted, recipe)
    shares = plain_targets(held_out, replace(recipe, heads=("ferplus",)))["ferplus"]
    fitted = fit_temperature(logits_of(two_heads, held_out.images)[:, 7:], shares)
    assert config.heads["ferplus"] == pytest.approx(fitted, rel=1e-3)


def test_a_head_alone(training: Any, voted: Faces, recipe: Any, tmp_path: Path) -> None:
    out = training.train(voted, replace(recipe, heads=("ferplus",), epochs=1), tmp_path / "m", "one", "1")
    assert list(read_config(out).heads) == ["ferplus"]
    assert logits_of(out, voted.images).shape == (40, 7)


def test_the_loss_adds_up_over_heads_and_counts_light_rows_less() -> None:
    from fer_batch.training.emotion.student import heads_loss

    logits = np.log([[0.5, 0.5, 0.25, 0.75], [0.9, 0.1, 0.2, 0.8]]).astype(np.float32)
    targets = np.array([[1, 0, 0.5, 0.5], [0.3, 0.3, 0, 0]], np.float32)
    loss = np.asarray(heads_loss(targets, logits, heads=2))
    first = -np.log(0.5) - 0.5 * np.log(0.25) - 0.5 * np.log(0.75)
    assert loss == pytest.approx([first, -0.3 * np.log(0.9) - 0.3 * np.log(0.1)], rel=1e-5)


def test_teachers_answer_the_very_faces_that_are_learnt(
    trainer: Any, two_heads: Path, voted: Faces, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    taught = replace(recipe, heads=("fer2013", "ferplus"), teachers=(str(two_heads),), distillation_weight=0.25)
    begun = trainer.Trainer(trainer.build_network(taught), taught, steps_per_epoch=5)
    crops, targets = next(batches(voted, taught, 0))
    answers = KerasModel(two_heads, batch_size=8).probabilities_by_head(crops)
    expected = 0.75 * targets + 0.25 * np.concatenate([answers["fer2013"], answers["ferplus"]], axis=1)
    found = begun.student.distilled_targets(begun.student_inputs(crops), targets)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_teachers_answer_in_turn(
    training: Any, trainer: Any, two_heads: Path, voted: Faces, recipe: Any, tmp_path: Path
) -> None:
    other = training.train(voted, replace(recipe, seed=5, epochs=1), tmp_path / "other", "other", "1")
    both = replace(recipe, heads=("fer2013", "ferplus"), teachers=(str(two_heads), str(other)), distillation_weight=1.0)
    begun = trainer.Trainer(trainer.build_network(both), both, steps_per_epoch=5)
    crops, targets = next(batches(voted, both, 0))
    for step, folder in ((0, two_heads), (1, other), (2, two_heads)):
        expected = np.concatenate([softmax(part, temperature) for part, temperature in zip(
            np.split(logits_of(folder, crops), 2, axis=1), read_config(folder).heads.values(), strict=True
        )], axis=1)  # fmt: skip
        begun.student.steps.assign(step)
        found = begun.student.distilled_targets(begun.student_inputs(crops), targets)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_an_input_that_several_networks_share_is_computed_once(
    training: Any, trainer: Any, two_heads: Path, voted: Faces, recipe: Any, tmp_path: Path
) -> None:
    options = {"widths": (4, 4, 4), "blocks": (1, 1, 1), "side": 24}
    small = replace(recipe, architecture="compact-resnet", options=options, epochs=1)
    nearer = training.train(voted, small, tmp_path / "nearer", "nearer", "1")
    teachers = (str(two_heads), str(nearer), str(nearer))
    three = replace(recipe, heads=("fer2013", "ferplus"), teachers=teachers, distillation_weight=1.0)
    begun = trainer.Trainer(trainer.build_network(three), three, steps_per_epoch=5)
    crops, targets = next(batches(voted, three, 0))
    inputs = begun.student_inputs(crops)
    assert [array.shape for array in inputs] == [(8, 48, 48, 1), (8, 24, 24, 1)]
    taught = []
    for step in range(3):
        begun.student.steps.assign(step)
        taught.append(np.asarray(begun.student.distilled_targets(inputs, targets)))
    np.testing.assert_array_equal(taught[1], taught[2])
    assert np.abs(taught[0] - taught[1]).max() > 1e-3


def test_training_can_start_from_another_model(
    training: Any, two_heads: Path, voted: Faces, recipe: Any, tmp_path: Path
) -> None:
    """With a learning rate of 0 the weights stay those it started with."""
    still = replace(recipe, start=str(two_heads), learning_rate=0.0, epochs=1, ema=0.0)
    out = training.train(voted, still, tmp_path / "m", "again", "1")
    from fer_batch.emotion.keras_model import KerasModel

    kernels = [KerasModel(folder).model.layers[-1].get_weights()[0] for folder in (two_heads, out)]
    np.testing.assert_allclose(kernels[1], kernels[0], atol=1e-6)


@pytest.mark.slow
def test_a_network_can_grow_from_another_one(
    training: Any, trainer: Any, voted: Faces, recipe: Any, tmp_path: Path
) -> None:
    options = {"widths": (4, 6, 8), "blocks": (1, 1, 0)}
    small = replace(recipe, architecture="compact-resnet", options=options, heads=("fer2013", "ferplus"), epochs=1)
    training.train(voted, small, tmp_path / "small", "small", "1")
    deeper = {**options, "blocks": (2, 1, 1), "spatial_weights": True, "se_reduction": 2}
    grown = replace(small, options=deeper, start=str(tmp_path / "small"))
    model = trainer.build_network(grown)
    crops = voted.images[:4][..., None].astype(np.float32) / 255
    begun = trainer.build_network(replace(small, start=str(tmp_path / "small")))
    np.testing.assert_allclose(np.asarray(model(crops)), np.asarray(begun(crops)), rtol=1e-4, atol=1e-4)
    assert len(model.layers) > len(begun.layers)
    with pytest.raises(DatasetError, match="the weights do not fit the network"):
        trainer.build_network(replace(grown, options={**options, "widths": (4, 6, 9), "spatial_weights": True}))


def test_a_start_that_does_not_fit(training: Any, finished: Path, voted: Faces, recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the weights do not fit the network"):
        training.train(voted, replace(recipe, start=str(finished)), tmp_path / "m", "odd", "1")
    assert not (tmp_path / "m").exists()


def test_a_teacher_with_other_answers_is_refused(
    training: Any, finished: Path, voted: Faces, recipe: Any, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="has other labels or heads than fer2013, ferplus"):
        training.train(voted, replace(recipe, teachers=(str(finished),)), tmp_path / "m", "odd", "1")


# The recipe.


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "recipe.json").write_text(text)
        return tmp_path / "recipe.json"

    return write


def test_recipes_of_version_0_1_0_are_read(written: Callable[[str], Path]) -> None:
    old = {"mirror": False, "distill": 0.6, "calm_epochs": 3, "sides": [], "options": {"places": True, "gates": 8}}
    assert recipes.read_recipe(written(json.dumps(old))) == recipes.Recipe(
        flip_averaging=False,
        distillation_weight=0.6,
        weak_augmentation_epochs=3,
        options={"spatial_weights": True, "se_reduction": 8},
    )


def test_read_recipe(training: Any, written: Callable[[str], Path]) -> None:
    read = recipes.read_recipe(written('{"epochs": 3, "augmentation": {"flip": 0.0}}'))
    assert read == replace(recipes.Recipe(), epochs=3, augmentation=recipes.Augmentation(flip=0.0))
    assert recipes.read_recipe(written("{}")) == recipes.Recipe()


@pytest.mark.parametrize(
    "text", ["{", "[]", "7", "null", '{"epoch": 3}', '{"augmentation": 7}', '{"augmentation": {"zoom": 1}}']
)
def test_a_recipe_that_can_not_be_read(training: Any, written: Callable[[str], Path], text: str) -> None:
    with pytest.raises(DatasetError, match=r"recipe\.json: cannot be read as a recipe \(.+\)$"):
        recipes.read_recipe(written(text))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("architecture", "resnet", "architecture 'resnet'"),
        ("preprocessing", "whiten", "preprocessing"),
        ("precision", "float16", "precision"),
        ("optimizer", "lion", "optimizer"),
        ("heads", ["affectnet"], "head affectnet is none of fer2013, ferplus"),
        ("heads", ["ferplus"], r"head ferplus needs faces with FER\+'s votes"),
        ("teachers", ["gone"], "gone: neither a folder"),
        ("start", "gone", "gone: neither a folder"),
        ("options", {"depth": 3}, "option"),
        ("epochs", 0, "epochs"),
        ("epochs", "ten", "epochs"),
        ("sides", [32, 48], "`sides`, training with several input sizes, is no longer supported"),
        ("batch_size", 0, "batch_size"),
        ("holdout", 2.0, "holdout"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_by_name_and_leaves_nothing(
    training: Any, written: Callable[[str], Path], faces: Faces, tmp_path: Path, field: str, value: Any, words: str
) -> None:
    path = written(json.dumps({**TINY, "epochs": 1, field: value}))
    with pytest.raises(UsageError, match=words):
        training.train(faces, recipes.read_recipe(path), tmp_path / "m", "odd", "1")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("side", [None, 8, 54.5, "large"])
def test_a_side_no_face_can_have(training: Any, faces: Faces, recipe: Any, tmp_path: Path, side: Any) -> None:
    chosen = replace(recipe, architecture="compact-resnet", options={"side": side})
    with pytest.raises(DatasetError, match=f"recipe: side: {side!r} is no whole number from 16 up"):
        training.train(faces, chosen, tmp_path / "m", "odd", "1")


def test_a_file_where_the_folder_should_be(training: Any, faces: Faces, recipe: Any, tmp_path: Path) -> None:
    (tmp_path / "m").touch()
    with pytest.raises(DatasetError, match=str(tmp_path / "m")):
        training.train(faces, recipe, tmp_path / "m", "tiny", "1")


def test_options_of_the_command_go_over_the_recipe(training: Any) -> None:
    recipe = recipes.Recipe(epochs=5, seed=3)
    changed = recipes.with_overrides(recipe, {"epochs": 7, "seed": 0, "batch_size": None, "merge_disgust": True})
    assert changed == replace(recipe, epochs=7, seed=0, merge_disgust=True)
