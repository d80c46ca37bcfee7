"""Decides where the dense proof does not apply, because the pair does not claim what it would show.

It uses only the two nets, before anything is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from caffe_fcn.compare.numbering import number_both
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.geometry import (
    Cause,
    Exactness,
    Geometry,
    Inner,
    Reason,
    ends_of_maps,
    infer_geometry,
    inner_cells,
)
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.net.sizes import other_parameters
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.verify.grid import lay_out
from caffe_fcn.verify.outputs import ComparedOutput, Pairs
from caffe_fcn.verify.records import Exemption, Inapplicable


def inapplicable(original: Scope, twin: Scope, pairs: Pairs) -> tuple[Inapplicable | None, dict[str, Inapplicable]]:
    """Why the dense proof does not apply to TWIN as a whole, None if it does; and why it does not apply to single
    outputs, by their names in the original."""
    outputs = pairs.outputs
    if outputs and not any(output.converted for output in outputs):
        return Inapplicable(Exemption.NOTHING_CONVERTED), {}
    if len(original.inputs) > 1:
        return Inapplicable(Exemption.SEVERAL_INPUTS, tuple(blob.name for blob in original.inputs)), {}
    fixed = _fixed(original, twin)
    if fixed is not None:
        return Inapplicable(Exemption.FIXED_SIZE, (fixed,)), {}
    geometry, inner = infer_geometry(twin.graph, twin.shapes), inner_of(twin, pairs)
    unexcused = _along_other_axes(original, twin, geometry)
    single = {
        output.pair.name: reason
        for output in outputs
        if (reason := _of_output(output, twin.graph, geometry, inner, pairs.shared, unexcused)) is not None
    }
    if not outputs or len(single) < len(outputs):
        return None, single
    found = [each for each in single.values() if each.cause is Exemption.EXACT_NOWHERE]
    reasons = dict.fromkeys(reason for each in found for reason in each.reasons)
    return Inapplicable(Exemption.EXACT_NOWHERE, reasons=tuple(reasons)), single


def _along_other_axes(original: Scope, twin: Scope, geometry: Mapping[Blob, Geometry | None]) -> frozenset[Reason]:
    """The reasons in the GEOMETRY of TWIN that are layers along a spatial axis, while their counterparts in ORIGINAL
    work along another axis. At the nominal size, where an axis may have a single cell, the answers need not show
    that."""
    ours, theirs = number_both(original.graph, twin.graph)
    named = {node.name: ours.layers[number].name for number, node in theirs.layers.items() if number in ours.layers}
    along = {reason.layer for reason in _along(infer_geometry(original.graph, original.shapes))}
    return frozenset(reason for reason in _along(geometry) if named.get(reason.layer) not in along)


def _along(geometry: Mapping[Blob, Geometry | None]) -> Iterator[Reason]:
    """The reasons in GEOMETRY that are layers along a spatial axis."""
    reasons = (reason for known in geometry.values() if known is not None for reason in known.reasons)
    return (reason for reason in reasons if reason.cause is Cause.ALONG_AXIS)


def inner_of(twin: Scope, pairs: Pairs) -> dict[Blob, Inner]:
    """The cells of the nominal maps of TWIN that can equal the answers of the original for a window."""
    geometry = infer_geometry(twin.graph, twin.shapes)
    return inner_cells(twin.graph, twin.shapes, geometry, lambda node: not pairs.shared.issuperset(node.tops))


def _of_output(
    output: ComparedOutput,
    graph: Graph,
    geometry: Mapping[Blob, Geometry | None],
    inner: Mapping[Blob, Inner],
    shared: frozenset[Blob],
    unexcused: frozenset[Reason],
) -> Inapplicable | None:
    """Why the dense proof does not apply to OUTPUT of the new net, GRAPH, with its GEOMETRY and INNER cells. None if it
    applies, also if the only reasons are those UNEXCUSED."""
    if not output.converted:
        return Inapplicable(Exemption.NOTHING_CONVERTED)
    known = geometry.get(output.twin)
    if known is None:
        ends = ends_of_maps(graph, geometry, output.twin)
        alike = ends and all(shared.issuperset(node.tops) for node in ends)
        lost = tuple(Reason(Cause.NO_WINDOWS, node.name) for node in ends)
        return Inapplicable(Exemption.EXACT_NOWHERE, reasons=lost) if alike else None
    nowhere = (each for each in known.reasons if each.exactness is Exactness.NOWHERE and each not in unexcused)
    reasons = (*nowhere, *inner[output.twin].lost)
    return Inapplicable(Exemption.EXACT_NOWHERE, reasons=reasons) if reasons else None


def _fixed(original: Scope, twin: Scope) -> str | None:
    """The layer because of which TWIN accepts one input size only, if ORIGINAL also accepts one only; else None."""
    if len(original.inputs) != 1 or len(twin.inputs) != 1:
        return None
    grid = lay_out(twin.graph, twin.shapes, twin.inputs[0])
    if isinstance(grid, str) or _stopped(original, grid.larger) is None:
        return None
    return _stopped(twin, grid.larger)


def _stopped(scope: Scope, size: Shape) -> str | None:
    """The layer that does not accept its bottoms for an input of the spatial SIZE; None if all do."""
    (image,) = scope.inputs
    nominal = scope.shapes.blobs[image]
    if not isinstance(nominal, tuple):
        return None
    try:
        larger = infer_shapes(scope.graph, given={image.name: (*nominal[:2], *size)})
    except ShapeError as error:
        return next((node.name for node in scope.graph.nodes if node.index == error.index), "")
    misfit = other_parameters(scope.graph, scope.shapes, larger)
    return misfit.node.name if misfit else None
