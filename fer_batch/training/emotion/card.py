"""The card of a model, with its pictures, written from its folder and from measured figures."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from fer_batch.atomic import write_json
from fer_batch.emotion.int8_model import Int8Model
from fer_batch.emotion.keras_model import EmotionNetwork
from fer_batch.emotion.model import EmotionModel
from fer_batch.emotion.model_folder import ModelConfig, read_config
from fer_batch.emotion.preprocessing import CROP_SIZE
from fer_batch.errors import DatasetError
from fer_batch.model_folder import INT8_FILE, METRICS_FILE, WEIGHTS_FILE
from fer_batch.training.emotion.pictures import draw_pictures
from fer_batch.training.emotion.recipe import RECIPE_FILE
from fer_batch.training.emotion.train import LOG_FILE

HELD_BACK = "PrivateTest"
_BATCH = 64
_NUMBERS = {6: "six", 7: "seven"}
_QUESTIONS = {
    "fer2013": "FER2013's label: the search word a picture was found with",
    "ferplus": "the shares of FER+'s judges: what ten people say they see",
}


def write_card(path: Path, folder: Path, figures: dict[str, dict[str, Any]]) -> None:
    """Write the card to `path`, and its pictures and metrics.json beside it.

    `figures`: what `evaluate` gave for this folder, by split; the first is told in full.
    """
    main = next(iter(figures.values()))
    draw_pictures(path.parent, folder, main)
    models: dict[str, EmotionModel] = {"float32": EmotionNetwork(folder, batch_size=_BATCH)}
    if "int8" in main:
        models["8 bits"] = Int8Model(folder, batch_size=_BATCH)
    milliseconds = {form: cpu_milliseconds(model) for form, model in models.items()}
    path.write_text(model_card(folder, figures, milliseconds), encoding="utf-8")
    write_json(path.with_name(METRICS_FILE), figures)


def model_card(folder: Path, figures: dict[str, dict[str, Any]], milliseconds: dict[str, float]) -> str:
    """The card in Markdown. `figures` as for `write_card`; `milliseconds` of processor time for one face, by the form
    of the numbers."""
    config = read_config(folder)
    recipe = _read_recipe(folder)
    usage, main = next(iter(figures.items()))
    lines = [
        f"# {config.name}, version {config.version}",
        "",
        f"Gives the probabilities of {_NUMBERS[len(config.labels)]} apparent facial expressions for a "
        f"{CROP_SIZE}x{CROP_SIZE} gray crop of a face.",
        "It says what a face looks like in one picture, not what a person feels.",
        "",
        *_making(config, recipe),
        "",
        *_cost(config, folder, main, milliseconds),
        "",
        *_figures(figures),
        "",
        *_in_8_bits(usage, main),
        *_by_class(usage, main),
        "",
        *_judges(main),
        *_LIMITS,
        "",
    ]
    return "\n".join(lines)


def _read_recipe(folder: Path) -> dict[str, Any]:
    try:
        recipe: dict[str, Any] = json.loads((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{folder / RECIPE_FILE}: missing; a card tells how the model was trained") from error
    return recipe


def _making(config: ModelConfig, recipe: dict[str, Any]) -> list[str]:
    lines = [
        "## How it was made",
        "",
        f"- Architecture `{config.architecture}`, labels in the order {', '.join(config.labels)}.",
        "- Its heads answer: "
        + "; ".join(f"`{head}`, {_QUESTIONS[head]}" for head in config.heads)
        + f". Tables hold the answers of `{config.tables}`.",
        f"- Trained from scratch by `fer-batch train` with the recipe in `{RECIPE_FILE}`; the course is in `{LOG_FILE}`"
        " and drawn below.",
        f"- {recipe['epochs']} epochs, batches of {recipe['batch_size']}, averaged weights kept.",
    ]
    if recipe.get("teachers"):
        lines.append(
            f"- {recipe['distill']:.0%} of the targets came from {len(recipe['teachers'])} teacher(s), trained on the "
            "same faces and not shipped."
        )
    return [
        *lines,
        "- Data: FER2013 (Goodfellow et al. 2013, ICML challenge; web photographs collected for research, no licence "
        "to republish them), and for head `ferplus` the votes of FER+ (Barsoum et al. 2016, MIT licence). `Training` "
        "rows only. Copies of faces of the other splits, found by perceptual hash and correlation, were taken out "
        "before training.",
        "- Temperatures "
        + ", ".join(f"{temperature:.3f} ({head})" for head, temperature in config.heads.items())
        + f", fitted on {recipe['holdout']:.0%} of the training rows, which were held out, never on the rows below.",
        "",
        "![Learning curves](learning_curves.png)",
    ]


def _cost(config: ModelConfig, folder: Path, figures: dict[str, Any], milliseconds: dict[str, float]) -> list[str]:
    network = figures["network"]
    weights_mb = (folder / WEIGHTS_FILE).stat().st_size / 1e6
    times = [f"{time:.2f} ms in {form}" for form, time in milliseconds.items()]
    return [
        "## Size and speed",
        "",
        f"{network['parameters'] / 1e6:.2f} million parameters, {weights_mb:.1f} MB of weights, "
        f"{network['multiply_adds'] / 1e6:.0f} million multiply-adds a face"
        + (" (the face and its mirror image)" if config.mirror else "")
        + f"; of processor time a face takes {' and '.join(times)}, in batches of {_BATCH} ({platform.machine()}).",
    ]


def _figures(figures: dict[str, dict[str, Any]]) -> list[str]:
    """One table over the splits; the held-back one stands open until someone has it."""
    columns = [*figures, *([] if HELD_BACK in figures else [HELD_BACK])]

    def row(name: str, *path: str, form: str = ".2%") -> str:
        cells = []
        for column in columns:
            value: Any = figures.get(column)
            for key in path:
                value = value.get(key) if value is not None else None
            cells.append("held back" if column not in figures else "-" if value is None else format(value, form))
        return f"| {name} | " + " | ".join(cells) + " |"

    return [
        "## Measured",
        "",
        "`fer-batch evaluate` gives these figures. `held back`: the command that wrote this card fills them in where "
        "the data holds that split.",
        "",
        "| figure | " + " | ".join(columns) + " |",
        "| --- " * (len(columns) + 1) + "|",
        row("faces", "n", form="d"),
        row("**FER2013's labels**: accuracy", "fer2013", "accuracy"),
        row("faces that have a copy in Training", "fer2013", "n_with_copy_in_training", form="d"),
        row("accuracy without them", "fer2013", "accuracy_without_copies"),
        row("six classes, disgust counted as angry", "fer2013", "six_class_accuracy"),
        row("the right label among the two most likely", "fer2013", "top2_accuracy"),
        row("macro F1", "fer2013", "macro_f1", form=".3f"),
        row("negative log-likelihood, nats", "fer2013", "nll", form=".3f"),
        row("expected calibration error, 15 bins", "fer2013", "ece", form=".4f"),
        row("**FER+'s judges**: faces with votes", "ferplus", "n", form="d"),
        row("faces with a clear majority (over five of ten)", "ferplus", "n_majority", form="d"),
        row("agreement with the clear majority", "ferplus", "majority_accuracy"),
        row("mean KL divergence from the vote shares, nats", "ferplus", "kl", form=".3f"),
        row("calibration error against the vote shares, 15 bins", "ferplus", "ece", form=".4f"),
        "",
        "![Reliability](reliability.png)",
    ]


#: Rows of the comparison with 8 bits: name, question, figure, form.
_COMPARED = (
    ("accuracy against FER2013's labels", "fer2013", "accuracy", ".2%"),
    ("six classes", "fer2013", "six_class_accuracy", ".2%"),
    ("the right label among the two most likely", "fer2013", "top2_accuracy", ".2%"),
    ("macro F1", "fer2013", "macro_f1", ".3f"),
    ("calibration error, labels", "fer2013", "ece", ".4f"),
    ("agreement with the judges' clear majority", "ferplus", "majority_accuracy", ".2%"),
    ("mean KL divergence from the vote shares", "ferplus", "kl", ".3f"),
    ("calibration error, vote shares", "ferplus", "ece", ".4f"),
)


def _in_8_bits(usage: str, figures: dict[str, Any]) -> list[str]:
    """How the network in 8 bits differs from the one that was trained."""
    rounded = figures.get("int8")
    if rounded is None:
        return []
    lines = [
        "## In 8 bits",
        "",
        f"A run without a GPU computes with `{INT8_FILE}`: the same network in whole numbers of 8 bits. On {usage} its "
        f"first answer is the same for {rounded['same_answer']:.1%} of the faces, and a probability in the tables "
        f"differs by {rounded['mean_change']:.4f} on average. The figures above are of float32.",
        "",
        "| figure | float32 | 8 bits |",
        "| --- | --- | --- |",
    ]
    for name, question, key, form in _COMPARED:
        pair = [one.get(question, {}).get(key) for one in (figures, rounded)]
        if None not in pair:
            lines.append(f"| {name} | " + " | ".join(format(value, form) for value in pair) + " |")
    return [*lines, ""]


def _by_class(usage: str, figures: dict[str, Any]) -> list[str]:
    fer = figures["fer2013"]
    lines = [
        f"## Per class, {usage}, against FER2013's labels",
        "",
        "| expression | recall | precision | F1 | faces |",
        "| --- | --- | --- | --- | --- |",
    ]
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
    return [*lines, "", "![Confusion matrix](confusion.png)"]


def _judges(figures: dict[str, Any]) -> list[str]:
    judges = figures.get("judges")
    if judges is None:
        return []
    lines = [
        "## Why one label misleads",
        "",
        f"FER+ asked ten people about each face. On {judges['unanimous']:.0%} of the faces all who saw one of the "
        f"emotions named the same one; on average {judges['mean_top_share']:.0%} of them name the most voted one.",
    ]
    if judges["label_is_majority"] is not None:
        lines[-1] += (
            " Where more than five of ten agree, FER2013's own label says the same on "
            f"{judges['label_is_majority']:.0%} of the faces only."
        )
    second = figures["fer2013"]["top2_accuracy"] - figures["fer2013"]["accuracy"]
    wrong = 1 - figures["fer2013"]["accuracy"]
    if wrong > 0:
        lines[-1] += (
            " When the model's first answer is not FER2013's label, its second one is in "
            f"{second / wrong:.0%} of the cases."
        )
    return [
        *lines,
        "So tables hold shares, not verdicts: read `0.6 happy, 0.3 neutral` as six and three of ten people.",
        "",
    ]


def cpu_milliseconds(model: EmotionModel, batches: int = 8) -> float:
    """Processor time of this process to classify one face, in batches of 64."""
    crops = np.random.default_rng(0).integers(0, 256, (_BATCH * batches, CROP_SIZE, CROP_SIZE), dtype=np.uint8)
    model.probabilities(crops[:_BATCH])  # The first call is slower; in Keras it traces the graph.
    started = time.process_time()
    model.probabilities(crops)
    return (time.process_time() - started) / len(crops) * 1000


_LIMITS = [
    "## Limits and use",
    "",
    "- FER2013's labels come from the search words its pictures were found with; ten judges (FER+, Barsoum et al. "
    "2016) disagree with them on about three rows in ten. One label per face is a rough summary of what people see.",
    "- The faces are web photographs: posed expressions are common, and age, skin colour and culture are not balanced. "
    "Nothing here measures how errors differ between groups of people.",
    "- Rare classes (disgust, fear) are the weakest: read the recall column before reading their shares.",
    "- It sees one gray crop at a time: no voice, no situation, no course over time. Turned, covered, very small or "
    "badly lit faces are harder than the figures say.",
    "- Meant for aggregates over many faces and frames of people who have been told: audience reactions, user tests.",
    "- Not meant for decisions about a person, identification, hiring, lie detection or diagnosis. In the EU, "
    "inferring emotions at work or in education is prohibited (AI Act, Regulation (EU) 2024/1689, Art. 5(1)(f)).",
]
