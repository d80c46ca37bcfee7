"""Tells the kind of a file by its name: one table of endings, for every command and for the library.

Other endings are allowed for every kind of file.
"""

from __future__ import annotations

import os
from enum import Enum


class Kind(Enum):
    """A kind of file. The value is its name in messages."""

    TEXT = "a prototxt"
    WEIGHTS = "weights"
    ONNX = "an ONNX model"
    PICTURE = "a picture"
    ARRAY = "an array of NumPy"
    PAGE = "an HTML page"
    DRAWING = "a drawing"


HDF5_ENDINGS = (".h5", ".hdf5")
"""The endings of names of HDF5 weights."""

ENDINGS: dict[Kind, tuple[str, ...]] = {
    Kind.TEXT: (".prototxt", ".pbtxt"),
    Kind.WEIGHTS: (".caffemodel", *HDF5_ENDINGS),
    Kind.ONNX: (".onnx",),
    Kind.PICTURE: (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    Kind.ARRAY: (".npy", ".npz"),
    Kind.PAGE: (".html", ".htm"),
    Kind.DRAWING: (".svg", ".dot", ".gv"),
}


def kind_of(path: str | os.PathLike[str]) -> Kind | None:
    """Return the kind of file for the name PATH, in any case of letters; None if the ending is not in the table."""
    name = os.fspath(path).lower()
    return next((kind for kind, endings in ENDINGS.items() if name.endswith(endings)), None)


def check_kind(path: str | os.PathLike[str], *kinds: Kind) -> None:
    """Raise ValueError if the name PATH of an output is for a kind of file that is not in KINDS."""
    found = kind_of(path)
    if found is not None and found not in kinds:
        expected = " or ".join(kind.value for kind in kinds)
        endings = ", ".join(ending for kind in kinds for ending in ENDINGS[kind])
        raise ValueError(
            f"{os.fspath(path)}: expected a name for {expected} ({endings}), found one for {found.value}; "
            "choose another name"
        )


def is_hdf5_name(path: str | os.PathLike[str]) -> bool:
    """Return whether an output with the name PATH will be an HDF5 file."""
    return os.fspath(path).lower().endswith(HDF5_ENDINGS)
