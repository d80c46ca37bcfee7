"""The library: convert the files of a net in one call."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.files import open_files, output_names
from caffe_fcn.api.net import Net
from caffe_fcn.api.options import given
from caffe_fcn.engines.options import DEFAULT_ENGINE, EngineOptions
from caffe_fcn.files.options import WriteOptions
from caffe_fcn.model.writing import beside, write_model
from caffe_fcn.net.options import OpenOptions, Selection
from caffe_fcn.passes.conversion import plan, settings_of
from caffe_fcn.passes.options import ConvertOptions
from caffe_fcn.report.convert import document
from caffe_fcn.report.verifier import Verifier
from caffe_fcn.verify.options import ProveOptions


@checked(ConvertOptions, Selection, OpenOptions, WriteOptions, ProveOptions, EngineOptions)
def convert(
    net: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    output_weights: str | os.PathLike[str] | None = None,
    *,
    input_size: int | Sequence[int] | None = ConvertOptions.input_size,
    stride: int | Sequence[int] | None = ConvertOptions.stride,
    input_channels: int | None = ConvertOptions.input_channels,
    suffix: str = ConvertOptions.suffix,
    rename: str | Sequence[str] = ConvertOptions.rename,
    only: str | Sequence[str] = ConvertOptions.only,
    skip: str | Sequence[str] = ConvertOptions.skip,
    global_pooling: Literal["window", "keep"] = ConvertOptions.global_pooling,
    strict: bool = ConvertOptions.strict,
    phase: Literal["TRAIN", "TEST"] | None = Selection.phase,
    stages: str | Sequence[str] = Selection.stages,
    level: int | None = Selection.level,
    shapes: Mapping[str, Sequence[int]] | None = Selection.shapes,
    crop_offset: Literal["auto", "zero"] | None = Selection.crop_offset,
    ignore_fields: str | Collection[str] = Selection.ignore_fields,
    fork: str | None = OpenOptions.fork,
    force: bool = WriteOptions.force,
    verify: bool = ProveOptions.verify,
    engine: Literal["onnxruntime", "opencv", "openvino", "caffe"] = DEFAULT_ENGINE,
) -> Net:
    """Convert the files NET (prototxt) and WEIGHTS (caffemodel or HDF5), as `caffe-fcn convert` does.

    The results are written to OUTPUT and OUTPUT_WEIGHTS, by default NAME_fcn beside the inputs. NET can be a caffemodel
    alone. With VERIFY, the files appear only if all proofs of `Net.verify` hold on ENGINE. Returns the new net; the
    file of its weights is closed. Raises what `open`, `Net.convolutionalize` and `Net.save` raise; VerificationError if
    a proof does not hold; OSError if an input cannot be read.
    """
    selection, asked = given(Selection, locals()), given(ConvertOptions, locals())
    with Net(open_files(net, weights, selection, fork)) as original:
        model = original.model
        if model.weights is not None:
            output_weights = output_weights or beside(os.fspath(weights or net), ".caffemodel", "_fcn")
        elif verify:
            raise ValueError("verify: expected weights to convert as well, found none")
        made = plan(model, settings_of(asked, selection))
        text, trained = output_names(
            model, output or beside(os.fspath(net), ".prototxt", "_fcn"), output_weights, force=force
        )
        if not verify or text is None or trained is None or model.weights is None:
            write_model(made.model, text, trained, force=force)
        else:
            verifier = Verifier(model.source, model.weights, (text, trained), selection, engine)
            verifier.results = made.results
            write_model(made.model, text, trained, force=force, check=verifier.check)
    return Net(made.model, made, document)
