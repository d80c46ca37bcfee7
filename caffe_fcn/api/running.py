"""The library: converted nets proven, nets written as ONNX, and nets run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from caffe_fcn.api.arguments import check_arguments, check_models, check_options, check_path
from caffe_fcn.api.options import SelectionOptions, checked_scale, checked_threads, mean_text, selection_of, several
from caffe_fcn.engines.protocol import Array, Session
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.names import Kind, check_kind
from caffe_fcn.net.source import SourceNet
from caffe_fcn.proofs.records import Verification

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack
if TYPE_CHECKING:
    from caffe_fcn.predict import exporting
    from caffe_fcn.proofs import verify as proving


class VerifyOptions(SelectionOptions, total=False):
    """The options of `caffe-fcn verify`, as keywords, beside those of `SelectionOptions`."""

    proofs: str | Sequence[str]
    """The proofs to carry out, of "weights", "same-size" and "dense"; all by default."""
    samples: int
    """How many random inputs both nets are given, 8 by default."""
    windows: int
    """How many windows of the larger input are looked at, 16 by default."""
    seed: int
    """Of what is random, 0 by default."""
    pictures: Sequence[Array]
    """Inputs to compare on as well, C×H×W or several N×C×H×W, as they are fed."""
    tolerance: float | None
    """The difference allowed, relative to the largest score, a Softmax compared by the logarithms of what it gives; by
    default what rounding does to this net, as measured."""
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"]
    """What runs the nets, onnxruntime by default."""
    threads: int | None
    """The threads of the engine, by default as many as it takes."""


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

    found: exporting.Export

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
        from caffe_fcn.report.onnx import document

        return document(self.found)


def verify(
    net: SourceNet,
    weights: WeightFile,
    fcn: SourceNet,
    fcn_weights: WeightFile,
    **options: Unpack[VerifyOptions],
) -> Verification:
    """Prove that FCN with FCN_WEIGHTS is what becomes of NET with WEIGHTS when it is made fully convolutional.

    Three proofs: the weights, and the fields of the layers, are the original's; at the nominal input both nets give
    the same answers; on a larger one each cell of the map is the original's answer on the window there. What does not
    hold, could not be carried out or does not apply is in the `Verification`, whose `holds` is True only if every proof
    holds or does not apply. OPTIONS are `VerifyOptions`. Raises CaffeFcnError for files that cannot be compared at all:
    WeightsError where weights hold NaN, ExtraError where the engine is needed and not installed.
    """
    from caffe_fcn.proofs.verify import Model
    from caffe_fcn.proofs.verify import verify as prove

    check_models("verify", net=net, weights=weights, fcn=fcn, fcn_weights=fcn_weights)
    check_options("verify", options, VerifyOptions)
    selection, others = selection_of(options)
    settings = _proving(**others)
    return prove(Model(net, weights), Model(fcn, fcn_weights), selection, settings)


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
    from caffe_fcn.predict.exporting import export_net

    check_models("export", net=net, weights=weights)
    check_path("export", "output", output)
    check_arguments("export", force=force)
    check_options("export", options, ExportOptions, more=["force"])
    check_kind(output, Kind.ONNX)
    selection, others = selection_of(options)
    settings = _exporting(**others)
    return Export(export_net(net, weights, output, selection, settings, force=force))


def load(
    net: SourceNet,
    weights: WeightFile,
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = "onnxruntime",
    threads: int | None = None,
    *,
    blobs: str | Sequence[str] = (),
    low_memory: bool = False,
    **options: Unpack[SelectionOptions],
) -> Session:
    """NET with WEIGHTS, ready to run any number of times; the weights may be closed afterwards.

    The session's `run` takes the inputs by name, float arrays N×C×H×W, and returns the outputs by name, or those of
    BLOBS that are asked for. Where the net takes any size H×W, it may differ from run to run. With LOW_MEMORY, and
    where memory is short, onnxruntime uses large weights where they lie, which takes less memory and more time. OPTIONS
    are `SelectionOptions`. Raises LoweringError or EngineError for a net that the engine cannot run, or would run
    otherwise than Caffe does; WeightsError where weights are another net's or hold NaN; ExtraError where the
    engine is not installed.
    """
    from caffe_fcn.engines.nets import one_net
    from caffe_fcn.engines.registry import engine as engine_called
    from caffe_fcn.onnx.finite import check_finite

    check_models("load", net=net, weights=weights)
    check_arguments("load", engine=engine, threads=threads, blobs=blobs, low_memory=low_memory)
    check_options("load", options, SelectionOptions, more=["engine", "threads", "blobs", "low_memory"])
    selection, _ = selection_of(options)
    chosen = engine_called(engine, checked_threads(threads), low_memory=low_memory)
    found, held, _ = one_net(net, weights, selection)
    check_finite(held, found.graph)
    return chosen.load(found, held, outputs=several(blobs))


def _proving(
    *,
    proofs: str | Sequence[str] = (),
    samples: int = 8,
    windows: int = 16,
    seed: int = 0,
    pictures: Sequence[Array] = (),
    tolerance: float | None = None,
    engine: str = "onnxruntime",
    threads: int | None = None,
) -> proving.Options:
    from caffe_fcn.engines.registry import engine as engine_called
    from caffe_fcn.proofs.verify import PROOFS, Options

    wanted = several(proofs) or PROOFS
    if not set(wanted) <= set(PROOFS):
        raise ValueError(f"proofs: expected some of {', '.join(PROOFS)}, found {proofs!r}")
    if samples < 1 or windows < 1 or seed < 0:
        raise ValueError(f"samples, windows, seed: expected at least 1, 1 and 0, found {samples}, {windows}, {seed}")
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise ValueError(f"tolerance: expected a number from 0 to 1, found {tolerance}")
    return Options(
        engine=engine_called(engine, checked_threads(threads), brief=True),
        samples=samples,
        windows=windows,
        seed=seed,
        pictures=tuple(pictures),
        tolerance=tolerance,
        proofs=wanted,
    )


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
) -> exporting.Settings:
    from caffe_fcn.predict.exporting import Settings
    from caffe_fcn.predict.means import read_mean

    text = mean_text(mean)
    return Settings(
        blobs=several(blobs),
        fixed=fixed,
        external=external_data,
        expand_lrn=expand_lrn,
        mean=None if text is None else read_mean(text),
        scale=checked_scale(scale),
        rgb=swap_channels,
        labels=labels,
    )
