"""Messages are printable lines, whatever files are called, and JSON lines in a log file."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from fer_batch.errors import UsageError
from fer_batch.log import native_stderr_to_log, one_line, set_up_logging

WILD = "\x1b[31mred\x07\x9b\u202egnp\udcff\nnew line.jpg"


def test_nothing_is_left_that_a_terminal_obeys() -> None:
    assert one_line(WILD) == r"\x1b[31mred\x07\x9b\u202egnp\udcff new line.jpg"
    assert one_line("größe 猫.jpg") == "größe 猫.jpg"


def test_joiners_stay_only_where_they_are_asked_for() -> None:
    assert one_line("a\u200cb\u202e") == r"a\u200cb\u202e"
    assert one_line("a\u200cb\u202e", keep="\u200c") == "a\u200cb" + r"\u202e"


def test_names_reach_neither_the_terminal_nor_the_log_raw(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logging(log_file=tmp_path / "log")
    logging.getLogger("fer_batch.x").warning("%s: bad", WILD, extra={"fields": {"media_path": WILD}})
    stderr = capfd.readouterr().err
    assert stderr == r"fer-batch: \x1b[31mred\x07\x9b\u202egnp\udcff new line.jpg: bad" + "\n"
    written = (tmp_path / "log").read_bytes()
    assert written.endswith(b"\n")
    assert all(32 <= byte < 127 for byte in written[:-1])
    line = json.loads(written)
    assert (line["level"], line["media_path"]) == ("warning", WILD)
    assert line["time"].endswith("+00:00")


def test_the_log_has_what_quiet_leaves_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logging(quiet=True, log_file=tmp_path / "log")
    for level in (logging.DEBUG, logging.INFO, logging.ERROR):
        logging.getLogger("fer_batch.x").log(level, "at %d", level)
    assert capfd.readouterr().err == "fer-batch: at 40\n"
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["message"] for line in lines] == ["at 10", "at 20", "at 40"]


def test_a_log_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be written"):
        set_up_logging(log_file=tmp_path / "nowhere" / "log")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_costs_the_log_and_one_message(capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logging(log_file=Path("/dev/full"))
    for number in range(3):
        logging.getLogger("fer_batch.x").info("message %d", number)
    stderr = capfd.readouterr().err.splitlines()
    assert sorted(stderr) == sorted(
        [
            "fer-batch: the log file can't be written any more ([Errno 28] No space left on device)",
            *(f"fer-batch: message {number}" for number in range(3)),
        ]
    )


def test_native_notes_go_to_the_log(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG, "fer_batch"), native_stderr_to_log("tensorflow"):
        os.write(2, b"from native code\n")
    os.write(2, b"afterwards\n")
    assert caplog.messages == ["tensorflow: from native code"]
    assert capfd.readouterr().err == "afterwards\n"


def test_stderr_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), native_stderr_to_log("tensorflow"):
        raise ZeroDivisionError
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err.endswith("afterwards\n")
