"""What the report's template shows, as immutable values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_batch.measures import MEASURES
from fer_batch.report import formatting
from fer_batch.report.audience.page import Audience, Stimulus
from fer_batch.report.formatting import Estimate, estimate, number
from fer_batch.report.highlights import Answer, Moment, shown_moments
from fer_batch.report.loader import Files, Measured, Row
from fer_batch.report.series import Series, as_json

#: Videos in the comparison chart; the table has all.
MAX_COMPARED = 20
#: From this ratio of the longest to the shortest video on, strips show shares of the videos instead of seconds.
LONGEST_BY_SHORTEST = 5
#: Measures in the columns of the comparison tables.
COMPARED = ("engagement", "valence", "expressiveness", "attention", "faces_per_frame")


@dataclass(frozen=True)
class Video:
    """A video: its row of by_media, duration in seconds (NaN where unknown), number of face tracks, the series of its
    charts, and its clear moments."""

    path: str
    row: Row
    seconds: float
    tracks: int
    series: Series
    moments: Sequence[Moment]

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Its means, by measure."""
        return row_estimates(self.row)

    @property
    def charts(self) -> dict[str, Any]:
        """The data that the script draws."""
        spans: dict[tuple[float, float], list[str]] = {}
        for moment in shown_moments(self.moments, 1):
            text = f"{moment.what}: {moment.estimate.text} ({moment.estimate.interval})"
            spans.setdefault((moment.start, moment.end), []).append(text)
        marks = [{"start": start, "end": end, "what": what} for (start, end), what in sorted(spans.items())]
        return as_json(self.series, self.seconds) | {"marks": marks}

    @property
    def method(self) -> str:
        """How the points of its charts were computed, in a sentence."""
        series = self.series
        if series.frames == 1:
            return "Each point is one sampled frame: too few for intervals."
        if series.frames:
            band = "the band is the 95% interval of that mean" if series.banded else "there are too few for intervals"
            return (
                f"A short video: each point is the mean of a sampled frame and its neighbours, up to {series.frames} "
                f"frames; {band}. Faces are those of single frames."
            )
        if series.joined > 1:
            return (
                f"Each point joins {series.joined} windows of summary/timeline, so that this page stays small; the "
                "band is the mean of their 95% intervals, never narrower than the interval of the joined mean."
            )
        return "Each point is a window of summary/timeline; the band is its 95% interval."

    @property
    def description(self) -> str:
        """Its charts in a sentence, for screen readers."""
        known = [f"{mean.title.lower()} {mean.text}" for mean in self.estimates.values() if mean.known]
        points = formatting.format_count(len(self.series.start), "point")
        whole = ", ".join(known) or "no face was found"
        return f"Lines over time, {points}. Over the whole video: {whole}. The table below holds the same numbers."


@dataclass(frozen=True)
class Page:
    """Everything that the report shows."""

    run: dict[str, Any]
    overall: Row
    labels: tuple[str, ...]
    files: Files
    measured: Measured
    videos: Sequence[Video]
    moments: Sequence[Moment]
    tracks: int
    answers: Sequence[Answer]
    audience: Audience | None = None

    @property
    def name(self) -> str:
        """The names of the run's inputs."""
        names = [Path(name).name or name for name in self.run.get("configuration", {}).get("inputs", [])]
        if len(names) > 3:
            names = [*names[:2], f"{len(names) - 2} others"]
        return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "A run"

    @property
    def stimuli(self) -> list[Stimulus]:
        """The stimuli of a study; none without one."""
        return self.audience.stimuli if self.audience else []

    @property
    def strip_choices(self) -> list[tuple[str, str]]:
        """The measures of the heat strips of all videos: name and title."""
        names = ("engagement", "valence", *self.labels, "face_presence", "faces_per_frame")
        return [(name, formatting.title(name)) for name in names]

    @property
    def strip_axis(self) -> str:
        """The time axis that suits the videos: their share where some are much longer than others."""
        known = [video.seconds for video in self.videos if video.seconds > 0]
        return "share" if known and max(known) > LONGEST_BY_SHORTEST * min(known) else "seconds"

    @property
    def seconds(self) -> float:
        """The total duration of all videos."""
        return sum(self.files.seconds.values())

    @property
    def numbered(self) -> list[dict[str, Any]]:
        """The videos with the numbers of their sections, by path."""
        return [{"number": number, "video": video, "row": video.row} for number, video in enumerate(self.videos, 1)]

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers of the videos' sections by path."""
        return {video.path: number for number, video in enumerate(self.videos, 1)}

    @property
    def ranked(self) -> list[dict[str, Any]]:
        """The numbered videos by falling engagement; those without a face come last."""

        def engagement(item: dict[str, Any]) -> float:
            value = number(item["row"], "engagement")
            return math.inf if math.isnan(value) else -value

        return sorted(self.numbered, key=engagement)

    @property
    def left_out(self) -> int:
        """The number of videos that are not in the comparison chart."""
        return len(self.videos) - len(self.compared)

    @property
    def corrected(self) -> bool:
        """Whether the tables have corrected shares."""
        return any(not math.isnan(share["adjusted"]) for share in self.shares)

    @property
    def shares(self) -> list[dict[str, Any]]:
        """Each apparent expression's share of the faces, counted and, where the tables have it, corrected."""
        return [
            {
                "name": name,
                "share": number(self.overall, f"share_{name}"),
                "adjusted": number(self.overall, f"adjusted_share_{name}"),
                "mean": estimate(self.overall, name),
            }
            for name in self.labels
        ]

    @property
    def compared(self) -> list[dict[str, Any]]:
        """The videos of the comparison chart by falling engagement. Those with an interval have precedence."""
        known = [(video, mean) for video in self.videos if (mean := video.estimates["engagement"]).known]
        chosen = sorted(known, key=lambda item: (not item[1].reliable, -item[1].value))[:MAX_COMPARED]
        return [
            {
                "path": video.path,
                "value": mean.value,
                "low": mean.low if mean.reliable else None,
                "high": mean.high if mean.reliable else None,
            }
            for video, mean in sorted(chosen, key=lambda item: -item[1].value)
        ]


def row_estimates(row: Row) -> dict[str, Estimate]:
    """The measures of a row of a summary."""
    return {name: estimate(row, name) for name in ("face_presence", "faces_per_frame", *MEASURES)}


def leading_emotion(row: Row, labels: Sequence[str]) -> Estimate | None:
    """The emotion with the highest mean in a row of a summary."""
    known = [mean for name in labels if (mean := estimate(row, name)).known]
    return max(known, key=lambda mean: mean.value, default=None)
