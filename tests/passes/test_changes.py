"""Changes as data: what each does to a layer, to its blobs, and how it says so."""

from __future__ import annotations

import pytest

from caffe_fcn import schema
from caffe_fcn.files import prototxt
from caffe_fcn.model.changes import Change, Decision, DropLayer, LeftAlone, RenameLayer, Rewire, SetParameter
from caffe_fcn.model.reorder import Reorder
from caffe_fcn.model.tensors import Reordered, Repeating, Reshaped
from caffe_fcn.net.layers.views import Segment
from caffe_fcn.net.layers.windows import set_kernel
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.convolutionalize.changes import ToConvolution, WindowPooling
from caffe_fcn.passes.convolutionalize.reasons import Stays
from caffe_fcn.passes.resize import ResizeInput
from caffe_fcn.schema import Message
from tests.passes.nets import data, fc, layer


def to_convolution(
    kernel: tuple[int, ...] = (3, 4),
    *,
    index: int = 1,
    name: str = "fc",
    bias: bool = True,
    transposed: bool = False,
    channels_last: bool = False,
) -> ToConvolution:
    positions = 1
    for extent in kernel:
        positions *= extent
    segments = (Segment(2, positions, channels_last),)
    return ToConvolution(index, name, 2, kernel, 5, bias, transposed, segments, f"{name}-conv")


def net(text: str) -> Message:
    return interpret(prototxt.parse(text, "net.prototxt")).net


def inner_product(params: str) -> Message:
    target: Message = net(data() + fc("fc", "data", 5, params)).layer[1]
    return target


# ---- ToConvolution ----


def test_a_convolution_takes_over_what_both_have() -> None:
    target = inner_product(
        'bias_term: false weight_filler { type: "gaussian" std: 0.5 } bias_filler { value: 2 } axis: 1 transpose: true'
    )
    target.param.add(name="w", lr_mult=3)
    to_convolution().apply(target)
    expected = schema.LayerParameter(name="fc", type="Convolution", bottom=["data"], top=["fc"])
    expected.param.add(name="w", lr_mult=3)
    param = expected.convolution_param
    param.num_output, param.bias_term, param.kernel_h, param.kernel_w = 5, False, 3, 4
    param.weight_filler.type, param.weight_filler.std, param.bias_filler.value = "gaussian", 0.5, 2
    assert target == expected


def test_what_the_layer_does_not_say_the_convolution_does_not_either() -> None:
    target = inner_product("")
    to_convolution((3, 3)).apply(target)
    assert {field.name for field, _ in target.convolution_param.ListFields()} == {"num_output", "kernel_size"}


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ((6, 6), {"kernel_size": [6]}),
        ((1, 1), {"kernel_size": [1]}),
        ((6, 7), {"kernel_h": 6, "kernel_w": 7}),
        ((5,), {"kernel_size": [5]}),
        ((2, 3, 4), {"kernel_size": [2, 3, 4]}),
        ((4, 4, 4), {"kernel_size": [4]}),
    ],
    ids=str,
)
def test_kernels_are_written_as_caffe_reads_them(kernel: tuple[int, ...], expected: dict[str, object]) -> None:
    param = schema.ConvolutionParameter()
    set_kernel(param, kernel)
    assert param == schema.ConvolutionParameter(**expected)


def test_shapes_and_counts() -> None:
    edit = to_convolution()
    assert edit.weight_shape == (5, 2, 3, 4)
    assert edit.columns == 24 and edit.weight_count == 120
    assert edit.parameters == 125 and to_convolution(bias=False).parameters == 120


def test_values_move_only_where_they_must() -> None:
    old = Repeating((5, 24), (1.0,))
    assert to_convolution().tensors((old, old)) == (Reshaped(old, (5, 2, 3, 4)), old)
    assert not to_convolution().reordered
    transposed = to_convolution(transposed=True)
    assert transposed.tensors((old,)) == (Reordered(old, Reorder(5, 24, True, ()), (5, 2, 3, 4)),)
    edit = to_convolution(channels_last=True)
    assert edit.reordered
    assert edit.tensors((old,)) == (Reordered(old, Reorder(5, 24, False, (Segment(2, 12, True),)), (5, 2, 3, 4)),)
    assert edit.tensors(()) == ()


def test_columns_of_one_cell_or_one_channel_are_in_order_either_way() -> None:
    assert not to_convolution((1, 1), channels_last=True).reordered
    single = ToConvolution(1, "fc", 1, (3, 4), 5, True, False, (Segment(1, 12, True),), "fc")
    assert not single.reordered


def test_descriptions() -> None:
    edit = ToConvolution(0, "fc6", 256, (6, 6), 4096, True, False, (Segment(256, 36, False),), "fc6")
    assert edit.describe() == "256×6×6 → 4096, Convolution 6×6, 37,752,832 parameters"
    assert WindowPooling(0, "pool", (7, 7)).describe() == "global → window 7×7"
    assert DropLayer(0, "flat", "Flatten").describe() == "Flatten dropped"
    assert RenameLayer(0, "fc", "fc-conv").describe() == "renamed to fc-conv"
    assert Rewire(0, "r", bottoms={"a": "b"}, tops={"c": "d"}).describe() == "a → b, c → d"
    assert SetParameter(0, "am", "argmax_param", "axis", 1).describe() == "axis: 1"
    assert ResizeInput(0, "data", (20, 30), (0,)).describe() == "input 20×30"


