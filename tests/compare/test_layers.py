"""Which layers of two nets belong together, and what differs in them."""

from __future__ import annotations

import time

import pytest

from caffe_fcn.compare.layers import compare_graphs
from caffe_fcn.compare.records import LayerMatch, LayerPair
from tests.passes.nets import conv, data, fc, layer, model_of

BASE = data() + conv("c1", "data", 4) + layer("r1", "ReLU", "c1", "c1") + conv("c2", "c1", 4) + fc("fc", "c2", 3)


def compared(old: str, new: str, phase: str = "TEST") -> tuple[LayerPair, ...]:
    ours, theirs = model_of(old), model_of(new)
    return compare_graphs(ours.graphs[phase], ours.shapes[phase], theirs.graphs[phase], theirs.shapes[phase])


def told(pairs: tuple[LayerPair, ...]) -> list[str]:
    """What differs, a line for each layer."""
    lines = []
    for each in pairs:
        names = " > ".join(dict.fromkeys(node.name for node in (each.old, each.new) if node is not None))
        what = [f"{field.path} {field.old} {field.new} {field.default}" for field in each.fields]
        what += ["rewired"] * each.rewired + ["retyped"] * each.retyped
        if what or each.match is not LayerMatch.NAME:
            lines.append(", ".join([f"{each.match.value} {names}", *what]))
    return lines


def test_equal_nets_have_no_differences() -> None:
    pairs = compared(BASE, BASE)
    assert told(pairs) == [] and len(pairs) == 5
    assert not any(each.changed or each.renamed or each.shapes for each in pairs)


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("num_output: 3", "num_output: 7", ["name fc, inner_product_param.num_output 3 7 None"]),
        ("kernel_size: 3", "kernel_size: 3 stride: 2", ["name c1, convolution_param.stride None 2 None"]),
        ('"ReLU" bottom', '"ReLU" relu_param { negative_slope: 0.1 } bottom',
         ["name r1, relu_param.negative_slope None 0.1 0"]),
        ('type: "ReLU"', 'type: "Sigmoid"', ["name r1, retyped"]),
        ('name: "c2"', 'name: "other"', ["structure c2 > other"]),
        ('name: "fc" type', 'param { lr_mult: 2 } param { } name: "fc" type', ["name fc, param[0].lr_mult None 2 1"]),
        ('name: "fc" type', 'loss_weight: 1 name: "fc" type', ["name fc, loss_weight None 1 None"]),
        ('name: "fc" type', 'include { phase: TEST } name: "fc" type', ["name fc, include[0].phase None TEST None"]),
        ("num_output: 4 kernel_size: 3 ", "num_output: 4 kernel_h: 3 kernel_w: 3 stride: 1 pad_h: 0", []),
        ("num_output: 3", "num_output: 3 axis: -3", []),
        ("num_output: 3", "num_output: 3 axis: 1 weight_filler { type: 'constant' value: 0 } bias_term: true", []),
        ("num_output: 3", "num_output: 3 weight_filler { type: 'xavier' }",
         ['name fc, inner_product_param.weight_filler.type None "xavier" "constant"']),
    ],
)  # fmt: skip
def test_a_planted_change_is_told_and_nothing_else(before: str, after: str, lines: list[str]) -> None:
    changed = BASE.replace(before, after, 1)
    assert changed != BASE
    assert told(compared(BASE, changed)) == lines


def test_the_loss_weight_of_a_loss_is_1() -> None:
    before, after = (layer("l", "EuclideanLoss", "data data", "l", params) for params in ("", "loss_weight: 1"))
    assert told(compared(data() + before, data() + after)) == []
    assert told(compared(data() + before, data() + after.replace("1 }", "2 }"))) == ["name l, loss_weight None 2 None"]


