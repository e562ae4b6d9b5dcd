"""The figures of a model folder on labelled faces, as a dictionary, as text, and as a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED, merge_disgust
from fer_batch.models.folder import HEADS
from fer_batch.models.network import EmotionNetwork
from fer_batch.training.copies import has_copy
from fer_batch.training.dataset import Faces
from fer_batch.training.metrics import judge_figures, label_figures, vote_figures


def evaluate(folder: Path, faces: Faces, usage: str) -> dict[str, Any]:
    """The figures of a model on one split; fractions, not per cent.

    `fer2013`: the head of that name against the data's labels (see `label_figures`), with `accuracy_without_copies`
    over the faces that have no copy in the `Training` split. `ferplus`: the head of that name against FER+'s votes
    (see `vote_figures`), and `judges` (see `judge_figures`), both absent without votes. A model with one head is held
    against both. `network`: `parameters`, and `multiply_adds` for one face.
    """
    network = EmotionNetwork(folder, batch_size=256)
    config = network.config
    names = config.labels
    test = faces.split(usage)
    labels = test.labels
    if names == EMOTIONS_MERGED:
        labels = merge_disgust(np.eye(len(EMOTIONS))[labels]).argmax(axis=1)
    answers = network.answers(test.images)
    answer_to = {head: answers.get(head, answers[config.tables]) for head in HEADS}
    figures: dict[str, Any] = {"labels": list(names), "n": len(test), "usage": usage, "heads": list(config.heads)}
    figures["network"] = {"parameters": network.parameters, "multiply_adds": network.multiply_adds}
    figures["fer2013"] = label_figures(answer_to["fer2013"], labels, names)
    copied = has_copy(test.images, faces.take(faces.usages == "Training").images) if usage != "Training" else None
    if copied is not None and not copied.all():
        hits = answer_to["fer2013"].argmax(axis=1) == labels
        figures["fer2013"]["n_with_copy_in_training"] = int(copied.sum())
        figures["fer2013"]["accuracy_without_copies"] = float(hits[~copied].mean())
    votes = vote_figures(answer_to["ferplus"], test.votes, names)
    if votes is not None:
        figures["ferplus"] = votes
        figures["judges"] = judge_figures(labels, test.votes, names)
    return figures


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
    return "\n".join(lines)
