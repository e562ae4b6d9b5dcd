"""One run at a time in an output folder. The system holds the lock and frees it when the process ends, however it ends:
what a dead run leaves is an empty promise that is in nobody's way."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from fer_batch.config import UsageError

LOCK_FILE = ".fer-batch.lock"

log = logging.getLogger(__name__)


class FolderLock:
    """A context manager that holds a folder, and makes it where it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / LOCK_FILE

    def __enter__(self) -> FolderLock:
        """Raises UsageError where another process holds the folder."""
        while True:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._lock()
            except BaseException:
                os.close(self._descriptor)
                raise
            if self._is_in_place():
                break
            os.close(self._descriptor)  # Its last holder has just taken it away with the folder.
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, str(os.getpid()).encode())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):  # The disk may be full, the folder gone.
            os.truncate(self._descriptor, 0)
            if os.listdir(self._folder) == [LOCK_FILE]:  # Nothing came of it: nothing is left of it.
                os.unlink(self._file)
                os.rmdir(self._folder)
        os.close(self._descriptor)

    def check(self) -> None:
        """Raise FileNotFoundError where the folder has gone or is another one, such as the mount point of a disk that
        was unplugged: what is written there now would be half of the tables."""
        if not self._is_in_place():
            raise FileNotFoundError(errno.ENOENT, "the output folder has gone since the run began", str(self._folder))

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._file))
        except OSError:
            return False

    def _lock(self) -> None:
        try:
            _lock_at_once(self._descriptor)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                holder = os.pread(self._descriptor, 20, 0).decode() if hasattr(os, "pread") else ""
                who = f"process {holder}" if holder else "another process"
                raise UsageError(f"{self._folder}: a run is at work there ({who}); wait for it or stop it") from None
            log.warning("%s can't be locked (%s); see that no other run uses it", self._folder, error.strerror)


def _lock_at_once(descriptor: int) -> None:
    """Take the lock or raise OSError. The far byte, since on Windows what is locked can't be read."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:  # pragma: no cover
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(descriptor, 0, os.SEEK_SET)
