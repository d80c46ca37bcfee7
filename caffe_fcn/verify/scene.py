"""A picture larger than the nominal input, the windows on it, and what both nets make of them."""

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
"""Of the random picture, tried in turn. Less than pixels have might not move the answers from window to window; more
than a net is made for might fix them, as a Softmax is fixed at one."""

_MOVED = 0.01
"""How much of their scale answers have to move from window to window, lest any of them would do for all."""


Places = Sequence[tuple[int, ...]]


class SceneSettings(NamedTuple):
    """What the user decides: on about so many WINDOWS of a picture drawn from SEED, and with which TOLERANCE in place
    of what rounding explains."""

    windows: int
    seed: int
    tolerance: float | None


@dataclass(frozen=True)
class Scene:
    """A PICTURE, the PLACES of windows on it, the original's answers on CROPS, and the twin's MAPS."""

    grid: Grid
    places: Places
    picture: Array
    crops: Mapping[str, Array]
    maps: Mapping[str, Array]
    nominal: Mapping[str, Shape]
    """The shapes of the twin's outputs at the nominal size."""
    geometry: Mapping[Blob, Geometry | None]
    """Of the twin on the picture."""
    small: Mapping[Blob, Geometry | None]
    """Of the twin at the nominal size."""
    inner: Mapping[Blob, Inner]
    """The cells of the twin's nominal maps that can be what the original says of a window."""
    limits: Limits
    """How far the answers may be apart, by output."""
    fixed_limits: bool
    """Whether the user has set them."""

    def exact(self, output: ComparedOutput) -> bool:
        """Whether each cell of the twin's map of OUTPUT is a function of its window alone, and of one of the nominal
        size as well: a window that is larger than the map it slides over sees less there."""
        known = [of.get(output.twin) for of in (self.geometry, self.small)]
        everywhere = all(each is not None and each.exactness is Exactness.EVERYWHERE for each in known)
        return everywhere and len({each.window for each in known if each is not None}) == 1

    def inner_of(self, output: ComparedOutput) -> Inner:
        """The inner cells of OUTPUT, by the numbers that they have in the original."""
        return inner_of_original(self.inner[output.twin], output.every)

    def covered(self, output: ComparedOutput, geometry: Geometry) -> dict[int, tuple[slice, ...]]:
        """The cells of the twin's map of OUTPUT in each window, by its number, that the map covers."""
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
        """How far the twin's map is, in the windows that it covers, from the ANSWERS of the original; of each window,
        in the cells that see no border of their own. If they should be ALIKE, LIMITS are widened as long as they do not
        explain it."""
        import numpy as np

        cells, values = self.covered(output, geometry), self.maps[output.twin.name]
        found = np.concatenate([values[(slice(None), slice(None), *each)] for each in cells.values()])
        expected, judged = (answers[blob.name][list(cells)] for blob in (output.blob, output.judged))
        nominal, inner = nominal_cells(self.nominal[output.twin.name], output.every)[2:], self.inner_of(output)
        expected, judged, found = (_inside(each, nominal, inner) for each in (expected, judged, found))
        return compared(output, expected, judged, found, limits, alike=alike)


def _inside(values: Array, nominal: Shape, inner: Inner) -> Array:
    """Of VALUES, the answers to windows, those in the INNER cells of a map of the NOMINAL size."""
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
    except EngineError:  # loaded for one size only
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
    """A random picture of SHAPE on which ORIGINAL's answers move, its crops at PLACES, and the answers on them."""
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
    """How far the answers of that output which moves least are apart, of its scale."""
    return min((span(answers[output.judged.name], softmax=output.softmax) for output in outputs), default=0.0)


def cells_of(
    grid: Grid, place: Sequence[int], stride: tuple[Fraction, ...], extent: Shape, every: Shape = ()
) -> tuple[slice, ...]:
    """The cells of a map, EXTENT per axis, that belong to the window at PLACE; with EVERY only each so manieth of
    them."""
    starts = (int(at * step / each) for at, step, each in zip(place, grid.step, stride, strict=True))
    steps = every or (1,) * len(extent)
    return tuple(slice(start, start + size, step) for start, size, step in zip(starts, extent, steps, strict=True))
