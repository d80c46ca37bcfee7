"""Determines which axes of the inputs may differ between runs: the batch, and the size of the images.

Sizes are tried. An axis is free if the shapes of the whole net can be inferred with a longer one and no parameter blob
would need another shape. An extent that is the same at every size tried is fixed; any other is None for the lowering
of a layer. An axis that is as long as the batch at every size tried is the batch axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import lcm
from typing import NamedTuple

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.geometry import infer_geometry
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import Shape, Unknown, infer_shapes, show
from caffe_fcn.net.sizes import other_parameters
from caffe_fcn.onnx.graph import Dims
from caffe_fcn.onnx.scope import Scope

_MAX_STEP = 4096
"""The maximum step of the cells of maps for which a larger size is tried."""
_USUAL_STEP = 32
"""A multiple of the strides of most nets. It is used for inputs without geometry, such as those of DummyData."""
_BATCH = "batch"
_TRIALS = 2
"""The number of lengths that are tried for each axis."""
_SPATIAL = {1: ("length",), 2: ("height", "width"), 3: ("length", "height", "width")}
"""The names of the spatial axes of an image or a video."""


class InputAxis(NamedTuple):
    """An axis of the inputs that may be free: AXES has the axis of each input that belongs to it, STEPS by how much it
    is made longer in trials."""

    name: str
    axes: tuple[tuple[Blob, int], ...]
    steps: tuple[int, ...]


def possible_axes(scope: Scope) -> list[InputAxis]:
    """Return the axes that could be free: the batch of all inputs with the same batch as the first, and each spatial
    axis."""
    shapes = {blob: shape for blob in scope.inputs if isinstance(shape := scope.shapes.blobs[blob], tuple) and shape}
    if not shapes:
        return []
    first = next(iter(shapes.values()))
    found = [InputAxis(_BATCH, tuple((blob, 0) for blob, shape in shapes.items() if shape[0] == first[0]), (1, 6))]
    images = {blob: shape for blob, shape in shapes.items() if len(shape) > 2}
    step = _step(scope)
    if images and step:
        rank = len(next(iter(images.values())))
        alike = [blob for blob, shape in images.items() if len(shape) == rank]
        for place, axis in enumerate(range(2, rank)):
            name = _SPATIAL[rank - 2][place] if rank - 2 in _SPATIAL else f"axis{axis}"
            # Each axis grows by another amount, so that they can be told apart.
            steps = ((place + 1) * step, (place + rank) * step)
            found.append(InputAxis(name, tuple((blob, axis) for blob in alike), steps))
    return found


def _step(scope: Scope) -> int:
    """Return a multiple of the strides of all maps; 0 if there is none within the limit."""
    geometry = infer_geometry(scope.graph, scope.shapes)
    steps = {step for known in geometry.values() if known is not None for step in known.step}
    step = lcm(*steps) if steps else _USUAL_STEP
    return step if step <= _MAX_STEP else 0


class Extents(NamedTuple):
    """The extents of every blob, DIMS, and the axis of the items of a free batch, ITEMS, for blobs that have one.
    LONGER has the shapes at the first size tried."""

    dims: dict[Blob, Dims]
    items: dict[Blob, int]
    longer: Mapping[Blob, Shape | Unknown]


def extents_with(scope: Scope, free: Sequence[InputAxis]) -> Extents | str:
    """Return the extents of every blob if the axes in FREE may have any length, or the reason why they may not."""
    nominal = scope.shapes
    dims: dict[Blob, Dims] = dict(known_shapes(nominal.blobs, nominal.blobs))
    tried = []
    for trial in range(_TRIALS):
        try:
            longer = infer_shapes(scope.graph, given=_longer(scope, free, trial))
        except ShapeError as error:
            return error.within(scope.graph.source)
        misfit = other_parameters(scope.graph, nominal, longer)
        if misfit is not None:
            return str(misfit)
        for blob, shape in longer.blobs.items():
            if blob in dims:
                dims[blob] = _agreed(dims[blob], shape)
        tried.append(longer.blobs)
    return Extents(dims, _item_axes(free, [nominal.blobs, *tried]), tried[0])


def _item_axes(free: Sequence[InputAxis], tried: Sequence[Mapping[Blob, Shape | Unknown]]) -> dict[Blob, int]:
    """Return the axis of each blob that was as long as the batch in all shapes TRIED, if the batch is FREE."""
    batch = batch_of(free)
    if batch is None:
        return {}
    fed, place = batch.axes[0]
    wanted = tuple(known_shapes(shapes, [fed])[fed][place] for shapes in tried)
    found = {}
    for blob in tried[0]:
        shapes = [shape for each in tried if isinstance(shape := each.get(blob), tuple)]
        if len(shapes) < len(tried) or len(set(map(len, shapes))) > 1:
            continue
        along = list(zip(*shapes, strict=True))
        if along.count(wanted) == 1:
            found[blob] = along.index(wanted)
    return found


def batch_of(free: Sequence[InputAxis]) -> InputAxis | None:
    """Return the batch, if it is among the axes in FREE."""
    return next((axis for axis in free if axis.name == _BATCH), None)


def mixed_items(scope: Scope, free: Sequence[InputAxis], extents: Extents) -> str:
    """Return which layer makes an output without its own axis for the items of the batch, and its output; "" if none
    does, or the batch is not FREE."""
    batch = batch_of(free)
    if batch is None:
        return ""
    depending = {blob for blob, _ in batch.axes}
    for node in scope.graph.nodes:
        if not depending.isdisjoint(node.bottoms):
            depending.update(node.tops)
    mixed = depending - extents.items.keys()
    blob = next((each for each in scope.outputs if each in mixed), None)
    if blob is None:
        return ""
    while (before := next((each for each in scope.graph.producer[blob].bottoms if each in mixed), None)) is not None:
        blob = before
    node, made = scope.graph.producer[blob], extents.longer[blob]
    fed, place = batch.axes[0]
    items = known_shapes(extents.longer, [fed])[fed][place]
    shown = "an unknown shape" if isinstance(made, Unknown) else show(made)
    return f"layer {node.name!r} ({node.type}) makes {shown} from a batch of {items}, without a batch axis"


def _longer(scope: Scope, free: Sequence[InputAxis], trial: int) -> dict[str, Shape]:
    """Return the shapes of the inputs of the net, with the length of each axis in FREE for the given TRIAL."""
    given = _fed(scope)
    for axis in free:
        for blob, place in axis.axes:
            shape = given[blob]
            given[blob] = (*shape[:place], shape[place] + axis.steps[trial], *shape[place + 1 :])
    return {blob.name: shape for blob, shape in given.items()}


def _fed(scope: Scope) -> dict[Blob, Shape]:
    makers = (node for node in scope.graph.nodes if not node.bottoms)
    return known_shapes(scope.shapes.blobs, (blob for node in makers for blob in node.tops))


def known_shapes(shapes: Mapping[Blob, Shape | Unknown], blobs: Iterable[Blob]) -> dict[Blob, Shape]:
    """Return the shapes of BLOBS, for those whose shape is known."""
    return {blob: shape for blob in blobs if isinstance(shape := shapes[blob], tuple)}


def _agreed(dims: Dims, shape: Shape | Unknown) -> Dims:
    """Return DIMS, with None where SHAPE differs."""
    if isinstance(shape, Unknown) or len(shape) != len(dims):
        return (None,) * len(dims)
    return tuple(known if known == other else None for known, other in zip(dims, shape, strict=True))
