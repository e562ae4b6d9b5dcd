"""The page of the docs with what benchmarks/speed.py measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "development" / "speed.md"


def table(figures: dict[str, Any]) -> str:
    """A scenario as Markdown."""
    names, rounds = list(figures["amounts"]), figures["rounds"]
    count = f"{len(rounds)} round{'s' * (len(rounds) > 1)}"
    lines = [
        f"## {figures['title']}",
        "",
        f"{figures['machine']}; {figures['date']}; {count}; ratios: median (least to most).",
        "",
        f"| | {figures['unit']} a second | wall, s | ratio, for a unit | processor, s | ratio, for a unit | found |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        amount, first = figures["amounts"][name], figures["amounts"][names[0]]
        cells = [name, f"{amount / median(entry[name]['wall'] for entry in rounds):.1f}"]
        for what in ("wall", "cpu"):
            ratios = [entry[name][what] / amount / (entry[names[0]][what] / first) for entry in rounds]
            cells.append(f"{median(entry[name][what] for entry in rounds):.1f}")
            cells.append(f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        lines.append(f"| {' | '.join([*cells, _found(rounds[-1][name])])} |")
    return "\n".join(lines)


def _found(last: dict[str, Any]) -> str:
    if "faces" in last:
        return f"{last['faces']} faces in {last['frames']} frames"
    return f"a face in {last['with_a_face']} of {last['done']}" if "with_a_face" in last else ""


def write_page(scenarios: Sequence[dict[str, Any]]) -> None:
    """Put tables in the place of those of the same title; others stay, each says when it was measured."""
    head, *sections = PAGE.read_text(encoding="utf-8").split("<!-- figures -->")
    tables = {section.split("\n")[0]: f"## {section}".strip() for section in "".join(sections).split("\n## ")[1:]}
    tables |= {figures["title"]: table(figures) for figures in scenarios}
    sections = ["<!-- figures -->", *tables.values()]
    PAGE.write_text("\n\n".join([head.rstrip(), *sections]) + "\n", encoding="utf-8")
