"""The library: export to ONNX."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caffe_fcn.files.names import Kind, check_kind
from caffe_fcn.net.options import Selection
from caffe_fcn.predict import export as exporting
from caffe_fcn.predict.options import ExportOptions, PreparationOptions
from caffe_fcn.report.export import document
from caffe_fcn.verify.verify import NetAndWeights


@dataclass(frozen=True, repr=False)
class Export:
    """The result of `Net.export`."""

    found: exporting.ExportOutcome

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


def write_onnx(
    files: NetAndWeights,
    selection: Selection,
    output: str | os.PathLike[str],
    options: ExportOptions,
    preparation: PreparationOptions,
    *,
    force: bool,
) -> Export:
    """Write the net in FILES that SELECTION means to OUTPUT; with FORCE it may exist before."""
    check_kind(output, Kind.ONNX)
    found = exporting.export_net(files.source, files.weights, output, selection, options, preparation, force=force)
    return Export(found)
