"""Memory of the machine and of the container it may be."""

from __future__ import annotations

from pathlib import Path

import psutil

from hostler.hardware.host import cpu_facts, memory, memory_kills, physical_cores

MIB = 2**20


def put(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_this_machine() -> None:
    found = memory()
    assert 0 < found.total <= psutil.virtual_memory().total
    assert 0 <= found.available <= found.total


def test_without_any_cgroup_the_machine_counts(tmp_path: Path) -> None:
    assert memory(tmp_path).total == psutil.virtual_memory().total


def test_a_v2_limit_that_is_lower(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/memory.max": f"{100 * MIB}\n",
            "sys/fs/cgroup/a/memory.current": f"{60 * MIB}\n",
            "sys/fs/cgroup/a/memory.stat": f"anon {40 * MIB}\ninactive_file {20 * MIB}\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/b/memory.current": f"{60 * MIB}\n",
        },
    )
    found = memory(root)
    assert (found.total, found.available) == (100 * MIB, 60 * MIB)


def test_v2_limits_at_the_root_of_a_container(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "proc/self/cgroup": "0::/../other\n",
            "sys/fs/cgroup/memory.max": f"{50 * MIB}\n",
            "sys/fs/cgroup/memory.current": f"{70 * MIB}\n",
        },
    )
    found = memory(root)
    assert (found.total, found.available) == (50 * MIB, 0)


def test_a_v1_limit(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "proc/self/cgroup": "7:cpu:/x\n5:memory:/docker/1\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
            "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": f"{80 * MIB}\n",
            "sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes": f"{30 * MIB}\n",
            "sys/fs/cgroup/memory/docker/1/memory.stat": f"total_inactive_file {10 * MIB}\n",
        },
    )
    found = memory(root)
    assert (found.total, found.available) == (80 * MIB, 60 * MIB)


def test_this_processor() -> None:
    facts = cpu_facts()
    assert facts.model
    assert facts.cores == physical_cores() >= 1


def test_kills_for_want_of_memory_are_counted(tmp_path: Path) -> None:
    assert memory_kills(tmp_path) is None
    (tmp_path / "proc").mkdir()
    file = tmp_path / "proc" / "vmstat"
    file.write_text("nr_free_pages 12\noom_kill 7\nzone_reclaim_failed 0\n")
    assert memory_kills(tmp_path) == 7
    for odd in ("nr_free_pages 12\n", "oom_kill many\n", "oom_kill\n"):
        file.write_text(odd)
        assert memory_kills(tmp_path) is None
