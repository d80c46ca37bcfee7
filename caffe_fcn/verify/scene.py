"""The scene of the dense proof: a large picture, windows on it, and the answers of both nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from caffe_fcn.engines.protocol import Array, ShapedNet
from caffe_fcn.errors import EngineError
from caffe_fcn.net.geometry import Exactness, Geometry, Inner, infer_geometry
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.verify.differences import span
from caffe_fcn.verify.finer import inner_of_original, nominal_cells
from caffe_fcn.verify.grid import Grid
from caffe_fcn.verify.items import Items, Runner, answers_items
from caffe_fcn.verify.limits import Limits
from caffe_fcn.verify.outputs import ComparedOutput, Party, compared, names_of
from caffe_fcn.verify.records import Difference
from caffe_fcn.verify.rounding import Answered, allowances, fixed

_DEVIATIONS = (64.0, 8.0, 1.0)
"""The scales of the random picture, tried in turn. With a small one the answers may not change from window to window;
with a large one they may be fixed, as a Softmax at 1."""

_MOVED = 0.01
"""The least change of answers from window to window, relative to their scale, for a comparison to show anything."""


Places = Sequence[tuple[int, ...]]


class SceneSettings(NamedTuple):
    """The user's choices: the number of WINDOWS, the SEED of the random picture, and a TOLERANCE that replaces the
    measured effect of rounding."""

    windows: int
    seed: int
    tolerance: float | None


@dataclass(frozen=True)
class Scene:
    """A PICTURE, the PLACES of windows on it, the original's answers on CROPS, and the new net's MAPS."""

    grid: Grid
    places: Places
    picture: Array
    crops: Mapping[str, Array]
    maps: Mapping[str, Array]
    nominal: Mapping[str, Shape]
    """The shapes of the new net's outputs at the nominal size."""
    geometry: Mapping[Blob, Geometry | None]
    """The geometry of the new net on the picture."""
    small: Mapping[Blob, Geometry | None]
    """The geometry of the new net at the nominal size."""
    inner: Mapping[Blob, Inner]
    """The cells of the new net's nominal maps that can equal the original's answers for a window."""
    limits: Limits
    """The allowed difference of the answers, by output."""
    fixed_limits: bool
    """Whether the user has set the limits."""

    def exact(self, output: ComparedOutput) -> bool:
        """Whether each cell of the new map of OUTPUT depends on its window only, on the picture and at the nominal
        size: a window that is larger than its map sees less there."""
        known = [of.get(output.twin) for of in (self.geometry, self.small)]
        everywhere = all(each is not None and each.exactness is Exactness.EVERYWHERE for each in known)
        return everywhere and len({each.window for each in known if each is not None}) == 1

    def inner_of(self, output: ComparedOutput) -> Inner:
        """The inner cells of OUTPUT, by the numbers that they have in the original."""
        return inner_of_original(self.inner[output.twin], output.every)

    def covered(self, output: ComparedOutput, geometry: Geometry) -> dict[int, tuple[slice, ...]]:
        """The cells of the new map of OUTPUT in each window that the map covers, by the number of the window."""
        sizes, (_, _, *extent) = self.maps[output.twin.name].shape[2:], self.nominal[output.twin.name]
        cells = enumerate(
            cells_of(self.grid, place, geometry.stride, tuple(extent), output.every) for place in self.places
        )
        return {
            number: each
            for number, each in cells
            if all(axis.stop <= size for axis, size in zip(each, sizes, strict=True))
        }

    def difference(
        self, output: ComparedOutput, geometry: Geometry, answers: Mapping[str, Array], limits: Limits, *, alike: bool
    ) -> Difference:
        """The difference between the new map and the ANSWERS of the original, in the windows that the map covers and in
        the cells that see no border of a window. ALIKE: the two should be equal, so LIMITS are widened while they do
        not explain the difference."""
        import numpy as np

        cells, values = self.covered(output, geometry), self.maps[output.twin.name]
        found = np.concatenate([values[(slice(None), slice(None), *each)] for each in cells.values()])
        expected, judged = (answers[blob.name][list(cells)] for blob in (output.blob, output.judged))
        nominal, inner = nominal_cells(self.nominal[output.twin.name], output.every)[2:], self.inner_of(output)
        expected, judged, found = (_inside(each, nominal, inner) for each in (expected, judged, found))
        return compared(output, expected, judged, found, limits, alike=alike)


