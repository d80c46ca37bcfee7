"""Checks the converted net before anything is written.

Its shapes are inferred again, at the nominal input size and at a larger one. They must be those that the decision
promised: the kernels, one answer at the nominal size, and grids that fit where two paths join on a larger image.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from math import lcm, prod

from caffe_fcn.display import printable, some
from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.model.changes import Decision
from caffe_fcn.net.geometry import (
    Cause,
    Exactness,
    Geometry,
    Reason,
    ends_of_maps,
    infer_geometry,
    inner_cells,
    is_idle,
    summed_up,
)
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.images import image_inputs
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape, Shapes, infer_shapes
from caffe_fcn.net.sizes import other_parameters
from caffe_fcn.passes.convolutionalize.changes import ToConvolution, WindowPooling
from caffe_fcn.passes.convolutionalize.kept import Original, Twin, check_kept
from caffe_fcn.passes.convolutionalize.pooling import descendants
from caffe_fcn.wording import Hint, Option, advise

_NAMED = 3
"""How many layers a note names."""


def check_twin(original: Original, twin: Twin, decision: Decision, given: Mapping[str, Shape]) -> list[str]:
    """Raise SurgeryError unless TWIN, the converted net, is what DECISION promised to make of ORIGINAL. Return notes on
    what keeps it from taking a larger input although the decision is right. GIVEN: the shapes of the inputs."""
    notes = check_kept(original, twin, decision)
    shapes = twin.shapes
    edits = {edit.index: edit for edit in decision.changes if isinstance(edit, ToConvolution | WindowPooling)}
    changed = [node for node in twin.graph.nodes if twin.origin(node) in edits]
    for node in changed:
        edit = edits.get(twin.origin(node) or 0)
        if isinstance(edit, ToConvolution):
            _check_convolution(node, edit, shapes)
    ways = _ways(decision)
    geometry = infer_geometry(twin.graph, shapes)
    dense = {id(node): node for start in changed for node in descendants(twin.graph, start.tops[0])}
    for node in dense.values():
        if row_of(node.type).joins:
            _check_strides(node, geometry, ways)
    if not changed:
        return notes
    return [
        *notes,
        *_inexact(twin, geometry, [*changed, *dense.values()], _late(original, decision)),
        *_check_larger(twin.graph, given, shapes, geometry, set(dense), changed, ways),
    ]


def _late(original: Original, decision: Decision) -> set[int]:
    """The indices of the layers of ORIGINAL that DECISION changes, and of all layers after them."""
    changed = {edit.index for edit in decision.of_kind("converted", "pooling", "dropped")}
    late: set[int] = set()
    behind: set[Blob] = set()
    for node in original.graph.nodes:
        starts = node.index in changed and not is_idle(node, original.shapes.blobs)
        if starts or not behind.isdisjoint(node.bottoms):
            late.add(node.index)
            behind.update(node.tops)
    return late


def _inexact(
    twin: Twin, geometry: Mapping[Blob, Geometry | None], dense: Iterable[Node], late: Container[int]
) -> Iterator[str]:
    """A note on layers because of which no value in the maps of the DENSE layers of TWIN depends on one window only.
    LATE: the old indices of the layers from the first changed one on. Batch statistics in training are not noted."""
    reasons: dict[Reason, None] = {}
    graph, shapes = twin.graph, twin.shapes
    inner = inner_cells(graph, shapes, geometry, lambda node: twin.origin(node) in late)
    for top in (top for node in dense for top in node.tops):
        shape, known = shapes.blobs[top], geometry.get(top)
        if known is not None:
            reasons.update(dict.fromkeys((*known.reasons, *inner[top].lost)))
        elif isinstance(shape, tuple) and len(shape) > 2:  # it has spatial axes but is no map
            lost = ends_of_maps(graph, geometry, top)
            reasons.update((Reason(Cause.NO_WINDOWS, node.name), None) for node in lost)
    nowhere = [reason for reason in reasons if reason.exactness is Exactness.NOWHERE]
    if nowhere and graph.phase == "TEST":
        told = "; ".join(f"{some([*map(printable, names)], _NAMED)} {what}" for names, what in summed_up(nowhere))
        yield f"on a larger input each answer depends on more than its window, because {told}"


def _check_convolution(node: Node, edit: ToConvolution, shapes: Shapes) -> None:
    """Raise SurgeryError unless NODE has the kernel of EDIT and gives one answer at the nominal input size."""
    params, top = shapes.params.get(node.index, ()), shapes.blobs[node.tops[0]]
    if not params or params[0] != edit.weight_shape or not isinstance(top, tuple) or prod(top[2:]) != 1:
        raise SurgeryError(
            layer=node.name,
            expected=f"weights {edit.weight_shape} and one answer",
            found=f"{params} and {top}",
            hint="this is a defect of caffe-fcn, please report it with the prototxt",
        )


def _ways(decision: Decision) -> Hint:
    """What the user can do if DECISION makes blobs that a layer cannot join."""
    pooled = bool(decision.of_kind("pooling"))
    more = (", or its poolings with ", Option("global_pooling", "keep")) if pooled else ()
    return advise(Option("skip"), *more)


def _check_strides(node: Node, geometry: Mapping[Blob, Geometry | None], ways: Hint) -> None:
    """Raise SurgeryError when NODE joins maps of different strides. WAYS ends the message."""
    strides = {blob: known.stride for blob in node.bottoms if (known := geometry.get(blob)) is not None}
    if len(set(strides.values())) > 1:
        paths = " and ".join(f"{blob.name!r} (stride {'×'.join(map(str, stride))})" for blob, stride in strides.items())
        raise SurgeryError(
            f"{node.name} ({node.type}) would join {paths}, which have different strides on a larger input",
            layer=node.name,
            layer_type=node.type,
            index=node.index,
            hint=advise("leave the layers before it unchanged with ", ways),
        )


def _check_larger(
    graph: Graph,
    given: Mapping[str, Shape],
    shapes: Shapes,
    geometry: Mapping[Blob, Geometry | None],
    dense: set[int],
    changed: Sequence[Node],
    ways: Hint,
) -> list[str]:
    """Check the shapes on an input that is larger, in every direction, by a multiple of all strides."""
    steps = {each for known in geometry.values() if known is not None for each in known.step}
    step = lcm(*steps) if steps else 0
    ours = {id(node) for node in changed}
    images = [
        blob for blob in image_inputs(graph, shapes) if any(id(node) in ours for node in descendants(graph, blob))
    ]
    if not images or not 0 < step <= 4096:
        return []
    larger = dict(given)
    for blob in images:
        shape = shapes.blobs[blob]
        if isinstance(shape, tuple):
            larger[blob.name] = (*shape[:2], *(extent + step for extent in shape[2:]))
    try:
        grown = infer_shapes(graph, given=larger)
    except ShapeError as error:
        message = error.within(graph.source)
        layer = next((node for node in graph.nodes if node.index == error.index), None)
        if layer is not None and id(layer) in dense and row_of(layer.type).joins:
            raise SurgeryError(
                f"the converted net would fail on a larger input: {message}",
                layer=layer.name,
                layer_type=layer.type,
                index=layer.index,
                hint=advise(f"leave the layers before {layer.name} unchanged with ", ways),
            ) from error
        return [f"the converted net still takes only its nominal input size: {message}"]
    misfit = other_parameters(graph, shapes, grown)
    if misfit and id(misfit.node) in ours:
        raise SurgeryError(
            f"on a larger input the answers would not be those of windows: {misfit}",
            hint=advise("leave the layer with ", Option("skip")),
        )
    return [f"the converted net still takes only its nominal input size: {misfit}"] if misfit else []
