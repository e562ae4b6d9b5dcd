"""What the emotion model that comes with the package promises."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.emotion.model_folder import HEADS, read_config
from fer_batch.emotions import EMOTIONS
from fer_batch.model_folder import embedded_folder

FOLDER = embedded_folder() / "emotion"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "fer2013.parquet"


def test_it_has_both_heads_and_tables_hold_the_annotators_shares() -> None:
    config = read_config(FOLDER)
    assert (tuple(config.heads), config.tables, config.labels) == (HEADS, "ferplus", EMOTIONS)


def test_it_is_small_and_gives_probabilities(crops: NDArray[np.uint8]) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    network = KerasModel(FOLDER, batch_size=4)
    assert network.parameters < 5e6
    for answers in network.probabilities_by_head(crops).values():
        assert answers.shape == (11, 7)
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-12)


def test_every_recipe_is_a_step_on_the_way_to_the_embedded_model() -> None:
    """Each names the folders that it starts from or learns from by the name of the recipe that makes them."""
    from fer_batch.training.emotion.recipe import check_recipe, read_recipe

    needed, pending = set(), ["recipe.json"]
    while pending:
        if (name := pending.pop()) in needed:
            continue
        needed.add(name)
        recipe = read_recipe(FOLDER / name)
        check_recipe(recipe)
        pending += [f"recipe_{folder}.json" for folder in filter(None, (recipe.start, *recipe.teachers))]
    assert {path.name for path in FOLDER.glob("recipe*.json")} == needed


def test_the_card_shows_what_was_measured() -> None:
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    for words in ("| **FER2013's labels**: accuracy |", "agreement with the clear majority", "held back", "## Limits"):
        assert words in card
    for name in ("confusion.png", "reliability.png", "learning_curves.png", "recipe.json", "training_log.csv"):
        assert (FOLDER / name).is_file()


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_file(), reason="FER2013 is not here")
def test_evaluation_agrees_with_the_card() -> None:
    """To a fifth of a per cent: another CPU may round a face or two differently."""
    from fer_batch.training.emotion.dataset import read_faces
    from fer_batch.training.emotion.evaluate import evaluate

    metrics = evaluate(FOLDER, read_faces(DATA), "PublicTest")
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")

    def in_card(row: str, column: int = 0) -> float:
        (cells,) = re.findall(rf"^\| {re.escape(row)} \| (.*) \|$", card, re.MULTILINE)
        return float(cells.split(" | ")[column].rstrip("%"))

    assert in_card("**FER2013's labels**: accuracy") == pytest.approx(100 * metrics["fer2013"]["accuracy"], abs=0.2)
    assert in_card("agreement with the clear majority") == pytest.approx(
        100 * metrics["ferplus"]["majority_accuracy"], abs=0.2
    )
    assert in_card("mean KL divergence from the vote shares, nats") == pytest.approx(
        metrics["ferplus"]["kl"], abs=0.002
    )
    int8 = metrics["int8"]
    assert in_card("accuracy against FER2013's labels", 1) == pytest.approx(100 * int8["fer2013"]["accuracy"], abs=0.2)
    assert in_card("agreement with the annotators' clear majority", 1) == pytest.approx(
        100 * int8["ferplus"]["majority_accuracy"], abs=0.2
    )
    assert int8["top1_agreement"] > 0.98
