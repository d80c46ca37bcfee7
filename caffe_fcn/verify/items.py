"""Runs nets on many items, one net after the other, whatever their batch size.

A caller gets the answer to each item. This module decides which net is loaded and how many items are fed at once. Only
one net is loaded at a time, so memory holds the weights once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from caffe_fcn.compare.effective import BY_STORED_STATISTICS, effective
from caffe_fcn.engines.protocol import Array, Engine, Session, ShapedNet
from caffe_fcn.errors import EngineError, ShapeError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.onnx.scope import Scope

_BATCH = 1 << 19
"""The most values that are fed at once, unless a single item has more."""


class Items(NamedTuple):
    """The values for each input, with the items along axis 0. An item is one of a batch or, if WHOLE, a whole batch:
    then the net does not give a separate answer to each item of a batch."""

    values: Mapping[str, Array]
    whole: bool

    @property
    def many(self) -> int:
        """The number of items."""
        return len(next(iter(self.values.values()), ()))

    def part(self, places: Sequence[int]) -> Items:
        """The items at PLACES."""
        return Items({name: values[list(places)] for name, values in self.values.items()}, self.whole)

    def renamed(self, names: Mapping[str, str]) -> Items:
        """The same items for a net whose inputs have the NAMES."""
        return Items({names[name]: values for name, values in self.values.items()}, self.whole)


def answers_items(scope: Scope, inputs: Mapping[str, Shape]) -> bool:
    """Whether every output of SCOPE, fed INPUTS, has one answer for each item of a batch along axis 0."""
    batch = {shape[0] for shape in inputs.values()}
    if len(batch) != 1 or any(_joins_items(node, scope) for node in scope.graph.nodes):
        return False
    (many,) = batch
    if not all(_is_of(scope.shapes.blobs[blob], many) for blob in scope.outputs):
        return False
    try:
        larger = infer_shapes(scope.graph, given={name: (many + 1, *shape[1:]) for name, shape in inputs.items()})
    except ShapeError:  # another batch is impossible; the items are padded to this one
        return True
    return all(_is_of(larger.blobs[blob], many + 1) for blob in scope.outputs)


def _joins_items(node: Node, scope: Scope) -> bool:
    """Whether a value of NODE depends on several items of a batch, or NODE has separate weights for each item, although
    it makes a value for each item."""
    said = effective(node, scope.shapes, scope.graph.phase)
    if said.get(BY_STORED_STATISTICS) is False:
        return True
    along = (path for path, value in said.items() if path.endswith(".axis") and value == 0)
    operand = row_of(node.type).operand_axis is not None and not scope.shapes.params.get(node.index)
    return not operand and any(along)


def _is_of(shape: object, many: int) -> bool:
    return isinstance(shape, tuple) and bool(shape) and shape[0] == many


class Runner:
    """Runs nets with ENGINE, and keeps the last one loaded."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.used = False
        """Whether a net has been run."""
        self._net: ShapedNet | None = None
        self._wanted: tuple[str, ...] = ()
        self._session: Session | None = None

    def run(self, net: ShapedNet, weights: WeightFile, items: Items, outputs: Sequence[str]) -> dict[str, Array]:
        """The blobs OUTPUTS of NET with WEIGHTS for ITEMS, with an answer for each item along axis 0.

        Inputs on which the outputs do not depend are left out. Raises what the engine raises; EngineError where an
        output is not finite, or there is not one for each item."""
        wanted = tuple(dict.fromkeys(outputs))
        if self._session is None or self._net is not net or self._wanted != wanted:
            self._session = None  # freed before the next is loaded
            self._session = self.engine.load(net, weights, outputs=wanted)
            self._net, self._wanted = net, wanted
        self.used = True
        items = Items({name: items.values[name] for name in self._session.inputs if name in items.values}, items.whole)
        run = _run_whole if items.whole else _run_items
        return run(self._session, items, net.graph)


def _run_whole(session: Session, items: Items, graph: Graph) -> dict[str, Array]:
    """The outputs of SESSION, which runs GRAPH, for ITEMS, which are batches, one after another. An axis of length 1
    follows axis 0, so that no other axis is taken for that of the classes."""
    import numpy as np

    made: dict[str, list[Array]] = {name: [] for name in session.outputs}
    for place in range(items.many):
        for name, values in session.run({name: each[place] for name, each in items.values.items()}).items():
            made[name].append(finite(name, values, graph)[None])
            if made[name][0].shape != made[name][-1].shape:
                raise EngineError(
                    place=f"output {name!r}",
                    expected="one shape for all inputs",
                    found=f"{_shown(made[name][0][0])} and {_shown(values)}",
                )
    return {name: np.stack(values) for name, values in made.items()}


def _run_items(session: Session, items: Items, graph: Graph) -> dict[str, Array]:
    """The outputs of SESSION, which runs GRAPH, for ITEMS, batch by batch."""
    import numpy as np

    made: dict[str, list[Array]] = {name: [] for name in session.outputs}
    for part, size in _batches(session, items):
        many = len(next(iter(part.values())))
        for name, values in session.run(part).items():
            if not values.ndim or len(values) != many:
                raise EngineError(
                    place=f"output {name!r}", expected=f"one answer for each of {many} items", found=_shown(values)
                )
            made[name].append(finite(name, values, graph)[:size])
    return {name: np.concatenate(values) for name, values in made.items()}


def _batches(session: Session, items: Items) -> Iterator[tuple[dict[str, Array], int]]:
    """ITEMS in batches for SESSION, with the number of items in each: the last batch may be padded."""
    import numpy as np

    static = _static(session)
    most = static or max(1, _BATCH // max(1, sum(values[0].size for values in items.values.values())))
    for start in range(0, items.many, most):
        part = {name: values[start : start + most] for name, values in items.values.items()}
        size = len(next(iter(part.values())))
        if static is not None:
            part = {name: np.concatenate([each, *[each[-1:]] * (most - size)]) for name, each in part.items()}
        yield part, size


def _static(session: Session) -> int | None:
    """The only batch size that SESSION accepts; None if it accepts any."""
    batches = {dims[0] for dims in session.inputs.values() if dims}
    return next((batch for batch in batches if batch is not None), None)


def finite(name: str, values: Array, graph: Graph) -> Array:
    """VALUES of the output NAME of GRAPH. Raises EngineError if a value is not finite."""
    import numpy as np

    if not np.isfinite(values).all():
        normalizes = any(node.type == "BatchNorm" for node in graph.nodes)
        variances = "does a BatchNorm have negative variances, or " if normalizes else ""
        raise EngineError(
            place=f"output {name!r}",
            expected="numbers",
            found="NaN or infinity, computed from finite inputs",
            hint=f"{variances}do scores overflow?",
        )
    return values


def _shown(values: Any) -> str:
    return "×".join(map(str, values.shape)) or "a single value"
