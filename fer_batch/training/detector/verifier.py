"""Train the detector's second stage on what its first stage takes for faces, and fit how both make the score."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from scipy.optimize import minimize

from fer_batch.detection.verifier import SIDE, logit_of, plain_verifier, verifier_network
from fer_batch.onnx.export import Graph
from fer_batch.onnx.quantization import all_levels, quantize, take_levels
from fer_batch.training.common.schedule import precision
from fer_batch.training.detector.candidates import KEPT_SIDE, Candidates
from fer_batch.training.detector.recipe import DetectorRecipe
from fer_batch.training.detector.steps import make_steps, rate_share

_WARMUP_STEPS = 300
#: Share of the steps after which the learning rate begins to fall.
_PLATEAU = 0.3
_AVERAGE = 0.999
#: Crops of a calibration batch.
_CALIBRATED = 50
#: Steps between lines of progress.
_LOGGED = 500
#: Changes of a crop: degrees of tilt, log of its scale, and pixels of shift, each way.
_TILT, _SCALE, _SHIFT = 15.0, 0.12, 3.0
#: Shares of crops without colour, and partly covered; the largest cover, in pixels.
_GRAY, _COVERED, _LARGEST_COVER = 0.1, 0.15, 700


def train_verifier(candidates: Candidates, whole_recipe: DetectorRecipe) -> keras.Model:
    """Train the verifier's network.

    Args:
        candidates: Of training photographs.
        whole_recipe: The detector's, for `verifier`, `precision` and `seed`.

    Returns:
        The network with its averaged weights, in float32.
    """
    recipe = whole_recipe.verifier
    keras.utils.set_random_seed(whole_recipe.seed)
    rng = np.random.default_rng(whole_recipe.seed)
    with precision(whole_recipe.precision):
        model = _Model(verifier_network())
    steps = make_steps(model, model.network, recipe.weight_decay)
    faces, others = np.flatnonzero(candidates.faces), np.flatnonzero(~candidates.faces)
    # What the first stage takes for a face more readily is met more often.
    shares = np.cumsum(candidates.scores[others]) / candidates.scores[others].sum()
    half = recipe.batch // 2
    wanted = np.repeat(np.array([[1.0], [0.0]], np.float32), half, axis=0)
    losses: list[float] = []
    for step in range(recipe.steps):
        chosen = others[np.searchsorted(shares, rng.random(half)).clip(max=len(others) - 1)]
        crops = [candidates.crops[i] for i in np.concatenate([rng.choice(faces, half), chosen])]
        rate = recipe.learning_rate * rate_share(step, _WARMUP_STEPS, _PLATEAU * recipe.steps, recipe.steps)
        losses.append(steps.step(_changed(crops, rng), wanted, rate, min(_AVERAGE, (1 + step) / (10 + step))))
        if len(losses) == _LOGGED:
            print(f"verifier step {step + 1} loss {np.mean(losses):.4f}", flush=True)
            losses.clear()
    return steps.average_into(verifier_network())


def fit_score_weights(
    scores: NDArray[np.floating], logits: NDArray[np.floating], faces: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """The weights of `combined_scores` by logistic regression (maximum likelihood), on photographs that neither stage
    was trained on.

    Args:
        scores: The first stage's, (n,).
        logits: The verifier's, (n,).
        faces: Whether each candidate is a face, (n,).
    """
    terms = np.column_stack([logit_of(scores), logits, np.ones(len(scores))])
    signs = np.where(faces, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> float:
        return float(np.logaddexp(0, -signs * (terms @ weights)).mean() + 1e-4 * (weights**2).sum())

    first, second, offset = minimize(loss, np.array([1.0, 1.0, 0.0])).x.tolist()
    return first, second, offset


def export_verifier(network: keras.Model, path: Path, squares: NDArray[np.uint8]) -> None:
    """Write the verifier as ONNX in INT8: from `input`, Y, U, V as 0..255, uint8 (n, 3, SIDE, SIDE), to `logit` (n, 1).

    Args:
        network: What `train_verifier` returned.
        path: The file.
        squares: Crops that give the ranges of activations, uint8 (n, SIDE, SIDE, 3).

    Raises:
        UsageError: Without the package onnx.
    """
    graph = Graph()
    graph.add_network(plain_verifier(network))
    planes = squares.transpose(0, 3, 1, 2).astype(np.float32)
    with TemporaryDirectory() as folder:
        in_float32 = Path(folder) / path.name
        graph.save(in_float32, "face-verifier", ["faces", 3, SIDE, SIDE], {"logit": ["faces", 1]})
        quantize(in_float32, path, [all_levels(3, SIDE, SIDE), *np.array_split(planes, -(-len(planes) // _CALIBRATED))])
    take_levels(path)


class _Model(keras.Model):  # type: ignore[misc]
    """The network with its loss, for a step on any backend."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__(name="verifier")
        self.network = network

    def call(self, crops: Any, training: bool = False) -> Any:
        return self.network(ops.cast(crops, "float32"), training=training)

    def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, **__: Any) -> Any:
        return ops.mean(ops.binary_crossentropy(ops.convert_to_tensor(y), y_pred, from_logits=True))


def _changed(crops: list[NDArray[np.uint8]], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Crops of SIDE pixels, moved, turned, scaled, mirrored, in another light, and now and then covered."""
    count = len(crops)
    cut = np.empty((count, SIDE, SIDE, 3), np.uint8)
    angles = np.deg2rad(rng.uniform(-_TILT, _TILT, count))
    scales, shifts = np.exp(rng.uniform(-_SCALE, _SCALE, count)), rng.uniform(-_SHIFT, _SHIFT, (count, 2))
    mirrors = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    for number, (crop, angle, scale, shift, mirror) in enumerate(
        zip(crops, angles, scales, shifts, mirrors, strict=True)
    ):
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn = turn @ np.diag((mirror, 1.0))
        move = np.full(2, (SIDE - 1) / 2) + shift - turn @ np.full(2, (KEPT_SIDE - 1) / 2)
        affine = np.column_stack([turn, move])
        cv2.warpAffine(crop, affine, (SIDE, SIDE), dst=cut[number], borderMode=cv2.BORDER_REPLICATE)
    return _in_other_light(cut, rng)


def _in_other_light(crops: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    count = len(crops)
    strength = np.column_stack([rng.uniform(0.7, 1.3, count), *rng.uniform(0.5, 1.4, (2, count))])
    offset = 128 + rng.normal(0, 1, (count, 3)) * (18, 4, 4)
    gray = rng.random(count) < _GRAY
    strength[gray, 1:], offset[gray, 1:] = 0.0, 128.0
    changed = (crops.astype(np.float32) - 128) * strength[:, None, None].astype(np.float32)
    changed += offset[:, None, None].astype(np.float32)
    for number in np.flatnonzero(rng.random(count) < _COVERED):
        (top, bottom), (left, right) = np.sort(rng.integers(0, SIDE, (2, 2)), axis=1)
        if (bottom - top) * (right - left) <= _LARGEST_COVER:
            changed[number, top:bottom, left:right] = (rng.integers(0, 256), 128, 128)
    return changed.clip(0, 255).astype(np.uint8)
