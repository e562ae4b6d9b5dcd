"""Faces that several modules train on."""

from __future__ import annotations

import numpy as np
import pytest

from fer_batch.training.dataset import Faces
from tests.training.samples import labelled


@pytest.fixture(scope="module")
def faces() -> Faces:
    """36 random faces of Training, four of PublicTest."""
    images = np.random.default_rng(0).integers(0, 256, (40, 48, 48), dtype=np.uint8)
    return labelled(images, ["Training"] * 36 + ["PublicTest"] * 4)
