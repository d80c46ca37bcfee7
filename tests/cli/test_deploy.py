"""`caffe-fcn deploy`, and the method of the library: files in, files out, and what is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.opening import open_model
from caffe_fcn.net.source import read_net
from tests.cli.conftest import CommandLine, listing, the_message
from tests.cli.conftest import trained as trained_on
from tests.engines.nets import blobs_of, net_of, weights_of
from tests.files.test_diff import apply
from tests.passes.nets import conv, data, fc, layer

NET = (
    layer("d", "Data", "", "data label", "include { phase: TRAIN } data_param { batch_size: 8 }")
    + layer("d", "Data", "", "data label", "include { phase: TEST } transform_param { crop_size: 8 scale: 0.5 }")
    + conv("conv", "data", 4)
    + fc("aux", "conv", 3)
    + layer("aux_loss", "SoftmaxWithLoss", "aux label", params="loss_weight: 0.3")
    + fc("fc", "conv", 3)
    + layer("acc", "Accuracy", "fc label", params="include { phase: TEST }")
    + layer("loss", "SoftmaxWithLoss", "fc label")
)
DUMMY = "dummy_data_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } }"
REPORT = """\
net.prototxt: 4 layers of 8 left; outputs prob
  d     Data becomes the input data 1×3×8×8
  loss  SoftmaxWithLoss becomes prob (Softmax)
