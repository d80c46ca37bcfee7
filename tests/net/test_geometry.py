"""Geometry: composed windows against the published ones, against brute force, and what is no sliding window."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_fcn.net.geometry import AxisGeometry, Cause, CellPhase, Exactness, Geometry, Reason, infer_geometry, words
from caffe_fcn.net.shapes import infer_shapes
from tests.net.nets import data, graph_of, layer

HALF = Fraction(1, 2)


def geometry_by_name(text: str, **options: Any) -> dict[str, Geometry | None]:
    """The geometry of the last version of every blob of the net that TEXT describes."""
    graph = graph_of(text, **options)
    return {blob.name: geometry for blob, geometry in infer_geometry(graph, infer_shapes(graph)).items()}


def geometry_of(parameters: str, *shapes: tuple[int, ...]) -> Geometry | None:
    """The geometry of a layer, given as "Type parameters", over inputs of these shapes."""
    layer_type, _, rest = parameters.partition(" ")
    names = [f"data{index}" for index in range(len(shapes))]
    inputs = "".join(data(*shape, name=name) for name, shape in zip(names, shapes, strict=True))
    return geometry_by_name(inputs + layer(layer_type, rest, " ".join(names)))["out"]


def unmoved(*size: int) -> Geometry:
    """The geometry of an input of SIZE."""
    return Geometry(tuple(AxisGeometry((CellPhase(0, 0),), 1, extent) for extent in size))


def exact(geometry: Geometry) -> bool:
    return geometry.exactness is Exactness.EVERYWHERE


def known(geometry: Geometry | None) -> Geometry:
    assert geometry is not None
    return geometry


def axes(*values: int | Fraction) -> tuple[Fraction, ...]:
    return tuple(Fraction(value) for value in values)


def conv(name: str, bottom: str, parameters: str) -> str:
    return layer("Convolution", f"convolution_param {{ num_output: 4 {parameters} }}", bottom, name, name)


def pool(name: str, bottom: str, parameters: str) -> str:
    return layer("Pooling", f"pooling_param {{ {parameters} }}", bottom, name, name)


ALEXNET = (
    data(1, 3, 227, 227)
    + conv("conv1", "data", "kernel_size: 11 stride: 4")
    + layer("LRN", "", "conv1", "norm1", "norm1")
    + pool("pool1", "norm1", "kernel_size: 3 stride: 2")
    + conv("conv2", "pool1", "kernel_size: 5 pad: 2")
    + pool("pool2", "conv2", "kernel_size: 3 stride: 2")
    + conv("conv3", "pool2", "kernel_size: 3 pad: 1")
    + conv("conv4", "conv3", "kernel_size: 3 pad: 1")
    + conv("conv5", "conv4", "kernel_size: 3 pad: 1")
    + pool("pool5", "conv5", "kernel_size: 3 stride: 2")
    + layer("InnerProduct", "inner_product_param { num_output: 10 }", "pool5", "fc6", "fc6")
)


@pytest.mark.parametrize(
    ("blob", "window", "stride"),
    [("conv1", 11, 4), ("pool1", 19, 8), ("conv2", 51, 8), ("pool2", 67, 16), ("conv5", 163, 16), ("pool5", 195, 32)],
)
def test_the_published_receptive_fields_of_alexnet(blob: str, window: int, stride: int) -> None:
    geometry = known(geometry_by_name(ALEXNET)[blob])
    assert geometry.window == (window, window)
    assert geometry.stride == axes(stride, stride)


def test_alexnet_pads_and_so_is_not_exactly_a_sliding_window() -> None:
    geometries = geometry_by_name(ALEXNET)
    assert known(geometries["pool1"]).exactness is Exactness.EVERYWHERE
    assert known(geometries["conv2"]).reasons == (Reason(Cause.PADS, "conv2"),)
    assert known(geometries["pool5"]).reasons == tuple(Reason(Cause.PADS, f"conv{index}") for index in (2, 3, 4, 5))
    assert known(geometries["conv1"]).offset == axes(5, 5)


def test_an_input_lies_on_itself_and_a_flat_blob_nowhere() -> None:
    geometries = geometry_by_name(ALEXNET)
    assert geometries["data"] == unmoved(227, 227)
    assert geometries["fc6"] is None


@pytest.mark.thorough
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2)), min_size=1, max_size=4
    )
)
def test_composed_convolutions_cover_what_brute_force_finds(layers: list[tuple[int, int, int, int]]) -> None:
    text, bottom = data(1, 1, 999), "data"
    first = second = (0, 0)  # what the cells at 0 and 1 see of the input, as intervals
    spans = []
    for index, (kernel, stride, pad, dilation) in enumerate(layers):
        text += conv(f"c{index}", bottom, f"kernel_size: {kernel} stride: {stride} pad: {pad} dilation: {dilation}")
        bottom = f"c{index}"
        spans.append((stride, -pad, dilation * (kernel - 1) - pad))
    cells = []
    for cell in (0, 1):
        low = high = cell
        for stride, start, end in reversed(spans):
            low, high = low * stride + start, high * stride + end
        cells.append((low, high))
    first, second = cells
    geometry = known(geometry_by_name(text)[bottom])
    assert geometry.window == (first[1] - first[0] + 1,)
    assert geometry.offset == (Fraction(first[0] + first[1], 2),)
    assert geometry.stride == axes(second[0] - first[0])
    assert exact(geometry) is not any(pad for _, _, pad, _ in layers)


@pytest.mark.thorough
@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 2))
def test_a_deconvolution_covers_what_brute_force_finds(kernel: int, stride: int, pad: int) -> None:
    parameters = (
        f"Deconvolution convolution_param {{ num_output: 1 kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    )
    (axis,) = known(geometry_of(parameters, (1, 1, 99))).axes
    made = stride * 98 + kernel - 2 * pad
    for cell in (*range(9), *range(40, 50), *range(made - 9, made)):
        inputs = [i for i in range(-9, 110) if 0 <= cell + pad - stride * i < kernel]
        assert axis.seen(cell) == (inputs[0], inputs[-1]) if inputs else axis.first(cell) > axis.last(cell)
        if inputs and not 0 <= inputs[0] <= inputs[-1] < 99:
            assert axis.phases[cell % len(axis.phases)].reasons == (Reason(Cause.FEWER_INPUTS, "layer"),)
    assert axis.stride == Fraction(1, stride)
    whole = [i for cell in range(made) for i in range(-9, 110) if 0 <= cell + pad - stride * i < kernel]
    assert (not axis.reasons) is all(0 <= i < 99 for i in whole)


def test_phases_that_are_alike_are_one() -> None:
    text = (
        data(1, 1, 64)
        + conv("half", "data", "kernel_size: 2 stride: 2")
        + layer("Deconvolution", "convolution_param { num_output: 1 kernel_size: 2 stride: 2 }", "half", "up", "up")
    )
    up = known(geometry_by_name(text)["up"]).axes[0]
    assert [(phase.first, phase.last) for phase in up.phases] == [(0, 1), (0, 1)] and up.step == 2
    again = known(geometry_by_name(text + conv("c", "up", "kernel_size: 2 stride: 2"))["c"])
    assert again.phases == () and again.window == (2,) and again.offset == (HALF,)


def test_deconvolution_after_a_stride_returns_to_the_pixels() -> None:
    text = data(1, 3, 64, 64) + pool("pool", "data", "kernel_size: 2 stride: 2")
    text += layer(
        "Deconvolution", "convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 }", "pool", "up", "up"
    )
    geometry = known(geometry_by_name(text)["up"])
    assert geometry.stride == axes(1, 1)
    assert geometry.offset == axes(0, 0)


def test_a_partial_window_is_a_reason() -> None:
    assert exact(known(geometry_of("Pooling pooling_param { kernel_size: 3 stride: 2 }", (1, 3, 9, 9))))
    partial = known(geometry_of("Pooling pooling_param { kernel_size: 3 stride: 2 }", (1, 3, 9, 10)))
    assert partial.reasons == (Reason(Cause.PARTIAL_WINDOW, "layer"),)
    floor = known(geometry_of("Pooling pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }", (1, 3, 9, 10)))
    assert exact(floor)


def test_a_hole_is_seen_over() -> None:
    hole = known(geometry_of("Convolution convolution_param { num_output: 4 kernel_size: 3 hole_h: 2 hole_w: 3 }", MAP))
    assert (hole.window, hole.offset) == ((5, 7), axes(2, 3)) and exact(hole)


@pytest.mark.parametrize("rounding", ["round_mode: FLOOR", "ceil_mode: false", "torch_pooling: true"])
def test_a_pooling_that_rounds_down_has_no_partial_window(rounding: str) -> None:
    parameters = f"kernel_size: 3 stride: 2 {rounding}"
    assert exact(known(geometry_of(f"Pooling pooling_param {{ {parameters} }}", (1, 3, 9, 10))))
    padded = known(geometry_of(f"Pooling pooling_param {{ {parameters} pad_l: 2 }}", (1, 3, 9, 9)))
    assert (padded.offset, padded.reasons) == (axes(1, -1), (Reason(Cause.PADS, "layer"),))


def test_global_pooling_sees_all_and_says_so() -> None:
    geometry = known(geometry_of("Pooling pooling_param { global_pooling: true }", (1, 3, 8, 10)))
    assert geometry.window == (8, 10)
    assert geometry.reasons == (Reason(Cause.WHOLE_MAP, "layer"),)


MAP = (1, 4, 8, 8)


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("ReLU", [MAP]),
        ("BatchNorm", [MAP]),
        ("Softmax", [MAP]),
        ("Softmax softmax_param { axis: -3 }", [MAP]),
        ("ArgMax argmax_param { axis: 1 }", [MAP]),
        ("LRN", [MAP]),
        ("Scale", [MAP]),
        ("Concat", [MAP, MAP]),
        ("Eltwise", [MAP, MAP]),
        ("Tile tile_param { tiles: 2 }", [MAP]),
        ("Reshape reshape_param { shape { dim: 0 dim: 0 dim: 8 dim: -1 } }", [MAP]),
        ("Flatten flatten_param { axis: -1 }", [MAP]),
        ("Permute permute_param { order: 0 order: 1 }", [MAP]),
        ("Convolution convolution_param { num_output: 1 kernel_size: 1 }", [MAP]),
        ("Normalize norm_param { across_spatial: false }", [MAP]),
    ],
)
def test_layers_that_keep_the_place(text: str, shapes: list[tuple[int, ...]]) -> None:
    assert geometry_of(text, *shapes) == unmoved(8, 8)


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("ArgMax", [MAP]),
        ("Concat concat_param { axis: 2 }", [MAP, MAP]),
        ("Tile tile_param { axis: 3 tiles: 2 }", [MAP]),
        ("Reshape reshape_param { shape { dim: 0 dim: 8 dim: 4 dim: 8 } }", [MAP]),
        ("Permute permute_param { order: 1 order: 2 }", [(1, 1, 1, 1)]),
        ("Permute permute_param { order: [0, 1, 3, 2] }", [MAP]),
        ("Flatten", [MAP]),
        ("Flip", [MAP]),
        ("Convolution convolution_param { num_output: 1 kernel_size: 1 axis: 2 }", [MAP]),
        ("ROIPooling roi_pooling_param { pooled_h: 2 pooled_w: 2 }", [MAP, (3, 5)]),
        ("Parameter parameter_param { shape { dim: [1, 4, 8, 8] } }", []),
        ("Riddle", [MAP]),
    ],
)
def test_tops_that_are_no_map(text: str, shapes: list[tuple[int, ...]]) -> None:
    assert geometry_of(text, *shapes) is None


BORDERS, NOWHERE = Exactness.AWAY_FROM_BORDERS, Exactness.NOWHERE


@pytest.mark.parametrize(
    ("text", "shapes", "reason", "exactness"),
    [
        ("MVN", [MAP], "reads the whole map", NOWHERE),
        ("MVN mvn_param { across_channels: true }", [MAP], "reads the whole map", NOWHERE),
        ("Normalize", [MAP], "reads the whole map", NOWHERE),
        ("LRN lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }", [MAP], "pads", BORDERS),
        ("Convolution convolution_param { num_output: 1 kernel_size: 3 stride: 2 }", [(1, 4, 2, 2)], "pads", BORDERS),
        ("Scale", [MAP, (4,)], 'joins the map with "data1", which is not a map', NOWHERE),
        ("Axpy", [(1, 4), MAP, MAP], "reads the whole map", NOWHERE),
        ("Axpy", [(1, 4, 1, 1), MAP, MAP], "reads the whole map", NOWHERE),
        ("Upsample", [MAP, MAP], "moves values by a mask", NOWHERE),
        ("Pad pad_param { pad_l: 2 }", [MAP], "pads", BORDERS),
        ("Softmax softmax_param { axis: 2 }", [MAP], "reads the whole axis 2", NOWHERE),
        ("Softmax softmax_param { axis: -1 }", [MAP], "reads the whole axis 3", NOWHERE),
        ("Softmax softmax_param { axis: 0 }", [MAP], "reads the whole batch", NOWHERE),
        ("BatchNorm batch_norm_param { use_global_stats: false }", [MAP], "reads the whole batch", NOWHERE),
        ("BN bn_param { bn_mode: LEARN }", [MAP], "reads the whole batch", NOWHERE),
        ("Pooling pooling_param { global_pooling: true }", [MAP], "reads the whole map", NOWHERE),
    ],
)
def test_reasons(text: str, shapes: list[tuple[int, ...]], reason: str, exactness: Exactness) -> None:
    geometry = known(geometry_of(text, *shapes))
    assert list(map(words, geometry.reasons)) == [f'layer "layer" {reason}']
    assert geometry.exactness is exactness


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ("Permute permute_param { order: 0 order: 1 order: 2 order: 3 }", True),
        ("Permute permute_param { order: 0 order: 1 order: 3 }", False),
        ("Transpose transpose_param { dim: 0 dim: 1 dim: 2 dim: 3 }", True),
        ("Transpose transpose_param { dim: 0 dim: 1 dim: 3 dim: 2 }", False),
        ("Flip flip_param { flip_width: false }", True),
        ("Flip", False),
        ("Squeeze squeeze_param { axis: 0 }", False),
        ("Squeeze", False),
        ("Concat concat_param { axis: 3 }", True),
        ("Slice slice_param { axis: 3 }", True),
        ("Tile tile_param { axis: 3 tiles: 1 }", True),
        ("Tile tile_param { axis: 3 tiles: 2 }", False),
        ("Reshape reshape_param { shape { dim: 0 dim: 4 dim: 0 dim: -1 } }", True),
        ("Reshape reshape_param { shape { dim: 0 dim: 4 dim: -1 dim: 1 } }", False),
    ],
)
def test_what_moves_nothing_has_the_geometry_of_its_bottom(text: str, idle: bool) -> None:
    """A Permute of axes of one extent moves values all the same, even of maps of one cell."""
    for high, wide in ((6, 6), (1, 1)) if "Reshape" not in text else ((6, 6),):
        found = geometry_of(text, (1, 4, high, wide))
        assert (found is not None) == idle
        assert found is None or (exact(found) and found.window == (1, 1))


def test_a_mask_counts_places_in_the_whole_map() -> None:
    text = data(1, 4, 8, 8) + layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", "data", "max mask", "pool")
    found = geometry_by_name(text + conv("c", "mask", "kernel_size: 1"))
    assert exact(known(found["max"])) and known(found["mask"]).window == known(found["max"]).window
    assert known(found["mask"]).reasons == known(found["c"]).reasons == (Reason(Cause.BY_INDEX, "pool"),)
    assert known(found["c"]).exactness is NOWHERE


@pytest.mark.parametrize(
    ("phase", "parameters", "by_batch"),
    [
        ("TEST", "", False),
        ("TRAIN", "", True),
        ("TRAIN", "batch_norm_param { use_global_stats: true }", False),
        ("TEST", "batch_norm_param { use_global_stats: false }", True),
    ],
)
def test_a_batch_norm_takes_its_statistics_by_phase_unless_it_says_which(
    phase: str, parameters: str, by_batch: bool
) -> None:
    text = data(1, 4, 8, 8) + layer("BatchNorm", parameters)
    assert (known(geometry_by_name(text, phase=phase)["out"]).exactness is NOWHERE) is by_batch


def test_a_bn_of_segnet_with_stored_statistics_is_exact() -> None:
    assert exact(known(geometry_of("BN bn_param { bn_mode: INFERENCE }", MAP)))
    assert exact(known(geometry_of("BN", MAP)))


def test_constants_do_not_make_a_join_inexact() -> None:
    text = data(1, 4, 8, 8) + layer("Parameter", "parameter_param { shape { dim: 4 } }", "", "factor", "factor")
    assert exact(known(geometry_by_name(text + layer("Scale", "", "data factor"))["out"]))


@pytest.mark.parametrize(
    ("shape", "text"),
    [("[1, 4, 8, 8]", "Eltwise"), ("[8, 8]", "Scale scale_param { axis: 2 }"), ("[1, 4, 8, 8]", "Concat")],
)
def test_constants_for_each_place_of_the_map_do(shape: str, text: str) -> None:
    kind, _, rest = text.partition(" ")
    net = data(1, 4, 8, 8) + layer("Parameter", f"parameter_param {{ shape {{ dim: {shape} }} }}", "", "term", "term")
    geometry = known(geometry_by_name(net + layer(kind, rest, "data term"))["out"])
    assert geometry.reasons == (Reason(Cause.BY_PLACE, "layer"),)
    assert geometry.window == (1, 1)


def test_a_learned_factor_for_each_row_is_bound_to_its_place() -> None:
    geometry = known(geometry_of("Scale scale_param { axis: 2 num_axes: 1 }", MAP))
    assert [axis.reasons for axis in geometry.axes] == [(Reason(Cause.BY_PLACE, "layer"),), ()]
    assert exact(known(geometry_of("Scale scale_param { axis: 1 num_axes: 1 }", MAP)))


def test_a_join_sees_what_either_side_sees() -> None:
    text = data(1, 3, 32, 32)
    text += conv("small", "data", "kernel_size: 1") + conv("large", "data", "kernel_size: 5 pad: 2")
    geometry = known(geometry_by_name(text + layer("Concat", "", "small large"))["out"])
    assert (geometry.window, geometry.offset) == ((5, 5), axes(0, 0))
    assert geometry.reasons == (Reason(Cause.PADS, "large"),)


def test_a_join_of_shifted_maps_covers_both() -> None:
    text = data(1, 3, 32, 32) + conv("even", "data", "kernel_size: 2")
    text += layer("Crop", "crop_param { offset: 0 }", "data even", "cut", "cut")
    geometry = known(geometry_by_name(text + layer("Concat", "", "cut even"))["out"])
    assert (geometry.window, geometry.offset) == ((2, 2), (HALF, HALF))


def test_a_join_of_different_strides_is_no_map() -> None:
    text = data(1, 3, 32, 32) + pool("half", "data", "kernel_size: 2 stride: 2")
    text += layer("Crop", "", "data half", "corner", "corner")
    assert geometry_by_name(text + layer("Concat", "", "corner half"))["out"] is None


def test_a_crop_moves_the_first_centre() -> None:
    text = data(1, 3, 32, 32) + data(1, 3, 8, 8, name="small") + pool("half", "data", "kernel_size: 2 stride: 2")
    geometry = known(geometry_by_name(text + layer("Crop", "crop_param { offset: 3 }", "half small"))["out"])
    assert geometry.offset == (HALF + 6, HALF + 6)
    assert exact(geometry)


def test_padding_layers_and_enlarging_move_the_first_centre() -> None:
    assert known(geometry_of("Pad pad_param { pad_l: 2 pad_t: 1 }", MAP)).offset == axes(-1, -2)
    twice = known(geometry_of("UpsampleDarknet upsample_darknet_param { stride: 2 }", MAP))
    assert (twice.stride, twice.offset, exact(twice)) == ((HALF, HALF), (-HALF / 2, -HALF / 2), True)


def test_reorganised_squares_are_windows() -> None:
    geometry = known(geometry_of("Reorg reorg_param { stride: 2 }", MAP))
    assert (geometry.window, geometry.stride, geometry.offset) == ((2, 2), axes(2, 2), axes(HALF, HALF))


def test_three_spatial_axes() -> None:
    text = "Convolution3D convolution_param { num_output: 1 kernel_size: 3 kernel_depth: 5 temporal_stride: 2 pad: 1 }"
    geometry = known(geometry_of(text, (1, 3, 16, 8, 8)))
    assert (geometry.window, geometry.stride, geometry.offset) == ((5, 3, 3), axes(2, 1, 1), axes(2, 0, 0))


def test_what_has_no_known_shape_has_no_geometry() -> None:
    text = layer("Input", "", "", "data", "data") + conv("c", "data", "kernel_size: 3")
    assert geometry_by_name(text) == {"data": None, "c": None}
