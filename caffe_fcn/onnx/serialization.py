"""An ONNX file as a list of parts: bytes made here, and tensors whose values go in between.

All of a model but its weights is small and is serialised by the onnx package; a weight is the header of a tensor,
serialised too, and the values behind it. Protobuf takes the fields of a message in any order, so the parts only need to
be put together, with their sizes, which are known beforehand.
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
"""The oldest operator set whose poolings, rounding up, divide by what Caffe divides by; the older, the more read it."""

IR_VERSION = 9
"""The version of ONNX's file format that came with that operator set; onnxruntime reads it from 1.15 on."""

LIMIT = 2**31 - 1
"""Protobuf reads no larger message."""

ALIGNMENT = 4096
"""Where values in a file of their own begin, so that they can be mapped into memory; smaller ones stay inside."""

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
"""The fields ModelProto.graph, GraphProto.initializer and TensorProto.raw_data."""
_EXTERNAL = 1
"""TensorProto.DataLocation."""


class ModelParts(NamedTuple):
    """The contents of the .onnx file, and of the file of DATA beside it, if there is one."""

    model: list[Part]
    data: list[Part]


def onnx_package(what: str) -> Any:
    """The onnx package, without which WHAT cannot be done. Raises ExtraError."""
    try:
        import onnx
    except Exception as error:
        raise missing(error, "onnx", f"{what} needs more packages: pip install 'caffe-fcn[run]'") from error
    return onnx


def lay_out(
    graph: OnnxGraph, metadata: Mapping[str, str], data_name: str | None = None, *, doc: str = ""
) -> ModelParts:
    """The parts of the model of GRAPH, which DOC describes. Where DATA_NAME is given, large values go to a file of that
    name.

    Raises ExtraError where the onnx package is not installed.
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
    """PARTS as field NUMBER of a message."""
    return [prefix(number, size_of(parts)), *parts]


def _inline(onnx: Any, constant: Constant) -> list[Part]:
    """An initializer that holds its values."""
    return _framed(_INITIALIZER, [_tensor_header(onnx, constant), prefix(_RAW_DATA, constant.size), constant.data])


def _tensor_header(onnx: Any, constant: Constant, place: tuple[str, int, int] | None = None) -> bytes:
    """A tensor without its values; PLACE is the file, offset and length where they are."""
    tensor = onnx.TensorProto(name=constant.name, data_type=constant.kind, dims=constant.dims)
    if place is not None:
        tensor.data_location = _EXTERNAL
        for key, value in zip(("location", "offset", "length"), place, strict=True):
            tensor.external_data.add(key=key, value=str(value))
    return bytes(tensor.SerializeToString())


def _graph_bytes(onnx: Any, graph: OnnxGraph) -> bytes:
    """A graph without its initializers."""
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
    """A model without its graph."""
    model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="caffe-fcn", producer_version=__version__)
    model.doc_string = doc
    model.opset_import.add(domain="", version=OPSET)
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=as_utf8(text))
    return bytes(model.SerializeToString())
