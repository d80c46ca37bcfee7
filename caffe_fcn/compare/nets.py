"""Puts together what differs between two nets in their phases: each pair of layers is told once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from caffe_fcn.compare.layers import compare_graphs
from caffe_fcn.compare.records import ChangedShape, LayerDiff, LayerPair
from caffe_fcn.compare.views import NO_SHAPES, Views
from caffe_fcn.net.graph import Node

_RULES = ("include[", "exclude[")

_Key: TypeAlias = "tuple[int | None, int | None]"
"""The indices of a pair of layers; None for a layer that is not there."""

_Merged: TypeAlias = "dict[_Key, tuple[LayerPair, list[str]]]"
"""Pairs of layers with the phases in which they were found."""


def layers_of(views: Views, *, rules: bool) -> list[LayerDiff]:
    """The layers of both nets, from all phases, in the order of the new net; those that are gone where they were.
    RULES: whether phase rules count; a caffemodel has none."""
    merged: _Merged = {}
    for phase, (before, after) in views.phases.items():
        for pair in compare_graphs(before.graph, before.shapes, after.graph, after.shapes):
            _merge(merged, pair, phase)
    _drop_paired(merged)
    rest = [
        graph.made_of((*_of_one(merged, place), *graph.nodes)) for place, graph in enumerate(views.left)
    ]  # layers that are paired in no phase may be in different ones
    for pair in compare_graphs(rest[0], NO_SHAPES, rest[1], NO_SHAPES) if any(graph.nodes for graph in rest) else ():
        _merge(merged, pair, "")
    _drop_paired(merged)
    every = len(views.phases)
    return [_layer(pair, phases, every, rules=rules) for pair, phases in _ordered(merged)]


def _merge(merged: _Merged, pair: LayerPair, phase: str) -> None:
    """Add PAIR, found in PHASE, to MERGED; "" is no phase."""
    key = (None if pair.old is None else pair.old.index, None if pair.new is None else pair.new.index)
    pair = pair._replace(shapes=tuple(each._replace(phases=(phase,)) for each in pair.shapes))
    known, phases = merged.get(key, (pair, []))
    if known is not pair:
        fields = tuple(dict.fromkeys((*known.fields, *pair.fields)))
        shapes = tuple(_merged_shapes((*known.shapes, *pair.shapes)))
        makers = known.makers or pair.makers
        pair = known._replace(fields=fields, shapes=shapes, rewired=known.rewired or pair.rewired, makers=makers)
    merged[key] = pair, [*phases, *([phase] if phase else [])]


def _merged_shapes(shapes: Sequence[ChangedShape]) -> Iterator[ChangedShape]:
    """SHAPES, those that are the same in several phases once."""
    found: dict[ChangedShape, tuple[str, ...]] = {}
    for each in shapes:
        key = each._replace(phases=())
        found[key] = (*found.get(key, ()), *each.phases)
    yield from (each._replace(phases=phases) for each, phases in found.items())


def _drop_paired(merged: _Merged) -> None:
    """Drop from MERGED the layers that have no counterpart in one phase, but have one in another."""
    olds = {old for old, new in merged if new is not None}
    news = {new for old, new in merged if old is not None}
    for old, new in list(merged):
        if (new is None and old in olds) or (old is None and new in news):
            del merged[old, new]


def _of_one(merged: _Merged, place: int) -> list[Node]:
    """The layers of the old net (PLACE 0) or the new one (1) without a counterpart."""
    found = [(pair.old, pair.new)[place] for key, (pair, _) in merged.items() if key[1 - place] is None]
    return sorted((node for node in found if node is not None), key=lambda node: node.index)


def _ordered(merged: _Merged) -> Iterator[tuple[LayerPair, list[str]]]:
    """MERGED in the order of the new net; a layer that is gone comes before the next of the old net that is not."""
    gone = sorted((old for old, new in merged if old is not None and new is None), reverse=True)
    there = sorted((new, old is None, old or 0) for old, new in merged if new is not None)
    for new, alone, old in there:
        while gone and not alone and gone[-1] < old:
            yield merged[gone.pop(), None]
        yield merged[None if alone else old, new]
    yield from (merged[old, None] for old in reversed(gone))


def _layer(pair: LayerPair, phases: Sequence[str], every: int, *, rules: bool) -> LayerDiff:
    """PAIR, found in PHASES, of EVERY phase that is compared, as it is told. RULES: whether phase rules count."""
    old, new = pair.old, pair.new
    tops = bottoms = None
    if old is not None and new is not None:
        both = [tuple(blob.name for blob in node.bottoms) for node in (old, new)]
        bottoms = (both[0], both[1]) if both[0] != both[1] or pair.rewired else None
        both = [tuple(blob.name for blob in node.tops) for node in (old, new)]
        tops = (both[0], both[1]) if both[0] != both[1] else None
    return LayerDiff(
        match=pair.match,
        old=None if old is None else old.name,
        new=None if new is None else new.name,
        old_type=None if old is None else old.type,
        new_type=None if new is None else new.type,
        phases=tuple(phases) if len(phases) < every else (),
        fields=tuple(each for each in pair.fields if rules or not each.path.startswith(_RULES)),
        rewired=pair.rewired,
        makers=pair.makers,
        bottoms=bottoms,
        tops=tops,
        shapes=tuple(
            each._replace(phases=each.phases if len(each.phases) < len(phases) else ()) for each in pair.shapes
        ),
    )
