"""How far off are shares of emotions in footage that is mixed unlike the training faces: counted, and corrected?

    python benchmarks/adjusted_shares.py fer2013.parquet [--model NAME|DIR] [--usage PublicTest] [--faces 1000]

Draws mixes of emotions evenly from all there are (Dirichlet, 1 for each), and faces of `usage` in that mix, with
replacement, and prints the mean absolute error of the seven shares over all mixes. The truth is what most of FER+'s
annotators name (faces where they do not agree are left out), and for comparison the mean of their shares. No number was
fitted on these faces: exponent and prior come from the model folder, and were fitted on held-out training faces. That
probabilities are sharpened at all, though, was decided with an eye on PublicTest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_batch.analysis.label_shift import adjusted_shares
from fer_batch.emotion.keras_model import KerasModel
from fer_batch.emotion.model_folder import find_model
from fer_batch.share_correction import ShareCorrection
from fer_batch.training.emotion.dataset import read_faces
from fer_batch.training.emotion.recipe import Recipe
from fer_batch.training.emotion.targets import plain_targets

ALL = np.array([0])


def estimates(probabilities: NDArray[np.float64], correction: ShareCorrection) -> dict[str, NDArray[np.float64]]:
    """The shares of some faces, by the way they are worked out."""
    labels = probabilities.shape[1]
    posteriors = correction.posteriors(probabilities)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=labels)
    return {
        "counted: share_<emotion>": counts / len(probabilities),
        "mean probability": probabilities.mean(axis=0),
        "corrected: adjusted_share_<emotion>": adjusted_shares(posteriors, ALL, correction)[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="emotion")
    parser.add_argument("--usage", default="PublicTest")
    parser.add_argument("--faces", type=int, nargs="*", default=[100, 300, 1000, 3000])
    parser.add_argument("--mixes", type=int, default=300)
    options = parser.parse_args()
    network = KerasModel(find_model(options.model), batch_size=256)
    correction = network.config.share_correction
    if correction is None:
        raise SystemExit(f"{options.model}: its config.json has no share_correction")
    faces = read_faces(options.data).split(options.usage)
    shares = plain_targets(faces, Recipe(heads=("ferplus",), merge_disgust=len(network.config.labels) == 6))["ferplus"]
    ordered = np.sort(shares, axis=1)
    clear = ordered[:, -1] > np.maximum(ordered[:, -2], 1 - shares.sum(axis=1))
    shares, probabilities = shares[clear], network.probabilities(faces.images[clear])
    named = shares.argmax(axis=1)
    of_emotion = [np.flatnonzero(named == label) for label in range(shares.shape[1])]
    print(f"{options.usage}: {len(named)} faces, most named: {np.bincount(named, minlength=shares.shape[1]).tolist()}")
    for count in options.faces:
        rng = np.random.default_rng(0)
        errors: dict[str, list[list[float]]] = {}
        for _ in range(options.mixes):
            mix = rng.multinomial(count, rng.dirichlet(np.ones(len(of_emotion))))
            rows = np.concatenate([rng.choice(own, n) for own, n in zip(of_emotion, mix, strict=True) if n])
            votes = shares[rows].sum(axis=0) / shares[rows].sum()
            for name, found in estimates(probabilities[rows], correction).items():
                off = [float(np.abs(found - truth).mean()) for truth in (mix / count, votes)]
                errors.setdefault(name, []).append(off)
        print(f"{count} faces, {options.mixes} mixes{'most named':>23}{'votes':>9}{'ratio':>9}")
        base = np.mean(errors["counted: share_<emotion>"], axis=0)[0]
        for name, off in errors.items():
            named_off, votes_off = np.mean(off, axis=0)
            print(f"  {name:36} {named_off:9.4f} {votes_off:9.4f} {named_off / base:8.2f}")


if __name__ == "__main__":
    main()
