"""Computes the cost of layers: parameters, multiplications, and the memory of their tops.

The cost follows from the shapes, by the rule of the layer's type (`net.layers`). An unknown number is None, and a sum
gives the number of layers that it does not include. Numbers are for one forward pass over the batch of the net.
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
    """A parameter blob. LEARNED: by training, not measured. NAME: the name under which it is shared, "" for none."""

    shape: Shape
    learned: bool
    name: str

    @property
    def values(self) -> int:
        """The number of values."""
        return prod(self.shape)


class Cost(NamedTuple):
    """The cost of one layer; None for unknown numbers.

    MACS: multiply-adds of a value and a learned weight, in convolutions, inner products and recurrent layers. Biases,
    scales, poolings and elementwise layers have none. ACTIVATION_BYTES: the memory of its tops; a top that is made in
    place, or that shares the memory of another blob, needs none. REPEATS: an earlier layer has one of its parameter
    blobs. SHARED_WITH: for each shared blob the first layer that has it, or all others if this is the first.
    """

    blobs: tuple[ParameterBlob, ...] | None
    macs: int | None
    activation_bytes: int | None
    shared_with: tuple[str, ...] = ()
    repeats: bool = False

    @property
    def parameters(self) -> int | None:
        """The number of values that the layer learns."""
        return None if self.blobs is None else sum(blob.values for blob in self.blobs if blob.learned)

    @property
    def statistics(self) -> int | None:
        """The number of values that the layer measures in training: running means and variances."""
        return None if self.blobs is None else sum(blob.values for blob in self.blobs if not blob.learned)


class Total(NamedTuple):
    """The sums over LAYERS layers; shared blobs count once. The last three fields are the numbers of layers that a sum
    does not include, because their shapes are unknown: the sum is then a lower bound."""

    layers: int
    parameters: int
    statistics: int
    macs: int
    activation_bytes: int
    without_parameters: int
    without_macs: int
    without_activation: int


def infer_costs(graph: Graph, shapes: Shapes) -> tuple[Cost, ...]:
    """The cost of each node of GRAPH, in the order of the nodes.

    If the net does not define the shapes of parameter blobs, because the type or the input of a layer is unknown, the
    shapes in the weights are used.
    """
    blobs = [_blobs(node, shapes, graph.held) for node in graph.nodes]
    sharers: dict[str, list[Node]] = {}
    for node, own in zip(graph.nodes, blobs, strict=True):
        for name in dict.fromkeys(blob.name for blob in own or () if blob.name):
            sharers.setdefault(name, []).append(node)
    costs = []
    for node, own in zip(graph.nodes, blobs, strict=True):
        groups = [sharers[name] for name in dict.fromkeys(blob.name for blob in own or () if blob.name)]
        # If each blob named all others, the list would be quadratic.
        others = [other for group in groups for other in (group[1:] if group[0] is node else group[:1])]
        repeats = any(group[0] is not node for group in groups)
        names = tuple(dict.fromkeys(other.name for other in others))
        costs.append(Cost(own, _macs(node, shapes), _activation_bytes(node, shapes), names, repeats))
    return tuple(costs)


def total(costs: Iterable[Cost]) -> Total:
    """The sum of COSTS; a blob that several of the layers share counts once."""
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
    """The parameter blobs of NODE, by the net or else by the weights; None if both are unknown."""
    told: Sequence[Shape] | None = shapes.params.get(node.index)
    if told is None:  # a Python layer usually has none, but its code decides
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
    """Whether the tops of NODE share the memory of its bottom or of its parameters in Caffe."""
    return row_of(node.type).shares(node.layer)


def _activation_bytes(node: Node, shapes: Shapes) -> int | None:
    if shares_data(node):
        return 0
    made = _known([blob for blob in node.tops if blob.version == 0], shapes)
    return None if made is None else VALUE_BYTES * sum(prod(shape) for shape in made)
