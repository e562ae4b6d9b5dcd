"""Every formula of the contract on rows worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.measures import (
    add_face_measures,
    expressiveness,
    face_attention,
    face_engagement,
    facing,
    frame_means,
    valence,
)

NAN = float("nan")


def face(labels: tuple[str, ...] = EMOTIONS, **probabilities: float) -> pd.DataFrame:
    """One face with the named probabilities and zero for the rest."""
    return pd.DataFrame([{label: probabilities.get(label, 0.0) for label in labels}])


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ({"happy": 1.0}, 1.0),
        ({"happy": 0.5, "angry": 0.2, "sad": 0.3}, 0.2),
        ({"happy": 0.1, "disgust": 0.9}, -0.8),
        ({"fear": 1.0}, -1.0),
        ({"sad": 0.6, "neutral": 0.4}, -0.6),
        ({"surprise": 0.7, "neutral": 0.3}, 0.0),
    ],
)
def test_valence(probabilities: dict[str, float], expected: float) -> None:
    assert valence(face(**probabilities)).tolist() == pytest.approx([expected])


def test_valence_of_merged_labels_looks_at_what_is_left() -> None:
    assert valence(face(EMOTIONS_MERGED, happy=0.3, angry=0.6, fear=0.1)).tolist() == pytest.approx([-0.3])


def test_expressiveness() -> None:
    assert expressiveness(pd.DataFrame({"neutral": [0.0, 0.25, 1.0]})).tolist() == [1.0, 0.75, 0.0]


@pytest.mark.parametrize(
    ("yaw", "pitch", "expected"),
    [
        (0.0, 0.0, True),
        (30.0, -25.0, True),
        (-30.0, 25.0, True),
        (30.1, 0.0, False),
        (-30.1, 0.0, False),
        (0.0, 25.1, False),
        (0.0, -25.1, False),
        (None, 0.0, None),
        (90.0, None, None),
        (None, None, None),
    ],
)
def test_facing(yaw: float | None, pitch: float | None, expected: bool | None) -> None:
    found = facing(pd.DataFrame({"yaw": [yaw], "pitch": [pitch]}))
    assert found.dtype == "boolean"
    assert [None if pd.isna(value) else bool(value) for value in found] == [expected]


def looked_at() -> pd.DataFrame:
    """Three faces of expressiveness 0.6: facing, turned away, unknown."""
    return pd.DataFrame({"facing": pd.array([True, False, None], "boolean"), "expressiveness": [0.6, 0.6, 0.6]})


def test_attention_is_unknown_without_angles() -> None:
    np.testing.assert_array_equal(face_attention(looked_at()), [1.0, 0.0, NAN])


def test_engagement_counts_the_unknown_as_facing() -> None:
    np.testing.assert_allclose(face_engagement(looked_at()), [80.0, 0.0, 80.0])


@pytest.mark.parametrize(("neutral", "expected"), [(1.0, 50.0), (0.0, 100.0), (0.5, 75.0)])
def test_engagement_is_half_looking_and_half_reacting(neutral: float, expected: float) -> None:
    faces = pd.DataFrame({"facing": pd.array([True], "boolean"), "expressiveness": [1.0 - neutral]})
    assert face_engagement(faces).tolist() == [expected]


def measured(rows: list[tuple[str, int, float, float, float | None]]) -> pd.DataFrame:
    """Faces from (path, frame, happy, neutral, yaw); the pitch is 0 where there is a yaw."""
    table = pd.DataFrame(rows, columns=["media_path", "sample_index", "happy", "neutral", "yaw"])
    rest = {label: 0.0 for label in EMOTIONS if label not in table}
    return add_face_measures(table.assign(**rest, pitch=table["yaw"] * 0.0))


def test_face_measures_stand_beside_the_faces() -> None:
    faces = measured([("a", 0, 0.8, 0.2, 0.0), ("a", 0, 0.0, 1.0, 40.0)])
    assert faces["valence"].tolist() == pytest.approx([0.8, 0.0])
    assert faces["expressiveness"].tolist() == pytest.approx([0.8, 0.0])
    assert faces["facing"].tolist() == [True, False]


def test_frame_means() -> None:
    faces = measured(
        [
            ("a", 0, 0.8, 0.2, 0.0),  # facing, engagement 90
            ("a", 0, 0.0, 1.0, 40.0),  # turned away, 0
            ("a", 1, 1.0, 0.0, NAN),  # unknown, 100
            ("b", 0, 0.4, 0.6, 10.0),  # facing, 70
            ("b", 0, 0.0, 1.0, NAN),  # unknown, 50
        ]
    )
    means = frame_means(faces, ["media_path", "sample_index"], EMOTIONS)
    assert means.index.tolist() == [("a", 0), ("a", 1), ("b", 0)]
    assert means.columns.tolist() == [*EMOTIONS, "valence", "expressiveness", "attention", "engagement"]
    np.testing.assert_allclose(means["happy"], [0.4, 1.0, 0.2])
    np.testing.assert_allclose(means["valence"], [0.4, 1.0, 0.2])
    np.testing.assert_allclose(means["expressiveness"], [0.4, 1.0, 0.2])
    np.testing.assert_allclose(means["attention"], [0.5, NAN, 1.0])
    np.testing.assert_allclose(means["engagement"], [45.0, 100.0, 60.0])
