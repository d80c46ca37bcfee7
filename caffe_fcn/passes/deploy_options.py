"""The options of `deploy`."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class DeployOptions:
    """How a training net becomes a deploy net."""

    keep_heads: bool = option_field(
        False, "Keep all heads, also those whose loss has a smaller loss_weight than another on the same labels."
    )
    drop_dropout: bool = option_field(False, "Remove Dropout layers, which do nothing in inference.")
