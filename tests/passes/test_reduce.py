"""Decimation: which filters, taps and inputs are left, in the text, in the weights and in the answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.engines.nets import one_net
from caffe_fcn.engines.onnxruntime import OnnxRuntime
from caffe_fcn.errors import CaffeFcnError, SurgeryError
from caffe_fcn.files import prototxt
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import meet, open_model
from caffe_fcn.model.passing import Claim
from caffe_fcn.model.picked import Picked
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.options import Selection
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.planning import Plan, planned
from caffe_fcn.passes.reduce.amounts import parse_amount, parse_layer
from caffe_fcn.passes.reduce_options import ReduceOptions
from caffe_fcn.passes.reducing import Reduction, retrace
from tests.passes.nets import conv, data, fc, layer, model_of

SCALE = "scale_param { bias_term: true }"
CLASSES = layer("prob", "Softmax", "classes")


def trained(text: str, directory: Path) -> Model:
    """The model of TEXT with random weights."""
    rng = np.random.default_rng(1)
    net = schema.NetParameter()
    for name, shapes in model_of(text).params.items():
        made = net.layer.add(name=name)
        for shape in shapes:
            made.blobs.add(data=rng.uniform(0.5, 1.5, shape).ravel(), shape={"dim": shape})
    (directory / "net.prototxt").write_text(text)
    (directory / "net.caffemodel").write_bytes(net.SerializeToString())
    return open_model(str(directory / "net.prototxt"), str(directory / "net.caffemodel"))


def reduced(model: Model, *layers: str, **options: Any) -> Plan:
    return planned(model, Reduction(dict(map(parse_layer, layers)), ReduceOptions(**options)).passes)


def refusal(text: str, *layers: str, **options: Any) -> str:
    with pytest.raises(SurgeryError) as caught:
        reduced(model_of(text), *layers, **options)
    return caught.value.message


def layers_of(plan: Plan) -> dict[str, Any]:
    return {each.name: each for each in interpret(plan.document).net.layer}


def shapes(plan: Plan) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of the parameter blobs of layers that changed."""
    found = {}
    for change in plan.of_kind("reduced", "followed"):
        found[change.layer] = [tuple(shape) for shape in change.document()["after"]]
    return found


def array(model: Model, name: str, blob: int = 0) -> Any:
    tensor = model.tensors[name][blob]
    return tensor.read(0, tensor.count).reshape(tensor.shape)


def answers(directory: Path, name: str, inputs: Any) -> Any:
    model = open_model(str(directory / f"{name}.prototxt"), str(directory / f"{name}.caffemodel"))
    assert model.weights is not None
    found = one_net(model.source, model.weights)
    return next(iter(OnnxRuntime().load(found.net, found.weights).run({"data": inputs}).values()))


# ---- The published nets ----


def vgg(
    pool4: str = "kernel_size: 2 stride: 2", pool5: str = "kernel_size: 2 stride: 2", *, dense: bool = False
) -> str:
    """What of VGG-16 matters here: five poolings and the classifier, which is converted if it is DENSE."""
    text, bottom = data("data", "1 3 224 224"), "data"
    for stage, width in enumerate((64, 128, 256, 512, 512), 1):
        window = {4: pool4, 5: pool5}.get(stage, "kernel_size: 2 stride: 2")
        text += conv(f"conv{stage}", bottom, width, 3, "pad: 1")
        text += layer(f"pool{stage}", "Pooling", f"conv{stage}", params=f"pooling_param {{ {window} }}")
        bottom = f"pool{stage}"
    made = (lambda name, below, outputs, kernel: conv(name, below, outputs, kernel)) if dense else _product
    text += made("fc6", "pool5", 4096, 7) + layer("relu6", "ReLU", "fc6", "fc6")
    text += layer("drop6", "Dropout", "fc6", "fc6") + made("fc7", "fc6", 4096, 1)
    return text + made("fc8", "fc7", 1000, 1) + layer("prob", "Softmax", "fc8")


def _product(name: str, bottom: str, outputs: int, _kernel: int) -> str:
    return fc(name, bottom, outputs)


KEEPS = "kernel_size: 3 stride: 1 pad: 1"


