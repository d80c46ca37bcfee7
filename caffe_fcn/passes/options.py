"""The options of `convert`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class ConvertOptions:
    """How a net becomes fully convolutional. Names of layers may be shell patterns."""

    input_size: tuple[int, ...] | None = option_field(
        None, "Spatial size of the input in the written net, H×W in pixels; one number for a square.", "unchanged"
    )
    suffix: str = option_field("-conv", "Suffix of new layer names; an empty one keeps the names.")
    rename: tuple[str, ...] = option_field((), "New names by regular expression, as PATTERN=NAME: 'fc(\\d+)=conv\\1'.")
    only: tuple[str, ...] = option_field((), "Convert only these InnerProducts; shell patterns.", "all")
    skip: tuple[str, ...] = option_field((), "Do not convert these InnerProducts; shell patterns.")
    global_pooling: Literal["window", "keep"] = option_field(
        "window", "Turn global poolings into windows of their nominal input size, or keep them."
    )
    strict: bool = option_field(False, "Fail if an InnerProduct cannot be converted.")
