"""The third proof: on a larger input each cell of the twin's map is the original's answer on the window there.

The one idea: geometry says beforehand where that can be so. Where it is exact, the original runs on the crops of
the picture, and only rounding is allowed. Where a layer pads or has partial windows, a crop has borders that the
whole picture has not, and answers differ by nature; that difference is measured. What must not differ even then
is the twin from the original's last layers, run on the windows of the maps of the whole picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from caffe_fcn.errors import EngineError, LoweringError, ShapeError, WeightsError
from caffe_fcn.net.geometry import Exactness, Geometry, infer_geometry
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.shapes import Shape, Shapes, Unknown, infer_shapes, show
from caffe_fcn.run.engine import Array, Net
from caffe_fcn.run.onnx.scope import Scope
from caffe_fcn.run.proofs.applicability import of_output
from caffe_fcn.run.proofs.grid import Grid, lay_out
from caffe_fcn.run.proofs.items import Runner
from caffe_fcn.run.proofs.pairing import number_both
from caffe_fcn.run.proofs.parts import Cut, both_parts, cut
from caffe_fcn.run.proofs.records import Dense, DenseProof, Difference, Status
from caffe_fcn.run.proofs.rounding import difference, span
from caffe_fcn.run.proofs.same_size import Output, Party
from caffe_fcn.surgery.pooling import is_global

_DEVIATIONS = (64.0, 8.0, 1.0)
"""Of the random picture, tried in turn. Less than pixels have might not move the answers from window to window; more
than a net is made for might fix them, as a Softmax is fixed at one."""

_MOVED = 0.01
"""How much of their scale answers have to move from window to window, lest any of them would do for all."""


@dataclass(frozen=True)
class _Scene:
    """The windows on a larger picture, and what both nets make of it."""

    grid: Grid
    places: Sequence[tuple[int, ...]]
    geometry: Mapping[Blob, Geometry | None]
    strides: Mapping[Blob, tuple[Fraction, ...]]
    crops: Mapping[str, Array]
    maps: Mapping[str, Array]
    nominal: Mapping[Blob, Shape | Unknown]
    """The shapes that the twin's blobs have at the nominal size."""
    features: Mapping[str, Array] | str | None


def prove_dense(
    runner: Runner,
    original: Party,
    twin: Party,
    outputs: Sequence[Output],
    *,
    windows: int,
    seed: int,
) -> DenseProof:
    """Run TWIN on a picture larger than the nominal input, drawn from SEED, and ORIGINAL on about so many WINDOWS of
    it, and compare OUTPUTS. Raises what the engine raises but for a size that TWIN does not take."""
    if len(original.inputs) != 1 or len(twin.inputs) != 1:
        return _nothing(f"the nets have {len(original.inputs)} and {len(twin.inputs)} inputs, and windows are of one")
    (name,), (other,) = original.inputs, twin.inputs
    grid = lay_out(twin.scope.graph, twin.scope.shapes, next(blob for blob in twin.scope.inputs if blob.name == other))
    if isinstance(grid, str):
        return _nothing(grid)
    shape = (1, original.inputs[name][1], *grid.larger)
    places = grid.sample(windows, seed)
    picture, crops = _on_crops(runner, original, name, outputs, shape, grid, places, seed)
    try:
        larger = infer_shapes(twin.scope.graph, given={other: shape})
        maps = _whole(runner, twin, {other: picture}, larger)
    except (EngineError, LoweringError, ShapeError, WeightsError) as error:
        return DenseProof(shape, grid.step, grid.windows, 0, (), _too_large(twin, error))
    geometry = infer_geometry(twin.scope.graph, larger)
    inexact = any(known is not None and known.reasons for blob in twin.scope.outputs if (known := geometry.get(blob)))
    features = _features(runner, original, twin, name, picture, grid, places) if inexact else None
    wanted = strides(original.scope.graph, original.scope.shapes)
    scene = _Scene(grid, places, geometry, wanted, crops, maps, twin.scope.shapes.blobs, features)
    found = tuple(_judge(scene, output) for output in outputs)
    return DenseProof(shape, grid.step, grid.windows, len(places), found, "")


def _too_large(twin: Party, error: Exception) -> str:
    """Why TWIN does not take a larger input, where that ends in ERROR."""
    left = [node.name for node in twin.scope.graph.nodes if node.type == "InnerProduct"]
    if not left:
        return f"the twin does not take a larger input: {error}"
    others = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return (
        f"the twin does not take a larger input: layer {left[0]!r}{others} is still an InnerProduct; was it converted, "
        "or are the two pairs swapped?"
    )


