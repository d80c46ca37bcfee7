"""The models that come with the program, and the nets of the corpus: lowered, checked, and the small ones run."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.errors import CaffeFcnError, LoweringError
from caffe_fcn.net.graph import Blob, build_graph
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.source import read_net
from caffe_fcn.onnx.graph import Value
from caffe_fcn.onnx.lowering import Lowered, lower
from caffe_fcn.onnx.serialization import lay_out
from tests.engines.nets import hollow_weights, load
from tests.paths import CORPUS, ROOT

MODELS = sorted((ROOT / "models").glob("*.prototxt"))
RUN = {"lenet", "alexnet", "googlenet"}
"""Models small enough to be run here."""

MANIFEST = CORPUS / "manifest.json"
ENTRIES: list[dict[str, Any]] = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else []
MEASURED = sorted(CORPUS / entry["file"] for entry in ENTRIES if "measured" in entry)
needs_corpus = pytest.mark.skipif(not ENTRIES, reason=f"the corpus of real nets is not at {CORPUS}")
REFUSED = {"LSTM", "Python", "Filter", "RNN", "LSTMUnit"}
"""The types that stand in the way of the measured nets that are not lowered."""


def net_in(path: Path) -> ShapedNet:
    graph = build_graph(read_net(path).net, source=path.name)
    return ShapedNet(graph, infer_shapes(graph))


def check(lowered: Lowered) -> dict[str, tuple[int, ...]]:
    """Hand the graph, its weights as inputs, to the checker; the shapes that ONNX infers, by value."""
    graph = lowered.graph
    weights = [each for each in graph.constants if not isinstance(each.data, bytes)]
    graph = graph._replace(
        constants=tuple(each for each in graph.constants if isinstance(each.data, bytes)),
        inputs=(*graph.inputs, *(Value(each.name, each.dims) for each in weights)),
    )
    parts = [part for part in lay_out(graph, {}).model if isinstance(part, bytes)]
    model = onnx.ModelProto.FromString(b"".join(parts))
    onnx.checker.check_model(model)
    made = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    return {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in (*made.value_info, *made.output)
    }


@pytest.mark.thorough
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_is_lowered_and_runs(path: Path, tmp_path: Path) -> None:
    net = net_in(path)
    with hollow_weights(net, tmp_path / "net.caffemodel") as weights:
        lowered = lower(net.graph, net.shapes, weights)
        inferred = check(lower(net.graph, net.shapes, weights, fixed=True))
        assert inferred["prob"] == net.shapes.blobs[Blob("prob", 0)]
        assert lowered.inputs["data"].dims[0] == "batch" and not lowered.left_out
        if path.stem in RUN:
            session = load(net, weights)
            shape = tuple(extent or 1 for extent in net.shapes.blobs[Blob("data", 0)])  # type: ignore[union-attr]
            made = session.run({"data": np.ones(shape)})["prob"]
            assert made.sum() == pytest.approx(len(made), rel=1e-5)


@pytest.mark.slow
@needs_corpus
def test_measured_nets_are_lowered(tmp_path: Path) -> None:
    """Nearly all of them; what ONNX infers of their blobs is what Caffe gave them, and what is refused says why."""
    lowered_nets, refused = 0, Counter[str]()
    for path in MEASURED:
        net = net_in(path)
        with hollow_weights(net, tmp_path / "w") as weights:
            try:
                lowered = lower(net.graph, net.shapes, weights, fixed=True)
            except LoweringError as error:
                refused.update(set(re.findall(r'" \((\w+)\)', str(error))))
                continue
        lowered_nets += 1
        inferred = check(lowered)
        last = {blob.name: blob for node in lowered.scope.graph.nodes if node.bottoms for blob in node.tops}
        for name, blob in last.items():
            if name in lowered.inputs:
                continue  # worked on in place: the name is that of what is fed
            assert inferred.get(name, ()) == lowered.scope.shapes.blobs[blob], f"{path.name}: {name}"
    print(f"\n{lowered_nets} of {len(MEASURED)} measured nets are lowered; in the way of the others: {dict(refused)}")
    assert lowered_nets >= 0.85 * len(MEASURED)
    assert refused.keys() <= REFUSED


@pytest.mark.slow
@needs_corpus
def test_other_nets_are_lowered_or_refused_in_one_line(tmp_path: Path) -> None:
    """A third of the nets that Caffe could not load, forks' among them, at sizes that are free."""
    lowered_nets = 0
    for path in sorted({CORPUS / entry["file"] for entry in ENTRIES} - set(MEASURED))[::3]:
        try:
            net = net_in(path)
        except CaffeFcnError:
            continue  # broken, or of a fork that says shapes otherwise: a matter for the tests of nets
        try:
            with hollow_weights(net, tmp_path / "w") as weights:
                check(lower(net.graph, net.shapes, weights))
            lowered_nets += 1
        except CaffeFcnError as error:
            assert "\n" not in str(error) and path.name in str(error)
    assert lowered_nets > 8
