"""How many terms a value of a layer is the sum of: as often the arithmetic rounds on the way to it."""

from __future__ import annotations

from math import prod

from caffe_fcn import schema
from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers.windows import pooling_windows
from caffe_fcn.net.shapes import Shape, Shapes

_WEIGHTED = frozenset(
    {
        *("Convolution", "Convolution3D", "ConvolutionDepthwise", "DepthwiseConvolution"),
        *("Deconvolution", "Deconvolution3D", "InnerProduct"),
    }
)
_FEW = 4
"""Of a layer that works value by value: its operations one behind the other."""


def terms(node: Node, shapes: Shapes) -> int:
    """How many terms each value that NODE makes is the sum of, at most."""
    bottom = shapes.blobs[node.bottoms[0]] if node.bottoms else ()
    if not node.bottoms or not isinstance(bottom, tuple) or not bottom:
        return 1
    params = shapes.params.get(node.index, ())
    if node.type in _WEIGHTED and params and params[0]:
        outputs = node.layer.inner_product_param if node.type == "InnerProduct" else node.layer.convolution_param
        return max(1, prod(params[0]) // max(1, int(outputs.num_output)))
    return max(_count(node, bottom), len(node.bottoms))


def _count(node: Node, bottom: Shape) -> int:
    layer, items, values = node.layer, max(1, bottom[0]), prod(bottom)
    match node.type:
        case "Pooling" if layer.pooling_param.pool != schema.enum_number("PoolingParameter", "PoolMethod", "MAX"):
            return prod(pooling_windows(layer, bottom[2:]).kernel)
        case "Pooling":
            return 1
        case "Softmax":
            return bottom[int(layer.softmax_param.axis) % len(bottom)]
        case "LRN":
            return int(layer.lrn_param.local_size) ** (2 if layer.lrn_param.norm_region else 1)
        case "MVN":
            return values // items if layer.mvn_param.across_channels else prod(bottom[2:])
        case "BatchNorm" if layer.batch_norm_param.HasField("use_global_stats"):
            return _FEW if layer.batch_norm_param.use_global_stats else values // max(1, bottom[1 % len(bottom)])
        case "Normalize":
            return values // items if layer.norm_param.across_spatial else bottom[1 % len(bottom)]
        case "Reduction":
            return values
        case _:
            return _FEW