def _whole(runner: Runner, twin: Party, picture: Mapping[str, Array], larger: Shapes) -> dict[str, Array]:
    """What TWIN makes of a PICTURE that gives its blobs the shapes LARGER."""
    try:
        return twin.run(runner, picture)
    except EngineError:  # loaded for one size only
        wanted = [blob.name for blob in twin.scope.outputs]
        return runner.run(Net(twin.scope.graph, larger), twin.weights, picture, outputs=wanted)


def _nothing(reason: str) -> DenseProof:
    return DenseProof((), (), 0, 0, (), reason)


def _on_crops(
    runner: Runner,
    original: Party,
    name: str,
    outputs: Sequence[Output],
    shape: Shape,
    grid: Grid,
    places: Sequence[tuple[int, ...]],
    seed: int,
) -> tuple[Array, Mapping[str, Array]]:
    """A random picture of SHAPE on which ORIGINAL's answers move, and these answers on the windows at PLACES."""
    import numpy as np

    normal = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    tried = []
    for deviation in _DEVIATIONS:
        picture = normal * np.float32(deviation)
        crops = np.concatenate([picture[(slice(None), slice(None), *grid.pixels(place))] for place in places])
        tried.append((picture, original.run(runner, {name: crops})))
        if _moved(tried[-1][1], outputs) >= _MOVED:
            break
    return max(tried, key=lambda one: _moved(one[1], outputs))


def _moved(answers: Mapping[str, Array], outputs: Sequence[Output]) -> float:
    """How far the answers of that output which moves least are apart, of its scale."""
    return min((span(answers[output.pair.name], softmax=output.softmax) for output in outputs), default=0.0)


def strides(graph: Graph, shapes: Shapes) -> dict[Blob, tuple[Fraction, ...]]:
    """How far apart the cells lie of which each blob would be a map, in pixels: its own stride, or that of the
    last map on the way to it."""
    geometry = infer_geometry(graph, shapes)
    known: dict[Blob, tuple[Fraction, ...]] = {}
    for node in graph.nodes:
        before = next((known[bottom] for bottom in node.bottoms if bottom in known), None)
        for top in node.tops:
            own = geometry.get(top)
            if own is not None:
                known[top] = own.stride
            elif before is not None:
                known[top] = before
    return known


def _features(
    runner: Runner,
    original: Party,
    twin: Party,
    name: str,
    picture: Array,
    grid: Grid,
    places: Sequence[tuple[int, ...]],
) -> Mapping[str, Array] | str:
    """What ORIGINAL's last layers make of the windows of the maps that its first layers make of the whole PICTURE;
    or why that cannot be told."""
    import numpy as np

    scope = original.scope
    made = cut(scope, _windowed(scope, twin.scope))
    if isinstance(made, str):
        return made
    parts = both_parts(scope, made, {name: picture.shape})
    if isinstance(parts, str):
        return parts
    first, last = parts
    maps = {name: picture}
    try:
        if first is not None:
            asked = [blob.name for blob in made.maps if blob.name != name]
            maps |= runner.run(first, original.weights, {name: picture}, outputs=asked)
        small = next((each.name for each in made.maps if not _covers(maps[each.name], scope, each, made, grid)), None)
        if small is not None:
            return f"{small!r} does not grow with the picture"
        windows = {
            blob.name: np.concatenate([_window(maps[blob.name], scope.shapes, blob, found, grid, at) for at in places])
            for blob, found in made.maps.items()
        }
        return runner.run(last, original.weights, windows, outputs=[blob.name for blob in scope.outputs])
    except (EngineError, LoweringError, ShapeError) as error:
        return str(error)


def _covers(values: Array, scope: Scope, blob: Blob, made: Cut, grid: Grid) -> bool:
    """Whether the map in VALUES, of BLOB, is large enough for the last window."""
    last = _cells(grid, [many - 1 for many in grid.many], made.maps[blob].stride, _extent(scope.shapes, blob))
    return all(each.stop <= size for each, size in zip(last, values.shape[2:], strict=True))


def _extent(shapes: Shapes, blob: Blob) -> Shape:
    shape = shapes.blobs[blob]
    return shape[2:] if isinstance(shape, tuple) else ()


def _windowed(original: Scope, twin: Scope) -> frozenset[str]:
    """The global poolings of ORIGINAL for which TWIN has windows."""
    ours, theirs = number_both(original.graph, twin.graph)
    return frozenset(
        node.name
        for number, node in ours.layers.items()
        if is_global(node) and number in theirs.layers and not is_global(theirs.layers[number])
    )


