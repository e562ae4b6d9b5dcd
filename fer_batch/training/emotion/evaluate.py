"""The figures of a model folder on labelled faces, as a dictionary, as text, and as a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.emotion.int8_model import Int8Model
from fer_batch.emotion.keras_model import EmotionNetwork
from fer_batch.emotion.model_folder import HEADS
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED, merge_disgust
from fer_batch.training.common.near_duplicates import has_copy
from fer_batch.training.emotion.dataset import Faces
from fer_batch.training.emotion.metrics import judge_figures, label_figures, vote_figures


def evaluate(folder: Path, faces: Faces, usage: str) -> dict[str, Any]:
    """The figures of a model on one split; fractions, not per cent.

    `fer2013`: the head of that name against the data's labels (see `label_figures`), with `accuracy_without_copies`
    over the faces that have no copy in the `Training` split. `ferplus`: the head of that name against FER+'s votes
    (see `vote_figures`), and `judges` (see `judge_figures`), both absent without votes. A model with one head is held
    against both. `network`: `parameters`, and `multiply_adds` for one face. All this in float32; `int8`, for a folder
    that has the network in 8 bits: its `fer2013` and `ferplus`, `same_answer` (the share of faces whose most probable
    emotion in the tables is the same) and `mean_change` (of a probability in the tables).
    """
    network = EmotionNetwork(folder, batch_size=256)
    config = network.config
    names = config.labels
    test = faces.split(usage)
    labels = test.labels
    if names == EMOTIONS_MERGED:
        labels = merge_disgust(np.eye(len(EMOTIONS))[labels]).argmax(axis=1)
    answers = network.answers(test.images)
    answer_to = _by_question(answers, config.tables)
    figures: dict[str, Any] = {"labels": list(names), "n": len(test), "usage": usage, "heads": list(config.heads)}
    figures["network"] = {"parameters": network.parameters, "multiply_adds": network.multiply_adds}
    figures |= _against(answer_to, labels, test.votes, names)
    copied = has_copy(test.images, faces.take(faces.usages == "Training").images) if usage != "Training" else None
    if copied is not None and not copied.all():
        hits = answer_to["fer2013"].argmax(axis=1) == labels
        figures["fer2013"]["n_with_copy_in_training"] = int(copied.sum())
        figures["fer2013"]["accuracy_without_copies"] = float(hits[~copied].mean())
    if "ferplus" in figures:
        figures["judges"] = judge_figures(labels, test.votes, names)
    if config.int8_sha256 is not None:
        in_8_bits = Int8Model(folder, batch_size=256).answers(test.images)
        pair = answers[config.tables], in_8_bits[config.tables]
        figures["int8"] = _against(_by_question(in_8_bits, config.tables), labels, test.votes, names)
        figures["int8"]["same_answer"] = float(np.mean(pair[0].argmax(axis=1) == pair[1].argmax(axis=1)))
        figures["int8"]["mean_change"] = float(np.abs(pair[0] - pair[1]).mean())
    return figures


def _by_question(answers: dict[str, NDArray[np.float64]], tables: str) -> dict[str, NDArray[np.float64]]:
    """The answers of the head for each question, or, where there is none, of the one for the tables."""
    return {head: answers.get(head, answers[tables]) for head in HEADS}


def _against(
    answer_to: dict[str, NDArray[np.float64]],
    labels: NDArray[np.int64],
    votes: NDArray[np.float32],
    names: tuple[str, ...],
) -> dict[str, Any]:
    """Answers by question against the labels and, where there are any, the votes."""
    figures = {"fer2013": label_figures(answer_to["fer2013"], labels, names)}
    against_votes = vote_figures(answer_to["ferplus"], votes, names)
    return figures if against_votes is None else {**figures, "ferplus": against_votes}


def report(figures: dict[str, Any]) -> str:
    """The figures as text for a terminal."""
    fer, votes, names = figures["fer2013"], figures.get("ferplus"), figures["labels"]
    keys = ("accuracy", "accuracy_without_copies", "six_class_accuracy", "top2_accuracy", "macro_f1", "nll", "ece")
    lines = [f"{figures['usage']}: {figures['n']} faces, against their labels"]
    lines += [f"  {key:26} {fer[key]:.4f}" for key in keys if key in fer]
    lines.append(f"  {'class':10} {'recall':>9} {'precision':>9} {'f1':>9} {'n':>6}")
    for name in names:
        row = fer["per_class"][name]
        lines.append(f"  {name:10} {row['recall']:9.3f} {row['precision']:9.3f} {row['f1']:9.3f} {row['n']:6d}")
    lines.append("  confusion matrix (rows: label, columns: prediction)")
    lines.append(" " * 12 + " ".join(f"{name[:8]:>8}" for name in names))
    for name, row in zip(names, fer["confusion_matrix"], strict=True):
        lines.append(f"  {name:10}" + " ".join(f"{count:8d}" for count in row))
    if votes is not None:
        judges = figures["judges"]
        lines.append(f"against FER+'s votes: {votes['n']} faces, {votes['n_majority']} with a clear majority")
        lines += [
            f"  {key:26} {votes[key]:.4f}" for key in ("majority_accuracy", "kl", "ece") if votes[key] is not None
        ]
        lines.append("FER+'s judges among themselves, and the labels against them")
        lines += [f"  {key:26} {value:.4f}" for key, value in judges.items() if value is not None]
    if (in_8_bits := figures.get("int8")) is not None:
        lines.append("in 8 bits, as processors compute in a run")
        lines += [f"  {key:26} {in_8_bits['fer2013'][key]:.4f}" for key in keys if key in in_8_bits["fer2013"]]
        lines += [f"  {key:26} {in_8_bits[key]:.4f}" for key in ("same_answer", "mean_change")]
    return "\n".join(lines)
