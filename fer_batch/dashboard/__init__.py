"""An interactive page over the tables of an output folder: Streamlit shows it, DuckDB answers it.

Only `page.py` imports Streamlit, in a process of its own; without the extra nothing here does harm.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
import urllib.request
import webbrowser
from importlib.util import find_spec
from pathlib import Path

from fer_batch.errors import UsageError

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
_START_S = 60.0


def serve(out: Path, port: int, browser: bool) -> int:
    """Serve the page on this machine alone until it is interrupted; returns an exit status.

    Raises UsageError where the extra is not installed.
    """
    missing = [name for name in ("streamlit", "duckdb", "altair") if find_spec(name) is None]
    if missing:
        raise UsageError(f"dashboard needs {', '.join(missing)}; install it with: pip install 'fer-batch[dashboard]'")
    server = subprocess.Popen([*_command(port), "--", str(out.absolute())], stdout=subprocess.DEVNULL)
    try:
        url = f"http://{ADDRESS}:{port}"
        if _is_up(server, url):
            print(f"the page is at {url}; Ctrl-C ends it", file=sys.stderr, flush=True)
            if browser:
                webbrowser.open(url)
        return 1 if server.wait() else 0
    except KeyboardInterrupt:  # The way it is meant to end.
        return 0
    finally:
        server.terminate()
        server.wait()


def _command(port: int) -> list[str]:
    """Streamlit, which sends nothing anywhere and asks for no e-mail address."""
    page = Path(__file__).with_name("page.py")
    settings = {
        "server.address": ADDRESS,
        "server.port": port,
        "server.headless": "true",  # Otherwise it asks for an address at its first start.
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    return [sys.executable, "-m", "streamlit", "run", str(page), *options]


def _is_up(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the page answers; False where the server ended or took too long."""
    end = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1.0):
                return True
        except OSError:
            time.sleep(0.2)
    return False
