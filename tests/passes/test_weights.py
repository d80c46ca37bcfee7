"""Weights matched to a net by name: what is missing, what is foreign, what cannot be the net's."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest
from google.protobuf import text_format

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.errors import WeightsError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.fitting import blob_shapes
from caffe_fcn.model.opening import meet
from caffe_fcn.model.tensors import Stored
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.conversion import ConversionPlan, Settings, plan
from caffe_fcn.passes.convolutionalize import Options
from caffe_fcn.schema import Message
from tests.files.encodings import UNKNOWN, varint_field
from tests.net.forks import net_class
from tests.passes.nets import conv, data, fc, layer

Shape = tuple[int, ...]
NET = data() + conv("c", "data", 3, 1) + fc("fc1", "c", 5) + layer("r", "ReLU", "fc1", "fc1") + fc("fc2", "fc1", 4)
BLOBS: dict[str, tuple[Shape, ...]] = {
    "c": ((3, 2, 1, 1), (3,)),
    "fc1": ((5, 240), (5,)),
    "fc2": ((4, 5), (4,)),
}
"""The blobs of NET."""
TYPES = {"c": "Convolution"}
V1 = schema.V1LayerParameter


def fill(blob: Message, shape: Shape, *, legacy: bool = False) -> None:
    if legacy:
        blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - len(shape)) + shape
    else:
        blob.shape.dim[:] = shape
    blob.data[:] = [float(value % 7) for value in range(prod(shape))]


def trained(**blobs: tuple[Shape, ...]) -> Message:
    """A trained net with these layers."""
    net = schema.NetParameter(name="net")
    for name, shapes in blobs.items():
        each = net.layer.add(name=name, type=TYPES.get(name, "InnerProduct"), bottom=["x"], top=[name])
        for shape in shapes:
            fill(each.blobs.add(), shape)
    return net


def decided(path: Path, text: str, weights: Message | bytes, **options: object) -> ConversionPlan:
    """The plan for WEIGHTS of the net TEXT."""
    data = weights if isinstance(weights, bytes) else weights.SerializeToString()
    (path / "w.caffemodel").write_bytes(data)
    with open_caffemodel(path / "w.caffemodel") as opened:
        settings = Settings(options=Options(**options))  # type: ignore[arg-type]
        return plan(meet(interpret(prototxt.parse(text, "net.prototxt")), opened, settings.selection), settings)


def converted(path: Path, text: str, weights: Message | bytes, **options: object) -> Message:
    """The new weights, read by protobuf alone."""
    data = weights if isinstance(weights, bytes) else weights.SerializeToString()
    (path / "w.caffemodel").write_bytes(data)
    with open_caffemodel(path / "w.caffemodel") as opened:
        settings = Settings(options=Options(**options))  # type: ignore[arg-type]
        made = plan(meet(interpret(prototxt.parse(text, "net.prototxt")), opened, settings.selection), settings)
        write_model(made.model, None, str(path / "new.caffemodel"), force=True)
    return schema.NetParameter.FromString((path / "new.caffemodel").read_bytes())


def shapes(net: Message) -> dict[str, tuple[Shape, ...]]:
    return {each.name: tuple(tuple(blob.shape.dim) for blob in each.blobs) for each in net.layer if each.blobs}


# ---- What is there, what is missing, what is foreign ----


def test_every_layer_of_the_net_is_found(tmp_path: Path) -> None:
    found = decided(tmp_path, NET, trained(**BLOBS))
    assert (found.before.missing, found.before.foreign) == ((), ())
    untouched, first, second = found.model.held
    assert untouched.unchanged
    assert [tensor.shape for tensor in (*first.tensors, *second.tensors)] == [(5, 3, 8, 10), (5,), (4, 5, 1, 1), (4,)]
    assert all(isinstance(tensor, Stored) for tensor in first.tensors), "values are copied"


def test_headers_follow_the_edits(tmp_path: Path) -> None:
    new = {each.name: each for each in converted(tmp_path, NET, trained(**BLOBS)).layer}
    assert list(new) == ["c", "fc1-conv", "fc2-conv"]
    assert new["fc1-conv"].type == "Convolution" and list(new["fc1-conv"].top) == ["fc1-conv"]
    assert new["fc1-conv"].convolution_param.num_output == 5
    assert (new["fc1-conv"].convolution_param.kernel_h, new["fc1-conv"].convolution_param.kernel_w) == (8, 10)
    assert not new["fc1-conv"].HasField("inner_product_param")


def test_the_prototxt_says_what_a_header_does_not(tmp_path: Path) -> None:
    """The header of the trained net says another num_output: the blob and the prototxt decide."""
    weights = trained(**BLOBS)
    weights.layer[1].inner_product_param.num_output = 77
    weights.layer[1].inner_product_param.weight_filler.type = "xavier"
    new = converted(tmp_path, NET, weights)
    assert new.layer[1].convolution_param.num_output == 5
    assert not new.layer[1].convolution_param.HasField("weight_filler")


def test_a_layer_without_weights_is_missing(tmp_path: Path) -> None:
    weights = trained(**{name: BLOBS[name] for name in ("c", "fc1")})
    assert decided(tmp_path, NET, weights).before.missing == ("fc2",)
    weights.layer.add(name="fc2", type="InnerProduct")  # there, without blobs
    assert decided(tmp_path, NET, weights).before.missing == ("fc2",)
    assert shapes(converted(tmp_path, NET, weights)) == {"c": BLOBS["c"], "fc1-conv": ((5, 3, 8, 10), (5,))}


def test_any_layer_without_weights_is_missing(tmp_path: Path) -> None:
    assert decided(tmp_path, NET, trained(fc1=BLOBS["fc1"], fc2=BLOBS["fc2"])).before.missing == ("c",)


def test_foreign_layers_are_counted_and_copied_untouched(tmp_path: Path) -> None:
    weights = trained(**BLOBS, aux=((7, 9), (7,)), more=((2, 3),))
    weights.layer.add(name="loss", type="SoftmaxWithLoss")  # foreign, but without blobs
    assert decided(tmp_path, NET, weights).before.foreign == ("aux", "more")
    new = converted(tmp_path, NET, weights)
    assert [each.name for each in new.layer] == ["c", "fc1-conv", "fc2-conv", "aux", "more", "loss"]
    assert [new.layer[at] for at in (0, 3, 4, 5)] == [weights.layer[at] for at in (0, 3, 4, 5)]


def test_unknown_fields_of_a_changed_layer_stay(tmp_path: Path) -> None:
    weights = trained(**BLOBS)
    weights.layer[1].MergeFromString(UNKNOWN)
    new = converted(tmp_path, NET, weights)
    assert UNKNOWN in new.layer[1].SerializeToString()


def test_a_layer_the_surgery_drops_is_dropped(tmp_path: Path) -> None:
    text = data() + layer("flat", "Flatten", "data") + fc("fc1", "flat", 5)
    weights = schema.NetParameter()
    weights.layer.add(name="flat", type="Flatten", bottom=["data"], top=["flat"])
    weights.layer.extend(trained(fc1=((5, 160), (5,))).layer)
    assert [entry.name for entry in decided(tmp_path, text, weights).model.held] == ["fc1-conv"]
    new = converted(tmp_path, text, weights)
    assert [each.name for each in new.layer] == ["fc1-conv"]


def test_layers_that_stay_keep_their_blobs(tmp_path: Path) -> None:
    untouched, _, reader = decided(tmp_path, NET, trained(**BLOBS), skip=("fc2",)).model.held
    assert untouched.unchanged and not reader.unchanged, "it reads what has another name now"
    assert [tensor.shape for tensor in reader.tensors] == list(BLOBS["fc2"])
    assert all(entry.unchanged for entry in decided(tmp_path, NET, trained(**BLOBS), skip=("*",)).model.held)


def test_readers_of_renamed_blobs_follow(tmp_path: Path) -> None:
    weights = trained(**BLOBS)
    weights.layer.add(name="r", type="ReLU", bottom=["fc1"], top=["fc1"])
    new = converted(tmp_path, NET, weights)
    assert (list(new.layer[3].bottom), list(new.layer[3].top)) == (["fc1-conv"], ["fc1-conv"])


def test_a_transposed_weight_is_put_right(tmp_path: Path) -> None:
    text = data(shape="1 2 1 2") + fc("fc1", "data", 3, "transpose: true bias_term: false")
    weights = trained(fc1=((4, 3),))
    new = converted(tmp_path, text, weights).layer[0]
    old = list(weights.layer[0].blobs[0].data)
    assert tuple(new.blobs[0].shape.dim) == (3, 2, 1, 2)
    assert list(new.blobs[0].data) == [old[3 * column + row] for row in range(3) for column in range(4)]


def test_blob_shapes_are_by_name_and_only_of_layers_that_have_some(tmp_path: Path) -> None:
    weights = trained(**BLOBS)
    weights.layer.add(name="r", type="ReLU")
    (tmp_path / "w").write_bytes(weights.SerializeToString())
    with open_caffemodel(tmp_path / "w") as opened:
        assert blob_shapes(opened) == {name: list(each) for name, each in BLOBS.items()}


# ---- Names that repeat ----


def test_names_repeat_over_phases(tmp_path: Path) -> None:
    """A layer of each phase, of one name, and the same weights for both."""
    text = (
        data()
        + fc("fc1", "data", 5, params="include { phase: TRAIN }")
        + fc("fc1", "data", 5, params="include { phase: TEST }")
        + layer("s", "Softmax", "fc1")
    )
    new = converted(tmp_path, text, trained(fc1=((5, 160), (5,))))
    assert shapes(new) == {"fc1-conv": ((5, 2, 8, 10), (5,))}
    assert list(new.layer[0].top) == ["fc1-conv"] and new.layer[0].convolution_param.num_output == 5


def test_layers_of_one_name_in_two_phases_are_transposed_once(tmp_path: Path) -> None:
    text = data() + "".join(
        fc("fc1", "data", 5, "transpose: true", f"include {{ phase: {phase} }}") for phase in ("TRAIN", "TEST")
    )
    weights = trained(fc1=((160, 5), (5,)))
    new = converted(tmp_path, text, weights)
    assert shapes(new) == {"fc1-conv": ((5, 2, 8, 10), (5,))}
    rows = [weights.layer[0].blobs[0].data[5 * column] for column in range(160)]
    assert list(new.layer[0].blobs[0].data[:160]) == rows


def test_names_repeat_in_the_caffemodel(tmp_path: Path) -> None:
    """Caffe gives a layer the weights of every record of its name in turn; all of them are converted."""
    weights = schema.NetParameter(layer=[*trained(fc1=BLOBS["fc1"]).layer, *trained(**BLOBS).layer])
    weights.layer.insert(0, schema.LayerParameter(name="fc1", type="InnerProduct"))
    found = decided(tmp_path, NET, weights)
    assert [entry.unchanged for entry in found.model.held] == [
        False,
        False,
        True,
        False,
        False,
    ] and found.before.missing == ()
    new = converted(tmp_path, NET, weights)
    assert [each.name for each in new.layer] == ["fc1-conv", "fc1-conv", "c", "fc1-conv", "fc2-conv"]
    assert [tuple(blob.shape.dim) for each in new.layer[:2] for blob in each.blobs] == [(5, 3, 8, 10), (5,)]


# ---- Weights of another net ----


@pytest.mark.parametrize(
    ("blobs", "expected"),
    [
        ({"ip": ((5, 240), (5,))}, r"w\.caffemodel: none of the layers of this file \(ip\) is in the net"),
        (dict.fromkeys("defgh", ((1,),)), r"none of the layers of this file \(d, e, f, g and 1 more\) is in the net"),
        (
            {"c": BLOBS["c"]},
            r"w\.caffemodel: holds no weights for layers 'fc1', 'fc2', without a filler in the net",
        ),
        ({"c": ()}, r"w\.caffemodel: expected trained weights, found layers without any blobs"),
        (
            {**BLOBS, "fc1": ((5, 240),)},
            r'"fc1" \(InnerProduct\): expected 2 blobs \(5×240, 5\), found 1 \(5×240\)',
        ),
        ({**BLOBS, "fc1": ((5, 240), (5,), (1,))}, r"expected 2 blobs \(5×240, 5\), found 3 \(5×240, 5, 1\)"),
        ({**BLOBS, "fc1": ((5, 239), (5,))}, r"blob 0: expected 1,200 values \(5×240\), found 1,195 \(5×239\)"),
        ({**BLOBS, "fc1": ((6, 240), (6,))}, r"blob 0: expected 1,200 values \(5×240\), found 1,440 \(6×240\)"),
        ({**BLOBS, "fc1": ((5, 240), (6,))}, r"blob 1: expected 5 values \(5\), found 6 \(6\)"),
        ({**BLOBS, "fc1": ((240, 5), (5,))}, r"blob 0: expected 5×240, found 240×5, which Caffe refuses"),
        ({**BLOBS, "fc1": ((5, 3, 8, 10), (5,))}, r"found 5×3×8×10, .*a converted net"),
        (
            {**BLOBS, "c": ((3, 3, 1, 1), (3,))},
            r'"c" \(Convolution\), blob 0: expected 6 values \(3×2×1×1\), found 9',
        ),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_weights_of_another_net(tmp_path: Path, blobs: dict[str, tuple[Shape, ...]], expected: str) -> None:
    with pytest.raises(WeightsError, match=expected):
        decided(tmp_path, NET, trained(**blobs))


def test_a_bias_that_the_net_lacks(tmp_path: Path) -> None:
    text = data() + fc("fc1", "data", 5, "bias_term: false")
    with pytest.raises(WeightsError, match=r"expected 1 blobs? \(5×160\), found 2"):
        decided(tmp_path, text, trained(fc1=((5, 160), (5,))))
    assert shapes(converted(tmp_path, text, trained(fc1=((5, 160),)))) == {"fc1-conv": ((5, 2, 8, 10),)}


def test_axes_of_one_do_not_matter_and_become_those_that_caffe_wants(tmp_path: Path) -> None:
    weights = trained(c=((3, 2), (1, 1, 1, 3)), fc1=((1, 1, 5, 240), (1, 5)), fc2=((4, 5, 1, 1), (4, 1)))
    assert shapes(converted(tmp_path, NET, weights)) == {
        "c": BLOBS["c"],
        "fc1-conv": ((5, 3, 8, 10), (5,)),
        "fc2-conv": ((4, 5, 1, 1), (4,)),
    }


def test_a_new_name_that_the_caffemodel_holds_already(tmp_path: Path) -> None:
    weights = trained(**BLOBS)
    fill(weights.layer.add(name="fc1-conv", type="Convolution").blobs.add(), (2, 2))
    with pytest.raises(WeightsError, match=r"'fc1-conv'.*suffix"):
        decided(tmp_path, NET, weights)


# ---- Old formats ----


def v1(*layers: tuple[str, int, tuple[Shape, ...]]) -> Message:
    net = schema.NetParameter(name="old")
    for name, kind, blobs in layers:
        each = net.layers.add(name=name, bottom=["x"], top=[name])
        each.MergeFromString(varint_field(5, kind))  # numbers that the schema lacks, too
        for shape in blobs:
            fill(each.blobs.add(), shape, legacy=True)
    return net


IP, CONVOLUTION, RELU = (V1.LayerType.Value(name) for name in ("INNER_PRODUCT", "CONVOLUTION", "RELU"))


def test_v1_layers_become_current_ones(tmp_path: Path) -> None:
    weights = v1(
        ("c", CONVOLUTION, BLOBS["c"]),
        ("fc1", IP, BLOBS["fc1"]),
        ("r", RELU, ()),
        ("fc2", IP, BLOBS["fc2"]),
        ("aux", IP, ((2, 2),)),
    )
    weights.layers[1].blobs_lr[:] = [1, 2]
    weights.layers[1].inner_product_param.num_output = 5
    new = converted(tmp_path, NET, weights)
    assert not new.layers
    assert [(each.name, each.type) for each in new.layer] == [
        ("c", "Convolution"),
        ("fc1-conv", "Convolution"),
        ("r", "ReLU"),
        ("fc2-conv", "Convolution"),
        ("aux", "InnerProduct"),
    ]
    assert tuple(new.layer[1].blobs[0].shape.dim) == (5, 3, 8, 10)
    assert list(new.layer[1].blobs[0].data) == list(weights.layers[1].blobs[0].data)
    assert [param.lr_mult for param in new.layer[1].param] == [1, 2]


def test_the_nets_word_for_a_type_goes_before_the_number(tmp_path: Path) -> None:
    """Forks number the types of V1 differently; and a number that nobody knows may be of a foreign layer."""
    weights = v1(("c", 99, BLOBS["c"]), ("fc1", IP, BLOBS["fc1"]), ("fc2", 98, BLOBS["fc2"]), ("aux", 97, ((2, 2),)))
    new = converted(tmp_path, NET, weights)
    assert [each.type for each in new.layer] == ["Convolution", "Convolution", "Convolution", "Unknown"]


def test_v0_layers_become_current_ones(tmp_path: Path) -> None:
    weights = schema.NetParameter(name="older")
    for name, kind in (("c", "conv"), ("fc1", "innerproduct"), ("fc2", "innerproduct"), ("aux", "innerproduct")):
        each = weights.layers.add(bottom=["x"], top=[name])
        each.layer.name, each.layer.type, each.layer.num_output = name, kind, 5
        for shape in BLOBS.get(name, ((2, 2),)):
            fill(each.layer.blobs.add(), shape, legacy=True)
    assert decided(tmp_path, NET, weights).before.foreign == ("aux",)
    new = converted(tmp_path, NET, weights)
    assert [(each.name, each.type) for each in new.layer] == [
        ("c", "Convolution"),
        ("fc1-conv", "Convolution"),
        ("fc2-conv", "Convolution"),
        ("aux", "InnerProduct"),
    ]
    assert tuple(new.layer[2].blobs[0].shape.dim) == (4, 5, 1, 1)


def test_the_net_tells_which_axes_old_blobs_have(tmp_path: Path) -> None:
    """Of a Scale over several axes its type does not."""
    text = data() + layer("s", "Scale", "data", params="scale_param { axis: 1 num_axes: 2 }") + fc("fc1", "s", 5)
    weights = v1(("s", RELU, ((2, 8),)), ("fc1", IP, ((5, 160), (5,))))
    (tmp_path / "w").write_bytes(weights.SerializeToString())
    with open_caffemodel(tmp_path / "w") as opened:
        made = plan(meet(interpret(prototxt.parse(text, "net.prototxt")), opened), Settings())
        write_model(made.model, None, str(tmp_path / "new.h5"))
    with open_weights(tmp_path / "new.h5") as written:
        assert {record.name: [blob.shape for blob in record.blobs] for record in written.layers} == {
            "fc1-conv": [(5, 2, 8, 10), (5,)],
            "s": [(2, 8)],
        }


def test_an_old_file_that_nothing_changes_in_stays_as_it_is(tmp_path: Path) -> None:
    weights = v1(("c", CONVOLUTION, BLOBS["c"]), ("fc1", IP, BLOBS["fc1"]))
    converted(tmp_path, NET, weights, skip=("*",))
    assert (tmp_path / "new.caffemodel").read_bytes() == weights.SerializeToString()


def test_what_a_v1_layer_shares_stays_shared(tmp_path: Path) -> None:
    weights = v1(("c", CONVOLUTION, BLOBS["c"]), ("fc1", IP, BLOBS["fc1"]), ("fc2", IP, BLOBS["fc2"]))
    weights.layers[1].param[:] = ["w", "b"]
    weights.layers[1].blob_share_mode[:] = [1, 0]
    found = converted(tmp_path, NET, weights).layer[1].param
    assert [(param.name, param.share_mode) for param in found] == [("w", 1), ("b", 0)]


# ---- The net inside the caffemodel ----


def test_what_only_training_has_reads_the_blobs_by_their_new_names(tmp_path: Path) -> None:
    """Splits and losses, in place or not, so that the net inside the new caffemodel still holds together."""
    text = data() + conv("c", "data", 3, 1) + layer("flat", "Flatten", "c") + fc("fc1", "flat", 5)
    net = trained(c=BLOBS["c"], fc1=BLOBS["fc1"])
    net.layer.add(name="cut", type="Dropout", bottom=["fc1"], top=["fc1"])
    net.layer.add(name="fork", type="Split", bottom=["flat"], top=["one", "two"])
    net.layer.add(name="loss", type="SoftmaxWithLoss", bottom=["fc1", "label"], top=["fc1_loss"])
    net.layer.add(name="other", type="Silence", bottom=["label"])
    made = {each.name: each for each in converted(tmp_path, text, net).layer}
    assert (list(made["cut"].bottom), list(made["cut"].top)) == (["fc1-conv"], ["fc1-conv"])
    assert (list(made["fork"].bottom), list(made["fork"].top)) == (["c"], ["one", "two"])
    assert (list(made["loss"].bottom), list(made["loss"].top)) == (["fc1-conv", "label"], ["fc1_loss"])
    assert made["other"] == net.layer[-1]


def test_a_caffemodel_without_types_takes_those_of_the_net(tmp_path: Path) -> None:
    """As one made of an HDF5 file is."""
    net = trained(**BLOBS)
    for each in net.layer:
        each.ClearField("type")
    made = {each.name: each for each in converted(tmp_path, NET, net).layer}
    assert made["fc1-conv"].type == "Convolution" and list(made["fc1-conv"].blobs[0].shape.dim) == [5, 3, 8, 10]
    assert list(made) == ["c", "fc1-conv", "fc2-conv"]


def test_a_twin_of_c3ds_weights_has_names_and_values_only(tmp_path: Path) -> None:
    """In BVLC Caffe the numbers of kernel_depth and temporal_pad are those of stride and kernel_w."""
    dims = "input_shape { dim: 1 dim: 1 dim: 4 dim: 4 dim: 4 }"
    conv = 'name: "c" type: CONVOLUTION3D bottom: "data" top: "c"'
    param = "convolution_param { num_output: 1 kernel_size: 3 kernel_depth: 2 bias_term: false }"
    ip = 'name: "fc" type: INNER_PRODUCT bottom: "c" top: "fc" inner_product_param { num_output: 1 bias_term: false }'
    kernel = "num: 1 channels: 1 length: 2 height: 3 width: 3" + " data: 1" * 18
    columns = "num: 1 channels: 1 length: 1 height: 1 width: 12" + " data: 1" * 12
    net = f"layers {{ {conv} blobs {{ {kernel} }} {param} }} layers {{ {ip} blobs {{ {columns} }} }}"
    message = text_format.Parse(net, net_class("C3D-1.0")())
    (tmp_path / "net.caffemodel").write_bytes(message.SerializePartialToString())
    (tmp_path / "net.prototxt").write_text(f'input: "data" {dims} layers {{ {conv} {param} }} layers {{ {ip} }}')
    conversion = caffe_fcn.convert(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    assert any("holds names and values only" in note for note in conversion.notes)
    with open_weights(tmp_path / "net_fcn.caffemodel") as weights:
        assert weights.bare and [record.name for record in weights.layers] == ["c", "fc-conv"]
        assert [blob.shape for record in weights.layers for blob in record.blobs] == [(1, 1, 2, 3, 3), (1, 1, 3, 2, 2)]
