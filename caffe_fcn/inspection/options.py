"""The options of an inspection."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class InspectOptions:
    """The choice of what is shown of a net and its weights."""

    input_size: tuple[int, ...] | None = option_field(None, "Show the net for images of this size, H×W in pixels.")
    geometry: bool = option_field(False, "Add the receptive field of each cell: window, stride, offset.")
    statistics: bool = option_field(False, "Show statistics of each blob: min, max, mean, deviation, zeros, NaN.")
    layers: tuple[str, ...] = option_field((), "Show only these layers; shell patterns.", "all")
