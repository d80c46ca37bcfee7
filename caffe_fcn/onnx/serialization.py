"""Serializes an ONNX file as a list of parts: bytes, and tensors whose values are inserted.

Everything in a model except its weights is small and is serialized by the onnx package. A weight is the header of a
tensor, serialized too, and the values after it. Protobuf accepts the fields of a message in any order, so the parts are
only put together with their sizes, which are known.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from caffe_fcn import __version__
from caffe_fcn.display import as_utf8
from caffe_fcn.errors import missing
from caffe_fcn.files.parts import Part, size_of
from caffe_fcn.files.wire import prefix
from caffe_fcn.onnx.graph import FLOAT, Constant, OnnxGraph, Value

OPSET = 19
"""The oldest operator set whose poolings that round up divide as Caffe does; older sets are supported by more
programs."""

IR_VERSION = 9
"""The version of ONNX's file format of that operator set; onnxruntime reads it from 1.15 on."""

LIMIT = 2**31 - 1
"""The maximum size of a protobuf message in bytes."""

ALIGNMENT = 4096
"""The alignment of values in a separate file, in bytes, so that they can be mapped; smaller values stay in the
model."""

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
"""The fields ModelProto.graph, GraphProto.initializer and TensorProto.raw_data."""
_EXTERNAL = 1
"""TensorProto.DataLocation."""


class ModelParts(NamedTuple):
    """The contents of the .onnx file, and of the file of DATA beside it, if there is one."""

    model: list[Part]
    data: list[Part]


def onnx_package(what: str) -> Any:
    """Return the onnx package, which is needed for WHAT. Raises ExtraError."""
    try:
        import onnx
    except Exception as error:
        raise missing(error, "onnx", f"{what} needs more packages: pip install 'caffe-fcn[run]'") from error
    return onnx


def lay_out(
    graph: OnnxGraph, metadata: Mapping[str, str], data_name: str | None = None, *, doc: str = ""
) -> ModelParts:
    """Return the parts of the model of GRAPH, which DOC describes. If DATA_NAME is given, large values go to a file of
    that name.

    Raises ExtraError if the onnx package is not installed.
    """
    onnx = onnx_package("ONNX")
    data: list[Part] = []
    body: list[Part] = [_graph_bytes(onnx, graph)]
    end = 0
    for constant in graph.constants:
        if data_name is None or constant.size < ALIGNMENT:
            body += _inline(onnx, constant)
            continue
        gap = -end % ALIGNMENT
        data += [bytes(gap), constant.data]
        body += _framed(_INITIALIZER, [_tensor_header(onnx, constant, (data_name, end + gap, constant.size))])
        end += gap + constant.size
    return ModelParts([_model_bytes(onnx, metadata, doc), *_framed(_GRAPH, body)], data)


def _framed(number: int, parts: list[Part]) -> list[Part]:
    """Return PARTS as field NUMBER of a message."""
    return [prefix(number, size_of(parts)), *parts]


def _inline(onnx: Any, constant: Constant) -> list[Part]:
    """Return an initializer with its values."""
    return _framed(_INITIALIZER, [_tensor_header(onnx, constant), prefix(_RAW_DATA, constant.size), constant.data])


def _tensor_header(onnx: Any, constant: Constant, place: tuple[str, int, int] | None = None) -> bytes:
    """Return a tensor without its values; PLACE is the file, offset and length of the values."""
    tensor = onnx.TensorProto(name=constant.name, data_type=constant.kind, dims=constant.dims)
    if place is not None:
        tensor.data_location = _EXTERNAL
        for key, value in zip(("location", "offset", "length"), place, strict=True):
            tensor.external_data.add(key=key, value=str(value))
    return bytes(tensor.SerializeToString())


def _graph_bytes(onnx: Any, graph: OnnxGraph) -> bytes:
    """Return a graph without its initializers."""
    message = onnx.GraphProto(name=as_utf8(os.path.basename(graph.name)) or "net")
    for node in graph.nodes:
        message.node.append(
            onnx.helper.make_node(node.op, node.inputs, node.outputs, name=node.name, **node.attributes)
        )
    message.input.extend(_value_info(onnx, value) for value in graph.inputs)
    message.output.extend(_value_info(onnx, value) for value in graph.outputs)
    return bytes(message.SerializeToString())


def _value_info(onnx: Any, value: Value) -> Any:
    return onnx.helper.make_tensor_value_info(value.name, FLOAT, list(value.dims))


def _model_bytes(onnx: Any, metadata: Mapping[str, str], doc: str) -> bytes:
    """Return a model without its graph."""
    model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="caffe-fcn", producer_version=__version__)
    model.doc_string = doc
    model.opset_import.add(domain="", version=OPSET)
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=as_utf8(text))
    return bytes(model.SerializeToString())
