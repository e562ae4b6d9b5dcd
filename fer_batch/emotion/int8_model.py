"""A trained emotion model quantized to INT8, for CPUs: no TensorFlow, half the time of bfloat16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import ResolvedConfig
from fer_batch.emotion.model import EmotionModel, flip_averaged
from fer_batch.emotion.model_folder import read_config
from fer_batch.emotion.preprocessing import CROP_SIZE
from fer_batch.errors import ModelFolderError
from fer_batch.model_folder import INT8_FILE
from fer_batch.onnx.session import NetworkError, open_network
from fer_batch.resources import available_resources

#: With more threads each would have too little of a batch.
_MAX_THREADS = 8


class Int8Model(EmotionModel):
    """The INT8 model of a folder that has an int8.onnx. A crop's result does not depend on its batch."""

    def __init__(self, folder: Path, batch_size: int = ResolvedConfig.batch_size) -> None:
        """Load the folder and classify an empty crop. Raises ModelFolderError where the file can't be used."""
        self.config = read_config(folder)
        self.batch_size = batch_size
        self._network = open_network(folder / INT8_FILE, min(available_resources().cores, _MAX_THREADS))
        try:
            outputs = self._network(self._input(np.zeros((1, CROP_SIZE, CROP_SIZE), np.uint8)))
        except NetworkError as error:
            raise ModelFolderError(f"{folder / INT8_FILE}: can't be used as an emotion model ({error})") from error
        shapes = [output.shape for output in outputs.values()]
        if shapes != [(1, self.config.outputs)]:
            raise ModelFolderError(
                f"{folder / INT8_FILE}: its output shapes are {shapes}; expected [(1, {self.config.outputs})]"
            )

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `EmotionModel.logits`."""
        return flip_averaged(self._batched_logits, crops, self.config.flip_averaging)

    def _batched_logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [np.empty((0, self.config.outputs), np.float32)]
        for start in range(0, len(crops), self.batch_size):
            parts += self._network(self._input(crops[start : start + self.batch_size])).values()
        return np.concatenate(parts)

    def _input(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.config.preprocess(crops).transpose(0, 3, 1, 2))
