"""Nets for the tests of this directory, written in a line or read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe_fcn import schema
from caffe_fcn.files.prototxt import parse
from caffe_fcn.files.textmessage import to_message
from caffe_fcn.net.graph import Graph, build_graph
from caffe_fcn.net.shapes import Shape, Unknown, infer_shapes
from caffe_fcn.net.upgrade import upgrade


def parse_net(text: str | bytes, name: str = "net") -> Any:
    """TEXT as a NetParameter, as it is."""
    return to_message(parse(text, name), schema.message_class("NetParameter")).message


def read_net(path: Path) -> Any:
    """The prototxt at PATH as a NetParameter in the current format."""
    return upgrade(parse_net(path.read_bytes(), path.name))


def graph_of(text: str, **options: Any) -> Graph:
    """The graph of the net that TEXT describes."""
    return build_graph(parse_net(text), **options)


def shapes_by_name(text: str, held: Any = None, **options: Any) -> dict[str, Shape | Unknown]:
    """The shape of the last version of every blob of the net that TEXT describes, its weights holding HELD."""
    graph = graph_of(text)._replace(held=held or {})
    return {blob.name: shape for blob, shape in infer_shapes(graph, **options).blobs.items()}


def data(*shape: int, name: str = "data") -> str:
    """An Input layer, as text."""
    dims = " ".join(f"dim: {extent}" for extent in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def layer(layer_type: str, parameters: str = "", bottom: str = "data", top: str = "out", name: str = "layer") -> str:
    """A layer, as text; BOTTOM and TOP are names separated by spaces."""
    ends = "".join(f' bottom: "{each}"' for each in bottom.split()) + "".join(f' top: "{each}"' for each in top.split())
    return f'layer {{ name: "{name}" type: "{layer_type}"{ends} {parameters} }}\n'


def top_of(parameters: str, *bottoms: tuple[int, ...]) -> Shape | Unknown:
    """The shape that a layer, given as "Type parameters", makes of bottoms of these shapes."""
    layer_type, _, rest = parameters.partition(" ")
    names = [f"data{index}" for index in range(len(bottoms))]
    inputs = "".join(data(*shape, name=name) for name, shape in zip(names, bottoms, strict=True))
    return shapes_by_name(inputs + layer(layer_type, rest, " ".join(names)))["out"]


def params_of(parameters: str, *bottoms: tuple[int, ...]) -> tuple[Shape, ...]:
    """The shapes of the parameter blobs of such a layer."""
    layer_type, _, rest = parameters.partition(" ")
    names = [f"data{index}" for index in range(len(bottoms))]
    inputs = "".join(data(*shape, name=name) for name, shape in zip(names, bottoms, strict=True))
    graph = graph_of(inputs + layer(layer_type, rest, " ".join(names)))
    return infer_shapes(graph).params[len(bottoms)]
