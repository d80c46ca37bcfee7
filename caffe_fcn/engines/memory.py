"""Determines how much memory this process may still use on Linux: on the machine, and within its control groups.

Memory that the kernel can free at once, such as cached pages of files, counts as free.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

_KIB = 1024


def free_memory(root: str = "/") -> int | None:
    """Return the number of bytes that this process may still use, by the files of the system under ROOT; None if
    unknown."""
    known = [_available(root), *_left_by_groups(root)]
    found = [each for each in known if each is not None]
    return max(0, min(found)) if found else None


def _available(root: str) -> int | None:
    """Return the available memory of the machine, by /proc/meminfo."""
    kib = _entry(_text(root, "proc/meminfo"), "MemAvailable:")
    return None if kib is None else kib * _KIB


def _left_by_groups(root: str) -> Iterator[int]:
    """Return what is left within the limit of each control group of the process, and of the groups around it."""
    for line in _text(root, "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if not controllers:  # version 2
            for mount in ("sys/fs/cgroup", "sys/fs/cgroup/unified"):
                yield from _left_along(root, mount, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left_along(root, "sys/fs/cgroup/memory", path, *names)


def _left_along(root: str, mount: str, path: str, limit: str, usage: str, idle: str) -> Iterator[int]:
    """Return what is left in the group at PATH under MOUNT and in those around it, by the files LIMIT and USAGE and the
    entry IDLE of memory.stat. In a container the path may be that outside of it, and the group is at MOUNT itself."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        group = os.path.join(mount, *parts[:depth])
        most, taken = (_entry(_text(root, os.path.join(group, name))) for name in (limit, usage))
        if most is not None and taken is not None:
            reclaimable = _entry(_text(root, os.path.join(group, "memory.stat")), idle) or 0
            yield most - max(0, taken - reclaimable)


def _entry(text: str, name: str = "") -> int | None:
    """Return the number in the line of TEXT that begins with NAME, or in its first line; None if there is none."""
    for line in text.splitlines():
        words = line.split()
        if words and (not name or words[0] == name):
            number = words[1] if name and len(words) > 1 else words[0]
            return int(number) if number.isdecimal() else None
    return None


def _text(root: str, path: str) -> str:
    """Return the text of the file PATH under ROOT; "" if it cannot be read."""
    try:
        with open(os.path.join(root, path), encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
