"""Weights in HDF5, made and read back by h5py alone."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from tests.paths import GOLDEN, ROOT

CAFFES = GOLDEN / "conversions" / "lenet" / "variants" / "net.caffemodel.h5"
"""A file that the reference Caffe has written."""

Blobs = dict[str, dict[str, np.ndarray]]
"""The blobs of each layer by what their datasets are called."""


def made(path: Path, fill: Callable[[Any], object], **options: Any) -> Path:
    """An HDF5 file at PATH, with what FILL puts into it."""
    with h5py.File(path, "w", **options) as file:
        fill(file)
    return path


def weights(path: Path, **layers: Sequence[np.ndarray | None]) -> Path:
    """Weights as Caffe writes them; None is a blob that is left to the layer it is shared with."""

    def fill(file: Any) -> None:
        for name, blobs in layers.items():
            group = file.create_group(f"data/{name}")
            for position, blob in enumerate(blobs):
                if blob is not None:
                    group[str(position)] = blob

    return made(path, fill)


def read(path: Path) -> Blobs:
    """All layers in the file at PATH, without blobs as well."""
    found: Blobs = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            found[name] = {}
        else:
            layer, position = name.rsplit("/", 1)
            found[layer][position] = item[()]

    with h5py.File(path) as file:
        file["data"].visititems(visit)
    return found


def same(one: Blobs, other: Mapping[str, Mapping[str, np.ndarray]]) -> bool:
    """Whether both have the same layers and blobs, of the same shapes and values."""
    assert {name: sorted(blobs) for name, blobs in one.items()} == {name: sorted(b) for name, b in other.items()}
    for name, blobs in one.items():
        for position, blob in blobs.items():
            assert blob.shape == other[name][position].shape, (name, position)
            np.testing.assert_array_equal(blob, other[name][position], err_msg=f"{name} {position}")
    return True


def memory(program: str, *arguments: str | Path) -> int:
    """The most memory, in MiB, that a process takes in which PROGRAM runs with ARGUMENTS."""
    # Told by the kernel of that image of a process; what getrusage tells begins with the memory of the parent.
    tail = '\nprint("peak", next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])'
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program) + tail, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split("peak")[1]) >> 10
