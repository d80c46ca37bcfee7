"""Runs the original's last layers on windows of the maps that its first layers compute for a whole picture.

These answers have the borders of the picture and not those of crops, as the new net's answers have. So the two may
differ by rounding only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import EngineError, LoweringError, ShapeError
from caffe_fcn.net.geometry import Geometry
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import Shape, Shapes
from caffe_fcn.onnx.scope import Scope, choose_scope
from caffe_fcn.verify.grid import Grid
from caffe_fcn.verify.items import Items, Runner
from caffe_fcn.verify.limits import Limits
from caffe_fcn.verify.outputs import ComparedOutput, Party, names_of
from caffe_fcn.verify.parts import Cut, both_parts, cut
from caffe_fcn.verify.rounding import Answered, allowances
from caffe_fcn.verify.scene import Scene, cells_of


class Features(NamedTuple):
    """The ANSWERS of the last layers, and the allowed difference of the new net's map to them, by output."""

    answers: Mapping[str, Array]
    limits: Limits


def features(
    runner: Runner, original: Party, windowed: frozenset[str], outputs: Sequence[ComparedOutput], scene: Scene
) -> dict[str, Features | str]:
    """What ORIGINAL's last layers make, for each of OUTPUTS, of the windows of the maps that its first layers make of
    the whole picture of SCENE; or why that cannot be told. WINDOWED are its layers for which the new net has other
    windows."""
    found = _of_all(runner, original, windowed, outputs, scene)
    if not isinstance(found, str) or len(outputs) < 2:
        return {output.pair.name: found for output in outputs}
    return {output.pair.name: _of_all(runner, original, windowed, [output], scene) for output in outputs}


def _of_all(
    runner: Runner, original: Party, windowed: frozenset[str], outputs: Sequence[ComparedOutput], scene: Scene
) -> Features | str:
    import numpy as np

    (name,) = original.inputs
    maps = {name: scene.picture}
    try:
        scope = choose_scope(*original.net, [output.blob.name for output in outputs])
        made = cut(scope, windowed)
        if isinstance(made, str):
            return made
        parts = both_parts(scope, made, {name: scene.picture.shape})
        if isinstance(parts, str):
            return parts
        first, last = parts
        if first is not None:
            asked = [blob.name for blob in made.maps if blob.name != name]
            maps |= runner.run(first, original.weights, Items({name: scene.picture}, False), asked)
        small = next(
            (each.name for each in made.maps if not _covers(maps[each.name], scope, each, made, scene.grid)), None
        )
        if small is not None:
            return f"{small!r} does not grow with the picture"
        windows = {
            blob.name: np.concatenate(
                [_window(maps[blob.name], scope.shapes, blob, found, scene.grid, at) for at in scene.places]
            )
            for blob, found in made.maps.items()
        }
        own = {blob.name for node in made.last for blob in node.tops}
        if not own.issuperset(names_of(outputs)):
            return "no separate layers read a map"
        names, items = names_of(outputs), Items(windows, False)
        fed = {blob.name: (1, *values.shape[1:]) for blob in made.maps for values in [windows[blob.name]]}
        party = Party(last, original.weights, choose_scope(*last, names), fed)
        answers = party.run(runner, items, names)
        limits = scene.limits
        if not scene.fixed_limits:
            known = Answered(items, answers, [range(items.many)])
            limits = limits.or_else(lambda: allowances(runner, party, outputs, known))
        return Features(answers, limits)
    except (EngineError, LoweringError, ShapeError) as error:
        return str(error)


def _covers(values: Array, scope: Scope, blob: Blob, made: Cut, grid: Grid) -> bool:
    """Whether VALUES, the map of BLOB, is large enough for the last window."""
    last = cells_of(grid, [many - 1 for many in grid.many], made.maps[blob].stride, _extent(scope.shapes, blob))
    return all(each.stop <= size for each, size in zip(last, values.shape[2:], strict=True))


def _extent(shapes: Shapes, blob: Blob) -> Shape:
    shape = shapes.blobs[blob]
    return shape[2:] if isinstance(shape, tuple) else ()


def _window(values: Array, shapes: Shapes, blob: Blob, geometry: Geometry, grid: Grid, place: tuple[int, ...]) -> Array:
    """The part of VALUES, the map of BLOB, that belongs to the window at PLACE."""
    cells = cells_of(grid, place, geometry.stride, _extent(shapes, blob))
    part: Array = values[(slice(None), slice(None), *cells)]
    return part
