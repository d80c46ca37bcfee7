"""Reads label images: the number of a class for each pixel, as an indexed or grey PNG or as a .npy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caffe_fcn.errors import PictureError
from caffe_fcn.files.reading import reading
from caffe_fcn.net.shapes import show
from caffe_fcn.predict.images.npy import MAGIC, npy_array, npy_header
from caffe_fcn.predict.images.picture import check_size, opened
from caffe_fcn.predict.options import MAX_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENDINGS = (".png", ".npy")
"""The endings of names of label images in a folder."""

_ROLE = "label image"
_AXES = 2
_MODES = frozenset(("1", "L", "P", "I", "I;16", "I;16B", "I;16L"))
"""The modes of pillow with one whole number per pixel; with a palette it is the index, not the colour."""
_LARGEST = 2**31


def read_label_image(path: str) -> NDArray[Any]:
    """Return the numbers in the label image at PATH, H×W, of an integer type.

    A .npy may have further axes of 1, and floating point values if all are whole. Raises PictureError if it is not a
    label image; ExtraError if pillow is needed and not installed; OSError if the file cannot be read.
    """
    import numpy as np

    with reading(path) as file:
        head = file.read(len(MAGIC))
    if head == MAGIC:
        return _of_npy(path)
    with opened(path, ("PNG",)) as image:
        check_size(path, image.height, image.width, MAX_PIXELS)
        if image.mode not in _MODES:
            raise PictureError(
                source=path,
                role=_ROLE,
                expected="an indexed or a grey PNG, whose pixels are class numbers",
                found=f"colours ({image.mode})",
            )
        return np.asarray(image).astype(np.uint8 if image.mode == "1" else None, copy=False)


def _of_npy(path: str) -> NDArray[Any]:
    import numpy as np

    shape = npy_header(path, _ROLE).shape
    spatial = tuple(extent for extent in shape[:-_AXES] if extent != 1)
    if len(shape) < _AXES or spatial or 0 in shape:
        raise PictureError(source=path, role=_ROLE, expected="H×W class numbers", found=show(shape))
    high, wide = shape[-_AXES:]
    check_size(path, high, wide, MAX_PIXELS)
    values = npy_array(path, _ROLE).reshape(high, wide)
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    inside = (values >= -_LARGEST) & (values < _LARGEST)  # False for NaN
    if not inside.all() or (values.dtype.kind == "f" and (values != np.floor(values)).any()):
        raise PictureError(source=path, role=_ROLE, expected="whole numbers", found=f"{values.dtype} with other values")
    return values.astype(np.int64) if values.dtype.kind == "f" or values.dtype.itemsize > 4 else values