dropped: aux, aux_loss, acc
dropped, of other phases and stages: d
weights dropped: aux, old
wrote net_deploy.prototxt, net_deploy.caffemodel
"""


@pytest.fixture
def trained(cli: CommandLine) -> CommandLine:
    """The command line in a directory with a training net and the weights that its training left, with the layers and
    the Splits of the training in them."""
    cli.write(net=NET)
    with weights_of(net_of(NET), cli.path / "net.caffemodel"):
        pass
    weights = schema.NetParameter.FromString((cli.path / "net.caffemodel").read_bytes())
    weights.layer.add(name="old", type="InnerProduct").blobs.add(data=[1, 2], shape={"dim": [2]})
    weights.layer.add(name="label_d_1_split", type="Split", bottom=["label"], top=["a", "b"])
    (cli.path / "net.caffemodel").write_bytes(weights.SerializeToString())
    return cli


def test_the_report(trained: CommandLine) -> None:
    result = trained.run("deploy", "net.prototxt", "net.caffemodel")
    assert (result.code, result.out, result.err) == (0, b"", REPORT)


@pytest.mark.parametrize("suffix", [".caffemodel", ".caffemodel.h5"])
def test_the_weights_are_those_that_are_used(trained: CommandLine, suffix: str) -> None:
    assert trained.run("deploy", "net.prototxt", "net.caffemodel", "-o", "a", "-w", f"a{suffix}", "--verify").code == 0
    before, after = blobs_of(trained.path / "net.caffemodel"), open_model("a", f"a{suffix}").tensors
    assert set(after) == {"conv", "fc"}
    for name, tensors in after.items():
        for tensor, blob in zip(tensors, before[name], strict=True):
            assert np.array_equal(tensor.read(0, tensor.count), blob.ravel())


def test_the_net_inside_the_weights_is_the_new_one(trained: CommandLine) -> None:
    trained.run("deploy", "net.prototxt", "net.caffemodel")
    inside = schema.NetParameter.FromString((trained.path / "net_deploy.caffemodel").read_bytes())
    assert [each.type for each in inside.layer] == ["Input", "Convolution", "InnerProduct", "Softmax"]
    result = trained.run("deploy", "net_deploy.caffemodel", "-o", "again", "-w", "again.caffemodel")
    assert result.err.startswith("net_deploy.caffemodel: a deploy net already, nothing to do\n")


def test_a_deploy_net_is_copied(trained: CommandLine) -> None:
    trained.run("deploy", "net.prototxt", "net.caffemodel")
    result = trained.run("deploy", "net_deploy.prototxt", "net_deploy.caffemodel", "-o", "a", "-w", "a.caffemodel")
    assert (result.code, result.err.splitlines()[0]) == (0, "net_deploy.prototxt: a deploy net already, nothing to do")
    for name, suffix in (("a", ".prototxt"), ("a.caffemodel", ".caffemodel")):
        assert (trained.path / name).read_bytes() == (trained.path / f"net_deploy{suffix}").read_bytes()
    result = trained.run("deploy", "net_deploy.prototxt", "net.caffemodel", "-o", "b", "-w", "b.caffemodel")
    assert "weights dropped: aux, old\n" in result.err


def test_a_dry_run_with_a_diff_writes_nothing(trained: CommandLine) -> None:
    before = listing(trained.path)
    result = trained.run("deploy", "net.prototxt", "net.caffemodel", "--dry-run", "--diff")
    assert listing(trained.path) == before and "would write net_deploy.prototxt" in result.err
    trained.run("deploy", "net.prototxt")
    assert apply(result.out.decode(), NET) == trained.read("net_deploy.prototxt")


@pytest.mark.parametrize("options", [[], ["--keep-heads"], ["--phase", "test", "--drop-dropout"]])
def test_what_is_made_is_proven(trained: CommandLine, options: list[str]) -> None:
    result = trained.run("deploy", "net.prototxt", "net.caffemodel", "--verify", *options)
    assert result.code == 0 and "same size  holds" in result.err and "same bits" in result.err
    files = ("net.prototxt", "net.caffemodel", "net_deploy.prototxt", "net_deploy.caffemodel")
    assert trained.run("verify", *files, "--phase", "test").code == 0


def test_what_is_folded_after_that_is_proven(cli: CommandLine) -> None:
    text = NET.replace(fc("fc", "conv", 3), layer("bn", "BatchNorm", "conv", "conv") + fc("fc", "conv", 3))
    cli.write(net=text)
    with weights_of(net_of(text), cli.path / "net.caffemodel"):
        pass
    assert cli.run("deploy", "net.prototxt", "net.caffemodel").code == 0
    assert cli.run("fold", "net_deploy.prototxt", "net_deploy.caffemodel", "-o", "a", "-w", "a.caffemodel").code == 0
    assert cli.run("convert", "a", "a.caffemodel", "-o", "b", "-w", "b.caffemodel").code == 0
    result = cli.run("verify", "net.prototxt", "net.caffemodel", "b", "b.caffemodel", "--phase", "test")
    assert result.code == 0 and "same function within rounding" in result.out.decode() + result.err


@pytest.mark.parametrize("options", [[], ["--phase", "test", "--input-shape", "data=2,3,9,9"]])
def test_a_deploy_net_of_ones_own_is_proven(cli: CommandLine, options: list[str]) -> None:
    """It has another batch, and the training net leaves the size to the weights, which suit several."""
    text = layer("d", "Data", "", "data label", "include { phase: TRAIN } data_param { batch_size: 8 }")
    text += layer("d", "Data", "", "data label", "include { phase: TEST } data_param { batch_size: 4 }")
    body = conv("conv", "data", 4, 3, "stride: 2") + fc("fc", "conv", 3)
    cli.write(net=text + body + layer("loss", "SoftmaxWithLoss", "fc label"))
    cli.write(own=data(shape="64 3 9 9") + body + layer("prob", "Softmax", "fc"))
    with weights_of(net_of(cli.read("own.prototxt")), cli.path / "net.caffemodel"):
        pass
    result = cli.run("verify", "net.prototxt", "net.caffemodel", "own.prototxt", "net.caffemodel", *options)
    assert result.code == 0 and "same bits" in result.out.decode()


@pytest.mark.parametrize("feeds", [data(shape="1 3 8 8"), layer("data", "DummyData", "", "data", DUMMY)])
@pytest.mark.parametrize("measures", [True, False])
def test_a_net_that_is_a_deploy_net_in_phase_test_is_proven(cli: CommandLine, feeds: str, measures: bool) -> None:
    """No phase has to be named, although the net trains in the other one."""
    test, train = (f"include {{ phase: {phase} }}" for phase in ("TEST", "TRAIN"))
    text = layer("d", "Data", "", "data label", f"{train} transform_param {{ crop_size: 8 }}")
    text += feeds.replace(" }\n", f" {test} }}\n") + conv("conv", "data", 4) + fc("fc", "conv", 3)
    text += layer("loss", "SoftmaxWithLoss", "fc label", params=train)
    text += layer("acc", "Accuracy", "fc label", params=train) * measures
    cli.write(net=text + layer("prob", "Softmax", "fc", params=test))
    with weights_of(net_of(cli.read("net.prototxt")), cli.path / "net.caffemodel"):
        pass
    files = ("net.prototxt", "net.caffemodel", "net_deploy.prototxt", "net_deploy.caffemodel")
    assert cli.run("deploy", *files[:2], "--verify").code == 0
    result = cli.run("verify", *files)
    assert result.code == 0 and "same bits" in result.out.decode(), result
    cli.write(
        own=data(shape="1 3 8 8") + conv("conv", "data", 4) + fc("fc", "conv", 3) + layer("prob", "Softmax", "fc")
    )
    assert cli.run("verify", *files[:2], "own.prototxt", "net.caffemodel").code == 0
    cli.write(own=cli.read("own.prototxt").replace("kernel_size: 3", "kernel_size: 3 dilation: 2 pad: 1"))
    assert cli.run("verify", *files[:2], "own.prototxt", "net.caffemodel").code == 1


def test_losses_of_phase_train_alone_become_outputs_that_are_proven(cli: CommandLine) -> None:
    text = NET.replace(layer("aux_loss", "SoftmaxWithLoss", "aux label", params="loss_weight: 0.3"), "")
    text = text.replace(fc("aux", "conv", 3), "").replace('top: "loss"', 'top: "loss" include { phase: TRAIN }')
    cli.write(net=text)
    with weights_of(net_of(text), cli.path / "net.caffemodel"):
        pass
    files = ["net.prototxt", "net.caffemodel", "net_deploy.prototxt", "net_deploy.caffemodel"]
    assert cli.run("deploy", *files[:2], "--verify").code == 0
    assert cli.run("verify", *files).code == 0
    assert cli.run("convert", *files[2:]).code == 0
    files[2:] = ["net_deploy_fcn.prototxt", "net_deploy_fcn.caffemodel"]
    assert cli.run("verify", *files).code == 0
    weights = schema.NetParameter.FromString((cli.path / files[3]).read_bytes())
    next(each for each in weights.layer if each.name == "fc-conv").blobs[0].data[3] += 1
    (cli.path / files[3]).write_bytes(weights.SerializeToString())
    assert cli.run("verify", *files).code == 1


def test_a_wrong_deploy_net_is_not_proven(trained: CommandLine) -> None:
    trained.run("deploy", "net.prototxt", "net.caffemodel")
    text = trained.read("net_deploy.prototxt")
    for wrong in (
        text.replace('"fc" top: "prob"', '"conv" top: "prob"'),
        text.replace("kernel_size: 3", "kernel_size: 3 pad: 1"),
    ):
        assert wrong != text
        (trained.path / "net_deploy.prototxt").write_text(wrong)
        files = ("net.prototxt", "net.caffemodel", "net_deploy.prototxt", "net_deploy.caffemodel")
        assert trained.run("verify", *files, "--phase", "test").code == 1
    (trained.path / "net_deploy.prototxt").write_text(text)
    message = schema.NetParameter.FromString((trained.path / "net_deploy.caffemodel").read_bytes())
    message.layer[2].blobs[0].data[0] += 1
    (trained.path / "net_deploy.caffemodel").write_bytes(message.SerializeToString())
    assert trained.run("verify", *files, "--phase", "test").code == 1


def test_a_shape_that_nothing_tells(cli: CommandLine) -> None:
    cli.write(net=NET.replace("crop_size: 8", ""))
    result = cli.run("deploy", "net.prototxt")
    assert result.code == 1 and the_message(result.err).endswith("give it with --input-shape data=N,C,H,W")
    others = net_of(data(shape="1 2 5 5") + conv("conv", "data", 9) + fc("fc", "conv", 3))
    with weights_of(others, cli.path / "net.caffemodel"):
        pass
    told = the_message(cli.run("deploy", "net.prototxt", "net.caffemodel").err)
    assert told.endswith("give it with --input-shape data=N,C,H,W, if these are the weights of this net")
    result = cli.run("deploy", "net.prototxt", "--input-shape", "data=1,3,8,8")
    assert result.code == 0 and "note" not in result.err
    assert "dim: 1 dim: 3 dim: 8 dim: 8" in cli.read("net_deploy.prototxt")


def test_a_net_of_another_phase(cli: CommandLine) -> None:
    cli.write(
        net=layer("d", "Data", "", "data label", "include { phase: TRAIN } transform_param { crop_size: 8 }")
        + fc("fc", "data", 3)
    )
    assert cli.run("deploy", "net.prototxt").code == 1
    assert cli.run("deploy", "net.prototxt", "--phase", "train").code == 0


def test_channels_are_assumed_with_a_note(cli: CommandLine) -> None:
    cli.write(net=layer("d", "Data", "", "data label", "transform_param { crop_size: 8 }") + fc("fc", "data", 3))
    assert "channels of its images; assumed 3" in cli.run("deploy", "net.prototxt").err


# ---- The library ----


def test_the_method_of_the_library(trained: CommandLine) -> None:
    trained.run("deploy", "net.prototxt", "net.caffemodel")
    printed = trained.run("deploy", "net.prototxt", "net.caffemodel", "--json", "--dry-run").document
    with caffe_fcn.open("net.prototxt", "net.caffemodel", phase="TEST") as net:
        made = net.deploy()
        assert made.text == Path("net_deploy.prototxt").read_bytes()
        assert {**made.report(), "outputs": None} == {**printed, "outputs": None}
        assert made.verify(net).holds and made.shapes.blobs["prob"] == (1, 3)
        assert net.deploy(keep_heads=True).fold().convolutionalize().verify(net).holds
        made.save("a", "b")
    assert Path("b").read_bytes() == Path("net_deploy.caffemodel").read_bytes()


def test_the_library_takes_the_first_phase(trained: CommandLine) -> None:
    with caffe_fcn.open("net.prototxt") as net:
        assert net.deploy().text.startswith(b"# The layer d (Data)")
    trained.write(net=data() + layer("loss", "Silence", "data", ""))
    with caffe_fcn.open("net.prototxt") as net, pytest.raises(SurgeryError, match="outputs"):
        net.deploy()


def test_input_fields_are_a_layer_in_the_weights(cli: CommandLine) -> None:
    """As Caffe itself writes them, so that the net inside is whole."""
    fields = 'input: "data" input_dim: 2 input_dim: 3 input_dim: 8 input_dim: 8\n'
    text = fields + conv("conv", "data", 4) + layer("loss", "SoftmaxWithLoss", "conv conv")
    cli.write(net=text)
    with weights_of(net_of(text), cli.path / "net.caffemodel"):
        pass
    assert cli.run("deploy", "net.prototxt", "net.caffemodel").code == 0
    assert cli.run("inspect", "net_deploy.caffemodel").out.decode().splitlines()[1] == "inputs   data 2×3×8×8"
    assert 'input: "data"' in cli.read("net_deploy.prototxt")


def test_fields_of_forks_have_the_numbers_of_the_fork_in_the_weights(cli: CommandLine) -> None:
    order = "permute_param { order: 0 order: 2 order: 3 order: 1 }"
    text = data() + layer("p", "Permute", "data", params=order) + fc("fc", "p", 3) + layer("s", "Silence", "data", "")
    cli.write(net=text, weights=trained_on(("fc", "InnerProduct", [(3, 160), (3,)])))
    assert cli.run("deploy", "net.prototxt", "weights.caffemodel").code == 0
    inside = schema.NetParameter.FromString((cli.path / "weights_deploy.caffemodel").read_bytes())
    assert [each.name for each in inside.layer] == ["data", "p", "fc"]
    assert not any(field.number >= schema.FORKS for each in inside.layer for field, _ in each.ListFields())


def test_the_deploy_net_of_a_segmentation_in_training_is_the_segmentation_net(cli: CommandLine) -> None:
    """And a Softmax of its scores: what `segment --train` adds goes again."""
    pool = layer("pool", "Pooling", "conv", params="pooling_param { kernel_size: 2 stride: 2 }")
    cli.write(net=data(shape="1 3 14 14") + conv("conv", "data", 4) + pool + fc("fc", "pool", 7))
    assert cli.run("segment", "net.prototxt", "--classes", "3", "--train").code == 0
    result = cli.run("deploy", "train_val.prototxt", "--input-shape", "data=1,3,14,14", "-o", "made.prototxt")
    assert result.code == 0 and "outputs prob" in result.err
    made, segmented = (read_net(cli.path / name).net for name in ("made.prototxt", "net_segmented.prototxt"))
    assert list(made.layer)[:-1] == list(segmented.layer) and made.layer[-1].type == "Softmax"
