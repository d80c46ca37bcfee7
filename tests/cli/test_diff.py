"""`caffe-fcn diff`: what it tells of nets and weights in all formats, its exit codes, and git."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import jsonschema
import numpy as np
import onnx
import pytest

import caffe_fcn
from caffe_fcn import schema
from tests.cli.conftest import CommandLine, trained
from tests.engines.nets import blobs_of
from tests.passes.nets import conv, data, fc, layer
from tests.paths import GOLDEN, ROOT

SCHEMA = json.loads((ROOT / "docs" / "schema" / "diff.json").read_bytes())
NET = ("net.prototxt", "net.caffemodel")
FCN = ("fcn.prototxt", "fcn.caffemodel")


def differs(cli: CommandLine, *arguments: str) -> Any:
    """The document of files that differ."""
    return _document(cli, 1, *arguments)


def equal(cli: CommandLine, *arguments: str) -> Any:
    """The document of files that are equal."""
    document = _document(cli, 0, *arguments)
    assert (document["layers"], document["fields"]) == ([], [])
    return document


def _document(cli: CommandLine, code: int, *arguments: str) -> Any:
    result = cli.run("diff", "--json", *arguments)
    assert (result.code, result.err) == (code, "")
    jsonschema.Draft202012Validator(SCHEMA).validate(result.document)
    assert result.document["equal"] is (code == 0)
    return result.document


def trouble(cli: CommandLine, *arguments: str) -> str:
    """What is told of files that cannot be compared."""
    result = cli.run("diff", *arguments)
    assert (result.code, result.out) == (2, b"")
    assert "defect" not in result.err and "Traceback" not in result.err
    return result.err.strip().splitlines()[-1]


def layers(document: Any) -> list[tuple[str | None, str | None]]:
    return [tuple(each and each["name"] for each in (one["old"], one["new"])) for one in document["layers"]]


# ---- What is told ----


def test_a_converted_net(digits: CommandLine) -> None:
    document = differs(digits, *NET, *FCN)
    assert layers(document) == [("ip1", "ip1-conv"), ("relu3", "relu3"), ("ip2", "ip2-conv")]
    ip1 = document["layers"][0]
    assert [ip1["old"]["type"], ip1["new"]["type"], ip1["match"]] == ["InnerProduct", "Convolution", "structure"]
    assert [(blob["sameness"], blob["reshaped"], blob["new_shape"]) for blob in ip1["blobs"]] == [
        ("identical", True, [96, 32, 3, 3])
    ]
    assert document["totals"] | {"values": 0} == {
        "layers": 11, "differing_layers": 3, "blobs": 8, "differing_blobs": 2, "tolerated_blobs": 0, "values": 0,
    }  # fmt: skip
    assert [len(equal(digits, *both)["notes"]) for both in ((*NET, *NET), (*FCN, *FCN), (FCN[0], FCN[1]))] == [0, 0, 1]
    assert layers(differs(digits, "--ignore-names", *NET, *FCN)) == [("ip1", "ip1-conv"), ("ip2", "ip2-conv")]


def test_the_text_for_people(cli: CommandLine) -> None:
    base = data() + conv("c1", "data", 4) + layer("d", "Dropout", "c1", "c1") + fc("fc", "c1", 3)
    changed = data() + conv("c1", "data", 4, more="stride: 2") + fc("fc", "c1", 3) + layer("p", "Softmax", "fc")
    cli.write(old='name: "a" ' + base, new='name: "b" ' + changed)
    result = cli.run("diff", "old.prototxt", "new.prototxt")
    assert (result.code, result.err) == (1, "")
    assert result.out.decode().splitlines() == [
        "--- old.prototxt",
        "+++ new.prototxt",
        "~ the net itself",
        '    name  "a" → "b"',
        "~ c1  Convolution",
        "    convolution_param.stride  not given → 2",
        "    shape                     1×4×6×8 → 1×4×3×4",
        "- d  Dropout",
        "+ p  Softmax",
        "3 of 5 layers differ: 1 changed, 1 gone, 1 new; 1 field of the net",
    ]
    brief = cli.run("diff", "--brief", "old.prototxt", "new.prototxt")
    assert (brief.code, brief.out.decode().splitlines()) == (1, result.out.decode().splitlines()[-1:])
    quiet = cli.run("diff", "-q", "old.prototxt", "new.prototxt")
    assert (quiet.code, quiet.out, quiet.err) == (1, b"", "")
    same = cli.run("diff", "old.prototxt", "old.prototxt")
    assert (same.code, same.out) == (0, b"equal: 4 layers\n")


def test_another_number_of_tops_is_no_other_name(cli: CommandLine) -> None:
    base = data(shape="1 4 3 3")
    cli.write(old=base + layer("s", "Split", "data", "a b"), new=base + layer("s", "Split", "data", "a b c"))
    result = cli.run("diff", "--ignore-names", "old.prototxt", "new.prototxt")
    assert (result.code, result.out.decode().splitlines()[2:]) == (
        1,
        ["~ s  Split", "    top  a, b → a, b, c", "1 of 2 layers differ: 1 changed"],
    )


def test_every_kind_of_change_of_weights(cli: CommandLine) -> None:
    random = np.random.default_rng(0)
    first = random.standard_normal((4, 3, 2, 2)).astype("f4")
    old = {
        "rgb": [first],
        "t": [first.reshape(4, 12)],
        "v": [first, first[0]],
        "n": [first],
        "s": [first],
        "g": [first],
    }
    new = {
        "rgb": [first[:, ::-1]],
        "t": [first.reshape(4, 12).T],
        "v": [first + np.float32(0.5) * (np.arange(48).reshape(first.shape) == 7), first[0]],
        "n": [first[:2]],
        "s": [first.reshape(2, 24)],
        "x": [first],
    }
    for name, weights in (("old", old), ("new", new)):
        message = schema.NetParameter()
        for each, blobs in weights.items():
            made = message.layer.add(name=each, type="Foo")
            for blob in blobs:
                made.blobs.add(data=np.ravel(blob), shape={"dim": blob.shape})
        cli.write(**{name: message.SerializeToString()})
    document = differs(cli, "--weights-only", "old.caffemodel", "new.caffemodel")
    found = {(each["old"] or each["new"])["name"]: each["blobs"][0] for each in document["layers"]}
    assert {name: blob["sameness"] for name, blob in found.items()} == {
        "rgb": "reordered", "t": "reordered", "v": "changed", "n": "other count", "s": "identical", "g": "gone",
        "x": "new",
    }  # fmt: skip
    assert (found["rgb"]["order"], found["t"]["order"]) == ("channels reversed", "transposed")
    assert found["s"]["reshaped"] and not found["v"]["reshaped"]
    deviation = found["v"]["deviation"]
    assert (deviation["differing"], round(deviation["largest"], 6)) == (1, 0.5)
    assert deviation["rms"] == pytest.approx(0.5 / 48**0.5)
    text = cli.run("diff", "--weights-only", "old.caffemodel", "new.caffemodel").out.decode()
    for line in (
        "blob 0  4×3×2×2, the same values, channels reversed",
        "blob 0  4×12 → 12×4, the same values, transposed",
        "blob 0  4×3×2×2, 1 of 48 values differ, by at most 0.5 (",
        "blob 0  4×3×2×2 → 2×3×2×2, another number of values",
        "blob 0  4×3×2×2 → 2×24, the same values",
        "- g  with weights 4×3×2×2",
        "+ x  with weights 4×3×2×2",
        "7 of 7 layers differ: 5 changed, 1 gone, 1 new; 7 of 8 parameter blobs differ",
    ):
        assert line in text


def test_tolerances(lenet: CommandLine) -> None:
    net = schema.NetParameter.FromString((lenet.path / "net.caffemodel").read_bytes())
    for each in net.layer:
        for blob in each.blobs:
            blob.data[0] += 1e-4
    lenet.write(other=net.SerializeToString())
    both = ("net.caffemodel", "other.caffemodel")
    assert differs(lenet, *both)["totals"]["differing_blobs"] == 8
    assert differs(lenet, "--atol", "1e-5", *both)["totals"]["differing_blobs"] == 8
    assert equal(lenet, "--atol", "1e-3", *both)["totals"]["tolerated_blobs"] == 8
    result = lenet.run("diff", "--atol", "1e-3", *both)
    assert b"8 blobs within the tolerance, by at most 0.0001" in result.out
    assert layers(differs(lenet, "--layers", "ip*", *both)) == [("ip1", "ip1"), ("ip2", "ip2")]


# ---- Formats ----


@pytest.mark.parametrize("case", sorted({path.name.split(".")[0] for path in (GOLDEN / "upgrades").iterdir()}))
def test_old_formats_equal_their_upgrades(cli: CommandLine, case: str) -> None:
    old, new = (str(GOLDEN / "upgrades" / f"{case}.{which}.prototxt") for which in ("in", "out"))
    assert equal(cli, old, new)["totals"]["layers"] > 0
    assert equal(cli, new, old)["compared"] == {"nets": True, "weights": False}


def test_inputs_declared_in_different_ways(cli: CommandLine) -> None:
    rest = layer("sum", "Eltwise", "a b")
    dims = "dim: 1 dim: 2 dim: 3 dim: 4"
    together = f'layer {{ name: "both" type: "Input" top: "a" top: "b" input_param {{ shape {{ {dims} }} }} }}\n'
    cli.write(
        fields=f'input: "a" input: "b" input_shape {{ {dims} }} input_shape {{ {dims} }}\n' + rest,
        together=together + rest,
        apart=data("a", "1 2 3 4") + data("b", "1 2 3 4") + rest,
        other=data("a", "1 2 3 4") + data("b", "1 2 3 5") + rest,
    )
    names = [f"{name}.prototxt" for name in ("fields", "together", "apart")]
    for one in names:
        for another in names:
            assert equal(cli, one, another)["totals"]["layers"] == 3
        assert layers(differs(cli, one, "other.prototxt")) == [("b", "b")]


def test_legacy_shapes_are_no_other_shapes(cli: CommandLine) -> None:
    current, old = schema.NetParameter(), schema.NetParameter()
    current.layer.add(name="fc", type="InnerProduct").blobs.add(data=range(6), shape={"dim": [2, 3]})
    old.layers.add(name="fc", type=14).blobs.add(data=range(6), num=1, channels=1, height=2, width=3)
    cli.write(current=current.SerializeToString(), old=old.SerializeToString())
    document = equal(cli, "--weights-only", "old.caffemodel", "current.caffemodel")
    assert document["totals"]["values"] == 6 and len(document["notes"]) == 1


def test_shared_blobs_that_a_file_has_once(cli: CommandLine) -> None:
    shared = 'param { name: "w" } param { name: "b" }'
    text = data(shape="1 4") + fc("one", "data", 4, params=shared) + fc("two", "one", 4, params=shared)
    net = schema.NetParameter()
    for name in ("one", "two"):
        made = net.layer.add(name=name, type="InnerProduct")
        for shape in ([4, 4], [4]):
            made.blobs.add(data=range(4 ** len(shape)), shape={"dim": shape})
    cli.write(net=text)
    cli.write(net=net.SerializeToString())
    with h5py.File("net.h5", "w") as file:
        for place, blob in enumerate(blobs_of(Path("net.caffemodel"))["one"]):
            file[f"data/one/{place}"] = blob
    for words in ((*NET, "net.h5"), ("net.h5", *NET), ("--weights-only", "net.prototxt", "net.h5", "net.caffemodel")):
        assert equal(cli, *words)["totals"]["blobs"] == 4
    net.layer[1].blobs[0].data[5] = 9
    cli.write(net=net.SerializeToString())
    assert layers(differs(cli, *NET, "net.h5")) == [("two", "two")]


def test_caffemodel_hdf5_and_onnx_of_one_model(digits: CommandLine) -> None:
    with h5py.File("net.h5", "w") as file:
        for name, blobs in blobs_of(Path("net.caffemodel")).items():
            for place, blob in enumerate(blobs):
                file[f"data/{name}/{place}"] = blob
    with caffe_fcn.open(*NET) as net:
        net.export("net.onnx")
    files = ("net.caffemodel", "net.h5", "net.onnx")
    for one in files:
        for other in files:
            document = equal(digits, one, other)
            assert document["compared"]["weights"] and document["totals"]["blobs"] == 8
            assert document["new"]["weights_format"] == {"net.h5": "HDF5", "net.onnx": "ONNX"}.get(other, "V2")
    assert equal(digits, "net.prototxt", "net.h5", "net.onnx")["totals"]["blobs"] == 8
    assert equal(digits, "net.onnx", "net.prototxt", "net.caffemodel")["totals"]["blobs"] == 8
    assert equal(digits, "net.prototxt", "net.prototxt", "net.h5")["compared"] == {"nets": True, "weights": False}
    document = differs(digits, "fcn.caffemodel", "net.onnx")
    assert [name for name, _ in layers(document)] == ["ip1-conv", "ip2-conv", None, None]


def test_statistics_in_onnx_are_divided_by_their_factor(cli: CommandLine) -> None:
    text = (
        data() + layer("bn", "BatchNorm", "data") + layer("sc", "Scale", "bn", params="scale_param { bias_term: true }")
    )
    net = schema.NetParameter()
    values = {"bn": [[3.0, 5], [7.0, 9], [3.0]], "sc": [[1.0, 2], [3.0, 4]]}
    for name, kind in (("bn", "BatchNorm"), ("sc", "Scale")):
        made = net.layer.add(name=name, type=kind)
        for blob in values[name]:
            made.blobs.add(data=blob, shape={"dim": [len(blob)]})
    cli.write(net=text)
    cli.write(net=net.SerializeToString())
    with caffe_fcn.open(*NET) as opened:
        opened.export("net.onnx")
    assert equal(cli, "net.caffemodel", "net.onnx")["totals"]["blobs"] == 6
    net.layer[0].blobs[2].data[0] = 2
    cli.write(other=net.SerializeToString())
    document = differs(cli, "other.caffemodel", "net.onnx")
    assert [(each["old"]["name"], [blob["blob"] for blob in each["blobs"]]) for each in document["layers"]] == [
        ("bn", ["mean", "variance"])
    ]

    with_other = Path("net.onnx").read_bytes()
    assert equal(cli, "net.onnx", "net.onnx")["totals"]["blobs"] == 6
    bare_net = schema.NetParameter(layer=[net.layer[1]])
    cli.write(bare=bare_net.SerializeToString())
    (found,) = differs(cli, "bare.caffemodel", "net.onnx")["layers"]
    assert (found["match"], [blob["blob"] for blob in found["blobs"]]) == ("new", ["scale", "bias", "mean", "variance"])
    model = onnx.load_from_string(with_other)
    next(each for each in model.graph.initializer if each.name == "bn/mean").name = "other"
    onnx.save(model, "other.onnx")
    assert differs(cli, "net.onnx", "other.onnx")["notes"] == [
        "other.onnx: initializers of other names or types are not compared: 'other'"
    ]
    for each in model.graph.initializer:
        each.name = each.name.replace("/", ".")
    onnx.save(model, "other.onnx")
    assert "initializers with names such as 'conv1/blob0'" in trouble(cli, "net.onnx", "other.onnx")


def test_folded_and_reduced_nets(cli: CommandLine) -> None:
    for name in NET:
        shutil.copy(GOLDEN / "folds" / "residual" / name, cli.path / name)
    with caffe_fcn.open(*NET) as net:
        net.fold().save("fold.prototxt", "fold.caffemodel")
    document = differs(cli, *NET, "fold.prototxt", "fold.caffemodel")
    told = {(each["old"]["type"], each["match"], each["rewired"]) for each in document["layers"]}
    gone = {("BatchNorm", "gone", False), ("Scale", "gone", False)}
    assert told == {("Convolution", "name", False), *gone}
    convolutions = [each for each in document["layers"] if each["match"] == "name"]
    assert {each["fields"][0]["path"] for each in convolutions} == {"convolution_param.bias_term"}
    assert {tuple(blob["sameness"] for blob in each["blobs"]) for each in convolutions} == {("changed", "new")}


def test_weights_of_layers_that_only_one_net_has(digits: CommandLine) -> None:
    text = (digits.path / "net.prototxt").read_text()
    digits.write(short=text.replace(text[text.index("layer", text.index('"ip1"') + 30) :], ""))
    document = differs(digits, "short.prototxt", "net.caffemodel", *NET)
    assert {each["match"] for each in document["layers"]} == {"new"}
    assert document["totals"]["differing_blobs"] == 0, "the weights are the same"


def test_shapes_of_each_phase(cli: CommandLine) -> None:
    """A shape that is the same in all phases is told once, without a phase."""
    source = 'layer { name: "data" type: "Input" top: "data" include { phase: %s } input_param { shape { %s } } }'
    base = source % ("TRAIN", "dim: 1 dim: 2 dim: 8 dim: 10") + source % ("TEST", "dim: 1 dim: 2 dim: 6 dim: 6")
    cli.write(old=base + conv("c", "data", 2), new=base + conv("c", "data", 3))
    same = base.replace("dim: 8 dim: 10", "dim: 6 dim: 6")
    cli.write(same=same + conv("c", "data", 2), wider=same + conv("c", "data", 3))
    (found,) = differs(cli, "old.prototxt", "new.prototxt")["layers"]
    assert [(each["old"][2:], each["new"][2:], each["phases"]) for each in found["shapes"]] == [
        ([6, 8], [6, 8], ["TRAIN"]),
        ([4, 4], [4, 4], ["TEST"]),
    ]
    told = cli.run("diff", "old.prototxt", "new.prototxt").out.decode()
    assert "shape" in told and "1×2×6×8 → 1×3×6×8  (TRAIN)\n" in told
    (found,) = differs(cli, "same.prototxt", "wider.prototxt")["layers"]
    assert [each["phases"] for each in found["shapes"]] == [[]]


def test_layers_of_each_phase(cli: CommandLine) -> None:
    source = (
        'layer { name: "data" type: "DummyData" top: "data" include { phase: %s } dummy_data_param { shape { %s } } }'
    )
    dims = "dim: 1 dim: 2 dim: 8 dim: 10"
    base = source % ("TRAIN", dims) + source % ("TEST", dims) + conv("c", "data", 2)
    staged = layer("extra", "ReLU", "c", params='include { stage: "deploy" }')
    cli.write(old=base + staged, new=base + staged, other=base.replace("dim: 1 ", "dim: 4 ", 1) + staged)
    cli.write(more=base + staged.replace("ReLU", "TanH"), deploy=data() + conv("c", "data", 2))
    assert equal(cli, "old.prototxt", "new.prototxt")["totals"]["layers"] == 4
    (found,) = differs(cli, "old.prototxt", "other.prototxt")["layers"]
    assert (found["old"]["name"], found["phases"]) == ("data", ["TRAIN"])
    assert [field["path"] for field in found["fields"]] == ["dummy_data_param.shape[0].dim"]
    assert layers(differs(cli, "old.prototxt", "more.prototxt")) == [("extra", "extra")]
    ruled = layer("extra", "ReLU", "c", params="include { phase: TEST }")
    cli.write(ruled=base + ruled, unruled=base + layer("extra", "ReLU", "c"))
    for both in (("ruled.prototxt", "unruled.prototxt"), ("unruled.prototxt", "ruled.prototxt")):
        assert layers(differs(cli, *both)) == [("extra", "extra")], "gone in one phase, paired in the other"
    every = base[base.index("layer", 5) :].replace("include { phase: TEST } ", "") + staged
    cli.write(every=every)
    document = differs(cli, "old.prototxt", "every.prototxt")
    assert layers(document) == [("data", "data"), ("data", "data")], "paired in the phase that each has"
    assert [each["fields"][0]["new"] for each in document["layers"]] == [None, None]
    assert layers(differs(cli, "old.prototxt", "deploy.prototxt"))[-1] == ("extra", None)


def test_the_net_in_a_caffemodel_has_no_phase_rules(cli: CommandLine) -> None:
    train = layer("data", "DummyData", "", "data", params="""include { phase: TRAIN }
        dummy_data_param { shape { dim: 1 dim: 2 dim: 8 dim: 10 } }""")  # fmt: skip
    cli.write(old=train + train.replace("TRAIN", "TEST") + fc("fc", "data", 3))
    net = schema.NetParameter()
    made = net.layer.add(name="data", type="DummyData", top=["data"], phase=0)
    made.dummy_data_param.shape.add(dim=[1, 2, 8, 10])
    made = net.layer.add(name="fc", type="InnerProduct", bottom=["data"], top=["fc"], phase=0)
    made.inner_product_param.num_output = 3
    made.blobs.add(data=[0] * 480, shape={"dim": [3, 160]})
    cli.write(new=net.SerializeToString())
    assert equal(cli, "old.prototxt", "new.caffemodel")["totals"]["layers"] == 2
    assert equal(cli, "--phase", "test", "old.prototxt", "new.caffemodel")["totals"]["layers"] == 2


def test_a_net_that_caffe_does_not_build_is_compared(cli: CommandLine) -> None:
    broken = data() + fc("fc", "nothing", 3)
    cli.write(old=broken, new=broken.replace("num_output: 3", "num_output: 4"))
    result = cli.run("diff", "old.prototxt", "new.prototxt")
    assert result.code == 1 and "num_output  3 → 4" in result.out.decode()
    assert "1 of 2 layers differ" in result.out.decode()
    assert result.err.startswith("note: compared without the wiring, because Caffe would not build a net: ")


# ---- Trouble ----


def test_all_trouble_has_the_exit_code_2(digits: CommandLine) -> None:
    digits.write(cut=(digits.path / "net.caffemodel").read_bytes()[:-1], bad="layer {", words="what { is: 1 }")
    (digits.path / "other.png").write_bytes((digits.path / "scattered.png").read_bytes())
    assert trouble(digits, "net.prototxt", "missing.prototxt") == (
        "caffe-fcn: missing.prototxt: No such file or directory"
    )
    assert "cut.caffemodel" in trouble(digits, "net.caffemodel", "cut.caffemodel")
    assert trouble(digits, "net.prototxt", "bad.prototxt")
    assert "a picture" in trouble(digits, "net.prototxt", "other.png")
    assert "expected two nets" in trouble(digits, "net.prototxt")
    assert "expected two nets" in trouble(digits, "net.caffemodel", "fcn.caffemodel", "net.caffemodel")
    assert "only one file" in trouble(digits, "-", "-")
    assert "a file's name is empty" in trouble(digits, "net.prototxt", "")
    assert "a number from 0 on" in trouble(digits, *NET, "--rtol", "-1")
    assert "a layer with the name 'fc*'" in trouble(digits, *NET, *FCN, "--layers", "fc*")
    with caffe_fcn.open(*NET) as net:
        net.export("net.onnx")
    assert "expected a net to compare" in trouble(digits, "net.prototxt", "net.onnx")


def test_stdin(digits: CommandLine) -> None:
    result = digits.run("diff", "-", "net.prototxt", stdin=(digits.path / "net.prototxt").read_bytes())
    assert (result.code, result.out) == (0, b"equal: 11 layers\n")


@pytest.mark.thorough
def test_many_layers_of_one_name_take_linear_time(cli: CommandLine) -> None:
    many = "".join(layer("x", "ReLU", "data", "data") for _ in range(600))
    cli.write(old=data() + many, new=data() + many.replace("ReLU", "TanH"))
    assert cli.run("diff", "--brief", "old.prototxt", "new.prototxt").out == b"600 of 601 layers differ: 600 changed\n"
    one: list[tuple[str, str, list[tuple[int, ...]]]] = [("x", "Foo", [(1,)])]
    cli.write(old=trained(*one * 600), new=trained(*one * 599))
    (found,) = differs(cli, "--weights-only", "old.caffemodel", "new.caffemodel")["layers"]
    assert [blob["sameness"] for blob in found["blobs"]] == ["gone"]


def test_names_cannot_steer_a_terminal(cli: CommandLine) -> None:
    evil = "\\033[31m\\n"
    cli.write(old=data() + layer(evil, "ReLU", "data"), new=data())
    out = cli.run("diff", "old.prototxt", "new.prototxt").out
    assert b"\x1b" not in out and len(out.splitlines()) == 4


def test_a_default_is_told_as_such_only_where_it_is_not_given(cli: CommandLine) -> None:
    pools = ("pool: MAX", "", "pool: AVE")
    nets = (
        data() + layer("p", "Pooling", "data", params=f"pooling_param {{ kernel_size: 2 {pool} }}") for pool in pools
    )
    cli.write(**dict(zip(("given", "bare", "other"), nets, strict=True)))
    for name, told in (("given", "MAX"), ("bare", "MAX (default)")):
        out = cli.run("diff", f"{name}.prototxt", "other.prototxt").out.decode()
        assert f"    pooling_param.pool  {told} → AVE\n" in out
    assert cli.run("diff", "given.prototxt", "bare.prototxt").code == 0


def test_who_makes_another_blob_is_told(cli: CommandLine) -> None:
    base = data() + conv("c", "data", 4)
    cli.write(
        old=base + layer("r", "ReLU", "c", "c") + layer("s", "Softmax", "c"),
        new=base + layer("r", "ReLU", "c", "r") + layer("s", "Softmax", "c"),
    )
    out = cli.run("diff", "old.prototxt", "new.prototxt").out.decode()
    assert "    bottom  c → c  (made by r, now by c)\n" in out
    found = differs(cli, "old.prototxt", "new.prototxt")["layers"]
    assert found[-1]["makers"] == {"old": ["r"], "new": ["c"]} and found[0]["makers"] is None


def test_huge_differences_are_told_in_few_words(digits: CommandLine) -> None:
    net = schema.NetParameter.FromString((digits.path / "net.caffemodel").read_bytes())
    next(each for each in net.layer if each.name == "conv2").blobs[0].data[3] = 2e37
    (digits.path / "large.caffemodel").write_bytes(net.SerializeToString())
    out = digits.run("diff", "net.caffemodel", "large.caffemodel").out.decode()
    assert ", by at most 2e+37 (more than 1,000 times the largest old value), RMS " in out


# ---- git ----


@pytest.fixture
def repository(digits: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A git repository with a net in two versions, and the driver."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git(digits, "init", "-q")
    for key, value in (
        ("user.name", "x"),
        ("user.email", "x@example.org"),
        ("diff.caffe.command", f"'{sys.executable}' -m caffe_fcn diff --git"),
        ("diff.caffemodel.command", f"'{sys.executable}' -m caffe_fcn diff --git"),
        ("diff.caffemodel.textconv", f"'{sys.executable}' -m caffe_fcn inspect --weights --csv"),
    ):
        git(digits, "config", key, value)
    (digits.path / ".gitattributes").write_text("*.prototxt diff=caffe\n*.caffemodel diff=caffemodel\n")
    git(digits, "add", ".gitattributes", *NET)
    git(digits, "commit", "-qm", "first")
    shutil.copy(digits.path / "fcn.prototxt", digits.path / "net.prototxt")
    shutil.copy(digits.path / "fcn.caffemodel", digits.path / "net.caffemodel")
    return digits


def git(cli: CommandLine, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["git", *arguments], cwd=cli.path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.thorough
def test_git_shows_the_differences(repository: CommandLine) -> None:
    told = git(repository, "diff")
    assert told.count("diff --git a/net.") == 2
    assert "~ ip1 → ip1-conv  InnerProduct → Convolution" in told
    assert "blob 0       96×288 → 96×32×3×3, the same values" in told
    git(repository, "commit", "-qam", "second")
    assert "~ ip1 → ip1-conv" in git(repository, "log", "-p", "--ext-diff", "-1")
    assert "~ ip1 → ip1-conv" in git(repository, "show", "--ext-diff")
    assert "\n-ip1,0,96x288" in git(repository, "show")
    git(repository, "rm", "-q", "net.caffemodel")
    assert "deleted file: 11 layers, 33,867 values in 8 parameter blobs" in git(repository, "diff", "--cached")
    git(repository, "reset", "-q", "--hard")
    git(repository, "add", "fcn.prototxt")
    assert "new file: 11 layers" in git(repository, "diff", "--cached")
    (repository.path / "net.prototxt").write_text("layer {")
    edited = git(repository, "diff", "net.prototxt").splitlines()
    assert edited[1].startswith("note: not compared as nets: b/net.prototxt:1:8: expected '}'")
    assert edited[2:6] == ["  layer {", "         ^", "--- a/net.prototxt", "+++ b/net.prototxt"]
    assert "+layer {" in edited


def told_to_git(cli: CommandLine, old: str, new: str) -> list[str]:
    """What git shows of two versions of a file, without its name."""
    result = cli.run("diff", "--git", "a", old, "1", "2", new, "3", "4")
    assert (result.code, result.err) == (0, "")
    return result.out.decode().splitlines()[1:]


def test_git_shows_texts_that_are_no_nets(cli: CommandLine) -> None:
    cli.write(old="net: 'x'\nbase_lr: 0.1\n\tgamma: 1\n", new="net: 'x'\nbase_lr: 0.2\n\tgamma: 1")
    lines = told_to_git(cli, "old.prototxt", "new.prototxt")
    assert lines[0].startswith("note: not compared as nets: a/a:1:1: expected a net") and "?" not in "".join(lines[1:])
    assert lines[1:] == [
        *("  net: 'x'", "  ^", "--- a/a", "+++ b/a", "@@ -1,3 +1,3 @@", " net: 'x'"),
        *("-base_lr: 0.1", "-        gamma: 1", "+base_lr: 0.2", "+        gamma: 1", "\\ No newline at end of file"),
    ]
    assert told_to_git(cli, os.devnull, "old.prototxt")[3:6] == ["--- /dev/null", "+++ b/a", "@@ -0,0 +1,3 @@"]


def test_git_shows_texts_of_equal_nets(cli: CommandLine) -> None:
    cli.write(old=data() + layer("r", "ReLU", "data"), new="# why\n" + data() + layer("r", "ReLU", "data"))
    lines = told_to_git(cli, "old.prototxt", "new.prototxt")
    assert lines[:2] == ["equal: 2 layers", "note: the nets are equal, these files are not"] and "+# why" in lines
    assert told_to_git(cli, "old.prototxt", "old.prototxt") == ["equal: 2 layers"]


def test_git_shows_that_other_files_differ(cli: CommandLine) -> None:
    for name, content in (("damaged", b"\0\7\x7f"), ("long", b"#" * (9 << 20)), ("empty", b"")):
        (cli.path / name).write_bytes(content)
    (cli.path / "repeated").write_text("".join(f"{place % 150}\n" for place in range(60_000)))
    (cli.path / "reversed").write_text("".join(f"{place % 150}\n" for place in range(60_000, 0, -1)))
    assert told_to_git(cli, "damaged", "empty")[1:] == ["Binary files a/a and b/a differ"]
    for old, new in (("long", "empty"), ("repeated", "reversed")):
        assert told_to_git(cli, old, new)[-1:] == ["Texts a/a and b/a differ; they are too long to show where"]
    assert told_to_git(cli, "empty", "gone")[1:] == ["gone: No such file or directory"]


def test_what_git_gives(digits: CommandLine) -> None:
    told = digits.run(
        "diff", "--git", "a.prototxt", "net.prototxt", "1", "2", "fcn.prototxt", "3", "4", "b.prototxt", "x"
    )
    assert (told.code, told.out.decode().splitlines()[0]) == (0, "diff --git a/a.prototxt b/b.prototxt")
    assert digits.run("diff", "--git", "a.prototxt").out == b"* Unmerged path a.prototxt\n"
    assert digits.run("diff", "--git", "a", "b").code == 2
    assert digits.run("diff", "--git", "--json", "a").code == 2


def test_colours(digits: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("diff", "--git", "a", "net.prototxt", "1", "2", "fcn.prototxt", "3", "4")
    assert b"\x1b" not in digits.run(*words).out
    monkeypatch.setenv("GIT_PAGER_IN_USE", "true")
    assert "\x1b[33m~ ip1 → ip1-conv  InnerProduct → Convolution\x1b[0m\n" in digits.run(*words).out.decode()
    monkeypatch.setenv("NO_COLOR", "1")
    assert b"\x1b" not in digits.run(*words).out


# ---- The library ----


def test_the_library(digits: CommandLine) -> None:
    with caffe_fcn.open(*NET) as net, net.convolutionalize() as fcn:
        found = caffe_fcn.diff(net, fcn)
        assert [each.new for each in found.layers] == ["ip1-conv", "relu3", "ip2-conv"]
        assert found and not found.equal and "~ ip1 → ip1-conv" in str(found) and "3 layers differ" in repr(found)
        assert found.report()["totals"] == differs(digits, *NET, *FCN)["totals"]
        assert not caffe_fcn.diff(fcn, FCN) and caffe_fcn.diff(net, "net.caffemodel").equal
    with pytest.raises(ValueError, match="expected a file"):
        caffe_fcn.diff([], "net.prototxt")
    with pytest.raises(ValueError, match="rtol: expected a number from 0 on"):
        caffe_fcn.diff("net.prototxt", "net.prototxt", rtol=-1)


@pytest.mark.thorough
def test_pipes_of_a_shell(digits: CommandLine) -> None:
    program = f"'{sys.executable}' -m caffe_fcn"
    words = f"{program} diff <(sed s/96/97/ net.prototxt) <(cat net.prototxt); {program} inspect <(cat net.prototxt)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", words], cwd=digits.path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told = done.stdout.decode()
    assert "num_output  97 → 96" in told and "Digits  /dev/fd/" in told
