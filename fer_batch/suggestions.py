"""What a misspelt name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest known name as the end of a message, `; did you mean NAME?`; empty where none is near. Capitals and
    small letters count as the same."""
    from difflib import get_close_matches  # Only needed where something is wrong.

    by_letters = {candidate.casefold(): candidate for candidate in known}
    nearest = get_close_matches(name.casefold(), by_letters, n=1, cutoff=0.6)
    return f"; did you mean {by_letters[nearest[0]]}?" if nearest else ""