@pytest.mark.parametrize(
    ("text", "dilation", "behind"),
    [
        pytest.param(vgg(), 3, [], id="ssd"),
        pytest.param(vgg(pool5=KEEPS, dense=True), 6, ["pool5"], id="ssd-without-a-stride"),
        pytest.param(vgg(KEEPS, KEEPS, dense=True), 12, ["pool4", "pool5"], id="deeplab-largefov"),
    ],
)
def test_the_reduced_vgg_of_ssd_and_deeplab(text: str, dilation: int, behind: list[str]) -> None:
    plan = reduced(model_of(text), "fc6=1024:3x3", "fc7=1024", suffix="")
    made = layers_of(plan)
    param = made["fc6"].convolution_param
    assert (param.num_output, [*param.kernel_size], [*param.dilation], [*param.pad]) == (
        1024,
        [3],
        [dilation],
        [dilation],
    )
    assert plan.of_kind("reduced")[0].document()["kernel"] == {
        "taps": [3, 3],
        "step": [3, 3],
        "dilation": [dilation] * 2,
        "pad": [dilation] * 2,
        "behind": behind,
    }
    assert shapes(plan) == {
        "fc6": [(1024, 512, 3, 3), (1024,)],
        "fc7": [(1024, 1024, 1, 1), (1024,)],
        "fc8": [(1000, 1024, 1, 1), (1000,)],
    }
    assert plan.results[-1].claim is Claim.NEW_FUNCTION


def test_names_before_and_after_the_conversion() -> None:
    plans = [
        reduced(model_of(vgg()), f"{six}=1024:3x3", f"{seven}=1024")
        for six, seven in [("fc6", "fc7"), ("fc6-conv", "fc7")]
    ]
    assert bytes(plans[0].document) == bytes(plans[1].document)
    again = reduced(model_of(vgg(dense=True).replace('"fc6"', '"fc6-conv"')), "fc6=1024:3x3")
    assert again.of_kind("reduced")[0].layer == "fc6-conv"
    twice = refusal(vgg(), "fc6=1024:3x3", "fc6-conv=1024:3x3")
    assert "'fc6' and 'fc6-conv' are the same layer" in twice


def test_an_inner_product_that_keeps_its_taps_stays_one() -> None:
    plan = reduced(model_of(vgg()), "fc6=1024")
    assert len(plan.results) == 1
    assert shapes(plan) == {"fc6": [(1024, 25088), (1024,)], "fc7": [(4096, 1024), (4096,)]}


def test_a_dilation_that_the_user_gives() -> None:
    plan = reduced(model_of(vgg()), "fc6=1024:3", dilation={"fc6": 5})
    param = layers_of(plan)["fc6-conv"].convolution_param
    assert ([*param.dilation], [*param.pad]) == ([5], [5])
    assert any("'prob'" in note and "1×1000×7×7" in note for note in plan.notes)


def test_a_layer_that_is_dilated_already_tells_the_strides_that_are_gone() -> None:
    text = vgg(pool5=KEEPS, dense=True).replace(
        "num_output: 4096 kernel_size: 7", "num_output: 4096 kernel_size: 7 hole: 2", 1
    )
    plan = reduced(model_of(text), "fc6=2048:3")
    param = layers_of(plan)["fc6"].convolution_param
    assert (param.hole, [*param.dilation], [*param.pad]) == (6, [], [6])


def test_a_pooling_on_one_of_two_ways_is_no_stride_that_is_gone() -> None:
    text = data() + conv("a", "data", 4, 1) + layer("p", "Pooling", "a", params=f"pooling_param {{ {KEEPS} }}")
    text += layer("join", "Eltwise", "a p") + conv("c", "join", 4, 5) + conv("classes", "c", 2, 1)
    assert reduced(model_of(text), "c=4:3").of_kind("reduced")[0].document()["kernel"]["dilation"] == [2, 2]


def test_kernels_that_are_not_square() -> None:
    text = data() + layer(
        "c", "Convolution", "data", params="convolution_param { num_output: 4 kernel_h: 5 kernel_w: 3 }"
    )
    plan = reduced(model_of(text + conv("classes", "c", 2, 1)), "c=2:3x3", dilation={"c": 2})
    param = layers_of(plan)["c"].convolution_param
    assert ([*param.kernel_size], [*param.dilation], [*param.pad]) == ([3], [2], [2])
    plan = reduced(model_of(text.replace("8 dim: 10", "5 dim: 3") + conv("classes", "c", 2, 1)), "c=2:3x3")
    param = layers_of(plan)["c"].convolution_param
    assert ([*param.kernel_size], [*param.dilation], param.pad_h, param.pad_w) == ([3], [2, 1], 2, 1)


