"""What docs/caffe-facts.md says of layers, held to the values that the reference Caffe measured.

Each test computes a layer in a few lines of numpy, written from the page, and compares with what Caffe gave.
"""

from __future__ import annotations

from itertools import product
from math import ceil
from typing import Any

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.net.blobs import current_shape
from caffe_fcn.net.layers.cutting import crop_offsets
from tests.net.nets import data, graph_of, layer, read_net, top_of
from tests.net.reference import assert_measured, convolved, measured, pooled, pooled_size
from tests.paths import GOLDEN

# ---- Windows ----


@pytest.mark.parametrize(
    ("name", "kernel", "stride", "pad", "method"),
    [
        ("pool_max_exact", 2, 2, 0, "MAX"),
        ("pool_max_ceil", 3, 2, 0, "MAX"),
        ("pool_max_pad_clip", 2, 2, 1, "MAX"),
        ("pool_stride_gt_kernel", 1, 2, 0, "MAX"),
        ("pool_ave_ceil", 3, 2, 0, "AVE"),
        ("pool_ave_pad", 3, 2, 1, "AVE"),
        ("pool_ave_pad_clip", 2, 2, 1, "AVE"),
    ],
)
def test_pooling_rounds_up_clips_and_divides_as_the_page_says(
    name: str, kernel: int, stride: int, pad: int, method: str
) -> None:
    case = measured(name)
    assert (case.bottoms[0] < 0).any(), "zeros of the padding would win"
    assert_measured(pooled(case.bottoms[0], (kernel,) * 2, (stride,) * 2, (pad,) * 2, method), case)


def test_the_formula_of_pooling_is_the_rule() -> None:
    for height, kernel, stride, high, wide in product((5, 6, 7), (1, 2, 3), (1, 2, 3, 4), (0, 1), (0, 1)):
        pads = (high, wide)
        if max(pads) >= kernel and any(pads):
            continue
        text = f"kernel_size: {kernel} stride: {stride} pad_h: {high} pad_w: {wide}"
        wanted = [pooled_size(height, kernel, stride, pad, any_pad=any(pads)) for pad in pads]
        assert top_of(f"Pooling pooling_param {{ {text} }}", (1, 1, height, height)) == (1, 1, *wanted), text


@pytest.mark.parametrize(("corner", "divisor"), [((0, 0), 9), ((0, 4), 6), ((1, 4), 6), ((1, 1), 9)])
def test_the_worked_example_of_an_average(corner: tuple[int, int], divisor: int) -> None:
    """A map of 7×8, kernel 3, stride 2, pad 1: the last column of windows hangs over by one."""
    case = measured("pool_ave_pad")
    row, column = corner[0] * 2 - 1, corner[1] * 2 - 1
    inside = case.bottoms[0][:, :, max(0, row) : row + 3, max(0, column) : column + 3]
    np.testing.assert_allclose(inside.sum((2, 3)) / divisor, case.tops["out"][:, :, corner[0], corner[1]], rtol=1e-4)


@pytest.mark.parametrize(("name", "reduce"), [("pool_global_max", np.max), ("pool_global_ave", np.mean)])
def test_global_pooling_takes_the_whole_map(name: str, reduce: Any) -> None:
    case = measured(name)
    assert_measured(reduce(case.bottoms[0], axis=(2, 3), keepdims=True), case)


def test_the_mask_of_a_max_pooling_counts_within_the_channel() -> None:
    case = measured("pool_max_mask")
    mask = case.tops["mask"].astype(int).reshape(1, 2, -1)
    maxima = np.take_along_axis(case.bottoms[0].reshape(1, 2, -1), mask, 2)
    assert_measured(maxima.reshape(case.tops["out"].shape), case)


def test_a_pyramid_pools_into_bins_and_joins_them() -> None:
    case = measured("spp")
    levels = []
    for bins in (1, 2):
        sizes = case.bottoms[0].shape[2:]
        kernel = (ceil(sizes[0] / bins), ceil(sizes[1] / bins))
        pad = ((kernel[0] * bins - sizes[0] + 1) // 2, (kernel[1] * bins - sizes[1] + 1) // 2)
        levels.append(pooled(case.bottoms[0], kernel, kernel, pad, "MAX").reshape(2, -1))
    assert_measured(np.concatenate(levels, axis=1), case)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("conv_k3", {}),
        ("conv_k3_s2_p1", {"stride": 2, "pad": 1}),
        ("conv_dilated", {"dilation": 2, "pad": 2}),
        ("conv_group", {"group": 2}),
    ],
)
def test_convolutions_round_down(name: str, options: dict[str, int]) -> None:
    case = measured(name)
    weight, bias = case.params
    assert_measured(convolved(case.bottoms[0], weight, **options) + bias[:, None, None], case)


