"""The options of a drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class DrawOptions:
    """What is drawn, and how it is written."""

    format: Literal["svg", "png", "dot"] | None = option_field(
        None, "Format of the drawing: svg, png or dot (for Graphviz).", "by the ending of the output; svg on stdout"
    )
    compare: str | None = option_field(None, "Draw this net beside the other one, with what differs marked.")
    input_size: tuple[int, ...] | None = option_field(None, "Show the shapes for images of this size, H×W in pixels.")
