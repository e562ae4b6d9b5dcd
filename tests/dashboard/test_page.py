"""The page in a real browser: what it shows, that filters work, and that it ends when told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_batch import dashboard
from fer_batch.errors import UsageError
from tests.helpers.chromium import chromium
from tests.helpers.run_folder import HARMFUL


def test_without_the_extra_one_line_says_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'dashboard needs streamlit, .* pip install "\.\[dashboard\]"'):
        dashboard.serve(tmp_path, 8501, browser=False)


#: Answers one question as the page does, and ends.
ONE_ANSWER = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).handle_request()
"""


def test_a_port_that_is_taken_is_passed_over_and_no_proxy_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboard, "_command", lambda port: [sys.executable, "-c", ONE_ANSWER, str(port)])
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server((dashboard.ADDRESS, 0)) as other:  # Such as another run's page.
        taken = other.getsockname()[1]
        assert dashboard.serve(tmp_path, taken, browser=False) == 0
    stderr = capfd.readouterr().err
    found = re.search(rf"port {taken} is taken, perhaps by another dashboard; using (\d+)", stderr)
    assert found is not None
    assert int(found[1]) > taken
    assert f"the page is at http://127.0.0.1:{found[1]}; Ctrl-C ends it" in stderr


def test_no_free_port_is_an_error_that_says_what_to_do(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "_is_free", lambda port: False)
    with pytest.raises(UsageError, match="--port 65500: this port and those up to 65535 are taken; give another one"):
        dashboard.serve(run_folder, 65500, browser=False)


@pytest.fixture(scope="module")
def served(run_folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    pytest.importorskip("streamlit", reason="the extra dashboard is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "fer_batch", "dashboard", str(run_folder), "--port", str(port), "--no-browser"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 90
        while not _answers(url):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.3)
        yield url, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Any, served: tuple[str, subprocess.Popen[bytes]]) -> Iterator[Any]:
    tab = browser.new_page(viewport={"width": 1280, "height": 1000})
    tab.set_default_timeout(60_000)
    tab.problems = []  # Whatever goes wrong in it, and whatever it asks of another machine.
    tab.on("console", lambda message: message.type == "error" and tab.problems.append(message.text))
    tab.on("pageerror", lambda error: tab.problems.append(str(error)))
    tab.on("dialog", lambda dialog: (tab.problems.append("a dialog opened"), dialog.dismiss()))
    near = (served[0], served[0].replace("http", "ws"), "data:", "blob:")
    tab.on("request", lambda request: request.url.startswith(near) or tab.problems.append(request.url))
    tab.goto(served[0])
    tab.get_by_text("Strongest moments").wait_for()
    yield tab
    tab.close()


def figure(tab: Any, name: str) -> str:
    return str(tab.get_by_test_id("stMetric").filter(has_text=name).get_by_test_id("stMetricValue").inner_text())


def choose(tab: Any, filter_name: str, option: str) -> None:
    box = tab.get_by_role("combobox", name=filter_name)
    box.click()
    tab.get_by_role("option", name=option, exact=True).click()
    tab.keyboard.press("Escape")


@pytest.mark.slow
def test_it_shows_the_run(page: Any) -> None:
    assert [figure(page, name) for name in ("Files", "Frames", "Faces")] == ["3", "121", "121"]
    page.get_by_text("bad.mp4").first.wait_for(state="attached")
    assert page.locator(".stVegaLiteChart, [data-testid=stVegaLiteChart]").count() >= 6
    assert page.get_by_test_id("stException").count() == 0
    assert page.problems == []


@pytest.mark.slow
def test_it_filters_by_folder_file_and_emotion(page: Any) -> None:
    choose(page, "Folders", "b")
    page.get_by_test_id("stMetricValue").get_by_text("30", exact=True).first.wait_for()
    assert [figure(page, name) for name in ("Files", "Frames", "Faces")] == ["1", "30", "30"]
    choose(page, "Files", HARMFUL)
    page.locator("[data-tag][aria-label=sad]").press("Delete")
    page.get_by_text("No face in the selection.").wait_for()  # All of its faces look sad.
    assert page.get_by_test_id("stException").count() == 0
    assert page.problems == []


@pytest.mark.slow
def test_it_filters_by_time(page: Any) -> None:
    handle = page.get_by_role("slider").last
    handle.focus()
    for _ in range(5):
        handle.press("ArrowLeft")
    page.get_by_test_id("stMetric").filter(has_text="Frames").get_by_text("121", exact=True).wait_for(state="detached")
    assert int(figure(page, "Frames")) < 121
    assert page.problems == []


@pytest.mark.slow
def test_an_interrupt_ends_it(served: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, process = served
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert not _answers(url)
