"""The command, as a user types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

COMMAND = Path(sys.executable).with_name("fer-batch")


def fer_batch(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own."""
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, cwd=cwd)


def in_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, where no process of its own is the subject."""
    from fer_batch.cli import app

    texts = list(map(str, arguments))
    done = CliRunner().invoke(app, texts)
    return subprocess.CompletedProcess(texts, done.exit_code, done.stdout, done.stderr)
