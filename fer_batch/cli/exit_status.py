"""How a command ends: one line on stderr for what the user can mend, and an exit status."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

EXIT_DONE, EXIT_SOME_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


@contextmanager
def endings() -> Iterator[None]:
    """What the user can mend becomes one line and status 2; Ctrl-C, SIGTERM and a closed terminal become status 130."""
    from fer_batch.errors import UsageError
    from fer_batch.log import one_line, survive_closed_stderr

    survive_closed_stderr()
    _interrupt_at_signals()
    try:
        yield
    except UsageError as error:
        typer.echo(f"fer-batch: {one_line(str(error))}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    except OSError as error:  # A full disk, a folder that has gone, workers that can't start.
        logging.getLogger("fer_batch").debug("", exc_info=True)
        advice = "fix this and run the same command again, which resumes where it stopped"
        typer.echo(f"fer-batch: {one_line(str(error))}; {advice}", err=True)
        raise typer.Exit(EXIT_SOME_FAILED) from None
    except KeyboardInterrupt:
        typer.echo("fer-batch: interrupted; the same command resumes where it stopped", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _interrupt_at_signals() -> None:
    """The first signal ends the run in order; a second one ends the process at once, as the system does it."""
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What is ignored stays so: nohup and shells do that to jobs in the background.
    heeded = [number for name in names if signal.getsignal(number := getattr(signal, name)) != signal.SIG_IGN]

    def interrupt(*_: object) -> NoReturn:
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in heeded:
        signal.signal(number, interrupt)
