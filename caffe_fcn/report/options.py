"""Options of what is told of a net."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class InspectOptions:
    """What is shown of a net and its weights."""

    input_size: tuple[int, ...] | None = option_field(None, "Show the net on images of this size, H×W in pixels.")
    geometry: bool = option_field(False, "Add what each cell sees of the input: window, stride, offset.")
    statistics: bool = option_field(False, "Show the values of each blob: min, max, mean, zeros, NaN.")
    layers: tuple[str, ...] = option_field((), "Show these layers only; shell patterns.", "all")


@dataclass(frozen=True)
class CheckOptions:
    """What counts as wrong."""

    strict: bool = option_field(False, "What BVLC Caffe refuses is an error, too.")
