"""The drawing of the net on the page: each layer in it is a link to its section."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_fcn.diagram.building import diagram_of
from caffe_fcn.diagram.colours import FAMILY_NAMES
from caffe_fcn.diagram.drawing import drawing_of
from caffe_fcn.diagram.svg import svg_part
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.shapes import Shapes
from caffe_fcn.page.layers import anchor_of


@dataclass(frozen=True)
class GraphPanel:
    """The SVG of a net, and the FAMILIES of layers in it, by their names in CSS, with those in its legend."""

    svg: str
    families: tuple[tuple[str, str], ...]


def graph_panel(graph: Graph, shapes: Shapes, title: str) -> GraphPanel:
    """Return the drawing of GRAPH with blobs of SHAPES; TITLE names it."""
    positions = {node.index: position for position, node in enumerate(graph.nodes)}
    diagram = diagram_of(graph, shapes, title)
    there = {layer.family for box in diagram.boxes for layer in box.layers}
    svg = svg_part(drawing_of(diagram, heading=False), lambda index: f"#{anchor_of(positions[index])}")
    return GraphPanel(svg, tuple((family, name) for family, name in FAMILY_NAMES.items() if family in there))
