"""Finds the layers that give each channel a factor and a summand, and computes these numbers.

A row of `AFFINE` takes a layer and the number of channels of the layer before it. It says how the two numbers follow
from the parameter blobs of the layer, or why the layer is not of this kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers.normalization import stored_eps
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.net.shapes import Shapes, batch_norm_blobs

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS = 1
"""The axis of the channels for BatchNorm."""
_INFERENCE, _SCALE_AND_SHIFT = 1, 2
"""BNParameter.BNMode of SegNet, and how many blobs its BN has."""


class Why(Enum):
    """Why a layer stays; {} stands for the names of the reason."""

    BATCH = "it uses batch statistics"
    FOLLOWS = "follows {!r} ({}), which has no weights to fold it into"
    FOLLOWS_LEFT = "follows {!r}, which stays"
    IN_PLACE = "{!r} changes its top in place"
    NO_WEIGHTS = "the weights have no values for {!r}"
    OPERAND = "its factors or summands come from the blob {!r}"
    OTHER_AXIS = "its parameters run along other axes than the channels"
    OUTPUT = "its top {!r} is an output of the net"
    OUTPUT_OF_INPUT = "its top {!r} is an output of the net and its bottom an input"
    OUTPUT_OF_READ = "its top {!r} is an output of the net, and {!r} also reads its bottom"
    POWER = "its power is not 1"
    READ = "the output of {!r} is also read by {!r}"
    RECTIFIED = "{!r} has a ReLU of its own"
    SCALES = "it scales its input also outside of training (scale_train: false)"
    SEVERAL_TOPS = "{!r} makes several tops with the same weights"
    SHAPE = "the shape of the input of {!r} is unknown"
    SHARED = "{!r} shares parameters with {!r}, but the two would be folded in different ways"
    UNCOMPUTED = "the effect of {} is not supported"


Values: TypeAlias = "NDArray[Any] | float"


class Numbers(NamedTuple):
    """The FACTOR and the SUMMAND of each channel; a single number holds for all. SIZE: the sum of the magnitudes of the
    summand's terms, to which its rounding error is relative."""

    factor: Values
    summand: Values
    size: Values


class Affine(NamedTuple):
    """What a layer does to each channel: whether it SHIFTS it, and a function that computes its numbers from the values
    of its parameter blobs, flat and in double precision."""

    shifts: bool
    values: Callable[[Sequence[NDArray[Any]]], Numbers]


Rule: TypeAlias = Callable[[Node, Shapes, int], "Affine | Obstacle"]


def _batch_norm(node: Node, shapes: Shapes, channels: int) -> Affine | Obstacle:
    """BatchNormLayer: mean and variance are stored times a factor, which is 0 before any training. Forks also have a
    scale and a shift."""
    param, blobs = node.layer.batch_norm_param, batch_norm_blobs(shapes.params[node.index])
    if param.HasField("use_global_stats") and not param.use_global_stats:
        return Obstacle(Why.BATCH)
    if param.relu:
        return Obstacle(Why.RECTIFIED, (node.name,))
    if channels != CHANNELS:
        return Obstacle(Why.OTHER_AXIS)
    eps = stored_eps(node.layer)

    def values(read: Sequence[NDArray[Any]]) -> Numbers:
        inverse = 1 / read[blobs.factor][0] if read[blobs.factor][0] else 0.0
        slope = 1.0 if blobs.scale is None else read[blobs.scale]
        shift = 0.0 if blobs.shift is None else read[blobs.shift]
        return _normalized(slope, shift, read[blobs.mean] * inverse, read[blobs.variance] * inverse, eps)

    return Affine(True, values)


def _batch_norm_of_forks(node: Node, shapes: Shapes, channels: int) -> Affine | Obstacle:
    """BN of PSPNet: slope, shift, mean and variance. BN of SegNet, when merged: slope and shift only."""
    param, merged = node.layer.bn_param, len(shapes.params[node.index]) == _SCALE_AND_SHIFT
    if merged and param.bn_mode != _INFERENCE:
        return Obstacle(Why.BATCH)
    if channels != CHANNELS or len(node.tops) > 1:
        return Obstacle(Why.OTHER_AXIS)
    if merged:
        return Affine(True, lambda read: Numbers(read[0], read[1], abs(read[1])))
    return Affine(True, lambda read: _normalized(read[0], read[1], read[2], read[3], float(param.eps)))


def _normalized(slope: Values, shift: Values, mean: Values, variance: Values, eps: float) -> Numbers:
    import numpy as np

    factor = slope / np.sqrt(variance + eps)
    return Numbers(factor, shift - mean * factor, np.abs(shift) + np.abs(mean * factor))


def _scale(node: Node, shapes: Shapes, channels: int) -> Affine | Obstacle:
    """ScaleLayer: the factors, and the summands if it has a bias."""
    shifts = bool(node.layer.scale_param.bias_term)
    if not _on_channels(node, shapes, node.layer.scale_param.axis, channels):
        return Obstacle(Why.OTHER_AXIS)
    return Affine(shifts, lambda read: Numbers(read[0], *((read[1], abs(read[1])) if shifts else (0.0, 0.0))))


def _bias(node: Node, shapes: Shapes, channels: int) -> Affine | Obstacle:
    """BiasLayer: the summands."""
    if not _on_channels(node, shapes, node.layer.bias_param.axis, channels):
        return Obstacle(Why.OTHER_AXIS)
    return Affine(True, lambda read: Numbers(1.0, read[0], abs(read[0])))


def _on_channels(node: Node, shapes: Shapes, axis: int, channels: int) -> bool:
    """Whether the parameter blobs of NODE have one number for each of the CHANNELS, or one for all."""
    shape, bottom = shapes.params[node.index][0], shapes.blobs[node.bottoms[0]]
    return not shape or (len(shape) == 1 and isinstance(bottom, tuple) and axis % len(bottom) == channels)


def _power(node: Node, _shapes: Shapes, _channels: int) -> Affine | Obstacle:
    """PowerLayer: (shift + scale·x)^power."""
    param = node.layer.power_param
    if param.power != 1:
        return Obstacle(Why.POWER)
    numbers = Numbers(float(param.scale), float(param.shift), abs(float(param.shift)))
    return Affine(bool(param.shift), lambda _read: numbers)


AFFINE: Mapping[str, Rule] = {
    "BN": _batch_norm_of_forks,
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Power": _power,
    "Scale": _scale,
}
"""By layer type: its effect on each channel, or why it has another effect."""
