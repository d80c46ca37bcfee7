"""Options of nets that look at pictures, and of nets written as ONNX."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from caffe_fcn.options import option_field

MAX_PIXELS = 500_000_000
"""The most pixels that a picture may have unless it is said otherwise: a small file can unpack to any size."""


@dataclass(frozen=True)
class PreparationOptions:
    """How pictures become a net's input. What is left open is as the net itself states it."""

    mean: str | None = option_field(
        None, "Subtract this from pixels of 0 to 255: a number, one for each channel, or a .npy or .binaryproto."
    )
    scale: float | None = option_field(None, "Multiply by this, such as 1/255, after the mean is subtracted.")
    swap_channels: bool = option_field(False, "The net takes red first; Caffe's take blue first.")


@dataclass(frozen=True)
class RunOptions:
    """How pictures are looked at."""

    resize: tuple[int, int] | int | Literal["net"] | None = option_field(
        None,
        "Bring pictures to this size H×W first, their shorter side to it if it is one number, or to the size of the "
        "net.",
        "as the net itself states",
    )
    crop: Literal["none", "center", "ten"] | None = option_field(
        None,
        "Feed the centre, or the corners and the centre, also mirrored, whose answers are averaged.",
        "as a net with one answer for a picture says, else none",
    )
    scales: tuple[float, ...] = option_field((1.0,), "Run at each of these scales, such as 0.5,1,2.", "1")
    labels: str | os.PathLike[str] | None = option_field(None, "File with the names of the classes, one a line.")
    blobs: tuple[str, ...] = option_field((), "Look at this blob.", "all outputs")
    tile: int | None = option_field(
        None, "Cut pictures into tiles of so many pixels at most; the map is the same.", "as memory needs"
    )
    max_pixels: int = option_field(MAX_PIXELS, "Refuse pictures of more pixels.", "5e8")


@dataclass(frozen=True)
class ExportOptions:
    """What is written as ONNX."""

    blobs: tuple[str, ...] = option_field((), "Put out this blob.", "all outputs")
    fixed: bool = option_field(False, "Fix the batch and the size of the input.")
    external_data: bool = option_field(
        False, "Put the weights into a second file, OUTPUT.data.", "for models over 2 GB"
    )
    expand_lrn: bool = option_field(
        False, "Write LRN as a Convolution and a power, where the runtime's own operator LRN is slow or missing."
    )
    labels: str | os.PathLike[str] | None = option_field(None, "File with the names of the classes, one a line.")