@pytest.mark.parametrize("pad", ["", "pad: 1", "pad: 2", "pad_h: 3 pad_w: 1"])
def test_a_convolution_keeps_its_map(pad: str) -> None:
    """Its extent is the same, so the same padding gives a map of the same size, with an even kernel, too."""
    for taps in (2, 3):
        text = data() + conv("a", "data", 4, 5, pad) + fc("classes", "a", 2)
        plan = reduced(model_of(text), f"a=2:{taps}")
        sizes = [shapes(each)["classes"] for each in (plan, reduced(plan.before, "a=2"))]
        assert sizes[0] == sizes[1]
        was, now = (each.layer[1].convolution_param for each in (plan.before.net, plan.net))
        assert ([*was.pad], was.pad_h, was.pad_w) == ([*now.pad], now.pad_h, now.pad_w)


def test_all_taps_change_nothing() -> None:
    net = data() + conv("a", "data", 4, 6) + conv("classes", "a", 2, 1)
    assert reduced(model_of(net), "a=2:6").net == reduced(model_of(net), "a=2").net


# ---- Values ----


def test_the_values_are_old_ones(tmp_path: Path) -> None:
    text = data() + conv("a", "data", 6, 5, "group: 2") + conv("classes", "a", 4, 3) + CLASSES
    model = trained(text, tmp_path)
    new = reduced(model, "a=2:3").model
    assert np.array_equal(array(new, "a"), array(model, "a")[::3, :, ::2, ::2])
    assert np.array_equal(array(new, "a", 1), array(model, "a", 1)[::3])
    assert np.array_equal(array(new, "classes"), array(model, "classes")[:, ::3])
    assert np.array_equal(array(new, "classes", 1), array(model, "classes", 1))


def test_a_picked_tensor_reads_only_the_rows_that_it_takes(tmp_path: Path) -> None:
    tensor = trained(data() + conv("a", "data", 8, 3), tmp_path).tensors["a"][0]
    whole = tensor.read(0, tensor.count).reshape(tensor.shape)
    read: list[tuple[int, int]] = []

    watched: Any = _Watching(tensor, read)
    picked = Picked(watched, ((1, 2, 5), None, (0, 2), None))
    assert picked.shape == (3, 2, 2, 3)
    assert np.array_equal(
        np.concatenate([np.asarray(each) for each in picked.chunks()]), whole[[1, 2, 5]][:, :, [0, 2]]
    )
    assert read == [(1, 3), (5, 6)]
    assert np.array_equal(picked.read(5, 20), whole[[1, 2, 5]][:, :, [0, 2]].ravel()[5:20])


class _Watching:
    """A tensor that tells which of its rows were read."""

    def __init__(self, tensor: Any, read: list[tuple[int, int]]) -> None:
        self._tensor, self._read = tensor, read
        self.shape, self.dtype = tensor.shape, tensor.dtype

    def rows(self, first: int, last: int) -> Any:
        self._read.append((first, last))
        return self._tensor.rows(first, last)


# ---- Answers: those of the old net without the channels that are gone ----

A = conv("a", "data", 4, 3)
EVERY_OTHER = (0, 2)
MIDDLES = {
    "plain": (A, "a", EVERY_OTHER),
    "activations": (A + layer("r", "ReLU", "a", "a") + layer("d", "Dropout", "a"), "d", EVERY_OTHER),
    "normalised": (
        A + layer("n", "BatchNorm", "a", "a") + layer("s", "Scale", "a", "a", SCALE) + layer("p", "PReLU", "a"),
        "p",
        EVERY_OTHER,
    ),
    "added": (
        A + layer("b", "Bias", "a", "a") + layer("q", "Power", "a", params="power_param { scale: 2 }"),
        "q",
        EVERY_OTHER,
    ),
    "pooled": (A + layer("p", "Pooling", "a", params="pooling_param { kernel_size: 2 }"), "p", EVERY_OTHER),
    "joined": (A + conv("b", "data", 3) + layer("j", "Concat", "b a"), "j", (0, 1, 2, 3, 5)),
    "summed": (A + layer("r", "ReLU", "a") + layer("j", "Eltwise", "a r"), "j", EVERY_OTHER),
    "split": (A + layer("s", "Split", "a", "x y") + layer("j", "Eltwise", "x y"), "j", EVERY_OTHER),
    "each channel": (A + conv("w", "a", 8, 2, "group: 4"), "w", (0, 1, 4, 5)),
    "each channel, up": (
        A + layer("w", "Deconvolution", "a", params="convolution_param { num_output: 4 kernel_size: 2 group: 4 }"),
        "w",
        EVERY_OTHER,
    ),
    "named up": (
        layer("a", "Deconvolution", "data", params="convolution_param { num_output: 4 kernel_size: 2 group: 2 }"),
        "a",
        EVERY_OTHER,
    ),
    "gated": (
        A
        + layer("g", "Pooling", "a", params="pooling_param { pool: AVE global_pooling: true }")
        + layer("f", "Flatten", "g")
        + layer("j", "Scale", "a f", params="scale_param { axis: 0 }"),
        "j",
        EVERY_OTHER,
    ),
}
READERS = {
    "convolution": lambda bottom, size: conv("classes", bottom, 4, 2),
    "groups": lambda bottom, size: conv("classes", bottom, 4, 2, "group: 2"),
    "deconvolution": lambda bottom, size: layer(
        "classes", "Deconvolution", bottom, params="convolution_param { num_output: 3 kernel_size: 2 }"
    ),
    "product": lambda bottom, size: fc("classes", bottom, 3),
    "transposed": lambda bottom, size: fc("classes", bottom, 3, "transpose: true"),
    "flattened": lambda bottom, size: layer("flat", "Flatten", bottom) + fc("classes", "flat", 3),
    "reshaped": lambda bottom, size: (
        layer("flat", "Reshape", bottom, params="reshape_param { shape { dim: 0 dim: -1 } }") + fc("classes", "flat", 3)
    ),
}


