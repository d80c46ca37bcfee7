"""The library: show a net and its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.errors import SurgeryError
from caffe_fcn.inspection.inspect import inspect as look
from caffe_fcn.inspection.options import InspectOptions
from caffe_fcn.inspection.records import InspectedFiles, Inspection, InspectSettings
from caffe_fcn.report.inspect import page
from caffe_fcn.report.inspect_document import document, to_csv
from caffe_fcn.report.tables import render

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@dataclass(frozen=True, repr=False)
class NetInspection:
    """The result of `Net.inspect`. `str` gives the table that `caffe-fcn inspect` prints."""

    found: Inspection

    def __repr__(self) -> str:
        return f"<NetInspection of {self.found.file}: {len(self.found.layers)} layers>"

    def __str__(self) -> str:
        return render(page(self.found, None), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user."""
        return self.found.notes

    def report(self) -> dict[str, Any]:
        """All values, as `caffe-fcn inspect --json` prints them."""
        return document(self.found)

    def csv(self) -> str:
        """The table as CSV with exact numbers, as `caffe-fcn inspect --csv` prints it."""
        return to_csv(self.found)


@checked(InspectOptions)
def inspect(
    self: Net,
    *,
    input_size: int | Sequence[int] | None = InspectOptions.input_size,
    geometry: bool = InspectOptions.geometry,
    statistics: bool = InspectOptions.statistics,
    layers: str | Sequence[str] = InspectOptions.layers,
) -> NetInspection:
    """Look into the net layer by layer: shapes, parameters, multiply-accumulates, memory; and into the blobs of the
    weights.

    The phase is TEST unless another was given to `open`. Raises SurgeryError if STATISTICS are asked for and there are
    no weights; CaffeFcnError for a pattern that no layer matches.
    """
    files = self._files()
    if statistics and files.weights is None:
        raise SurgeryError(source=self.name, expected="a net with weights, for their statistics", found="none")
    options = given(InspectOptions, locals())
    settings = InspectSettings(selection=self.model.selection, **vars(options))
    return NetInspection(look(InspectedFiles(self.name, files.source, files.weights), settings))
