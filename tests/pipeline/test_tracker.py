"""Tracks on made footage whose truth is known: crossings, occlusions, cuts, low sample rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.pipeline.tracker import MAX_GAP_S, Tracker
from fer_batch.records import Detection


def face(seed: int) -> NDArray[np.uint8]:
    """A smooth random picture: another one for another seed."""
    coarse = np.random.default_rng(seed).integers(40, 216, (6, 6), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC), np.uint8)


def seen(person: int, sample: int) -> NDArray[np.uint8]:
    """The face of a person in one sample: noisy, a little shifted, brighter or darker."""
    rng = np.random.default_rng([person, sample])
    shifted = np.roll(face(person), rng.integers(-2, 3, 2), (0, 1)).astype(float)
    return (shifted * rng.uniform(0.7, 1.2) + rng.normal(0, 8, (48, 48))).clip(0, 255).astype(np.uint8)


def box(x: float, y: float = 100.0, size: float = 40.0) -> Detection:
    return Detection(x - size / 2, y - size / 2, size, size)


Footage = Iterator[tuple[float, list[tuple[int, Detection]]]]


def follow(footage: Footage) -> list[tuple[int, int]]:
    """(person, track) of every face, in the order of samples."""
    tracker, pairs = Tracker(), []
    for sample, (time, people) in enumerate(footage):
        followed = tracker(time, 0, [(place, seen(person, sample)) for person, place in people])
        assert [(f.x, f.y) for f, _ in followed] == [(place.x, place.y) for _, place in people]
        pairs += [(person, face.track_id) for (person, _), (face, _) in zip(people, followed, strict=True)]
    return pairs


def test_a_low_score_face_counts_only_where_a_track_continues_in_it() -> None:
    tracker = Tracker()
    sightings = [
        [(0, box(100), True)],  # Nothing was seen there before.
        [(0, box(102), False), (1, box(300), True)],
        [(0, box(104), True), (1, box(300), True)],
        [(0, box(106), True)],
        [(1, box(300), False), (0, box(108), False)],
    ]
    kept = []
    for sample, people in enumerate(sightings):
        faces = [(replace(place, low_score=low), seen(person, sample)) for person, place, low in people]
        kept.append([(face.x, face.track_id) for face, _ in tracker(float(sample), 0, faces)])
    assert kept == [[], [(82, 0)], [(84, 0)], [(86, 0)], [(280, 1), (88, 0)]]


def test_no_track_continues_in_a_low_score_face_after_a_cut() -> None:
    tracker = Tracker()
    assert tracker(0.0, 0, [(box(100), seen(0, 0))])
    faces = [(replace(box(100), low_score=True), seen(0, 1))]
    assert tracker(0.2, 1, faces) == []


def switches(pairs: list[tuple[int, int]]) -> int:
    """How often a person's track is another one than at the sight before."""
    last: dict[int, int] = {}
    count = 0
    for person, track in pairs:
        count += person in last and last[person] != track
        last[person] = track
    return count


def strangers(pairs: list[tuple[int, int]]) -> int:
    """How many tracks hold more than one person."""
    people: dict[int, set[int]] = {}
    for person, track in pairs:
        people.setdefault(track, set()).add(person)
    return sum(len(each) > 1 for each in people.values())


def seated(people: int, samples: int, interval: float, sway: float) -> Footage:
    """People side by side, a box and a half apart, who sway; each is missed in one sample of twelve."""
    rng = np.random.default_rng(people)
    for sample in range(samples):
        there = [p for p in range(people) if rng.random() > 1 / 12]
        yield (
            sample * interval,
            [(p, box(100 + 60 * p + rng.normal(0, sway), 100 + rng.normal(0, sway))) for p in there],
        )


@pytest.mark.parametrize("interval", [0.2, 1.0, 2.0])
@pytest.mark.parametrize("people", [1, 4, 12])
def test_seated_people_keep_their_tracks(people: int, interval: float) -> None:
    pairs = follow(seated(people, 60, interval, sway=4.0))
    assert len(set(pairs)) == people
    assert switches(pairs) == strangers(pairs) == 0


def walking(interval: float, seconds: float = 8.0) -> Footage:
    """Two people who walk past each other, at the height of a third of a face's size from each other."""
    for time in np.arange(0, seconds, interval):
        yield float(time), [(0, box(100 + 25 * time)), (1, box(300 - 25 * time, 114))]


@pytest.mark.parametrize("interval", [0.2, 0.5, 1.0])
def test_people_who_cross_are_told_apart_by_their_looks(interval: float) -> None:
    pairs = follow(walking(interval))
    assert len(set(pairs)) == 2
    assert switches(pairs) == 0


def test_a_short_occlusion_does_not_end_a_track() -> None:
    gone = MAX_GAP_S - 0.5
    footage = [(t, [(0, box(100))]) for t in (0.0, 0.5, 1.0, 1.0 + gone, 1.5 + gone)]
    assert follow(iter(footage)) == [(0, 0)] * 5


def test_a_long_absence_does() -> None:
    footage = [(t, [(0, box(100))] if t < 1 or t > 9 else []) for t in np.arange(0, 10, 0.5)]
    assert {track for _, track in follow(iter(footage))} == {0, 1}


def test_at_a_sample_every_ten_seconds_patience_counts_samples() -> None:
    footage = [(10.0 * n, [(0, box(100))] if n not in (3, 4) else []) for n in range(8)]
    assert {track for _, track in follow(iter(footage))} == {0}


def test_another_face_elsewhere_is_another_track() -> None:
    footage = [(0.0, [(0, box(100))]), (0.2, [(1, box(400))]), (0.4, [(1, box(405)), (0, box(103))])]
    assert follow(iter(footage)) == [(0, 0), (1, 1), (1, 1), (0, 0)]


def test_a_face_twice_as_large_is_another_one() -> None:
    footage = [(0.0, [(0, box(100))]), (0.2, [(1, box(100, size=90))])]
    assert follow(iter(footage)) == [(0, 0), (1, 1)]


# Cuts.


def test_a_cut_ends_all_tracks() -> None:
    tracker = Tracker()

    def number(time: float, scene: int) -> int | None:
        ((followed, _),) = tracker(time, scene, [(box(100), seen(0, 0))])
        return followed.track_id

    assert [number(0.0, 0), number(0.2, 0), number(0.4, 1), number(0.6, 1)] == [0, 0, 1, 1]


def test_no_faces_at_all() -> None:
    tracker = Tracker()
    assert tracker(0.0, 0, []) == []
    assert tracker(1.0, 0, []) == []


def test_a_face_keeps_its_number_as_the_resolution_changes() -> None:
    """A call goes from 640x360 to 1280x720 and back; two people sit still."""
    tracker = Tracker()
    numbers = []
    for sample, scale in enumerate((1, 1, 2, 2, 0.5, 1)):
        places = [Detection(x * scale, 90 * scale, 60 * scale, 60 * scale, 0.9) for x in (100, 400)]
        faces = [(place, seen(person, sample)) for person, place in enumerate(places)]
        tracked = tracker(float(sample), 0, faces, (int(640 * scale), int(360 * scale)))
        numbers.append([face.track_id for face, _ in tracked])
    assert numbers == [[0, 1]] * 6
