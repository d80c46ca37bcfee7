"""Real nets: everything that holds of a drawing holds of theirs."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from caffe_fcn.diagram.building import diagram_of
from caffe_fcn.diagram.dot import dot_file
from caffe_fcn.diagram.drawing import drawing_of
from caffe_fcn.diagram.svg import svg_file
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import infer_shapes
from tests.diagram.test_dot import check as check_dot
from tests.diagram.test_drawing import check
from tests.net.nets import read_net
from tests.paths import CORPUS

NETS = {
    "BVLC+caffe": "AlexNet and others",
    "KaimingHe+deep-residual-networks": "ResNet",
    "shelhamer+fcn.berkeleyvision.org": "FCN",
    "TimoSaemann+ENet": "ENet",
    "weiliu89+caffe": "SSD",
}
FILES = [path for name in NETS for path in sorted((CORPUS / name).glob("*.prototxt"))]
FEW = FILES[:: max(1, len(FILES) // 12)]


@pytest.mark.thorough
@pytest.mark.skipif(not FILES, reason=f"the corpus of real nets is not at {CORPUS}")
def test_real_nets_are_drawn() -> None:
    drawn = 0
    for path in FEW:
        net = read_net(path)
        if (net.layer and net.layer[0].type in ("Input", "Data")) or net.input:
            graph = build_graph(net)
            diagram = diagram_of(graph, infer_shapes(graph), path.name)
            drawing = drawing_of(diagram)
            check(drawing)
            ElementTree.fromstring(svg_file(drawing))
            check_dot(dot_file(diagram))
            drawn += 1
    assert drawn > 5
