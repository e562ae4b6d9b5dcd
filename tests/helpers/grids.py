"""Parameters of tests that hold on a whole grid of cases."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest


def grid(*axes: Sequence[Any]) -> list[Any]:
    """All combinations of the axes' values, for `parametrize`; marked slow but for the corners of the grid."""
    ends = [(axis[0], axis[-1]) for axis in axes]
    cases = list(product(*axes))
    corner = [all(value in pair for value, pair in zip(case, ends, strict=True)) for case in cases]
    return [
        pytest.param(*case, marks=() if is_corner else pytest.mark.slow)
        for case, is_corner in zip(cases, corner, strict=True)
    ]
