"""Diagrams for the tests of this directory."""

from __future__ import annotations

from typing import Any

from caffe_fcn.diagram.building import diagram_of
from caffe_fcn.diagram.records import Diagram, DrawnBlob, DrawnBox, DrawnLayer, Wire
from caffe_fcn.net.shapes import infer_shapes
from tests.net.nets import graph_of


def drawn(text: str, **options: Any) -> Diagram:
    """The diagram of the net that TEXT describes."""
    graph = graph_of(text, **options)
    return diagram_of(graph, infer_shapes(graph), "net")


def layer(index: int, name: str = "") -> DrawnLayer:
    """A layer without meaning."""
    return DrawnLayer(index, name or f"layer{index}", "Any", "other", "", (f"layer{index}",))


def made_of(boxes: int, wires: set[tuple[int, int]], ports: int = 1) -> Diagram:
    """A diagram of so many BOXES, with PORTS blobs each, and with WIRES between them, from the earlier to the later."""
    read = {source for source, _ in wires}
    found = []
    for box in range(boxes):
        blobs = tuple(DrawnBlob(f"blob{box}_{port}", (1, port + 1), box not in read) for port in range(ports))
        found.append(DrawnBox(layer(box), (), blobs, not any(target == box for _, target in wires)))
    return Diagram("net", found, [Wire(source, (source + target) % ports, target) for source, target in sorted(wires)])
