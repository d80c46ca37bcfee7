"""The library: the report page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.engines.protocol import Array
from caffe_fcn.files.names import Kind, check_kind
from caffe_fcn.files.options import WriteOptions
from caffe_fcn.inspection.records import InspectedFiles
from caffe_fcn.page.options import ReportOptions
from caffe_fcn.page.saving import SavedPage, save_page
from caffe_fcn.predict.options import PreparationOptions
from caffe_fcn.report.report import document

if TYPE_CHECKING:
    from PIL.Image import Image

    from caffe_fcn.api.net import Net


@dataclass(frozen=True, repr=False)
class SavedReport:
    """The result of `Net.save_report`."""

    found: SavedPage

    def __repr__(self) -> str:
        return f"<SavedReport of {self.found.net}: {self.found.output}>"

    @property
    def left_out(self) -> Mapping[str, str]:
        """The sections that the page does not have, with the reasons."""
        return {left.section.name.lower(): left.reason for left in self.found.page.left_out}

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user."""
        return self.found.page.notes

    def report(self) -> dict[str, Any]:
        """What was written, as `caffe-fcn report --json` prints it."""
        return document(self.found)


@checked(ReportOptions, PreparationOptions, WriteOptions)
def save_report(
    self: Net,
    output: str | os.PathLike[str],
    picture: str | os.PathLike[str] | Array | Image | None = None,
    *,
    input_size: int | Sequence[int] | None = ReportOptions.input_size,
    mean: float | Sequence[float] | str | os.PathLike[str] | None = PreparationOptions.mean,
    scale: float | None = PreparationOptions.scale,
    swap_channels: bool = PreparationOptions.swap_channels,
    column_major: bool = PreparationOptions.column_major,
    resize: tuple[int, int] | int | Literal["net"] | None = ReportOptions.resize,
    labels: str | os.PathLike[str] | None = ReportOptions.labels,
    wanted: str | int | None = ReportOptions.wanted,
    force: bool = WriteOptions.force,
) -> SavedReport:
    """Write a page to OUTPUT, one HTML file that shows the net: its graph, costs and problems, its weights, and its
    activations on PICTURE: a file, a pillow image, or an array H×W or H×W×C with values from 0 to 255 and channels in
    the order RGB. Without one they are those of a test pattern.

    Raises SurgeryError if the net does not accept INPUT_SIZE, PictureError if PICTURE, the mean or the labels cannot be
    used, ExtraError if a package for the page is not installed, OutputError if the file cannot be written; ValueError
    for a name with the wrong ending, and for options of a picture without one; OSError if a file cannot be read.
    """
    check_kind(output, Kind.PAGE)
    for name, value in (("resize", resize), ("wanted", wanted)):
        if picture is None and value is not None:
            raise ValueError(f"{name}: expected a picture too, found none")
    files = self._files()
    shown = InspectedFiles(self.name, files.source, files.weights)
    preparation, options = given(PreparationOptions, locals()), given(ReportOptions, locals())
    return SavedReport(save_page(shown, output, picture, self.model.selection, preparation, options, force=force))
