"""Selects the net of a file to be run: in one phase, with its weights and all its shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.errors import ShapeError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.model.opening import meet
from caffe_fcn.net.layers.data import tells_size
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.shapes import Shape, infer_shapes, show
from caffe_fcn.net.sizes import other_parameters
from caffe_fcn.net.source import SourceNet
from caffe_fcn.onnx.scope import Scope, choose_scope

Size = tuple[int, int]

_IMAGE = 4
"""The number of axes of a blob of images."""

_LARGER = 512
"""A net is tried this many pixels larger, to find out whether it accepts pictures of any size."""


class OneNet(NamedTuple):
    """A net to be run, its weights, with headers added if they had none, and NOTES on both."""

    net: ShapedNet
    weights: WeightFile
    notes: tuple[str, ...]


def one_net(source: SourceNet, weights: WeightFile, selection: Selection = ANY_NET) -> OneNet:
    """Return the net of SOURCE in the phase of SELECTION, by default TEST, and its WEIGHTS.

    Raises NetError or ShapeError for a net that Caffe could not build.
    """
    found = meet(source, weights, selection, every=False)
    return OneNet(ShapedNet(found.graph, found.shapes[found.phase]), found.completed or weights, found.notes)


def one_net_for(
    source: SourceNet,
    weights: WeightFile,
    selection: Selection,
    blobs: Sequence[str],
    like: Callable[[int], Size | None] | None,
) -> OneNet:
    """Return the same as `one_net`. If the net does not define the size of its pictures, and several sizes fit its
    weights, the size is that of LIKE, if it fits. LIKE gets the number of channels.

    For example, LeNet's train_test has the same weights for 25 to 28 pixels, because its pooling rounds.
    """
    found = one_net(source, weights, selection)
    if like is None:
        return found
    scope = choose_scope(*found.net, blobs)
    shapes = [scope.shapes.blobs[blob] for blob in scope.inputs]
    if len(shapes) != 1 or not isinstance(shapes[0], tuple) or len(shapes[0]) != _IMAGE:
        return found
    (fed,), shape = scope.inputs, shapes[0]
    if fed.name in selection.given or tells_size(scope.graph.producer[fed].layer):
        return found
    size = like(shape[1])
    if size in (None, shape[2:]) or size is None or not _fixed(scope, fed.name, shape):
        return found
    wanted = (*shape[:2], *size)
    if not _fits(scope, {fed.name: wanted}):
        return found
    chosen = one_net(source, weights, replace(selection, shapes={**selection.given, fed.name: wanted}))
    told = (
        f"the net does not define the size of its pictures; used {show(size)}, the size of the first picture, "
        "which fits its weights"
    )
    return chosen._replace(notes=(*chosen.notes, told))


def _fixed(scope: Scope, fed: str, shape: Shape) -> bool:
    """Return whether the net in SCOPE, with input FED of SHAPE, has other parameters for a much larger input."""
    return not _fits(scope, {fed: (*shape[:2], shape[2] + _LARGER, shape[3] + _LARGER)})


def _fits(scope: Scope, given: Mapping[str, Shape]) -> bool:
    """Return whether the parameters of the net in SCOPE stay the same for inputs of the shapes GIVEN."""
    try:
        return other_parameters(scope.graph, scope.shapes, infer_shapes(scope.graph, given=given)) is None
    except ShapeError:
        return False