def test_a_default_that_depends_on_the_phase_is_told() -> None:
    stored = layer("bn", "BatchNorm", "data", params="batch_norm_param { use_global_stats: true }")
    assert told(compared(data() + layer("bn", "BatchNorm", "data"), data() + stored)) == [
        "name bn, batch_norm_param.use_global_stats None true None"
    ]


def test_fields_of_forks_are_compared_without_comments() -> None:
    before, after = (layer("x", "Foo", "data", params=f"foo_param {{ a: {value} }}") for value in ("1 # why\n", "2"))
    assert told(compared(data() + before, data() + after)) == ["name x, foo_param { a: 1 } { a: 2 } None"]
    assert told(compared(data() + before, data() + before.replace("why", "because"))) == []


def test_blobs_with_other_names_are_no_other_wiring() -> None:
    changed = BASE.replace('"c1"', '"x1"').replace('name: "x1"', 'name: "c1"').replace('"data"', '"image"')
    pairs = compared(BASE, changed)
    assert told(pairs) == ["structure data > image"]
    assert [each.new.name for each in pairs if each.renamed and each.new] == ["image", "c1", "r1"]


def test_another_bottom_is_told() -> None:
    base = BASE + conv("c3", "c2", 2)
    changed = BASE + conv("c3", "c1", 2)
    pairs = compared(base, changed)
    assert told(pairs) == ["name c3, rewired"]
    assert [(each.old, each.new) for each in pairs[-1].shapes] == [((1, 2, 2, 4), (1, 2, 4, 6))]


def test_the_order_of_layers_in_place_is_wiring() -> None:
    relu, power = layer("r", "ReLU", "data", "data"), layer("p", "Power", "data", "data")
    assert told(compared(data() + relu + power, data() + power + relu)) == ["name p, rewired", "name r, rewired"]


def test_a_layer_that_comes_or_goes_is_told_once_where_it_was() -> None:
    without = BASE.replace(layer("r1", "ReLU", "c1", "c1"), "")
    assert told(compared(BASE, without)) == ["gone r1"]
    assert [each.match for each in compared(BASE, without)][2] is LayerMatch.GONE
    assert told(compared(without, BASE)) == ["new r1"]
    dropout = BASE.replace(fc("fc", "c2", 3), layer("d", "Dropout", "c2") + fc("fc", "d", 3))
    assert told(compared(BASE, dropout)) == ["new d"]
    assert told(compared(BASE, BASE.replace(fc("fc", "c2", 3), ""))) == ["gone fc"]


def test_an_inner_product_that_became_a_convolution() -> None:
    new = BASE.replace(fc("fc", "c2", 3), layer("fc-conv", "Convolution", "c2", params="""
        convolution_param { num_output: 3 kernel_h: 4 kernel_w: 6 }"""))  # fmt: skip
    assert told(compared(BASE, new)) == ["structure fc > fc-conv, kernel_h None 4 None, kernel_w None 6 None, retyped"]


def test_a_layer_of_another_kind_replaces_one_that_is_gone() -> None:
    old, new = layer("pool", "Pooling", "c2", params="pooling_param { kernel_size: 2 }"), layer("flat", "TanH", "c2")
    assert told(compared(BASE + old, BASE + new)) == ["replaced pool > flat, kernel_size 2 None None, retyped"]