@pytest.mark.parametrize(("name", "pad", "group"), [("deconv_k4_s2", 0, 1), ("deconv_pad", 1, 1)])
def test_deconvolutions_spread_each_value(name: str, pad: int, group: int) -> None:
    case = measured(name)
    x, (weight, bias) = case.bottoms[0], case.params
    stride, (channels, outputs, high, wide) = 2, weight.shape
    assert channels == x.shape[1], "the channels of the bottom come first"
    rows, columns = x.shape[2:]
    top = np.zeros((len(x), outputs, stride * (rows - 1) + high, stride * (columns - 1) + wide))
    for row, column in product(range(rows), range(columns)):
        taps = np.einsum("nc,cohw->nohw", x[:, :, row, column], weight)
        top[:, :, row * stride : row * stride + high, column * stride : column * stride + wide] += taps
    top = top[:, :, pad : top.shape[2] - pad, pad : top.shape[3] - pad]
    assert_measured(top + bias[:, None, None], case)


def test_im2col_makes_channels_of_windows() -> None:
    case = measured("im2col")
    one = np.eye(27).reshape(27, 3, 3, 3)
    assert_measured(convolved(case.bottoms[0], one, stride=2, pad=1), case)


# ---- Weight matrices ----


def test_inner_products_flatten_channels_first() -> None:
    case = measured("ip")
    weight, bias = case.params
    assert_measured(case.bottoms[0].reshape(2, -1) @ weight.T + bias, case)


def test_a_transposed_weight_is_stored_by_inputs() -> None:
    case = measured("ip_transpose")
    weight, bias = case.params
    assert_measured(case.bottoms[0].reshape(2, -1) @ weight + bias, case)


def test_the_axis_of_an_inner_product_keeps_those_before() -> None:
    case = measured("ip_axis2")
    weight, bias = case.params
    assert_measured(case.bottoms[0].reshape(2, 3, -1) @ weight.T + bias, case)


def test_an_inner_product_is_a_convolution_as_large_as_its_map() -> None:
    case = measured("ip")
    weight, bias = case.params
    top = convolved(case.bottoms[0], weight.reshape(-1, *case.bottoms[0].shape[1:])) + bias[:, None, None]
    assert top.shape[2:] == (1, 1)
    assert_measured(top[:, :, 0, 0], case)


# ---- Value by value ----


def test_the_statistics_of_a_batch_norm_are_divided_by_their_factor() -> None:
    case = measured("batchnorm_global")
    mean, variance, factor = case.params
    assert factor.shape == (1,) and factor[0] not in (0, 1)
    mean, variance = mean[:, None, None] / factor, variance[:, None, None] / factor
    assert_measured((case.bottoms[0] - mean) / np.sqrt(variance + 0.01), case)


def test_a_scale_works_along_its_axes() -> None:
    case = measured("scale_bias")
    factor, bias = (param[:, None, None] for param in case.params)
    assert_measured(case.bottoms[0] * factor + bias, case)
    one = measured("scale_scalar")
    assert one.params[0].shape == ()
    assert_measured(one.bottoms[0] * one.params[0], one)
    two = measured("scale_two_bottoms")
    assert_measured(two.bottoms[0] * two.bottoms[1][:, :, None, None], two)


def test_lrn_divides_alpha_by_what_it_sums_over() -> None:
    across, within = measured("lrn_across"), measured("lrn_within")
    squares = np.pad(across.bottoms[0] ** 2, ((0, 0), (2, 2), (0, 0), (0, 0)))
    total = sum(squares[:, start : start + 8] for start in range(5))
    assert_measured(across.bottoms[0] * (1 + 0.5 / 5 * total) ** -0.75, across)
    squares = np.pad(within.bottoms[0] ** 2, ((0, 0), (0, 0), (1, 1), (1, 1)))
    total = sum(squares[:, :, row : row + 8, column : column + 8] for row, column in product(range(3), repeat=2))
    assert_measured(within.bottoms[0] * (1 + 0.5 / 9 * total) ** -0.75, within)


def test_dropout_does_nothing_in_the_test_phase() -> None:
    case = measured("dropout")
    assert np.array_equal(case.tops["out"], case.bottoms[0])


