"""Options of the training net and its solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class TrainOptions:
    """Where the pictures and labels come from, and how the loss is normalized."""

    data: Literal["keep", "imagedata", "lmdb"] = option_field(
        "imagedata",
        "Data of the training net: files named in lists, LMDB databases, or the inputs of the net as they are.",
    )
    normalize: bool = option_field(False, "Divide the loss by the number of labeled pixels; the learning rate follows.")
