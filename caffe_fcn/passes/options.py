"""The options of the passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from caffe_fcn.options import option_field


def input_channels_field() -> Any:
    """The option by which commands change the channels of the input."""
    return option_field(
        None, "Channels of the input in the written net: more than now, or 1 for a net of 3.", "unchanged"
    )


@dataclass(frozen=True)
class ConvertOptions:
    """How a net becomes fully convolutional. Names of layers may be shell patterns."""

    input_size: tuple[int, ...] | None = option_field(
        None, "Spatial size of the input in the written net, H×W in pixels; one number for a square.", "unchanged"
    )
    stride: tuple[int, ...] | None = option_field(
        None,
        "Stride of the map in pixels, a divisor of its own, H×W if they differ: the last strides go, and the layers "
        "behind are dilated.",
        "unchanged",
    )
    input_channels: int | None = input_channels_field()
    suffix: str = option_field("-conv", "Suffix of new layer names; an empty one keeps the names.")
    rename: tuple[str, ...] = option_field((), "New names by regular expression, as PATTERN=NAME: 'fc(\\d+)=conv\\1'.")
    only: tuple[str, ...] = option_field((), "Convert only these InnerProducts; shell patterns.", "all")
    skip: tuple[str, ...] = option_field((), "Do not convert these InnerProducts; shell patterns.")
    global_pooling: Literal["window", "keep"] = option_field(
        "window", "Turn global poolings into windows of their nominal input size, or keep them."
    )
    strict: bool = option_field(False, "Fail if an InnerProduct cannot be converted.")


@dataclass(frozen=True)
class UpgradeOptions:
    """What a net is upgraded for, apart from the current format."""

    target: Literal["bvlc", "old"] | None = option_field(
        None,
        "bvlc: replace layers of forks (BatchNorm with a scale) by layers of BVLC Caffe. old: write inputs as fields "
        "of the net, for Caffe before February 2016.",
    )
