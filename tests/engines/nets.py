"""Nets for the tests of this directory: read from a case or written in a line, with weights, ready to be run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from caffe_fcn import schema
from caffe_fcn.api.net import Net
from caffe_fcn.engines.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from caffe_fcn.engines.protocol import Array, ShapedNet
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import WeightFile, open_caffemodel
from caffe_fcn.files.wire import prefix
from caffe_fcn.model.opening import meet
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.net.source import SourceNet, interpret, read_net


@contextmanager
def case(directory: Path, **given: Shape) -> Iterator[tuple[ShapedNet, WeightFile]]:
    """The net and the weights in DIRECTORY, at the shapes GIVEN."""
    source = read_net(directory / "net.prototxt")
    graph = build_graph(source.net, source=source.name)
    with open_caffemodel(directory / "net.caffemodel") as weights:
        yield ShapedNet(graph, infer_shapes(graph, given=given)), weights


def net_of(text: str, phase: str = "TEST", given: Mapping[str, Shape] | None = None) -> ShapedNet:
    """The net that TEXT describes."""
    graph = build_graph(interpret(prototxt.parse(text, "net.prototxt")).net, phase=phase, source="net.prototxt")
    return ShapedNet(graph, infer_shapes(graph, given=given or {}))


@contextmanager
def weights_of(net: ShapedNet, path: Path, scale: float = 0.5) -> Iterator[WeightFile]:
    """Random weights for NET, written to PATH and opened."""
    random = np.random.default_rng(0)
    message = schema.NetParameter()
    for node in net.graph.nodes:
        shapes = net.shapes.params.get(node.index, ()) if node.index >= 0 else ()
        blobs = [scale * random.standard_normal(shape) for shape in shapes]
        if node.type == "BatchNorm":
            blobs = [blobs[0], abs(blobs[1]) + 0.5, np.array([2.0])]
        add_layer(message, node.name, blobs)
    path.write_bytes(message.SerializeToString())
    with open_caffemodel(path) as weights:
        yield weights


@contextmanager
def hollow_weights(net: ShapedNet, path: Path) -> Iterator[WeightFile]:
    """Weights for NET, all of them zero, in a file at PATH that takes no room on the disk whatever its size."""
    with path.open("wb") as file:
        for node in net.graph.nodes:
            shapes = net.shapes.params.get(node.index, ()) if node.index >= 0 else ()
            blobs = []
            for shape in shapes:
                told = schema.BlobShape(dim=shape).SerializeToString()
                blobs.append((prefix(7, len(told)) + told + prefix(5, 4 * prod(shape)), 4 * prod(shape)))
            framed = [(prefix(7, len(head) + size) + head, size) for head, size in blobs]
            head = schema.LayerParameter(name=node.name).SerializeToString()
            file.write(prefix(100, len(head) + sum(len(start) + size for start, size in framed)) + head)
            for start, size in framed:
                file.write(start)
                file.seek(size, os.SEEK_CUR)
        file.truncate()
    with open_caffemodel(path) as weights:
        yield weights


def add_layer(net: Any, name: str, blobs: Sequence[Array], **fields: Any) -> None:
    """Add a layer with BLOBS to NET."""
    layer = net.layer.add(name=name, **fields)
    for blob in blobs:
        layer.blobs.add(data=np.ravel(blob), shape={"dim": np.shape(blob)})


def blobs_of(path: Path) -> dict[str, list[Array]]:
    """The parameter blobs in the caffemodel at PATH by layer, read by protobuf alone."""
    net = schema.NetParameter.FromString(path.read_bytes())
    return {each.name: [np.array(b.data, np.float32).reshape([*b.shape.dim]) for b in each.blobs] for each in net.layer}


def load(
    net: ShapedNet, weights: WeightFile, outputs: Sequence[str] = (), *, fixed: bool = False
) -> OnnxRuntimeSession:
    """NET loaded by the default engine, on one thread."""
    return OnnxRuntime(1, fixed=fixed).load(net, weights, outputs=outputs)


def difference(found: Array, expected: Array) -> float:
    """The largest difference, against the range of what is EXPECTED."""
    assert found.shape == expected.shape and found.dtype == np.float32
    assert np.isfinite(found).all()
    return float(np.max(abs(found - expected), initial=0) / max(np.max(abs(expected), initial=0), 1e-30))


def opened(source: SourceNet, weights: WeightFile | None = None) -> Net:
    """SOURCE with WEIGHTS as the library has them."""
    return Net(meet(source, weights))