@pytest.mark.parametrize(
    ("middle", "reader"),
    [
        *((middle, "convolution") for middle in MIDDLES),
        *(("plain", reader) for reader in READERS),
        ("joined", "product"),
    ],
)
def test_answers_are_those_without_the_channels_that_are_gone(middle: str, reader: str, tmp_path: Path) -> None:
    text, bottom, kept = MIDDLES[middle]
    text = data() + text + READERS[reader](bottom, None)
    model = trained(text, tmp_path)
    plan = reduced(model, "a=2")
    write_model(plan.model, str(tmp_path / "new.prototxt"), str(tmp_path / "new.caffemodel"))
    _without_the_others(model, bottom, kept, tmp_path)
    inputs = np.random.default_rng(2).normal(size=(1, 2, 8, 10)).astype(np.float32)
    found, expected = (answers(tmp_path, name, inputs) for name in ("new", "masked"))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    assert not np.allclose(found, answers(tmp_path, "net", inputs), rtol=1e-2)


def _without_the_others(model: Model, bottom: str, kept: tuple[int, ...], directory: Path) -> None:
    """Write the old net, which reads nothing of BOTTOM but the channels KEPT, as `masked`."""
    known = model.shapes["TEST"].blobs
    channels = next(shape[1] for blob, shape in known.items() if blob.name == bottom and isinstance(shape, tuple))
    net = schema.NetParameter()
    net.ParseFromString((directory / "net.caffemodel").read_bytes())
    reader = next(each for each in net.layer if each.name == "classes")
    shape = tuple(reader.blobs[0].shape.dim)
    values = np.array(reader.blobs[0].data, np.float32).reshape(shape)
    message = next(each for each in model.net.layer if each.name == "classes")
    gone = [channel for channel in range(channels) if channel not in kept]
    if message.type == "Deconvolution":
        values[gone] = 0
    elif message.type == "InnerProduct":
        turned = values if message.inner_product_param.transpose else values.T
        turned.reshape(channels, -1, turned.shape[1])[gone] = 0
    else:
        groups = message.convolution_param.group
        width = channels // groups
        for channel in gone:
            group = channel // width
            rows = len(values) // groups
            values[group * rows : (group + 1) * rows, channel % width] = 0
    reader.blobs[0].data[:] = values.ravel()
    (directory / "masked.prototxt").write_bytes((directory / "net.prototxt").read_bytes())
    (directory / "masked.caffemodel").write_bytes(net.SerializeToString())


