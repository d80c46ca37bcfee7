"""The library: drawings of nets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.diagram.options import DrawOptions
from caffe_fcn.diagram.saving import SavedDrawing, save_drawing
from caffe_fcn.files.names import Kind, check_kind
from caffe_fcn.files.options import WriteOptions
from caffe_fcn.inspection.inspect import open_inspected
from caffe_fcn.inspection.records import InspectedFiles

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@dataclass(frozen=True, repr=False)
class DrawnNet:
    """The result of `Net.draw`."""

    found: SavedDrawing

    def __repr__(self) -> str:
        return f"<DrawnNet of {self.found.net}: {self.found.output}>"

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user."""
        return self.found.notes


@checked(DrawOptions, WriteOptions)
def draw(
    self: Net,
    output: str | os.PathLike[str],
    *,
    format: Literal["svg", "png", "dot"] | None = DrawOptions.format,
    compare: Net | str | os.PathLike[str] | None = DrawOptions.compare,
    input_size: int | Sequence[int] | None = DrawOptions.input_size,
    force: bool = WriteOptions.force,
) -> DrawnNet:
    """Draw the graph of the net into OUTPUT: a box for each layer, with the shapes of blobs at the lines between.

    COMPARE is another net, or its file: it is drawn beside this one, and what is new, gone, replaced or changed is
    marked. The phase is TEST unless another was given to `open`.

    Raises SurgeryError if the net does not accept INPUT_SIZE, CaffeFcnError for a PNG that would be too large,
    ExtraError for a PNG without pillow, OutputError if the file cannot be written; ValueError for a name with the wrong
    ending.
    """
    check_kind(output, Kind.DRAWING, Kind.PICTURE)
    shown = _inspected(self)
    options = given(DrawOptions, {**locals(), "compare": None})
    with ExitStack() as stack:
        compared = None
        if isinstance(compare, str | os.PathLike):
            compared = open_inspected(os.fspath(compare))
            if compared.weights is not None:
                stack.enter_context(compared.weights)
        elif compare is not None:
            compared = _inspected(compare)
        return DrawnNet(save_drawing(shown, output, self.model.selection, options, compared, force=force))


def _inspected(net: Net) -> InspectedFiles:
    files = net._files()
    return InspectedFiles(net.name, files.source, files.weights)
