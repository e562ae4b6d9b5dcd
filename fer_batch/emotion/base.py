"""What everything that classifies crops offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class CropClassifier(Protocol):
    """Gives the probabilities of the emotions of faces. `device_name`: what it runs on, None before it has run."""

    device_name: str | None

    def load(self) -> object:
        """Load the model, once. Raises UsageError where it does not fit, or there is no such device."""
        ...

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Calibrated probabilities, uint8 (n, 48, 48) to float64 (n, labels); rows sum to 1."""
        ...
