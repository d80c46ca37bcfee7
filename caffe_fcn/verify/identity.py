"""Finds blobs of two nets that have the same values for any input, without running the nets.

A blob is identified by its producer: the type of the layer, its fields, its parameter blobs and the blobs that it
reads, down to the inputs. If all of that is equal, the values are equal, so nets that no engine can run are covered
too. Unlike in the pairing, only layers that do nothing are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from caffe_fcn.compare.effective import effective, hashable
from caffe_fcn.compare.numbering import source_names
from caffe_fcn.net.geometry import is_idle
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shapes

Stored = Callable[[Node], object]
"""Gives a key that is equal for layers with the same parameter blobs; None for a layer without any."""


class BlobNumbers(NamedTuple):
    """Numbers for the blobs of a net: equal ones for equal STRUCTURE (layers and wiring), and for equal VALUES."""

    structure: Mapping[Blob, int]
    values: Mapping[Blob, int]


def identify(
    original: tuple[Graph, Shapes, Stored], twin: tuple[Graph, Shapes, Stored]
) -> tuple[BlobNumbers, BlobNumbers]:
    """The numbers of the blobs of both nets, from one table."""
    table: dict[tuple[object, ...], int] = {}
    renamed = source_names(original[0], twin[0])
    ours, theirs = (
        BlobNumbers(
            _numbered(table, graph, shapes, sources, lambda node: None),
            _numbered(table, graph, shapes, sources, stored),
        )
        for (graph, shapes, stored), sources in ((original, {}), (twin, renamed))
    )
    return ours, theirs


def _numbered(
    table: dict[tuple[object, ...], int], graph: Graph, shapes: Shapes, sources: Mapping[str, str], stored: Stored
) -> dict[Blob, int]:
    """A number for each blob of GRAPH, from TABLE, which both nets share. SOURCES: the names of its inputs in the other
    net."""
    blobs: dict[Blob, int] = {}
    for node in graph.nodes:
        if node.bottoms and (row_of(node.type).unchanging(node.layer) or is_idle(node, shapes.blobs)):
            blobs.update(dict.fromkeys(node.tops, blobs[node.bottoms[0]]))
            continue
        made: tuple[object, ...] = ()
        if node.bottoms or row_of(node.type).constant:
            made = (node.type, hashable(effective(node, shapes, graph.phase)), stored(node))
            made += tuple(blobs[bottom] for bottom in node.bottoms)
        for place, top in enumerate(node.tops):
            shape = shapes.blobs.get(top)
            known = shape if isinstance(shape, tuple) else None
            key = (*made, place) if node.bottoms else (*made, sources.get(top.name, top.name), known)
            blobs[top] = table.setdefault(key, len(table))
    return blobs
