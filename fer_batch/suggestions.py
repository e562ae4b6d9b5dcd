"""What a misspelt name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest known name as the end of a message, `; did you mean NAME?`; empty where none is near."""
    from difflib import get_close_matches  # Only needed where something is wrong.

    nearest = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""
