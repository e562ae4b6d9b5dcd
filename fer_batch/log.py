"""The messages of a run: printable lines on stderr, above the progress bar, and JSON lines in a file."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, cast

from fer_batch.errors import UsageError

log = logging.getLogger(__name__)


def one_line(text: str, keep: str = "") -> str:
    """The text on one line, without control characters that a terminal would obey: file names may hold anything.
    `keep`: characters that are not printable and stay as they are, for a text that no terminal shows."""
    text = " ".join(text.split())
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape", "backslashreplace").decode() for c in text
    )


def survive_closed_stderr() -> None:
    """Have the process go on where nobody reads its messages any more: stderr closed, its terminal or reader gone."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # The next file that is opened would get its number, and messages of native code in it.
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # For as long as the process lives.
    elif not isinstance(sys.stderr, _SafeStderr):
        sys.stderr = cast(TextIO, _SafeStderr(sys.stderr))


class _SafeStderr:
    """A stream whose writer need not know that nobody reads it any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """From now on messages go nowhere, those of native code and what the stream still holds included."""
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


@contextmanager
def native_stderr_to_log(library: str) -> Iterator[None]:
    """Send what native code writes to stderr to the debug log, under the name of the library.

    TensorFlow 2.21 prints notes on its CPU kernels and, where there is no GPU, CUDA errors as it is imported, ONNX
    Runtime on some machines what graphics devices it could not read, before any of their own settings take effect.
    """
    with tempfile.TemporaryFile() as notes:
        try:
            with _stderr_to(notes.fileno()):
                yield
        finally:
            notes.seek(0)
            for line in notes.read().decode(errors="replace").splitlines():
                log.debug("%s: %s", library, line)


@contextmanager
def stderr_to_file(path: Path | None) -> Iterator[None]:
    """Append what is written to stderr, also by native code, to a file; None changes nothing."""
    if path is None:
        yield
        return
    with path.open("ab") as file, _stderr_to(file.fileno()):
        yield


@contextmanager
def _stderr_to(descriptor: int) -> Iterator[None]:
    with suppress(AttributeError):  # None where stderr was closed.
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        kept = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class _AboveTheBar(logging.Handler):
    """Messages go over the progress bar, not through it."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(f"fer-batch: {one_line(self.format(record))}", file=sys.stderr)


class _ToProgram(logging.Handler):
    """Messages go to the handlers that a logger has, and its parents, from the level on that is set there now. The
    logger itself is then free to let more through, for the file."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger.getEffectiveLevel())
        self._handlers = logger.handlers
        self._parent = logger.parent if logger.propagate else None

    def emit(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            if record.levelno >= handler.level:
                handler.handle(record)
        if self._parent is not None:
            self._parent.callHandlers(record)


class _JsonLines(logging.FileHandler):
    """An object per line: `time` (UTC), `level`, `message`, and the fields that the message has of a file or a run,
    given as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": one_line(super().format(record)),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line)  # In ASCII: undecodable bytes of file names become JSON escapes.

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Report once that the file can't be written, such as on a full disk, and go on without it."""
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
    level, handlers, propagate = package.level, package.handlers, package.propagate
    to_program = _ToProgram(package) if package.hasHandlers() else None
    set_up_logging(quiet, verbose, log_file)
    if to_program is not None:
        package.handlers[0] = to_program
    try:
        yield
    finally:
        for handler in package.handlers:
            handler.close()
        package.setLevel(level)  # A method, for loggers keep what they found out about levels.
        package.handlers, package.propagate = handlers, propagate