# ---- The others ----


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [((7, 7), {"kernel_size": 7}), ((6, 7), {"kernel_h": 6, "kernel_w": 7})],
    ids=str,
)
def test_a_global_pooling_becomes_a_window(kernel: tuple[int, ...], expected: dict[str, int]) -> None:
    target = schema.LayerParameter(name="pool", pooling_param={"pool": "AVE", "global_pooling": True})
    WindowPooling(0, "pool", kernel).apply(target)
    assert target.pooling_param == schema.PoolingParameter(pool="AVE", **expected)


def test_rewiring_renames_every_use_once() -> None:
    target = schema.LayerParameter(bottom=["a", "b", "a"], top=["b", "c"])
    Rewire(0, "x", bottoms={"a": "b", "b": "z"}, tops={"b": "y"}).apply(target)
    assert (list(target.bottom), list(target.top)) == (["b", "z", "b"], ["y", "c"])


def test_parameters_are_set_and_layers_renamed() -> None:
    target = schema.LayerParameter(name="am", type="ArgMax")
    SetParameter(0, "am", "argmax_param", "axis", 1).apply(target)
    RenameLayer(0, "am", "new").apply(target)
    assert target == schema.LayerParameter(name="new", type="ArgMax", argmax_param={"axis": 1})


def test_a_change_of_no_kind_does_nothing() -> None:
    target = schema.LayerParameter(name="a")
    edit = Change(0, "a")
    edit.apply(target)
    assert target == schema.LayerParameter(name="a")
    assert edit.describe() == "a"


# ---- Sizes of inputs ----


def dims(shapes: Message) -> list[list[int]]:
    return [list(shape.dim) for shape in shapes]


def test_the_size_of_one_input_of_several() -> None:
    target = net('layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: [1, 2, 3, 4] } '
                 "shape { dim: [5, 6, 7, 8] } } }").layer[0]  # fmt: skip
    ResizeInput(0, "in", (20, 30), (1,)).apply(target)
    assert dims(target.input_param.shape) == [[1, 2, 3, 4], [5, 6, 20, 30]]


def test_the_size_of_inputs_that_share_a_shape() -> None:
    target = net('layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: [1, 2, 3, 4] } } }')
    ResizeInput(0, "in", (20, 30), (0, 1)).apply(target.layer[0])
    assert dims(target.layer[0].input_param.shape) == [[1, 2, 20, 30]]


def test_the_size_of_a_video() -> None:
    target = net(data(shape="1 3 16 8 10")).layer[0]
    ResizeInput(0, "data", (9, 9), (0,)).apply(target)
    assert dims(target.input_param.shape) == [[1, 3, 16, 9, 9]]
    ResizeInput(0, "data", (4, 5, 6), (0,)).apply(target)
    assert dims(target.input_param.shape) == [[1, 3, 4, 5, 6]]


def test_the_crop_of_a_data_layer() -> None:
    target = schema.LayerParameter(type="Data", transform_param={"crop_size": 227, "mirror": True})
    ResizeInput(0, "data", (451, 451), (0,)).apply(target)
    assert target.transform_param == schema.TransformationParameter(crop_size=451, mirror=True)


def test_the_size_in_input_fields_of_the_net() -> None:
    resize = Decision((ResizeInput(-1, "", (20, 30), (1,)),))
    head = fc("fc", "b", 3)
    old = net('input: "a" input: "b" input_dim: [1, 2, 3, 4, 5, 6, 7, 8] ' + head)
    assert list(resize.apply(old)[0].input_dim) == [1, 2, 3, 4, 5, 6, 20, 30]
    old = net('input: ["a", "b"] input_shape { dim: [1, 2, 3, 4] } input_shape { dim: [5, 6, 7, 8] } ' + head)
    assert dims(resize.apply(old)[0].input_shape) == [[1, 2, 3, 4], [5, 6, 20, 30]]


# ---- Surgery ----

NET = data() + layer("flat", "Flatten", "data") + fc("fc", "flat", 5) + layer("r", "ReLU", "fc", "fc")
DECISION = Decision(
    (
        DropLayer(1, "flat", "Flatten"),
        to_convolution((8, 10), index=2),
        RenameLayer(2, "fc", "fc-conv"),
        Rewire(2, "fc", bottoms={"flat": "data"}, tops={"fc": "fc-conv"}),
        Rewire(3, "r", bottoms={"fc": "fc-conv"}, tops={"fc": "fc-conv"}),
    ),
    (LeftAlone("other", "InnerProduct", Obstacle(Stays.AS_ASKED)),),
)


def test_a_decision_changes_a_copy_and_says_where_layers_come_from() -> None:
    before = net(NET)
    changed, origins, _ = DECISION.apply(before)
    assert before == net(NET)
    assert origins == (0, 2, 3)
    assert [(each.name, each.type, *each.bottom, *each.top) for each in changed.layer] == [
        ("data", "Input", "data"),
        ("fc-conv", "Convolution", "data", "fc-conv"),
        ("r", "ReLU", "fc-conv", "fc-conv"),
    ]


def test_a_decision_without_changes_changes_nothing() -> None:
    before = net(NET)
    changed, origins, _ = Decision().apply(before)
    assert changed == before and changed is not before
    assert origins == (0, 1, 2, 3)


def test_what_a_decision_holds() -> None:
    assert DECISION.of_kind("converted") == [DECISION.changes[1]]
    assert all(isinstance(edit, Rewire) for edit in DECISION.changes[3:])
    assert DECISION.new_names == {"fc": "fc-conv"}
    assert [edit.drops for edit in DECISION.changes] == [True, False, False, False, False]
