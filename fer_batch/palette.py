"""Colours and dashes of emotions and groups, for charts on light and on dark pages."""

from __future__ import annotations

from dataclasses import dataclass

from fer_batch.emotions import EMOTIONS


@dataclass(frozen=True)
class Style:
    """How a line is drawn. `light`, `dark`: colours for light and dark pages, as #rrggbb; `dash`: lengths of dashes
    and gaps in pixels, empty for a solid line."""

    light: str
    dark: str
    dash: tuple[int, ...]


# Colours that colour-blind readers can distinguish (Okabe & Ito 2008, "Color universal design"), and dashes for readers
# who see no colours and for black-and-white print.
_STYLES = (
    Style("#d55e00", "#f07d33", ()),
    Style("#009e73", "#2fc495", (8, 3)),
    Style("#cc79a7", "#dc9dc1", (2, 3)),
    Style("#e69f00", "#f0b000", ()),
    Style("#0072b2", "#4aa0e8", (8, 3, 2, 3)),
    Style("#56b4e9", "#9ad6f8", (5, 5)),
    Style("#767676", "#aeb4ba", (12, 4)),
)
#: Groups that are compared, in this order; more than these repeat.
GROUP_STYLES = (
    Style("#0072b2", "#4aa0e8", ()),
    Style("#d55e00", "#f07d33", (8, 3)),
    Style("#009e73", "#2fc495", (2, 3)),
    Style("#cc79a7", "#dc9dc1", (8, 3, 2, 3)),
    Style("#e69f00", "#f0b000", (5, 5)),
    Style("#56b4e9", "#9ad6f8", (12, 4)),
    Style("#767676", "#aeb4ba", (4, 2)),
)
EMOTION_STYLES: dict[str, Style] = dict(zip(EMOTIONS, _STYLES, strict=True))
