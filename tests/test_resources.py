"""A container's limits decide how many workers there are, by either version of cgroups."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fer_batch import resources
from fer_batch.cli import app
from fer_batch.pipeline.resolve import choose_engine
from fer_batch.resources import Resources, available_resources

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root folder of a machine with 16 processors and 64 GiB."""
    monkeypatch.setattr(resources, "_processors", lambda: 16)
    write(tmp_path, "proc/meminfo", f"MemTotal:       {64 * GIB // 1024} kB\nMemFree:  1 kB\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_a_machine_without_limits_has_a_worker_for_each_processor(machine: Path) -> None:
    write(machine, "proc/self/cgroup", "0::/user.slice\n")
    write(machine, "sys/fs/cgroup/user.slice/cpu.max", "max 100000\n")
    write(machine, "sys/fs/cgroup/user.slice/memory.max", "max\n")
    assert available_resources(machine) == Resources(16, None, 64 * GIB)
    assert available_resources(machine).workers == 16


def test_cgroup_v2_limits_decide_the_number_of_workers(machine: Path) -> None:
    write(machine, "proc/self/cgroup", "0::/\n")
    write(machine, "sys/fs/cgroup/cpu.max", "250000 100000\n")
    write(machine, "sys/fs/cgroup/memory.max", f"{2 * GIB}\n")
    found = available_resources(machine)
    assert found == Resources(16, 2.5, 2 * GIB, True)
    assert (found.cores, found.workers) == (3, 2)
    assert found.reason.startswith("16 processors, a CPU quota of 2.5, a memory limit of 2.0 GiB (")


def test_cgroup_v1_limits_decide_the_number_of_workers(machine: Path) -> None:
    write(machine, "proc/self/cgroup", "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n0::/\n")
    write(machine, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "400000\n")
    write(machine, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    write(machine, "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{8 * GIB}\n")
    found = available_resources(machine)
    assert found == Resources(16, 4.0, 8 * GIB, True)
    assert found.workers == 4


def test_cgroup_v1_without_limits_limits_nothing(machine: Path) -> None:
    write(machine, "proc/self/cgroup", "5:memory:/\n4:cpu:/\n")
    write(machine, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(machine, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    write(machine, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert available_resources(machine) == Resources(16, None, 64 * GIB)


def test_the_tightest_limit_of_the_groups_that_contain_the_process_counts(machine: Path) -> None:
    write(machine, "proc/self/cgroup", "0::/kubepods/pod1/c1\n")
    for group, quota in (("kubepods", "max"), ("kubepods/pod1", "200000"), ("kubepods/pod1/c1", "800000")):
        write(machine, f"sys/fs/cgroup/{group}/cpu.max", f"{quota} 100000\n")
    assert available_resources(machine).cpu_quota == 2.0


def test_too_little_memory_for_one_worker_still_allows_one() -> None:
    assert Resources(8, None, GIB, True).workers == 1


def test_a_system_without_cgroups_is_known_by_its_processors(tmp_path: Path) -> None:
    assert available_resources(tmp_path).workers == available_resources(tmp_path).processors


def test_a_run_has_as_many_workers_as_the_container_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "available_resources", lambda: Resources(16, 2.0, 64 * GIB))
    assert choose_engine("local", None, None, None, "auto") == {"workers": 2}
    assert choose_engine("local", None, 5, None, "auto") == {"workers": 5}


def test_info_says_why_so_many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "available_resources", lambda: Resources(16, 2.0, 4 * GIB, True))
    shown = json.loads(CliRunner().invoke(app, ["info"]).stdout)["workers"]
    assert shown["default"] == 2
    assert "a CPU quota of 2" in shown["reason"]
