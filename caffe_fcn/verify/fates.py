"""Finds what became of each layer of a net in a net that was made of it.

Layers are paired by name, else by what they compute and from which blobs. A layer is untouched if both have the same
type, the same fields and the same parameter blobs, bit by bit. The differences are data; they are not judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from caffe_fcn.compare.pairing import Pairing, pair_layers
from caffe_fcn.compare.reading import MatrixOrder
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.graph import Node
from caffe_fcn.net.shapes import Shape, Shapes, bare
from caffe_fcn.verify.fields import differing
from caffe_fcn.verify.identity import identify
from caffe_fcn.verify.new_function_records import BlobDifference, Fate, LayerFate
from caffe_fcn.verify.weights import Side, differing_values

_SAME = (Fate.UNTOUCHED, Fate.CONVERTED)


def fates(
    old: Side, new: Side, phase: str, names: Mapping[str, str], converted: Mapping[str, str]
) -> Iterator[LayerFate]:
    """What became of the layers of OLD in NEW in PHASE, in the order of the new net; then the layers that are gone.

    NAMES: the names in the original of layers that are renamed in OLD. CONVERTED: the types, in the original, of layers
    that are converted in OLD, by their names in the original. Raises WeightsError where a value is not finite.
    """
    pairing = pair_layers(old.graphs[phase], new.graphs[phase], names)
    shapes, others = old.shapes[phase], new.shapes[phase]
    found: dict[int, LayerFate] = {}
    for other in pairing.new.nodes:
        node = pairing.pairs.get(other.index)
        if node is None or node.type != other.type:
            former = node or pairing.replaced.get(other.index)
            fate = Fate.NEW if former is None else Fate.REPLACED
            name = None if former is None else names.get(former.name, former.name)
            kind = None if former is None else converted.get(str(name), former.type)
            found[other.index] = LayerFate(fate, name, other.name, kind, other.type)
            continue
        axes = same_axes(node, shapes, other, others)
        fields = tuple(differing(node, shapes, other, others, phase=phase, same_axes=axes))
        blobs = tuple(differing_blobs(old, new, node, other))
        rewired = not pairing.same_bottoms(node, other)
        name = names.get(node.name, node.name)
        fate = Fate.CONVERTED if name in converted else Fate.UNTOUCHED
        fate = Fate.CHANGED if fields or blobs or rewired else fate
        kind = converted.get(name, node.type)
        found[other.index] = LayerFate(
            fate, name, other.name, kind, other.type, rewired=rewired, fields=fields, blobs=blobs
        )
    same = _identical(pairing, (shapes, others), found)
    yield from (each._replace(identical=index in same) for index, each in found.items())
    for node in pairing.gone.values():
        name = names.get(node.name, node.name)
        yield LayerFate(Fate.GONE, name, None, converted.get(name, node.type), None)


def same_axes(node: Node, shapes: Shapes, other: Node, others: Shapes) -> bool:
    """Whether both layers read blobs with as many axes."""
    both = zip_longest((shapes.blobs[blob] for blob in node.bottoms), (others.blobs[blob] for blob in other.bottoms))
    return all(isinstance(one, tuple) and isinstance(two, tuple) and len(one) == len(two) for one, two in both)


def differing_blobs(
    old: Side, new: Side, node: Node, other: Node, order: MatrixOrder | None = None
) -> Iterator[BlobDifference]:
    """The parameter blobs in which OTHER, of the new net, differs from NODE. ORDER: that of the first blob of NODE, a
    matrix that is a kernel in OTHER."""
    ours, theirs = old.tensors.get(node.name, ()), new.tensors.get(other.name, ())
    for position in range(max(len(ours), len(theirs))):
        blob, twin = _at(ours, position), _at(theirs, position)
        matrix = order if position == 0 else None
        if blob is None or twin is None or not _comparable(blob, twin, matrix):
            yield BlobDifference(position, _shape(blob), _shape(twin), 0)
        elif count := differing_values(blob, twin, (old.weights.path, node.name), matrix).differing:
            yield BlobDifference(position, blob.shape, twin.shape, count)


def _comparable(blob: Tensor, twin: Tensor, order: MatrixOrder | None) -> bool:
    return bare(blob.shape) == bare(twin.shape) if order is None else blob.count == twin.count


def _shape(blob: Tensor | None) -> Shape | None:
    return None if blob is None else blob.shape


def _at(blobs: Sequence[Tensor], position: int) -> Tensor | None:
    return blobs[position] if position < len(blobs) else None


def _identical(pairing: Pairing, shapes: tuple[Shapes, Shapes], found: Mapping[int, LayerFate]) -> frozenset[int]:
    """Those of the new layers, by index, that make what the old ones made, for any input."""
    kept = {index: pairing.pairs[index] for index, each in found.items() if each.fate in _SAME}

    def stored(node: Node) -> object:
        return node.name

    def stored_in_new(node: Node) -> object:
        return kept[node.index].name if node.index in kept else ("new", node.name)

    before, after = identify((pairing.old, shapes[0], stored), (pairing.new, shapes[1], stored_in_new))
    made = {index: [before.values[top] for top in node.tops] for index, node in kept.items()}
    nodes = (other for other in pairing.new.nodes if other.index in kept)
    return frozenset(other.index for other in nodes if [after.values[top] for top in other.tops] == made[other.index])
