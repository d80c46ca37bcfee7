"""Shape inference against the real nets that the reference Caffe was asked about, in the TEST phase."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import Unknown, infer_shapes
from tests.net.nets import read_net
from tests.paths import CORPUS

MANIFEST = CORPUS / "manifest.json"
ENTRIES: list[dict[str, Any]] = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else []
MEASURED = [entry for entry in ENTRIES if "measured" in entry]
needs_corpus = pytest.mark.skipif(not ENTRIES, reason=f"the corpus of real nets is not at {CORPUS}")


def by_caffe(name: str) -> bool:
    """Whether Caffe adds the blob NAME by itself: a copy for another reader, or the top of a loss without one."""
    return "_split_" in name or name == "(automatic)"


@needs_corpus
def test_the_corpus_has_measured_nets() -> None:
    assert len(MEASURED) > 100


@pytest.mark.thorough
@needs_corpus
@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: entry["file"])
def test_a_measured_net(entry: dict[str, Any]) -> None:
    measured = entry["measured"]
    graph = build_graph(read_net(CORPUS / entry["file"]))
    shapes = infer_shapes(graph)
    blobs = {blob.name: shape if isinstance(shape, Unknown) else list(shape) for blob, shape in shapes.blobs.items()}
    wanted = {name: shape for name, shape in measured["blobs"].items() if not by_caffe(name)}
    assert {name: shape for name, shape in blobs.items() if not by_caffe(name)} == wanted
    params = {node.name: [list(shape) for shape in shapes.params[node.index]] for node in graph.nodes}
    assert {name: shape for name, shape in params.items() if shape} == measured["params"]
    outputs = {blob.name for blob in graph.outputs}
    assert {name for name in outputs if not by_caffe(name)} == {
        name for name in measured["outputs"] if not by_caffe(name)
    }
