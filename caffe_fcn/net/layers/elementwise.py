"""Layers that work on each value separately: activations and simple functions, also Split and Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.row import ONE, SOME, LayerType, always, never
from caffe_fcn.net.layers.shape import Bottoms, Shape
from caffe_fcn.net.layers.traits import ELEMENTWISE, same
from caffe_fcn.schema import Message


def powers(layer: Message, bottoms: Bottoms) -> Sequence[Shape]:
    """ExpLayer, LogLayer: the base is positive, or -1 for e."""
    param = layer.exp_param if layer.type == "Exp" else layer.log_param
    if param.base != -1 and not 0 < param.base < inf:
        raise ShapeError(f"base is {param.base:g}, but must be positive, or -1 for e")
    if layer.type == "Log" and param.base == 1:
        raise ShapeError("base is 1, which has no logarithm")
    return same(layer, bottoms)


def _keeps_scale(layer: Message) -> bool:
    """Dropout does nothing outside of training, unless Fast R-CNN's scale_train: false moves the scaling there."""
    return bool(layer.dropout_param.scale_train)


def _is_not_leaky(layer: Message) -> bool:
    return not layer.relu_param.negative_slope


def _from_zero_to_one(_layer: Message) -> tuple[float, float]:
    """The limits of the sigmoids."""
    return 0.0, 1.0


def _around_zero(_layer: Message) -> tuple[float, float]:
    """The limits of TanH."""
    return -1.0, 1.0


def _to_six(_layer: Message) -> tuple[None, float]:
    """The limit of ReLU6; a unit at zero is dead, as that of a ReLU."""
    return None, 6.0


def _clipped(layer: Message) -> tuple[float | None, float]:
    """The limits of Clip; if it is a ReLU too, only the upper one."""
    return layer.clip_param.min or None, layer.clip_param.max


_BVLC = ELEMENTWISE._replace(bvlc=True, tops=ONE)

ROWS: dict[str, LayerType] = {
    "AbsVal": _BVLC._replace(v1="ABSVAL", in_place=never),
    "BNLL": _BVLC._replace(makes="values", near_one="result", v1="BNLL"),
    "Clip": _BVLC._replace(reads="clip_param", limits=_clipped),
    "Dropout": _BVLC._replace(family="other", unchanging=_keeps_scale, makes="same", reads="dropout_param"),
    "ELU": _BVLC._replace(near_one="result", reads="elu_param"),
    "Exp": _BVLC._replace(shape=powers, reads="exp_param"),
    "HardSigmoid": ELEMENTWISE._replace(makes="probabilities", reads_scores=True, limits=_from_zero_to_one),
    "HardSwish": ELEMENTWISE,
    "Insanity": ELEMENTWISE,
    "Log": _BVLC._replace(shape=powers, near_one="result", reads="log_param"),
    "Mish": ELEMENTWISE._replace(near_one="factor"),
    "Power": _BVLC._replace(reads="power_param"),
    "ReLU": _BVLC._replace(picks=_is_not_leaky, v1="RELU", reads="relu_param"),
    "ReLU6": ELEMENTWISE._replace(v1="RELU6", reads="relu6_param relu_param", limits=_to_six),
    "Sigmoid": _BVLC._replace(
        makes="probabilities", reads_scores=True, near_one="result", reads="sigmoid_param", limits=_from_zero_to_one
    ),
    "Split": ELEMENTWISE._replace(
        family="reshape", bvlc=True, tops=SOME, in_place=never, unchanging=always, makes="same", shares=always
    ),
    "Swish": _BVLC._replace(near_one="factor", reads="swish_param"),
    "TanH": _BVLC._replace(v1="TANH", reads="tanh_param", limits=_around_zero),
    "Threshold": _BVLC._replace(reads="threshold_param"),
}
