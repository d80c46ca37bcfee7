"""The rule of each layer type: tops and parameters as the sources of Caffe and its forks make them, and refusals."""

from __future__ import annotations

import pytest

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import Shape, infer_shapes
from tests.net.nets import data, graph_of, layer, params_of, shapes_by_name, top_of
from tests.paths import CASES

MAP = (1, 6, 8, 10)


@pytest.mark.parametrize(
    ("layer_text", "bottoms", "top"),
    [
        # windows
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 kernel_size: 5 }", [MAP], (1, 4, 6, 6)),
        (
            "Convolution convolution_param { num_output: 4 kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1 }",
            [MAP],
            (1, 4, 8, 10),
        ),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 axis: -2 }", [(2, 3, 6, 9)], (2, 3, 4, 7)),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 pad_t: 1 pad_l: 2 }", [MAP], (1, 4, 7, 10)),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 hole: 2 }", [MAP], (1, 4, 4, 6)),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 hole_h: 1 hole_w: 3 }", [MAP], (1, 4, 6, 4)),
        ("Im2col convolution_param { kernel_size: 3 hole: 2 }", [MAP], (1, 54, 4, 6)),
        ("Pooling pooling_param { kernel_size: 3 stride: 2 }", [(1, 2, 2, 2)], (1, 2, 1, 1)),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 stride: 2 }", [(1, 1, 2, 2)], (1, 4, 1, 1)),
        (
            "Convolution convolution_param { num_output: 4 kernel_size: 3 dilation: 2 stride: 9 }",
            [(1, 1, 2, 2)],
            (1, 4, 1, 1),
        ),
        ("Im2col convolution_param { kernel_size: 3 stride: 2 }", [(1, 1, 2, 2)], (1, 9, 1, 1)),
        ("Im2col convolution_param { kernel_size: 3 }", [(1, 1, 2, 2)], (1, 9, 0, 0)),
        ("Crop", [MAP, (1, 6, 5, 5, 9)], (1, 6, 5, 5)),
        ("Pooling pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }", [MAP], (1, 6, 3, 4)),
        ("Pooling pooling_param { kernel_size: 3 stride: 2 ceil_mode: false }", [MAP], (1, 6, 3, 4)),
        ("Pooling pooling_param { kernel_size: 3 stride: 2 ceil_mode: false round_mode: FLOOR }", [MAP], (1, 6, 3, 4)),
        ("Pooling pooling_param { kernel_size: 3 stride: 2 torch_pooling: true }", [MAP], (1, 6, 3, 4)),
        (
            "Pooling pooling_param { kernel_size: 3 stride: 2 torch_pooling: false round_mode: FLOOR }",
            [MAP],
            (1, 6, 3, 4),
        ),
        ("Pooling pooling_param { kernel_size: 3 stride: 2 pool: AVE_EXC_PAD }", [MAP], (1, 6, 4, 5)),
        ("Pooling pooling_param { kernel_size: 3 stride: 2 pad_r: 1 pad_b: 1 }", [MAP], (1, 6, 4, 5)),
        ("Pooling pooling_param { kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 3 }", [MAP], (1, 6, 4, 4)),
        ("SPP spp_param { pyramid_height: 1 }", [MAP], (1, 6, 1, 1)),
        ("SPP spp_param { pyramid_height: 3 }", [MAP], (1, 6 * 21)),
        ("SpatialPyramidPooling spp_param { pyramid_height: 2 }", [MAP], (1, 6 * 5)),
        (
            "Convolution3D convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 }",
            [(1, 3, 16, 8, 10)],
            (1, 4, 16, 8, 10),
        ),
        (
            "Convolution convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 2 temporal_stride: 2 }",
            [(1, 3, 16, 8, 10)],
            (1, 4, 8, 6, 8),
        ),
        (
            "Convolution3D convolution3d_param { num_output: 4 kernel_size: 3 kernel_depth: 3 stride: 2 }",
            [(1, 3, 16, 8, 10)],
            (1, 4, 14, 3, 4),
        ),
        (
            "Deconvolution3D convolution3d_param { num_output: 4 kernel_size: 2 kernel_depth: 3 stride: 2 }",
            [(1, 3, 4, 8, 10)],
            (1, 4, 6, 16, 20),
        ),
        (
            "Pooling3D pooling_param { pool: MAX kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2 pad: 1 }",
            [(1, 512, 2, 7, 7)],
            (1, 512, 1, 4, 4),
        ),
        (
            "Pooling3D pooling3d_param { kernel_size: 2 kernel_depth: 1 stride: 2 }",
            [(1, 4, 16, 8, 9)],
            (1, 4, 16, 4, 5),
        ),
        ("ConvolutionDepthwise convolution_param { num_output: 6 kernel_size: 3 }", [MAP], (1, 6, 6, 8)),
        # moving values about
        ("Concat concat_param { concat_dim: 1 }", [(1, 2), (1, 3)], (1, 5)),
        ("Concat concat_param { axis: -1 }", [(1, 2), (1, 3)], (1, 5)),
        ("Flatten flatten_param { axis: 1 end_axis: -2 }", [(2, 3, 4, 5)], (2, 12, 5)),
        (
            "Reshape reshape_param { shape { dim: 0 dim: -1 dim: 2 } axis: 1 num_axes: 2 }",
            [(2, 3, 4, 5)],
            (2, 3, 2, 2, 5),
        ),
        ("Reshape reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }", [(2, 3)], (2, 3, 1)),
        ("BatchReindex", [(4, 3, 2), (9,)], (9, 3, 2)),
        ("Filter", [(4, 3, 2), (4,)], (4, 3, 2)),
        ("Crop crop_param { axis: 1 offset: 1 }", [(2, 8, 9, 9), (5, 4, 6, 7)], (2, 4, 6, 7)),
        ("Tile tile_param { axis: -1 tiles: 3 }", [(2, 3)], (2, 9)),
        ("ArgMax argmax_param { top_k: 2 }", [(2, 5)], (2, 1, 2)),
        ("MVN", [(2, 5)], (2, 5, 1, 1)),
        ("Embed embed_param { num_output: 3 input_dim: 9 }", [(2, 5)], (2, 5, 3)),
        ("RNN recurrent_param { num_output: 3 }", [(7, 2, 5), (7, 2)], (7, 2, 3)),
        ("InnerProduct inner_product_param { num_output: 7 axis: -1 }", [(2, 3, 4)], (2, 3, 7)),
        # losses
        ("EuclideanLoss", [(2, 5), (2, 5)], ()),
        ("Accuracy", [(2, 5), (2,)], ()),
        ("SmoothL1Loss", [(2, 5), (2, 5), (2, 5)], ()),
        ("SegAccuracy", [MAP, (1, 1, 8, 10)], (1, 1, 1, 3)),
        # forks: moving values about
        ("Permute permute_param { order: 0 order: 2 order: 3 order: 1 }", [MAP], (1, 8, 10, 6)),
        ("Permute permute_param { order: 1 }", [MAP], (6, 1, 8, 10)),
        ("Transpose transpose_param { dim: 3 dim: 0 dim: 1 dim: 2 }", [MAP], (10, 1, 6, 8)),
        ("Squeeze squeeze_param { axis: -1 }", [(1, 3, 1)], (1, 3)),
        ("Squeeze", [(1, 3, 1)], (3,)),
        ("Pad pad_param { paddings: [0, 0, 0, 0, 1, 2, 3, 4] }", [MAP], (1, 6, 11, 17)),
        ("Pad pad_param { pad_t: 1 pad_r: 2 }", [MAP], (1, 6, 9, 12)),
        ("Padding padding_param { pad: 1 pad_w: 2 }", [MAP], (1, 6, 10, 14)),
        ("Reorg reorg_param { stride: 2 }", [MAP], (1, 24, 4, 5)),
        ("Reorg reorg_param { stride: 2 reverse: true }", [(1, 8, 3, 3)], (1, 2, 6, 6)),
        ("Upsample", [MAP], (1, 6, 16, 20)),
        ("Upsample upsample_param { scale: 2 pad_out_h: true }", [MAP, MAP], (1, 6, 15, 20)),
        ("Upsample upsample_param { upsample_h: 30 upsample_w: 40 }", [MAP, MAP], (1, 6, 30, 40)),
        ("UpsampleDarknet upsample_darknet_param { stride: 3 }", [MAP], (1, 6, 24, 30)),
        ("Interp interp_param { height: 33 width: 65 }", [MAP], (1, 6, 33, 65)),
        ("Interp interp_param { zoom_factor: 8 }", [(1, 6, 41, 41)], (1, 6, 321, 321)),
        ("Interp interp_param { shrink_factor: 2 pad_beg: 0 pad_end: -1 }", [(1, 6, 42, 42)], (1, 6, 21, 21)),
        ("Interp", [MAP, (1, 1, 5, 6)], (1, 6, 5, 6)),
        ("ResizeBilinear resize_bilinear_param { output_height: 20 output_width: 30 }", [MAP], (1, 6, 20, 30)),
        (
            'ResizeNearestNeighbor resize_nearest_neighbor_param { scale_width: 0.7 data_format: "NHWC" }',
            [(1, 8, 10, 6)],
            (1, 8, 7, 6),
        ),
        # forks: value by value
        ("BN", [MAP], MAP),
        ("Normalize norm_param { across_spatial: false }", [MAP], MAP),
        ("ShuffleChannel shuffle_channel_param { group: 3 }", [MAP], MAP),
        ("Axpy", [(1, 6, 1, 1), MAP, MAP], MAP),
        ("Axpy", [(1, 6), MAP, MAP], MAP),
        ("Mul", [MAP, (1, 6, 1, 1)], MAP),
        ("Add add_param { add_shape: 10 }", [MAP], MAP),
        ("HardSwish", [MAP], MAP),
        ("Insanity", [MAP], MAP),
        ("Flip", [MAP], MAP),
        ("Eltwise", [MAP, ()], MAP),
        ("MultiStageMeanfield", [MAP, MAP, (1, 3, 8, 10)], MAP),
        ("MarginInnerProduct margin_inner_product_param { num_output: 10 }", [(4, 512), (4,)], (4, 10)),
        # forks: regions and boxes
        ("ROIPooling roi_pooling_param { pooled_h: 7 pooled_w: 5 }", [MAP, (300, 5)], (300, 6, 7, 5)),
        ("PSROIPooling psroi_pooling_param { output_dim: 21 group_size: 7 }", [MAP, (300, 5)], (300, 21, 7, 7)),
        ("Proposal", [MAP, MAP, (1, 3)], (1, 5)),
        ("DetectionOutput", [(1, 8), (1, 9), (1, 2, 8)], (1, 1, 1, 7)),
        (
            "PriorBox prior_box_param { min_size: 30 max_size: 60 aspect_ratio: 2 aspect_ratio: 3 }",
            [MAP, (1, 3, 300, 300)],
            (1, 2, 8 * 10 * 6 * 4),
        ),
        (
            "PriorBox prior_box_param { min_size: 30 aspect_ratio: 1 aspect_ratio: 2 flip: false }",
            [MAP, (1, 3, 300, 300)],
            (1, 2, 8 * 10 * 2 * 4),
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_top_of_a_layer(layer_text: str, bottoms: list[Shape], top: Shape) -> None:
    assert top_of(layer_text, *bottoms) == top


@pytest.mark.parametrize(
    ("layer_text", "bottoms", "params"),
    [
        ("BatchNorm", [MAP], [(6,), (6,), (1,)]),
        ("BatchNorm batch_norm_param { scale_bias: true }", [MAP], [(6,), (6,), (1,), (6,), (6,)]),
        ("BatchNorm", [(5,)], [(1,), (1,), (1,)]),
        ("PReLU prelu_param { channel_shared: true }", [MAP], [()]),
        ("Scale scale_param { axis: 2 num_axes: -1 bias_term: true }", [MAP], [(8, 10), (8, 10)]),
        ("Scale scale_param { bias_term: true }", [MAP, (6,)], [(6,)]),
        ("Deconvolution convolution_param { num_output: 4 group: 2 kernel_size: 3 }", [MAP], [(6, 2, 3, 3), (4,)]),
        ("InnerProduct inner_product_param { num_output: 7 transpose: true bias_term: false }", [MAP], [(480, 7)]),
        ("ConvolutionDepthwise convolution_param { num_output: 6 kernel_size: 3 }", [MAP], [(6, 1, 3, 3), (6,)]),
        (
            "DepthwiseConvolution convolution_param { num_output: 6 group: 3 kernel_size: 3 bias_term: false }",
            [MAP],
            [(6, 2, 3, 3)],
        ),
        (
            "Convolution3D convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 2 }",
            [(1, 3, 16, 8, 10)],
            [(4, 3, 2, 3, 3), (4,)],
        ),
        ("LSTM recurrent_param { num_output: 3 }", [(7, 2, 5), (7, 2), (2, 9)], [(12, 5), (12,), (12, 9), (12, 3)]),
        ("RNN recurrent_param { num_output: 3 }", [(7, 2, 5), (7, 2)], [(3, 5), (3,), (3, 3), (3, 3), (3,)]),
        ("BN", [MAP], [(1, 6, 1, 1)] * 4),
        ("BN bn_param { bn_mode: INFERENCE }", [MAP], [(1, 6, 1, 1)] * 2),
        ("BN bn_param { scale_filler { value: 1 } }", [MAP], [(1, 6, 1, 1)] * 2),
        ("BN param { lr_mult: 1 } param { lr_mult: 1 }", [MAP], [(1, 6, 1, 1)] * 2),
        ("Normalize norm_param { channel_shared: false }", [MAP], [(6,)]),
        ("Normalize norm_param { channel_shared: true }", [MAP], [()]),
        ("Normalize", [(4, 512)], []),
        ("Mul mul_param { mul_shape: 6 mul_shape: 1 mul_shape: 1 }", [MAP], [(6, 1, 1)]),
        ("Mul", [MAP, MAP], []),
        ("MarginInnerProduct margin_inner_product_param { num_output: 10 }", [(4, 512), (4,)], [(10, 512)]),
        ("MultiStageMeanfield", [MAP, MAP, MAP], [(1, 1, 6, 6)] * 3),
        ("ReLU", [MAP], []),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_parameters_of_a_layer(layer_text: str, bottoms: list[Shape], params: list[Shape]) -> None:
    assert list(params_of(layer_text, *bottoms)) == params


@pytest.mark.parametrize(
    ("layer_text", "bottoms", "message"),
    [
        (
            "Convolution convolution_param { num_output: 4 kernel_size: 10 }",
            [MAP],
            "the kernel covers 10×10, more than the input of 8×10$",
        ),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 stride: 0 }", [MAP], "the stride is 0×0"),
        ("Convolution convolution_param { num_output: 4 kernel_size: 0 }", [MAP], "the kernel is 0×0"),
        ("Convolution convolution_param { num_output: 4 }", [MAP], "kernel_size is missing"),
        ("Convolution convolution_param { kernel_size: 3 }", [MAP], "num_output is missing"),
        (
            "Convolution convolution_param { num_output: 4 kernel_size: 3 group: 4 }",
            [MAP],
            "group is 4, but must divide the 6 channels",
        ),
        (
            "Convolution convolution_param { num_output: 4 kernel_size: 3 group: 3 }",
            [MAP],
            "num_output is 4, but must be a multiple of the 3 groups",
        ),
        (
            "Convolution convolution_param { num_output: 4 kernel_size: [1, 2, 3] }",
            [MAP],
            "kernel_size is given 3 times",
        ),
        (
            "Convolution convolution_param { num_output: 4 kernel_size: 3 kernel_h: 3 }",
            [MAP],
            "kernel_size is given beside kernel_h",
        ),
        (
            "Convolution convolution_param { num_output: 4 kernel_h: 3 kernel_w: 3 }",
            [(1, 3, 9)],
            "kernel_h and kernel_w are for two",
        ),
        (
            "Convolution convolution_param { num_output: 4 kernel_size: 3 axis: 4 }",
            [MAP],
            r"convolution_param.axis is 4, but the bottom has only 4 axes",
        ),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 hole: 2 dilation: 2 }", [MAP], "keep one"),
        (
            "Convolution convolution_param { num_output: 4 kernel_size: 3 hole_h: 2 }",
            [MAP],
            "both of hole_h and hole_w",
        ),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 hole: 0 }", [MAP], "dilation is 0×0"),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 hole: 2 }", [(1, 3, 9)], "two spatial axes"),
        ("Convolution3D convolution_param { num_output: 4 kernel_size: 3 }", [MAP], "needs 3"),
        (
            "Convolution convolution_param { num_output: 4 kernel_size: 3 }",
            [MAP, MAP],
            "a top for each bottom, found 1",
        ),
        (
            "Deconvolution convolution_param { num_output: 4 kernel_size: 1 pad: 9 }",
            [MAP],
            "the padding removes all",
        ),
        ("Pooling pooling_param { kernel_size: 30 }", [MAP], "the kernel is 30×30, more than the input"),
        ("Pooling pooling_param { kernel_size: 2 pad: 2 }", [MAP], "must be smaller than the kernel"),
        (
            "Pooling pooling_param { kernel_size: 2 kernel_h: 2 }",
            [MAP],
            "give kernel_size, or both of kernel_h and kernel_w",
        ),
        ("Pooling pooling_param { kernel_size: 2 stride: 0 }", [MAP], "the stride is 0×0"),
        ("Pooling pooling_param { kernel_size: 2 global_pooling: true }", [MAP], "global_pooling determines kernel"),
        ("Pooling", [MAP], "kernel_size is missing"),
        ("Pooling pooling_param { kernel_size: 2 }", [(1, 6, 9)], "has 3 axes .* needs 4"),
        ("SPP spp_param { pyramid_height: 4000000000 }", [MAP], "has only 3 levels"),
        (
            "Concat",
            [(1, 2, 3), (1, 2, 4)],
            'its bottoms disagree on axes other than 1: "data0" is 1×2×3, "data1" is 1×2×4',
        ),
        ("Concat concat_param { axis: 7 }", [(1, 2), (1, 3)], "axis is 7"),
        ("Eltwise", [(1, 2), (1, 3)], "its bottoms disagree"),
        ("Eltwise", [(1, 2)], "has 1 bottom, but layers of this type take at least 2"),
        ("Slice", [(1, 0)], None),
        ("Slice slice_param { slice_point: 2 }", [(1, 6)], "it has 1 slice_point for 1 tops"),
        ("Reshape reshape_param { shape { dim: 0 dim: 7 } }", [(2, 3)], "has 6 elements, but 2×7 has 14"),
        (
            "Reshape reshape_param { shape { dim: -1 dim: 4 } }",
            [(2, 3)],
            "has 6 elements, which is not a multiple of 4",
        ),
        ("Reshape reshape_param { shape { dim: -1 dim: -1 } }", [(2, 3)], "at most one -1"),
        ("Reshape reshape_param { shape { dim: 1 dim: 1 dim: 0 } }", [(2, 3)], "no such axis to copy"),
        ("Reshape reshape_param { shape { dim: 6 } axis: 5 }", [(2, 3)], "do not lie within 2×3"),
        (
            "Flatten flatten_param { axis: 2 end_axis: 0 }",
            [(2, 3, 4)],
            "end_axis is 0, but must not be less than axis, 2",
        ),
        ("Crop crop_param { offset: 3 }", [MAP, (1, 1, 6, 6)], "axis 2: 6 cells cannot be cut from 8 at offset 3"),
        ("Tile tile_param { axis: 1 }", [(2, 3)], "tiles is 0"),
        (
            "Tile tile_param { axis: 1 tiles: 2147483647 }",
            [(2, 3)],
            r"more than the 2,147,483,647 that a blob of Caffe can have",
        ),
        ("ArgMax argmax_param { top_k: 9 }", [(2, 5)], "top_k is 9, but must be 1 to 5"),
        ("LRN lrn_param { local_size: 4 }", [MAP], "local_size is 4, but must be odd"),
        ("LRN lrn_param { local_size: 2147483649 }", [MAP], "must be at most 2147483647"),
        ("Scale", [(5,)], "scale_param.axis is 1"),
        ("Scale scale_param { num_axes: 4 }", [MAP], "scale_param.num_axes is 4"),
        ("Scale", [MAP, (7,)], "does not match .* from axis 1 on"),
        ("PReLU", [(5,)], "needs 2 or more"),
        ("Softmax softmax_param { axis: 3 }", [(2, 5)], "softmax_param.axis is 3"),
        ("InnerProduct", [MAP], "num_output is missing"),
        ("InnerProduct inner_product_param { num_output: 2 axis: 5 }", [MAP], "inner_product_param.axis is 5"),
        ("Embed embed_param { num_output: 2 }", [(2,)], "input_dim is missing"),
        ("LSTM recurrent_param { num_output: 2 }", [(7, 2, 5), (6, 2)], "expected both to begin with T×N"),
        ("LSTM recurrent_param { num_output: 2 }", [(7, 2, 5), (7, 2), (2, 1), (2, 1)], "it has 4 bottoms"),
        ("BatchReindex", [(4, 3), (9, 1)], "has 2 axes"),
        ("MemoryData memory_data_param { batch_size: 2 }", [], "must all be given"),
        ("DummyData dummy_data_param { num: 2 }", [], "channels is given 0 times"),
        ("DummyData dummy_data_param { num: 2 shape { dim: 1 } }", [], "shape is given beside num"),
        ("Input input_param { shape { dim: -1 } }", [], "no extent can be negative"),
        ("Input input_param { shape { dim: 65536 dim: 65536 } }", [], "4,294,967,296 elements"),
        ("Input input_param { shape { " + "dim: 1 " * 33 + "} }", [], "33 axes"),
        ("WindowData window_data_param { batch_size: 2 crop_size: 9 }", [], "crop_size is missing"),
        ("Permute permute_param { order: 0 order: 0 }", [MAP], "expected each of the 4 axes of 1×6×8×10 at most once"),
        ("Log log_param { base: -3 }", [MAP], "base is -3, but must be positive, or -1 for e"),
        ("Exp exp_param { base: nan }", [MAP], "base is nan"),
        ("Log log_param { base: inf }", [MAP], "base is inf"),
        ("Log log_param { base: 1 }", [MAP], "base is 1, which has no logarithm"),
        ("Crop", [MAP, (1, 6, 8)], "have 4 and 3 axes; expected at least as many axes in the second as in the first"),
        ("Reorg reorg_param { stride: 3 }", [MAP], "but must divide the map"),
        ("PriorBox", [MAP, MAP], "min_size is missing"),
        ("Mul", [(2, 3), (2, 4)], "cannot be joined"),
        ("ShuffleChannel shuffle_channel_param { group: 4 }", [MAP], "group is 4"),
        (
            "Pooling pooling_param { kernel_size: 3 ceil_mode: false round_mode: CEIL }",
            [MAP],
            "ceil_mode are given and disagree",
        ),
        (
            "Pooling pooling_param { kernel_size: 3 ceil_mode: true round_mode: FLOOR }",
            [MAP],
            "ceil_mode are given and disagree",
        ),
        (
            "Pooling pooling_param { kernel_size: 3 round_mode: CEIL torch_pooling: true }",
            [MAP],
            "torch_pooling are given",
        ),
        (
            "Pooling pooling_param { kernel_size: 3 ceil_mode: true torch_pooling: true }",
            [MAP],
            "torch_pooling are given",
        ),
        ("Pad pad_param { paddings: 1 }", [MAP], "two for each of the 4 axes"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_caffe_would_refuse(layer_text: str, bottoms: list[Shape], message: str | None) -> None:
    if message is None:  # an empty blob can be cut into as many empty ones
        assert top_of(layer_text, *bottoms) == (1, 0)
        return
    with pytest.raises(ShapeError, match=message) as error:
        top_of(layer_text, *bottoms)
    assert str(error.value).startswith(f'net: layer "layer" ({layer_text.split(maxsplit=1)[0]}): ')


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("Axpy", 2),
        ("BN", 2),
        ("BatchReindex", 1),
        ("Flip", 4),
        ("Normalize", 2),
        ("PSROIPooling psroi_pooling_param { output_dim: 1 group_size: 1 }", 4),
        ("Permute", 1),
        ("ShuffleChannel", 2),
        ("Transpose", 1),
    ],
)
def test_the_least_number_of_axes(kind: str, least: int) -> None:
    more = {"Axpy": 2, "BatchReindex": 1, "PSROIPooling": 1}.get(kind.partition(" ")[0], 0)
    for axes in range(least):
        shape = (1,) * axes
        bottoms = [shape, *[(1,) if kind == "BatchReindex" else shape] * more]
        with pytest.raises(ShapeError, match=rf"the bottom has {axes} axes .* needs {least}"):
            top_of(kind, *bottoms)
    whole = (1,) * least
    assert top_of(kind, whole, *[(1,) if kind == "BatchReindex" else whole] * more)


