"""What Caffe accepts, and with which shapes: verdicts of the reference Caffe on tiny nets, each around one question."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems import examine
from caffe_fcn.net.selection import graph_of
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.source import read_net
from tests.net.test_corpus_shapes import by_caffe
from tests.paths import GOLDEN

CASES = GOLDEN / "accepts"
VERDICTS: dict[str, dict[str, Any]] = json.loads((CASES / "index.json").read_text(encoding="utf-8"))
EMPTY = {name for name in VERDICTS if name.startswith(("legacy_empty-", "legacy_inputs-"))}
"""Nets without layers. Caffe builds them, this program does not."""


def test_the_cases_are_all_there() -> None:
    assert len(VERDICTS) == 325 and {path.stem for path in CASES.glob("*.prototxt")} == VERDICTS.keys()


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(VERDICTS.keys() - EMPTY))
def test_strictly_the_verdict_is_caffes(name: str) -> None:
    verdict = VERDICTS[name]
    found = examine((CASES / f"{name}.prototxt").read_bytes(), name, Selection(verdict["phase"]))
    assert (found.strictly().errors == ()) is verdict["accepted"], (verdict, found.problems)
    assert found.errors == () or not verdict["accepted"]


@pytest.mark.parametrize("name", [name for name in sorted(VERDICTS.keys() - EMPTY) if VERDICTS[name]["accepted"]])
def test_the_shapes_are_caffes(name: str) -> None:
    source = read_net(CASES / f"{name}.prototxt")
    graph = graph_of(source.net, source, Selection(), VERDICTS[name]["phase"])
    inputs = [node for node in graph.nodes if node.type == "Input" and not node.layer.input_param.shape]
    untold = {blob.name: () for node in inputs for blob in node.tops}  # what is not told has no axes to Caffe
    shapes = infer_shapes(graph, given=untold).blobs
    wanted = {blob: tuple(shape) for blob, shape in VERDICTS[name]["blobs"].items() if not by_caffe(blob)}
    assert {blob.name: shape for blob, shape in shapes.items()} == wanted
