"""One run at a time in an output folder. The system holds the lock and frees it when the process ends, however it ends:
what a dead run leaves is an empty promise that is in nobody's way. A store has no such locks; there a holder gives
signs of life."""

from __future__ import annotations

import errno
import logging
import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from fer_batch import storage
from fer_batch.errors import UsageError
from fer_batch.tables.layout import LOCK_FILE

#: On a store, the seconds between two signs of life of a holder, and those without one after which it counts as dead.
BEAT, PATIENCE = 5.0, 30.0

log = logging.getLogger(__name__)


def hold(folder: Path) -> FolderLock | StoreLock:
    """The lock of an output folder, here or on a store."""
    return FolderLock(folder) if isinstance(folder, Path) else StoreLock(folder)


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


class StoreLock:
    """The same on an object store, by an object that its holder writes anew every few seconds.

    Who finds one watches it: if it changes, its holder is alive; if it does not for `PATIENCE` seconds, the holder is
    dead and is followed. Of two who come at once the store's conditional write lets one pass, or, where both follow the
    same dead one, the last word counts, which each reads again a beat later. A holder that was cut off for as long as
    it would count as dead does not write any more.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._object = folder, folder / LOCK_FILE
        self._name = f"process {os.getpid()} on {platform.node()}, {uuid.uuid4().hex}"
        self._leaving = threading.Event()
        self._lost: str | None = None
        self._last_beat = 0.0
        self._beats = 0

    def __enter__(self) -> StoreLock:
        """Raises UsageError where another run holds the folder, or nothing can be written there."""
        try:
            self._take()
        except OSError as error:
            raise UsageError(f"--out {self._folder}: can't be written to ({error})") from error
        self._heart = threading.Thread(target=self._beat, daemon=True, name="lock")
        self._heart.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leaving.set()
        self._heart.join()
        with suppress(OSError):  # The store may be out of reach.
            if self._holder() == self._name:
                self._object.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise OSError where another run may hold the folder by now."""
        if self._lost is None and time.monotonic() - self._last_beat > PATIENCE:
            self._lost = "the store was out of reach for too long"
        if self._lost is not None:
            raise OSError(f"{self._folder}: no longer held by this run ({self._lost})")

    def _take(self) -> None:
        before = self._read()
        if before is None:
            with suppress(FileExistsError):
                self._write(new=True)
                return
            before = self._read()
        until = time.monotonic() + PATIENCE
        if before is not None:
            log.info("%s: a run was at work there; seeing whether it still is", self._folder)
        while before is not None and time.monotonic() < until:
            time.sleep(BEAT / 5)
            if (now := self._read()) is not None and now != before:
                self._refuse(now)
            before = now
        self._write()
        time.sleep(BEAT)
        if self._holder() != self._name:
            self._refuse(self._read())

    def _refuse(self, content: bytes | None) -> NoReturn:
        who = _who(content) or "another one"
        raise UsageError(f"{self._folder}: a run is at work there ({who}); wait for it or stop it")

    def _beat(self) -> None:
        while not self._leaving.wait(BEAT):
            with suppress(OSError):  # Tried again; `check` knows for how long.
                holder = self._holder()
                if holder != self._name:
                    self._lost = f"taken over by {holder}" if holder else "its lock has gone"
                    return
                if time.monotonic() - self._last_beat < PATIENCE:  # Or another one may be about to take it.
                    self._write()

    def _write(self, new: bool = False) -> None:
        before = time.monotonic()
        self._beats += 1
        storage.put(self._object, f"{self._name}\n{self._beats}".encode(), new)
        self._last_beat = before

    def _read(self) -> bytes | None:
        try:
            return bytes(storage.read_whole(self._object))
        except FileNotFoundError:
            return None

    def _holder(self) -> str | None:
        return _who(self._read())


def _who(content: bytes | None) -> str | None:
    return content.decode(errors="replace").split("\n")[0] if content else None


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
