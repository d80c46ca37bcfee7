"""The net inside a caffemodel has every field of the file, by the numbers of the fork that wrote it, or is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from caffe_fcn.errors import NetError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.net.effects import Effect
from caffe_fcn.net.foreign import notes
from caffe_fcn.net.inside import net_inside
from caffe_fcn.net.source import SourceNet, net_of_weights, read_net, refuse_lost
from caffe_fcn.schema.forks import forks
from caffe_fcn.schema.layouts import caffes
from tests.net.forks import net_class, net_of
from tests.paths import CASES, SHARED_MODELS

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a net of a fork, given as a message, or as its name and text, to a caffemodel."""

    def write(net: Any) -> Path:
        path = tmp_path / "net.caffemodel"
        path.write_bytes(net.SerializePartialToString())
        return path

    return write


def net_in(path: Path, fork: str | None = None) -> SourceNet:
    with open_caffemodel(path) as weights:
        return net_of_weights(weights, fork)


def text_in(path: Path, fork: str | None = None) -> str:
    """The text of the net in PATH, where it has every field of the file."""
    with open_caffemodel(path) as weights:
        inside = net_inside(weights, fork)
        if inside.lost:
            refuse_lost(net_of_weights(weights, fork))
        return inside.text


def layer(fork: str, text: str, *more: str) -> Any:
    """A net of FORK with the layers TEXT and MORE."""
    layers = "".join(f'layer {{ name: "l{index}" {each} }}' for index, each in enumerate((text, *more)))
    return text_format.Parse(layers, net_class(fork)())


# ---- Every field of every fork ----


@pytest.mark.thorough
@pytest.mark.parametrize("fork", forks())
def test_a_net_with_every_field_of_a_fork_comes_back(write: Write, fork: str) -> None:
    net = net_of(fork)
    read = text_format.Parse(text_in(write(net)), net_class(fork)())
    for each in (*getattr(net, "layer", ()), *net.layers):
        for rule in {"include", "exclude"} & set(each.DESCRIPTOR.fields_by_name):
            each.ClearField(rule)
    assert read == net
    if fork != "MobileNet-YOLO":  # an upsample_param.scale of -7 is none, as our own schema has it
        assert len(net_in(write(net)).net.layer) == len(net.layers or net.layer)


@pytest.mark.thorough
@pytest.mark.parametrize("fork", forks())
def test_a_single_layer_comes_back_or_is_refused_by_name(write: Write, fork: str) -> None:
    """Never another net: where forks disagree and nothing else in the file decides, the layer is named."""
    whole, found = net_of(fork), {True: 0, False: 0}
    for each in (*getattr(whole, "layer", ()), *whole.layers):
        param = each.name.removeprefix("of ")
        if param in ("include", "exclude"):
            continue
        net = net_of(fork, alone=param)
        try:
            assert text_format.Parse(text_in(write(net)), net_class(fork)()) == net
            found[True] += 1
        except NetError as error:
            assert f"layer 'of {param}'" in str(error) and "the file does not show" in str(error)
            found[False] += 1
    assert found[True] > 3 * found[False]


# ---- Which fork it was ----


@pytest.mark.parametrize("fork", ["SSD", "NVIDIA", "intel", "happynear"])
def test_the_order_of_a_permute_is_read_under_either_number(write: Write, fork: str) -> None:
    net = layer(fork, 'type: "Permute" bottom: "x" top: "y" permute_param { order: 0 order: 2 order: 3 order: 1 }')
    assert list(net_in(write(net)).net.layer[0].permute_param.order) == [0, 2, 3, 1]


def test_a_field_named_like_the_type_goes_before_another_that_reads_as_well(write: Write) -> None:
    """Number 137 is upsample_param in SegNet and embed_param in BVLC Caffe, where `scale` would be num_output."""
    net = net_in(write(layer("SegNet", 'type: "Upsample" upsample_param { scale: 4 }'))).net
    assert net.layer[0].upsample_param.scale == 4
    net = net_in(write(layer("ccnn", 'type: "Convolution" convolution_param { num_output: 2 hole: 2 }')))
    assert "hole: 2" in net.document.text and "force_nd_im2col" not in net.document.text


