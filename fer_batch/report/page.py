"""From what the tables say to the HTML of the report. Everything from outside goes through autoescape or JSON."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from fer_batch.measures import DEFINITIONS, MEASURES
from fer_batch.records import EXPLANATIONS, Code
from fer_batch.report import formatting
from fer_batch.report.formatting import STYLES, Figure, figure, number
from fer_batch.report.highlights import Answer, Moment, shown_moments
from fer_batch.report.loader import MOST_FAILURES, Files, Measured, Row
from fer_batch.report.series import Series, as_json

#: Videos in the chart that compares them; the table has all.
MOST_COMPARED = 20
#: Measures in the columns of the tables that compare.
COMPARED = ("engagement", "valence", "expressiveness", "attention", "faces_per_frame")


@dataclass(frozen=True)
class Video:
    """A video with its row of by_media, its length in seconds (NaN where unknown), the faces followed, what its charts
    draw and its clear moments."""

    path: str
    row: Row
    seconds: float
    tracks: int
    series: Series
    moments: Sequence[Moment]

    @property
    def figures(self) -> dict[str, Figure]:
        """Its means."""
        return row_figures(self.row)

    @property
    def charts(self) -> dict[str, Any]:
        """What the script draws."""
        spans: dict[tuple[float, float], list[str]] = {}
        for one in shown_moments(self.moments, 1):
            spans.setdefault((one.start, one.end), []).append(f"{one.what}: {one.figure.text} ({one.figure.interval})")
        marks = [{"start": start, "end": end, "what": what} for (start, end), what in sorted(spans.items())]
        return as_json(self.series, self.seconds) | {"marks": marks}

    @property
    def how(self) -> str:
        """How its charts came about, in a sentence."""
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
        """Its charts in a sentence, for those who can't see them."""
        known = [f"{one.title.lower()} {one.text}" for one in self.figures.values() if one.known]
        points = formatting.counted(len(self.series.start), "point")
        whole = ", ".join(known) or "no face was found"
        return f"Lines over time, {points}. Over the whole video: {whole}. The table below holds the same numbers."


@dataclass(frozen=True)
class Page:
    """All that the report shows."""

    run: dict[str, Any]
    overall: Row
    labels: tuple[str, ...]
    files: Files
    measured: Measured
    videos: Sequence[Video]
    moments: Sequence[Moment]
    tracks: int
    answers: Sequence[Answer]

    @property
    def name(self) -> str:
        """What the run went through: the names of its inputs."""
        names = [Path(one).name or one for one in self.run.get("configuration", {}).get("inputs", [])]
        if len(names) > 3:
            names = [*names[:2], f"{len(names) - 2} others"]
        return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "A run"

    @property
    def seconds(self) -> float:
        """The length of all videos."""
        return sum(self.files.seconds.values())

    @property
    def numbered(self) -> list[dict[str, Any]]:
        """The videos with the numbers of their sections."""
        return [{"number": number, "video": video, "row": video.row} for number, video in enumerate(self.videos, 1)]

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers of the videos' sections by path."""
        return {video.path: number for number, video in enumerate(self.videos, 1)}

    @property
    def ranked(self) -> list[dict[str, Any]]:
        """The same, the most engaged first, those without a face last."""

        def engagement(item: dict[str, Any]) -> float:
            value = number(item["row"], "engagement")
            return math.inf if math.isnan(value) else -value

        return sorted(self.numbered, key=engagement)

    @property
    def left_out(self) -> int:
        """Videos that the chart of comparison does not have."""
        return len(self.videos) - len(self.compared)

    @property
    def corrected(self) -> bool:
        """Whether the tables have shares that are corrected for the classifier's confusions."""
        return any(not math.isnan(each["adjusted"]) for each in self.shares)

    @property
    def shares(self) -> list[dict[str, Any]]:
        """Each apparent expression's share of the faces, counted and, where the tables have it, corrected."""
        return [
            {
                "name": name,
                "share": number(self.overall, f"share_{name}"),
                "adjusted": number(self.overall, f"adjusted_share_{name}"),
                "mean": figure(self.overall, name),
            }
            for name in self.labels
        ]

    @property
    def compared(self) -> list[dict[str, Any]]:
        """The videos of the chart that compares them, the most engaged first. Those without an interval give way."""
        known = [(video, each) for video in self.videos if (each := video.figures["engagement"]).known]
        chosen = sorted(known, key=lambda one: (not one[1].sure, -one[1].value))[:MOST_COMPARED]
        return [
            {
                "path": video.path,
                "value": each.value,
                "low": each.low if each.sure else None,
                "high": each.high if each.sure else None,
            }
            for video, each in sorted(chosen, key=lambda one: -one[1].value)
        ]


def row_figures(row: Row) -> dict[str, Figure]:
    """The measures of a row of a summary."""
    return {name: figure(row, name) for name in ("face_presence", "faces_per_frame", *MEASURES)}


def leading(row: Row, labels: Sequence[str]) -> Figure | None:
    """The emotion with the highest mean in a row of a summary."""
    known = [each for name in labels if (each := figure(row, name)).known]
    return max(known, key=lambda one: one.value, default=None)


def per_class(folder: str | None) -> list[list[str]]:
    """The table of the model's card that says how it does per class, heading first; empty where there is no card."""
    try:
        card = (Path(folder or "") / "CARD.md").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return []
    section = re.search(r"^## Per class.*?\n\n((?:\|.*\n)+)", card, re.MULTILINE)
    lines = section[1].splitlines() if section else []
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not set(line) <= set("|- ")]


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as a list of names and texts."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((f"{prefix}{key}", "–" if value is None or text == "" else text))
    return rows


def explained(code: str) -> tuple[str, str]:
    """What a code means and what to do; a code of a later version stands for itself."""
    return EXPLANATIONS[Code(code)] if code in set(Code) else (code, "")


def moment(text: str | None) -> str:
    """A time of run.json for people."""
    if not text:
        return "–"
    time = datetime.fromisoformat(text)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def script(name: str) -> Markup:
    """A script of the assets, ready to stand inside the page."""
    text = _asset(name)
    assert "</script" not in text.lower(), name
    assert "<!--" not in text, name
    return Markup(text)


def script_hash(*names: str) -> str:
    """The sources that the page's Content-Security-Policy allows: these scripts and no other."""
    digests = (base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode() for name in names)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def as_data(value: Any) -> Markup:
    """Plain values as JSON that can stand in a script element, whatever they hold."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")


def render(page: Page) -> str:
    """The HTML of the report."""
    environment = Environment(
        loader=PackageLoader(__package__, "assets"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data": as_data, "clock": formatting.clock, "lasting": formatting.length, "when": moment}
    environment.filters["capfirst"] = lambda text: text[:1].upper() + text[1:]
    environment.globals |= {
        "counted": formatting.counted,
        "definitions": DEFINITIONS,
        "explained": explained,
        "flat": flat,
        "isnan": math.isnan,
        "leading": leading,
        "most_compared": MOST_COMPARED,
        "most_failures": MOST_FAILURES,
        "per_class": per_class(page.run.get("model", {}).get("folder")),
        "printed": formatting.printed,
        "row_figures": row_figures,
        "script": script,
        "script_hash": script_hash,
        "shown_moments": shown_moments(page.moments),
        "style": Markup(_asset("report.css")),
        "styles": STYLES,
        "title": formatting.title,
        "too_few": formatting.TOO_FEW,
        "compared_columns": COMPARED,
    }
    return environment.get_template("report.html.jinja").render(page=page)
