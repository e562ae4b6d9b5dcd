"""What the environment says: variables, set for a while, and the home folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def environment_variable(name: str, value: str) -> Iterator[None]:
    """Set a variable meanwhile, also for processes that start; afterwards it is as it was."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def with_home(path: str) -> str:
    """The path with the home folder in place of a `~` that begins it, which shells leave in `--out=~/results`."""
    return os.path.expanduser(path) if re.match(r"~($|[/\\])", path) else path
