"""The card of a model, with its pictures, written from its folder and from measured metrics."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from fer_batch.atomic import write_json
from fer_batch.emotion.int8_model import Int8Model
from fer_batch.emotion.keras_model import KerasModel
from fer_batch.emotion.model import EmotionModel
from fer_batch.emotion.model_folder import ModelConfig, read_config, renamed
from fer_batch.emotion.preprocessing import CROP_SIZE
from fer_batch.errors import DatasetError
from fer_batch.model_folder import INT8_FILE, METRICS_FILE, WEIGHTS_FILE
from fer_batch.training.common.checkpoints import LOG_FILE
from fer_batch.training.emotion.pictures import draw_pictures
from fer_batch.training.emotion.recipe import OLD_NAMES, RECIPE_FILE

HELD_BACK = "PrivateTest"
_BATCH = 64
_NUMBERS = {6: "six", 7: "seven"}
_HEADS = {
    "fer2013": "FER2013's label: the search term a picture was found with",
    "ferplus": "the vote shares of FER+'s annotators: what ten people say they see",
}


def write_card(path: Path, folder: Path, metrics: dict[str, dict[str, Any]]) -> None:
    """Write the card to `path`, and its pictures and metrics.json beside it.

    Args:
        path: The card.
        folder: The model folder.
        metrics: What `evaluate` returned for this folder, by split; the first is shown in full.

    Raises:
        UsageError: Matplotlib is missing, or the folder has no recipe.
    """
    main = next(iter(metrics.values()))
    draw_pictures(path.parent, folder, main)
    models: dict[str, EmotionModel] = {"float32": KerasModel(folder, batch_size=_BATCH)}
    if "int8" in main:
        models["INT8"] = Int8Model(folder, batch_size=_BATCH)
    milliseconds = {form: cpu_milliseconds(model) for form, model in models.items()}
    path.write_text(model_card(folder, metrics, milliseconds), encoding="utf-8")
    write_json(path.with_name(METRICS_FILE), metrics)


def model_card(folder: Path, metrics: dict[str, dict[str, Any]], milliseconds: dict[str, float]) -> str:
    """The card in Markdown.

    Args:
        folder: The model folder.
        metrics: As for `write_card`.
        milliseconds: CPU time to classify one face, by number format.

    Raises:
        DatasetError: The folder has no recipe.
    """
    config = read_config(folder)
    recipe = _read_recipe(folder)
    usage, main = next(iter(metrics.items()))
    lines = [
        f"# {config.name}, version {config.version}",
        "",
        f"Gives the probabilities of {_NUMBERS[len(config.labels)]} apparent facial expressions for a "
        f"{CROP_SIZE}x{CROP_SIZE} gray crop of a face.",
        "It says what a face looks like in one picture, not what a person feels.",
        "",
        *_training(config, recipe),
        "",
        *_cost(config, folder, main, milliseconds),
        "",
        *_measured(metrics),
        "",
        *_int8(usage, main),
        *_by_class(usage, main),
        "",
        *_annotators(main),
        *_LIMITS,
        "",
    ]
    return "\n".join(lines)


def _read_recipe(folder: Path) -> dict[str, Any]:
    try:
        recipe: dict[str, Any] = json.loads((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{folder / RECIPE_FILE}: missing; a card describes how the model was trained") from error
    return recipe


def _training(config: ModelConfig, recipe: dict[str, Any]) -> list[str]:
    lines = [
        "## How it was made",
        "",
        f"- Architecture `{config.architecture}`, labels in the order {', '.join(config.labels)}.",
        "- Its heads predict: "
        + "; ".join(f"`{head}`, {_HEADS[head]}" for head in config.heads)
        + f". Tables hold the probabilities of `{config.tables}`.",
        f"- Trained from scratch by `fer-batch train` with the recipe in `{RECIPE_FILE}`; the metrics of each "
        f"epoch are in `{LOG_FILE}` and drawn below.",
        f"- {recipe['epochs']} epochs, batches of {recipe['batch_size']}; weights are an exponential moving average.",
    ]
    if recipe.get("teachers"):
        weight = renamed(recipe, OLD_NAMES)["distillation_weight"]
        lines.append(
            f"- {weight:.0%} of the targets were distilled from {len(recipe['teachers'])} teacher(s), trained on the "
            "same faces and not shipped."
        )
    return [
        *lines,
        "- Data: FER2013 (Goodfellow et al. 2013, ICML challenge; web photographs collected for research, no licence "
        "to republish them), and for head `ferplus` the votes of FER+ (Barsoum et al. 2016, MIT licence). `Training` "
        "rows only. Near duplicates of faces of the other splits, found by perceptual hash and correlation, were "
        "excluded from training.",
        "- Temperatures "
        + ", ".join(f"{temperature:.3f} ({head})" for head, temperature in config.heads.items())
        + f", fitted on {recipe['holdout']:.0%} of the training rows, which were held out, never on the rows below.",
        "",
        "![Learning curves](learning_curves.png)",
    ]


def _cost(config: ModelConfig, folder: Path, metrics: dict[str, Any], milliseconds: dict[str, float]) -> list[str]:
    network = metrics["network"]
    weights_mb = (folder / WEIGHTS_FILE).stat().st_size / 1e6
    times = [f"{time:.2f} ms in {number_format}" for number_format, time in milliseconds.items()]
    return [
        "## Size and speed",
        "",
        f"{network['parameters'] / 1e6:.2f} million parameters, {weights_mb:.1f} MB of weights, "
        f"{network['multiply_adds'] / 1e6:.0f} million multiply-adds a face"
        + (" (with flip averaging)" if config.flip_averaging else "")
        + f"; a face takes {' and '.join(times)} of CPU time, in batches of {_BATCH} ({platform.machine()}).",
    ]


def _measured(metrics: dict[str, dict[str, Any]]) -> list[str]:
    """One table over the splits; the held-back one is empty where the data lacks it."""
    columns = [*metrics, *([] if HELD_BACK in metrics else [HELD_BACK])]

    def row(name: str, *path: str, form: str = ".2%") -> str:
        cells = []
        for column in columns:
            value: Any = metrics.get(column)
            for key in path:
                value = value.get(key) if value is not None else None
            cells.append("held back" if column not in metrics else "-" if value is None else format(value, form))
        return f"| {name} | " + " | ".join(cells) + " |"

    return [
        "## Measured",
        "",
        "`fer-batch evaluate` measures these. `held back`: the data that this card was written from lacks that split.",
        "",
        "| metric | " + " | ".join(columns) + " |",
        "| --- " * (len(columns) + 1) + "|",
        row("faces", "n", form="d"),
        row("**FER2013's labels**: accuracy", "fer2013", "accuracy"),
        row("faces with a near duplicate in Training", "fer2013", "n_with_copy_in_training", form="d"),
        row("accuracy without them", "fer2013", "accuracy_without_copies"),
        row("six classes, disgust counted as angry", "fer2013", "six_class_accuracy"),
        row("the right label among the two most likely", "fer2013", "top2_accuracy"),
        row("macro F1", "fer2013", "macro_f1", form=".3f"),
        row("negative log-likelihood, nats", "fer2013", "nll", form=".3f"),
        row("expected calibration error, 15 bins", "fer2013", "ece", form=".4f"),
        row("**FER+'s annotators**: faces with votes", "ferplus", "n", form="d"),
        row("faces with a clear majority (over five of ten)", "ferplus", "n_majority", form="d"),
        row("agreement with the clear majority", "ferplus", "majority_accuracy"),
        row("mean KL divergence from the vote shares, nats", "ferplus", "kl", form=".3f"),
        row("calibration error against the vote shares, 15 bins", "ferplus", "ece", form=".4f"),
        "",
        "![Reliability](reliability.png)",
    ]


#: Rows of the comparison with INT8: name, head, metric, format.
_COMPARED = (
    ("accuracy against FER2013's labels", "fer2013", "accuracy", ".2%"),
    ("six classes", "fer2013", "six_class_accuracy", ".2%"),
    ("the right label among the two most likely", "fer2013", "top2_accuracy", ".2%"),
    ("macro F1", "fer2013", "macro_f1", ".3f"),
    ("calibration error, labels", "fer2013", "ece", ".4f"),
    ("agreement with the annotators' clear majority", "ferplus", "majority_accuracy", ".2%"),
    ("mean KL divergence from the vote shares", "ferplus", "kl", ".3f"),
    ("calibration error, vote shares", "ferplus", "ece", ".4f"),
)


def _int8(usage: str, metrics: dict[str, Any]) -> list[str]:
    """How the INT8 network differs from the one that was trained."""
    int8 = metrics.get("int8")
    if int8 is None:
        return []
    lines = [
        "## In INT8",
        "",
        f"A run without a GPU uses `{INT8_FILE}`: the same network, quantized. On {usage} its most probable expression "
        f"is the same for {int8['top1_agreement']:.1%} of the faces, and a probability in the tables differs by "
        f"{int8['mean_difference']:.4f} on average. The metrics above are of float32.",
        "",
        "| metric | float32 | INT8 |",
        "| --- | --- | --- |",
    ]
    for name, head, key, form in _COMPARED:
        pair = [values.get(head, {}).get(key) for values in (metrics, int8)]
        if None not in pair:
            lines.append(f"| {name} | " + " | ".join(format(value, form) for value in pair) + " |")
    return [*lines, ""]


def _by_class(usage: str, metrics: dict[str, Any]) -> list[str]:
    fer = metrics["fer2013"]
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
        "Rows are labels, columns are predictions:",
        "",
        "| | " + " | ".join(metrics["labels"]) + " |",
        "| --- " * (len(metrics["labels"]) + 1) + "|",
    ]
    for name, counts in zip(metrics["labels"], fer["confusion_matrix"], strict=True):
        lines.append(f"| {name} | " + " | ".join(str(count) for count in counts) + " |")
    return [*lines, "", "![Confusion matrix](confusion.png)"]


def _annotators(metrics: dict[str, Any]) -> list[str]:
    annotators = metrics.get("annotators")
    if annotators is None:
        return []
    lines = [
        "## Why one label is not enough",
        "",
        f"FER+ asked ten people about each face. On {annotators['unanimous']:.0%} of the faces all who saw one of the "
        f"emotions named the same one; on average {annotators['mean_top_share']:.0%} of them name the most voted one.",
    ]
    if annotators["label_is_majority"] is not None:
        lines[-1] += (
            " Where more than five of ten agree, FER2013's own label says the same on "
            f"{annotators['label_is_majority']:.0%} of the faces only."
        )
    second = metrics["fer2013"]["top2_accuracy"] - metrics["fer2013"]["accuracy"]
    wrong = 1 - metrics["fer2013"]["accuracy"]
    if wrong > 0:
        lines[-1] += (
            " Where the model's most probable expression is not FER2013's label, the second most probable is in "
            f"{second / wrong:.0%} of the cases."
        )
    return [
        *lines,
        "So tables hold shares: read `0.6 happy, 0.3 neutral` as six and three of ten people.",
        "",
    ]


def cpu_milliseconds(model: EmotionModel, batches: int = 8) -> float:
    """CPU time of this process to classify one face, in milliseconds, in batches of 64."""
    crops = np.random.default_rng(0).integers(0, 256, (_BATCH * batches, CROP_SIZE, CROP_SIZE), dtype=np.uint8)
    model.probabilities(crops[:_BATCH])  # The first call is slower: Keras traces the graph.
    started = time.process_time()
    model.probabilities(crops)
    return (time.process_time() - started) / len(crops) * 1000


_LIMITS = [
    "## Limits and use",
    "",
    "- FER2013's labels come from the search terms its pictures were found with; ten annotators (FER+, Barsoum et al. "
    "2016) disagree with them on about three rows in ten. One label per face is a rough summary of what people see.",
    "- The faces are web photographs: posed expressions are common, and age, skin colour and culture are not balanced. "
    "Nothing here measures how errors differ between groups of people.",
    "- Rare classes (disgust, fear) are the weakest: read the recall column before reading their shares.",
    "- It sees one gray crop at a time: no voice, no situation, no change over time. Turned, covered, very small or "
    "badly lit faces are harder than the metrics say.",
    "- Meant for aggregates over many faces and frames of people who were informed: audience reactions, user tests.",
    "- Not meant for decisions about a person, identification, hiring, lie detection or diagnosis. In the EU, "
    "inferring emotions at work or in education is prohibited (AI Act, Regulation (EU) 2024/1689, Art. 5(1)(f)).",
]
