"""The options of `diff`."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class DiffOptions:
    """What to compare, and what counts as equal."""

    rtol: float = option_field(
        0.0, "Weights within this part of the old value count as equal, added to the absolute tolerance."
    )
    atol: float = option_field(0.0, "Weights that differ by no more than this count as equal.")
    layers: tuple[str, ...] = option_field((), "Compare only these layers; shell patterns.", "all")
    ignore_names: bool = option_field(False, "Other names of layers and blobs are no difference.")
    weights_only: bool = option_field(False, "Compare only the weights, by the names of the layers.")
