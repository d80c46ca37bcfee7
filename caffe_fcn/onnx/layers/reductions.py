"""Lowers layers that reduce many values to one: ArgMax and Reduction."""

from __future__ import annotations

from caffe_fcn.onnx.extents import extents, known_count, reshape, vector
from caffe_fcn.onnx.graph import Dims
from caffe_fcn.onnx.layers.reshaping import mirrored
from caffe_fcn.onnx.registry import LoweringSite, axis_of, lowering

_FLOAT = 1
_REDUCTIONS = {1: "ReduceSum", 2: "ReduceL1", 3: "ReduceSumSquare", 4: "ReduceMean"}
"""ReductionParameter.ReductionOp to operation."""


@lowering("ArgMax")
def argmax(site: LoweringSite) -> str:
    """Lower ArgMaxLayer: the positions of the top_k largest values, or the values, or without an axis optionally both.

    Among equal values Caffe takes the last first.
    """
    build, value, dims, param = site.build, site.inputs[0], site.bottoms[0], site.layer.argmax_param
    if param.HasField("axis"):
        axis = axis_of(param.axis, dims)
        values, places = _largest(site, value, dims, axis)
        return values if param.out_max_val else places
    flat = build.node("Flatten", value, axis=1)
    values, places = _largest(site, flat, (dims[0], known_count(dims[1:])), 1)
    made = build.node("Concat", places, values, axis=1) if param.out_max_val else places
    tail = [1] * (max(3, len(dims)) - 3)
    return reshape(build, made, [*extents(value, dims, 0, 1), 2 if param.out_max_val else 1, int(param.top_k), *tail])


def _largest(site: LoweringSite, value: str, dims: Dims, axis: int) -> tuple[str, str]:
    """Add the top_k largest of VALUE along AXIS, largest first, and their positions as float32, Caffe's only type."""
    build, top_k = site.build, int(site.layer.argmax_param.top_k)
    if top_k == 1:
        values = build.node("ReduceMax", value, build.ints([axis]), keepdims=1)
        places = build.node("ArgMax", value, axis=axis, keepdims=1, select_last_index=1)
        return values, build.node("Cast", places, to=_FLOAT)
    # TopK takes the first of equal values, so the values are reversed before.
    values, turned = build.split("TopK", mirrored(build, value, [axis]), build.ints([top_k]), outputs=2, axis=axis)
    last = build.node("Sub", vector(build, extents(value, dims, axis, axis + 1)), build.ints([1]))
    return values, build.node("Cast", build.node("Sub", last, turned), to=_FLOAT)


@lowering("Reduction")
def reduction(site: LoweringSite) -> str:
    """Lower ReductionLayer: the sum, the sum of absolute values or squares, or the mean, of all axes from `axis` on."""
    build, dims, param = site.build, site.bottoms[0], site.layer.reduction_param
    axes = build.ints(range(axis_of(param.axis, dims), len(dims)))
    made = build.node(_REDUCTIONS[param.operation], site.inputs[0], axes, keepdims=0)
    return made if param.coeff == 1 else build.node("Mul", made, build.number(param.coeff))
