"""The first proof: every parameter blob of the new net equals the original's, value by value.

Stored values are compared bit by bit. Computed values, such as those of a folded net, have a slack: the largest error
of the same sum in single precision, in any order.

The proof does not use the conversion. Layers are paired by their places in the two nets; the order of a matrix is found
by following values through both; then both are read side by side, a few megabytes at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from caffe_fcn.compare.numbering import Numbered, number_both
from caffe_fcn.compare.reading import MatrixOrder, count_of, is_sorted, side_by_side
from caffe_fcn.errors import WeightsError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.model.tensors import Tensor, stored
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.shapes import Shapes, bare, show
from caffe_fcn.verify.columns import Follower, permutation
from caffe_fcn.verify.identity import BlobNumbers, identify
from caffe_fcn.verify.records import WeightsProof

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Values: TypeAlias = "NDArray[Any]"


class Side(NamedTuple):
    """One of the two nets: its weights, its graph and shapes in each compared phase, notes on it, and its parameter
    blobs by layer name, which may be computed."""

    weights: WeightFile
    graphs: Mapping[str, Graph]
    shapes: Mapping[str, Shapes]
    notes: tuple[str, ...]
    tensors: Mapping[str, tuple[Tensor, ...]]


def tensors_of(weights: WeightFile) -> dict[str, tuple[Tensor, ...]]:
    """The parameter blobs in WEIGHTS by layer name, of layers that have any."""
    return {name: tuple(stored(weights.source, blob) for blob in blobs) for name, blobs in weights.held.items()}


class _Pair(NamedTuple):
    """A layer of the original and its counterpart in the new net. If the weight matrix became a kernel, ORDER has the
    columns of the original in the new order, None if that is unknown."""

    layer: Node
    twin: Node
    converted: bool
    order: _Values | None


def prove_weights(original: Side, twin: Side) -> WeightsProof:
    """Compare every parameter blob of TWIN with that of ORIGINAL.

    Raises WeightsError where a value is not finite: no such net has answers that could be compared.
    """
    pairs, failures = _pairs(original, twin)
    held, others = original.tensors, twin.tensors
    count = _Count(original, twin, failures)
    for pair in pairs.values():
        count.layer(pair, held.get(pair.layer.name, ()), others.get(pair.twin.name, ()))
    names, taken = set(pairs), {pair.twin.name for pair in pairs.values()}
    foreign = [name for name in others if name not in taken]
    for name in foreign:
        count.foreign(name, held.get(name, ()) if name not in names else ())
    return WeightsProof(
        count.layers,
        count.blobs,
        count.values,
        count.reshaped,
        tuple(count.transposed),
        tuple(count.reordered),
        tuple(count.untrained),
        tuple(foreign),
        tuple(dict.fromkeys(failures)),
        unchanged=tuple(count.unchanged),
        computed=tuple(count.computed),
        rounded=count.rounded,
    )


def _pairs(original: Side, twin: Side) -> tuple[dict[str, _Pair], list[str]]:
    """The layers with parameters in pairs, by the original's names; and a line for each layer without a counterpart."""
    pairs: dict[str, _Pair] = {}
    failures: list[str] = []
    for phase, graph in original.graphs.items():
        other = twin.graphs.get(phase)
        if other is None:
            failures.append(f"the converted net has no phase {phase}")
            continue
        ours, theirs = number_both(graph, other)
        structures = identify((graph, original.shapes[phase], _same), (other, twin.shapes[phase], _same))
        before, after = {**ours.sources, **ours.layers}, {**theirs.sources, **theirs.layers}
        for number, node in before.items():
            if number in after:
                if node.name not in pairs and _learned(original, phase, node, after[number], twin):
                    layers = node, after[number]
                    pairs[node.name] = _pair(original, twin, phase, (ours, theirs), structures, layers)
            elif _has_blobs(original, phase, node):
                failures.append(f"no layer of the converted net corresponds to layer {node.name!r} ({node.type})")
        for number, node in after.items():
            if number not in before and _has_blobs(twin, phase, node):
                failures.append(
                    f"layer {node.name!r} ({node.type}) of the converted net corresponds to no layer of the original"
                )
    return pairs, failures


def _same(node: Node) -> None:
    """A key that is equal for all layers."""


