"""Marks in the drawings of two nets what differs, and finds the boxes that belong together.

Which layers belong together, and what differs, is what `compare/` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe_fcn.compare.layers import compare_graphs
from caffe_fcn.compare.records import ChangedField, LayerMatch, LayerPair
from caffe_fcn.diagram.building import LayerMark, diagram_of
from caffe_fcn.diagram.records import Comparison, Diagram, Mark
from caffe_fcn.display import printable
from caffe_fcn.inspection.words import shape_of
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.shapes import Shapes

_LONGEST, _MOST = 60, 12
"""The characters of a value that are shown, and the maximum number of remarks on a layer."""


def comparison_of(old: Graph, shapes: Shapes, new: Graph, others: Shapes, titles: tuple[str, str]) -> Comparison:
    """The drawings of the nets OLD and NEW, whose blobs have SHAPES and OTHERS; TITLES name them."""
    pairs = compare_graphs(old, shapes, new, others)
    before = {pair.old.index: LayerMark(_mark(pair), tuple(_now(pair))) for pair in pairs if pair.old is not None}
    after = {pair.new.index: LayerMark(_mark(pair), tuple(_was(pair))) for pair in pairs if pair.new is not None}
    one, other = diagram_of(old, shapes, titles[0], before), diagram_of(new, others, titles[1], after)
    return Comparison(f"{titles[0]}, compared with {titles[1]}", one, other, [*_twins(pairs, one, other)])


def _mark(pair: LayerPair) -> Mark:
    if pair.old is None or pair.new is None:
        return "new" if pair.old is None else "gone"
    if pair.match is LayerMatch.REPLACED or pair.retyped:
        return "replaced"
    return "changed" if pair.changed else ""


def _now(pair: LayerPair) -> Iterator[str]:
    """What is said of the old layer of PAIR."""
    if pair.new is not None and (pair.retyped or pair.renamed):
        yield f"now {_called(pair.new, pair)}"


def _was(pair: LayerPair) -> Iterator[str]:
    """What is said of the new layer of PAIR."""
    if pair.old is None or pair.new is None:
        return
    if pair.retyped or pair.renamed:
        yield f"was {_called(pair.old, pair)}"
    if pair.rewired:
        yield "reads another blob"
    if not pair.retyped:
        yield from map(_field, pair.fields[:_MOST])
    yield from (f"shape was {shape_of(each.old)}" for each in pair.shapes[:_MOST])


def _called(node: Node, pair: LayerPair) -> str:
    return f"{printable(node.name, _LONGEST)} ({node.type})" if pair.retyped else printable(node.name, _LONGEST)


def _field(field: ChangedField) -> str:
    old, new = (
        "not given" if value is None else printable(value, _LONGEST)
        for value in (field.old or field.default, field.new or field.default)
    )
    return f"{printable(field.path.rpartition('.')[2], _LONGEST)} {old} → {new}"


def _twins(pairs: Sequence[LayerPair], old: Diagram, new: Diagram) -> Iterator[tuple[int, int]]:
    """The boxes of layers in PAIRS; a layer that is folded in one of the nets has none."""
    olds = {box.layer.index: at for at, box in enumerate(old.boxes)}
    news = {box.layer.index: at for at, box in enumerate(new.boxes)}
    for pair in pairs:
        if pair.old is not None and pair.new is not None and pair.old.index in olds and pair.new.index in news:
            yield olds[pair.old.index], news[pair.new.index]
