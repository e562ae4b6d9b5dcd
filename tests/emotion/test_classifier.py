"""Crops to probabilities on the CPU; TensorFlow stays out until there is a crop and keeps quiet."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.emotion.classifier import Classifier
from fer_batch.emotion.device import prepare_device, supports_bfloat16
from fer_batch.emotion.model_folder import find_model
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED, merge_disgust
from fer_batch.errors import UsageError

QUIET = """
import sys
from contextlib import nullcontext
from pathlib import Path
import numpy as np
from fer_batch.errors import UsageError
from fer_batch.emotions import EMOTIONS
from fer_batch.emotion.classifier import Classifier

def loaded():
    return bool({"tensorflow", "keras"} & set(sys.modules))

crops = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
classifier = Classifier(Path(sys.argv[1]), EMOTIONS, 4, "cpu")
print(loaded(), classifier.device_name)
print(classifier(crops[:0]).shape, loaded())
print(classifier(crops).shape, loaded(), classifier.device_name)
"""


@pytest.mark.slow
def test_tensorflow_is_loaded_at_the_first_crop_and_nothing_leaks_to_stderr(tiny_model: Path) -> None:
    """Neither the notes TensorFlow prints as it is imported nor the CUDA errors where there is no GPU."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "KERAS_"))}
    command = [sys.executable, "-c", QUIET, str(tiny_model)]
    done = subprocess.run(command, capture_output=True, text=True, env=settings, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["False None", "(0, 7) False", "(5, 7) True cpu"]


@pytest.mark.parametrize("labels", [EMOTIONS, EMOTIONS_MERGED])
def test_rows_sum_to_one(tiny_model: Path, crops: NDArray[np.uint8], labels: tuple[str, ...]) -> None:
    probabilities = Classifier(tiny_model, labels, 4, "cpu")(crops)
    assert (probabilities.shape, probabilities.dtype) == ((11, len(labels)), np.float64)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)
    assert probabilities.min() >= 0


@pytest.mark.parametrize("fits", [True, False])
def test_garbage_is_collected_again_once_the_model_is_loaded_or_not(
    tiny_model: Path, tmp_path: Path, fits: bool
) -> None:
    gc.unfreeze()
    with nullcontext() if fits else pytest.raises(UsageError):
        Classifier(tiny_model if fits else tmp_path / "gone", EMOTIONS, 4, "cpu").load()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


@pytest.mark.parametrize("labels", [EMOTIONS, EMOTIONS_MERGED])
def test_no_crops_give_no_rows_and_load_nothing(tmp_path: Path, labels: tuple[str, ...]) -> None:
    """The folder is not even looked at."""
    nothing = np.empty((0, 48, 48), np.uint8)
    assert Classifier(tmp_path / "gone", labels, 4, "gpu")(nothing).shape == (0, len(labels))


def test_disgust_joins_angry(tiny_model: Path, crops: NDArray[np.uint8]) -> None:
    seven = Classifier(tiny_model, EMOTIONS, 4, "cpu")(crops)
    six = Classifier(tiny_model, EMOTIONS_MERGED, 4, "cpu")(crops)
    np.testing.assert_allclose(six, merge_disgust(seven), atol=1e-7)
    np.testing.assert_allclose(six[:, 0], seven[:, 0] + seven[:, 1], atol=1e-7)
    assert seven[:, 1].min() > 0


def test_a_model_of_six_classes_is_left_as_it_is(tiny_merged_model: Path, crops: NDArray[np.uint8]) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    six = Classifier(tiny_merged_model, EMOTIONS_MERGED, 4, "cpu")(crops)
    np.testing.assert_allclose(six, KerasModel(tiny_merged_model, 4).probabilities(crops), atol=1e-7)


def test_probabilities_do_not_depend_on_the_batch(tiny_model: Path, crops: NDArray[np.uint8]) -> None:
    classifier = Classifier(tiny_model, EMOTIONS, 4, "cpu")
    together = classifier(crops)
    one_by_one = np.concatenate([classifier(crops[row : row + 1]) for row in range(len(crops))])
    np.testing.assert_allclose(one_by_one, together, atol=1e-5)
    np.testing.assert_allclose(classifier(crops[::-1])[::-1], together, atol=1e-5)
    np.testing.assert_allclose(Classifier(tiny_model, EMOTIONS, 64, "cpu")(crops), together, atol=1e-5)


def test_a_missing_gpu_is_refused_with_what_to_do(
    tiny_model: Path, crops: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    with pytest.raises(UsageError, match=r'^--device gpu: .* sees no GPU.* --device auto, .* pip install "\.\[gpu\]"$'):
        Classifier(tiny_model, EMOTIONS, 4, "gpu")(crops)
    assert prepare_device("auto") == "cpu"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("flags : fpu avx2 avx512f", False), ("flags : fpu avx512_bf16 avx2", True), ("flags : amx_bf16 amx_tile", True)],
)
def test_bfloat16_where_the_processor_has_it(tmp_path: Path, flags: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    assert supports_bfloat16(tmp_path / "cpuinfo") is expected


def test_no_bfloat16_where_the_cpu_is_unknown(tmp_path: Path) -> None:
    assert not supports_bfloat16(tmp_path / "gone")


@pytest.mark.parametrize("has", [False, True])
def test_the_precision_follows_the_processor(
    tiny_model: Path, crops: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    from fer_batch.emotion.keras_model import KerasModel

    monkeypatch.setattr("fer_batch.emotion.device.supports_bfloat16", lambda: has)
    expected = KerasModel(tiny_model, batch_size=4).probabilities(crops)
    classifier = Classifier(tiny_model, EMOTIONS, 4, "cpu")
    found = classifier(crops)
    assert classifier.load().model.layers[1].compute_dtype == ("bfloat16" if has else "float32")
    np.testing.assert_allclose(found, expected, atol=0.02 if has else 1e-6)


def test_the_embedded_model_gives_a_face_the_same_scores_anywhere_in_a_batch(crops: NDArray[np.uint8]) -> None:
    """With the embedded model, in whatever precision this processor gets."""
    classifier = Classifier(find_model("emotion"), EMOTIONS, 8, "cpu")
    expected = classifier(crops)
    np.testing.assert_allclose(classifier(crops[::-1])[::-1], expected, atol=1e-5)
    np.testing.assert_allclose(classifier(crops[3:5]), expected[3:5], atol=1e-5)
