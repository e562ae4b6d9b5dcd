"""How many processors and how much memory this process may use: those of the machine, less what a container allows.

Containers are limited by control groups (cgroups), of which the number of processors that the system reports says
nothing. Formats: https://docs.kernel.org/admin-guide/cgroup-v2.html and .../cgroup-v1/.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

#: Memory of a worker that reads 4K video, and of the main process with its classifier. Bytes.
WORKER_BYTES, MAIN_BYTES = 400 << 20, 1 << 30
#: Above this a cgroup's memory limit means none: version 1 states the largest number of pages.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Resources:
    """What this process may use.

    Attributes:
        processors: Those it may run on.
        cpu_quota: Processors whose time it may take; None without a quota.
        memory_bytes: The machine's memory or, where that is less, the container's; None where unknown.
        memory_limited: Whether that is the container's.
    """

    processors: int
    cpu_quota: float | None = None
    memory_bytes: int | None = None
    memory_limited: bool = False

    @property
    def cores(self) -> int:
        """How many processes or threads can compute at the same time."""
        return self.processors if self.cpu_quota is None else max(1, min(self.processors, ceil(self.cpu_quota)))

    @property
    def workers(self) -> int:
        """How many workers a run has by default: one for each core, as far as there is memory for them."""
        if self.memory_bytes is None:
            return self.cores
        return max(1, min(self.cores, (self.memory_bytes - MAIN_BYTES) // WORKER_BYTES))

    @property
    def reason(self) -> str:
        """Why so many workers, for people."""
        reason = f"{self.processors} processors"
        if self.cpu_quota is not None:
            reason += f", a CPU quota of {self.cpu_quota:g}"
        if self.memory_bytes is not None:
            whose = "a memory limit" if self.memory_limited else "a memory"
            rule = f"{WORKER_BYTES >> 20} MiB a worker and {MAIN_BYTES >> 20} MiB besides"
            reason += f", {whose} of {self.memory_bytes / 2**30:.1f} GiB ({rule})"
        return reason


def available_resources(root: Path = Path("/")) -> Resources:
    """What this process may use. `root`: where `proc` and `sys` are found."""
    memory, limit = _machine_memory(root), min(_memory_limits(root), default=None)
    limited = limit is not None and (memory is None or limit < memory)
    return Resources(_processors(), min(_cpu_quotas(root), default=None), limit if limited else memory, limited)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # Schedulers often allow fewer than there are.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _machine_memory(root: Path) -> int | None:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _cpu_quotas(root: Path) -> Iterator[float]:
    """The quotas of this process's cgroup and those it is in, in processors."""
    for folder in _cgroup_folders(root, "cpu"):
        fields = _read(folder / "cpu.max").split() or [
            _read(folder / "cpu.cfs_quota_us").strip(),
            _read(folder / "cpu.cfs_period_us").strip(),
        ]
        if len(fields) == 2 and fields[0].isdecimal() and fields[1].isdecimal() and int(fields[1]):
            yield int(fields[0]) / int(fields[1])


def _memory_limits(root: Path) -> Iterator[int]:
    """The memory limits of this process's cgroup and those it is in, in bytes."""
    for folder in _cgroup_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name).strip()
            if text.isdecimal() and 0 < int(text) < _NO_LIMIT:
                yield int(text)


def _cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's cgroup and of those it is in, by either version. In a container its own is often
    mounted as the topmost, whatever /proc calls it."""
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            tops = [mount, mount / "unified"]
        elif controller in controllers.split(","):
            tops = [mount / controllers, mount / controller]
        else:
            continue
        steps = [part for part in path.split("/") if part not in ("", "..")]
        for top in tops:
            yield from (top.joinpath(*steps[:depth]) for depth in range(len(steps) + 1))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
