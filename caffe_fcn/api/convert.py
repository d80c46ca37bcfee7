"""The library: nets made fully convolutional."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from caffe_fcn.api.arguments import check_arguments, check_models, check_options, check_path
from caffe_fcn.api.options import SelectionOptions, selection_of, several
from caffe_fcn.errors import (
    SurgeryError,
)
from caffe_fcn.files.atomic import check_outputs
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.names import Kind, check_kind
from caffe_fcn.model.changes import LeftAlone
from caffe_fcn.model.opening import open_inputs
from caffe_fcn.model.writing import beside, write_model
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.source import SourceNet
from caffe_fcn.passes.conversion import ConversionPlan, Settings, plan, settings_of
from caffe_fcn.passes.convolutionalize.changes import ToConvolution
from caffe_fcn.passes.options import ConvertOptions as Chosen

if TYPE_CHECKING:
    from caffe_fcn.proofs.records import Verification

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack


class ConvertOptions(SelectionOptions, total=False):
    """The options of `caffe-fcn convert`, as keywords, beside those of `SelectionOptions`."""

    input_size: int | Sequence[int] | None
    """The input's spatial size in the written net, H×W in pixels; one number for a square."""
    suffix: str
    """What the new names of layers end in, "-conv" by default; "" keeps the names."""
    rename: str | Sequence[str]
    """New names by regular expression, as PATTERN=NAME."""
    only: str | Sequence[str]
    """The InnerProducts to convert, shell patterns allowed; all by default."""
    skip: str | Sequence[str]
    """The InnerProducts to leave as they are, shell patterns allowed."""
    global_pooling: Literal["window", "keep"]
    """Whether global poolings become windows of their nominal size, as they do by default."""
    strict: bool
    """Whether an InnerProduct that has to be left alone is an error."""


@dataclass(frozen=True, repr=False)
class Conversion:
    """A conversion decided on, not yet written; made by `convolutionalize`."""

    plan: ConversionPlan
    selection: Selection = ANY_NET

    def __repr__(self) -> str:
        return f"<Conversion of {self.plan.source.name}: {len(self.converted)} layers become Convolutions>"

    @property
    def text(self) -> bytes:
        """The new prototxt. Bytes that no edit touched are those of the old one."""
        return bytes(self.plan.document)

    @property
    def converted(self) -> tuple[ToConvolution, ...]:
        """The InnerProducts that become Convolutions, in the order of the net."""
        return tuple(self.plan.conversions)

    @property
    def names(self) -> Mapping[str, str]:
        """The new names of layers, by the old ones; of those that change."""
        return self.plan.new_names

    @property
    def left_alone(self) -> tuple[LeftAlone, ...]:
        """The layers that could have been meant, and why they stay."""
        return self.plan.left_alone

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return self.plan.notes

    def diff(self, new_name: str) -> str:
        """The change of the prototxt as a unified diff, the new one called NEW_NAME."""
        return self.plan.diff(new_name)

    def report(self) -> dict[str, Any]:
        """The plan, as `caffe-fcn convert --json --dry-run` prints it; it does not know what was written where."""
        from caffe_fcn.report.convert import document

        return document(self.plan, {"net": None, "weights": None}, dry_run=True)

    def write(
        self,
        output: str | os.PathLike[str] | None = None,
        output_weights: str | os.PathLike[str] | None = None,
        *,
        force: bool = False,
        verify: bool = False,
        engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = "onnxruntime",
    ) -> Verification | None:
        """Write the prototxt to OUTPUT and the weights to OUTPUT_WEIGHTS; None leaves one out.

        Weights become HDF5 where the name ends in .h5. Both files appear, whole, or neither does; with FORCE they
        may exist before. The weights that the conversion was made with must still be open. With VERIFY they appear
        only if all proofs of `verify` hold on ENGINE, and what was proven is returned. Raises OutputError where a file
        cannot be written, VerificationError where a proof does not hold; ValueError for a name of another kind of file.
        """
        check_path("write", "output", output, optional=True)
        check_path("write", "output_weights", output_weights, optional=True)
        check_arguments("write", force=force, verify=verify, engine=engine)
        _check_names(output, output_weights)
        paths = [os.fspath(path) for path in (output, output_weights) if path is not None]
        if output_weights is not None and self.plan.weights is None:
            raise SurgeryError("converted without weights, so there are none to write", source=self.plan.source.name)
        inputs = [self.plan.source.name, *([self.plan.weights.path] if self.plan.weights else [])]
        check_outputs(paths, inputs, force=force)
        text, weights = (None if path is None else os.fspath(path) for path in (output, output_weights))
        if not verify:
            write_model(self.plan.model, text, weights, force=force)
            return None
        from caffe_fcn.report.verifier import Verifier

        if text is None or weights is None or self.plan.weights is None:
            raise ValueError("verify: expected an output for the net and one for the weights, found one of them")
        verifier = Verifier(self.plan.source, self.plan.weights, (text, weights), self.selection, engine)
        write_model(self.plan.model, text, weights, force=force, check=verifier.check)
        return verifier.found


