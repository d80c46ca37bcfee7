"""What layers cost: against measured blobs, published totals, sums by hand, and one multiplication at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from types import SimpleNamespace

import nets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.model.opening import meet, open_inputs
from caffe_fcn.net.cost import Cost, Total, infer_costs, shares_data, total
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.layers import LayerType
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.passes.conversion import Settings, plan
from tests.net.nets import data, graph_of, layer, read_net
from tests.paths import CORPUS, GOLDEN, ROOT

LAYERS = [case for case in sorted((GOLDEN / "layers").iterdir()) if json.loads((case / "shapes.json").read_text())]
CONVERSIONS = sorted(path for path in (GOLDEN / "conversions").iterdir() if path.is_dir())
RESNET_50 = CORPUS / "KaimingHe+deep-residual-networks" / "5d6fd5ae-ResNet-50-deploy.prototxt"


def costs(text: str, held: Mapping[str, Sequence[tuple[int, ...]]] | None = None) -> dict[str, Cost]:
    """What each layer of the net TEXT costs, by its name."""
    graph = graph_of(text)._replace(held=held or {})
    found = infer_costs(graph, infer_shapes(graph))
    return {node.name: cost for node, cost in zip(graph.nodes, found, strict=True)}


def cost_of(parameters: str, *shapes: tuple[int, ...], tops: str = "out", more: str = "") -> Cost:
    """What a layer, given as "Type parameters", costs over inputs of these SHAPES."""
    kind, _, rest = parameters.partition(" ")
    names = [f"data{index}" for index in range(len(shapes))]
    inputs = "".join(data(*shape, name=name) for name, shape in zip(names, shapes, strict=True))
    return costs(inputs + layer(kind, rest + more, " ".join(names), tops))["layer"]


def total_of(path: Path) -> Total:
    graph = build_graph(read_net(path))
    return total(infer_costs(graph, infer_shapes(graph)))


def total_of_text(text: str) -> Total:
    return total(costs(text).values())


# ---- Parameters ----


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_the_values_of_a_measured_layer(case: Path) -> None:
    measured = json.loads((case / "shapes.json").read_text())["params"]
    graph = build_graph(read_net(case / "net.prototxt"))
    found = infer_costs(graph, infer_shapes(graph))
    for node, cost in zip(graph.nodes, found, strict=True):
        assert cost.parameters is not None and cost.statistics is not None
        assert cost.parameters + cost.statistics == sum(prod(shape) for shape in measured.get(node.name, []))


@pytest.mark.parametrize(
    ("parameters", "learned", "measured"),
    [
        ("BatchNorm", 0, 13),
        ("BatchNorm batch_norm_param { scale_bias: true }", 12, 13),
        ("BN", 12, 12),
        ("BN bn_param { bn_mode: LEARN }", 12, 0),
        ("Scale scale_param { bias_term: true }", 12, 0),
        ("PReLU", 6, 0),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 group: 2 }", 4 * 3 * 9 + 4, 0),
    ],
)
def test_what_is_measured_is_not_learned(parameters: str, learned: int, measured: int) -> None:
    cost = cost_of(parameters, (2, 6, 8, 10))
    assert (cost.parameters, cost.statistics) == (learned, measured)


# ---- Multiply-accumulates ----


@pytest.mark.parametrize(
    ("parameters", "shapes", "macs"),
    [
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 }", [(1, 3, 11, 9)], 4 * 9 * 7 * 3 * 9),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 group: 2 }", [(1, 6, 7, 7)], 4 * 5 * 5 * 3 * 9),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 dilation: 2 }", [(1, 3, 9, 9)], 4 * 25 * 3 * 9),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 }", [(5, 3, 10)], 5 * 4 * 8 * 3 * 3),
        ("Convolution convolution_param { num_output: 4 kernel_size: 1 axis: 2 }", [(1, 2, 3, 8, 8)], 2 * 4 * 64 * 3),
        ("Convolution convolution_param { num_output: 4 kernel_size: 3 }", [(1, 3, 3, 3, 3)], 4 * 3 * 27),
        ("Convolution3D convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 2 }", [(1, 3, 2, 3, 3)], 216),
        ("ConvolutionDepthwise convolution_param { num_output: 6 kernel_size: 3 }", [(1, 6, 7, 7)], 6 * 25 * 9),
        ("Deconvolution convolution_param { num_output: 5 kernel_size: 4 stride: 2 }", [(1, 3, 2, 2)], 12 * 5 * 16),
        ("Deconvolution convolution_param { num_output: 3 kernel_size: 4 group: 3 }", [(1, 3, 2, 2)], 12 * 16),
        ("InnerProduct inner_product_param { num_output: 5 }", [(2, 3, 4, 4)], 2 * 5 * 48),
        ("InnerProduct inner_product_param { num_output: 5 axis: 2 }", [(2, 3, 4, 4)], 2 * 3 * 5 * 16),
        ("InnerProduct inner_product_param { num_output: 5 transpose: true }", [(2, 3, 4, 4)], 2 * 5 * 48),
        ("LSTM recurrent_param { num_output: 3 }", [(5, 2, 4), (5, 2)], 5 * 2 * (12 * 4 + 12 * 3)),
        ("LSTM recurrent_param { num_output: 3 }", [(5, 2, 4), (5, 2), (2, 7)], 5 * 2 * (48 + 36) + 2 * 12 * 7),
        ("RNN recurrent_param { num_output: 3 }", [(5, 2, 4), (5, 2)], 5 * 2 * (3 * 4 + 9 + 9)),
        ("RNN recurrent_param { num_output: 3 }", [(5, 2, 4), (5, 2), (2, 7)], 5 * 2 * (12 + 18) + 2 * 3 * 7),
        ("Embed embed_param { num_output: 3 input_dim: 7 }", [(4, 2)], 0),
        ("Scale scale_param { bias_term: true }", [(1, 3, 4, 4)], 0),
        ("Pooling pooling_param { kernel_size: 2 }", [(1, 3, 4, 4)], 0),
    ],
)
def test_multiplications_by_learned_weights(parameters: str, shapes: list[tuple[int, ...]], macs: int) -> None:
    assert cost_of(parameters, *shapes).macs == macs


def test_a_margin_inner_product_is_an_inner_product() -> None:
    text = "MarginInnerProduct margin_inner_product_param { num_output: 5 }"
    assert cost_of(text, (2, 8), (2,), tops="out lambda").macs == 2 * 5 * 8


def test_a_convolution_of_several_bottoms_works_on_each() -> None:
    text = "Convolution convolution_param { num_output: 4 kernel_size: 3 }"
    assert cost_of(text, (1, 3, 5, 5), (1, 3, 5, 5), tops="a b").macs == 2 * 4 * 9 * 27


def test_how_often_a_mean_field_multiplies_is_not_known() -> None:
    cost = cost_of("MultiStageMeanfield", (1, 2, 4, 4), (1, 2, 4, 4), (1, 3, 4, 4))
    assert (cost.macs, cost.parameters) == (None, 12)


@settings(max_examples=40)
@given(
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    size=st.integers(3, 7),
    group=st.sampled_from([1, 2]),
    batch=st.integers(1, 3),
    deconvolution=st.booleans(),
)
def test_one_multiplication_at_a_time(
    kernel: int, stride: int, size: int, group: int, batch: int, deconvolution: bool
) -> None:
    kind = "Deconvolution" if deconvolution else "Convolution"
    window = f"num_output: 4 kernel_size: {kernel} stride: {stride} group: {group}"
    cost = cost_of(f"{kind} convolution_param {{ {window} }}", (batch, 2, size, size))
    places = size if deconvolution else (size - kernel) // stride + 1
    pairs = [(i, o) for i, o in product(range(2), range(4)) if i * group // 2 == o * group // 4]
    counted = sum(1 for _ in product(range(batch), pairs, range(places), range(places), range(kernel), range(kernel)))
    assert cost.macs == counted


@settings(max_examples=20)
@given(batch=st.integers(2, 9))
def test_all_but_the_parameters_grows_with_the_batch(batch: int) -> None:
    graph = graph_of((ROOT / "models" / "lenet.prototxt").read_text())
    shapes = (infer_shapes(graph, given={"data": (images, 1, 28, 28)}) for images in (1, batch))
    one, many = (total(infer_costs(graph, each)) for each in shapes)
    assert (many.macs, many.activation_bytes) == (batch * one.macs, batch * one.activation_bytes)
    assert many.parameters == one.parameters


# ---- Published nets ----


def test_alexnet() -> None:
    maps = [
        55 * 55 * 96 * 3 * 11 * 11,
        27 * 27 * 256 * 48 * 5 * 5,
        13 * 13 * 384 * 256 * 3 * 3,
        13 * 13 * 384 * 192 * 3 * 3,
        13 * 13 * 256 * 192 * 3 * 3,
    ]
    found = total_of(ROOT / "models" / "alexnet.prototxt")
    assert (found.layers, found.parameters, found.statistics) == (24, 60_965_224, 0)
    assert found.macs == sum(maps) + 9216 * 4096 + 4096 * 4096 + 4096 * 1000 == 724_406_816


def test_fc6_of_alexnet() -> None:
    found = costs((ROOT / "models" / "alexnet.prototxt").read_text())["fc6"]
    assert (found.parameters, found.macs, found.activation_bytes) == (37_752_832, 37_748_736, 4 * 4096)


def test_vgg_16() -> None:
    found = total_of(ROOT / "models" / "vgg16.prototxt")
    assert (found.parameters, found.macs) == (138_357_544, 15_470_264_320)


def test_googlenet_without_its_auxiliary_classifiers() -> None:
    found = total_of(ROOT / "models" / "googlenet.prototxt")
    assert (found.parameters, found.macs) == (6_998_552, 1_582_671_872)


def test_resnet_50() -> None:
    found = total_of_text(nets.resnet50())
    assert (found.parameters, found.macs) == (25_557_032, 3_857_973_248)
    assert found.statistics == 2 * 26_560 + 53


def test_resnet_152() -> None:
    assert total_of_text(nets.resnet152()).parameters == 60_192_808


@pytest.mark.skipif(not RESNET_50.exists(), reason=f"the published ResNet-50 is not at {RESNET_50}")
def test_resnet_50_as_it_was_published_has_a_bias_in_its_first_layer() -> None:
    found = total_of(RESNET_50)
    assert (found.parameters, found.macs) == (25_557_032 + 64, 3_857_973_248)


@pytest.mark.parametrize("case", CONVERSIONS, ids=lambda case: case.name)
def test_a_converted_net_has_the_parameters_and_the_work_of_the_original(case: Path) -> None:
    source, _ = open_inputs(str(case / "net.prototxt"), None)
    before = total_of(case / "net.prototxt")
    graph = build_graph(plan(meet(source, None), Settings()).net)
    after = total(infer_costs(graph, infer_shapes(graph)))
    assert before.parameters > 0
    assert (after.parameters, after.statistics, after.macs) == (before.parameters, before.statistics, before.macs)


# ---- Memory ----


@pytest.mark.parametrize(
    ("parameters", "shapes", "shares"),
    [
        ("Flatten", [(2, 3, 4)], True),
        ("Reshape reshape_param { shape { dim: 0 dim: -1 } }", [(2, 3, 4)], True),
        ("Split", [(2, 3, 4)], True),
        ("Squeeze", [(1, 3, 4)], True),
        ("Concat", [(2, 3, 4)], True),
        ("Slice", [(2, 3, 4)], True),
        ("Permute permute_param { order: 0 order: 1 }", [(2, 3, 4)], True),
        ("Concat", [(2, 3, 4), (2, 3, 4)], False),
        ("Permute permute_param { order: 1 }", [(2, 3, 4)], False),
        ("ReLU", [(2, 3, 4)], False),
        ("Tile tile_param { tiles: 1 }", [(2, 3, 4)], False),
    ],
)
def test_views_of_data_take_no_memory(parameters: str, shapes: list[tuple[int, ...]], shares: bool) -> None:
    text = "".join(data(*shape, name=f"d{index}") for index, shape in enumerate(shapes))
    kind, _, rest = parameters.partition(" ")
    node = graph_of(text + layer(kind, rest, " ".join(f"d{i}" for i in range(len(shapes))))).nodes[-1]
    assert shares_data(node) is shares
    memory = cost_of(parameters, *shapes).activation_bytes
    assert memory == (0 if shares else 4 * sum(prod(shape) for shape in shapes))


def test_every_top_takes_memory_and_one_in_place_none() -> None:
    found = costs(data(2, 4, 3, 3) + layer("Slice", "", "data", "a b", "cut") + layer("ReLU", "", "a", "a", "relu"))
    assert found["cut"].activation_bytes == 4 * 2 * 4 * 9
    assert found["relu"].activation_bytes == 0


def test_a_parameter_as_a_blob_is_no_further_memory() -> None:
    found = costs(layer("Parameter", "parameter_param { shape { dim: 2 dim: 3 } }", ""))["layer"]
    assert (found.parameters, found.activation_bytes) == (6, 0)


# ---- Shared parameters ----

TWO = "param { name: 'w' } param { name: 'b' }"
FC = "inner_product_param { num_output: 5 }"
TWINS = (
    data(1, 6)
    + layer("InnerProduct", TWO + FC, "data", "a", "one")
    + layer("InnerProduct", "param { name: 'w' }" + FC, "data", "b", "two")
    + layer("InnerProduct", FC, "data", "c", "three")
)


def test_shared_parameters_count_once() -> None:
    found = costs(TWINS)
    assert [found[name].parameters for name in ("one", "two", "three")] == [35, 35, 35]
    assert total(found.values()).parameters == 35 + 5 + 35
    assert total([found["two"]]).parameters == 35
    assert total(found.values()).macs == 3 * 30


def test_sharers_know_of_each_other() -> None:
    found = costs(TWINS)
    assert [found[name].shared_with for name in ("one", "two", "three")] == [("two",), ("one",), ()]
    assert [found[name].repeats for name in ("one", "two", "three")] == [False, True, False]


def test_names_of_parameters_that_a_layer_lacks_share_nothing() -> None:
    none = "param { name: 'w' }"
    found = costs(data(1, 6) + layer("ReLU", none, "data", "a", "r") + layer("InnerProduct", none + FC, "a", "b", "f"))
    assert found["f"].shared_with == ()
    assert not found["f"].repeats


# ---- What is not known ----

RIDDLE = data(1, 3, 8, 8) + layer("Riddle", "", "data", "a", "odd")
BEHIND = layer("InnerProduct", FC, "a", "b", "fc") + layer("ReLU", "", "b", "c", "relu")


def test_unknown_is_not_nothing() -> None:
    found = costs(RIDDLE + BEHIND)
    assert found["odd"][:3] == (None, None, None)
    assert found["fc"][:3] == (None, None, None)
    assert (found["fc"].parameters, found["fc"].statistics) == (None, None)
    assert found["relu"][:3] == ((), 0, None)
    assert total(found.values()) == Total(4, 0, 0, 0, 4 * 3 * 64, 2, 2, 3)


def test_the_weights_tell_what_the_net_does_not() -> None:
    found = costs(RIDDLE + BEHIND, held={"odd": [(7,)], "fc": [(1, 1, 5, 48), (5,)], "relu": [(9,)]})
    assert [found[name].parameters for name in ("odd", "fc", "relu")] == [7, 245, 0]
    assert found["fc"].macs is None


def test_the_net_goes_before_the_weights() -> None:
    assert costs(TWINS, held={"one": [(1000,)]})["one"].parameters == 35


def test_statistics_are_told_apart_in_weights_too() -> None:
    text = RIDDLE + layer("BatchNorm", "", "a", "b", "bn")
    found = costs(text, held={"bn": [(4,), (4,), (1,)]})["bn"]
    assert (found.parameters, found.statistics) == (0, 9)


def test_statistics_and_scales_within_a_batch_norm_are_told_apart() -> None:
    text = data(1, 4, 3, 3) + layer("BatchNorm")
    for held in ([(4,), (4,), (1,), (4,), (4,)], [(4,), (4,), (4,), (4,), (1,)]):
        found = costs(text, held={"layer": held})["layer"]
        assert (found.parameters, found.statistics) == (8, 9)
        assert found.blobs is not None and [blob.shape for blob in found.blobs] == held


def test_layers_whose_code_decides_hold_what_the_weights_say() -> None:
    python = data(1, 3) + layer("Python", 'python_param { module: "m" layer: "L" }')
    assert costs(python)["layer"].parameters == 0
    assert costs(python, held={"layer": [(3, 2)]})["layer"].parameters == 6
    centers = data(1, 3) + data(1, name="label") + layer("CenterLoss", "", "data label")
    assert costs(centers)["layer"].parameters is None
    assert costs(centers, held={"layer": [(10, 3)]})["layer"].parameters == 30


def test_a_row_of_another_package_that_tells_shapes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    row = LayerType(shape=lambda layer, bottoms: [bottoms[0]])
    plugin = SimpleNamespace(load=lambda: row)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **wanted: [plugin])
    found = cost_of("Plugged", (1, 3, 4, 4))
    assert found[:3] == (None, None, 4 * 48)
