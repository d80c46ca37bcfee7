"""Shape inference: every measured layer, what is not known, and what data layers leave out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.graph import Blob, build_graph
from caffe_fcn.net.layers import LAYERS
from caffe_fcn.net.layers.installed import ENTRY_POINTS
from caffe_fcn.net.shapes import Shape, Unknown, infer_shapes
from tests.net.nets import data, graph_of, layer, read_net, shapes_by_name, top_of
from tests.paths import GOLDEN

CASES = sorted((GOLDEN / "layers").iterdir())
BVLC = """
    AbsVal Accuracy ArgMax BatchNorm BatchReindex Bias BNLL Clip Concat ContrastiveLoss Convolution Crop Data
    Deconvolution Dropout DummyData Eltwise ELU Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss
    Im2col ImageData InfogainLoss InnerProduct Input Log LRN LSTM LSTMUnit MemoryData MultinomialLogisticLoss MVN
    Parameter Pooling Power PReLU Python Reduction ReLU Reshape RNN Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice
    Softmax SoftmaxWithLoss Split SPP Swish TanH Threshold Tile WindowData
""".split()
FORKS = """
    Permute PriorBox DetectionOutput Normalize SmoothL1Loss MultiBoxLoss AnnotatedData ROIPooling PSROIPooling Proposal
    Reorg RegionLoss BN Interp ImageSegData SegAccuracy Upsample DenseImageData Convolution3D Pooling3D Deconvolution3D
    VideoData Axpy Insanity Flip MarginInnerProduct ConvolutionDepthwise DepthwiseConvolution ShuffleChannel ReLU6
    HardSwish Squeeze Mul Add Pad ResizeBilinear ResizeNearestNeighbor UpsampleDarknet L1Loss MultiStageMeanfield
    SpatialPyramidPooling
