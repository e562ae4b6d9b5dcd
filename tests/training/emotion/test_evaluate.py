"""The metrics of a model: keys as in the contract, values by hand, text and card from the same dictionary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import DatasetError
from fer_batch.training.emotion.dataset import Faces

NAMES = ("happy", "happy", "disgust", "neutral")


@pytest.fixture(scope="module")
def evaluation() -> Any:
    """The module under test; it imports Keras."""
    from fer_batch.training.emotion import evaluate

    return evaluate


@pytest.fixture
def faces(crops: NDArray[np.uint8]) -> Faces:
    """Four faces of PublicTest, of which the last has a copy among the seven of Training; two have votes."""
    images = np.concatenate([crops[:3], crops[10:], crops[4:]])
    labels = [EMOTIONS.index(name) for name in NAMES] + [0, 1, 2, 3, 4, 5, 6]
    votes = np.full((11, 10), np.nan, np.float32)
    votes[0] = [0, 10, 0, 0, 0, 0, 0, 0, 0, 0]
    votes[1] = [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]
    return Faces(images, np.array(labels), np.array(["PublicTest"] * 4 + ["Training"] * 7), votes)


@pytest.fixture
def certain(evaluation: Any, monkeypatch: pytest.MonkeyPatch, shares_of: Callable) -> None:
    """A model that gives the four faces of PublicTest fixed probabilities: right, wrong, wrong, right."""
    rows = [
        shares_of(happy=0.8, neutral=0.2),
        shares_of(neutral=0.6, happy=0.4),
        shares_of(angry=0.7, disgust=0.3),
        shares_of(neutral=0.9, sad=0.1),
    ]

    def load(folder: Path, batch_size: int) -> SimpleNamespace:
        return SimpleNamespace(
            config=SimpleNamespace(labels=EMOTIONS, heads={"fer2013": 1.0}, tables="fer2013", int8_sha256=None),
            probabilities_by_head=lambda images: {"fer2013": np.stack(rows)[: len(images)]},
            parameters=123_456,
            multiply_adds=7_890_000,
        )

    monkeypatch.setattr(evaluation, "KerasModel", load)


@pytest.mark.usefixtures("certain")
def test_metrics(evaluation: Any, faces: Faces) -> None:
    metrics = evaluation.evaluate(Path("m"), faces, "PublicTest")
    assert (metrics["labels"], metrics["n"], metrics["usage"]) == (list(EMOTIONS), 4, "PublicTest")
    fer = metrics["fer2013"]
    assert (fer["accuracy"], fer["top2_accuracy"], fer["six_class_accuracy"]) == (0.5, 1.0, 0.75)
    assert fer["nll"] == pytest.approx(-np.log([0.8, 0.4, 0.3, 0.9]).mean())
    assert fer["per_class"]["neutral"] == pytest.approx({"recall": 1.0, "precision": 0.5, "f1": 2 / 3, "n": 1})
    assert fer["n_with_copy_in_training"] == 1
    assert fer["accuracy_without_copies"] == pytest.approx(1 / 3)
    assert metrics["network"] == {"parameters": 123_456, "multiply_adds": 7_890_000}
    votes = metrics["ferplus"]
    assert (votes["n"], votes["n_majority"], votes["majority_accuracy"]) == (2, 1, 1.0)
    assert votes["kl"] == pytest.approx((-np.log(0.8) + 0.5 * np.log(0.5 / 0.6) + 0.5 * np.log(0.5 / 0.4)) / 2)
    assert votes["ece"] == pytest.approx((0.2 + 0.1) / 2)


@pytest.mark.usefixtures("certain")
def test_metrics_have_the_documented_keys(evaluation: Any, faces: Faces) -> None:
    metrics = evaluation.evaluate(Path("m"), faces, "PublicTest")
    assert {"fer2013", "ferplus", "labels", "n"} <= set(metrics)
    fer = {"accuracy", "top2_accuracy", "macro_f1", "nll", "ece", "six_class_accuracy", "per_class", "confusion_matrix"}
    assert fer <= set(metrics["fer2013"])
    assert {"majority_accuracy", "kl", "ece"} <= set(metrics["ferplus"])
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@pytest.mark.usefixtures("certain")
def test_without_votes_there_are_no_ferplus_metrics(evaluation: Any, faces: Faces) -> None:
    faces.votes[:] = np.nan
    assert not {"ferplus", "annotators"} & set(evaluation.evaluate(Path("m"), faces, "PublicTest"))


def test_each_head_is_compared_with_its_own_target(
    evaluation: Any, faces: Faces, monkeypatch: pytest.MonkeyPatch, shares_of: Callable
) -> None:
    """One head always says happy, as all votes do; the other one neutral."""
    answers = {
        "ferplus": np.tile(shares_of(happy=0.9, neutral=0.1), (4, 1)),
        "fer2013": np.tile(shares_of(neutral=0.9, happy=0.1), (4, 1)),
    }
    network = SimpleNamespace(
        config=SimpleNamespace(
            labels=EMOTIONS, heads={"ferplus": 1.0, "fer2013": 1.0}, tables="ferplus", int8_sha256=None
        ),
        probabilities_by_head=lambda images: answers,
        parameters=1,
        multiply_adds=1,
    )
    monkeypatch.setattr(evaluation, "KerasModel", lambda folder, batch_size: network)
    metrics = evaluation.evaluate(Path("m"), faces, "PublicTest")
    assert metrics["fer2013"]["accuracy"] == 0.25
    assert metrics["ferplus"]["majority_accuracy"] == 1.0


@pytest.mark.usefixtures("certain")
def test_training_rows_are_not_compared_with_themselves(evaluation: Any, faces: Faces) -> None:
    four = faces.take(np.arange(4, 8))
    assert "accuracy_without_copies" not in evaluation.evaluate(Path("m"), four, "Training")["fer2013"]


@pytest.mark.usefixtures("certain")
def test_a_split_of_near_duplicates_only_has_no_accuracy_without_them(evaluation: Any, faces: Faces) -> None:
    doubled = Faces(
        np.concatenate([faces.images[:4]] * 2),
        np.tile(faces.labels[:4], 2),
        np.array(["PublicTest"] * 4 + ["Training"] * 4),
        faces.votes[:8],
    )
    fer = evaluation.evaluate(Path("m"), doubled, "PublicTest")["fer2013"]
    assert fer["accuracy"] == 0.5
    assert "accuracy_without_copies" not in fer


def test_a_missing_split_is_named_with_those_there_are(evaluation: Any, tiny_model: Path, faces: Faces) -> None:
    with pytest.raises(DatasetError, match="no rows of usage 'PrivateTest'; there are: PublicTest, Training"):
        evaluation.evaluate(tiny_model, faces, "PrivateTest")


@pytest.mark.slow
def test_a_model_gives_the_same_metrics_twice(evaluation: Any, tiny_model: Path, faces: Faces) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    metrics = evaluation.evaluate(tiny_model, faces, "PublicTest")
    assert evaluation.evaluate(tiny_model, faces, "PublicTest") == metrics
    probabilities = KerasModel(tiny_model, 4).probabilities(faces.images[:4])
    nll = -np.log(probabilities[np.arange(4), faces.labels[:4]]).mean()
    assert metrics["fer2013"]["nll"] == pytest.approx(nll, rel=1e-4)


def test_six_classes(evaluation: Any, tiny_merged_model: Path, faces: Faces) -> None:
    metrics = evaluation.evaluate(tiny_merged_model, faces, "PublicTest")
    assert metrics["labels"] == list(EMOTIONS_MERGED)
    assert [metrics["fer2013"]["per_class"][name]["n"] for name in EMOTIONS_MERGED] == [1, 0, 2, 0, 0, 1]
    assert metrics["fer2013"]["six_class_accuracy"] == metrics["fer2013"]["accuracy"]
    assert metrics["ferplus"]["n"] == 2


@pytest.fixture
def metrics(evaluation: Any, certain: None, faces: Faces) -> dict[str, Any]:
    return evaluation.evaluate(Path("m"), faces, "PublicTest")


def test_report(evaluation: Any, metrics: dict[str, Any]) -> None:
    lines = [line.split() for line in evaluation.report(metrics).splitlines()]
    assert lines[0] == ["PublicTest:", "4", "faces,", "against", "their", "labels"]
    for line in (
        "accuracy 0.5000",
        "accuracy_without_copies 0.3333",
        "six_class_accuracy 0.7500",
        "top2_accuracy 1.0000",
        "nll 0.6122",
        "happy 0.500 1.000 0.667 2",
        "happy 0 0 0 1 0 0 1",
        "against FER+'s votes: 2 faces, 1 with a clear majority",
        "majority_accuracy 1.0000",
        "label_is_majority 1.0000",
    ):
        assert line.split() in lines


def test_report_without_votes_or_majority(evaluation: Any, metrics: dict[str, Any]) -> None:
    metrics["ferplus"]["majority_accuracy"] = None
    assert "majority_accuracy" not in evaluation.report(metrics)
    del metrics["ferplus"], metrics["annotators"]
    assert "FER+" not in evaluation.report(metrics)
