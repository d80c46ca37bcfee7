"""Compares the layers of both nets field by field: part of the first proof.

Correct weights do not help if a layer computes something else, and an error in a field may be too small for the answers
to show it. Layers without a counterpart are found by the other comparisons, by their parameter blobs or outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from caffe_fcn.compare.numbering import number_both
from caffe_fcn.net.graph import Blob
from caffe_fcn.verify.fields import differing
from caffe_fcn.verify.identity import identify
from caffe_fcn.verify.records import FieldDifference
from caffe_fcn.verify.weights import Side


def compare_layers(original: Side, twin: Side) -> tuple[FieldDifference, ...]:
    """The fields in which layers of TWIN differ from their counterparts in ORIGINAL, in every phase."""
    found = (each for phase in original.graphs if phase in twin.graphs for each in _in_phase(original, twin, phase))
    return tuple(dict.fromkeys(found))


def _in_phase(original: Side, twin: Side, phase: str) -> Iterator[FieldDifference]:
    graph, shapes = original.graphs[phase], original.shapes[phase]
    other_graph, other_shapes = twin.graphs[phase], twin.shapes[phase]
    ours, theirs = number_both(graph, other_graph)
    before, after = identify((graph, shapes, _nothing), (other_graph, other_shapes, _nothing))
    for number, node in ours.layers.items():
        other = theirs.layers.get(number)
        if other is not None:
            same_axes = _numbers(before.structure, node.bottoms) == _numbers(after.structure, other.bottoms)
            yield from differing(node, shapes, other, other_shapes, phase=phase, same_axes=same_axes)


def _nothing(node: object) -> None:
    return None


def _numbers(structure: Mapping[Blob, int], blobs: tuple[Blob, ...]) -> list[int]:
    return [structure[blob] for blob in blobs]
