"""One run at a time in an output folder. The system holds the lock and frees it when the process ends, however it ends:
the lock file of a killed run is stale and blocks nobody. An object store has no such locks; there the holder of the
lock rewrites an object every few seconds, as a heartbeat."""

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
from typing import NoReturn, Protocol

from fer_batch import storage
from fer_batch.errors import UsageError
from fer_batch.tables.layout import LOCK_FILE

#: On an object store, the seconds between two heartbeats, and those without one after which a lock is stale.
HEARTBEAT_S, STALE_AFTER_S = 5.0, 30.0

log = logging.getLogger(__name__)


class FolderLock(Protocol):
    """A context manager that locks an output folder for this process."""

    def __enter__(self) -> FolderLock:
        """Raises UsageError where another run has the folder locked."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Unlock the folder."""
        ...

    def check(self) -> None:
        """Raise OSError where the folder is not locked by this process any more, or has gone."""
        ...


def lock_folder(folder: Path) -> FolderLock:
    """The lock of an output folder, on this machine or on an object store."""
    return HeartbeatLock(folder) if storage.is_url(folder) else SystemLock(folder)


class SystemLock:
    """A `FolderLock` by the operating system. Makes the folder where it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / LOCK_FILE

    def __enter__(self) -> SystemLock:
        """Raises UsageError where another process has the folder locked."""
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
            os.close(self._descriptor)  # Its last holder has just removed it with the folder.
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, str(os.getpid()).encode())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):  # The disk may be full, the folder gone.
            os.truncate(self._descriptor, 0)
            if os.listdir(self._folder) == [LOCK_FILE]:  # The run left nothing: no empty folder stays.
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
            _try_to_lock(self._descriptor)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                holder = os.pread(self._descriptor, 20, 0).decode() if hasattr(os, "pread") else ""
                who = f"process {holder}" if holder else "another process"
                raise UsageError(
                    f"{self._folder}: another process is writing there ({who}); wait for it or stop it"
                ) from None
            log.warning("%s can't be locked (%s); see that no other run uses it", self._folder, error.strerror)


class HeartbeatLock:
    """A `FolderLock` on an object store, by an object that its holder rewrites every few seconds.

    A run that finds such an object watches it: if it changes, its holder is alive; if it does not for `STALE_AFTER_S`
    seconds, it is stale and is replaced. Of two runs that begin at once the store's conditional write lets one pass;
    where both replace the same stale object, the last write counts, which each reads again a heartbeat later. A holder
    that was cut off for as long as its lock would be stale does not write any more.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._object = folder, folder / LOCK_FILE
        self._name = f"process {os.getpid()} on {platform.node()}, {uuid.uuid4().hex}"
        self._released = threading.Event()
        self._lost: str | None = None
        self._last_heartbeat = 0.0
        self._heartbeats = 0

    def __enter__(self) -> HeartbeatLock:
        """Raises UsageError where another run has the folder locked, or nothing can be written there."""
        try:
            self._take()
        except OSError as error:
            raise UsageError(f"--out {self._folder}: can't be written to ({error})") from error
        self._thread = threading.Thread(target=self._send_heartbeats, daemon=True, name="lock")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._released.set()
        self._thread.join()
        with suppress(OSError):  # The store may be out of reach.
            if self._holder_now() == self._name:
                self._object.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise OSError where another run may have locked the folder by now."""
        if self._lost is None and time.monotonic() - self._last_heartbeat > STALE_AFTER_S:
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
        until = time.monotonic() + STALE_AFTER_S
        if before is not None:
            log.info(
                "%s: another run has a lock there; checking for %g s whether it is alive", self._folder, STALE_AFTER_S
            )
        while before is not None and time.monotonic() < until:
            time.sleep(HEARTBEAT_S / 5)
            if (now := self._read()) is not None and now != before:
                self._refuse(now)
            before = now
        self._write()
        time.sleep(HEARTBEAT_S)
        if self._holder_now() != self._name:
            self._refuse(self._read())

    def _refuse(self, content: bytes | None) -> NoReturn:
        who = _holder_in(content) or "unknown process"
        raise UsageError(f"{self._folder}: another process is writing there ({who}); wait for it or stop it")

    def _send_heartbeats(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            with suppress(OSError):  # Tried again; `check` says for how long.
                holder = self._holder_now()
                if holder != self._name:
                    self._lost = f"taken over by {holder}" if holder else "its lock has gone"
                    return
                if time.monotonic() - self._last_heartbeat < STALE_AFTER_S:  # Or another one may be about to take it.
                    self._write()

    def _write(self, new: bool = False) -> None:
        before = time.monotonic()
        self._heartbeats += 1
        storage.put(self._object, f"{self._name}\n{self._heartbeats}".encode(), new)
        self._last_heartbeat = before

    def _read(self) -> bytes | None:
        try:
            return bytes(storage.read_whole(self._object))
        except FileNotFoundError:
            return None

    def _holder_now(self) -> str | None:
        return _holder_in(self._read())


def _holder_in(content: bytes | None) -> str | None:
    return content.decode(errors="replace").split("\n")[0] if content else None


def _try_to_lock(descriptor: int) -> None:
    """Take the lock or raise OSError. The far byte, since on Windows what is locked can't be read."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:  # pragma: no cover
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(descriptor, 0, os.SEEK_SET)
