"""Fields that BVLC Caffe does not know: found in the layer that has them, judged by what they do, and told of."""

from __future__ import annotations

import pytest

from caffe_fcn import schema
from caffe_fcn.errors import NetError
from caffe_fcn.files import prototxt
from caffe_fcn.net.effects import Effect, readers_of
from caffe_fcn.net.foreign import ForeignField, effect, is_told_by_type, kept_note, notes, refusal
from caffe_fcn.net.layers import LAYERS
from caffe_fcn.net.options import Selection
from caffe_fcn.net.selection import graphs
from caffe_fcn.net.source import SourceNet, interpret
from caffe_fcn.schema import FORKS, OLD, Message

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
PARAMS = [field.name for field in schema.LayerParameter.DESCRIPTOR.fields if FORKS <= field.number < OLD]
"""The parameters of forks' types that are applied."""


def read(text: str) -> SourceNet:
    return interpret(prototxt.parse(text, "net.prototxt"))


def layer(name: str, kind: str, params: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "data" top: "{name}" {params} }}\n'


def found(text: str) -> list[tuple[int | None, str, Effect]]:
    return [(field.layer, field.shown, field.effect) for field in read(text).foreign]


def test_each_field_is_in_its_layer() -> None:
    text = "strange: 1\n" + layer("a", "Data", "data_param { odd: 1 }") + layer("b", "ReLU", "relu_param { odd: 2 }")
    assert found(text) == [
        (None, "strange", Effect.UNKNOWN),
        (0, "data_param.odd", Effect.NONE),
        (1, "relu_param.odd", Effect.UNKNOWN),
    ]


def test_layers_in_a_list_are_told_apart() -> None:
    one, other = (layer(name, "ReLU", "odd: 1").removeprefix("layer ") for name in "ab")
    assert found(f"layer: [ {one}, {other} ]") == [(0, "odd", Effect.UNKNOWN), (1, "odd", Effect.UNKNOWN)]


def test_layers_of_2014_are_those_that_the_upgrade_makes_of_them() -> None:
    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n'
    text += 'layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param { hole: 2 odd: 1 } }\n'
    text += 'layers { name: "p" type: PRELU bottom: "c" top: "p" multi_stage_meanfield_param { odd: 1 } }\n'
    net = read(text)
    named = [(net.net.layer[field.layer or 0].name, field.shown, field.effect) for field in net.foreign]
    assert named == [
        ("c", "convolution_param.hole", Effect.APPLIED),
        ("c", "convolution_param.odd", Effect.UNKNOWN),
        ("p", "type: PRELU", Effect.APPLIED),
        ("p", "multi_stage_meanfield_param", Effect.OWN),
    ]


def test_layers_of_2013_have_their_fields_in_a_layer_within() -> None:
    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n'
    text += 'layers { layer { name: "pad" type: "padding" pad: 1 odd: 1 } bottom: "data" top: "pad" }\n'
    text += 'layers { layer { name: "c" type: "conv" num_output: 2 kernelsize: 3 odd: 2 } bottom: "pad" top: "c" }\n'
    net = read(text)
    told = [None if field.layer is None else net.net.layer[field.layer].name for field in net.foreign]
    assert told == [None, "c"], "the padding is folded into the layer behind it"
    assert {field.shown for field in net.foreign} == {"odd"}


@pytest.mark.parametrize(
    ("params", "shown", "does"),
    [
        ("inner_product_param { normalize: true }", "inner_product_param.normalize", Effect.VALUES),
        ("inner_product_param { normalize: false }", "inner_product_param.normalize", Effect.NONE),
        ("inner_product_param { normalize: 0 }", "inner_product_param.normalize", Effect.NONE),
        ("reshape_param { pixelshuffler: 2 }", "reshape_param.pixelshuffler", Effect.SHAPES),
        ("reshape_param { pixelshuffler: 0x1 }", "reshape_param.pixelshuffler", Effect.NONE),
        ("elu_param { lambda: 1.0 }", "elu_param.lambda", Effect.NONE),
        ("elu_param { lambda: 1.5 }", "elu_param.lambda", Effect.APPLIED),
        ('softmax_param { normalize_type: "Softmax" }', "softmax_param.normalize_type", Effect.NONE),
        ('softmax_param { normalize_type: "L2" }', "softmax_param.normalize_type", Effect.VALUES),
        ("convolution_param { fusion_type: NONE_FUSION }", "convolution_param.fusion_type", Effect.NONE),
        ("convolution_param { engine: MKLDNN }", "convolution_param.engine: MKLDNN", Effect.NONE),
        ("pooling_param { pool: DEF_ALL }", "pooling_param.pool: DEF_ALL", Effect.VALUES),
        ("pooling_param { pool: AVE_EXC_PAD }", "pooling_param.pool: AVE_EXC_PAD", Effect.APPLIED),
        ("lrn_param { norm_region: ALONG }", "lrn_param.norm_region: ALONG", Effect.UNKNOWN),
        ("convolution_param { weight_filler { odd: 1 } }", "convolution_param.weight_filler.odd", Effect.NONE),
        ("quantization_param { bw_params: 8 }", "quantization_param", Effect.VALUES),
        ("odd_param { a: 1 }", "odd_param", Effect.UNKNOWN),
        ("include { odd: 1 }", "include.odd", Effect.UNKNOWN),
    ],
)
def test_what_a_field_does(params: str, shown: str, does: Effect) -> None:
    kind = next(iter(sorted(readers_of(shown.partition(".")[0]))), "ReLU")
    assert found(layer("a", kind, params)) == [(0, shown, does)]


