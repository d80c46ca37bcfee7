"""Options of the reduction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class ReduceOptions:
    """How layers lose filters and taps."""

    dilation: Mapping[str, int] | None = option_field(
        None, "Dilation of a reduced layer, by the name of the layer.", "from the net"
    )
    suffix: str = option_field(
        "-conv", "Suffix of InnerProducts that become Convolutions; an empty one keeps the names."
    )
    cut_outputs: bool = option_field(False, "Allow fewer channels in outputs of the net.")