def test_a_field_named_like_the_type_is_no_other_fields_in_a_fork_that_nobody_knows(write: Write) -> None:
    """SegNet's Upsample beside a BatchNorm, which SegNet lacks: BVLC Caffe would read `num_output: 4`."""
    net = layer("SegNet", 'type: "Upsample" upsample_param { scale: 4 }').SerializeToString()
    net += layer("BVLC", 'type: "BatchNorm" batch_norm_param { eps: 1 }').SerializeToString()
    path = write(layer("BVLC", ""))
    path.write_bytes(net)
    with pytest.raises(NetError, match=r"\(Upsample\): has fields of SegNet, and other layers of the file have fields"):
        text_in(path)


def test_nor_where_another_field_of_it_cannot_be_read(write: Write) -> None:
    path = write(layer("BVLC", ""))
    upsample = layer("SegNet", 'type: "Upsample" upsample_param { scale: 4 }').SerializeToString()
    unknown = b"\xaa\x06\x02\x20\x07"  # field 4 of loss_param, which would have no effect
    upsample = upsample[:2] + bytes([upsample[2] + len(unknown)]) + upsample[3:] + unknown
    path.write_bytes(upsample)
    assert net_in(path).net.layer[0].upsample_param.scale == 4
    path.write_bytes(upsample + layer("BVLC", 'type: "BatchNorm" batch_norm_param { eps: 1 }').SerializeToString())
    with pytest.raises(
        NetError,
        match=r"\(Upsample\): has a field of SegNet.*, but the other fields are not from that fork; no known fork",
    ):
        net_in(path)


@pytest.mark.parametrize(
    "text",
    [
        'type: "Convolution" convolution_param { num_output: 2 kernel_size: 3 stride: 2 }',
        'type: "LSTM" recurrent_param { num_output: 2 }',
        'type: "Crop" crop_param { axis: 2 offset: 1 }',
        'type: "Embed" embed_param { num_output: 2 input_dim: 3 }',
        'type: "Pooling" pooling_param { pool: AVE kernel_h: 2 kernel_w: 3 }',
    ],
)
def test_plain_layers_are_plainly_bvlcs(write: Write, text: str) -> None:
    """C3D 1.0, whose convolutions and poolings use these numbers otherwise, has no layers of the current format."""
    net = layer("BVLC", text)
    assert text_format.Parse(text_in(write(net)), net_class("BVLC")()) == net


def test_another_layer_tells_who_wrote_a_field_that_two_read_differently(write: Write) -> None:
    pool = 'type: "Pooling" pooling_param { pool: AVE avg_include_pad: false }'
    with pytest.raises(
        NetError, match=re.escape("layer 'l0' (Pooling): field 13 of pooling_param means round_mode: CE")
    ):
        text_in(write(layer("intel", pool)))
    assert "avg_include_pad: false" in text_in(write(layer("intel", pool, 'type: "Convolution" engine: "MKL"')))
    rounded = layer(
        "BVLC", 'type: "Pooling" pooling_param { round_mode: FLOOR }', 'type: "Clip" clip_param { min: 0 max: 1 }'
    )
    assert "round_mode: FLOOR" in text_in(write(rounded))


def test_old_forks_cannot_have_written_what_they_lack(write: Write) -> None:
    """In SegNet number 3 of a loss is weight_by_label_freqs, and it has no BatchNorm."""
    loss = 'type: "SoftmaxWithLoss" loss_param { normalization: VALID }'
    with pytest.raises(NetError, match=r"normalization: VALID in BVLC, .*; weight_by_label_freqs: true in SegNet"):
        text_in(write(layer("BVLC", loss)))
    assert "VALID" in text_in(write(layer("BVLC", loss, 'type: "BatchNorm" batch_norm_param { eps: 1 }')))


def test_a_field_without_the_one_that_it_needs_is_another(write: Write) -> None:
    """In ccnn number 18 of a convolution is hole_h, and it refuses that without hole_w."""
    assert "dilation: 2" in text_in(write(layer("BVLC", 'type: "Convolution" convolution_param { dilation: 2 }')))
    both = layer("ccnn", 'type: "Convolution" convolution_param { hole_h: 2 hole_w: 3 }')
    assert "hole_h: 2\n    hole_w: 3" in text_in(write(both))


def test_the_numbers_of_blobs_tell_as_well(write: Write) -> None:
    """C3D 1.0 has 30 for CONVOLUTION3D, BVLC Caffe for ARGMAX; its blobs have a fifth dimension."""
    text = 'layers {{ name: "x" type: {} bottom: "a" top: "b" blobs {{ {} }} }}'
    video = text_format.Parse(text.format("CONVOLUTION3D", "width: 1 data: 2"), net_class("C3D-1.0")())
    assert "type: CONVOLUTION3D" in text_in(write(video))
    image = text_format.Parse(text.format("ARGMAX", "num: 1 data: 2"), net_class("BVLC")())
    assert "type: ARGMAX" in text_in(write(image))