@pytest.mark.parametrize("pad", [0, 1, 2])
def test_a_dilated_kernel_is_the_old_one_without_the_taps_between(tmp_path: Path, pad: int) -> None:
    text = data() + conv("a", "data", 4, 5, f"pad: {pad}") + conv("classes", "a", 3, 1)
    plan = reduced(trained(text, tmp_path), "a=4:3")
    write_model(plan.model, str(tmp_path / "new.prototxt"), str(tmp_path / "new.caffemodel"))
    net = schema.NetParameter.FromString((tmp_path / "net.caffemodel").read_bytes())
    blob = next(each for each in net.layer if each.name == "a").blobs[0]
    values = np.array(blob.data, np.float32).reshape(4, 2, 5, 5)
    values[:, :, 1::2] = 0
    values[:, :, :, 1::2] = 0
    blob.data[:] = values.ravel()
    (tmp_path / "masked.prototxt").write_text(text)
    (tmp_path / "masked.caffemodel").write_bytes(net.SerializeToString())
    inputs = np.random.default_rng(2).normal(size=(1, 2, 8, 10)).astype(np.float32)
    found, expected = (answers(tmp_path, name, inputs) for name in ("new", "masked"))
    assert found.shape == (1, 3, 4 + 2 * pad, 6 + 2 * pad)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


# ---- What is refused ----

TWO = A + conv("b", "data", 4)
END = conv("classes", "j", 2, 1)
ALL_OF_IT = "pooling_param { kernel_w: 4 kernel_h: 2 }"
RESHAPE_192 = "reshape_param { shape { dim: 0 dim: 192 } }"
TIED = "".join(conv(*names, 2, 1)[:-3] + ' param { name: "w" } }\n' for names in (("a", "data"), ("b", "a")))