@pytest.mark.parametrize(("name", "kind"), [("shuffle", "ShuffleChannel"), ("permute0", "Permute")])
def test_cases_without_the_axes_that_the_layer_needs(name: str, kind: str) -> None:
    text = (CASES / f"{name}.prototxt").read_text()
    with pytest.raises(ShapeError, match=rf'layer "." \({kind}\): the bottom has . axes .* needs . or more'):
        shapes_by_name(text)


def test_slices_get_their_parts() -> None:
    text = data(2, 9) + layer("Slice", "slice_param { slice_point: 2 slice_point: 5 }", top="a b c")
    shapes = shapes_by_name(text)
    assert [shapes[name] for name in "abc"] == [(2, 2), (2, 3), (2, 4)]


def test_layers_of_several_tops() -> None:
    inputs = data(1, 2, 5) + data(1, 2, 20, name="gates") + data(1, 2, name="marks")
    shapes = shapes_by_name(inputs + layer("LSTMUnit", "", "data gates marks", "cell state"))
    assert shapes["cell"] == shapes["state"] == (1, 2, 5)
    maps = data(1, 6, 8, 9) + data(1, 6, 8, 10, name="other")
    with pytest.raises(ShapeError, match="its bottoms disagree"):
        shapes_by_name(
            maps + layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", "data other", "a b")
        )


