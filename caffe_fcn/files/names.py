"""What the name of a file says of its kind: one table of endings, for every command and for the library.

An ending that is not in the table says nothing, and any file may have it.
"""

from __future__ import annotations

import os
from enum import Enum


class Kind(Enum):
    """A kind of file. The value is what messages call it."""

    TEXT = "a prototxt"
    WEIGHTS = "weights"
    ONNX = "an ONNX model"
    PICTURE = "a picture"
    ARRAY = "an array of NumPy"


HDF5_ENDINGS = (".h5", ".hdf5")
"""What the name of weights in HDF5 ends in."""

ENDINGS: dict[Kind, tuple[str, ...]] = {
    Kind.TEXT: (".prototxt", ".pbtxt"),
    Kind.WEIGHTS: (".caffemodel", *HDF5_ENDINGS),
    Kind.ONNX: (".onnx",),
    Kind.PICTURE: (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    Kind.ARRAY: (".npy", ".npz"),
}


def kind_of(path: str | os.PathLike[str]) -> Kind | None:
    """The kind that the name PATH is one of, in any case of letters; None where it says nothing."""
    name = os.fspath(path).lower()
    return next((kind for kind, endings in ENDINGS.items() if name.endswith(endings)), None)


def check_kind(path: str | os.PathLike[str], *kinds: Kind) -> None:
    """Raise ValueError where PATH, the name of an output, is a name for another kind of file than KINDS."""
    found = kind_of(path)
    if found is not None and found not in kinds:
        expected = " or ".join(kind.value for kind in kinds)
        endings = ", ".join(ending for kind in kinds for ending in ENDINGS[kind])
        raise ValueError(
            f"{os.fspath(path)}: expected a name for {expected} ({endings}), found one for {found.value}; "
            "choose another name"
        )


def is_hdf5_name(path: str | os.PathLike[str]) -> bool:
    """Whether an output called PATH is to be an HDF5 file."""
    return os.fspath(path).lower().endswith(HDF5_ENDINGS)
