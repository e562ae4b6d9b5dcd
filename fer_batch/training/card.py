"""The card of a model, written from its folder and from measured figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fer_batch.models.folder import read_config
from fer_batch.training.dataset import DatasetError
from fer_batch.training.recipe import RECIPE_FILE

_NUMBERS = {6: "six", 7: "seven"}


def model_card(folder: Path, figures: dict[str, Any]) -> str:
    """The card in Markdown. `figures`: what `evaluate` gave for this folder."""
    config = read_config(folder)
    try:
        recipe = json.loads((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{folder / RECIPE_FILE}: missing; a card tells how the model was trained") from error
    fer, votes = figures["fer2013"], figures.get("ferplus")
    weights_mb = sum(path.stat().st_size for path in folder.glob("*.h5")) / 1e6
    lines = [
        f"# {config.name}, version {config.version}",
        "",
        f"Gives the probabilities of {_NUMBERS[len(config.labels)]} apparent facial expressions for a 48x48 gray crop "
        "of a face.",
        "It says what a face looks like in one picture, not what a person feels.",
        "",
        "## How it was made",
        "",
        f"- Architecture `{config.architecture}`, {weights_mb:.1f} MB of weights, labels in the order "
        + ", ".join(config.labels)
        + ".",
        "- Trained from scratch by `fer-batch train` with the recipe in `recipe.json`; the course is in "
        "`training_log.csv`.",
        f"- {recipe['epochs']} epochs, batches of {recipe['batch_size']}, averaged weights kept.",
        "- Data: FER2013 (Goodfellow et al. 2013, ICML challenge), `Training` rows only. Copies of faces of the other "
        "splits, found by perceptual hash and correlation, were taken out before training.",
        f"- Temperature {config.temperature:.3f}, fitted on {recipe['holdout']:.0%} of the training rows, which were "
        "held out, never on the rows below.",
        "",
        f"## Measured on {figures['usage']} ({figures['n']} faces)",
        "",
        "| figure | value |",
        "| --- | --- |",
        f"| accuracy | {fer['accuracy']:.2%} |",
    ]
    if "accuracy_without_copies" in fer:
        lines.append(
            f"| accuracy without the {fer['n_with_copy_in_training']} faces that have a copy in Training "
            f"| {fer['accuracy_without_copies']:.2%} |"
        )
    lines += [
        f"| six classes, disgust counted as angry | {fer['six_class_accuracy']:.2%} |",
        f"| the right label among the two most likely | {fer['top2_accuracy']:.2%} |",
        f"| macro F1 | {fer['macro_f1']:.3f} |",
        f"| negative log-likelihood, nats | {fer['nll']:.3f} |",
        f"| expected calibration error, 15 bins | {fer['ece']:.3f} |",
    ]
    if votes is not None:
        lines += [
            f"| agreement with a clear majority of FER+'s judges ({votes['n_majority']} faces) "
            f"| {votes['majority_accuracy']:.2%} |"
            if votes["majority_accuracy"] is not None
            else "| agreement with a clear majority of FER+'s judges | no face has one |",
            f"| mean KL divergence from FER+'s vote shares, nats ({votes['n']} faces) | {votes['kl']:.3f} |",
            f"| calibration error against FER+'s vote shares | {votes['ece']:.3f} |",
        ]
    lines += ["", "| expression | recall | precision | F1 | faces |", "| --- | --- | --- | --- | --- |"]
    for name, row in fer["per_class"].items():
        lines.append(f"| {name} | {row['recall']:.1%} | {row['precision']:.1%} | {row['f1']:.3f} | {row['n']} |")
    lines += [
        "",
        "Rows are the labels, columns what the model said:",
        "",
        "| | " + " | ".join(figures["labels"]) + " |",
        "| --- " * (len(figures["labels"]) + 1) + "|",
    ]
    for name, counts in zip(figures["labels"], fer["confusion_matrix"], strict=True):
        lines.append(f"| {name} | " + " | ".join(str(count) for count in counts) + " |")
    return "\n".join([*lines, "", *_LIMITS, ""])


_LIMITS = [
    "PrivateTest is held back: whoever has it fills its figures in with `fer-batch evaluate --usage PrivateTest`.",
    "",
    "## Limits and use",
    "",
    "- FER2013's labels come from the search words its pictures were found with; ten judges (FER+, Barsoum et al. "
    "2016) disagree with them on about three rows in ten. One label per face is a rough summary of what people see.",
    "- The faces are web photographs: posed expressions are common, and age, skin colour and culture are not balanced. "
    "Nothing here measures how errors differ between groups of people.",
    "- Rare classes (disgust, fear) are the weakest: read the recall column before reading their shares.",
    "- Meant for aggregates over many faces and frames. Not meant for decisions about a person, identification, "
    "hiring, lie detection or diagnosis. In the EU, inferring emotions at work or in education is prohibited "
    "(AI Act, Regulation (EU) 2024/1689, Art. 5(1)(f)).",
]
