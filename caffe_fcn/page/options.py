"""The options of the report page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class ReportOptions:
    """What the page shows of a net, and how its picture is prepared."""

    input_size: tuple[int, ...] | None = option_field(None, "Show the net for images of this size, H×W in pixels.")
    resize: tuple[int, int] | int | Literal["net"] | None = option_field(
        None,
        "Resize the picture to this size H×W, its shorter side to it if it is one number, or to the input size of the "
        "net.",
        "the input size of the net, if it accepts no other",
    )
    labels: str | os.PathLike[str] | None = option_field(None, "File with the names of the classes, one in each line.")
    wanted: str | int | None = option_field(
        None,
        "Class that the heat map shows first, a number or a name.",
        "all but the background if that is known, else the top class",
    )