@pytest.mark.parametrize("kind", sorted(LAYERS))
def test_a_type_with_a_shape_rule_has_no_parameters_but_those_that_are_known(kind: str) -> None:
    text = INPUT + layer("a", kind, "odd_param { order: 0 } odd: false")
    assert found(text) == [(1, "odd_param", Effect.UNKNOWN), (1, "odd", Effect.UNKNOWN)]
    reason = refusal(graphs(read(text), Selection())["TEST"])
    assert reason is not None and 'layer "a": odd_param is not in any known fork' in reason


@pytest.mark.parametrize("kind", sorted(name for name, row in LAYERS.items() if not row.bvlc))
def test_a_fork_s_type_is_told_with_its_parameters_but_without_those_of_others(kind: str) -> None:
    net = read("".join(layer(name, kind, f"{name} {{ }}") for name in PARAMS))
    told = [field.name for field in net.foreign if not is_told_by_type(net.net, field)]
    assert told == [name for name in PARAMS if kind not in readers_of(name)]


@pytest.mark.parametrize(
    ("kind", "params", "names"),
    [
        ("ReLU", "convolution_param { relu: true }", ["convolution_param.relu"]),
        ("ReLU", "pooling_param { pool: AVE_EXC_PAD }", ["pooling_param.pool"]),
        ("Flip", "permute_param { order: 1 }", ["permute_param"]),
        ("Permute", "inner_product_param { relu: true }", ["inner_product_param.relu"]),
        ("Convolution", "pooling_param { pool: DEF_ALL }", ["pooling_param.pool"]),
        ("InnerProduct", "reshape_param { pixelshuffler: 2 }", ["reshape_param.pixelshuffler"]),
        ("Pooling", "relu_param { odd: 1 }", ["relu_param.odd"]),
        ("Pooling", "lrn_param { norm_region: ALONG }", ["lrn_param.norm_region"]),
        ("PReLU", "eltwise_param { coeff_blob: true }", ["eltwise_param.coeff_blob"]),
    ],
)
def test_a_parameter_of_another_type_has_no_effect(kind: str, params: str, names: list[str]) -> None:
    net = read(layer("a", kind, params))
    assert [(field.name, field.effect) for field in net.foreign] == [(name, Effect.NONE) for name in names]
    (note,) = notes(net.net, net.foreign)
    assert "unknown to BVLC Caffe, and ha" in note and "no effect on shapes and answers" in note


def test_old_layers_read_the_parameters_of_their_types() -> None:
    text = 'layers { name: "c" type: RELU bottom: "data" top: "c" convolution_param { hole: 2 } }\n'
    assert found(text) == [(0, "convolution_param.hole", Effect.NONE)]


def test_a_type_that_is_foreign_has_parameters_of_its_own() -> None:
    assert found(layer("a", "Odd", "odd_param { a: 1 } relu_param { odd: 1 }")) == [
        (0, "odd_param", Effect.OWN),
        (0, "relu_param.odd", Effect.UNKNOWN),
    ]


MIXED = INPUT + (
    layer("c", "Convolution", "convolution_param { num_output: 2 kernel_size: 1 relu: true engine: MKLDNN odd: 1 }")
    + layer("r", "ReLU", "relu_param { fuse: true }")
    + layer("i", "InnerProduct", "inner_product_param { num_output: 2 normalize: true }")
    + layer("j", "InnerProduct", "inner_product_param { num_output: 2 normalize: true }")
    + layer("p", "Permute", "permute_param { order: 0 }")
)


