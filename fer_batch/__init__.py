"""Batch media analytics: apparent facial expressions in folders of images and videos, as Parquet tables.

The public Python interface is what `__all__` lists; docs/guide/python.md shows how to use it. Importing this package
imports nothing heavy: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fer_batch import errors
from fer_batch.version import __version__

if TYPE_CHECKING:
    from fer_batch.api import analyze, open, run
    from fer_batch.results import Results
    from fer_batch.run_config import RunConfig

__all__ = ["Results", "RunConfig", "__version__", "analyze", "errors", "open", "run"]

_MODULES = {
    "analyze": "fer_batch.api",
    "open": "fer_batch.api",
    "run": "fer_batch.api",
    "Results": "fer_batch.results",
    "RunConfig": "fer_batch.run_config",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'fer_batch' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
