"""Computes the output shapes of a net for inputs of any size, and compares the results of an engine with them.

An engine that rounds sizes differently from Caffe is detected by the shape of its results.
"""

from __future__ import annotations

from collections.abc import Mapping

from caffe_fcn.engines.protocol import Array, Dims
from caffe_fcn.errors import EngineError, ShapeError
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape, Shapes, infer_shapes, refuse_empty, show
from caffe_fcn.net.sizes import other_parameters
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.wording import Option, advise

_KEPT = 9
"""The number of input sizes whose shapes are kept: tiles of a picture at its corners, along its sides and inside."""


class Sizes:
    """The shapes of the outputs of a net for inputs of any size, as in Caffe."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._made: dict[tuple[tuple[str, Shape], ...], Shapes] = {}

    @property
    def inputs(self) -> dict[str, Dims]:
        """The shapes of the inputs: any number of items, and any size if the input is a map."""
        dims: dict[str, Dims] = {}
        for blob in self._scope.inputs:
            shape = self._scope.shapes.blobs[blob]
            known: Shape = shape if isinstance(shape, tuple) else ()
            dims[blob.name] = (None, *known[1:2], *[None] * len(known[2:])) if known else ()
        return dims

    def outputs(self, arrays: Mapping[str, Array]) -> dict[Blob, Shape]:
        """Return the shapes of the outputs for ARRAYS. Raises ShapeError or EngineError for a size that the net does
        not accept."""
        found = self.shapes(arrays).blobs
        made: dict[Blob, Shape] = {}
        for blob in self._scope.outputs:
            shape = found[blob]
            if not isinstance(shape, tuple):
                node = self._scope.graph.producer[blob]
                error = ShapeError(f"the shape of {blob.name!r} is unknown: {shape.reason}")
                source = self._scope.graph.source
                error.locate(source=source, layer=node.name, layer_type=node.type, index=node.index)
                raise error
            made[blob] = shape
        return made

    def shapes(self, arrays: Mapping[str, Array]) -> Shapes:
        """Return all shapes for ARRAYS. Raises ShapeError or EngineError for a size that the net does not accept."""
        given = {name: tuple(map(int, array.shape)) for name, array in arrays.items()}
        key = tuple(given.items())
        if key not in self._made:
            shapes = infer_shapes(self._scope.graph, given=given)
            refuse_empty(self._scope.graph, shapes)
            misfit = other_parameters(self._scope.graph, self._scope.shapes, shapes)
            if misfit is not None:
                raise EngineError(f"at this input size, {misfit}", source=self._scope.graph.source)
            if len(self._made) == _KEPT:
                self._made.pop(next(iter(self._made)))
            self._made[key] = shapes
        return self._made[key]


def counted(graph: Graph) -> dict[Blob, int]:
    """Return the blobs of GRAPH with an axis, here numbered, whose length depends on the data: detections, or
    regions."""
    found: dict[Blob, int] = {}
    for node in graph.nodes:
        own = row_of(node.type).counted
        axes = [own] if own is not None else [found[blob] for blob in node.bottoms if blob in found]
        if axes:
            found.update(dict.fromkeys(node.tops, axes[0]))
    return found


def as_caffe_makes_it(engine: str, blob: Blob, array: Array, expected: Shape, counted: int | None = None) -> Array:
    """Return ARRAY, the result of ENGINE for BLOB, in the shape EXPECTED; axes of one may be missing. The axis COUNTED
    may have any length. Raises EngineError."""
    if counted is not None and array.ndim == len(expected):
        expected = (*expected[:counted], array.shape[counted], *expected[counted + 1 :])
    if [extent for extent in array.shape if extent != 1] != [extent for extent in expected if extent != 1]:
        raise EngineError(
            f"{engine} computes {blob.name!r} with the shape {show(tuple(array.shape))}, but in Caffe "
            f"it is {show(expected)}",
            hint=advise("use ", Option("engine", "onnxruntime")),
        )
    return array.reshape(expected)