def _learned(original: Side, phase: str, node: Node, other: Node, twin: Side) -> bool:
    return _has_blobs(original, phase, node) or _has_blobs(twin, phase, other)


def kernel_order(original: Side, twin: Side, phase: str, node: Node, other: Node) -> MatrixOrder | None:
    """How to read the weight matrix of NODE, an InnerProduct, so that it equals the kernel of OTHER, a Convolution;
    None if that is unknown, or for other layers."""
    graphs, shapes = (original.graphs[phase], twin.graphs[phase]), (original.shapes[phase], twin.shapes[phase])
    both = number_both(*graphs)
    structures = identify((graphs[0], shapes[0], _same), (graphs[1], shapes[1], _same))
    pair, blobs = _pair(original, twin, phase, both, structures, (node, other)), original.tensors.get(node.name)
    order = _order(pair, blobs[0]) if pair.converted and blobs else None
    return order if isinstance(order, MatrixOrder) else None


def _has_blobs(side: Side, phase: str, node: Node) -> bool:
    """Whether NODE has parameters: by its type or, for an unknown type, by the file."""
    wanted = side.shapes[phase].params.get(node.index)
    return bool(wanted) if wanted is not None else node.name in side.tensors


def _pair(
    original: Side,
    twin: Side,
    phase: str,
    both: tuple[Numbered, Numbered],
    structures: tuple[BlobNumbers, BlobNumbers],
    layers: tuple[Node, Node],
) -> _Pair:
    node, other = layers
    if (node.type, other.type) != ("InnerProduct", "Convolution"):
        return _Pair(node, other, False, None)
    follower = Follower()
    sides = zip((original, twin), both, structures, layers, strict=True)
    before, after = (
        follower.follow(side.graphs[phase], side.shapes[phase], numbered.blobs, numbers.structure, layer.bottoms[0])
        for side, numbered, numbers, layer in sides
    )
    known = before is not None and after is not None
    return _Pair(node, other, True, permutation(before, after) if known else None)  # type: ignore[arg-type]


class _Count:
    """Compares blobs and counts the results."""

    def __init__(self, original: Side, twin: Side, failures: list[str]) -> None:
        self.held, self.failures = twin.tensors, failures
        self.original, self.twin = original.weights.path, twin.weights.path
        self.layers = self.blobs = self.values = self.reshaped = self.rounded = 0
        self.computed: list[str] = []
        self.transposed: list[str] = []
        self.reordered: list[str] = []
        self.untrained: list[str] = []
        self.unchanged: list[tuple[str, str]] = []

    def layer(self, pair: _Pair, blobs: Sequence[Tensor], others: Sequence[Tensor]) -> None:
        """Compare the blobs of two layers."""
        self.layers += 1
        name, before = _place(pair.layer.name, pair.twin.name), len(self.failures)
        if not blobs and not others:
            self.untrained.append(pair.layer.name)
            return
        if len(blobs) != len(others):
            holds = "holds" if all(blob.slack is None for blob in blobs) else "holds, after folding,"
            ours = f"{self.original} {holds} {_many(blobs)} for {pair.layer.name!r}"
            self.failures.append(f"{name}: {ours}, {self.twin} {_many(others)} for {pair.twin.name!r}")
            return
        computed = any(blob.slack is not None for blob in blobs)
        if computed:
            self.computed.append(pair.layer.name)
        for position, (blob, other) in enumerate(zip(blobs, others, strict=True)):
            order = _order(pair, blob) if pair.converted and position == 0 else None
            if isinstance(order, str):
                self.failures.append(f"{name}: {order}")
                continue
            if order is not None and order.transposed:
                self.transposed.append(pair.layer.name)
            if order is not None and not is_sorted(order.columns):
                self.reordered.append(pair.layer.name)
            kept = not pair.converted or position > 0
            self._blob(f"{name}, blob {position}", pair.layer.name, blob, other, order, kept=kept)
        if not pair.converted and not computed and len(self.failures) == before:
            self.unchanged.append((pair.twin.name, pair.layer.name))

    def foreign(self, name: str, blobs: Sequence[Tensor]) -> None:
        """Compare the blobs of a layer that is in neither net."""
        if not blobs:
            self.failures.append(f"layer {name!r} is in {self.twin}, but not in the converted net")
            return
        for position, (blob, other) in enumerate(zip_longest(blobs, self.held[name])):
            place = f"layer {name!r}, which is not in the net, blob {position}"
            if blob is None or other is None:
                self.failures.append(f"{place}: only in {'the converted net' if blob is None else 'the original'}")
            else:
                self._blob(place, name, blob, other, None, kept=True)

    def _blob(
        self, place: str, layer: str, blob: Tensor, other: Tensor, order: MatrixOrder | None, *, kept: bool
    ) -> None:
        if kept and bare(blob.shape) != bare(other.shape):
            self.failures.append(f"{place}: expected {show(blob.shape)}, found {show(other.shape)}")
            return
        count = count_of(blob)
        if count != count_of(other):
            self.failures.append(f"{place}: expected {count:,} values, found {count_of(other):,}")
            return
        differing, rounded, not_finite = differing_values(blob, other, (self.original, layer), order)
        self.rounded += rounded
        self.blobs += 1
        self.values += count
        self.reshaped += bare(blob.shape) != bare(other.shape)
        if differing:
            wrong = "differ from the original" if blob.slack is None else "differ from the folded original"
            diverged = f", {not_finite:,} by NaN or infinity" if not_finite else ""
            self.failures.append(f"{place}: {differing:,} of {count:,} values {wrong}{diverged}")