def test_slice_points_must_grow() -> None:
    with pytest.raises(ShapeError, match="must grow"):
        shapes_by_name(data(2, 9) + layer("Slice", "slice_param { slice_point: 5 slice_point: 2 }", top="a b c"))


def test_more_tops_than_the_layer_makes_are_refused() -> None:
    with pytest.raises(ShapeError, match="it has 2 tops, but layers of this type make 1"):
        shapes_by_name(data(2, 9) + layer("InnerProduct", "inner_product_param { num_output: 2 }", top="a b"))


def test_exposed_states_of_an_lstm() -> None:
    text = "".join(
        data(*shape, name=name) for name, shape in (("x", (7, 2, 5)), ("c", (7, 2)), ("h", (1, 2, 3)), ("m", (1, 2, 3)))
    )
    shapes = shapes_by_name(
        text + layer("LSTM", "recurrent_param { num_output: 3 expose_hidden: true }", "x c h m", "y h2 m2")
    )
    assert [shapes[name] for name in ("y", "h2", "m2")] == [(7, 2, 3), (1, 2, 3), (1, 2, 3)]


def test_second_tops_of_losses_and_measures() -> None:
    inputs = data(2, 5) + data(2, name="label")
    assert shapes_by_name(inputs + layer("SoftmaxWithLoss", "", "data label", "loss prob"))["prob"] == (2, 5)
    assert shapes_by_name(inputs + layer("Accuracy", "", "data label", "mean each"))["each"] == (5,)


