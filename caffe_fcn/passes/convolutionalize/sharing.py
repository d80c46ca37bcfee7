"""Checks whether layers that share a weight, by the name of a `param`, can still share it after the conversion.

A blob has one shape and one order. If the layers that share it no longer agree, either none of them is converted (a
layer and its transpose, as in tied autoencoders), or the net is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from caffe_fcn import schema
from caffe_fcn.errors import SurgeryError
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.net.shapes import Shape, Shapes, show
from caffe_fcn.passes.convolutionalize.changes import ToConvolution
from caffe_fcn.passes.convolutionalize.reasons import Stays
from caffe_fcn.wording import Option, advise


def disagreements(graph: Graph, shapes: Shapes, conversions: Sequence[ToConvolution]) -> dict[int, Obstacle]:
    """The conversions to leave out, by layer index, with the reason. Raises SurgeryError where only some of the layers
    that share a weight can be converted."""
    converted = {edit.index: edit for edit in conversions}
    reasons: dict[int, Obstacle] = {}
    for name, sharers in _sharers(graph).items():
        involved = [node for node, position in sharers if node.index in converted and position == 0]
        if not involved or len(sharers) < 2:
            continue
        orders = {_order(converted, node, position) for node, position in sharers}
        if len(orders) > 1:
            names = [node.name for node, _ in sharers]
            for node in involved:
                others = ", ".join(other for other in names if other != node.name)
                reasons[node.index] = Obstacle(Stays.SHARED, (name, others))
        else:
            _check_shapes(name, sharers, shapes, converted)
    return reasons


def _sharers(graph: Graph) -> dict[str, list[tuple[Node, int]]]:
    """The layers that share a weight, and the positions of the blob in them, by the name of the weight."""
    sharers: dict[str, list[tuple[Node, int]]] = {}
    for node in graph.nodes:
        for position, param in enumerate(node.layer.param):
            if param.name:
                sharers.setdefault(param.name, []).append((node, position))
    return sharers


def _order(converted: dict[int, ToConvolution], node: Node, position: int) -> tuple[object, ...]:
    """The new order of the values of a shared blob: unchanged, transposed, or with columns reordered."""
    edit = converted.get(node.index) if position == 0 else None
    if edit is not None:
        return (edit.transposed, edit.segments) if edit.reordered else (edit.transposed,)
    stays_transposed = node.type == "InnerProduct" and position == 0 and node.layer.inner_product_param.transpose
    return ("stays transposed",) if stays_transposed else (False,)


def _check_shapes(
    name: str, sharers: Sequence[tuple[Node, int]], shapes: Shapes, converted: dict[int, ToConvolution]
) -> None:
    """Raise SurgeryError unless all SHARERS give the blob one shape or may differ."""
    strict: dict[Shape, str] = {}
    permissive = schema.enum_number("ParamSpec", "DimCheckMode", "PERMISSIVE")
    for node, position in sharers:
        shape = _new_shape(shapes, converted, node, position)
        if shape is None:
            continue
        lenient = bool(strict) and node.layer.param[position].share_mode == permissive
        if not (lenient and prod(shape) == prod(next(iter(strict)))):
            strict.setdefault(shape, node.name)
    if len(strict) > 1:
        wanted = ", ".join(f"{layer} {show(shape)}" for shape, layer in strict.items())
        skip = Option("skip", [node.name for node, _ in sharers if node.index in converted])
        raise SurgeryError(
            f"the layers that share the weight {name!r} would need different shapes of it: {wanted}",
            layer=sharers[0][0].name,
            hint=advise("leave them unchanged with ", skip),
        )


def _new_shape(shapes: Shapes, converted: dict[int, ToConvolution], node: Node, position: int) -> Shape | None:
    edit = converted.get(node.index)
    if edit is not None and position == 0:
        return edit.weight_shape
    blobs = shapes.params.get(node.index, ())
    return blobs[position] if position < len(blobs) else None