def test_notes_say_what_is_made_of_each_field() -> None:
    net = read(MIXED)
    assert notes(net.net, net.foreign) == [
        "convolution_param.relu is unknown to BVLC Caffe, and is applied as in the forks of Caffe",
        "convolution_param.engine: MKLDNN, relu_param.fuse are unknown to BVLC Caffe, and have no effect on shapes and "
        "answers",
        'layer "c": convolution_param.odd is not in any known fork, so its effect is unknown; '
        "it is ignored in shapes and answers",
        'layers "i", "j": inner_product_param.normalize changes answers in the fork happynear; this is not supported; '
        "it is ignored in shapes and answers",
    ]
    ignored = notes(net.net, net.foreign, {"convolution_param.odd", "inner_product_param.normalize"})
    assert ignored[2:] == [
        "convolution_param.odd, inner_product_param.normalize are unknown to BVLC Caffe, and are ignored, as requested"
    ]
    assert kept_note(net.foreign)[0].startswith("unknown to BVLC Caffe, kept unchanged: convolution_param.relu, ")
    assert kept_note(()) == [] == notes(net.net, ())


def test_many_fields_are_not_all_told() -> None:
    names = "".join(f"odd_{number}: 1 " for number in range(8))
    (note,) = notes(*net_and_fields(layer("a", "Data", f"data_param {{ {names} }}")))
    assert "data_param.odd_5 and 2 more are unknown" in note
    (note,) = notes(*net_and_fields("".join(layer(f"a{number}", "ReLU", "odd: 1") for number in range(5))))
    assert note.startswith('layers "a0", "a1", "a2" and 2 more: odd is not in any known fork')


@pytest.mark.thorough
def test_a_file_of_nothing_but_strange_fields_is_told_of_in_a_few_lines() -> None:
    text = layer("a", "ReLU", " ".join(f"odd_{number}: 1" for number in range(20_000)))
    net = read(INPUT + text)
    told = notes(net.net, net.foreign)
    assert len(told) == 13 and told[-1] == "19,988 more fields whose effect is not supported"
    reason = refusal(graphs(net, Selection())["TEST"])
    assert reason is not None and len(reason) < 3000
    assert "so its effect is unknown and 19,988 more. Remove" in reason


def net_and_fields(text: str) -> tuple[Message, tuple[ForeignField, ...]]:
    net = read(text)
    return net.net, net.foreign


def test_a_refusal_names_layer_field_and_option() -> None:
    graph = graphs(read("odd: 1\n" + MIXED), Selection())["TEST"]
    assert refusal(graph) == (
        "the net: odd is not in any known fork, so its effect is unknown; "
        'layer "c": convolution_param.odd is not in any known fork, so its effect is unknown; '
        'layers "i", "j": inner_product_param.normalize changes answers in the fork happynear; this is not supported. '
        "Remove fields that have no effect, or ignore them with "
        "ignore_fields=['odd', 'convolution_param.odd', 'inner_product_param.normalize']"
    )
    assert refusal(graph, lambda node, field: node.name == "r") is None
    told = refusal(graph, lambda node, field: node.name == "i")
    assert told is not None and told.startswith('layer "i": ')


def test_what_is_ignored_is_no_refusal() -> None:
    names = frozenset({"convolution_param.odd", "inner_product_param.normalize"})
    graph = graphs(read(MIXED), Selection(ignore_fields=names))["TEST"]
    assert refusal(graph) is None
    assert [field.ignored for node in graph.nodes for field in node.uncomputed] == [True] * 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "convolution_param.od",
            "the net has no field convolution_param.od whose effect could be ignored; it has: conv",
        ),
        ("relu", "the net has no field relu whose"),
        ("convolution_param.relu", "convolution_param.relu is applied as in the forks of Caffe and cannot be ignored"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, told: str) -> None:
    with pytest.raises(NetError) as caught:
        graphs(read(MIXED), Selection(ignore_fields=frozenset({name})))
    assert str(caught.value).startswith(f"net.prototxt: {told}")


def test_a_field_without_effect_may_be_ignored() -> None:
    assert graphs(read(MIXED), Selection(ignore_fields=frozenset({"relu_param.fuse"})))


def test_a_net_without_undecided_fields_has_none_to_ignore() -> None:
    with pytest.raises(NetError, match="it has: none"):
        graphs(read(INPUT), Selection(ignore_fields=frozenset({"relu_param.fuse"})))


def test_words_of_an_effect_on_shapes() -> None:
    (field,) = read(layer("a", "Pooling", "pooling_param { kernel_size_3d: 2 }")).foreign
    assert effect(field) == "changes shapes in the fork intel; this is not supported"
    (field,) = read(layer("a", "Pooling", "pooling_param { pad_type: 1 }")).foreign
    assert effect(field) == "changes shapes in a fork of Caffe; this is not supported"
    net = read(layer("a", "MarginInnerProduct", "margin_inner_product_param { gamma: 0.5 }"))
    (field,) = (each for each in net.foreign if each.undecided)
    assert effect(field) == f"changes answers in the forks {', '.join(field.forks)}; this is not supported"
