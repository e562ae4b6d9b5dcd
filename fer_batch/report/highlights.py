"""The four questions a report is opened with, answered in words: how many, when, to what, how sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fer_batch.emotions import EMOTIONS
from fer_batch.measures import RANGES
from fer_batch.report.formatting import TOO_FEW, Figure, counted, figure, number, span, title

#: Moments shown of each measure, and the least an emotion has to reach to be one.
MOMENTS_SHOWN = 2
LEAST_EMOTION = 0.2
#: How far a moment lies beyond its video's mean, at least, as a share of the scale.
LEAST_STEP = 0.05


@dataclass(frozen=True)
class Answer:
    """A question, the answer at a look, and what to know about it."""

    question: str
    answer: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Moment:
    """A window of a video in which a measure was clearly stronger than usual (valence `low`: weaker)."""

    path: str
    start: float
    end: float
    figure: Figure
    direction: str
    rank: int

    @property
    def what(self) -> str:
        """What was strong, in words."""
        if self.figure.name in EMOTIONS:
            return f"Apparent expression {self.figure.name}"
        return ("Highest " if self.direction == "high" else "Lowest ") + title(self.figure.name).lower()

    @property
    def when(self) -> str:
        """The window."""
        return span(self.start, self.end)


def clear_moments(
    moments: Sequence[dict[str, Any]], overall: dict[str, Any], videos: Mapping[str, dict[str, Any]]
) -> list[Moment]:
    """The rows of summary/moments that are neither chance nor a trifle: the whole interval lies beyond the mean of the
    run and that of the video, and the value by a twentieth of the scale; an emotion reaches a fifth.

    `videos`: rows of by_media by path. In the order of the measures, then of the ranks.
    """
    found = []
    for row in moments:
        each, sign = figure(row, row["measure"], "value"), 1 if row["direction"] == "high" else -1
        least, most = RANGES.get(each.name, (0.0, 1.0))
        own = number(videos.get(row["media_path"], overall), each.name)
        usual = max(sign * own, sign * number(overall, each.name))
        nearer = sign * (each.low if sign > 0 else each.high)
        stands_out = nearer > usual and sign * (each.value - own) >= LEAST_STEP * (most - least)
        if each.sure and stands_out and not (each.name in EMOTIONS and each.value < LEAST_EMOTION):
            found.append(Moment(row["media_path"], row["start_s"], row["end_s"], each, row["direction"], row["rank"]))
    order = ["engagement", "expressiveness", "valence", "attention", *EMOTIONS]
    return sorted(found, key=lambda one: (order.index(one.figure.name), one.direction, one.rank))


def shown_moments(moments: Sequence[Moment], most: int = MOMENTS_SHOWN) -> list[Moment]:
    """The first `most` of each measure, none beside another of the same measure."""
    shown: dict[tuple[str, str], list[Moment]] = {}
    for one in moments:
        same = shown.setdefault((one.figure.name, one.direction), [])
        beside = any(one.path == other.path and one.start <= other.end and other.start <= one.end for other in same)
        if len(same) < most and not beside:
            same.append(one)
    return [one for same in shown.values() for one in same]


def answers(
    overall: dict[str, Any],
    moments: Sequence[Moment],
    videos: Sequence[dict[str, Any]],
    media: Mapping[str, int],
    most: int,
) -> list[Answer]:
    """The four answers. `overall`: the row of summary/overall; `videos`: rows of by_media; `media`: files by status;
    `most`: the most faces in one frame."""
    return [_watching(overall, most, media), _when(moments, videos), _what(videos), _sure(overall, videos, media)]


def _watching(overall: dict[str, Any], most: int, media: Mapping[str, int]) -> Answer:
    question = "How many were watching?"
    if not media.get("done"):
        return Answer(question, "–", ("No file was read.",))
    faces, presence = figure(overall, "faces_per_frame"), figure(overall, "face_presence")
    if not faces.known:
        return Answer(question, "No face was found", ("The measures below need a face; there are none to show.",))
    notes = [f"on average where a face was in view ({_sureness(faces)}); at most {most} at once."]
    notes.append(f"A face was in view in {presence.text} of the sampled frames.")
    attention = figure(overall, "attention")
    if attention.known:
        notes.append(f"{attention.text} of the faces faced the camera ({_sureness(attention)}).")
    return Answer(question, f"{faces.text} faces", tuple(notes))


def _when(moments: Sequence[Moment], videos: Sequence[dict[str, Any]]) -> Answer:
    question = "When did they react?"
    if not videos:
        return Answer(question, "–", ("No video was read. Images have no time.",))
    strongest = [one for one in moments if one.figure.name == "expressiveness"]
    if not strongest:
        return Answer(
            question, "No clear moment", ("No window stands clear of the means of its video and of the run.",)
        )
    first = strongest[0]
    note = f"in {first.path}: expressiveness {first.figure.text} (95% interval {first.figure.interval})."
    return Answer(
        question, first.when, (note, "The strongest window that stands clear of the means of its video and of the run.")
    )


def _what(videos: Sequence[dict[str, Any]]) -> Answer:
    question = "To what?"
    known = [(row["media_path"], figure(row, "engagement")) for row in videos]
    ranked = sorted((one for one in known if one[1].sure), key=lambda one: -one[1].value)
    if not ranked:
        note = "No video has enough samples for an interval of its engagement." if videos else "No video was read."
        return Answer(question, "Too few samples to say" if videos else "–", (note,))
    path, best = ranked[0]
    notes = [f"Highest engagement: {best.text} of 100 (95% interval {best.interval})."]
    same = sum(other.high >= best.low for _, other in ranked[1:])
    if same:
        notes.append(f"Not clearly above {counted(same, 'other video')}: the intervals overlap.")
    elif len(ranked) > 1:
        notes.append(f"Clearly above the next, {ranked[1][0]} ({ranked[1][1].text}).")
    unsure = [(other, each) for other, each in known if each.known and not each.sure]
    higher = max((one for one in unsure if one[1].value > best.value), key=lambda one: one[1].value, default=None)
    if higher:
        notes.append(f"The mean of {higher[0]} is higher ({higher[1].text}), but from too few samples to be sure.")
    elif unsure:
        notes.append(f"{counted(len(unsure), 'video')} left out: too few samples to say.")
    return Answer(question, path, tuple(notes))


def _sure(overall: dict[str, Any], videos: Sequence[dict[str, Any]], media: Mapping[str, int]) -> Answer:
    question = "How sure are we?"
    total = sum(media.values())
    if not total:
        return Answer(question, "No files", ("No image or video was found in what was given.",))
    notes = []
    engagement = figure(overall, "engagement")
    if engagement.known:
        notes.append(f"Engagement over the whole run: {engagement.text} of 100 ({_sureness(engagement)}).")
    unsure = sum(not figure(row, "engagement").sure for row in videos)
    if unsure:
        notes.append(f"For {unsure} of {counted(len(videos), 'video')} there are too few samples to say how engaged.")
    notes.append(f"{counted(media.get('failed', 0), 'file')} failed." if media.get("failed") else "No file failed.")
    return Answer(question, f"{media.get('done', 0):,} of {counted(total, 'file')} read", tuple(notes))


def _sureness(one: Figure) -> str:
    return f"95% interval {one.interval}" if one.sure else f"{TOO_FEW} how sure"