class DifferingValues(NamedTuple):
    """How many values differ by more than the slack of the original, and how many by less, ROUNDED. NOT_FINITE of the
    new ones are NaN or infinite."""

    differing: int
    rounded: int
    not_finite: int


def differing_values(
    blob: Tensor, other: Tensor, place: tuple[str, str], order: MatrixOrder | None = None
) -> DifferingValues:
    """How many values of OTHER differ from those of BLOB, in ORDER. PLACE: the file and the layer of BLOB. Raises
    WeightsError where a value of BLOB is not finite."""
    import numpy as np

    differing = rounded = not_finite = 0
    for ours, theirs, allowed in side_by_side(blob, other, blob.slack, order):
        _check_finite(*place, ours)
        others = _differing(ours, theirs)
        if allowed is not None:
            beyond = _beyond(ours, theirs, allowed)
            rounded += others - beyond
            others = beyond
        differing += others
        if others:
            not_finite += int(np.count_nonzero(~np.isfinite(theirs)))
    return DifferingValues(differing, rounded, not_finite)


def _many(blobs: Sequence[Tensor]) -> str:
    return f"{len(blobs) or 'no'} {'blob' if len(blobs) == 1 else 'blobs'}"


def _place(name: str, twin: str) -> str:
    return f"layer {name!r}" if name == twin else f"layer {name!r}, {twin!r} in the converted net"


def _order(pair: _Pair, blob: Tensor) -> MatrixOrder | str:
    """How to read the matrix in BLOB so that it equals the new kernel, or why that is unknown."""
    if pair.order is None:
        return "its inputs are not the same in the two nets"
    columns, count = len(pair.order), count_of(blob)
    if not columns or count % columns:
        return f"expected rows of {columns:,} values, found {count:,} values ({show(blob.shape)})"
    return MatrixOrder(count // columns, pair.order, bool(pair.layer.layer.inner_product_param.transpose))


def _check_finite(weights: str, layer: str, values: _Values) -> None:
    import numpy as np

    if not np.isfinite(values).all():
        count = int(np.count_nonzero(~np.isfinite(values)))
        raise WeightsError(
            source=weights,
            layer=layer,
            expected="numbers",
            found=f"{count:,} value{'s'[: count != 1]} that {'is' if count == 1 else 'are'} NaN or infinite",
            hint="such a net gives no answers to compare; use a snapshot from before its training diverged",
        )


def _differing(ours: _Values, theirs: _Values) -> int:
    """The number of values that differ in any bit."""
    import numpy as np

    kind = np.float64 if np.float64 in (ours.dtype, theirs.dtype) else np.float32
    bits = np.int64 if kind is np.float64 else np.int32
    one, other = (np.ascontiguousarray(values, dtype=kind).view(bits) for values in (ours, theirs))
    return int(np.count_nonzero(one != other))


def _beyond(ours: _Values, theirs: _Values, allowed: _Values) -> int:
    """The number of values that differ by more than ALLOWED."""
    import numpy as np

    with np.errstate(invalid="ignore", over="ignore"):
        return int(np.count_nonzero(~(abs(ours.astype(np.float64) - theirs) <= allowed)))
