"""How much of FER2013's label can be predicted from a face at all?

    python benchmarks/label_ceiling.py fer2013.parquet [--model NAME]

The label of a PublicTest face is predicted from the model's logits, from the votes of FER+'s ten annotators for it, and
from both, each by multinomial logistic regression with tenfold cross-validation. No model that sees the face alone
has the votes: the last line is what ten people would add.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from fer_batch.emotion.keras_model import KerasModel
from fer_batch.emotion.model import softmax
from fer_batch.emotion.model_folder import find_model
from fer_batch.emotions import EMOTIONS
from fer_batch.training.emotion.dataset import Faces, read_faces
from fer_batch.training.emotion.metrics import label_metrics

FOLDS = 10
Array = NDArray[np.float32]


def votes(faces: Faces) -> Array:
    """The shares of the annotators' ten answers and their logarithms, (n, 20)."""
    counts = np.nan_to_num(faces.votes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # No vote is not impossible: as if each answer had a third of a vote more.
    return np.asarray(np.concatenate([shares, np.log(shares + 0.03)], axis=1), np.float32)


def fitted(inputs: Array, labels: NDArray[np.int64]) -> keras.Model:
    keras.utils.set_random_seed(0)
    slopes = {"kernel_initializer": "zeros", "kernel_regularizer": keras.regularizers.L2(1e-3)}
    head = keras.Sequential([keras.Input(inputs.shape[1:]), keras.layers.Dense(len(EMOTIONS), **slopes)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-2, 1400)), loss)
    head.fit(inputs, labels, batch_size=256, epochs=100, verbose=0)
    return head


def probabilities(inputs: Array, labels: NDArray[np.int64]) -> Array:
    """Of each face from a regression that was fitted without it."""
    fold = np.random.default_rng(0).permutation(len(labels)) % FOLDS
    predicted = np.empty((len(labels), len(EMOTIONS)), np.float32)
    for number in range(FOLDS):
        head = fitted(inputs[fold != number], labels[fold != number])
        predicted[fold == number] = softmax(head.predict_on_batch(inputs[fold == number]), 1.0)
    return predicted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="emotion")
    options = parser.parse_args()
    test = read_faces(options.data).split("PublicTest")
    logits = KerasModel(find_model(options.model), batch_size=256).logits(test.images)
    annotated = votes(test)
    known = {
        "the model's logits": logits,
        "ten annotators' votes": annotated,
        "both": np.concatenate([logits, annotated], axis=1),
    }
    print("| known | accuracy | six classes | macro F1 | likelihood |\n| --- | --- | --- | --- | --- |")
    for name, inputs in known.items():
        of = label_metrics(probabilities(inputs, test.labels), test.labels, EMOTIONS)
        accuracy, six = of["accuracy"], of["six_class_accuracy"]
        print(f"| {name} | {accuracy:.1%} | {six:.1%} | {of['macro_f1']:.3f} | {-of['nll']:.3f} |")


if __name__ == "__main__":
    main()
