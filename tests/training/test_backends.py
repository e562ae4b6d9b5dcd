"""Training on each Keras backend that is installed: the same recipe, the same data, the same kind of folder."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_batch.training.emotion.dataset import Faces

pytestmark = pytest.mark.slow

#: Trains, is stopped behind its first epoch, goes on, and leaves what the model answers in a file.
_TRAINS = """
import sys
from pathlib import Path
import keras, numpy as np
from fer_batch.emotion.keras_model import KerasModel
from fer_batch.training.emotion import train, trainer
from fer_batch.training.emotion.dataset import Faces
from fer_batch.training.emotion.recipe import read_recipe

data, recipe, out, backend = sys.argv[1:]
assert keras.backend.backend() == backend
with np.load(data) as stored:
    faces = Faces(**stored)
recipe, out = read_recipe(Path(recipe)), Path(out)
run_epoch = trainer.Trainer.run_epoch

def interrupted(self, faces):
    if self.epoch == 1:
        raise KeyboardInterrupt
    return run_epoch(self, faces)

trainer.Trainer.run_epoch = interrupted
try:
    train.train(faces, recipe, out, "stopped", "1")
except KeyboardInterrupt:
    trainer.Trainer.run_epoch = run_epoch
train.train(faces, recipe, out, "stopped", "1")
np.save(out / "answers.npy", KerasModel(out, 8).logits(faces.images))
"""


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend that is installed. It is not imported: one process has one backend."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def lessons(voted: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data, a teacher whom TensorFlow trained and who sees faces otherwise, and a recipe."""
    from fer_batch.training.emotion import train
    from fer_batch.training.emotion.recipe import read_recipe

    folder = tmp_path_factory.mktemp("lessons")
    np.savez(folder / "faces.npz", **vars(voted))
    options = {"widths": [4, 6, 8], "blocks": [1, 1, 1], "se_reduction": 2}
    common = {"epochs": 2, "batch_size": 8, "holdout": 0.1, "learning_rate": 0.05, "ema": 0.9, "flip_averaging": False}
    recipe: dict[str, Any] = {**common, "options": {**options, "side": 24}, "precision": "float32"}
    (folder / "teacher.json").write_text(json.dumps(recipe))
    train.train(voted, read_recipe(folder / "teacher.json"), folder / "teacher", "teacher", "1")
    student = {**common, "options": options, "teachers": [str(folder / "teacher"), str(folder / "teacher")]}
    (folder / "student.json").write_text(json.dumps(student))
    return folder


@pytest.mark.parametrize("backend", ["jax", "torch"], indirect=True)
def test_a_recipe_trains_and_goes_on(backend: str, lessons: Path, voted: Faces, tmp_path: Path) -> None:
    """In half precision, with teachers in turn. TensorFlow then gives the answers of the very weights. How it trains
    itself is in the tests of each part, and in the next one."""
    from fer_batch.emotion.keras_model import KerasModel
    from fer_batch.emotion.model_folder import read_config

    out = tmp_path / "out"
    arguments = [str(lessons / "faces.npz"), str(lessons / "student.json"), str(out), backend]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", _TRAINS, *arguments], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch ") == 2
    assert read_config(out).name == "stopped"
    answers = np.load(out / "answers.npy")
    assert np.ptp(answers, axis=0).min() > 1e-4
    np.testing.assert_allclose(KerasModel(out, 8).logits(voted.images), answers, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backend", ["jax", "torch"], indirect=True)
def test_the_losses_are_those_of_tensorflow(backend: str, lessons: Path, voted: Faces, tmp_path: Path) -> None:
    """Begun with the same weights, without dropout, a step is the same arithmetic whatever computes it."""
    recipe = json.loads((lessons / "student.json").read_text())
    options = {"widths": [4, 6, 8], "blocks": [1, 1, 1], "se_reduction": 2, "side": 24, "dropout": 0.0}
    recipe |= {"options": options, "start": str(lessons / "teacher"), "precision": "float32"}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    losses = []
    for name in ("tensorflow", backend):
        arguments = [str(lessons / "faces.npz"), str(tmp_path / "recipe.json"), str(tmp_path / name), name]
        environment = {**os.environ, "KERAS_BACKEND": name}
        subprocess.run([sys.executable, "-c", _TRAINS, *arguments], env=environment, check=True, timeout=280)
        rows = (tmp_path / name / "training_log.csv").read_text().splitlines()[1:]
        losses.append([[float(value) for value in row.split(",")[1:6]] for row in rows])
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-3)


@pytest.mark.parametrize("backend", ["jax", "torch"], indirect=True)
def test_the_detector_trains_and_goes_on(backend: str) -> None:
    """Its own tests, of training and of a start with earlier weights, on that backend."""
    tests = Path(__file__).parent / "detector" / "test_train.py"
    chosen = ["-k", "resumes_from_a_checkpoint or network_of_a_detector", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow", str(tests), *chosen],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=tests.parents[3],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
