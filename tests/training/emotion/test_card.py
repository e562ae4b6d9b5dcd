"""The card of a model and its pictures, from metrics worked out by hand."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import UsageError
from fer_batch.training.emotion.metrics import annotator_metrics, label_metrics, vote_metrics


@pytest.fixture(scope="module")
def card() -> Any:
    """The module under test; it imports Keras."""
    from fer_batch.training.emotion import card

    return card


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A model folder with the recipe and the log that training leaves in it."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "recipe.json").write_text(json.dumps({"epochs": 12, "batch_size": 34, "holdout": 0.05}))
    (folder / "training_log.csv").write_text("epoch,loss,fer2013_accuracy,fer2013_nll\n1,2.0,0.4,1.5\n2,1.5,0.5,1.2\n")
    return folder


def metrics_of(names: tuple[str, ...] = EMOTIONS) -> dict[str, Any]:
    """Four faces labelled happy, happy, sad, neutral, of which the model gets the first and the last right. Three have
    votes: ten for happy, five each for happy and neutral, seven for neutral and three for sad."""
    happy, sad, neutral = (names.index(name) for name in ("happy", "sad", "neutral"))
    probabilities = np.zeros((4, len(names)))
    probabilities[0, [happy, neutral]] = 0.8, 0.2
    probabilities[1, [neutral, happy]] = 0.6, 0.4
    probabilities[2, [neutral, happy]] = 0.7, 0.3
    probabilities[3, neutral] = 1.0
    labels = np.array([happy, happy, sad, neutral])
    votes = np.full((4, 10), np.nan, np.float32)
    votes[0] = [0, 10, 0, 0, 0, 0, 0, 0, 0, 0]
    votes[1] = [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]
    votes[2] = [7, 0, 0, 3, 0, 0, 0, 0, 0, 0]
    return {
        "labels": list(names),
        "n": 4,
        "usage": "PublicTest",
        "heads": ["fer2013"],
        "network": {"parameters": 1_230_000, "multiply_adds": 45_000_000},
        "fer2013": label_metrics(probabilities, labels, names)
        | {"n_with_copy_in_training": 1, "accuracy_without_copies": 1 / 3},
        "ferplus": vote_metrics(probabilities, votes, names),
        "annotators": annotator_metrics(labels, votes, names),
    }


@pytest.fixture
def metrics() -> dict[str, Any]:
    return metrics_of()


def test_card(card: Any, model: Path, metrics: dict[str, Any]) -> None:
    lines = card.model_card(model, {"PublicTest": metrics}, {"float32": 1.234}).splitlines()
    assert lines[0] == "# tiny, version 1"
    for line in (
        "| metric | PublicTest | PrivateTest |",
        "| faces | 4 | held back |",
        "| **FER2013's labels**: accuracy | 50.00% | held back |",
        "| faces with a near duplicate in Training | 1 | held back |",
        "| accuracy without them | 33.33% | held back |",
        "| the right label among the two most likely | 75.00% | held back |",
        "| **FER+'s annotators**: faces with votes | 3 | held back |",
        "| faces with a clear majority (over five of ten) | 2 | held back |",
        "| agreement with the clear majority | 100.00% | held back |",
        "| happy | 50.0% | 100.0% | 0.667 | 2 |",
        "| | angry | disgust | fear | happy | sad | surprise | neutral |",
        "| happy | 0 | 0 | 0 | 1 | 0 | 0 | 1 |",
        "- 12 epochs, batches of 34; weights are an exponential moving average.",
    ):
        assert line in lines
    text = "\n".join(lines)
    assert "Temperatures 1.500 (fer2013), fitted on 5% of the training rows" in text
    assert "1.23 million parameters" in text
    assert "45 million multiply-adds a face; a face takes 1.23 ms in float32 of CPU time, in batches" in text
    assert "INT8" not in text
    assert "apparent facial expressions" in text
    assert "Art. 5(1)(f)" in text
    assert "teacher" not in text


def test_why_one_label_is_not_enough(card: Any, model: Path, metrics: dict[str, Any]) -> None:
    """One face of three is unanimous; the most voted emotion has 100, 50 and 70 %; of the two clear majorities one is
    the label; of the two wrong answers one has the label second."""
    text = card.model_card(model, {"PublicTest": metrics}, {"float32": 1.0})
    assert "On 33% of the faces all who saw one of the emotions named the same one" in text
    assert "on average 73% of them name the most voted one" in text
    assert "FER2013's own label says the same on 50% of the faces only" in text
    assert "the second most probable is in 50% of the cases" in text


def test_a_held_back_split_is_shown_where_the_data_has_it(card: Any, model: Path, metrics: dict[str, Any]) -> None:
    other = {**metrics, "usage": "PrivateTest", "n": 9, "fer2013": {**metrics["fer2013"], "accuracy": 0.25}}
    text = card.model_card(model, {"PublicTest": metrics, "PrivateTest": other}, {"float32": 1.0})
    assert "| faces | 4 | 9 |" in text
    assert "| **FER2013's labels**: accuracy | 50.00% | 25.00% |" in text
    assert "| held back |" not in text


def test_the_card_names_the_share_of_distillation(card: Any, model: Path, metrics: dict[str, Any]) -> None:
    recipe = {"epochs": 1, "batch_size": 2, "holdout": 0.1, "teachers": ["first", "second"], "distillation_weight": 0.6}
    (model / "recipe.json").write_text(json.dumps(recipe))
    text = card.model_card(model, {"PublicTest": metrics}, {"float32": 1.0})
    assert "60% of the targets were distilled from 2 teacher(s)" in text


def test_without_votes_and_copies(card: Any, model: Path, metrics: dict[str, Any]) -> None:
    del metrics["ferplus"], metrics["annotators"], metrics["fer2013"]["accuracy_without_copies"]
    text = card.model_card(model, {"PublicTest": metrics}, {"float32": 1.0})
    assert "| agreement with the clear majority | - | held back |" in text
    assert "| accuracy without them | - | held back |" in text
    assert "one label is not enough" not in text
    assert "None" not in text


def test_without_a_clear_majority(card: Any, model: Path, metrics: dict[str, Any]) -> None:
    metrics["ferplus"] |= {"majority_accuracy": None, "n_majority": 0}
    metrics["annotators"] |= {"label_is_majority": None}
    text = card.model_card(model, {"PublicTest": metrics}, {"float32": 1.0})
    assert "| agreement with the clear majority | - | held back |" in text
    assert "None" not in text


def test_six_classes(card: Any, tiny_merged_model: Path, model: Path) -> None:
    shutil.copytree(tiny_merged_model, model, dirs_exist_ok=True)
    text = card.model_card(model, {"PublicTest": metrics_of(EMOTIONS_MERGED)}, {"float32": 1.0})
    assert "six apparent facial expressions" in text
    assert "seven" not in text
    assert "| disgust |" not in text


def test_a_card_of_a_folder_without_a_recipe_is_refused(card: Any, model: Path, metrics: dict[str, Any]) -> None:
    (model / "recipe.json").unlink()
    with pytest.raises(UsageError, match=r"recipe\.json"):
        card.model_card(model, {"PublicTest": metrics}, {"float32": 1.0})


def test_the_int8_network_is_compared_with_float32(card: Any, model: Path, metrics: dict[str, Any]) -> None:
    int8 = {head: metrics[head] for head in ("fer2013", "ferplus")}
    int8["fer2013"] = {**int8["fer2013"], "accuracy": 0.25}
    metrics["int8"] = {**int8, "top1_agreement": 0.75, "mean_difference": 0.0123}
    lines = card.model_card(model, {"PublicTest": metrics}, {"float32": 1.234, "INT8": 0.4}).splitlines()
    text = "\n".join(lines)
    assert "a face takes 1.23 ms in float32 and 0.40 ms in INT8 of CPU time" in text
    assert "the same for 75.0% of the faces" in text
    assert "differs by 0.0123 on average" in text
    assert "| accuracy against FER2013's labels | 50.00% | 25.00% |" in lines
    assert "| agreement with the annotators' clear majority | 100.00% | 100.00% |" in lines
    del metrics["ferplus"], metrics["annotators"], metrics["int8"]["ferplus"]
    assert "clear majority | 100" not in card.model_card(model, {"PublicTest": metrics}, {"float32": 1.0})


def test_cpu_time_of_a_face_is_measured(card: Any, tiny_model: Path) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    assert 0.01 < card.cpu_milliseconds(KerasModel(tiny_model), batches=1) < 1000


def test_the_card_links_to_pictures_that_show_something(card: Any, model: Path, metrics: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    card.write_card(model / "CARD.md", model, {"PublicTest": metrics})
    assert json.loads((model / "metrics.json").read_text()) == {"PublicTest": metrics}
    text = (model / "CARD.md").read_text()
    for name in ("confusion.png", "reliability.png", "learning_curves.png"):
        assert f"]({name})" in text
        picture = cv2.imread(str(model / name), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        assert picture.std() > 10
        assert (model / name).stat().st_size < 100_000


def test_without_matplotlib_the_error_says_what_to_install(
    card: Any, model: Path, metrics: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r'pip install "\.\[train\]"'):
        card.draw_pictures(model, model, metrics)
