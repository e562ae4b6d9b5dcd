"""The four questions that the report answers first: how many, when, to what, how certain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fer_batch.emotions import EMOTIONS
from fer_batch.measures import RANGES
from fer_batch.report.formatting import TOO_FEW, Estimate, estimate, format_count, format_span, number, title

#: Moments shown per measure, and the minimum value of an emotion in a moment.
MOMENTS_SHOWN = 2
MIN_EMOTION = 0.2
#: Minimum distance of a moment from its video's mean, as a share of the scale.
MIN_DISTANCE = 0.05


@dataclass(frozen=True)
class Answer:
    """A question, its short answer, and notes on the answer."""

    question: str
    answer: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Moment:
    """A window of a video in which a measure was clearly stronger than usual (valence `low`: weaker)."""

    path: str
    start: float
    end: float
    estimate: Estimate
    direction: str
    rank: int

    @property
    def what(self) -> str:
        """The measure and direction, in words."""
        if self.estimate.name in EMOTIONS:
            return f"Apparent expression {self.estimate.name}"
        return ("Highest " if self.direction == "high" else "Lowest ") + title(self.estimate.name).lower()

    @property
    def when(self) -> str:
        """The window."""
        return format_span(self.start, self.end)


def clear_moments(
    moments: Sequence[dict[str, Any]], overall: dict[str, Any], videos: Mapping[str, dict[str, Any]]
) -> list[Moment]:
    """The rows of summary/moments whose whole interval lies beyond the means of the run and of the video, with a value
    at least `MIN_DISTANCE` from the video's mean and, for an emotion, of at least `MIN_EMOTION`.

    `videos`: rows of by_media, by path. Sorted by measure, then by rank.
    """
    found = []
    for row in moments:
        mean, sign = estimate(row, row["measure"], "value"), 1 if row["direction"] == "high" else -1
        minimum, maximum = RANGES.get(mean.name, (0.0, 1.0))
        own = number(videos.get(row["media_path"], overall), mean.name)
        usual = max(sign * own, sign * number(overall, mean.name))
        nearer = sign * (mean.low if sign > 0 else mean.high)
        stands_out = nearer > usual and sign * (mean.value - own) >= MIN_DISTANCE * (maximum - minimum)
        if mean.reliable and stands_out and not (mean.name in EMOTIONS and mean.value < MIN_EMOTION):
            found.append(Moment(row["media_path"], row["start_s"], row["end_s"], mean, row["direction"], row["rank"]))
    order = ["engagement", "expressiveness", "valence", "attention", *EMOTIONS]
    return sorted(found, key=lambda moment: (order.index(moment.estimate.name), moment.direction, moment.rank))


def shown_moments(moments: Sequence[Moment], limit: int = MOMENTS_SHOWN) -> list[Moment]:
    """The first `limit` moments of each measure, without windows adjacent to a stronger one of the same measure."""
    shown: dict[tuple[str, str], list[Moment]] = {}
    for moment in moments:
        chosen = shown.setdefault((moment.estimate.name, moment.direction), [])
        if len(chosen) < limit and not any(_adjacent(moment, other) for other in chosen):
            chosen.append(moment)
    return [moment for chosen in shown.values() for moment in chosen]


def _adjacent(first: Moment, second: Moment) -> bool:
    return first.path == second.path and first.start <= second.end and second.start <= first.end


def answers(
    overall: dict[str, Any],
    moments: Sequence[Moment],
    videos: Sequence[dict[str, Any]],
    media: Mapping[str, int],
    max_faces: int,
) -> list[Answer]:
    """The four answers. `overall`: the row of summary/overall; `videos`: rows of by_media; `media`: files by status;
    `max_faces`: the largest number of faces in one frame."""
    return [
        _faces(overall, max_faces, media),
        _when(moments, videos),
        _what(videos),
        _coverage(overall, videos, media),
    ]


def _faces(overall: dict[str, Any], max_faces: int, media: Mapping[str, int]) -> Answer:
    question = "How many faces were in view?"
    if not media.get("done"):
        return Answer(question, "–", ("No file was read.",))
    faces, presence = estimate(overall, "faces_per_frame"), estimate(overall, "face_presence")
    if not faces.known:
        return Answer(question, "No face was found", ("The measures below need a face; there are none to show.",))
    notes = [f"on average where a face was in view ({_certainty(faces)}); at most {max_faces} at once."]
    notes.append(f"A face was in view in {presence.text} of the sampled frames.")
    attention = estimate(overall, "attention")
    if attention.known:
        notes.append(f"{attention.text} of the faces faced the camera ({_certainty(attention)}).")
    return Answer(question, f"{faces.text} faces", tuple(notes))


def _when(moments: Sequence[Moment], videos: Sequence[dict[str, Any]]) -> Answer:
    question = "When did they react?"
    if not videos:
        return Answer(question, "–", ("No video was read. Images have no time.",))
    strongest = [moment for moment in moments if moment.estimate.name == "expressiveness"]
    if not strongest:
        return Answer(
            question, "No clear moment", ("No window stands clear of the means of its video and of the run.",)
        )
    first = strongest[0]
    note = f"in {first.path}: expressiveness {first.estimate.text} (95% interval {first.estimate.interval})."
    return Answer(
        question, first.when, (note, "The strongest window that stands clear of the means of its video and of the run.")
    )


def _what(videos: Sequence[dict[str, Any]]) -> Answer:
    question = "To what?"
    known = [(row["media_path"], estimate(row, "engagement")) for row in videos]
    ranked = sorted((item for item in known if item[1].reliable), key=lambda item: -item[1].value)
    if not ranked:
        note = "No video has enough samples for an interval of its engagement." if videos else "No video was read."
        return Answer(question, "Too few samples to say" if videos else "–", (note,))
    path, best = ranked[0]
    notes = [f"Highest engagement: {best.text} of 100 (95% interval {best.interval})."]
    overlapping = sum(other.high >= best.low for _, other in ranked[1:])
    if overlapping:
        notes.append(f"Not clearly above {format_count(overlapping, 'other video')}: the intervals overlap.")
    elif len(ranked) > 1:
        notes.append(f"Clearly above the next, {ranked[1][0]} ({ranked[1][1].text}).")
    unsure = [(other, mean) for other, mean in known if mean.known and not mean.reliable]
    higher = max((item for item in unsure if item[1].value > best.value), key=lambda item: item[1].value, default=None)
    if higher:
        notes.append(f"The mean of {higher[0]} is higher ({higher[1].text}), but from too few samples to be sure.")
    elif unsure:
        notes.append(f"{format_count(len(unsure), 'video')} left out: too few samples to say.")
    return Answer(question, path, tuple(notes))


def _coverage(overall: dict[str, Any], videos: Sequence[dict[str, Any]], media: Mapping[str, int]) -> Answer:
    question = "How certain is it?"
    total = sum(media.values())
    if not total:
        return Answer(question, "No files", ("No image or video was found in what was given.",))
    notes = []
    engagement = estimate(overall, "engagement")
    if engagement.known:
        notes.append(f"Engagement over the whole run: {engagement.text} of 100 ({_certainty(engagement)}).")
    unsure = sum(not estimate(row, "engagement").reliable for row in videos)
    if unsure:
        notes.append(
            f"For {unsure} of {format_count(len(videos), 'video')} there are too few samples to say how engaged."
        )
    notes.append(
        f"{format_count(media.get('failed', 0), 'file')} failed." if media.get("failed") else "No file failed."
    )
    return Answer(question, f"{media.get('done', 0):,} of {format_count(total, 'file')} read", tuple(notes))


def _certainty(mean: Estimate) -> str:
    return f"95% interval {mean.interval}" if mean.reliable else f"{TOO_FEW} how sure"