def _inside(values: Array, nominal: Shape, inner: Inner) -> Array:
    """The INNER cells of VALUES, the answers for windows; a map has the NOMINAL size."""
    if all(len(cells) == size for cells, size in zip(inner.axes, nominal, strict=True)):
        return values
    return values.reshape(len(values), -1, *nominal)[(slice(None), slice(None), *inner.slices)]


def set_up(
    runner: Runner,
    original: Party,
    twin: Party,
    outputs: Sequence[ComparedOutput],
    grid: Grid,
    view: SceneSettings,
    inner: Mapping[Blob, Inner],
) -> Scene:
    """A scene for OUTPUTS on GRID, compared in their INNER cells. Raises what the engine raises."""
    (name,), (other,) = original.inputs, twin.inputs
    shape = (1, original.inputs[name][1], *grid.larger)
    places = grid.sample(view.windows, view.seed)
    whole = not answers_items(original.scope, original.inputs)
    if whole and original.inputs[name][0] != 1:
        raise EngineError("its answers are not separate for each item of the batch, so windows cannot be compared")
    picture, items, crops = _on_crops(runner, original, outputs, shape, grid, places, view.seed, whole=whole)
    if view.tolerance is None:
        limits = allowances(runner, original, outputs, Answered(items, crops, [range(items.many)]))
    else:
        limits = fixed(outputs, view.tolerance)
    larger = infer_shapes(twin.scope.graph, given={other: shape})
    wanted = [output.twin.name for output in outputs]
    fed = Items({other: picture[None] if whole else picture}, whole)
    try:
        maps = twin.run(runner, fed, wanted)
    except EngineError:  # the net is loaded for one size only
        maps = runner.run(ShapedNet(twin.scope.graph, larger), twin.weights, fed, wanted)
    if whole:
        maps = {name: values[0, 0] for name, values in maps.items()}
    shapes = {each.twin.name: twin.scope.shapes.blobs[each.twin] for each in outputs}
    nominal = {output: dims for output, dims in shapes.items() if isinstance(dims, tuple)}
    geometry, small = infer_geometry(twin.scope.graph, larger), infer_geometry(twin.scope.graph, twin.scope.shapes)
    user = view.tolerance is not None
    return Scene(grid, places, picture, crops, maps, nominal, geometry, small, inner, limits, user)


def _on_crops(
    runner: Runner,
    original: Party,
    outputs: Sequence[ComparedOutput],
    shape: Shape,
    grid: Grid,
    places: Places,
    seed: int,
    *,
    whole: bool,
) -> tuple[Array, Items, Mapping[str, Array]]:
    """A random picture of SHAPE on which ORIGINAL's answers vary, its crops at PLACES, and the answers for them."""
    import numpy as np

    (name,) = original.inputs
    normal = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    tried = []
    for deviation in _DEVIATIONS:
        picture = normal * np.float32(deviation)
        crops = np.concatenate([picture[(slice(None), slice(None), *grid.pixels(place))] for place in places])
        items = Items({name: crops[:, None] if whole else crops}, whole)
        tried.append((picture, items, original.run(runner, items, names_of(outputs))))
        if _moved(tried[-1][2], outputs) >= _MOVED:
            break
    return max(tried, key=lambda one: _moved(one[2], outputs))


def _moved(answers: Mapping[str, Array], outputs: Sequence[ComparedOutput]) -> float:
    """The change of the answers, relative to their scale, of the output that changes least."""
    return min((span(answers[output.judged.name], softmax=output.softmax) for output in outputs), default=0.0)


def cells_of(
    grid: Grid, place: Sequence[int], stride: tuple[Fraction, ...], extent: Shape, every: Shape = ()
) -> tuple[slice, ...]:
    """The cells of a map, EXTENT per axis, that belong to the window at PLACE; with EVERY only each so manieth of
    them."""
    starts = (int(at * step / each) for at, step, each in zip(place, grid.step, stride, strict=True))
    steps = every or (1,) * len(extent)
    return tuple(slice(start, start + size, step) for start, size, step in zip(starts, extent, steps, strict=True))