def _window(values: Array, shapes: Shapes, blob: Blob, geometry: Geometry, grid: Grid, place: tuple[int, ...]) -> Array:
    """The part of the map in VALUES, of BLOB, that belongs to the window at PLACE."""
    cells = _cells(grid, place, geometry.stride, _extent(shapes, blob))
    part: Array = values[(slice(None), slice(None), *cells)]
    return part


def _cells(grid: Grid, place: Sequence[int], stride: tuple[Fraction, ...], extent: Shape) -> tuple[slice, ...]:
    """The cells of a map, EXTENT per axis, that belong to the window at PLACE."""
    starts = (int(at * step / each) for at, step, each in zip(place, grid.step, stride, strict=True))
    return tuple(slice(start, start + size) for start, size in zip(starts, extent, strict=True))


def _judge(scene: _Scene, output: Output) -> Dense:
    """What is to be said of OUTPUT."""
    reason = of_output(output, scene.geometry)
    if reason is not None:
        return Dense(output.pair, Status.DOES_NOT_APPLY, (), (), (), None, None, "", reason)
    geometry, expected = scene.geometry.get(output.twin), scene.strides.get(output.blob)
    values = scene.maps[output.pair.twin]
    if geometry is None or expected is None or values.ndim != 2 + len(scene.grid.step):
        return Dense(output.pair, Status.NOT_SHOWN, (), (), (), None, None, "it is no map over the input")
    shown = tuple(map(float, geometry.stride)), geometry.window, geometry.reasons
    if geometry.stride != expected:
        wrong, right = ("x".join(map(str, each)) for each in (geometry.stride, expected))
        return Dense(output.pair, Status.FAILS, *shown, None, None, f"its cells lie {wrong} pixels apart, not {right}")
    crops = _difference(scene, output, geometry, scene.crops[output.pair.name])
    if isinstance(crops, str):
        return Dense(output.pair, Status.FAILS, *shown, None, None, crops)
    if span(scene.crops[output.pair.name], softmax=output.softmax) <= output.allowed:
        why = "the answers are the same in all windows, whatever the picture, so that any of them would do"
        return Dense(output.pair, Status.NOT_SHOWN, *shown, crops, None, why)
    if geometry.exactness is Exactness.EVERYWHERE:
        why = (
            "" if crops.small else "it differs from the original on the crops, and nothing in the geometry explains it"
        )
        return Dense(output.pair, Status.HOLDS if crops.small else Status.FAILS, *shown, crops, None, why)
    if scene.features is None or isinstance(scene.features, str):
        why = f"whether that explains all of the difference cannot be told: {scene.features}"
        return Dense(output.pair, Status.NOT_SHOWN, *shown, crops, None, why)
    features = _difference(scene, output, geometry, scene.features[output.pair.name])
    if isinstance(features, str):
        return Dense(output.pair, Status.FAILS, *shown, crops, None, features)
    why = "" if features.small else "it differs by more than its borders explain"
    return Dense(output.pair, Status.HOLDS if features.small else Status.FAILS, *shown, crops, features, why)


def _difference(scene: _Scene, output: Output, geometry: Geometry, answers: Array) -> Difference | str:
    """How far the twin's map is, in the windows, from the ANSWERS of the original; or why that cannot be told."""
    import numpy as np

    values, nominal = scene.maps[output.pair.twin], scene.nominal[output.twin]
    if not isinstance(nominal, tuple) or answers.size != len(answers) * prod(nominal[1:]):
        expected = "unknown" if isinstance(nominal, Unknown) else show(nominal[1:])
        return f"an answer of the original is {show(answers.shape[1:])}, one of the twin {expected}"
    answers = answers.reshape(len(answers), *nominal[1:])  # the same values, with the axes of the map
    extent = nominal[2:]
    cells = [_cells(scene.grid, place, geometry.stride, extent) for place in scene.places]
    ends = [max(each[axis].stop for each in cells) for axis in range(len(extent))]
    if any(end > size for end, size in zip(ends, values.shape[2:], strict=True)):
        shown = "×".join(map(str, values.shape[2:]))
        return f"its map has {shown} cells, too few for the windows of the input"
    found = np.concatenate([values[(slice(None), slice(None), *each)] for each in cells])
    if found.shape != answers.shape:
        return f"{answers.shape[1]} values were expected in each cell, {found.shape[1]} found"
    return difference(answers, found, output.allowed, softmax=output.softmax)