def test_softmax_adds_up_over_the_channels() -> None:
    case = measured("softmax")
    np.testing.assert_allclose(case.tops["out"].sum(1), 1, rtol=1e-5)


def test_an_embedding_is_a_row_of_its_table() -> None:
    case = measured("embed")
    table, bias = case.params
    assert_measured(table[case.bottoms[0].astype(int)] + bias, case)


# ---- Moving values about ----


def test_argmax_without_an_axis_counts_over_the_whole_item() -> None:
    case, pairs = measured("argmax"), measured("argmax_val")
    assert case.tops["out"].shape == (2, 1, 1, 1)
    assert np.array_equal(case.tops["out"].ravel(), case.bottoms[0].reshape(2, -1).argmax(1))
    flat = pairs.bottoms[0].reshape(2, -1)
    best = np.argsort(-flat, axis=1)[:, :2]
    assert_measured(np.stack([best, np.take_along_axis(flat, best, 1)], axis=1)[..., None], pairs)
    along = measured("argmax_axis1")
    assert_measured(along.bottoms[0].argmax(1)[:, None].astype(float), along)


@pytest.mark.parametrize(("name", "row", "column"), [("crop_default", 1, 2), ("crop_one_offset", 2, 2)])
def test_crops_begin_at_their_offsets(name: str, row: int, column: int) -> None:
    case = measured(name)
    assert_measured(case.bottoms[0][:, :, row : row + 6, column : column + 5], case)


def test_a_crop_without_an_offset_begins_in_the_corner() -> None:
    crop = graph_of(data(1, 3, 9, 8) + data(1, 3, 6, 5, name="small") + layer("Crop", "", "data small")).nodes[-1]
    assert crop.layer.crop_param.axis == 2
    assert crop_offsets(crop.layer, 2) == (0, 0)


@pytest.mark.parametrize("name", ["flatten", "flatten_axis2", "reshape_0_-1", "reshape_full", "reshape_insert"])
def test_reshaping_keeps_the_order_of_the_values(name: str) -> None:
    case = measured(name)
    assert np.array_equal(case.tops["out"].ravel(), case.bottoms[0].ravel())


# ---- Nets ----


def test_blobs_read_twice_are_split_in_a_caffemodel() -> None:
    case = GOLDEN / "conversions" / "multi_consumer"
    trained = schema.NetParameter.FromString((case / "net.caffemodel").read_bytes())
    splits = [each for each in trained.layer if each.type == "Split"]
    assert [(each.name, [*each.bottom], [*each.top]) for each in splits] == [
        ("conv1_conv1_0_split", ["conv1"], ["conv1_conv1_0_split_0", "conv1_conv1_0_split_1"])
    ]
    graph = graph_of((case / "net.prototxt").read_text())
    assert [node.name for node in graph.nodes if "conv1" in node.layer.bottom] == ["flat", "b"]
    readers = {each.name: each.bottom[0] for each in trained.layer if each.name in ("flat", "b")}
    assert readers == {"flat": "conv1_conv1_0_split_0", "b": "conv1_conv1_0_split_1"}
    both = measured("split")
    assert np.array_equal(both.tops["a"], both.tops["b"])


def test_an_in_place_layer_overwrites_its_bottom() -> None:
    case = measured("in_place_chain")
    weight, bias = case.params
    assert_measured(np.maximum(convolved(case.bottoms[0], weight) + bias[:, None, None], 0), case)


@pytest.mark.parametrize(
    ("kind", "position", "old", "now"),
    [
        ("InnerProduct", 0, (1, 1, 32, 192), (32, 192)),
        ("InnerProduct", 1, (1, 1, 1, 32), (32,)),
        ("InnerProduct", 0, (1, 1, 1, 192), (1, 192)),
        ("Convolution", 0, (6, 1, 5, 5), (6, 1, 5, 5)),
        ("Convolution", 1, (1, 1, 1, 6), (6,)),
        ("PReLU", 0, (1, 1, 1, 6), (6,)),
    ],
)
def test_old_blobs_are_filled_up_in_front(kind: str, position: int, old: tuple[int, ...], now: tuple[int, ...]) -> None:
    assert current_shape(kind, position, old) == now


def test_legacy_inputs_have_the_shapes_that_caffe_gave_them() -> None:
    for name in ("legacy_input_dim", "legacy_input_shape"):
        net = read_net(GOLDEN / "layers" / name / "net.prototxt")
        assert measured(name).tops["data"].shape == tuple(net.layer[0].input_param.shape[0].dim)
