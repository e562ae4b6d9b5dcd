"""The exceptions that a user of the command or of the Python API may see."""

from __future__ import annotations


class UsageError(Exception):
    """The command can't be carried out as given; the message, of one line, says what is wrong and what to do."""


def missing_extra(need: str, extra: str) -> UsageError:
    """The error where an optional package is missing.

    Args:
        need: What needs which package.
        extra: The extra that brings it. Double quotes are right in every shell, that of Windows too.
    """
    return UsageError(f'{need}; in your checkout of fer_batch: pip install ".[{extra}]"')


class ModelFolderError(UsageError):
    """The folder is no emotion model this version can use; the message says what is wrong with it."""


class PictureError(UsageError):
    """The file can't be read as a picture; the message says why, and ends with the code that the table `media` has."""


class DatasetError(UsageError):
    """The data cannot be read; the message names the place and what would be right."""


class WorkerStartError(OSError):
    """Worker processes can't be started. The files that they were to read stay to be done."""
