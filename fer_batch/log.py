"""What a run tells people: printable lines on stderr, above the progress bar, and JSON lines in a file."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from fer_batch.errors import UsageError

log = logging.getLogger(__name__)


def one_line(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would obey: names of files may hold anything."""
    text = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


@contextmanager
def native_notes_to_log(library: str) -> Iterator[None]:
    """Pass what native code writes to stderr on to the debug log, under the name of the library.

    TensorFlow 2.21 prints notes on its CPU kernels and, where there is no GPU, CUDA errors as it is imported, ONNX
    Runtime on some machines what graphics devices it could not read, before any of their own settings take effect.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            notes.seek(0)
            for line in notes.read().decode(errors="replace").splitlines():
                log.debug("%s: %s", library, line)


class _AboveTheBar(logging.Handler):
    """Messages go over the progress bar, not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(f"fer-batch: {one_line(self.format(record))}", file=sys.stderr)


class _JsonLines(logging.FileHandler):
    """An object a line: `time` (UTC), `level`, `message`, and what the message says of a file or a run as fields of
    its own, given as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": one_line(super().format(record)),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line)  # In ASCII: undecodable bytes of file names become JSON escapes.

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say once that the file can't be written, such as on a full disk, and go on without it."""
        logging.getLogger("fer_batch").removeHandler(self)
        logging.getLogger("fer_batch").error("the log file can't be written any more (%s)", sys.exc_info()[1])


def set_up_logging(quiet: bool = False, verbose: bool = False, log_file: str | None = None) -> None:
    """Send the package's messages to stderr and to a file. Raises UsageError where that can't be written."""
    to_stderr = _AboveTheBar()
    to_stderr.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)
    handlers: list[logging.Handler] = [to_stderr]
    if log_file is not None:
        try:
            handlers.append(_JsonLines(log_file, encoding="ascii"))
        except OSError as error:
            raise UsageError(f"--log-file {log_file}: can't be written ({error.strerror})") from error
    package = logging.getLogger("fer_batch")
    package.setLevel(logging.DEBUG)
    package.handlers = handlers
    package.propagate = False


@contextmanager
def messages_of_run(quiet: bool, verbose: bool, log_file: str | None) -> Iterator[None]:
    """Show a run's messages as the command does, for as long as the block takes. Where the program has set up logging
    itself they go there instead, and to the file.

    Raises:
        UsageError: The file can't be written.
    """
    package = logging.getLogger("fer_batch")
    before = package.level, package.handlers, package.propagate
    own = package.hasHandlers()
    set_up_logging(quiet, verbose, log_file)
    if own:
        package.handlers, package.propagate = [*before[1], *package.handlers[1:]], before[2]
    try:
        yield
    finally:
        for handler in package.handlers:
            if handler not in before[1]:
                handler.close()
        package.level, package.handlers, package.propagate = before