def test_fields_of_different_forks_are_of_no_net(write: Write) -> None:
    data = layer("SSD", 'type: "Permute" permute_param { order: 1 }').SerializeToString()
    data += layer("SegNet", 'type: "Upsample" upsample_param { scale: 4 }').SerializeToString()
    path = write(layer("BVLC", ""))
    path.write_bytes(data)
    with pytest.raises(NetError, match=r"has fields of SegNet, and layer .* has fields of .*SSD; give"):
        text_in(path)


POOL = (
    'type: "Pooling" bottom: "x" top: "p" pooling_param { pool: AVE kernel_size: 2 stride: 2 avg_include_pad: false }'
)
INPUT = 'type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } }'


def test_the_user_can_say_which_fork_it_was(write: Write) -> None:
    path = write(layer("intel", INPUT, POOL))
    assert "avg_include_pad: false" in text_in(path, "intel") and "round_mode: CEIL" in text_in(path, "bvlc")
    with pytest.raises(ValueError, match=r"unknown fork of Caffe 'nvidea'; expected one of BVLC, .*NVIDIA"):
        text_in(path, "nvidea")
    with pytest.raises(NetError, match=r"field 13 of pooling_param cannot be read as happynear's; give"):
        text_in(path, "happynear")
    permute = write(layer("happynear", 'type: "Permute" permute_param { order: 1 }'))
    with pytest.raises(NetError, match=r"field 224 cannot be read as SSD's; give"):
        text_in(permute, "SSD")


def test_a_field_that_does_not_tell_what_it_is_has_an_unknown_effect(write: Write) -> None:
    (field,) = net_in(write(layer("intel", INPUT, POOL))).foreign
    assert (field.layer, field.shown, field.effect) == (1, "field 13 of pooling_param", Effect.UNKNOWN)
    assert re.match(
        r"means round_mode: CEIL in BVLC and .*; avg_include_pad: false in intel; the file does not show", field.lost
    )


@pytest.mark.parametrize("more", ["ReLU", "Split"])
def test_a_field_that_nobody_knows_of_a_loss_has_no_effect(tmp_path: Path, more: str) -> None:
    """As in nets that were trained by forks with a field of their own there; Splits are no layers of the text."""
    net = layer("BVLC", f'type: "{more}" bottom: "x" top: "x_l0_0"').SerializeToString()
    body = b"\x0a\x01l\x12\x0dEuclideanLoss\x1a\x06x_l0_0\xaa\x06\x04\x20\x07\x18\x00"
    (tmp_path / "x.caffemodel").write_bytes(net + b"\xa2\x06" + bytes([len(body)]) + body)
    source = net_in(tmp_path / "x.caffemodel")
    told = {field.shown: (source.net.layer[field.layer or 0].name, field.effect) for field in source.foreign}
    assert told == {f"field {number} of loss_param": ("l", Effect.NONE) for number in (3, 4)}


# ---- What nobody can read ----


@pytest.mark.parametrize(
    ("param", "found"),
    [
        (b"\xb2\x3e\x02\x08\x01", "field 998"),
        (b"\xd2\x06\x03\xb0\x3e\x01", "field 998 of convolution_param"),
        (b"\xd2\x06\x02\x78\x09", "field 15 of convolution_param"),
        (b"\xd2\x06\x04\x08\x01\x08\x02", "field 1 of convolution_param"),
    ],
)
def test_a_field_that_no_fork_has_refuses_the_layer(tmp_path: Path, param: bytes, found: str) -> None:
    """Unknown, in a message too, an enumerator that there is not, a single field given twice."""
    body = b"\x0a\x01c\x12\x0bConvolution" + param
    (tmp_path / "x.caffemodel").write_bytes(b"\xa2\x06" + bytes([len(body)]) + body)
    where = rf"x.caffemodel: layer 'c' \(Convolution\): {found} cannot be read as .*"
    for fork in (None, "SSD"):  # to name one leads nowhere
        with pytest.raises(NetError, match=where) as caught:
            text_in(tmp_path / "x.caffemodel", fork)
        assert str(caught.value).endswith("; no known fork of Caffe can read the whole file; give the prototxt too")


