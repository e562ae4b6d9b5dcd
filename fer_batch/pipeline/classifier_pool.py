"""Classifiers on a Ray cluster, where one process with one GPU would be what everything waits for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import ResolvedConfig
from fer_batch.emotion.classifier import Classifier
from fer_batch.runners.ray import RayPool, connect


class ClassifierPool:
    """A `CropClassifier` that spreads each call batch by batch over `config.classifiers` actors. They have a GPU each,
    unless `--device cpu` is given or the cluster has none. Every node needs the model's folder."""

    def __init__(self, make: Callable[[], Classifier], config: ResolvedConfig) -> None:
        self._make, self._config = make, config
        self._pool: RayPool[NDArray[np.uint8], tuple[NDArray[np.float64], str | None]] | None = None
        #: What the classifiers run on, once they have run.
        self.device_name: str | None = None

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Calibrated probabilities, uint8 (n, 48, 48) to float64 (n, labels); rows sum to 1."""
        if len(crops) == 0:
            return np.empty((0, len(self._config.labels)))
        size = self._config.batch_size
        results = self.load().map([crops[start : start + size] for start in range(0, len(crops), size)])
        self.device_name = f"{self._config.classifiers} x {results[0][1]}"
        return np.concatenate([probabilities for probabilities, _ in results])

    def load(self) -> RayPool[NDArray[np.uint8], tuple[NDArray[np.float64], str | None]]:
        """Start the actors and load the model in each, once. Raises UsageError as a `Classifier` does."""
        if self._pool is None:
            config = self._config
            gpus = 1 if config.device != "cpu" and connect(config.ray_address).gpus else 0
            self._pool = RayPool(partial(_serve, self._make), config.classifiers, gpus, config.ray_address)
        return self._pool


def _serve(make: Callable[[], Classifier]) -> Callable[[NDArray[np.uint8]], tuple[NDArray[np.float64], str | None]]:
    classifier = make()
    classifier.load()
    return lambda crops: (classifier(crops), classifier.device_name)
