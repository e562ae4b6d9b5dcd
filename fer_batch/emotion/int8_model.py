"""A trained emotion model in whole numbers of 8 bits, for processors: no TensorFlow, half the time of bfloat16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import ResolvedConfig, available_cores
from fer_batch.emotion.model import EmotionModel, with_mirror
from fer_batch.emotion.model_folder import read_config
from fer_batch.emotion.preprocessing import CROP_SIZE
from fer_batch.errors import ModelFolderError
from fer_batch.model_folder import INT8_FILE
from fer_batch.onnx.session import NetworkError, open_network

#: Threads beyond these would have too little of a batch each.
_MOST_THREADS = 8


class Int8Model(EmotionModel):
    """A folder that has an int8.onnx. What a crop gets depends on nothing else in its batch."""

    def __init__(self, folder: Path, batch_size: int = ResolvedConfig.batch_size) -> None:
        """Load the folder and try it. Raises ModelFolderError where the file can't be used."""
        self.config = read_config(folder)
        self.batch_size = batch_size
        self._network = open_network(folder / INT8_FILE, min(available_cores(), _MOST_THREADS))
        try:
            tried = self._network(self._input(np.zeros((1, CROP_SIZE, CROP_SIZE), np.uint8)))
        except NetworkError as error:
            raise ModelFolderError(f"{folder / INT8_FILE}: can't be used as an emotion model ({error})") from error
        shapes = [one.shape for one in tried.values()]
        if shapes != [(1, self.config.outputs)]:
            raise ModelFolderError(
                f"{folder / INT8_FILE}: gives {shapes} for a face, where {self.config.outputs} are needed"
            )

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `EmotionModel.logits`."""
        return with_mirror(self._in_batches, crops, self.config.mirror)

    def _in_batches(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [np.empty((0, self.config.outputs), np.float32)]
        for start in range(0, len(crops), self.batch_size):
            parts += self._network(self._input(crops[start : start + self.batch_size])).values()
        return np.concatenate(parts)

    def _input(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.config.preprocess(crops).transpose(0, 3, 1, 2))
