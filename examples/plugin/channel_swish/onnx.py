"""ChannelSwish in ONNX: loaded only where a net with such a layer is exported or run."""

from __future__ import annotations

from caffe_fcn.onnx.registry import LoweringSite


def lower(site: LoweringSite) -> str:
    """x · sigmoid(beta · x); ONNX aligns the last axes, so that beta gets an axis of 1 for each that follows."""
    value = site.inputs[0]
    beta = site.weight(0, (*site.params[0], *[1] * (len(site.bottoms[0]) - 2)))
    gate = site.build.node("Sigmoid", site.build.node("Mul", value, beta))
    return site.build.node("Mul", value, gate)
