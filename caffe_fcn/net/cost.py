"""What a layer costs: the values it learns and keeps, the multiplications it does, the memory of what it makes.

A layer's price follows from the shapes alone, by the rule of its type (`net.layers`), and what the shapes do not tell
is None: a sum says of how many layers it knows nothing, and never guesses. Counts are those of one forward pass over
the batch that the net declares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.row import no_macs
from caffe_fcn.net.shapes import Shape, Shapes, Unknown

VALUE_BYTES = 4
"""Caffe computes in single precision."""


class ParameterBlob(NamedTuple):
    """A parameter blob. LEARNED: by training, not measured; NAME is the one it is shared under, "" for none."""

    shape: Shape
    learned: bool
    name: str

    @property
    def values(self) -> int:
        """How many values it holds."""
        return prod(self.shape)


class Cost(NamedTuple):
    """What one layer costs; None is what its shapes do not tell.

    MACS are multiplications of a value by a learned weight whose product is added up: those of convolutions,
    inner products and recurrent layers. Biases, scales, poolings and all that works value by value count nothing.
    ACTIVATION_BYTES is the memory of its tops; one that is made in place, or that Caffe lets share the data of
    another blob, takes none. REPEATS says that an earlier layer has one of its parameter blobs. SHARED_WITH names, for
    each blob that it has in common with others, the first layer that has it, or where it is that one, all others.
    """

    blobs: tuple[ParameterBlob, ...] | None
    macs: int | None
    activation_bytes: int | None
    shared_with: tuple[str, ...] = ()
    repeats: bool = False

    @property
    def parameters(self) -> int | None:
        """How many values the layer learns."""
        return None if self.blobs is None else sum(blob.values for blob in self.blobs if blob.learned)

    @property
    def statistics(self) -> int | None:
        """How many values the layer measures while it is trained: running means and variances."""
        return None if self.blobs is None else sum(blob.values for blob in self.blobs if not blob.learned)


class Total(NamedTuple):
    """The sum over LAYERS layers; what is shared among them counts once. The last three say how many layers are
    not in a sum, because their shapes are not known: each sum is then a lower bound."""

    layers: int
    parameters: int
    statistics: int
    macs: int
    activation_bytes: int
    without_parameters: int
    without_macs: int
    without_activation: int


def infer_costs(graph: Graph, shapes: Shapes) -> tuple[Cost, ...]:
    """What each node of GRAPH costs, in the order of the nodes.

    The shapes of the parameter blobs that GRAPH is known to hold stand in where the net does not tell its own, because
    the type or the input of a layer is not known.
    """
    blobs = [_blobs(node, shapes, graph.held) for node in graph.nodes]
    sharers: dict[str, list[Node]] = {}
    for node, own in zip(graph.nodes, blobs, strict=True):
        for name in dict.fromkeys(blob.name for blob in own or () if blob.name):
            sharers.setdefault(name, []).append(node)
    costs = []
    for node, own in zip(graph.nodes, blobs, strict=True):
        groups = [sharers[name] for name in dict.fromkeys(blob.name for blob in own or () if blob.name)]
        # Each naming all others would take the square of their number.
        others = [other for group in groups for other in (group[1:] if group[0] is node else group[:1])]
        repeats = any(group[0] is not node for group in groups)
        names = tuple(dict.fromkeys(other.name for other in others))
        costs.append(Cost(own, _macs(node, shapes), _activation_bytes(node, shapes), names, repeats))
    return tuple(costs)


def total(costs: Iterable[Cost]) -> Total:
    """The sum of COSTS, each blob that layers among them share counted once."""
    listed = list(costs)
    distinct: dict[object, ParameterBlob] = {}
    for layer, cost in enumerate(listed):
        for position, blob in enumerate(cost.blobs or ()):
            distinct.setdefault(blob.name or (layer, position), blob)
    return Total(
        layers=len(listed),
        parameters=sum(blob.values for blob in distinct.values() if blob.learned),
        statistics=sum(blob.values for blob in distinct.values() if not blob.learned),
        macs=sum(cost.macs or 0 for cost in listed),
        activation_bytes=sum(cost.activation_bytes or 0 for cost in listed),
        without_parameters=sum(cost.blobs is None for cost in listed),
        without_macs=sum(cost.macs is None for cost in listed),
        without_activation=sum(cost.activation_bytes is None for cost in listed),
    )


# ---- Parameters ----


def _blobs(node: Node, shapes: Shapes, held: Mapping[str, Sequence[Shape]]) -> tuple[ParameterBlob, ...] | None:
    """The parameter blobs of NODE, as the net or else the weights tell them; None where neither does."""
    told: Sequence[Shape] | None = shapes.params.get(node.index)
    if told is None:  # a Python layer holds none, as a rule; its code decides
        told = held.get(node.name, () if node.type == "Python" else None)
    if told is None:
        return None
    measured = row_of(node.type).measured(told)
    names = [param.name for param in node.layer.param]
    names += [""] * (len(told) - len(names))
    return tuple(
        ParameterBlob(tuple(shape), position not in measured, name)
        for position, (shape, name) in enumerate(zip(told, names, strict=False))
    )


def _macs(node: Node, shapes: Shapes) -> int | None:
    rule = row_of(node.type).macs
    if rule is None or rule is no_macs:
        return None if rule is None else 0
    bottoms, tops = _known(node.bottoms, shapes), _known(node.tops, shapes)
    params = shapes.params.get(node.index)
    return None if bottoms is None or tops is None or not params or not tops else rule(bottoms, tops, params)


def _known(blobs: Iterable[Blob], shapes: Shapes) -> list[Shape] | None:
    """The shapes of BLOBS; None unless all are known."""
    found = []
    for blob in blobs:
        shape = shapes.blobs[blob]
        if isinstance(shape, Unknown):
            return None
        found.append(shape)
    return found


# ---- Memory ----


def shares_data(node: Node) -> bool:
    """Whether Caffe lets the tops of NODE share the data of its bottom, or of its parameters, and copies nothing."""
    return row_of(node.type).shares(node.layer)


def _activation_bytes(node: Node, shapes: Shapes) -> int | None:
    if shares_data(node):
        return 0
    made = _known([blob for blob in node.tops if blob.version == 0], shapes)
    return None if made is None else VALUE_BYTES * sum(prod(shape) for shape in made)
