"""An interactive page over the tables of an output folder: Streamlit shows it, DuckDB answers it.

Only `page.py` imports Streamlit, in a process of its own; without the extra nothing here does harm.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from importlib.util import find_spec
from pathlib import Path

from fer_batch.errors import UsageError, missing_extra

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
_START_S = 60.0
#: Ports that are tried from the wanted one on.
_PORTS_TRIED = 100


def serve(out: Path, port: int, browser: bool) -> int:
    """Serve the page on this machine alone until it is interrupted; returns an exit status.

    Args:
        out: The output folder.
        port: The port, or where it is taken the first free one above it.
        browser: Whether to open the page.

    Raises:
        UsageError: The extra is not installed, or no port is free.
    """
    missing = [name for name in ("streamlit", "duckdb", "altair") if find_spec(name) is None]
    if missing:
        raise missing_extra(f"the dashboard needs {', '.join(missing)}", "dashboard")
    wanted, port = port, _free_port(port)
    if port != wanted:
        print(f"port {wanted} is taken, perhaps by another dashboard; using {port}", file=sys.stderr, flush=True)
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


def _free_port(wanted: int) -> int:
    """The first port from `wanted` on that nobody listens at. Raises UsageError."""
    ports = range(wanted, min(wanted + _PORTS_TRIED, 65536))
    free = next((port for port in ports if _is_free(port)), None)
    if free is None:
        raise UsageError(f"--port {wanted}: this port and those up to {ports[-1]} are taken; give another one")
    return free


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name == "posix":  # Not taken by connections that have just ended; elsewhere it would share a port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _is_up(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the page answers; False where the server ended or took too long."""
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # A proxy can't reach this machine's own.
    end = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < end:
        try:
            with directly.open(f"{url}/_stcore/health", timeout=1.0):
                return True
        except OSError:
            time.sleep(0.2)
    return False
