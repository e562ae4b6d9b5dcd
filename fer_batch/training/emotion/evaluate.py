"""The metrics of a model folder on labelled faces, as a dictionary and as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.emotion.int8_model import Int8Model
from fer_batch.emotion.keras_model import KerasModel
from fer_batch.emotion.model_folder import HEADS
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED, merge_disgust
from fer_batch.training.common.near_duplicates import has_copy
from fer_batch.training.emotion.dataset import Faces
from fer_batch.training.emotion.metrics import annotator_metrics, label_metrics, vote_metrics


def evaluate(folder: Path, faces: Faces, usage: str) -> dict[str, Any]:
    """The metrics of a model on one split of the data; fractions, not per cent.

    Args:
        folder: The model folder.
        faces: All splits.
        usage: The split.

    Returns:
        `labels`, `n` (faces), `usage`, `heads`; in float32: `fer2013`, the head of that name against the data's labels
        (see `label_metrics`), with `accuracy_without_copies` over the faces without a near duplicate in `Training`;
        `ferplus`, the head of that name against FER+'s votes (see `vote_metrics`), and `annotators` (see
        `annotator_metrics`), both absent without votes; `network`: `parameters`, and `multiply_adds` for one face.
        A model with one head is compared with both. `int8`, for a folder with an INT8 network: its `fer2013` and
        `ferplus`, `top1_agreement` (the share of faces whose most probable emotion in the tables is the same as in
        float32) and `mean_difference` (of a probability in the tables).

    Raises:
        DatasetError: There are no faces of that split.
        ModelFolderError: The folder can't be used.
    """
    network = KerasModel(folder, batch_size=256)
    config = network.config
    names = config.labels
    test = faces.split(usage)
    labels = test.labels
    if names == EMOTIONS_MERGED:
        labels = merge_disgust(np.eye(len(EMOTIONS))[labels]).argmax(axis=1)
    float32 = network.probabilities_by_head(test.images)
    probabilities = _for_each_target(float32, config.tables)
    metrics: dict[str, Any] = {"labels": list(names), "n": len(test), "usage": usage, "heads": list(config.heads)}
    metrics["network"] = {"parameters": network.parameters, "multiply_adds": network.multiply_adds}
    metrics |= _compared(probabilities, labels, test.votes, names)
    copied = has_copy(test.images, faces.take(faces.usages == "Training").images) if usage != "Training" else None
    if copied is not None and not copied.all():
        hits = probabilities["fer2013"].argmax(axis=1) == labels
        metrics["fer2013"]["n_with_copy_in_training"] = int(copied.sum())
        metrics["fer2013"]["accuracy_without_copies"] = float(hits[~copied].mean())
    if "ferplus" in metrics:
        metrics["annotators"] = annotator_metrics(labels, test.votes, names)
    if config.int8_sha256 is not None:
        int8 = Int8Model(folder, batch_size=256).probabilities_by_head(test.images)
        pair = float32[config.tables], int8[config.tables]
        metrics["int8"] = _compared(_for_each_target(int8, config.tables), labels, test.votes, names)
        metrics["int8"]["top1_agreement"] = float(np.mean(pair[0].argmax(axis=1) == pair[1].argmax(axis=1)))
        metrics["int8"]["mean_difference"] = float(np.abs(pair[0] - pair[1]).mean())
    return metrics


def _for_each_target(by_head: dict[str, NDArray[np.float64]], tables: str) -> dict[str, NDArray[np.float64]]:
    """The probabilities of the head for each target or, without such a head, of the one for the tables."""
    return {head: by_head.get(head, by_head[tables]) for head in HEADS}


def _compared(
    probabilities: dict[str, NDArray[np.float64]],
    labels: NDArray[np.int64],
    votes: NDArray[np.float32],
    names: tuple[str, ...],
) -> dict[str, Any]:
    """Probabilities by target, compared with the labels and, where there are any, the votes."""
    metrics = {"fer2013": label_metrics(probabilities["fer2013"], labels, names)}
    against_votes = vote_metrics(probabilities["ferplus"], votes, names)
    return metrics if against_votes is None else {**metrics, "ferplus": against_votes}


def report(metrics: dict[str, Any]) -> str:
    """The metrics as text for a terminal."""
    fer, votes, names = metrics["fer2013"], metrics.get("ferplus"), metrics["labels"]
    keys = ("accuracy", "accuracy_without_copies", "six_class_accuracy", "top2_accuracy", "macro_f1", "nll", "ece")
    lines = [f"{metrics['usage']}: {metrics['n']} faces, against their labels"]
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
        annotators = metrics["annotators"]
        lines.append(f"against FER+'s votes: {votes['n']} faces, {votes['n_majority']} with a clear majority")
        lines += [
            f"  {key:26} {votes[key]:.4f}" for key in ("majority_accuracy", "kl", "ece") if votes[key] is not None
        ]
        lines.append("agreement among FER+'s annotators, and of the labels with them")
        lines += [f"  {key:26} {value:.4f}" for key, value in annotators.items() if value is not None]
    if (int8 := metrics.get("int8")) is not None:
        lines.append("INT8, as in a run without a GPU")
        lines += [f"  {key:26} {int8['fer2013'][key]:.4f}" for key in keys if key in int8["fer2013"]]
        lines += [f"  {key:26} {int8[key]:.4f}" for key in ("top1_agreement", "mean_difference")]
    return "\n".join(lines)
