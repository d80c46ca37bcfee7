"""Upgrades that concern a net of any format: its input fields become an Input layer, and the learning rates of
statistics become 0, because these are measured."""

from __future__ import annotations

from caffe_fcn import schema
from caffe_fcn.errors import NetError
from caffe_fcn.schema import Message

_LEGACY_INPUT_AXES = 4
"""The numbers per input in `input_dim`: num, channels, height and width, for one input after the other."""

SHAPE_HINT = "add input_shape { dim: 1 dim: 3 dim: 224 dim: 224 }, with the extents of the net, after it"
"""The hint how to give the shape of an input field."""

_BATCH_NORM_BLOBS = 3


def has_legacy_inputs(net: Message) -> bool:
    """Return whether NET declares its inputs in its own fields, not in an Input layer."""
    return len(net.input) > 0


def has_legacy_batch_norm(net: Message) -> bool:
    """Return whether the solver would train or decay one of the three statistics of a BatchNorm layer."""
    return any(_trains_statistics(layer) for layer in net.layer)


def input_layer(net: Message, source: str) -> Message | None:
    """Return the Input layer for the `input` fields of NET, with their shapes if NET gives them; None if no input is
    left. Raises NetError if only some have shapes; its place begins with SOURCE.

    Caffe drops inputs without a shape. Here those that no layer makes are kept, so that the caller can give their
    shape.
    """
    names = list(net.input)
    shapes = [[*shape.dim] for shape in net.input_shape]
    if not shapes:
        last = len(net.input_dim) - _LEGACY_INPUT_AXES
        starts = range(0, last + 1, _LEGACY_INPUT_AXES)
        shapes = [[*net.input_dim[start : start + _LEGACY_INPUT_AXES]] for start in starts]
    if net.input_shape or net.input_dim:
        if len(shapes) < len(names):
            expected = f"an input_shape or {_LEGACY_INPUT_AXES} input_dim for each of {len(names)} inputs"
            found = f"{len(net.input_shape)} input_shape and {len(net.input_dim)} input_dim"
            raise NetError(source=source, expected=expected, found=found)
    else:
        layers = (*net.layer, *net.layers)
        made = {top for layer in layers for top in layer.top if top not in layer.bottom}
        names = [name for name in names if name not in made]
    if not names:
        return None
    layer = schema.LayerParameter(name="input", type="Input", top=names)
    for shape in shapes[: len(names)]:  # Caffe ignores further values
        layer.input_param.shape.add(dim=shape)
    return layer


def upgrade_inputs(net: Message, source: str) -> bool:
    """Replace the input fields by an Input layer at the front, if an input is left; return whether there is one."""
    layer = input_layer(net, source)
    for name in ("input", "input_shape", "input_dim"):
        net.ClearField(name)
    if layer is not None:
        net.layer.insert(0, layer)
    return layer is not None


def _trains_statistics(layer: Message) -> bool:
    if layer.type != "BatchNorm" or len(layer.param) != _BATCH_NORM_BLOBS:
        return False
    return any(param.lr_mult or param.decay_mult for param in layer.param)


def freeze_statistics(net: Message) -> None:
    """Set the learning rates of BatchNorm's mean, variance and factor to 0: they are measured, not learned."""
    for layer in filter(_trains_statistics, net.layer):
        for param in layer.param:
            param.lr_mult = param.decay_mult = 0
