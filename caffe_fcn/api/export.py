"""The library: export to ONNX."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.options import given
from caffe_fcn.files.names import Kind, check_kind
from caffe_fcn.files.options import WriteOptions
from caffe_fcn.predict.export import ExportOutcome, export_net
from caffe_fcn.predict.options import ExportOptions, PreparationOptions
from caffe_fcn.report.export import document

if TYPE_CHECKING:
    from caffe_fcn.api.net import Net


@dataclass(frozen=True, repr=False)
class Export:
    """The result of `Net.export`."""

    found: ExportOutcome

    def __repr__(self) -> str:
        return f"<Export of {self.found.net}: {', '.join(self.files)}>"

    @property
    def files(self) -> Mapping[str, int]:
        """The files that were written, with their sizes in bytes."""
        return self.found.exported.files

    @property
    def inputs(self) -> Mapping[str, tuple[int | str | None, ...]]:
        """The shapes of the inputs, by name. For a free axis, the shape has the name of the axis."""
        return {value.name: value.dims for value in self.found.exported.lowered.graph.inputs}

    @property
    def outputs(self) -> Mapping[str, tuple[int | str | None, ...]]:
        """The shapes of the outputs, by name: for the batch axis its name, None for other axes of variable length."""
        return {value.name: value.dims for value in self.found.exported.lowered.graph.outputs}

    @property
    def fixed(self) -> tuple[str, ...]:
        """The reasons why axes of the inputs are fixed."""
        return self.found.exported.lowered.fixed

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be exported, and what was assumed."""
        return self.found.notes

    def report(self) -> dict[str, Any]:
        """The report, as `caffe-fcn export --json` prints it."""
        return document(self.found)


@checked(ExportOptions, PreparationOptions, WriteOptions)
def export(
    self: Net,
    output: str | os.PathLike[str],
    *,
    blobs: str | Sequence[str] = ExportOptions.blobs,
    fixed: bool = ExportOptions.fixed,
    external_data: bool = ExportOptions.external_data,
    expand_lrn: bool = ExportOptions.expand_lrn,
    mean: float | Sequence[float] | str | os.PathLike[str] | None = PreparationOptions.mean,
    scale: float | None = PreparationOptions.scale,
    swap_channels: bool = PreparationOptions.swap_channels,
    column_major: bool = PreparationOptions.column_major,
    labels: str | os.PathLike[str] | None = ExportOptions.labels,
    force: bool = WriteOptions.force,
) -> Export:
    """Export the net to OUTPUT as ONNX.

    Blobs keep their names. The batch size is free if every output has a batch axis. The input size H×W is free if
    the net accepts any size. Losses are left out, and data layers become inputs. The mean, the scale, the order of
    the channels and the names of the classes are written as metadata; the model does not apply them.

    Raises LoweringError, with all layers that the ONNX exporter does not support; WeightsError if the weights
    contain NaN; PictureError for a mean or labels that do not fit the net; ExtraError if the package onnx is not
    installed; OutputError if a file cannot be written; ValueError for a name with the wrong ending.
    """
    check_kind(output, Kind.ONNX)
    options, preparation = given(ExportOptions, locals()), given(PreparationOptions, locals())
    files, selection = self._runnable(), self.model.selection
    return Export(export_net(files.source, files.weights, output, selection, options, preparation, force=force))
