"""Do the annotators' vote shares train better probabilities than their majority alone?

    python benchmarks/soft_labels.py fer2013.parquet [--model NAME]

The backbone of a trained model is frozen. On its features two heads are fitted from the same initialization, one on the
vote shares of the training faces, one on the most voted emotion as a single hard label; each gets its own temperature,
fitted on held-out training faces (against its own kind of target). Both are compared with PublicTest's vote shares.
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

from fer_batch.emotion.keras_model import KerasModel, network_logits
from fer_batch.emotion.model import softmax
from fer_batch.emotion.model_folder import find_model
from fer_batch.emotions import EMOTIONS
from fer_batch.training.emotion.batches import training_split
from fer_batch.training.emotion.calibration import fit_temperature
from fer_batch.training.emotion.dataset import Faces, read_faces
from fer_batch.training.emotion.metrics import vote_metrics
from fer_batch.training.emotion.recipe import Recipe
from fer_batch.training.emotion.targets import plain_targets

SHARES = Recipe(heads=("ferplus",))


def features(network: KerasModel, faces: Faces) -> NDArray[np.float32]:
    backbone = keras.Model(network.model.input, network.model.layers[-1].input)
    return network_logits(backbone, network.config.preprocess, faces.images, 256)


def fitted(inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> keras.Model:
    keras.utils.set_random_seed(0)
    head = keras.Sequential([keras.Input(inputs.shape[1:]), keras.layers.Dense(len(EMOTIONS))])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    head.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 4000)), loss)
    head.fit(inputs, targets, batch_size=256, epochs=40, verbose=0)
    return head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="emotion")
    options = parser.parse_args()
    network = KerasModel(find_model(options.model), batch_size=256)
    faces = read_faces(options.data)
    training, held_out = training_split(faces, SHARES)
    test = faces.split("PublicTest")
    seen = {name: features(network, part) for name, part in (("fit", training), ("held", held_out), ("test", test))}
    print("| trained on | clear majority | KL, nats | calibration error |\n| --- | --- | --- | --- |")
    for name in ("vote shares", "majority as a hard label"):
        targets = {}
        for part, of in (("fit", training), ("held", held_out)):
            shares = plain_targets(of, SHARES)["ferplus"]
            hard = np.eye(len(EMOTIONS), dtype=np.float32)[shares.argmax(axis=1)] * (shares.sum(axis=1) > 0)[:, None]
            targets[part] = shares if name == "vote shares" else hard
        head = fitted(seen["fit"], targets["fit"])
        temperature = fit_temperature(head.predict_on_batch(seen["held"]), targets["held"])
        metrics = vote_metrics(softmax(head.predict_on_batch(seen["test"]), temperature), test.votes, EMOTIONS)
        assert metrics is not None
        print(f"| {name} | {metrics['majority_accuracy']:.2%} | {metrics['kl']:.3f} | {metrics['ece']:.3f} |")


if __name__ == "__main__":
    main()
