"""Options of nets for pictures, and of nets written as ONNX."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from caffe_fcn.options import option_field

MAX_PIXELS = 500_000_000
"""The maximum number of pixels of a picture by default: a small file can unpack to any size."""


@dataclass(frozen=True)
class PreparationOptions:
    """How pictures become the input of a net. Defaults are those of the net itself."""

    mean: str | None = option_field(
        None, "Subtract this from pixels of 0 to 255: a number, one for each channel, or a .npy or .binaryproto."
    )
    scale: float | None = option_field(None, "Scale to multiply by after subtracting the mean, such as 1/255.")
    swap_channels: bool = option_field(False, "Feed red first (RGB); Caffe nets usually take blue first (BGR).")
    column_major: bool = option_field(
        False,
        "The net was trained on transposed pictures, as in MATLAB, where columns come first: transpose pictures before "
        "the net, and its maps back.",
    )


@dataclass(frozen=True)
class RunOptions:
    """How the net is run on pictures."""

    resize: tuple[int, int] | int | Literal["net"] | None = option_field(
        None,
        "Resize pictures to this size H×W, their shorter side to it if it is one number, or to the input size of the "
        "net.",
        "from the net itself",
    )
    crop: Literal["none", "center", "ten"] | None = option_field(
        None,
        "Crop the centre, or average over ten crops (corners and centre, also mirrored).",
        "from the data layer of a net with one answer for a picture, else none",
    )
    pad_to: int | None = option_field(
        None,
        "Pad pictures to multiples of N pixels, at the bottom and at the right, with the mean, which is 0 after the "
        "preprocessing; maps are cut back to the picture. For nets that take only such sizes.",
    )
    scales: tuple[float, ...] = option_field((1.0,), "Run at each of these scales, such as 0.5,1,2.", "1")
    labels: str | os.PathLike[str] | None = option_field(None, "File with the names of the classes, one in each line.")
    no_scores: bool = option_field(
        False,
        "Values are not scores of classes, as of a net for positions or an age: report them in their order, with the "
        "names in the labels.",
    )
    blobs: tuple[str, ...] = option_field((), "Use this blob as an output.", "all outputs")
    stride: tuple[int, ...] | None = option_field(
        None,
        "Answers at every N-th pixel, from shifted pictures; N divides the stride of the map, and may differ down and "
        "across, H×W.",
        "the stride of the map",
    )
    tile: int | None = option_field(
        None, "Cut pictures into tiles of at most so many pixels; the map is the same.", "as memory requires"
    )
    max_pixels: int = option_field(MAX_PIXELS, "Refuse pictures of more pixels.", "5e8")


@dataclass(frozen=True)
class DrawingOptions:
    """How maps are drawn."""

    palette: str | os.PathLike[str] | None = option_field(
        None,
        "Write label maps as indexed PNG, with the number of the class in each pixel, in the colours of PASCAL VOC "
        "(voc) or of a file: three numbers or #RRGGBB in each line, or an indexed PNG.",
    )
    upsample: bool = option_field(
        False, "Draw maps at the resolution of the picture, and tell areas; scores between cells are interpolated."
    )
    value_range: tuple[float, float] | Literal["auto"] = option_field(
        "auto",
        "The values of the darkest and the lightest colour of a heat map, such as 0,1; values outside have these "
        "colours. auto: 0 and 1 if no value of the picture is outside, else its lowest and its highest. For a picture "
        "that the net makes, the values of black and white; auto: the preprocessing is undone.",
    )
    under: Literal["grey", "colour"] = option_field(
        "grey", "The picture below a drawing, in grey, so that the colours of the map stand out, or in colour."
    )


@dataclass(frozen=True)
class PeakOptions:
    """Which places of a map are peaks."""

    threshold: float | None = option_field(
        None, "Peaks have scores above this; choose one if scores are not probabilities.", "0.5"
    )
    nms: float = option_field(
        0.3, "Of two boxes of a class whose intersection over union (IOU) is above this, only the better is a peak."
    )


@dataclass(frozen=True)
class ExportOptions:
    """How a net is exported to ONNX."""

    blobs: tuple[str, ...] = option_field((), "Use this blob as an output.", "all outputs")
    fixed: bool = option_field(False, "Fix the batch and the size of the input.")
    external_data: bool = option_field(
        False, "Write the weights into a second file, OUTPUT.data.", "for models over 2 GB"
    )
    expand_lrn: bool = option_field(
        False, "Write LRN as a Convolution and a power, for runtimes whose LRN operator is slow or missing."
    )
    labels: str | os.PathLike[str] | None = option_field(None, "File with the names of the classes, one in each line.")


@dataclass(frozen=True)
class ScoreOptions:
    """How predictions are compared with label images."""

    classes: int | None = option_field(
        None, "The number of classes.", "as many as there are names, else the largest number that is found, plus 1"
    )
    names: str | os.PathLike[str] | None = option_field(None, "File with the names of the classes, one in each line.")
    ignore: tuple[int, ...] = option_field((), "Leave out pixels with this label, such as 255.")