def convolutionalize(
    net: SourceNet, weights: WeightFile | None = None, **options: Unpack[ConvertOptions]
) -> Conversion:
    """Decide how NET becomes fully convolutional, and its WEIGHTS with it. Nothing is written.

    Every InnerProduct over C×H×W becomes a Convolution with the kernel H×W and the same parameters: on the same
    input the net gives the same output, on a larger one an output per window. OPTIONS are `ConvertOptions`.
    Raises SurgeryError, ShapeError or NetError, naming the layer, where that cannot be done; WeightsError where
    the weights are another net's.
    """
    check_models("convolutionalize", optional=True, net=net, weights=weights)
    check_options("convolutionalize", options, ConvertOptions)
    selection, others = selection_of(options)
    return Conversion(plan(net, weights, _settings(selection, **others)), selection)


def convert(
    net: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    output_weights: str | os.PathLike[str] | None = None,
    *,
    force: bool = False,
    fork: str | None = None,
    verify: bool = False,
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = "onnxruntime",
    **options: Unpack[ConvertOptions],
) -> Conversion:
    """Convert the files NET (prototxt) and WEIGHTS (caffemodel or HDF5): `caffe-fcn convert` as a function.

    The results go to OUTPUT and OUTPUT_WEIGHTS, by default NAME_fcn beside the inputs; a caffemodel as NET is converted
    with the net inside it, which FORK has written where that is known. With FORCE they may exist before; with VERIFY
    they appear only if all proofs of `verify` hold on ENGINE. Returns what was done, its weights closed. Raises
    CaffeFcnError as `convolutionalize` and `Conversion.write` do, OSError where an input cannot be read.
    """
    for name, given in (("net", net), ("weights", weights), ("output", output), ("output_weights", output_weights)):
        check_path("convert", name, given, optional=name != "net")
    check_arguments("convert", force=force, verify=verify, fork=fork, engine=engine)
    check_options("convert", options, ConvertOptions, more=["force", "fork", "verify", "engine"])
    path, weights_path = os.fspath(net), None if weights is None else os.fspath(weights)
    _check_names(output, output_weights)
    source, opened = open_inputs(path, weights_path, fork=fork)
    with ExitStack() as stack:
        if opened is not None:
            stack.enter_context(opened)
            output_weights = output_weights or beside(weights_path or path, ".caffemodel", "_fcn")
        conversion = convolutionalize(source, opened, **options)
        out = output or beside(path, ".prototxt", "_fcn")
        conversion.write(out, output_weights, force=force, verify=verify, engine=engine)
    return conversion


def _check_names(output: str | os.PathLike[str] | None, output_weights: str | os.PathLike[str] | None) -> None:
    """Raise ValueError where a name is one for another kind of file."""
    if output is not None:
        check_kind(output, Kind.TEXT)
    if output_weights is not None:
        check_kind(output_weights, Kind.WEIGHTS)


def _settings(
    selection: Selection,
    *,
    input_size: int | Sequence[int] | None = None,
    suffix: str = "-conv",
    rename: str | Sequence[str] = (),
    only: str | Sequence[str] = (),
    skip: str | Sequence[str] = (),
    global_pooling: Literal["window", "keep"] = "window",
    strict: bool = False,
) -> Settings:
    size = (input_size, input_size) if isinstance(input_size, int) else input_size
    if size is not None and (not size or not all(isinstance(extent, int) and extent > 0 for extent in size)):
        raise ValueError(f"input_size: expected pixels, such as (451, 451), found {input_size!r}")
    chosen = Chosen(
        input_size=None if size is None else tuple(size),
        suffix=suffix,
        rename=several(rename),
        only=several(only),
        skip=several(skip),
        global_pooling=global_pooling,
        strict=strict,
    )
    return settings_of(chosen, selection)
