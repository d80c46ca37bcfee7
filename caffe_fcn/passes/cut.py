"""Cuts an InnerProduct over several flattened and concatenated maps into one InnerProduct for each map, and a sum.

The columns of its weight matrix belong to the blobs that the Concat joins,

    W·(x1, x2, ...) + b = W1·x1 + W2·x2 + ... + b,

so W is cut at the joints. Then each map can stay a map and has a window of its own, although the grids differ. The
columns are read from the old matrix when they are written. In one phase of a net:

1. find each InnerProduct that reads a Concat of vectors and shares no parameters with another layer;
2. cut it if these vectors are flattened maps of different grids;
3. drop the Concat if no other layer reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from caffe_fcn import schema
from caffe_fcn.model.changes import Change, Decision, DropLayer, NewLayer
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Phase, Result, in_every_phase
from caffe_fcn.model.tensors import Columns, Tensor
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.shape import joined_axis
from caffe_fcn.net.shapes import Shape, Shapes
from caffe_fcn.schema import Message

_VECTOR = 2
"""The axes of a batch of vectors."""
_RULES = ("include", "exclude", "phase")
"""The fields that say to which nets a layer belongs."""


class GridPart(NamedTuple):
    """A new InnerProduct: its name, its bottom and top, and which columns of the old matrix it takes, first..last."""

    name: str
    bottom: str
    top: str
    first: int
    last: int


@dataclass(frozen=True, repr=False)
class CutColumns(Change):
    """An InnerProduct becomes its parts. The first keeps the bias; an Eltwise with the old name sums the parts."""

    parts: tuple[GridPart, ...]
    columns: int
    """The number of columns of the old matrix."""
    transposed: bool
    """Whether the weights are stored transposed."""
    kind: ClassVar[str] = "cut"
    said: ClassVar[tuple[str, ...]] = ("inner_product_param",)

    @property
    def new_name(self) -> str:
        return self.parts[0].name

    def apply(self, target: Message) -> None:
        _name(target, self.parts[0])

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (self._columns(old[0], self.parts[0]), *old[1:]) if old else old

    def behind(self, layer: Message, tensors: tuple[Tensor, ...]) -> Sequence[NewLayer]:
        made = [
            NewLayer(_part(layer, part), tuple(self._columns(each, part) for each in tensors[:1]))
            for part in self.parts[1:]
        ]
        tops = [part.top for part in self.parts]
        total = schema.LayerParameter(name=self.layer, type="Eltwise", bottom=tops, top=layer.top[:1])
        for field in _RULES:
            if schema.is_repeated(total.DESCRIPTOR.fields_by_name[field]):
                getattr(total, field).MergeFrom(getattr(layer, field))
            elif layer.HasField(field):
                setattr(total, field, getattr(layer, field))
        return [*made, NewLayer(total)]

    def describe(self) -> str:
        return f"columns cut into {', '.join(part.name for part in self.parts)}, and summed"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "into": [part.name for part in self.parts]}

    def _columns(self, weights: Tensor, part: GridPart) -> Tensor:
        """The columns of WEIGHTS for PART; they are rows if the weights are stored transposed."""
        outputs, width = weights.count // self.columns, part.last - part.first
        if self.transposed:
            first, last = part.first * outputs, part.last * outputs
            return Columns(weights, weights.count, first, last, (width, outputs))
        return Columns(weights, self.columns, part.first, part.last, (outputs, width))


def cut(model: Model, wanted: Callable[[str], bool] = lambda name: True) -> Result:
    """MODEL with each InnerProduct over joined maps of different grids cut, if WANTED accepts its name."""
    taken = {name for layer in model.net.layer for name in (layer.name, *layer.top)}
    return in_every_phase(model, lambda phase: _decide(phase, wanted, taken), claim=Claim.SAME_FUNCTION, verb="cut")


def retrace(model: Model, twin: Model) -> Result | None:
    """Return MODEL cut, if the new net TWIN has more sums, and if a layer is cut."""
    phases = model.graphs.keys() & twin.graphs.keys()
    if not any(_sums(model.graphs[phase]) < _sums(twin.graphs[phase]) for phase in phases):
        return None
    made = cut(model)
    return made if made.changes else None


def _sums(graph: Graph) -> int:
    """How many layers of GRAPH join blobs value by value."""
    return sum(node.type == "Eltwise" for node in graph.nodes)


def _decide(phase: Phase, wanted: Callable[[str], bool], taken: set[str]) -> Decision:
    changes: list[Change] = []
    graph, made = phase.graph, set[int]()
    for node in graph.nodes:
        if node.type == "InnerProduct" and wanted(node.name) and (parts := _parts(node, phase, taken)):
            transposed = bool(node.layer.inner_product_param.transpose)
            changes.append(CutColumns(node.index, node.name, parts, parts[-1].last, transposed))
            made.add(node.index)
    for node in graph.nodes:
        readers = graph.consumers.get(node.tops[0], ()) if node.type == "Concat" else ()
        if readers and all(reader.index in made for reader in readers):
            changes.append(DropLayer(node.index, node.name, node.type))
    return Decision(tuple(sorted(changes, key=lambda change: change.index)))


def _parts(node: Node, phase: Phase, taken: set[str]) -> tuple[GridPart, ...]:
    """The parts that NODE is cut into; none where it is not of that kind."""
    graph, shapes = phase.graph, phase.shapes
    join = graph.producer[node.bottoms[0]]
    joined, param = _shape(shapes, node.bottoms[0]), node.layer.inner_product_param
    vectors = len(joined) == _VECTOR and param.axis % _VECTOR == 1
    if join.type != "Concat" or not vectors or any(each.name for each in node.layer.param):
        return ()
    if joined_axis(join.layer, joined) != 1 or len(set(grids := [_grid(blob, phase) for blob in join.bottoms])) < 2:
        return ()
    if None in grids or any(_overwritten(blob, node, phase) for blob in join.bottoms):
        return ()
    widths = [_shape(shapes, blob)[1] for blob in join.bottoms]
    names = [f"{{}}_{number}" for number in range(1, len(widths) + 1)]
    if any(each.format(name) in taken for each in names for name in (node.name, node.tops[0].name)):
        return ()
    starts = [sum(widths[:place]) for place in range(len(widths))]
    return tuple(
        GridPart(each.format(node.name), blob.name, each.format(node.tops[0].name), start, start + width)
        for each, blob, start, width in zip(names, join.bottoms, starts, widths, strict=True)
    )


def _grid(blob: Blob, phase: Phase) -> Shape | None:
    """The spatial axes of the map that was flattened into BLOB; None if BLOB is no flattened map."""
    while len(_shape(phase.shapes, blob)) == _VECTOR:
        maker = phase.graph.producer[blob]
        if row_of(maker.type).order is None or not maker.bottoms:
            return None
        blob = maker.bottoms[0]
    return _shape(phase.shapes, blob)[2:] or None


def _shape(shapes: Shapes, blob: Blob) -> Shape:
    shape = shapes.blobs[blob]
    return shape if isinstance(shape, tuple) else ()


def _overwritten(blob: Blob, reader: Node, phase: Phase) -> bool:
    """Whether a layer changes BLOB in place after the Concat and before READER."""
    later = phase.graph.producer.get(Blob(blob.name, blob.version + 1))
    return later is not None and later.index < reader.index


def _name(layer: Message, part: GridPart) -> None:
    layer.name = part.name
    layer.bottom[:] = [part.bottom]
    layer.top[:] = [part.top]


def _part(layer: Message, part: GridPart) -> Message:
    """PART of LAYER, without a bias."""
    made = schema.LayerParameter()
    made.CopyFrom(layer)
    _name(made, part)
    made.inner_product_param.bias_term = False
    made.inner_product_param.ClearField("bias_filler")
    del made.param[1:]
    return made