MORE = layer("r2", "ReLU", "c2", "c2") + fc("fc", "c2", 3) + layer("pool", "TanH", "fc", "p")
LONGER = BASE.replace(fc("fc", "c2", 3), MORE) + layer("prob", "Softmax", "p", "prob")
EARLIER = [
    ("num_output: 4", "num_output: 8"),
    ("kernel_size: 3", "kernel_size: 1"),
    ('type: "Convolution"', 'type: "Deconvolution"'),
    ('type: "ReLU"', 'type: "Sigmoid"'),
    ('name: "c1"', 'name: "first"'),
    ('name: "r1" type: "ReLU"', 'name: "first" type: "Sigmoid"'),
    (layer("r1", "ReLU", "c1", "c1"), ""),
    ("dim: 10", "dim: 12"),
]
LATER = [
    ('name: "c2"', 'name: "later"'),
    (MORE, conv("later", "c2", 3).join(MORE.split(fc("fc", "c2", 3))).replace('bottom: "fc"', 'bottom: "later"')),
    (MORE, MORE.replace("fc", "later").replace("num_output: 3", "num_output: 5")),
    (MORE, MORE.replace("fc", "later")),
    (layer("r2", "ReLU", "c2", "c2"), layer("later", "TanH", "c2", "c2")),
    (layer("r2", "ReLU", "c2", "c2") + fc("fc", "c2", 3), layer("later", "TanH", "c2") + fc("fc", "later", 3)),
    (layer("r2", "ReLU", "c2", "c2"), ""),
    ('bottom: "p"', 'bottom: "fc"'),
]


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_change_does_not_affect_what_is_told_of_later_layers(earlier: tuple[str, str]) -> None:
    before = LONGER.replace(*earlier, 1)
    first = told(compared(LONGER, before))
    assert before != LONGER and len(first) <= 1
    for later in LATER:
        changed = LONGER.replace(*later, 1)
        both = changed.replace(*earlier, 1)
        assert changed != LONGER and both != changed
        assert told(compared(LONGER, both)) == [*first, *told(compared(LONGER, changed))], later


def test_all_layers_behind_a_replaced_one_can_have_other_names() -> None:
    changed = LONGER
    for name in ("c1", "r1", "c2", "r2", "fc", "pool", "prob"):
        changed = changed.replace(f'"{name}"', f'"{name}-x"')
    assert {each.match for each in compared(LONGER, changed)[1:]} == {LayerMatch.STRUCTURE}
    pairs = compared(LONGER, changed.replace("num_output: 4", "num_output: 8", 1))
    assert [each.old and each.old.name for each in pairs] == ["data", "c1", "r1", "c2", "r2", "fc", "pool", "prob"]
    assert not any(each.rewired for each in pairs)


def test_the_reader_of_a_replaced_layer_is_not_rewired() -> None:
    changed = LONGER.replace(fc("fc", "c2", 3), fc("later", "c2", 5)).replace('bottom: "fc"', 'bottom: "later"')
    assert told(compared(LONGER, changed)) == ["replaced fc > later, inner_product_param.num_output 3 5 None"]
    beside = LONGER.replace('bottom: "p"', 'bottom: "fc"').replace('type: "TanH"', 'type: "Sigmoid"')
    assert told(compared(LONGER, beside)) == ["name pool, retyped", "name prob, rewired"]


def test_layers_of_one_name_are_paired_by_type_and_in_order() -> None:
    layers = [layer("x", kind, "data", f"t{place}") for place, kind in enumerate(("ReLU", "TanH", "ReLU"))]
    pairs = compared(data() + "".join(layers), data() + layers[1] + layers[0] + layers[2])
    assert told(pairs) == []
    assert [each.old.index for each in pairs if each.old] == [0, 2, 1, 3]


@pytest.mark.thorough
def test_the_time_grows_with_the_number_of_layers_only() -> None:
    many = 1500
    old = data() + "".join(layer("x", "Dropout", "data", "data") for _ in range(many))
    old += "".join(layer(f"s{place}", "Softmax", "data") for place in range(many))
    new = data() + "".join(layer(f"d{place}", "Dropout", "data", "data") for place in range(many))
    new += "".join(layer(f"t{place}", "TanH", "data") for place in range(many))
    both = [model_of(text) for text in (old, new)]
    graphs = [(each.graphs["TEST"], each.shapes["TEST"]) for each in both]
    start = time.process_time()
    pairs = compare_graphs(*graphs[0], *graphs[1])
    assert time.process_time() - start < 2
    assert [each.match for each in pairs].count(LayerMatch.REPLACED) == 2 * many
