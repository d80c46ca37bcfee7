"""The library: its names, and that it does what the command line does."""

from __future__ import annotations

import gc
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn import api, schema
from caffe_fcn.cli.main import run
from caffe_fcn.engines.options import ENGINES
from caffe_fcn.errors import (
    CaffeFcnError,
    CaffemodelError,
    EngineError,
    LoweringError,
    NetError,
    OutputError,
    PictureError,
    ShapeError,
    SurgeryError,
    VerificationError,
    WeightsError,
)
from caffe_fcn.files import prototxt
from caffe_fcn.net.options import Selection
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.table import PASSES
from caffe_fcn.verify.weights import prove_weights
from tests.engines.nets import net_of, opened, weights_of
from tests.paths import GOLDEN, ROOT

LENET = GOLDEN / "conversions" / "lenet"
NAMES = """
Benchmark Best BlobDiff BlobRecord CaffeFcnError CaffemodelError Change ChangedField ChangedShape ChannelRange
Checked ClassArea ClassRank DenseMap Deviation DrawnNet EngineError Export ExtraError LayerDiff LayerMatch
LayerRecord LeftAlone LoweringError NamedValue Net NetDifference NetError NetInspection NetShapes OutputError Peak
PictureError Prediction Problem PrototxtError Reordering Sameness SavedReport SegmentationScore Session Shape
ShapeError Status SurgeryError ToConvolution Unknown Verification VerificationError WeightFile WeightsError
__version__ check convert diff open open_weights score
""".split()
"""What scripts may rely on: a name that goes, or comes, is a decision."""

METHODS = """
changes close converted convolutionalize draw export inspect left_alone load model name names notes report run save
save_report save_training shapes text text_diff upgrade verify weights
""".split()
"""And what a net has, beside a method for each command of a pass."""


def session_of(path: str) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture
def lenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(LENET / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def net(lenet: Path) -> Iterator[caffe_fcn.Net]:
    """LeNet, open."""
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as opened:
        yield opened


def test_the_public_names() -> None:
    assert sorted(NAMES) == dir(caffe_fcn)
    everything: dict[str, Any] = {}
    exec("from caffe_fcn import *", everything)
    assert {*NAMES} <= everything.keys()
    assert all(getattr(caffe_fcn, name) is getattr(api, name) for name in api.__all__)
    passes = {name for name, row in PASSES.items() if row.help} - {"convert"}  # which is convolutionalize here
    assert sorted({*METHODS, *passes}) == sorted({name for name in dir(caffe_fcn.Net) if name[0] != "_"} | {"model"})
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        caffe_fcn.nothing  # type: ignore[attr-defined]  # noqa: B018


def _results(owner: Any) -> Iterator[tuple[str, str]]:
    """The names of what the methods and properties of OWNER, a class, or a function return."""
    members = [(name, each) for name, each in vars(owner).items() if name[0] != "_"] if isinstance(owner, type) else []
    for name, each in members or [(owner.__name__, owner)]:
        function: Any = each.fget if isinstance(each, property) else getattr(each, "__func__", each)
        for word in re.findall(r"[A-Z]\w+", str(getattr(function, "__annotations__", {}).get("return", ""))):
            yield f"{owner.__name__}.{name}", word


def test_what_the_library_returns_is_public() -> None:
    owners = [getattr(caffe_fcn, name) for name in api.__all__]
    classes = [each for each in owners if callable(each) and each.__module__.startswith("caffe_fcn.api")]
    found = {(place, word) for owner in classes for place, word in _results(owner)}
    assert ("Prediction.values", "NamedValue") in found
    strangers = {
        each
        for each in found
        if each[1] not in {*api.__all__, "Any", "Array", "Callable", "Iterator", "Mapping", "None", "Path", "Sequence"}
    }
    assert not strangers


@pytest.mark.thorough
def test_importing_the_package_loads_next_to_nothing() -> None:
    script = "import sys, caffe_fcn; print([n for n in sys.modules if n.split('.')[0] in ('numpy', 'google', 'click')])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def examples() -> Iterator[str]:
    """The program at the head of the library, and the one in README."""
    head = inspect.cleandoc(api.__doc__ or "").splitlines()
    yield "\n".join(line[4:] for line in head if line[:4] == "    ")
    yield re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0]


