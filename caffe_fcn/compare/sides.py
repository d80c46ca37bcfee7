"""Opens what `diff` compares: a net, weights, or both, in files of any format."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from caffe_fcn.compare.held import HeldBlobs, held_in_file, held_in_onnx
from caffe_fcn.compare.records import DiffFile
from caffe_fcn.display import printable, some
from caffe_fcn.errors import CaffeFcnError, NetError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.initializers import is_onnx, open_initializers
from caffe_fcn.files.prototxt import is_text_file
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.fitting import blob_shapes
from caffe_fcn.net.shapes import Shape
from caffe_fcn.net.source import SourceNet, net_of_weights, open_either, unforked


class DiffSide(NamedTuple):
    """One of the two nets. SOURCE: the net, None if there is only weights. HELD: the weights, None if there are none.
    SHAPES: those of the blobs in a caffemodel or HDF5, by layer."""

    told: DiffFile
    source: SourceNet | None
    held: HeldBlobs | None
    shapes: dict[str, list[Shape]]
    notes: tuple[str, ...] = ()


def open_side(
    stack: ExitStack, paths: Sequence[str], names: Sequence[str | None] = (), fork: str | None = None
) -> DiffSide:
    """Open a prototxt, weights, or a prototxt and weights, in PATHS, until STACK closes. The contents show what they
    are. Messages call the files NAMES; FORK is the Caffe that wrote a caffemodel without a prototxt.

    Raises CaffeFcnError; OSError if a prototxt cannot be read.
    """
    names = [*names, *[None] * (len(paths) - len(names))]
    if is_prototxt(paths[0]):
        opened = open_either(paths[0], names[0])
        if not isinstance(opened, SourceNet):
            opened.close()
            raise CaffeFcnError("it changed while it was read", source=names[0] or paths[0])
        source = unforked(opened, fork)
        weights = _weights(stack, paths[1], names[1]) if len(paths) > 1 else None
        return side_of(source, weights)
    weights = _weights(stack, paths[0], names[0])
    return side_of(None, weights, fork)


def is_prototxt(path: str) -> bool:
    """Whether the file at PATH is a prototxt, and no weights. Raises OSError, CaffemodelError if it cannot be read."""
    return is_text_file(path) and not is_onnx(path)  # the beginning of an ONNX file may be text


def side_of(source: SourceNet | None, weights: WeightFile | HeldBlobs | None, fork: str | None = None) -> DiffSide:
    """The side of SOURCE and its WEIGHTS, which are open; the net inside a caffemodel if there is no other."""
    notes: list[str] = []
    if source is None and isinstance(weights, WeightFile) and not weights.bare:
        try:
            source = net_of_weights(weights, fork)
        except NetError as error:
            notes.append(f"the net inside cannot be compared: {error}")
    if isinstance(weights, HeldBlobs) and weights.unread:
        names = some([repr(printable(name)) for name in weights.unread], 3)
        notes.append(f"initializers of other names or types are not compared: {names}")
    held = held_in_file(weights) if isinstance(weights, WeightFile) else weights
    files = [source.name] if source is not None and not source.from_weights else []
    shapes = blob_shapes(weights) if isinstance(weights, WeightFile) else {}
    net_format = None if source is None else source.format
    told = DiffFile((*files, *([held.path] if held else [])), net_format, _format(weights))
    return DiffSide(told, source, held, shapes, tuple(notes))


def _weights(stack: ExitStack, path: str, name: str | None) -> WeightFile | HeldBlobs:
    if is_onnx(path, name):
        return held_in_onnx(stack.enter_context(open_initializers(path, name)))
    return stack.enter_context(open_weights(path, name))


def _format(weights: WeightFile | HeldBlobs | None) -> str | None:
    if isinstance(weights, WeightFile):
        return weights.layers[0].format
    return None if weights is None else "ONNX"
