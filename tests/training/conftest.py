"""Faces that several modules train on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fer_batch.emotions import EMOTIONS
from fer_batch.training.emotion.dataset import FERPLUS_COLUMNS, Faces
from tests.helpers.labelled_faces import labelled


@pytest.fixture(scope="module")
def faces() -> Faces:
    """36 random faces of Training, four of PublicTest."""
    images = np.random.default_rng(0).integers(0, 256, (40, 48, 48), dtype=np.uint8)
    return labelled(images, ["Training"] * 36 + ["PublicTest"] * 4)


@pytest.fixture(scope="module")
def voted(faces: Faces) -> Faces:
    """The same faces with votes: seven for the face's label and three for neutral, none on every fifth."""
    votes = np.zeros((len(faces), 10), np.float32)
    votes[np.arange(len(faces)), np.array(FERPLUS_COLUMNS)[faces.labels]] = 7
    votes[:, FERPLUS_COLUMNS[EMOTIONS.index("neutral")]] += 3
    votes[::5] = np.nan
    return replace(faces, votes=votes)