@pytest.mark.thorough
@pytest.mark.parametrize("example", [*examples()], ids=["api", "README"])
def test_the_examples_run(example: str, lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("net.prototxt", "deploy.prototxt")
    example = example.replace("(451, 451)", "(44, 60)").replace("(104, 117, 123)", "33").replace("281", "7")
    for name in ("picture", "street"):
        example = re.sub(rf"{name}\.\w+", f"{name}.npy", example)
        np.save(f"{name}.npy", np.zeros((44, 60)))
    exec(compile(example, "example", "exec"), {})
    told = capsys.readouterr().out
    assert "\nTrue\n" in told or told.startswith("True\n")
    assert "[Best(" in told and Path("cats.png").read_bytes().startswith(b"\x89PNG")
    assert run("convert net.prototxt net.caffemodel --input-size 44x60 -q --force".split()) == 0
    assert Path("deploy_fcn.prototxt").read_bytes() == Path("net_fcn.prototxt").read_bytes()


def test_what_a_conversion_tells(net: caffe_fcn.Net, capsys: pytest.CaptureFixture[str]) -> None:
    fcn = net.convolutionalize()
    first, second = fcn.converted
    assert (first.layer, first.kernel, first.weight_shape, first.parameters) == ("ip1", (4, 4), (32, 12, 4, 4), 6176)
    assert (second.layer, second.kernel) == ("ip2", (1, 1)) and first in fcn.changes
    skipping = net.convolutionalize(skip=["ip1"])
    assert skipping.converted == () and skipping.names == {}
    assert [entry.layer for entry in skipping.left_alone] == ["ip1", "ip2"]
    assert [*net.changes, *net.converted, *net.left_alone] == [] and net.names == {} and net.text_diff("x") == ""
    assert run(["convert", "net.prototxt", "net.caffemodel", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {**fcn.report(), "outputs": None} == {**told, "outputs": None}
    with pytest.raises(SurgeryError, match="expected a net made by convolutionalize"):
        net.report()


def test_shapes_by_name(net: caffe_fcn.Net) -> None:
    assert net.shapes.blobs["pool2"] == (1, 12, 4, 4) and net.shapes.blobs["ip1"] == (1, 32)
    assert net.shapes.params["ip1"] == ((32, 192), (32,)) and net.shapes.params["relu1"] == ()
    fcn = net.convolutionalize(input_size=(44, 60)).shapes
    assert fcn.blobs["prob"] == (1, 10, 5, 9) and fcn.params["ip1-conv"] == ((32, 12, 4, 4), (32,))
    assert net.notes == ()


def test_shapes_that_are_given_or_not_known(tmp_path: Path) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text('layer { name: "d" type: "Odd" top: "d" }')
    unknown = caffe_fcn.open(path).shapes.blobs["d"]
    assert isinstance(unknown, caffe_fcn.Unknown) and unknown.layer == "d"
    assert caffe_fcn.open(path, shapes={"d": [1, 2, 3, 4]}).shapes.blobs["d"] == (1, 2, 3, 4)


def test_weights_in_hdf5(tmp_path: Path) -> None:
    with caffe_fcn.open(LENET / "net.prototxt", LENET / "variants" / "net.caffemodel.h5") as net:
        assert net.shapes.blobs["prob"] == (1, 10)
        fcn = net.convolutionalize()
        assert fcn.verify(LENET / "net.prototxt", LENET / "net.caffemodel").holds
        fcn.save(output_weights=tmp_path / "fcn.caffemodel.h5")


def test_convert_does_what_the_command_does(lenet: Path) -> None:
    fcn = caffe_fcn.convert("net.prototxt", "net.caffemodel", rename=[r"ip(\d)=dense\1"])
    assert fcn.names == {"ip1": "dense1", "ip2": "dense2"}
    command = ["convert", "net.prototxt", "net.caffemodel", "--rename", r"ip(\d)=dense\1", "-q"]
    assert run([*command, "-o", "c.prototxt", "-w", "c.caffemodel"]) == 0
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as net:
        net.convolutionalize(rename=r"ip(\d)=dense\1").save("s.prototxt", "s.caffemodel")
    for suffix in ("prototxt", "caffemodel"):
        made = [Path(f"{name}.{suffix}").read_bytes() for name in ("net_fcn", "c", "s")]
        assert made[0] == made[1] == made[2]
    assert caffe_fcn.convert(Path("net.caffemodel"), output="d.prototxt", output_weights="d.caffemodel").converted
    with pytest.raises(OutputError, match="already exists"):
        caffe_fcn.convert("net.prototxt", "net.caffemodel")
    caffe_fcn.convert("net.prototxt", "net.caffemodel", force=True)


@pytest.mark.thorough
def test_a_conversion_is_written_if_it_is_proven(lenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caffe_fcn.convert("net.prototxt", "net.caffemodel", "a.prototxt", "a.caffemodel")
    caffe_fcn.convert("net.prototxt", "net.caffemodel", "b.prototxt", "b.caffemodel", verify=True, engine="opencv")
    assert Path("a.caffemodel").read_bytes() == Path("b.caffemodel").read_bytes()
    with pytest.raises(ValueError, match="verify: expected weights to convert as well, found none"):
        caffe_fcn.convert("net.prototxt", verify=True)

    def failing(*sides: Any) -> Any:
        return prove_weights(*sides)._replace(failures=("a weight went astray",))

    monkeypatch.setattr("caffe_fcn.verify.work.prove_weights", failing)
    with pytest.raises(VerificationError, match="a weight went astray; nothing was written"):
        caffe_fcn.convert("net.prototxt", "net.caffemodel", "c.prototxt", "c.caffemodel", verify=True)
    assert not Path("c.prototxt").exists() and not Path("c.caffemodel").exists()


def test_the_options_of_a_conversion(net: caffe_fcn.Net) -> None:
    assert net.convolutionalize(input_size=44).report()["input_size"] == [44, 44]
    assert net.convolutionalize(suffix="").names == {}
    assert [edit.layer for edit in caffe_fcn.open("net.prototxt", phase="TRAIN").convolutionalize(only="ip1").converted]
    with pytest.raises(SurgeryError, match="strict=True"):
        text = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 5 } } } layer { name: "ip" '
        Path("flat.prototxt").write_text(
            text + 'type: "InnerProduct" bottom: "d" top: "ip" inner_product_param { num_output: 2 } }'
        )
        caffe_fcn.open("flat.prototxt").convolutionalize(strict=True)
    with pytest.raises(ValueError, match="global_pooling"):
        net.convolutionalize(global_pooling="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="input_size"):
        net.convolutionalize(input_size=())
    with pytest.raises(ShapeError, match=r"net\.prototxt"):
        caffe_fcn.open("net.prototxt", shapes={"data": (1, 1, 9, 9)})


def test_passes_follow_each_other(tmp_path: Path) -> None:
    """Folded and then converted, or converted and then folded: the same net."""
    folder = GOLDEN / "conversions" / "resnet"
    with caffe_fcn.open(folder / "net.prototxt", folder / "net.caffemodel", phase="TEST") as net:
        folded = net.fold()
        one, other = folded.convolutionalize(), net.convolutionalize().fold()
        assert one.text == other.text and b"BatchNorm" in net.text and b"BatchNorm" not in one.text
        image = np.random.default_rng(0).standard_normal((1, 3, 32, 32))
        (answer,), (found,) = (each.load().run({"data": image}).values() for each in (net, one))
    np.testing.assert_allclose(found.ravel(), answer.ravel(), rtol=1e-3, atol=1e-5)


def test_writing_needs_what_there_is_to_write(lenet: Path) -> None:
    fcn = caffe_fcn.open("net.prototxt").convolutionalize()
    with pytest.raises(SurgeryError, match="without weights"):
        fcn.save("a.prototxt", "a.caffemodel")
    with pytest.raises(OutputError, match="same file as the input"):
        fcn.save("net.prototxt", force=True)
    fcn.save("a.prototxt")
    assert Path("a.prototxt").read_bytes() == fcn.text
    with pytest.raises(SurgeryError, match="expected a net with weights, found none"):
        fcn.load()


def test_one_name_will_do_for_several(net: caffe_fcn.Net) -> None:
    assert [edit.layer for edit in net.convolutionalize(only="ip1").converted] == ["ip1"]
    assert net.convolutionalize(rename=r"ip(\d)=dense\1").names["ip1"] == "dense1"
    with pytest.raises(CaffeFcnError, match="no layer has a rule for the stage 'foo'"):
        caffe_fcn.open("net.prototxt", stages="foo")


def test_closed_weights_say_so(net: caffe_fcn.Net) -> None:
    fcn, weights = net.convolutionalize(), net.weights
    net.close()
    assert weights is not None
    with pytest.raises(CaffemodelError, match="has been closed; open it again"):
        weights.read_values(weights.layers[1].blobs[0], 0, 1)
    with pytest.raises(CaffeFcnError):
        fcn.save("a.prototxt", "a.caffemodel")
    assert not Path("a.prototxt").exists() and not Path("a.caffemodel").exists()


@pytest.mark.thorough
def test_a_net_that_is_forgotten_leaves_no_file_open(lenet: Path) -> None:
    before = {*os.listdir("/proc/self/fd")}
    fcn = caffe_fcn.open("net.prototxt", "net.caffemodel").convolutionalize()
    gc.collect()
    assert fcn.load().run({"data": np.zeros((1, 1, 28, 28))})["prob"].shape == (1, 10, 1, 1)
    del fcn
    gc.collect()
    assert {*os.listdir("/proc/self/fd")} <= before


def test_what_is_shown_of_a_net_is_short(net: caffe_fcn.Net) -> None:
    fcn = net.convolutionalize()
    assert repr(net) == "<Net net.prototxt: 9 layers, 4 with weights>"
    assert repr(fcn) == "<Net net.prototxt: 9 layers, 4 with weights; 2 changed>"
    assert repr(fcn.converted[1]).startswith("<ToConvolution 'ip2': ")
    assert all("\n" not in repr(edit) and repr(edit).startswith("<") for edit in fcn.changes)


def test_help_tells_every_keyword() -> None:
    """In the signature with its default, and below the docstring with its meaning."""
    every = [*vars(api).values(), *vars(caffe_fcn.Net).values()]
    functions = [each for each in every if inspect.isfunction(each) and hasattr(each, "__wrapped__")]
    assert {caffe_fcn.open, caffe_fcn.convert, caffe_fcn.Net.run, caffe_fcn.Net.verify} <= {*functions}
    for function in functions:
        told, parameters = function.__doc__ or "", inspect.signature(function).parameters.values()
        assert not any(each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL) for each in parameters)
        silent = [
            each.name for each in parameters if each.kind is each.KEYWORD_ONLY and f"- `{each.name}`: " not in told
        ]
        assert silent == []
    assert str(inspect.signature(caffe_fcn.Net.verify)).count("samples: 'int' = 8") == 1


# ---- Checking, showing, upgrading ----


def test_files_and_nets_are_checked(net: caffe_fcn.Net, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.prototxt").write_text('layer {\n  name: "a" type: "Split" bottom: "x"\n}')
    Path("fork.prototxt").write_text('layer { name: "n" type: "Normalize" bottom: "x" top: "n" }\n')
    names = ["net.prototxt", "net.caffemodel", "bad.prototxt", "nowhere"]
    found = caffe_fcn.check(names)
    assert run(["check", *names, "--json"]) == 1
    assert [each.report() for each in found] == json.loads(capsys.readouterr().out)
    assert [each.ok for each in found] == [True, True, False, False]
    assert found[2].errors[0].line == 1 and 'needs the blob "x"' in found[2].errors[0].message
    assert found[3].unreadable == "No such file or directory"
    (own,) = caffe_fcn.check(net)
    assert own.ok and repr(own) == "<Checked net.prototxt: ok>" and own.file == "net.prototxt"
    (made,) = caffe_fcn.check([net.convolutionalize()], strict=True)
    assert made.ok and made.errors == made.notes == ()
    (lenient,), (strict,) = caffe_fcn.check("fork.prototxt"), caffe_fcn.check(Path("fork.prototxt"), strict=True)
    assert len(lenient.notes) == 1 and len(strict.errors) == len(lenient.errors) + 1 and strict.notes == ()
    with pytest.raises(TypeError, match="check: files: expected a path"):
        caffe_fcn.check(3)  # type: ignore[arg-type]


def test_a_net_is_shown(
    net: caffe_fcn.Net, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    command = ["inspect", "net.prototxt", "net.caffemodel"]
    assert run([*command, "--json"]) == 0
    assert net.inspect().report() == json.loads(capsys.readouterr().out)
    assert run(command) == 0
    assert str(net.inspect()) == capsys.readouterr().out
    fcn = net.convolutionalize()
    fcn.save("fcn.prototxt", "fcn.caffemodel")
    options = ["--input-size", "44x44", "--geometry", "--weights", "--layers", "ip*", "--json"]
    assert run(["inspect", "fcn.prototxt", "fcn.caffemodel", *options]) == 0
    told = json.loads(capsys.readouterr().out)
    mine = fcn.inspect(input_size=44, geometry=True, statistics=True, layers="ip*")
    same = {name: told[name] for name in ("layers", "blobs", "totals", "selected", "input_size")}
    assert {name: mine.report()[name] for name in same} == same and len(told["blobs"]) == 4
    assert repr(mine) == "<NetInspection of net.prototxt: 2 layers>" and mine.notes == () and "ip1-conv" in mine.csv()
    bare = caffe_fcn.open("net.prototxt").convolutionalize()
    assert bare.inspect().report()["weights"] is None
    with pytest.raises(SurgeryError, match="expected a net with weights, for their statistics, found none"):
        bare.inspect(statistics=True)


@pytest.mark.parametrize("name", "batchnorm_params input_fields v0_net v1_deploy v1_train_val".split())
def test_an_upgraded_net_is_that_of_the_command(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, new = str(GOLDEN / "upgrades" / f"{name}.in.prototxt"), tmp_path / "new.prototxt"
    assert run(["upgrade", path, str(new), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    made = caffe_fcn.open(path).upgrade()
    assert made.text == new.read_bytes()
    same = ("input", "kind", "format", "changes")
    assert {name: made.report()[name] for name in same} == {name: told[name] for name in same}


def test_upgraded_weights_are_current(lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for variant in ("v1", "unpacked", "double"):
        with caffe_fcn.open("net.prototxt", LENET / "variants" / f"{variant}.caffemodel") as old:
            made = old.upgrade()
            made.save("new.prototxt", "new.caffemodel", force=True)
            assert made.verify(old, proofs="weights").holds and Path("new.prototxt").read_bytes() == old.text
        capsys.readouterr()
        assert run(["upgrade", "new.caffemodel", "again.caffemodel", "--dry-run"]) == 0
        assert capsys.readouterr().err.startswith("new.caffemodel: already up to date")
        assert bool(made.changes) == (variant != "double")


def test_a_net_is_upgraded_for_bvlc_caffe(tmp_path: Path) -> None:
    case = ROOT / "tests" / "cases" / "bn_fork"
    outputs = [tmp_path / name for name in ("a.prototxt", "a.caffemodel", "b.prototxt", "b.caffemodel")]
    inputs = [f"{case}.prototxt", f"{case}.caffemodel"]
    command = ["upgrade", *inputs, "-o", str(outputs[0]), "-w", str(outputs[1]), "--for", "bvlc", "-q"]
    assert run(command) == 0
    with caffe_fcn.open(*inputs) as net:
        net.upgrade(target="bvlc").save(*outputs[2:])
        assert net.upgrade().text == net.text
    assert outputs[0].read_bytes() == outputs[2].read_bytes()
    with caffe_fcn.open(*outputs[:2]) as one, caffe_fcn.open(*outputs[2:]) as other:
        assert other.verify(one, proofs="weights").holds
    with pytest.raises(NetError, match="has a scale or a ReLU of its own"):
        caffe_fcn.open(inputs[0]).upgrade(target="bvlc")


# ---- Proving, writing as ONNX, running ----


@pytest.mark.thorough
def test_a_verification(net: caffe_fcn.Net) -> None:
    fcn = net.convolutionalize()
    found = fcn.verify(net)
    assert found.holds and set(found.statuses.values()) == {caffe_fcn.Status.HOLDS}
    assert (found.net, found.fcn) == ("net.prototxt", "net.prototxt")
    only = fcn.verify(net, proofs="same-size", samples=2, seed=3, pictures=[np.zeros((1, 28, 28))], threads=1)
    assert [*only.statuses] == ["same size"] and only.same_size is not None
    assert (only.same_size.samples, only.same_size.seed, only.same_size.given) == (2, 3, 1)
    fcn.save("fcn.prototxt", "fcn.caffemodel")
    with caffe_fcn.open("fcn.prototxt", "fcn.caffemodel") as read:
        assert read.verify("net.prototxt", "net.caffemodel", proofs="weights").holds
        assert not net.verify(read, proofs="weights").holds
    with caffe_fcn.open("fcn.prototxt") as bare, pytest.raises(SurgeryError, match="expected a net with weights"):
        bare.verify(net)
    bad: list[dict[str, Any]] = [{"proofs": "dens"}, {"samples": 0}, {"seed": -1}, {"tolerance": float("nan")}]
    for options in bad:
        with pytest.raises(ValueError, match=f"{next(iter(options))}.*: expected"):
            fcn.verify(net, **options)
    with pytest.raises(ValueError, match="engine: expected"):
        fcn.verify(net, engine="tea")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="original_weights: expected none"):
        fcn.verify(net, "net.caffemodel")


def test_an_export(net: caffe_fcn.Net) -> None:
    Path("names").write_text("\n".join(map(str, range(10))))
    fcn = net.convolutionalize()
    made = fcn.export("a.onnx", mean=33, scale=0.5, labels="names", external_data=True, expand_lrn=True)
    assert [*made.files] == ["a.onnx", "a.onnx.data"] and made.files["a.onnx"] == Path("a.onnx").stat().st_size
    assert made.inputs == {"data": ("batch", 1, "height", "width")}
    assert made.outputs == {"prob": ("batch", 10, None, None)}
    assert made.fixed == made.notes == () and repr(made) == "<Export of net.prototxt: a.onnx, a.onnx.data>"
    assert made.report()["metadata"]["input_mean"] == [33] and made.report()["metadata"]["classes"] == [*"0123456789"]
    assert session_of("a.onnx").get_modelmeta().custom_metadata_map["input_mean"] == "[33.0]"


def test_what_an_export_refuses(net: caffe_fcn.Net) -> None:
    with pytest.raises(LoweringError, match="'tea' is not a blob of the net; expected one of "):
        net.export("a.onnx", blobs="tea")
    with pytest.raises(PictureError, match="expected 1 channel for this net,"):
        net.export("a.onnx", mean=(1, 2, 3))
    for scale in (0, float("nan")):
        with pytest.raises(ValueError, match="scale: expected a number"):
            net.export("a.onnx", scale=scale)
    assert not Path("a.onnx").exists()
    net.export("a.onnx")
    with pytest.raises(OutputError, match="already exists"):
        net.export("a.onnx")
    net.export("a.onnx", force=True, fixed=True)


def test_a_session_outlives_its_weights(lenet: Path) -> None:
    image = np.random.default_rng(0).standard_normal((2, 1, 28, 28))
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as net:
        sessions = [net.load("onnxruntime", threads=1), net.load("opencv", threads=1)]
        inner = net.load(blobs=["pool2", "ip1"])
        fcn = net.convolutionalize().load()
    assert sessions[0].inputs == {"data": (None, 1, 28, 28)} and fcn.inputs == {"data": (None, 1, None, None)}
    made = [session.run({"data": image})["prob"] for session in (sessions[0], fcn)]
    alone = [session.run({"data": image[:1]})["prob"] for session in sessions]
    np.testing.assert_allclose(made[0][:1], alone[1], atol=1e-6)
    np.testing.assert_allclose(made[0], made[1].reshape(2, 10), atol=1e-6)
    assert {name: blob.shape for name, blob in inner.run({"data": image}).items()} == {
        "pool2": (2, 12, 4, 4),
        "ip1": (2, 32),
    }


def test_weights_that_are_no_numbers_are_not_loaded(lenet: Path) -> None:
    changed = schema.NetParameter.FromString(Path("net.caffemodel").read_bytes())
    next(layer for layer in changed.layer if layer.name == "ip2").blobs[0].data[7] = float("nan")
    Path("net.caffemodel").write_bytes(changed.SerializeToString())
    with (
        caffe_fcn.open("net.prototxt", "net.caffemodel") as net,
        pytest.raises(WeightsError, match='layer "ip2", blob 0: expected numbers'),
    ):
        net.load()


def test_every_engine_can_be_asked_for() -> None:
    """Wherever the library takes one."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "caffe_fcn" / "api").glob("*.py")]
    found = [each for source in sources for each in re.findall(r"engine: Literal\[(.*?)\]", source)]
    assert len(found) >= 4 and {*found} == {", ".join(f'"{name}"' for name in ENGINES)}


def test_every_keyword_of_the_selection_arrives_in_it() -> None:
    told: dict[str, Any] = {"phase": "TEST", "level": 2, "crop_offset": "zero", "shapes": {"data": [1, 1, 28, 28]}}
    net = caffe_fcn.open(LENET / "net.prototxt", **told)
    assert net.model.selection == Selection("TEST", (), 2, {"data": (1, 1, 28, 28)}, "zero", frozenset())
    with pytest.raises(CaffeFcnError, match="deploy"):
        caffe_fcn.open(LENET / "net.prototxt", stages="deploy")
    with pytest.raises(CaffeFcnError, match=r"convolution_param\.relu"):
        caffe_fcn.open(LENET / "net.prototxt", ignore_fields="convolution_param.relu")


# ---- Looking at pictures ----


DIGITS = ROOT / "models" / "digits"


Look = Callable[..., caffe_fcn.Prediction]


@pytest.fixture
def fcn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[caffe_fcn.Net]:
    """The converted digits net."""
    monkeypatch.chdir(tmp_path)
    with caffe_fcn.open(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel") as net:
        yield net.convolutionalize()


@pytest.fixture
def digits(fcn: caffe_fcn.Net) -> Look:
    """That, with the names of its classes."""

    def look(picture: Any) -> caffe_fcn.Prediction:
        return fcn.run(picture, scale=1 / 255, labels=DIGITS / "labels.txt")

    return look


@pytest.mark.thorough
def test_a_picture_is_looked_at(digits: Look) -> None:
    found = digits(DIGITS / "scattered.png")
    assert found.scores.shape == (11, 44, 60) and found.maps[0].stride == (4, 4) and found.maps[0].reasons == ()
    assert found.maps[0].exactness == "everywhere"
    truth = json.loads((DIGITS / "scattered.json").read_text())["digits"]
    assert {each.name for each in found.top(10)} == {str(each["digit"]) for each in truth}
    best = found.top(1)[0]
    assert best.window is not None and best.window[2] - best.window[0] == best.window[3] - best.window[1] == 20
    row, column = best.window[0] // 4, best.window[1] // 4
    assert best.score == found.scores[best.label, row, column] and found.maps[0].window(row, column) == best.window
    assert found.heat_map("8").size == found.heat_map(8).size and found.label_map().width == 768


@pytest.mark.thorough
def test_an_array_is_a_picture(digits: Look) -> None:
    from PIL import Image

    pixels = np.asarray(Image.open(DIGITS / "scattered.png"))
    expected = digits(DIGITS / "scattered.png").scores
    for array in (pixels, pixels[:, :, None], np.repeat(pixels[:, :, None], 3, 2), pixels.astype(float)):
        np.testing.assert_allclose(digits(array).scores, expected, atol=1e-6)
    for mode in ("L", "P", "RGBA"):
        image = Image.fromarray(pixels).convert(mode)
        np.testing.assert_allclose(digits(image).scores, expected, atol=0.02)
    arrays = (np.zeros(3), np.zeros((0, 4)), np.full((30, 30), np.nan), np.array([["a"]]), np.zeros((5, 5)))
    bads: tuple[Any, ...] = (5, b"x", None, [[]], *arrays)
    for bad in bads:
        with pytest.raises(PictureError):
            digits(bad)
    with pytest.raises(PictureError, match="expected a file name, pixels H×W or H×W×C, or a pillow image, found None"):
        digits(None)
    for row, column in ((44, 0), (0, 60), (-1, 0)):
        with pytest.raises(IndexError, match="expected a cell of 44 rows and 60 columns"):
            digits(pixels).maps[0].window(row, column)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (-1, ValueError, "heat_map: wanted: expected a class, from 0 on, found -1"),
        (1.5, TypeError, "heat_map: wanted: expected str | int, found 1.5"),
        (99, PictureError, "class 99: expected 0 to 10, the net has 11 classes"),
    ]
    for wanted, error, told in wrong:
        with pytest.raises(error, match=re.escape(told)):
            digits(pixels).heat_map(wanted)


def test_a_classifier_has_top_classes_and_no_map(net: caffe_fcn.Net) -> None:
    found = net.run(np.zeros((50, 40)), resize="net", scale=1)
    assert found.scores.shape == (10, 1, 1) and found.notes == ("resized from 50×40 to 28×28 pixels",)
    assert [each.window for each in found.top(2)] == [None, None] and found.top(1)[0].score == found.scores.max()
    for draw in (found.label_map, lambda: found.heat_map(1)):
        with pytest.raises(EngineError, match="needs a map"):
            draw()


def test_values_that_are_no_scores(net: caffe_fcn.Net, fcn: caffe_fcn.Net, tmp_path: Path) -> None:
    names = [f"mark {place}" for place in range(10)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    found = net.run(np.zeros((28, 28)), scale=1, no_scores=True, labels=tmp_path / "names.txt")
    assert [each.name for each in found.values] == names and [each.place for each in found.values] == [*range(10)]
    assert [each.value for each in found.values] == next(iter(found.blobs.values())).reshape(-1).tolist()
    with pytest.raises(EngineError, match="holds no scores of classes"):
        found.top()
    with pytest.raises(EngineError, match="needs a map"):
        _ = found.ranges
    found = fcn.run(np.zeros((40, 30), np.uint8), scale=1 / 255, no_scores=True)
    (values,) = found.blobs.values()
    assert [(each.channel, each.name) for each in found.ranges] == [(channel, None) for channel in range(11)]
    np.testing.assert_array_equal([each.most for each in found.ranges], values.max((1, 2)))
    with pytest.raises(EngineError, match="is a map; see `ranges`"):
        _ = found.values


@pytest.mark.parametrize("given", [(1, 0), (0,), (0, np.inf), (0, 1, 2)])
def test_a_range_of_colours_has_two_numbers(net: caffe_fcn.Net, given: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="value_range: expected"):
        net.run(np.zeros((28, 28)), value_range=given)


@pytest.mark.thorough
def test_engines_are_timed(fcn: caffe_fcn.Net) -> None:
    found = fcn.run(np.zeros((40, 30), np.uint8), scale=1 / 255, threads=1).benchmark()
    assert "onnxruntime" in found.seconds and min(found.seconds.values()) > 0
    assert {*found.seconds, *found.left_out} == {*ENGINES} and found.use in found.seconds
    report = found.report()
    assert report["use"] == found.use and (report["height"], report["width"]) == (40, 30)
    assert repr(found) == f"<Benchmark of {fcn.name}: use {found.use}>"


@pytest.mark.thorough
def test_a_pyramid_of_maps(fcn: caffe_fcn.Net) -> None:
    found = fcn.run(DIGITS / "scattered.png", scale=1 / 255, scales=(0.5, 1))
    assert [(each.scale, each.scores.shape[1:], each.stride) for each in found.maps] == [
        (0.5, (20, 28), (8, 8)),
        (1, (44, 60), (4, 4)),
    ]
    bad: list[Any] = [{"resize": size} for size in ("nett", 0, (0, 3), (3, 4, 5))]
    for options in ({"scales": ()}, {"scales": (0,)}, {"scale": 0}, {"crop": "left"}, *bad):
        with pytest.raises(ValueError, match="expected"):
            fcn.run(DIGITS / "scattered.png", **options)


def test_a_net_stays_loaded_for_the_next_picture(net: caffe_fcn.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    first = net.run(np.zeros((28, 28)), threads=1)
    net.close()  # so that it cannot be loaded again
    np.testing.assert_array_equal(net.run(np.zeros((28, 28)), threads=1).scores, first.scores)
    with pytest.raises(CaffemodelError, match="has been closed"):
        net.run(np.zeros((28, 28)), threads=1, scale=0.5)


def test_several_outputs_by_name(tmp_path: Path) -> None:
    """All of them from one run; where one has to be meant, the only one of classes."""
    text = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
        'layer { name: "box" type: "InnerProduct" bottom: "data" top: "box" inner_product_param { num_output: 4 } }\n'
        'layer { name: "face" type: "InnerProduct" bottom: "data" top: "face" inner_product_param { num_output: 2 } }\n'
        'layer { name: "prob" type: "Softmax" bottom: "face" top: "prob" }\n'
    )
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    with weights_of(net_of(text), tmp_path / "w", 0.01) as weights:
        net = opened(interpret(prototxt.parse(text, "net.prototxt")), weights)
        found = net.run(picture, resize=8, crop="center", scale=1)
        assert {name: array.shape for name, array in found.blobs.items()} == {"box": (1, 4), "prob": (1, 2)}
        assert found.maps == () and found.scores.shape == (2, 1, 1) and len(found.top()) == 2
        assert found.scores.ravel().tolist() == found.blobs["prob"][0].tolist()
        assert found.notes[-1] == "used the centre, 8×8 of 8×11 pixels"
        boxes = net.run(picture, resize="net", blobs="box")
        with pytest.raises(EngineError, match="'box' holds no scores of classes; see `blobs` for its numbers"):
            boxes.top()
        both = net.run(picture, resize="net", blobs=["box", "box", "face"])
        assert list(both.blobs) == ["box", "face"] and both.top(1)[0].label == both.blobs["face"].argmax()
        with pytest.raises(LoweringError, match="expected one of 'face', "):
            net.run(picture, blobs="fase")


# ---- What functions are called with ----


@pytest.mark.parametrize("threads", [0, -1])
def test_engines_have_threads(threads: int, net: caffe_fcn.Net) -> None:
    picture = np.zeros((28, 28))
    calls: list[Callable[[], object]] = [
        lambda: net.load(threads=threads),
        lambda: net.run(picture, threads=threads),
        lambda: net.verify(net, threads=threads),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"threads: expected at least 1, found {threads}"):
            call()


def wrong_calls(net: Any) -> dict[str, Any]:
    """Calls with an argument that is wrong, by what they are told."""
    path, picture = "net.prototxt", np.zeros((28, 28))
    return {
        "open: net: expected a path, found a Net": lambda: caffe_fcn.open(net),
        "open: net: expected a path, found a NoneType": lambda: caffe_fcn.open(None),  # type: ignore[arg-type]
        "open: weights: expected a path, found a WeightFile": lambda: caffe_fcn.open(path, net.weights),
        "open: fork: expected str, found 3": lambda: caffe_fcn.open(path, fork=3),  # type: ignore[arg-type]
        "open: shapes: expected Mapping[str, Sequence[int]], found a list": (
            lambda: caffe_fcn.open(path, shapes=[1, 3, 4, 4])  # type: ignore[arg-type]
        ),
        "open: unknown keyword size; it takes net, weights, phase, stages, level, shapes, crop_offset": (
            lambda: caffe_fcn.open(path, size=3)  # type: ignore[call-arg]
        ),
        "open: missing a required argument: 'net'": lambda: caffe_fcn.open(),  # type: ignore[call-arg]
        "open_weights: path: expected a path, found a WeightFile": lambda: caffe_fcn.open_weights(net.weights),
        "convert: net: expected a path, found a Net": lambda: caffe_fcn.convert(net),
        "convert: force: expected bool, found 'yes'": (
            lambda: caffe_fcn.convert(path, force="yes")  # type: ignore[arg-type]
        ),
        "convert: verify: expected bool, found 1": (
            lambda: caffe_fcn.convert(path, verify=1)  # type: ignore[arg-type]
        ),
        "convert: fork: expected str, found a list": (
            lambda: caffe_fcn.convert(path, fork=["SSD"])  # type: ignore[arg-type]
        ),
        "convert: engine: expected Literal['onnxruntime', 'opencv', 'openvino', 'caffe'], found 3": (
            lambda: caffe_fcn.convert(path, engine=3)  # type: ignore[arg-type]
        ),
        "convert: unknown keyword engin; did you mean engine?": (
            lambda: caffe_fcn.convert(path, engin="caffe")  # type: ignore[call-arg]
        ),
        "convert: too many positional arguments": (
            lambda: caffe_fcn.convert(path, path, path, path, path)  # type: ignore[call-arg,arg-type]
        ),
        "save: output: expected a path, found 3": lambda: net.save(3),
        "save: force: expected bool, found 'no'": lambda: net.save("x", force="no"),
        "export: output: expected a path, found 3": lambda: net.export(3),
        "export: force: expected bool, found 2": lambda: net.export("x.onnx", force=2),
        "load: threads: expected int, found '2'": lambda: net.load(threads="2"),
        "load: blobs: expected str | Sequence[str], found 3": lambda: net.load(blobs=3),
        "load: engine: expected Literal['onnxruntime', 'opencv', 'openvino', 'caffe'], found a dict": (
            lambda: net.load({})
        ),
        "verify: original: expected Net | a path, found a dict": lambda: net.verify({}),
        "verify: unknown keyword sample; did you mean samples?": lambda: net.verify(net, sample=3),
        "verify: samples: expected int, found 2.5": lambda: net.verify(net, samples=2.5),
        "convolutionalize: input_size: expected int | Sequence[int], found 'large'": (
            lambda: net.convolutionalize(input_size="large")
        ),
        "convolutionalize: only: expected str | Sequence[str], found 3": lambda: net.convolutionalize(only=3),
        "run: scale: expected float, found '1'": lambda: net.run(picture, scale="1"),
    }


@pytest.mark.parametrize("told", wrong_calls(None))
def test_what_is_given_in_place_of_another(net: caffe_fcn.Net, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        wrong_calls(net)[told]()
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)


def test_numbers_of_numpy_are_numbers(net: caffe_fcn.Net) -> None:
    picture = np.zeros((1, 28, 28), np.float32)
    assert net.verify(net, samples=np.int64(2), pictures=[picture]).holds  # type: ignore[arg-type]
    found = net.run(np.zeros((28, 28), np.uint8), scale=np.float32(0.5), mean=np.array([33.0]))  # type: ignore[arg-type]
    assert found.scores.shape == (10, 1, 1)


def test_every_object_tells_itself_in_a_line(net: caffe_fcn.Net) -> None:
    assert net.weights is not None
    record = next(layer for layer in net.weights.layers if layer.blobs)
    told: list[tuple[Any, str]] = [
        (net.weights, "<WeightFile net.caffemodel: 9 layers, 4 of them with blobs>"),
        (record, "<LayerRecord 'conv1' (Convolution): 6×1×5×5, 6>"),
        (record.blobs[0], "<BlobRecord 6×1×5×5: 150 of float32>"),
        (net.load(), "<Session of onnxruntime: 'data' → 'prob'>"),
        (net.load("opencv"), "<Session of OpenCV: 'data' → 'prob'>"),
        (net.shapes, "<NetShapes: 8 blobs, 4 layers with parameters>"),
    ]
    assert [repr(each) for each, _ in told] == [line for _, line in told]
    verified = "weights holds, same size holds, dense does not apply"
    assert repr(net.verify(net)) == f"<Verification of net.prototxt: {verified}>"
    net.save("other.prototxt", "other.caffemodel")
    with caffe_fcn.open("other.prototxt", "other.caffemodel") as other:
        assert repr(other.verify(net)) == f"<Verification of other.prototxt against net.prototxt: {verified}>"
    found = net.convolutionalize().run(np.zeros((44, 60), np.uint8))
    assert repr(found.maps[0]) == "<DenseMap at scale 1: 10×5×9>"


def test_arguments_of_the_right_type_and_no_meaning(net: caffe_fcn.Net) -> None:
    """They are wrong, and neither the file nor the net is."""
    picture = np.zeros((28, 28))
    assert net.weights is not None
    blob = next(layer.blobs[0] for layer in net.weights.layers if layer.blobs)
    for start, stop in ((0, 10**9), (-5, 3), (4, 3)):
        with pytest.raises(ValueError, match=f"start, stop: .*, found {start} and {stop}"):
            net.weights.read_values(blob, start, stop)
    wrong: dict[str, Any] = {
        "engine: expected 'onnxruntime' or 'opencv' or 'openvino' or 'caffe', found 'foo'": [
            lambda: net.load("foo"),  # type: ignore[arg-type]
            lambda: caffe_fcn.convert("net.prototxt", engine="foo"),  # type: ignore[arg-type]
            lambda: net.verify(net, engine="foo"),  # type: ignore[arg-type]
            lambda: net.run(picture, engine="foo"),  # type: ignore[arg-type]
        ],
        "crop_offset: expected 'auto' or 'zero', found 'foo'": [
            lambda: caffe_fcn.open("net.prototxt", crop_offset="foo"),  # type: ignore[arg-type]
        ],
        "phase: expected 'TRAIN' or 'TEST', found 'foo'": [
            lambda: caffe_fcn.open("net.prototxt", phase="foo"),  # type: ignore[arg-type]
        ],
    }
    for message, calls in wrong.items():
        for call in calls:
            with pytest.raises(ValueError, match=f"^{message}"):
                call()
    session = net.load()
    with pytest.raises(TypeError, match=r"run: expected arrays by name, such as \{'data': array\}, found a nd"):
        session.run(picture)  # type: ignore[arg-type]
    found = net.convolutionalize().run(np.zeros((50, 40)))
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"top: count: expected at least 1, found {count}"):
            found.top(count)
    with pytest.raises(TypeError, match="top: count: expected int, found 'x'"):
        found.top("x")  # type: ignore[arg-type]
