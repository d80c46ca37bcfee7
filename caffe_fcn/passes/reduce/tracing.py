"""Recognizes a reduction in a net: layers of one name with fewer filters or taps than before."""

from __future__ import annotations

from collections.abc import Mapping

from caffe_fcn.model.model import Model
from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.convolutions import DEPTHWISE
from caffe_fcn.net.layers.windows import convolution_windows, linear_param
from caffe_fcn.net.shapes import Shape
from caffe_fcn.passes.reduce.amounts import Amount


def amounts_between(model: Model, twin: Model) -> Mapping[str, Amount]:
    """Return what is left in the new net TWIN of layers of MODEL, by name, for layers with fewer filters or taps."""
    found: dict[str, Amount] = {}
    for phase in model.graphs.keys() & twin.graphs.keys():
        others = {node.name: node for node in twin.graphs[phase].nodes}
        for node in model.graphs[phase].nodes:
            other = others.get(node.name)
            if other is None or other.type != node.type or node.type in DEPTHWISE or not row_of(node.type).linear:
                continue
            before, after = (_weights(each, phase, one) for each, one in ((model, node), (twin, other)))
            if before and after and len(before) == len(after) and (left := _left(node, other, before, after)):
                found[node.name] = left
    return found


def _weights(model: Model, phase: str, node: Node) -> Shape:
    params = model.shapes[phase].params.get(node.index)
    return tuple(params[0]) if params else ()


def _left(node: Node, other: Node, before: Shape, after: Shape) -> Amount | None:
    old, new = (linear_param(each.layer) for each in (node, other))
    taps = after[2:] if before[2:] != after[2:] else None
    if getattr(old, "group", 1) != getattr(new, "group", 1) or (new.num_output >= old.num_output and taps is None):
        return None  # a layer with a group for each channel follows others
    dilation = set(convolution_windows(other.layer, len(taps)).dilation) if taps else set()
    return Amount(int(new.num_output), taps, dilation.pop() if len(dilation) == 1 else None)