@pytest.mark.thorough
def test_only_those_are_offered_that_read_the_file(write: Write) -> None:
    """Each name that is offered leads on, and no other does; also where a name was given."""
    path = write(layer("intel", INPUT, POOL))
    for given in (None, "happynear"):
        with pytest.raises(NetError, match="name the Caffe that wrote the file with `fork`: ") as caught:
            text_in(path, given)
        offered = str(caught.value).rpartition(": ")[2].split(", ")
        assert "intel" in offered and "BVLC" in offered
        for fork in caffes():
            if fork in offered:
                assert text_in(path, fork)
            else:
                with pytest.raises(NetError):
                    text_in(path, fork)


def test_what_is_said_of_a_file_that_no_fork_reads_does_not_contradict_itself(tmp_path: Path) -> None:
    """A LossParameter whose field 3 several forks have, each as another one, and whose field 4 none has."""
    loss = bytes([10, 1, 108, 18, 13]) + b"EuclideanLoss" + b"\x1a\x01x\x1a\x01x" + b"\xaa\x06\x04\x18\x00\x20\x01"
    (tmp_path / "x.caffemodel").write_bytes(b"\xa2\x06" + bytes([len(loss)]) + loss)
    net = net_in(tmp_path / "x.caffemodel")
    third, fourth = sorted(net.foreign, key=lambda field: field.shown)
    assert re.match(r"means normalization: FULL in BVLC.*; none of these can read the whole file$", third.lost)
    assert "cannot be read as BVLC Caffe's or as" in fourth.lost
    (note,) = notes(net.net, net.foreign)
    assert "field 3 of loss_param" in note and "field 4 of loss_param" in note
    assert note.endswith("cannot be read with certainty, and have no effect on shapes and answers")


# ---- The text ----


def test_what_training_has_done_is_left_out(write: Write) -> None:
    """Caffe writes the phase of the net into each layer; in a deploy net it would keep Dropout at work."""
    rule = "include { phase: TRAIN }"
    net = layer("BVLC", f'type: "Dropout" phase: TRAIN {rule}', 'type: "ReLU" phase: TRAIN')
    assert "TRAIN" not in text_in(write(net))
    mixed = layer("BVLC", 'type: "ReLU" phase: TRAIN', 'type: "ReLU" phase: TRAIN', 'type: "ReLU" phase: TEST')
    assert re.findall("phase: (.*)", text_in(write(mixed))) == ["TEST"]
    assert "phase: TRAIN" in text_in(write(layer("BVLC", 'type: "ReLU" phase: TRAIN', 'type: "ReLU"')))


def test_the_text_is_laid_out(write: Write) -> None:
    text = 'type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } }'
    more = 'type: "Convolution" convolution_param { num_output: 2 weight_filler { type: "xavier" std: 0.1 } }'
    assert (
        text_in(write(layer("BVLC", text, more)))
        == """\
layer {
  name: "l0"
  type: "Input"
  top: "x"
  input_param {
    shape { dim: 1 dim: 3 }
  }
}
layer {
  name: "l1"
  type: "Convolution"
  convolution_param {
    num_output: 2
    weight_filler {
      type: "xavier"
      std: 0.1
    }
  }
}
"""
    )


@pytest.mark.parametrize("value", ["1e-45", "3.4028235e+38", "-0.1", "16777217", "inf", "-inf", "nan", "0.33333334"])
def test_numbers_keep_every_bit(write: Write, value: str) -> None:
    net = layer("BVLC", f'type: "Power" power_param {{ shift: {value} }}')
    read = text_format.Parse(text_in(write(net)), net_class("BVLC")())
    assert read.SerializeToString() == net.SerializeToString()


# ---- Real files ----


def test_the_net_inside_is_that_of_the_pair() -> None:
    assert net_in(CASES / "permute.caffemodel").net == read_net(CASES / "permute.prototxt").net


def test_a_trained_detector_brings_what_its_fork_says() -> None:
    path = SHARED_MODELS / "res10" / "net.caffemodel"
    if not path.exists():
        pytest.skip(f"{path} is not there; it is shared, not part of the project")
    layers = {each.name: each for each in net_in(path).net.layer}
    assert list(layers["conv4_3_norm_mbox_loc_perm"].permute_param.order) == [0, 2, 3, 1]
    assert list(layers["conv4_3_norm_mbox_priorbox"].prior_box_param.aspect_ratio) == [2]
    assert not layers["conv4_3_norm"].norm_param.across_spatial
