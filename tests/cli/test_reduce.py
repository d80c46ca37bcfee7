"""`caffe-fcn reduce`, and the method of the library: files in, files out, and what is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.opening import open_model
from tests.cli.conftest import CommandLine, listing, the_message
from tests.files.test_diff import apply
from tests.passes.nets import data, fc, layer, model_of

NET = "# mine\n" + data(shape="1 2 6 6") + layer("pool", "Pooling", "data", params="pooling_param { kernel_size: 2 }")
NET += fc("fc1", "pool", 8) + layer("relu", "ReLU", "fc1", "fc1") + fc("fc2", "fc1", 3) + layer("p", "Softmax", "fc2")
REPORT = """\
net.prototxt: 1 layer reduced, 219 of 435 parameters left
converted to Convolutions: fc1, fc2
  fc1-conv  8×2×5×5 → 4×2×5×5  1 of 2 filters
follow:
  fc2-conv  3×8×1×1 → 3×4×1×1
wrote net_reduced.prototxt
"""


@pytest.fixture
def trained(cli: CommandLine) -> CommandLine:
    net = model_of(NET).net
    for each in net.layer:
        for shape in model_of(NET).params.get(each.name, ()):
            values = np.random.default_rng(len(each.name)).normal(size=shape).astype(np.float32)
            each.blobs.add(data=values.ravel(), shape={"dim": shape})
    cli.write(net=NET)
    cli.write(net=net.SerializeToString())
    return cli


def test_the_report(cli: CommandLine) -> None:
    cli.write(net=NET)
    result = cli.run("reduce", "net.prototxt", "fc1-conv=4")
    assert (result.code, result.out, result.err) == (0, b"", REPORT)
    assert set(listing(cli.path)) == {"net.prototxt", "net_reduced.prototxt"}
    assert (cli.path / "net_reduced.prototxt").read_text().startswith("# mine\n" + data(shape="1 2 6 6"))


def test_a_dry_run_with_a_diff_writes_nothing(trained: CommandLine) -> None:
    words = ("reduce", "net.prototxt", "net.caffemodel", "fc1=2:3", "--suffix", "")
    result = trained.run(*words, "--dry-run", "--diff")
    assert set(listing(trained.path)) == {"net.prototxt", "net.caffemodel"}
    assert trained.run(*words, "--quiet").err == ""
    old, new = ((trained.path / name).read_text() for name in ("net.prototxt", "net_reduced.prototxt"))
    assert apply(result.out.decode(), old) == new
    assert trained.blobs("net_reduced.caffemodel") == {
        "fc1": [(2, 2, 3, 3), (2,)],
        "fc2": [(3, 2, 1, 1), (3,)],
    }


def values(name: str) -> dict[str, list[Any]]:
    model = open_model("a", name)
    return {
        layer: [tensor.read(0, tensor.count).reshape(tensor.shape) for tensor in tensors]
        for layer, tensors in model.tensors.items()
    }


def test_caffemodels_and_hdf5_hold_the_same_old_values(trained: CommandLine) -> None:
    for words in (["net.prototxt", "net.caffemodel"], ["net.caffemodel"]):
        for weights in ("new.caffemodel", "new.caffemodel.h5"):
            trained.run("reduce", *words, "fc1=2:3", "-o", "a", "-w", weights, "--force")
            found, old = values(weights), open_model("net.prototxt", "net.caffemodel").tensors
            whole = old["fc1"][0].read(0, 400).reshape(8, 2, 5, 5)
            assert np.array_equal(found["fc1-conv"][0], whole[::4, :, ::2, ::2])
            assert np.array_equal(found["fc1-conv"][1], old["fc1"][1].read(0, 8)[::4])
            assert np.array_equal(found["fc2-conv"][0][:, :, 0, 0], old["fc2"][0].read(0, 24).reshape(3, 8)[:, ::4])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fc1=4"], "expected NET and its WEIGHTS, found layers only"),
        (["net.prototxt"], "expected a layer to reduce, such as fc6=1024, found none"),
        (["net.prototxt", "fc1=4.5"], "fc1: expected OUTPUTS or OUTPUTS:HxW in whole numbers"),
        (["net.prototxt", "fc1=4", "fc1=2"], "expected each layer once, found 'fc1' twice"),
        (["net.prototxt", "fc1=4", "--dilation", "fc2=2"], "expected a layer that is reduced, found 'fc2'"),
        (["net.prototxt", "fc1=4", "--dilation", "fc1=0"], "expected LAYER=N, such as fc6=6, found 'fc1=0'"),
        (["net.prototxt", "fc1=4", "--dilation", "2"], "expected LAYER=N, such as fc6=6, found '2'"),
        (["a", "b", "c", "fc1=4"], "found 3 files"),
    ],
)
def test_wrong_usage(trained: CommandLine, words: list[str], told: str) -> None:
    before = listing(trained.path)
    result = trained.run("reduce", *words)
    assert result.code == 2 and told in result.err.splitlines()[-1]
    assert listing(trained.path) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fc1=3"], 'layer "fc1" (InnerProduct): expected a divisor of the 8 outputs, such as 2, found 3'),
        (["fc1=4:2", "--dilation", "fc1=3"], 'layer "fc1-conv" (Convolution): expected a padding in whole numbers'),
        (["fc1=4:4"], "expected 2, 3 or 5 taps, evenly spaced from the first to the last of 5, found 4"),
        (["fc11=4"], "there is no layer 'fc11'; did you mean 'fc1'?"),
        (["wholly_other=4"], "there is no layer 'wholly_other'; `caffe-fcn inspect` lists the layers"),
        (["pool=1"], "expected a Convolution, a Deconvolution or an InnerProduct, found Pooling, without filters"),
        (
            ["fc2=1"],
            "because layer 'fc2' is reduced; leave that layer out, or allow it with --cut-outputs",
        ),
    ],
)
def test_what_is_refused_is_one_line_and_nothing_is_written(trained: CommandLine, words: list[str], told: str) -> None:
    before = listing(trained.path)
    result = trained.run("reduce", "net.prototxt", "net.caffemodel", *words)
    assert result.code == 1 and told in the_message(result.err)
    assert listing(trained.path) == before


def test_a_reduction_is_proven_and_a_wrong_one_is_not(trained: CommandLine) -> None:
    pytest.importorskip("onnxruntime")
    pair = ("net.prototxt", "net.caffemodel")
    result = trained.run("reduce", *pair, "fc1=2:3", "-o", "a", "-w", "a.caffemodel", "--verify", "--json")
    found = result.document["verification"]
    assert (result.code, found["claim"], found["holds"]) == (0, "new_function", True)
    assert trained.run("verify", *pair, "a", "a.caffemodel", "--claim", "new-function").code == 0
    made = schema.NetParameter.FromString((trained.path / "a.caffemodel").read_bytes())
    changed = next(each for each in made.layer if each.name == "fc2-conv")
    changed.blobs[0].data[0] += 0.25
    trained.write(wrong=made.SerializeToString())
    assert trained.run("verify", *pair, "a", "wrong.caffemodel", "--claim", "new-function").code == 1


def test_a_file_with_an_equals_sign_is_a_file(cli: CommandLine) -> None:
    (cli.path / "a=4").write_text(NET)
    assert cli.run("reduce", "a=4", "fc1=4", "-o", "new").code == 0


def test_the_library(trained: CommandLine) -> None:
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as net:
        made = net.reduce({"fc1": "4:3", "fc2": 3}, dilation={"fc1": 4}, suffix="")
        assert [change.layer for change in made.changes if change.kind == "reduced"] == ["fc1", "fc2"]
        assert made.report()["reduced"][0]["kernel"]["dilation"] == [4, 4]
        made.save("new.prototxt", "new.caffemodel")
        assert net.reduce({"fc2": 1}, cut_outputs=True).shapes.params["fc2"][0] == (1, 8)
        for layers, dilation in (({}, None), ({"fc1": 0}, None), ({"fc1": 4}, {"fc1": 0}), ({"fc1": 4}, {"fc2": 1})):
            with pytest.raises(ValueError, match="expected"):
                net.reduce(layers, dilation=dilation)
        with pytest.raises(SurgeryError, match=r"allow it with cut_outputs=True"):
            net.reduce({"fc2": 1})
    again = schema.NetParameter.FromString((trained.path / "new.caffemodel").read_bytes())
    assert [*again.layer[2].convolution_param.dilation] == [4]
