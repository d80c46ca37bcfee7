"""Selects the part of a net to be lowered: the layers that the outputs of the net in use, or the chosen blobs, need."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from caffe_fcn.errors import LoweringError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.in_use import in_use, inputs, needed
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shapes
from caffe_fcn.wording import command

ALL: Final = "*"
"""Selects every blob as an output."""

_COMPARED = 200
"""The number of characters of a name that are compared with another name."""
_TOLD = 8
"""The maximum number of blobs in a message."""


@dataclass(frozen=True)
class Scope:
    """The part of a net to be lowered: GRAPH and the SHAPES of its blobs, its inputs and its outputs.

    LEFT_OUT are the names of the layers that a net in use does not need.
    """

    graph: Graph
    shapes: Shapes
    inputs: tuple[Blob, ...]
    outputs: tuple[Blob, ...]
    left_out: tuple[str, ...]


def choose_scope(graph: Graph, shapes: Shapes, wanted: Sequence[str] = ()) -> Scope:
    """Return the part of GRAPH that its outputs need, or the blobs in WANTED; ALL selects every blob.

    Raises LoweringError if no layer is left or a wanted blob is not in the net.
    """
    net = in_use(graph, shapes)
    outputs = _wanted(graph, net.nodes, wanted) if wanted and ALL not in wanted else net.outputs
    if not outputs:
        raise LoweringError(
            source=graph.source,
            expected="a net with outputs",
            found="none after leaving out losses, measures and the layers that only they use",
            hint="name the output blobs",
        )
    kept = needed(net.nodes, outputs)
    fed = inputs(kept)
    if ALL in wanted:
        made = [blob for node in kept if not set(fed).intersection(node.tops) for blob in node.tops]  # not the labels
        later = {Blob(blob.name, blob.version - 1) for blob in made}
        outputs = tuple(blob for blob in made if blob not in later)
    return Scope(graph.made_of(kept), net.shapes, fed, outputs, net.left_out)


def _wanted(graph: Graph, nodes: Sequence[Node], names: Sequence[str]) -> tuple[Blob, ...]:
    """Return the last version of each blob in NAMES."""
    made = {blob.name: blob for node in nodes if node.bottoms or row_of(node.type).constant for blob in node.tops}
    for name in names:
        if name not in made:
            why = "is not a blob of the net"
            if (latest := graph.latest(name)) is not None:
                fed = not graph.producer[latest].bottoms and any(latest in node.bottoms for node in nodes)
                why = "is an input of the net" if fed else "is used only for training, which is not run"
            found = ", ".join(map(repr, _nearest(name, made)))
            more = len(made) - _TOLD
            rest = f" and {more:,} more (see {command('inspect')})" if more > 0 else ""
            raise LoweringError(f"{name!r} {why}", source=graph.source, hint=f"expected one of {found}{rest}")
    return tuple(made[name] for name in dict.fromkeys(names))


def _nearest(name: str, candidates: Collection[str]) -> list[str]:
    """Return the CANDIDATES that are spelled most like NAME, the nearest first."""
    from difflib import SequenceMatcher  # here, because only an error needs it

    def likeness(other: str) -> float:
        return SequenceMatcher(None, name[:_COMPARED].lower(), other[:_COMPARED].lower()).ratio()

    return sorted(candidates, key=likeness, reverse=True)[:_TOLD]
