"""The pictures of a model's card: confusion matrix, reliability diagram, learning curves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from fer_batch.emotion.model_folder import HEADS
from fer_batch.errors import missing_extra
from fer_batch.training.common.checkpoints import LOG_FILE


def draw_pictures(where: Path, folder: Path, metrics: dict[str, Any]) -> None:
    """Draw `confusion.png`, `reliability.png` and `learning_curves.png` into `where`.

    Raises:
        UsageError: Matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("--card draws pictures with Matplotlib", "train") from error

    def save(name: str, figure: Figure) -> None:
        FigureCanvasAgg(figure)
        figure.savefig(where / name, dpi=100, metadata={"Software": None})

    save("confusion.png", _confusion(Figure((6, 5), layout="constrained"), metrics))
    save("reliability.png", _reliability(Figure((8, 4), layout="constrained"), metrics))
    save("learning_curves.png", _curves(Figure((8, 3.2), layout="constrained"), folder))


def _confusion(figure: Any, metrics: dict[str, Any]) -> Any:
    matrix = np.array(metrics["fer2013"]["confusion_matrix"], float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes, names = figure.subplots(), metrics["labels"]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(shares.shape):
        share = shares[row, column]
        axes.text(column, row, f"{share:.0%}", ha="center", va="center", color="white" if share > 0.5 else "black")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="prediction", ylabel="FER2013's label", title=f"{metrics['usage']}, shares of each label")
    return figure


def _reliability(figure: Any, metrics: dict[str, Any]) -> Any:
    heads = [head for head in HEADS if head in metrics]
    titles = {"fer2013": "FER2013's labels", "ferplus": "FER+'s annotators"}
    measured = {"fer2013": "accuracy", "ferplus": "share of annotators who agree"}
    for axes, head in zip(np.atleast_1d(figure.subplots(1, len(heads))), heads, strict=True):
        bins = metrics[head]["reliability"]
        confidence, correct, n = (np.array([row[key] for row in bins]) for key in ("confidence", "correct", "n"))
        axes.plot([0, 1], [0, 1], color="gray", linestyle="--", linewidth=1)
        axes.plot(confidence, correct, color="tab:blue", linewidth=1)
        axes.scatter(confidence, correct, s=8 + 200 * n / n.max(), color="tab:blue")
        title = f"{titles[head]}: calibration error {metrics[head]['ece']:.3f}"
        axes.set(xlabel="highest probability", ylabel=measured[head], title=title, xlim=(0, 1), ylim=(0, 1))
    return figure


def _curves(figure: Any, folder: Path) -> Any:
    with (folder / LOG_FILE).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    epochs = [int(row["epoch"]) for row in rows]
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [float(row["loss"]) for row in rows], label="loss, training")
    for key in rows[0]:
        if key.endswith(("_nll", "_accuracy")):
            axes = left if key.endswith("_nll") else right
            axes.plot(epochs, [float(row[key]) for row in rows], label=f"{key.replace('_', ' ')}, held out")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
