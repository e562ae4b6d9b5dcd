"""Networks as ONNX files, in float32 and INT8: their outputs against Keras's, and files that can't be used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from fer_batch.cli import app
from fer_batch.emotion import classifier as classify
from fer_batch.emotion import device
from fer_batch.emotion.classifier import Classifier
from fer_batch.emotion.int8_model import Int8Model
from fer_batch.emotion.model import softmax
from fer_batch.emotion.model_folder import find_model, read_config
from fer_batch.emotions import EMOTIONS
from fer_batch.errors import ModelFolderError, UsageError
from fer_batch.model_folder import CONFIG_FILE, INT8_FILE, WEIGHTS_FILE, file_sha256
from fer_batch.onnx import session as onnx_session
from fer_batch.onnx.session import NetworkError, open_network
from fer_batch.training.emotion.dataset import Faces

pytest.importorskip("onnx", reason="the extra train is not installed")


@pytest.fixture(scope="module")
def faces() -> Faces:
    """Blurred noise, so that neighbouring pixels correlate as in a face."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (80, 12, 12), dtype=np.uint8)
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)
    labels, usages = np.arange(80) % 7, np.array(["Training"] * 64 + ["PublicTest"] * 16)
    return Faces(images, labels, usages, np.zeros((80, 10), np.uint8))


