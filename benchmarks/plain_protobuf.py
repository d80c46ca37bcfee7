"""Converts a net as a hand-written script does, with the protobuf package: parse all, edit, serialise all.

`caffe-fcn convert` is compared with this script, so the script is as short and as fast as possible. It gets the kernel
sizes as arguments. InnerProduct layers become Convolutions NAME-conv, and the bottoms of later layers follow.

    python benchmarks/plain_protobuf.py NET.prototxt NET.caffemodel FCN.prototxt FCN.caffemodel fc6=7 fc7=1 ...
"""

from __future__ import annotations

import sys
from pathlib import Path

from google.protobuf import text_format

from caffe_fcn import schema


def convert(net: schema.Message, kernels: dict[str, int]) -> None:
    """Turn, in NET, the InnerProduct layers named in KERNELS into convolutions with kernels of that size."""
    renamed: dict[str, str] = {}
    for layer in net.layer:
        layer.bottom[:] = [renamed.get(bottom, bottom) for bottom in layer.bottom]
        if layer.name in kernels:
            renamed[layer.top[0]] = f"{layer.name}-conv"
            to_convolution(layer, kernels[layer.name])
        else:
            layer.top[:] = [renamed.get(top, top) for top in layer.top]


def to_convolution(layer: schema.Message, kernel: int) -> None:
    """Turn the InnerProduct LAYER, with its weights if it has them, into a convolution."""
    layer.name += "-conv"
    layer.top[0] = layer.name
    layer.type = "Convolution"
    layer.convolution_param.num_output = layer.inner_product_param.num_output
    layer.convolution_param.kernel_size.append(kernel)
    layer.ClearField("inner_product_param")
    if layer.blobs:
        outputs, inputs = layer.blobs[0].shape.dim
        layer.blobs[0].shape.dim[:] = [outputs, inputs // kernel**2, kernel, kernel]


def main() -> None:
    """Convert the two files named on the command line."""
    net_path, weights_path, new_net_path, new_weights_path = map(Path, sys.argv[1:5])
    kernels = {name: int(size) for name, _, size in (word.partition("=") for word in sys.argv[5:])}

    net = text_format.Parse(net_path.read_text(encoding="utf-8"), schema.NetParameter())
    convert(net, kernels)
    new_net_path.write_text(text_format.MessageToString(net), encoding="utf-8")

    weights = schema.NetParameter()
    weights.ParseFromString(weights_path.read_bytes())
    convert(weights, kernels)
    new_weights_path.write_bytes(weights.SerializeToString())


if __name__ == "__main__":
    main()
