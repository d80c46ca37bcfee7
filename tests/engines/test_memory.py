"""How much memory is free, by the files of several systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.engines.memory import free_memory

GIB = 1 << 30
MEMINFO = f"MemTotal: {16 << 20} kB\nMemFree: {1 << 20} kB\nMemAvailable: {8 << 20} kB\n"
V1, V2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"
NONE = "9223372036854771712"
V1_NAMES = ("memory.limit_in_bytes", "memory.usage_in_bytes")
V2_NAMES = ("memory.max", "memory.current")


def group(place: str, names: tuple[str, str], limit: object, used: int, idle: str = "") -> dict[str, str]:
    """The files of the control group at PLACE."""
    told = {f"{place}/{names[0]}": f"{limit}\n", f"{place}/{names[1]}": f"{used}\n"}
    return told | ({f"{place}/memory.stat": f"cache 5\n{idle}\n"} if idle else {})


SYSTEMS: dict[str, tuple[dict[str, str], int | None]] = {
    "nothing is told": ({}, None),
    "no groups": ({"proc/meminfo": MEMINFO}, 8 * GIB),
    "an old kernel": ({"proc/meminfo": "MemTotal: 5 kB\nMemFree: 4 kB\n"}, None),
    "damaged": ({"proc/meminfo": "MemAvailable:\n\nMemAvailable: many kB\n", "proc/self/cgroup": "0\n::\n"}, None),
    "version 1": (
        {"proc/meminfo": MEMINFO, "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/\n"}
        | group(f"{V1}/a/b", V1_NAMES, 4 * GIB, 3 * GIB, f"inactive_file 1\ntotal_inactive_file {GIB}")
        | group(V1, V1_NAMES, NONE, 9 * GIB),
        2 * GIB,
    ),
    "version 2, the limit around": (
        {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a/b\n"}
        | group(f"{V2}/a/b", V2_NAMES, "max", 5)
        | group(f"{V2}/a", V2_NAMES, 3 * GIB, GIB, f"inactive_file {GIB // 2}"),
        3 * GIB - GIB // 2,
    ),
    "in a container": (
        {"proc/meminfo": MEMINFO, "proc/self/cgroup": "4:memory:/docker/0123\n"} | group(V1, V1_NAMES, GIB, GIB // 4),
        3 * GIB // 4,
    ),
    "more taken than allowed": (
        {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n"} | group(V2, V2_NAMES, GIB, 2 * GIB),
        0,
    ),
    "out of the tree": ({"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/../../..\n"}, 8 * GIB),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_is_free(name: str, tmp_path: Path) -> None:
    files, expected = SYSTEMS[name]
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    assert free_memory(str(tmp_path)) == expected