def test_versions_of_a_blob_have_shapes_of_their_own() -> None:
    graph = graph_of(data(2, 3, 4) + layer("Reshape", "reshape_param { shape { dim: 2 dim: 12 } }", "data", "data"))
    assert infer_shapes(graph).blobs == {Blob("data", 0): (2, 3, 4), Blob("data", 1): (2, 12)}


@pytest.mark.parametrize(
    ("text", "tops"),
    [
        ("Data data_param { batch_size: 2 } transform_param { crop_size: 9 }", [(2, 3, 9, 9), (2,)]),
        (
            "Data data_param { batch_size: 2 } transform_param { crop_size: 9 mean_value: [1, 2, 3, 4] }",
            [(2, 4, 9, 9), (2,)],
        ),
        ("Data data_param { batch_size: 2 } transform_param { crop_size: 9 force_gray: true }", [(2, 1, 9, 9), (2,)]),
        ("Data data_param { batch_size: 2 } transform_param { crop_h: 9 crop_w: 7 }", [(2, 3, 9, 7), (2,)]),
        ("Data data_param { batch_size: 2 new_height: 6 new_width: 5 }", [(2, 3, 6, 5), (2,)]),
        ("ImageData image_data_param { batch_size: 2 new_height: 6 new_width: 5 }", [(2, 3, 6, 5), (2,)]),
        (
            "ImageData image_data_param { batch_size: 2 new_height: 6 new_width: 5 is_color: false }",
            [(2, 1, 6, 5), (2,)],
        ),
        (
            "ImageData image_data_param { new_height: 6 new_width: 5 } transform_param { crop_size: 4 }",
            [(1, 3, 4, 4), (1,)],
        ),
        ("WindowData window_data_param { batch_size: 2 } transform_param { crop_size: 9 }", [(2, 3, 9, 9), (2,)]),
        # Where the crop stood before 2014: a current net that still has it there is not cropped.
        (
            "ImageData image_data_param { new_height: 6 new_width: 5 crop_size: 4 }",
            [(1, 3, 6, 5), (1,)],
        ),
        ("MemoryData memory_data_param { batch_size: 2 channels: 1 height: 5 width: 6 }", [(2, 1, 5, 6), (2,)]),
        ("DummyData dummy_data_param { num: 2 channels: 3 height: 4 width: 5 width: 6 }", [(2, 3, 4, 5), (2, 3, 4, 6)]),
        ("Input input_param { shape { dim: 7 } }", [(7,), (7,)]),
        (
            "AnnotatedData data_param { batch_size: 2 } transform_param { resize_param { height: 300 width: 200 } }",
            [(2, 3, 300, 200), (1, 1, 1, 8)],
        ),
        (
            "DenseImageData dense_image_data_param { batch_size: 2 new_height: 6 new_width: 5 }",
            [(2, 3, 6, 5), (2, 1, 6, 5)],
        ),
        (
            "ImageSegData image_data_param { batch_size: 2 } transform_param { crop_size: 9 }",
            [(2, 3, 9, 9), (2, 1, 9, 9)],
        ),
        ("VideoData image_data_param { batch_size: 2 crop_size: 112 new_length: 16 }", [(2, 3, 16, 112, 112), (2,)]),
        (
            "VideoData video_data_param { batch_size: 2 new_length: 16 } transform_param { crop_size: 112 }",
            [(2, 3, 16, 112, 112), (2,)],
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_data_layers(text: str, tops: list[Shape]) -> None:
    layer_type, _, parameters = text.partition(" ")
    shapes = shapes_by_name(layer(layer_type, parameters, "", "a b"))
    assert [shapes["a"], shapes["b"]] == tops
