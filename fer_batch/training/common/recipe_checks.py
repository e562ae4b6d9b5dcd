"""Checks that the recipes of both trainings need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fer_batch.errors import DatasetError

PRECISIONS = ("float32", "bfloat16")


def check_types(values: Any, defaults: Any) -> None:
    """Raise DatasetError for a field of `values` that is not of the type of its default.

    Args:
        values: A dataclass read from JSON.
        defaults: The same dataclass with its defaults; a whole number may stand for a float.
    """
    for name, default in vars(defaults).items():
        kind = type(default)
        if not isinstance(getattr(values, name), (int, float) if kind is float else kind):
            raise DatasetError(f"recipe: {name} is {getattr(values, name)!r}; it must be of type {kind.__name__}")


def check_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Raise DatasetError where a field's value is none of the known ones."""
    known = list(known)
    if value not in known:
        raise DatasetError(f"recipe: {name} {value!r} is none of {', '.join(known)}")


def check_positive(name: str, value: float) -> None:
    """Raise DatasetError where a field's value is 0 or less."""
    if value <= 0:
        raise DatasetError(f"recipe: {name} must be above 0, found {value}")
