"""The library: nets written as ONNX."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caffe_fcn.api.arguments import check_arguments, check_models, check_options, check_path
from caffe_fcn.api.options import SelectionOptions, checked_scale, mean_text, selection_of, several
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.names import Kind, check_kind
from caffe_fcn.net.source import SourceNet
from caffe_fcn.predict.options import ExportOptions as ChosenExport
from caffe_fcn.predict.options import PreparationOptions

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack
if TYPE_CHECKING:
    from caffe_fcn.predict import export as exporting


class ExportOptions(SelectionOptions, total=False):
    """The options of `caffe-fcn export`, as keywords, beside those of `SelectionOptions`."""

    blobs: str | Sequence[str]
    """The blobs to put out; by default the net's own outputs."""
    fixed: bool
    """Whether the batch and the size of the input are fixed."""
    external_data: bool
    """Whether the weights go into a second file, OUTPUT.data, as they do in any case where a model is over 2 GB."""
    expand_lrn: bool
    """Whether LRN is written as a Convolution and a power, for a runtime whose own operator LRN is slow or missing."""
    mean: float | Sequence[float] | str | os.PathLike[str] | None
    """What is to be subtracted from each channel of a picture, or a .npy or binaryproto with it; it is only told."""
    scale: float | None
    """What pixels are to be multiplied by then; it is only told."""
    swap_channels: bool
    """Whether the net takes pictures as RGB; it is only told."""
    labels: str | os.PathLike[str] | None
    """A file with the names of the classes, one a line."""


@dataclass(frozen=True, repr=False)
class Export:
    """What `export` wrote."""

    found: exporting.ExportOutcome

    def __repr__(self) -> str:
        return f"<Export of {self.found.net}: {', '.join(self.files)}>"

    @property
    def files(self) -> Mapping[str, int]:
        """The files, and their sizes in bytes."""
        return self.found.exported.files

    @property
    def inputs(self) -> Mapping[str, tuple[int | str | None, ...]]:
        """What is fed, by its name in the file: the extents, of an axis that is free its name."""
        return {value.name: value.dims for value in self.found.exported.lowered.graph.inputs}

    @property
    def outputs(self) -> Mapping[str, tuple[int | str | None, ...]]:
        """What comes out, by its name in the file: the extents, of the batch its name, None where they differ else."""
        return {value.name: value.dims for value in self.found.exported.lowered.graph.outputs}

    @property
    def fixed(self) -> tuple[str, ...]:
        """Why axes of the inputs are not free."""
        return self.found.exported.lowered.fixed

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be carried over, or had to be assumed."""
        return self.found.notes

    def report(self) -> dict[str, Any]:
        """All that is to be told, as `caffe-fcn export --json` prints it."""
        from caffe_fcn.report.export import document

        return document(self.found)


def export(
    net: SourceNet,
    weights: WeightFile,
    output: str | os.PathLike[str],
    *,
    force: bool = False,
    **options: Unpack[ExportOptions],
) -> Export:
    """Write NET with WEIGHTS to OUTPUT as ONNX, for runtimes of today; with FORCE it may exist before.

    Blobs keep their names. The batch is free where every output keeps its items apart, and so is the size H×W of the
    input where the net takes any. Losses are
    left out, and data layers become inputs. OPTIONS are `ExportOptions`. Raises LoweringError, naming every layer
    that ONNX cannot say; WeightsError where the weights are another net's or hold NaN; PictureError for a mean or
    labels that do not suit the net; ExtraError where the package onnx is not installed; OutputError where a file cannot
    be written, ValueError where OUTPUT is a name for another kind of file.
    """
    from caffe_fcn.predict.export import export_net

    check_models("export", net=net, weights=weights)
    check_path("export", "output", output)
    check_arguments("export", force=force)
    check_options("export", options, ExportOptions, more=["force"])
    check_kind(output, Kind.ONNX)
    selection, others = selection_of(options)
    options_, preparation = _exporting(**others)
    return Export(export_net(net, weights, output, selection, options_, preparation, force=force))


def _exporting(
    *,
    blobs: str | Sequence[str] = (),
    fixed: bool = False,
    external_data: bool = False,
    expand_lrn: bool = False,
    mean: float | Sequence[float] | str | os.PathLike[str] | None = None,
    scale: float | None = None,
    swap_channels: bool = False,
    labels: str | os.PathLike[str] | None = None,
) -> tuple[ChosenExport, PreparationOptions]:
    return (
        ChosenExport(several(blobs), fixed, external_data, expand_lrn, labels),
        PreparationOptions(mean_text(mean), checked_scale(scale), swap_channels),
    )
