"""What the tables say of a file at any time: boxes between samples, at the ends of tracks, in frames of any size."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan

import pytest

from fer_batch.preview.samples import HOLD_S, Samples

FIRST, SECOND = (10.0, 10.0, 20.0, 20.0), (30.0, 10.0, 20.0, 30.0)


@pytest.fixture
def samples(make_samples: Callable[..., Samples]) -> Samples:
    return make_samples([(1.0, 7, FIRST), (2.0, 7, SECOND)], [0.0, 1.0, 2.0, 3.0])


def test_box_on_a_sampled_frame_is_the_measured_one(samples: Samples) -> None:
    (face,) = samples.faces_at(1.0)
    assert face.measured
    assert face.track == 7
    assert face.box == pytest.approx((0.1, 0.2, 0.2, 0.4))


def test_box_between_samples_lies_between_theirs(samples: Samples) -> None:
    (face,) = samples.faces_at(1.25)
    assert not face.measured
    assert face.held_since is None
    assert face.box == pytest.approx((0.15, 0.2, 0.2, 0.45))


def test_box_is_held_shortly_after_the_last_sample_and_then_gone(samples: Samples) -> None:
    (face,) = samples.faces_at(2.0 + HOLD_S / 2)
    assert not face.measured
    assert face.held_since == 2.0
    assert face.box == pytest.approx((0.3, 0.2, 0.2, 0.6))
    assert samples.faces_at(2.0 + 2 * HOLD_S) == []


def test_box_of_the_last_sample_is_held_for_as_long_as_samples_are_apart(
    make_samples: Callable[..., Samples],
) -> None:
    samples = make_samples([(0.0, 7, FIRST), (2.0, 8, SECOND)], [0.0, 1.0, 2.0])
    assert samples.faces_at(2 * HOLD_S) == []  # The next sample shows that track 7 has ended.
    (face,) = samples.faces_at(3.0)
    assert (face.track, face.held_since) == (8, 2.0)
    assert samples.faces_at(3.1) == []  # The run read only a part of the video.
    only = make_samples([(0.0, 7, FIRST)], [0.0])
    assert len(only.faces_at(0.9)) == 1


def test_no_box_is_shown_before_the_first_sample(samples: Samples) -> None:
    assert samples.faces_at(0.99) == []


def test_expressions_are_the_two_most_probable_ones(samples: Samples) -> None:
    (face,) = samples.faces_at(1.0)
    assert face.expressions == (("happy", 0.6), ("neutral", 0.3))


def test_faces_of_an_image_have_no_track_and_stay_apart(make_samples: Callable[..., Samples]) -> None:
    samples = make_samples([(0.0, None, FIRST), (0.0, None, SECOND)], [0.0])
    assert [face.track for face in samples.faces_at(0.0)] == [None, None]


def test_values_are_those_of_the_last_sample(samples: Samples) -> None:
    assert samples.values_at(1.7)["valence"] == 0.5
    assert isnan(samples.values_at(0.5)["valence"])  # A frame without a face.
    assert isnan(samples.values_at(-1.0)["valence"])


def test_file_without_faces_has_no_boxes(make_samples: Callable[..., Samples]) -> None:
    samples = make_samples([], [0.0, 1.0])
    assert samples.faces_at(0.5) == []
    assert samples.is_sampled(1.0)
    assert not samples.is_sampled(0.5)
