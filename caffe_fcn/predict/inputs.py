"""Reads inputs that a user gives for a comparison of nets: arrays, which are used unchanged, and pictures, which are
preprocessed as in `run`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from caffe_fcn.engines.protocol import Array, ShapedNet
from caffe_fcn.errors import EngineError, PictureError
from caffe_fcn.net.shapes import Shape
from caffe_fcn.onnx.scope import choose_scope
from caffe_fcn.predict.images.npy import npy_array
from caffe_fcn.predict.images.picture import Box, open_picture
from caffe_fcn.predict.means import read_mean, whole
from caffe_fcn.predict.options import PreparationOptions
from caffe_fcn.predict.preprocessing import Preprocessing, transform_of, with_defaults
from caffe_fcn.predict.resizing import resampled


class GivenInputs(NamedTuple):
    """Inputs given by the user, as ARRAYS, and NOTES on their preprocessing."""

    arrays: list[Array]
    notes: tuple[str, ...] = ()


def read_inputs(paths: Sequence[str], net: ShapedNet, preparation: PreparationOptions) -> GivenInputs:
    """Return the files PATHS as inputs of NET, and notes: a .npy unchanged; a picture at the nominal size, after
    PREPARATION, as with `run`.

    Raises EngineError if the net takes no pictures or an array has no numbers, PictureError if pictures and means do
    not fit the net or each other; OSError if a file cannot be read.
    """
    if all(path.lower().endswith(".npy") for path in paths):
        return GivenInputs([read_array(path) for path in paths])
    name, shape = _fed(net)
    stated = transform_of(net.graph, name)
    turned = preparation.column_major
    mean = None if preparation.mean is None else read_mean(preparation.mean).turned(turned)
    shape = (*shape[:2], shape[3], shape[2]) if turned else shape
    chosen = with_defaults(stated, mean, preparation.scale, preparation.swap_channels)
    chosen.steps.check(shape[1])
    told = chosen.steps.note(whole((shape[2], shape[3])))
    arrays = [
        read_array(path) if path.lower().endswith(".npy") else _prepared(path, shape, chosen.steps, turned)
        for path in paths
    ]
    return GivenInputs(arrays, (*chosen.notes, *([told] if told else [])))


def _fed(net: ShapedNet) -> tuple[str, Shape]:
    """Return the only input of NET for pictures, and its shape."""
    shapes = {blob.name: net.shapes.blobs[blob] for blob in choose_scope(*net).inputs}
    pictures = {name: shape for name, shape in shapes.items() if isinstance(shape, tuple) and len(shape) == 4}
    if len(shapes) != 1 or not pictures:
        found = ", ".join(map(repr, shapes)) or "none"
        raise EngineError(
            source=net.graph.source, expected="one input N×C×H×W for pictures", found=f"the inputs {found}"
        )
    return next(iter(pictures.items()))


def _prepared(path: str, shape: Shape, steps: Preprocessing, turned: bool) -> Array:
    """Return the picture at PATH as one input of SHAPE, C×H×W; if TURNED, transposed after that."""
    import numpy as np

    size = shape[2], shape[3]
    picture = resampled(open_picture(path, shape[1]), size)
    box = Box(0, 0, *size)
    made = steps.blob(picture.read(box), box, whole(size))
    return np.ascontiguousarray(made.swapaxes(1, 2)) if turned else made


def read_array(path: str) -> Array:
    """Return the array in the .npy file at PATH as float32. Raises PictureError unless all values are finite numbers;
    OSError if it cannot be read."""
    import numpy as np

    numbers: Array = npy_array(path).astype(np.float32)
    if not numbers.size or not np.isfinite(numbers).all():
        found = "NaN or infinity" if numbers.size else "none"
        raise PictureError(source=path, expected="finite numbers", found=found)
    return numbers
