"""The exceptions that a user of the command or of the Python API may see."""

from __future__ import annotations


class UsageError(Exception):
    """The command can't be carried out as given; the message, of one line, says what is wrong and what to do."""


class ModelFolderError(UsageError):
    """The folder is no emotion model this version can use; the message says what is wrong with it."""


class PictureError(UsageError):
    """The file can't be read as a picture; the message says why, and ends with the code that the table `media` has."""


class DatasetError(UsageError):
    """The data cannot be read; the message names the place and what would be right."""


class WorkerStartError(OSError):
    """Worker processes can't be started. The files that they were to read stay to be done."""
