"""How fast can the classifier be called?

    python benchmarks/classifier.py [--model NAME] [--batches 8 64 256] [--rounds 7]

Calls one network in several ways, in turn in every round, and prints processor time and wall time for a face with the
ratio to the first row (the median over the rounds of the ratio within a round). Start-up is left out. `stages.py` tells
what share of a run it takes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from fer_batch.emotion.architectures import ARCHITECTURES
from fer_batch.emotion.keras_model import KerasModel
from fer_batch.emotion.model_folder import find_model
from fer_batch.emotion.preprocessing import CROP_SIZE
from fer_batch.model_folder import INT8_FILE, WEIGHTS_FILE
from fer_batch.onnx.session import open_network
from fer_batch.training.emotion.export import export_onnx

Call = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def graph(model: keras.Model, batch: int, **options: bool) -> Call:
    function = tf.function(lambda faces: model(faces, training=False), **options)
    concrete = function.get_concrete_function(tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32))
    return lambda faces: concrete(tf.constant(faces)).numpy()


def frozen(model: keras.Model, batch: int) -> Call:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda faces: model(faces, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32))
    constant = convert_variables_to_constants_v2(concrete)
    return lambda faces: constant(tf.constant(faces))[0].numpy()


def onnx_runtime(path: Path) -> Call:
    network = open_network(path, os.cpu_count() or 1)
    return lambda faces: next(iter(network(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))).values()))


def ways(folder: Path, batch: int) -> dict[str, Call]:
    """The ways to call one network on a batch of preprocessed faces; the first is what `KerasModel` does."""
    network = KerasModel(folder)
    config = network.config
    build = ARCHITECTURES[config.architecture]
    trained = build(config.outputs, **config.options)
    trained.load_weights(folder / WEIGHTS_FILE)
    keras.config.set_dtype_policy("mixed_bfloat16")
    folded = network.model is not trained and config.architecture == "compact-resnet"
    half = build(config.outputs, **config.options, **({"folded": True} if folded else {}))
    keras.config.set_dtype_policy("float32")
    half.set_weights(network.model.get_weights())
    calls: dict[str, Call] = {
        "float32, folded": network.model.predict_on_batch,
        "float32, batch normalization kept": trained.predict_on_batch,
        "float32, folded, tf.function": graph(network.model, batch),
        "float32, folded, XLA": graph(network.model, batch, jit_compile=True),
        "float32, folded, frozen graph": frozen(network.model, batch),
        "bfloat16, folded": half.predict_on_batch,
    }
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "float32.onnx")
        export_onnx(network.model, path)
        calls["float32, folded, ONNX Runtime"] = onnx_runtime(path)
    if config.int8_sha256 is not None:
        calls["INT8, ONNX Runtime"] = onnx_runtime(folder / INT8_FILE)
    return calls


def measure(folder: Path, batch: int, rounds: int) -> None:
    config = KerasModel(folder).config
    crops = np.random.default_rng(0).integers(0, 256, (batch, CROP_SIZE, CROP_SIZE), dtype=np.uint8)
    faces = config.preprocess(crops)
    calls = ways(folder, batch)
    expected = np.asarray(next(iter(calls.values()))(faces))
    repeats = max(1, 512 // batch)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    apart = {name: float(np.abs(np.asarray(call(faces)) - expected).max()) for name, call in calls.items()}
    for _ in range(rounds):
        for name, call in calls.items():
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(repeats):
                call(faces)
            n = repeats * batch / 1000
            spent[name].append(((time.process_time() - cpu) / n, (time.perf_counter() - wall) / n))
    first = next(iter(spent.values()))
    print(f"\nbatches of {batch}, {rounds} rounds of {repeats} calls, {os.cpu_count()} cores")
    print("| way | processor ms a face | wall ms a face | wall, ratio to the first | largest change of a logit |")
    print("| --- | --- | --- | --- | --- |")
    for name, times in spent.items():
        cpu, wall = (median(column) for column in zip(*times, strict=True))
        ratio = median(mine[1] / base[1] for mine, base in zip(times, first, strict=True))
        print(f"| {name} | {cpu:.3f} | {wall:.3f} | {ratio:.2f} | {apart[name]:.1g} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="emotion")
    parser.add_argument("--batches", type=int, nargs="+", default=[64])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    folder = find_model(options.model)
    for batch in options.batches:
        measure(folder, batch, options.rounds)


if __name__ == "__main__":
    main()
