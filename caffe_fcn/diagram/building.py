"""Makes a diagram of a graph: in-place layers are folded into the box of the layer that made their blob."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from caffe_fcn.diagram.numbers import about, numbers
from caffe_fcn.diagram.records import Diagram, DrawnBlob, DrawnBox, DrawnLayer, Mark, Wire
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shapes


class LayerMark(NamedTuple):
    """How a layer differs from the other net of a comparison, and what differs."""

    mark: Mark
    remarks: tuple[str, ...]


_UNMARKED = LayerMark("", ())


def diagram_of(
    graph: Graph, shapes: Shapes, title: str = "", marks: Mapping[int, LayerMark] = MappingProxyType({})
) -> Diagram:
    """The drawing of GRAPH, whose blobs have SHAPES. TITLE names the net. MARKS are those of layers, by their index."""
    groups: list[list[Node]] = []
    owner: dict[Blob, int] = {}
    for node in graph.nodes:
        if _is_folded(node, graph):
            group = owner[node.bottoms[0]]
            groups[group].append(node)
        else:
            group = len(groups)
            groups.append([node])
        owner.update(dict.fromkeys(node.tops, group))
    wires = []
    for target, group_nodes in enumerate(groups):
        for blob in dict.fromkeys(group_nodes[0].bottoms):
            source = owner[blob]
            wires.append(Wire(source, _made(groups[source]).index(blob), target))
    boxes = [_box(nodes, graph, shapes, marks) for nodes in groups]
    return Diagram(title, tuple(boxes), tuple(wires))


def _is_folded(node: Node, graph: Graph) -> bool:
    """Whether NODE works in place on the only top of a layer, which nothing else reads before."""
    if len(node.bottoms) != 1 or len(node.tops) != 1 or node.tops[0].name != node.bottoms[0].name:
        return False
    below = node.bottoms[0]
    return len(graph.producer[below].tops) == 1 and len(graph.consumers[below]) == 1


def _made(nodes: list[Node]) -> tuple[Blob, ...]:
    """The blobs that leave the box of NODES: those of its last layer, as all but the first work in place."""
    return nodes[-1].tops


def _box(nodes: list[Node], graph: Graph, shapes: Shapes, marks: Mapping[int, LayerMark]) -> DrawnBox:
    blobs = []
    for blob in _made(nodes):
        shape = shapes.blobs.get(blob)
        blobs.append(DrawnBlob(blob.name, shape if isinstance(shape, tuple) else None, blob not in graph.consumers))
    first, *rest = (_layer(node, shapes, marks) for node in nodes)
    return DrawnBox(first, tuple(rest), tuple(blobs), _is_input(nodes[0]))


def _is_input(node: Node) -> bool:
    row = row_of(node.type)
    return not node.bottoms and bool(node.tops) and not row.constant


def _layer(node: Node, shapes: Shapes, marks: Mapping[int, LayerMark]) -> DrawnLayer:
    row = row_of(node.type)
    found = marks.get(node.index, _UNMARKED)
    return DrawnLayer(
        index=node.index,
        name=node.name,
        type=node.type,
        family=row.family if row.known else "unknown",
        numbers=numbers(node, shapes),
        about=(*about(node, shapes), *found.remarks),
        mark=found.mark,
        remarks=found.remarks,
    )
