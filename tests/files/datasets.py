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

from caffe_fcn.files.caffemodel import WeightFile
from tests.files.encodings import matrix
from tests.paths import GOLDEN, ROOT

CAFFES = GOLDEN / "conversions" / "lenet" / "variants" / "net.caffemodel.h5"
"""A file that the reference Caffe has written."""

ARRAY = matrix(6, 20)
Fill = Callable[[Any], object]
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


def indexed(weights: WeightFile) -> Blobs:
    """What WEIGHTS holds, as `read` gives it."""
    return {
        record.name: {
            str(position): weights.read_values(blob, 0, blob.count).reshape(blob.shape)
            for position, blob in enumerate(record.blobs)
            if not blob.absent
        }
        for record in weights.layers
    }


def bfloat(bits: bool = True) -> Any:
    """A type of numbers that numpy lacks: bfloat16, or a float32 with another bias."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    if bits:
        kind.set_fields(15, 7, 8, 0, 7)
        kind.set_size(2)
    else:
        kind.set_ebias(126)
    return kind


def of_type(kind: Any) -> Fill:
    def fill(file: Any) -> None:
        space = h5py.h5s.create_simple(ARRAY.shape)
        dataset = h5py.h5d.create(file.create_group("data/fc").id, b"0", kind, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, (ARRAY % 128).astype("<f4"))
        file["behind"] = np.zeros(1000)  # or reading too much would be reading beyond the end

    return fill


def stored(**options: Any) -> Fill:
    kind = options.pop("kind", "<f4")
    return lambda file: file.create_dataset("data/fc/0", data=(ARRAY % 128).astype(kind), **options)


def compact(file: Any) -> None:
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(ARRAY.shape)
    dataset = h5py.h5d.create(file.create_group("data/fc").id, b"0", h5py.h5t.IEEE_F32LE, space, layout)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, (ARRAY % 128).astype("<f4"))


WAYS: dict[str, tuple[Fill, str]] = {
    "contiguous": (stored(), "float32"),
    "doubles": (stored(kind="<f8"), "float64"),
    "halves": (stored(kind="<f2"), "float32"),
    "big-endian": (stored(kind=">f4"), "float32"),
    "big-endian doubles": (stored(kind=">f8"), "float64"),
    "big-endian halves in chunks": (stored(kind=">f2", chunks=(4, 3)), "float32"),
    "chunks": (stored(chunks=(4, 7)), "float32"),
    "chunks larger than the array": (stored(chunks=(10, 30), maxshape=(None, None)), "float32"),
    "gzip": (stored(chunks=(5, 3), compression="gzip", shuffle=True, fletcher32=True), "float32"),
    "lzf": (stored(chunks=(2, 20), compression="lzf"), "float32"),
    "doubles in gzip": (stored(kind="<f8", compression="gzip"), "float64"),
    "compact": (compact, "float32"),
    "bfloat16": (of_type(bfloat()), "float32"),
    "another bias": (of_type(bfloat(False)), "float64"),
}