@pytest.fixture(scope="module")
def int8_model(tiny_model: Path, faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with an INT8 network. Do not write to it."""
    from fer_batch.training.emotion.export import quantize_model

    folder = tmp_path_factory.mktemp("int8") / "model"
    shutil.copytree(tiny_model, folder)
    quantize_model(folder, faces)
    return folder


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("classic-cnn", {"dense": 8}),
        ("classic-cnn", {"dense": 8, "batch_norm": False}),
        ("compact-resnet", {"widths": (4, 6, 8)}),
        ("compact-resnet", {"widths": (4, 6, 8), "spatial_weights": True, "se_reduction": 2}),
        ("compact-resnet", {"widths": (4, 6, 8), "pool": 3, "side": 54}),
        ("compact-resnet", {"widths": (4, 6, 8), "blocks": (1, 1, 2), "folded": True}),
    ],
)
def test_the_graph_computes_what_keras_does(
    architecture: str, options: dict[str, Any], faces: Faces, tmp_path: Path
) -> None:
    import keras

    from fer_batch.emotion.architectures import ARCHITECTURES, network_side
    from fer_batch.emotion.preprocessing import preprocessing
    from fer_batch.training.emotion.export import export_onnx

    keras.utils.set_random_seed(2)
    network = ARCHITECTURES[architecture](14, **options)
    rng = np.random.default_rng(1)
    network.set_weights([weight + np.abs(rng.normal(0, 0.1, weight.shape)) for weight in network.get_weights()])
    export_onnx(network, tmp_path / "x.onnx")
    inputs = preprocessing("standardize", network_side(options))(faces.images[:5])
    expected = network.predict_on_batch(inputs)
    (found,) = open_network(tmp_path / "x.onnx", 1)(inputs.transpose(0, 3, 1, 2)).values()
    assert np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_int8_logits_are_near_those_of_the_trained_network(int8_model: Path, tiny_model: Path, faces: Faces) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    expected = KerasModel(tiny_model).logits(faces.images)
    found = Int8Model(int8_model, batch_size=7).logits(faces.images)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    spread = (expected - expected.mean(axis=0)).std()
    assert 0 < np.abs(found - expected).mean() < 0.1 * spread


def test_quantized_weights_use_seven_bits_and_the_last_layer_stays_float(int8_model: Path) -> None:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(int8_model / INT8_FILE).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    kernels = [producers.get(node.input[1]) for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert [kernel is None for kernel in kernels] == [False] * 11 + [True]
    for kernel in kernels[:-1]:
        weights = constants[kernel.input[0]]
        assert weights.dtype == np.int8
        assert 60 <= np.abs(weights.astype(int)).max() <= 64


def test_logits_do_not_depend_on_the_batch(int8_model: Path, faces: Faces) -> None:
    whole = Int8Model(int8_model, batch_size=64).logits(faces.images)
    for size in (1, 3):
        np.testing.assert_array_equal(Int8Model(int8_model, size).logits(faces.images[::-1])[::-1], whole)
    assert Int8Model(int8_model).logits(faces.images[:0]).shape == (0, 7)


def test_flip_averaging_is_the_mean_over_a_face_and_its_flip(int8_model: Path, faces: Faces, tmp_path: Path) -> None:
    folder = shutil.copytree(int8_model, tmp_path / "flipped")
    values = json.loads((folder / CONFIG_FILE).read_text()) | {"mirror": True}
    (folder / CONFIG_FILE).write_text(json.dumps(values))
    plain, both = Int8Model(int8_model), Int8Model(folder)
    expected = (plain.logits(faces.images) + plain.logits(faces.images[:, :, ::-1])) / 2
    np.testing.assert_allclose(both.logits(faces.images), expected, atol=1e-6)
    assert not np.allclose(plain.logits(faces.images), expected, atol=1e-4)


def test_the_int8_file_changes_the_digest(int8_model: Path, tiny_model: Path) -> None:
    assert read_config(int8_model).digest != read_config(tiny_model).digest


def test_each_head_has_its_outputs(faces: Faces, tmp_path: Path) -> None:
    from fer_batch.emotion.architectures import ARCHITECTURES
    from fer_batch.emotion.model_folder import ModelConfig, write_config
    from fer_batch.training.emotion.export import quantize_model

    ARCHITECTURES["classic-cnn"](14, dense=8).save_weights(tmp_path / WEIGHTS_FILE)
    digest = file_sha256(tmp_path / WEIGHTS_FILE)
    heads = {"ferplus": 0.5, "fer2013": 2.0}
    config = ModelConfig("m", "1", "classic-cnn", EMOTIONS, "standardize", heads, "fer2013", digest, {"dense": 8})
    write_config(tmp_path, config)
    quantize_model(tmp_path, faces)
    quantize_model(tmp_path, faces.take(np.arange(70)))  # Again, with other ranges.
    model = Int8Model(tmp_path)
    logits, answers = model.logits(faces.images), model.probabilities_by_head(faces.images)
    np.testing.assert_allclose(answers["ferplus"], softmax(logits[:, :7], 0.5))
    np.testing.assert_allclose(answers["fer2013"], softmax(logits[:, 7:], 2.0))
    values = json.loads((tmp_path / CONFIG_FILE).read_text()) | {"heads": {"fer2013": 1.0}}
    (tmp_path / CONFIG_FILE).write_text(json.dumps(values))
    with pytest.raises(ModelFolderError, match=r"int8\.onnx: its output shapes are \[\(1, 14\)\]; expected .+7"):
        Int8Model(tmp_path)


def test_crops_are_enlarged_to_what_the_network_sees(faces: Faces, tmp_path: Path) -> None:
    """In Keras as in INT8."""
    from fer_batch.emotion.architectures import ARCHITECTURES
    from fer_batch.emotion.keras_model import KerasModel
    from fer_batch.emotion.model_folder import ModelConfig, write_config
    from fer_batch.emotion.preprocessing import preprocessing
    from fer_batch.training.emotion.export import quantize_model

    options = {"widths": [4, 6, 8], "pool": 3, "side": 54, "spatial_weights": True}
    ARCHITECTURES["compact-resnet"](7, **options).save_weights(tmp_path / WEIGHTS_FILE)
    digest = file_sha256(tmp_path / WEIGHTS_FILE)
    heads = {"fer2013": 1.0}
    config = ModelConfig("m", "1", "compact-resnet", EMOTIONS, "standardize", heads, "fer2013", digest, options)
    write_config(tmp_path, config)
    quantize_model(tmp_path, faces)
    network = KerasModel(tmp_path)
    seen = preprocessing("standardize", 54)(faces.images)
    assert seen.shape == (80, 54, 54, 1)
    expected = network.model.predict_on_batch(seen)
    np.testing.assert_allclose(network.logits(faces.images), expected, rtol=1e-4, atol=1e-5)
    (expected,) = open_network(tmp_path / INT8_FILE, 1)(seen.transpose(0, 3, 1, 2)).values()
    np.testing.assert_array_equal(Int8Model(tmp_path).logits(faces.images), expected)


def test_a_network_with_another_input_size_is_refused(int8_model: Path, tmp_path: Path) -> None:
    from fer_batch.onnx.export import Graph

    folder = shutil.copytree(int8_model, tmp_path / "other")
    graph = Graph()
    graph.node("Relu", "other", ["input"])
    graph.save(folder / INT8_FILE, "other", [1, 1, 24, 24], {"other": [1, 1, 24, 24]})
    values = json.loads((folder / CONFIG_FILE).read_text()) | {"int8_sha256": file_sha256(folder / INT8_FILE)}
    (folder / CONFIG_FILE).write_text(json.dumps(values))
    with pytest.raises(ModelFolderError, match=r"int8\.onnx: can't be used as an emotion model \("):
        Int8Model(folder)


@pytest.mark.parametrize(
    ("error", "expected"), [(MemoryError(), MemoryError), (RuntimeError("two\nlines"), NetworkError)]
)
def test_inference_errors_become_network_errors_except_memory_errors(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception]
) -> None:
    session = SimpleNamespace(
        get_inputs=lambda: [SimpleNamespace(name="input", type="tensor(float)")],
        get_outputs=list,
        run=Mock(side_effect=error),
    )
    runtime = SimpleNamespace(SessionOptions=Mock, InferenceSession=lambda *args, **options: session)
    monkeypatch.setattr(onnx_session, "onnx_runtime", lambda: runtime)
    compute = open_network(Path("x.onnx"), 1)
    with pytest.raises(expected) as caught:
        compute(np.zeros((1, 1, 48, 48), np.float32))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "recorded", "words"),
    [
        (None, False, "int8.onnx: missing"),
        (b"other", False, "int8.onnx: its sha256 is not the one"),
        (b"other", True, "int8.onnx: ONNX Runtime can't use it"),
        (b"", True, "int8.onnx: ONNX Runtime can't use it"),
    ],
)
def test_an_int8_file_that_can_not_be_used_is_named(
    int8_model: Path, tmp_path: Path, content: bytes | None, recorded: bool, words: str
) -> None:
    folder = shutil.copytree(int8_model, tmp_path / "broken")
    (folder / INT8_FILE).unlink()
    if content is not None:
        (folder / INT8_FILE).write_bytes(content)
    if recorded:
        values = json.loads((folder / CONFIG_FILE).read_text()) | {"int8_sha256": file_sha256(folder / INT8_FILE)}
        (folder / CONFIG_FILE).write_text(json.dumps(values))
    with pytest.raises(ModelFolderError, match=words) as caught:
        Classifier(folder, EMOTIONS, 4, "cpu")(np.zeros((1, 48, 48), np.uint8))
    assert "\n" not in str(caught.value)


QUIET = """
import sys
from pathlib import Path
import numpy as np
from fer_batch.emotions import EMOTIONS
from fer_batch.emotion.classifier import Classifier

crops = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
classifier = Classifier(Path(sys.argv[1]), EMOTIONS, 4, "cpu")
print(classifier(crops).shape, classifier.device_name, sorted({"tensorflow", "keras", "h5py"} & set(sys.modules)))
"""


def test_classifying_in_int8_imports_no_tensorflow(int8_model: Path) -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "KERAS_"))}
    command = [sys.executable, "-c", QUIET, str(int8_model)]
    done = subprocess.run(command, capture_output=True, text=True, env=settings, check=False)
    assert (done.stderr, done.stdout) == ("", "(5, 7) cpu []\n")


@pytest.mark.parametrize(
    ("device", "likely", "found", "asked", "kind"),
    [
        ("cpu", True, "a GPU", [], "Int8Model"),
        ("auto", False, "a GPU", [], "Int8Model"),
        ("auto", True, "a GPU", ["auto"], "KerasModel"),
        ("auto", True, "cpu", ["auto"], "Int8Model"),
        ("gpu", False, "a GPU", ["gpu"], "KerasModel"),
    ],
)
def test_tensorflow_is_used_only_with_a_gpu(
    int8_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: Any,
    likely: bool,
    found: str,
    asked: list[str],
    kind: str,
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(classify, "gpu_is_likely", lambda: likely)
    monkeypatch.setattr(classify, "prepare_device", lambda device: calls.append(device) or found)
    classifier = Classifier(int8_model, EMOTIONS, 4, device)
    assert type(classifier.load()).__name__ == kind
    assert classifier.device_name == (found if kind == "KerasModel" else "cpu")
    assert calls == asked


def test_a_driver_or_a_plugin_makes_a_gpu_likely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        if name not in there:
            raise OSError(name)

    there: set[str] = set()
    monkeypatch.setattr(device.ctypes, "CDLL", load)
    if Path("/dev/kfd").exists():
        pytest.skip("an AMD GPU is here")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert not device.gpu_is_likely()
    (tmp_path / "tensorflow-plugins").mkdir()
    assert device.gpu_is_likely()
    (tmp_path / "tensorflow-plugins").rmdir()
    there.add("libcuda.so.1")
    assert device.gpu_is_likely()


def test_the_embedded_int8_model_agrees_with_float32(crops: NDArray[np.uint8]) -> None:
    """On smooth pictures: noise is far from all it was trained on."""
    from fer_batch.emotion.keras_model import KerasModel

    folder = find_model("emotion")
    smooth = crops[:, ::8, ::8].repeat(8, axis=1).repeat(8, axis=2)
    expected, found = (kind(folder, 16).probabilities(smooth) for kind in (KerasModel, Int8Model))
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert np.abs(found - expected).mean() < 0.01


def test_without_the_package_onnx_nothing_is_changed(
    int8_model: Path, faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_batch.onnx import export
    from fer_batch.training.emotion.export import quantize_model

    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs the package onnx"):
        quantize_model(int8_model, faces)
    assert read_config(int8_model).int8_sha256 is not None


def test_the_quantize_command_adds_the_file(tiny_model: Path, faces: Faces, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    rows = zip(faces.labels, faces.images, faces.usages, strict=True)
    lines = [f"{label},{' '.join(map(str, image.ravel()))},{usage}" for label, image, usage in rows]
    (tmp_path / "faces.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]))
    done = CliRunner().invoke(app, ["quantize", str(folder), str(tmp_path / "faces.csv")])
    assert (done.exit_code, done.stdout) == (0, f"wrote {folder / INT8_FILE}\n")
    assert read_config(folder).int8_sha256 == file_sha256(folder / INT8_FILE)


@pytest.mark.parametrize(
    ("model", "words"), [("nowhere", "nowhere: neither a folder with a config.json nor one of"), ("{}", "missing")]
)
def test_the_quantize_command_names_an_unusable_folder(
    tiny_model: Path, tmp_path: Path, model: str, words: str
) -> None:
    """Before it reads the data, which is not even there."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / WEIGHTS_FILE).unlink()
    done = CliRunner().invoke(app, ["quantize", model.format(folder), str(tmp_path / "no data.csv")])
    assert done.exit_code == 2
    assert words in done.stderr


def test_evaluate_compares_int8_with_float32(int8_model: Path, faces: Faces) -> None:
    from fer_batch.training.emotion.evaluate import evaluate, report

    metrics = evaluate(int8_model, faces, "PublicTest")
    test = faces.split("PublicTest")
    answers = Int8Model(int8_model).probabilities(test.images)
    assert metrics["int8"]["fer2013"]["accuracy"] == np.mean(answers.argmax(axis=1) == test.labels)
    assert 0 < metrics["int8"]["mean_difference"] < 0.05
    assert 0.5 < metrics["int8"]["top1_agreement"] <= 1
    assert "INT8" in report(metrics)
