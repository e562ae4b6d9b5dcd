"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def location_of(text: str) -> Path:
    """The path or URL of an argument. Raises BadParameter where it can be neither."""
    from fer_batch.errors import UsageError
    from fer_batch.storage import location

    try:
        return location(text)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None


Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of a run.", show_default=False, parser=location_of)
]

Window = Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="Seconds per row of the timeline.")]
