"""Makes the prototxts of benchmark nets that are not in a file: a VGG of five gigabytes, and ResNets.

The large one is VGG-16 with wider and more fully connected layers. It needs several of them, because protobuf, and so
Caffe, reads no layer of 2 GiB or more, and a blob has at most 2^31 - 1 values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

VGG_STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
LARGE_FC = (18432, 18432, 18432, 6144, 1000)
"""Outputs of fc6, fc7, ...; with 512×7×7 inputs, 5.1e9 bytes of weights in all."""

RESNET_152 = ((3, 256), (8, 512), (36, 1024), (3, 2048))
RESNET_50 = ((3, 256), (4, 512), (6, 1024), (3, 2048))
"""Blocks, and the channels that they make, of each stage."""


def vgg_large() -> str:
    """VGG-16's convolutions on 224×224 pixels under the fully connected layers LARGE_FC."""
    return "\n".join(['name: "VGG, large"', _input(), *_vgg_layers()]) + "\n"


def resnet152() -> str:
    """ResNet-152 for 224×224 pixels with the layers of a deploy net: each convolution with BatchNorm and Scale."""
    return "\n".join(['name: "ResNet-152"', _input(), *_resnet_layers(RESNET_152)]) + "\n"


def resnet50() -> str:
    """ResNet-50 for 224×224 pixels, as ResNet-152."""
    return "\n".join(['name: "ResNet-50"', _input(), *_resnet_layers(RESNET_50)]) + "\n"


def _vgg_layers() -> Iterator[str]:
    blob = "data"
    for stage, (depth, channels) in enumerate(VGG_STAGES, 1):
        for step in range(1, depth + 1):
            name = f"conv{stage}_{step}"
            convolution = f"convolution_param {{ num_output: {channels} kernel_size: 3 pad: 1 }}"
            yield _layer("Convolution", name, [blob], name, convolution)
            yield _layer("ReLU", f"relu{stage}_{step}", [name], name)
            blob = name
        yield _layer("Pooling", f"pool{stage}", [blob], f"pool{stage}", "pooling_param { kernel_size: 2 stride: 2 }")
        blob = f"pool{stage}"
    for number, outputs in enumerate(LARGE_FC, 6):
        name = f"fc{number}"
        yield _layer("InnerProduct", name, [blob], name, f"inner_product_param {{ num_output: {outputs} }}")
        if number < 5 + len(LARGE_FC):
            yield _layer("ReLU", f"relu{number}", [name], name)
        blob = name
    yield _layer("Softmax", "prob", [blob], "prob")


def _resnet_layers(stages: Sequence[tuple[int, int]]) -> Iterator[str]:
    yield from _normalised("conv1", "data", 64, kernel=7, stride=2, pad=3)
    yield _layer("Pooling", "pool1", ["conv1"], "pool1", "pooling_param { kernel_size: 3 stride: 2 }")
    blob = "pool1"
    for stage, (blocks, channels) in enumerate(stages, 2):
        for block in range(blocks):
            name = f"res{stage}_{block}"
            stride = 2 if block == 0 and stage > 2 else 1
            shortcut = blob
            if block == 0:
                shortcut = f"{name}_shortcut"
                yield from _normalised(shortcut, blob, channels, stride=stride, relu=False)
            yield from _normalised(f"{name}_a", blob, channels // 4, stride=stride)
            yield from _normalised(f"{name}_b", f"{name}_a", channels // 4, kernel=3, pad=1)
            yield from _normalised(f"{name}_c", f"{name}_b", channels, relu=False)
            yield _layer("Eltwise", name, [shortcut, f"{name}_c"], name)
            yield _layer("ReLU", f"{name}_relu", [name], name)
            blob = name
    yield _layer("Pooling", "pool5", [blob], "pool5", "pooling_param { pool: AVE kernel_size: 7 stride: 1 }")
    yield _layer("InnerProduct", "fc1000", ["pool5"], "fc1000", "inner_product_param { num_output: 1000 }")
    yield _layer("Softmax", "prob", ["fc1000"], "prob")


def _normalised(
    name: str, bottom: str, outputs: int, *, kernel: int = 1, stride: int = 1, pad: int = 0, relu: bool = True
) -> Iterator[str]:
    """A convolution without bias, its BatchNorm and Scale in place and, unless told otherwise, its ReLU."""
    window = f"kernel_size: {kernel} stride: {stride} pad: {pad}"
    convolution = f"convolution_param {{ num_output: {outputs} {window} bias_term: false }}"
    yield _layer("Convolution", name, [bottom], name, convolution)
    yield _layer("BatchNorm", f"{name}_bn", [name], name, "batch_norm_param { use_global_stats: true }")
    yield _layer("Scale", f"{name}_scale", [name], name, "scale_param { bias_term: true }")
    if relu:
        yield _layer("ReLU", f"{name}_relu", [name], name)


def _input() -> str:
    shape = "input_param { shape { dim: 1 dim: 3 dim: 224 dim: 224 } }"
    return f'layer {{\n  name: "data"\n  type: "Input"\n  top: "data"\n  {shape}\n}}'


def _layer(kind: str, name: str, bottoms: list[str], top: str, parameters: str = "") -> str:
    lines = [f'name: "{name}"', f'type: "{kind}"', *(f'bottom: "{bottom}"' for bottom in bottoms), f'top: "{top}"']
    body = "\n".join(f"  {line}" for line in [*lines, *([parameters] if parameters else [])])
    return f"layer {{\n{body}\n}}"
