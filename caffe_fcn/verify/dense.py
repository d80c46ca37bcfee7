"""The third proof: on a larger input each cell of the new map is the answer of the original for the window there.

The geometry shows where that must hold. Where a map is exact, the original runs on the crops of the picture, and only
rounding is allowed. Where a layer pads or has partial windows, a crop has borders that the whole picture does not
have, so the answers differ; that difference is measured. The converted net must then still agree with the last layers
of the original, run on the windows of the maps of the whole picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import prod

from caffe_fcn.errors import EngineError, LoweringError, ShapeError, WeightsError
from caffe_fcn.verify.applicability import inner_of
from caffe_fcn.verify.differences import span
from caffe_fcn.verify.features import Features, features
from caffe_fcn.verify.finer import expected_stride, nominal_cells, strides
from caffe_fcn.verify.grid import lay_out
from caffe_fcn.verify.items import Runner
from caffe_fcn.verify.limits import BLUNT
from caffe_fcn.verify.outputs import ComparedOutput, Pairs, Party
from caffe_fcn.verify.records import Dense, DenseProof, Inapplicable, Status
from caffe_fcn.verify.rounding import too_coarse
from caffe_fcn.verify.scene import Scene, SceneSettings, set_up
from caffe_fcn.wording import option

_FEWEST = 2
"""The fewest windows along an axis: a single one shows no stride."""


def prove_dense(
    runner: Runner,
    original: Party,
    twin: Party,
    pairs: Pairs,
    exempt: Mapping[str, Inapplicable],
    view: SceneSettings,
) -> DenseProof:
    """Run TWIN on a picture larger than the nominal input, and ORIGINAL on windows of it, and compare the outputs in
    PAIRS, except those that are EXEMPT."""
    nothing = DenseProof((), (), 0, 0, (), "")
    if len(original.inputs) != 1 or len(twin.inputs) != 1:
        why = f"the nets have {len(original.inputs)} and {len(twin.inputs)} inputs, but windows need exactly one"
        return nothing._replace(not_shown=why)
    image = next(blob for blob in twin.scope.inputs if blob.name in twin.inputs)
    grid = lay_out(twin.scope.graph, twin.scope.shapes, image)
    if isinstance(grid, str):
        return nothing._replace(not_shown=grid)
    wanted = [output for output in pairs.outputs if output.pair.name not in exempt]
    try:
        scene = set_up(runner, original, twin, wanted, grid, view, inner_of(twin.scope, pairs))
    except (EngineError, LoweringError, ShapeError, WeightsError) as error:
        return nothing._replace(not_shown=_unwilling(twin, error))
    borders = [each for each in wanted if scene.geometry.get(each.twin) is not None and not scene.exact(each)]
    made = features(runner, original, pairs.windowed, borders, scene) if borders else {}
    expected = strides(original.scope.graph, original.scope.shapes)
    judged = tuple(
        Dense(output.pair, Status.DOES_NOT_APPLY, inapplicable=exempt[output.pair.name])
        if output.pair.name in exempt
        else _judge(scene, output, made.get(output.pair.name, ""), expected.get(output.blob))
        for output in pairs.outputs
    )
    return DenseProof(scene.picture.shape, grid.step, grid.windows, len(scene.places), judged, "", blob=image.name)


def _unwilling(twin: Party, error: Exception) -> str:
    """Why the proof cannot be carried out, if running TWIN on a larger input raised ERROR."""
    left = [node.name for node in twin.scope.graph.nodes if node.type == "InnerProduct"]
    if not left:
        return str(error)
    others = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return (
        f"the converted net does not accept a larger input: layer {left[0]!r}{others} is still an "
        "InnerProduct; was it converted?"
    )


def _judge(
    scene: Scene,
    output: ComparedOutput,
    features: Features | str,
    stride: tuple[Fraction, ...] | None,
) -> Dense:
    """The result for OUTPUT, whose cells should be STRIDE pixels apart."""
    geometry, found = scene.geometry.get(output.twin), Dense(output.pair, Status.NOT_SHOWN)
    if geometry is None or stride is None:
        return found._replace(explanation="it is not a map of the input")
    small = scene.small.get(output.twin)
    reasons = tuple(dict.fromkeys((*geometry.reasons, *(small.reasons if small else ()))))
    found = found._replace(stride=tuple(map(float, geometry.stride)), window=geometry.window, reasons=reasons)
    stride = expected_stride(stride, output.every)
    if geometry.stride != stride:
        wrong, right = ("x".join(map(str, each)) for each in (geometry.stride, stride))
        return _failed(found, f"its cells are {wrong} pixels apart, expected {right}")
    expected, (_, *nominal) = (
        scene.crops[output.blob.name],
        nominal_cells(scene.nominal[output.twin.name], output.every),
    )
    if expected[0].size != prod(nominal):
        return _failed(found, f"expected {expected[0].size} values in each window, found {prod(nominal)}")
    if len(scene.covered(output, geometry)) < _FEWEST:
        sizes = "×".join(map(str, scene.maps[output.twin.name].shape[2:]))
        return found._replace(explanation=f"its map has {sizes} cells, too few for the windows of the input")
    crops = scene.difference(output, geometry, scene.crops, scene.limits, alike=scene.exact(output))
    compared = prod(map(len, scene.inner_of(output).axes))
    found = found._replace(crops=crops, cells=prod(nominal[1:]), compared=compared)
    if span(scene.crops[output.judged.name], softmax=output.softmax) <= crops.allowed:
        why = "the answers are the same in all windows of any picture, so a comparison shows nothing"
        return found._replace(explanation=why)
    if crops.allowed > BLUNT and not scene.fixed_limits:
        return found._replace(explanation=too_coarse())
    if scene.exact(output):
        why = "it differs from the original on the crops, and the geometry does not explain the difference"
        if scene.fixed_limits:
            why = f"it differs from the original on the crops by more than {option('tolerance')} allows"
        return found._replace(status=Status.HOLDS) if crops.small else _failed(found, why)
    if isinstance(features, str):
        why = f"it is unknown whether the borders explain the whole difference: {features}"
        return found._replace(explanation=why)
    difference = scene.difference(output, geometry, features.answers, features.limits, alike=True)
    found = found._replace(features=difference)
    why = "it differs by more than the borders explain"
    if scene.fixed_limits:
        why = f"it differs on the whole picture's maps by more than {option('tolerance')} allows"
    return found._replace(status=Status.HOLDS) if difference.small else _failed(found, why)


def _failed(found: Dense, explanation: str) -> Dense:
    return found._replace(status=Status.FAILS, explanation=explanation)
