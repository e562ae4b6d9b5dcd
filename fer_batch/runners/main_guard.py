"""Scripts that start worker processes without a `__main__` guard, found before any process is started."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from pathlib import Path
from types import FrameType

from fer_batch.errors import UsageError


def check_main_guard() -> None:
    """Raise UsageError where worker processes would run the calling code again.

    Each worker process imports the main script first, as Python's `spawn` start method does
    (https://docs.python.org/3/library/multiprocessing.html#the-spawn-and-forkserver-start-methods). Code of the script
    that is not below `if __name__ == "__main__":` runs again there. Consoles and notebooks have no script.
    """
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # The script is being imported by a worker.
        raise _unguarded(file or "the main script")
    spec = getattr(main, "__spec__", None)
    if file is None or (spec is not None and spec.name.rpartition(".")[2] == "__main__"):  # Not imported again.
        return
    if not Path(file).exists():  # `<stdin>`, or a script that is gone by now.
        raise UsageError(
            f"{file}: fer_batch.run starts worker processes, and each imports the script, which is no file; save it "
            "as one and run that"
        )
    line = _line_of_script(sys._getframe(), vars(main))
    if line is not None and not _is_guarded(Path(file), line):
        raise _unguarded(f"{file}, line {line}")


def _line_of_script(frame: FrameType | None, script: dict[str, object]) -> int | None:
    """The line of the script's own level that led to the call, None where it was not the script's level."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals is script:
            return frame.f_lineno
        frame = frame.f_back
    return None


def _is_guarded(file: Path, line: int) -> bool:
    """Whether a line stands below a condition on `__name__`; also where the file can't be read as Python."""
    try:
        statements = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return True
    return any(
        isinstance(statement, ast.If)
        and any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test))
        for statement in statements
        if statement.lineno <= line <= (statement.end_lineno or statement.lineno)
    )


def _unguarded(where: str) -> UsageError:
    return UsageError(
        f"{where}: fer_batch.run starts worker processes, and each imports this script; "
        'put the call below a line `if __name__ == "__main__":`'
    )