""".split()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_measured_layer(case: Path) -> None:
    wanted = json.loads((case / "shapes.json").read_text())
    graph = build_graph(read_net(case / "net.prototxt"))
    shapes = infer_shapes(graph)
    blobs = {blob.name: list(shape) for blob, shape in shapes.blobs.items() if not isinstance(shape, Unknown)}
    params = {node.name: [list(shape) for shape in shapes.params[node.index]] for node in graph.nodes}
    assert blobs == {name: shape for name, shape in wanted["blobs"].items() if "_split_" not in name}
    assert {name: shape for name, shape in params.items() if shape} == wanted["params"]


def test_every_layer_type_of_caffe_has_a_row() -> None:
    assert {name for name, row in LAYERS.items() if row.bvlc} == set(BVLC)


def test_the_layer_types_of_forks_met_most_often_have_a_row() -> None:
    assert set(FORKS) - set(LAYERS) == set()


# ---- What is not known ----

CONV = layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", "data", "conv", "conv")
FC = layer("InnerProduct", "inner_product_param { num_output: 10 }", "conv", "fc", "fc")


def test_an_unknown_type_stops_the_knowledge_and_says_where() -> None:
    text = data(1, 3, 8, 8) + layer("Riddle", "", "data", "a", "odd") + layer("ReLU", "", "a", "b", "relu")
    shapes = shapes_by_name(text)
    assert shapes["a"] == Unknown("type", "odd", "a", 'unknown layer type "Riddle"')
    assert shapes["b"] is shapes["a"]


def test_an_unknown_type_has_no_known_parameters_and_a_known_one_without_any_has_none() -> None:
    graph = graph_of(
        data(1, 3, 8, 8)
        + layer("Riddle", "", "data", "a", "odd")
        + layer("ReLU", "", "a", "b")
        + layer("BatchNorm", "", "a", "c")
    )
    assert infer_shapes(graph).params == {0: (), 2: ()}


def test_a_given_shape_replaces_an_unknown_one_in_all_versions() -> None:
    text = data(1, 3, 8, 8) + layer("Riddle", "", "data", "a") + layer("ReLU", "", "a", "a", "relu")
    graph = graph_of(text)
    blobs = infer_shapes(graph, given={"a": (1, 2)}).blobs
    assert blobs[Blob("a", 0)] == blobs[Blob("a", 1)] == (1, 2)


def test_a_given_shape_replaces_that_of_an_input() -> None:
    assert shapes_by_name(data(1, 3, 8, 8) + CONV, given={"data": (2, 3, 10, 10)})["conv"] == (2, 4, 8, 8)


def test_a_given_shape_is_checked() -> None:
    with pytest.raises(ShapeError, match="negative"):
        shapes_by_name(data(1), given={"data": (-1,)})


def test_an_input_without_a_shape_is_unknown() -> None:
    shape = shapes_by_name(layer("Input", "", "", "data") + CONV)["conv"]
    assert isinstance(shape, Unknown)
    assert (shape.kind, shape.blob) == ("input", "data")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (layer("Python", 'python_param { module: "m" layer: "L" }', ""), "input"),
        (data(1) + layer("Python", 'python_param { module: "m" layer: "L" }'), "type"),
        (layer("HDF5Data", "hdf5_data_param { batch_size: 2 }", ""), "input"),
        (layer("Riddle", "", ""), "input"),
        (layer("Data", "data_param { batch_size: 2 }", ""), "input"),
    ],
)
def test_kinds_of_not_knowing(text: str, kind: str) -> None:
    shape = shapes_by_name(text)["out"]
    assert isinstance(shape, Unknown)
    assert (shape.kind, shape.layer) == (kind, "layer")


def test_a_loss_is_a_scalar_whatever_it_is_of() -> None:
    text = layer("Input", "", "", "x", "in") + layer("SoftmaxWithLoss", "", "x x", "loss prob")
    shapes = shapes_by_name(text)
    assert shapes["loss"] == ()
    assert isinstance(shapes["prob"], Unknown)


def test_roi_pooling_needs_only_the_map() -> None:
    text = data(1, 6, 8, 8) + layer("Riddle", "", "data", "rois", "odd")
    text += layer("ROIPooling", "roi_pooling_param { pooled_h: 7 pooled_w: 7 }", "data rois")
    assert shapes_by_name(text)["out"] == (1, 6, 7, 7)


def test_layers_that_cut_out_regions_are_marked() -> None:
    marked = {name for name, row in LAYERS.items() if row.regions}
    assert marked == {"PSROIAlign", "PSROIPooling", "ROIAlign", "ROIPooling", "ROIWarping"}


def test_published_python_layers() -> None:
    text = data(1, 6, 8, 8) + layer("Python", 'python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" }')
    assert shapes_by_name(text)["out"] == (1, 5)


# ---- What data layers leave out ----


def data_layer(parameters: str = "") -> str:
    return layer("Data", "data_param { batch_size: 64 }" + parameters, "", "data", "db")


def test_channels_that_are_assumed_are_noted() -> None:
    graph = graph_of(data_layer("transform_param { crop_size: 9 }"))
    assert infer_shapes(graph).notes == ('blob "data": the net does not define the channels of its images; assumed 3',)
    known = graph_of(data_layer("transform_param { crop_size: 9 force_color: true }"))
    assert infer_shapes(known).notes == ()


@pytest.mark.parametrize("between", ["", layer("Power", "", "data", "data", "scale")])
def test_channels_come_from_the_first_weights(between: str) -> None:
    graph = graph_of(data_layer("transform_param { crop_size: 8 }") + between + CONV)
    shapes = infer_shapes(graph._replace(held={"conv": [(4, 5, 3, 3), (4,)]}))
    assert shapes.blobs[Blob("data", 0)] == (64, 5, 8, 8)
    assert shapes.notes == ()


def test_channels_come_through_equal_slices() -> None:
    text = layer("Data", "data_param { batch_size: 2 } transform_param { crop_size: 8 }", "", "pair", "db")
    text += layer("Slice", "slice_param { axis: 1 }", "pair", "data other", "cut") + CONV
    text += layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", "other", "conv2", "conv2")
    weights = {"conv": [(4, 3, 3, 3)], "conv2": [(4, 3, 3, 3)]}
    assert shapes_by_name(text, held=weights)["pair"] == (2, 6, 8, 8)


def test_channels_come_through_slice_points() -> None:
    text = layer("Data", "data_param { batch_size: 2 } transform_param { crop_size: 8 }", "", "pair", "db")
    text += layer("Slice", "slice_param { slice_point: 3 }", "pair", "other data", "cut") + CONV
    assert shapes_by_name(text, held={"conv": [(4, 1, 3, 3)]})["pair"] == (2, 4, 8, 8)


def test_channels_of_grouped_weights_and_of_an_inner_product() -> None:
    grouped = layer(
        "Convolution", "convolution_param { num_output: 4 kernel_size: 3 group: 2 }", "data", "conv", "conv"
    )
    crop = data_layer("transform_param { crop_size: 8 }")
    assert shapes_by_name(crop + grouped, held={"conv": [(4, 5, 3, 3)]})["data"] == (64, 10, 8, 8)
    flat = layer("InnerProduct", "inner_product_param { num_output: 10 }", "data", "fc", "fc")
    for stored in ((10, 128), (1, 1, 10, 128), (128, 10)):
        assert shapes_by_name(crop + flat, held={"fc": [stored]})["data"] == (64, 2, 8, 8)


def made_of(name: str, bottom: str = "data") -> str:
    """An InnerProduct of ten values, NAME."""
    return layer("InnerProduct", "inner_product_param { num_output: 10 }", bottom, name, name)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (layer("BatchNorm", "", "data", "n", "n"), {"n": [(5,), (5,), (1,)]}),
        (layer("BatchNorm", "", "data", "n", "n"), {"n": [(5,), (5,), (5,), (5,), (1,)]}),
        (layer("Scale", "", "data", "n", "n"), {"n": [(1, 1, 1, 5)]}),
        (layer("Scale", "scale_param { num_axes: -1 }", "data", "n", "n"), {"n": [(5, 8, 8)]}),
        (layer("Bias", "", "data", "n", "n"), {"n": [(5,)]}),
        (layer("PReLU", "", "data", "data", "n"), {"n": [(5,)]}),
        (
            layer("PReLU", "prelu_param { channel_shared: true }", "data", "data", "n") + CONV,
            {"n": [(1,)], "conv": [(4, 5, 3, 3)]},
        ),
        (layer("BN", "", "data", "n", "n"), {"n": [(1, 5, 1, 1), (1, 5, 1, 1)]}),
        (layer("Normalize", "norm_param { channel_shared: false }", "data", "n", "n"), {"n": [(5,)]}),
        (layer("Deconvolution", "convolution_param { num_output: 4 kernel_size: 2 }"), {"layer": [(5, 4, 2, 2)]}),
        (
            layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", "data", "pool") + made_of("fc", "pool"),
            {"fc": [(10, 5 * 4 * 4)]},
        ),
        (
            layer("Flatten", "", "data", "flat") + layer("ReLU", "", "flat", "flat") + made_of("fc", "flat"),
            {"fc": [(1, 1, 10, 5 * 8 * 8)]},
        ),
        (layer("Concat", "", "data data", "twice") + made_of("fc", "twice"), {"fc": [(10, 2 * 5 * 8 * 8)]}),
        (layer("Crop", "", "data data", "cut") + CONV.replace("data", "cut"), {"conv": [(4, 5, 3, 3)]}),
    ],
)
def test_the_first_layers_with_weights_tell_the_channels(text: str, held: dict[str, list[Shape]]) -> None:
    shapes = infer_shapes(graph_of(data_layer("transform_param { crop_size: 8 }") + text)._replace(held=held))
    assert shapes.blobs[Blob("data", 0)] == (64, 5, 8, 8)
    assert shapes.notes == ()


def test_weights_that_no_channels_fit_tell_none() -> None:
    shapes = infer_shapes(
        graph_of(data_layer("transform_param { crop_size: 8 }") + CONV)._replace(held={"conv": [(4, 5, 7)]})
    )
    assert shapes.blobs[Blob("data", 0)] == (64, 3, 8, 8)
    assert shapes.notes == ('blob "data": the net does not define the channels of its images; assumed 3',)


LENET = (
    data_layer()
    + CONV
    + layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", "conv", "pool", "pool")
    + layer("InnerProduct", "inner_product_param { num_output: 10 }", "pool", "fc", "fc")
)


def test_the_size_of_images_comes_from_the_weights_of_an_inner_product() -> None:
    weights: dict[str, list[Shape]] = {"conv": [(4, 1, 3, 3), (4,)], "fc": [(1, 1, 10, 4 * 13 * 13), (10,)]}
    shapes = infer_shapes(graph_of(LENET)._replace(held=weights))
    assert shapes.blobs[Blob("data", 0)] == (64, 1, 27, 27)
    assert shapes.blobs[Blob("pool", 0)] == (64, 4, 13, 13)
    assert shapes.notes == (
        'blob "data": the net does not define the size of its images; '
        'used 27×27, the smallest size that fits the weights of "fc"',
    )


@pytest.mark.parametrize("columns", [4 * 13 * 14, 10**9])
def test_weights_that_no_size_fits_tell_nothing(columns: int) -> None:
    weights: dict[str, list[Shape]] = {"conv": [(4, 1, 3, 3)], "fc": [(10, columns)]}
    assert isinstance(shapes_by_name(LENET, held=weights)["data"], Unknown)


def test_weights_behind_global_pooling_tell_no_size() -> None:
    text = LENET.replace("kernel_size: 2 stride: 2", "global_pooling: true")
    shape = shapes_by_name(text, held={"conv": [(4, 1, 3, 3)], "fc": [(10, 4)]})["data"]
    assert isinstance(shape, Unknown)
    assert shape.reason == "the size of its images is in the data, not in the net"


def test_the_length_of_a_clip_is_never_guessed() -> None:
    text = layer("VideoData", "video_data_param { batch_size: 2 new_height: 8 new_width: 8 }", "", "data", "clips")
    text += layer("InnerProduct", "inner_product_param { num_output: 10 }", "data", "fc", "fc")
    assert isinstance(shapes_by_name(text, held={"fc": [(10, 3 * 8 * 8 * 8)]})["data"], Unknown)


# ---- Layer types of other packages ----


def install(directory: Path, entry: str, code: str) -> None:
    """Lay out in DIRECTORY what an installed package with one layer type looks like."""
    (directory / "more_layers.py").write_text(code)
    about = directory / "more_layers-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: more-layers\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{entry}\n")


DOUBLED = """
from caffe_fcn.net.layers import LayerType

DOUBLED = LayerType(shape=lambda layer, bottoms: [(bottoms[0][0], 2 * bottoms[0][1])] * len(layer.top))
"""


def test_installed_packages_add_layer_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "Doubled = more_layers:DOUBLED", DOUBLED)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert top_of("Doubled", (3, 4)) == (3, 8)


def test_an_entry_point_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "Lost = more_layers_gone:rule", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ShapeError, match=r'layer "layer" \(Lost\): the entry point more_layers_gone:rule'):
        top_of("Lost", (3, 4))


def test_an_entry_point_that_is_no_row_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "Plain = json:dumps", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ShapeError, match=r"expected a LayerType as .* json:dumps .*, found function"):
        top_of("Plain", (3, 4))


def test_known_types_do_not_look_for_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "ReLU = more_layers_gone:rule", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert top_of("ReLU", (3, 4)) == (3, 4)
