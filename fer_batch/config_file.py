"""Options from a file: TOML by the options' long names, or the run.json of an earlier run, which repeats it."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from typing import Any

from fer_batch import storage
from fer_batch.environment import with_home
from fer_batch.errors import UsageError
from fer_batch.run_config import RunConfig, checked_value, option_info, options
from fer_batch.suggestions import did_you_mean

#: Under this key run.json keeps the options of its run.
OPTIONS_KEY = "options"
#: Options that exclude each other, or belong to one of these: one given on the command line replaces the file's.
_WHICH_FRAMES = {
    "fps": ("every", "keyframes"),
    "every": ("fps", "keyframes", "fast"),
    "keyframes": ("fps", "every", "fast"),
}


def make_config(given: Mapping[str, Any], file: str | os.PathLike[str] | None = None) -> RunConfig:
    """The configuration of a run from options and a file; options win.

    Args:
        given: Options by their names in RunConfig, those that were given.
        file: A configuration file, see `read_config_file`.

    Raises:
        UsageError: The file can't be used, or an option is unknown or wrong.
    """
    for name in given:
        if name not in options():
            raise UsageError(f"{name} is no option of a run{did_you_mean(name, (*options(), 'config'))}")
    from_file = {} if file is None else read_config_file(os.fspath(file))
    for name, replaced in _WHICH_FRAMES.items():
        if given.get(name) not in (None, False):
            from_file = {key: value for key, value in from_file.items() if key not in replaced or key in given}
    return RunConfig(**{**from_file, **given})


def read_config_file(file: str) -> dict[str, Any]:
    """The options that a file holds, checked one by one.

    Relative paths in it are relative to the file's folder, and `~` is the home folder.

    Args:
        file: TOML with options by their long names, such as `min-face = 20` or `min_face = 20`; or, ending in `.json`,
            the run.json of an earlier run.

    Raises:
        UsageError: The file can't be read, or a key or a value in it is wrong; the message names file and key.
    """
    try:
        with storage.open_file(file) as stream:
            text = stream.read().decode("utf-8-sig")
        values = json.loads(text) if file.endswith(".json") else tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError(f"--config {file}: no such file; check the path") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"--config {file}: is not UTF-8 ({error}); save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {file}: can't be read ({error})") from error
    if file.endswith(".json"):
        values = values.get(OPTIONS_KEY) if isinstance(values, dict) else None
        if not isinstance(values, dict):
            raise UsageError(f"--config {file}: holds no options of a run; give a run.json of version 0.2 or later")
    folder = os.path.dirname(storage.absolute(file))
    found: dict[str, Any] = {}
    for key, value in values.items():
        name, checked = _entry(file, folder, key, value)
        if name in found:
            raise UsageError(f"{file}: {key} is there twice, with - and with _; leave one of them out")
        found[name] = checked
    return found


def _entry(file: str, folder: str, key: str, value: Any) -> tuple[str, Any]:
    """A key and its value as an option's name and a value of its type."""
    name = key.replace("-", "_")
    if name not in options():
        near = did_you_mean(name, options())
        if isinstance(value, dict):
            raise UsageError(f"{file}: [{key}] is a table; write options at the top, without tables{near}")
        raise UsageError(f"{file}: {key} is no option of a run{near}")
    try:
        checked = checked_value(name, value)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    if option_info(options()[name]).is_path:
        checked = tuple(_path(folder, path) for path in checked) if name == "paths" else _path(folder, checked)
    elif name == "model" and os.path.isdir(_path(folder, checked)):  # A name otherwise.
        checked = _path(folder, checked)
    return name, checked


def _path(folder: str, path: str) -> str:
    """A path of a file in `folder`, absolute; URLs as they are."""
    return path if storage.is_url(path) else os.path.join(folder, with_home(path))
