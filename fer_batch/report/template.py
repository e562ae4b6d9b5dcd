"""Renders the report's HTML. All data from outside goes through autoescape or JSON."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import math
from dataclasses import asdict
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from fer_batch.explanations import EXPLANATIONS
from fer_batch.measures import DEFINITIONS
from fer_batch.model_folder import METRICS_FILE
from fer_batch.palette import EMOTION_STYLES, GROUP_STYLES
from fer_batch.records import Code
from fer_batch.report import formatting
from fer_batch.report.audience.highlights import format_change, format_correlation, format_p
from fer_batch.report.highlights import shown_moments
from fer_batch.report.loader import MAX_FAILURES
from fer_batch.report.page import COMPARED, MAX_COMPARED, Page, leading_emotion, row_estimates

log = logging.getLogger(__name__)

#: The scripts at the end of the page, in their order.
SCRIPTS = ("echarts.min.js", "base.js", "charts.js", "strips.js", "audience.js", "report.js")
#: Videos in the heat strips of the whole run.
MAX_STRIPS = 200


def per_class(folder: str | None) -> dict[str, dict[str, float]]:
    """Recall, precision, F1 and number of faces by emotion, from a model's metrics.json; empty without it."""
    path = Path(folder or "") / METRICS_FILE
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        found: dict[str, dict[str, float]] = next(iter(metrics.values()))["fer2013"]["per_class"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        log.warning("%s: cannot be read (%s); the report has no figures per class", path, error)
        return {}
    return found


def flatten(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as a list of names and texts."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += flatten(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((f"{prefix}{key}", "–" if value is None or text == "" else text))
    return rows


def explain(code: str) -> tuple[str, str]:
    """The meaning of an error code and what to do; an unknown code of a later version is returned as it is."""
    return EXPLANATIONS[Code(code)] if code in set(Code) else (code, "")


def format_date(text: str | None) -> str:
    """A time of run.json: 3 May 2026, 14:05 UTC."""
    if not text:
        return "–"
    time = datetime.fromisoformat(text)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def script(name: str) -> Markup:
    """A script of the assets, for the page."""
    text = _asset(name)
    assert "</script" not in text.lower(), name
    assert "<!--" not in text, name
    return Markup(text)


def script_hash(*names: str) -> str:
    """The script sources of the page's Content-Security-Policy: these scripts only."""
    digests = (base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode() for name in names)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def script_json(value: Any) -> Markup:
    """Values as JSON, escaped for a script element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")


def settings(page: Page) -> dict[str, Any]:
    """What all scripts need to know."""
    return {
        "labels": page.labels,
        "styles": {name: asdict(style) for name, style in EMOTION_STYLES.items()},
        "groups": [asdict(style) for style in GROUP_STYLES],
        "titles": formatting.TITLES,
        "unsure": formatting.TOO_FEW,
        "few": "too few respondents",
        "alpha": round(1 - page.audience.study.confidence, 6) if page.audience else 0.05,
    }


def render(page: Page) -> str:
    """The report as HTML."""
    environment = Environment(
        loader=PackageLoader(__package__, "assets"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "data": script_json,
        "time": formatting.format_time,
        "duration": formatting.format_duration,
        "date": format_date,
        "capfirst": lambda text: text[:1].upper() + text[1:],
    }
    environment.globals |= _globals(page)
    return environment.get_template("report.html.jinja").render(page=page)


def _globals(page: Page) -> dict[str, Any]:
    """The names that the templates know beside `page`."""
    return {
        "count": formatting.format_count,
        "format_cell": formatting.format_cell,
        "format_change": format_change,
        "format_correlation": format_correlation,
        "format_p": format_p,
        "max_strips": MAX_STRIPS,
        "settings": settings(page),
        "definitions": DEFINITIONS,
        "explain": explain,
        "flatten": flatten,
        "isnan": math.isnan,
        "leading_emotion": leading_emotion,
        "max_compared": MAX_COMPARED,
        "max_failures": MAX_FAILURES,
        "per_class": per_class(page.run.get("model", {}).get("folder")),
        "format_value": formatting.format_value,
        "row_estimates": row_estimates,
        "scripts": SCRIPTS,
        "script": script,
        "script_hash": script_hash,
        "shown_moments": shown_moments(page.moments),
        "style": Markup(_asset("report.css")),
        "styles": {name: asdict(style) for name, style in EMOTION_STYLES.items()},
        "title": formatting.title,
        "too_few": formatting.TOO_FEW,
        "compared_columns": COMPARED,
    }