@pytest.mark.parametrize(
    ("text", "layers", "told"),
    [
        (A + conv("classes", "a", 2), ["a=3"], "a divisor of the 4 outputs, such as 2, found 3"),
        (A + conv("classes", "a", 2), ["a=8"], "a divisor of the 4 outputs, such as 4, found 8"),
        (conv("a", "data", 4, 6) + conv("classes", "a", 2), ["a=4:4"], "expected 2 or 6 taps"),
        (conv("a", "data", 4, 6) + conv("classes", "a", 2), ["a=4:1"], "expected 2 or 6 taps"),
        (conv("a", "data", 4, 5) + conv("classes", "a", 2), ["a=4:3x3x3"], "a kernel with 2 extents, such as 3x3"),
        (A + conv("classes", "a", 2), ["aa=2"], "there is no layer 'aa'; did you mean 'a'?"),
        (A + layer("r", "ReLU", "a") + conv("classes", "r", 2), ["r=2"], "found ReLU, without filters"),
        (A + conv("classes", "a", 2), ["classes=1"], "the output 'classes' of the net would keep 1 of 2"),
        (TWO + layer("j", "Eltwise", "a b") + END, ["a=2"], "found 2 of 4 (by 'a') of the first, all of the second"),
        (TWO + layer("j", "Eltwise", "a b") + END, ["a=2", "b=1"], "2 of 4 (by 'a') of the first, 1 of 4 (by 'b')"),
        (A + layer("j", "Slice", "a", "x j") + END, ["a=2"], "found Slice, which is not supported there"),
        (A + layer("j", "Mystery", "a") + END.replace("j", "a"), ["a=2"], "Mystery, which is not supported"),
        (conv("a", "data", 6, 3) + conv("classes", "a", 4, 1, "group: 2"), ["a=3"], "in each of its 2 groups of 3"),
        (conv("a", "data", 4, 3, "group: 2") + conv("classes", "a", 2), ["a=1"], "in each of its 2 groups of 2"),
        (conv("a", "data", 2, 3, "group: 2") + conv("classes", "a", 2), ["a=1"], "reduce the layer before it"),
        (A + conv("w", "a", 4, 1, "group: 4") + conv("classes", "w", 2), ["a=2", "w=2"], "that mixes channels"),
        (
            A + layer("j", "Reshape", "a", params=RESHAPE_192) + fc("classes", "j", 2),
            ["a=2"],
            "does not accept the remaining channels of 'a'",
        ),
        (TIED + conv("classes", "b", 2, 1), ["a=1"], "the same remaining values of the parameters 'w' as in 'a'"),
        (layer("a", "Deconvolution", "data", params="convolution_param { num_output: 4 kernel_size: 3 }")
         + conv("classes", "a", 2), ["a=4:2"], "a Convolution, whose kernel can be dilated"),
        (layer("d", "Data", "", "d") + conv("a", "d", 2), ["a=1"], "give it with shapes={'d': (N, C, H, W)}"),
        (A + layer("t", "SoftmaxWithLoss", "a data", "loss"), ["a=2"], "the input of layer 't' (SoftmaxWithLoss)"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, layers: list[str], told: str) -> None:
    assert told in refusal(data() + text, *layers)


@pytest.mark.parametrize(
    ("text", "taps", "dilation", "told"),
    [
        (conv("a", "data", 4, 6) + conv("classes", "a", 2), 2, 3, "2, found 3·1/2; give an even dilation$"),
        (conv("a", "data", 4, 7) + conv("classes", "a", 2, 1), 2, 3, "; give an odd kernel, or an even dilation$"),
        (conv("a", "data", 4, 5) + fc("classes", "a", 2), 3, 4, "a layer that needs 2×320"),
        (A.replace("size: 3", "size: 7") + layer("cut", "Pooling", "a", params=ALL_OF_IT)
         + conv("classes", "cut", 3, 1) + layer("t", "Input", "", params="input_param { shape { dim: 1 } }")
         + layer("loss", "SoftmaxWithLoss", "classes t"), 3, 2, "Caffe would refuse the reduced net: layer"),
    ],
)  # fmt: skip
def test_dilations_that_are_refused(text: str, taps: int, dilation: int, told: str) -> None:
    assert re.search(
        told.replace("dilation$", "`dilation`$"), refusal(data() + text, f"a=4:{taps}", dilation={"a": dilation})
    )


def test_outputs_lose_channels_where_that_is_allowed() -> None:
    text = data() + A
    assert shapes(reduced(model_of(text), "a=2", cut_outputs=True)) == {"a": [(2, 2, 3, 3), (2,)]}


def test_shared_parameters_that_lose_the_same() -> None:
    both = "".join(conv(name, "data", 4, 3)[:-3] + ' param { name: "w" } param { name: "b" } }\n' for name in "ab")
    text = data() + both + layer("j", "Eltwise", "a b") + END
    assert set(shapes(reduced(model_of(text), "a=2", "b=2"))) == {"a", "b", "classes"}


@pytest.mark.parametrize("text", ["1.5", "0", "-4", "", "4:", "4:0", "4:3x", "many", "4:3:3", "1e3"])
def test_amounts_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected OUTPUTS or OUTPUTS:HxW in whole numbers"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["fc6", "=4", "4"])
def test_layers_without_a_name_or_an_amount(text: str) -> None:
    with pytest.raises(ValueError, match="expected LAYER=OUTPUTS"):
        parse_layer(text)


def test_a_dilation_of_another_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a layer that is reduced, found 'b'"):
        Reduction({"a": parse_amount("2")}, ReduceOptions(dilation={"b": 2}))


def test_both_phases_lose_the_same() -> None:
    text = data() + A + layer("drop", "Dropout", "a", "a", "include { phase: TRAIN }") + conv("classes", "a", 2)
    plan = reduced(meet(interpret(prototxt.parse(text, "net.prototxt")), None, Selection()), "a=2")
    assert set(shapes(plan)) == {"a", "classes"}


def test_without_weights_errors_are_those_of_the_family() -> None:
    with pytest.raises(CaffeFcnError):
        reduced(model_of(data() + A), "a=2")


# ---- How it shows in a net ----

SMALL = (
    data(shape="1 2 6 6")
    + conv("a", "data", 4, 2)
    + conv("w", "a", 8, 1, "group: 4")
    + fc("b", "w", 6)
    + layer("r", "ReLU", "b", "b")
    + fc("classes", "b", 3)
)


@pytest.mark.parametrize(
    ("layers", "options"),
    [
        (["a=2"], {}),
        (["b=3"], {}),
        (["b=3:3", "a=2"], {}),
        (["b=6:3"], {"suffix": "", "dilation": {"b": 5}}),
        (["classes=1"], {"cut_outputs": True}),
    ],
)
def test_a_reduction_is_seen_in_the_net_and_made_again(layers: list[str], options: Any, tmp_path: Path) -> None:
    model = trained(SMALL, tmp_path)
    made = reduced(model, *layers, **options).model
    write_model(made, str(tmp_path / "new.prototxt"), str(tmp_path / "new.caffemodel"))
    twin = open_model(str(tmp_path / "new.prototxt"), str(tmp_path / "new.caffemodel"))
    again = retrace(model, twin)
    assert again is not None and again.model.net == twin.net
    assert again.claim is Claim.NEW_FUNCTION
    for name, tensors in twin.tensors.items():
        for blob in range(len(tensors)):
            assert np.array_equal(array(again.model, name, blob), array(twin, name, blob))
    assert retrace(model, model) is None and retrace(twin, model) is None


def test_a_net_that_no_reduction_makes_shows_none(tmp_path: Path) -> None:
    model, other = model_of(SMALL), model_of(SMALL.replace("num_output: 6", "num_output: 5"))
    assert retrace(model, other) is None
