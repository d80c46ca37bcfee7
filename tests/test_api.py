"""The library: its names, and that it does what the command line does."""

from __future__ import annotations

import ast
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import caffe_fcn
from caffe_fcn import api
from caffe_fcn.cli.main import run
from caffe_fcn.errors import CaffeFcnError, CaffemodelError, OutputError, ShapeError, SurgeryError
from tests.paths import GOLDEN, ROOT

LENET = GOLDEN / "conversions" / "lenet"
NAMES = """
BlobRecord CaffeFcnError CaffemodelError Conversion ConvertOptions ExtraError LayerRecord LeftAlone NetError
NetShapes OutputError PrototxtError Shape ShapeError SourceNet SurgeryError ToConvolution Unknown WeightFile
WeightsError __version__ convert convolutionalize infer_shapes open_weights read_net
""".split()
"""What scripts may rely on: a name that goes, or comes, is a decision."""


@pytest.fixture
def lenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(LENET / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_public_names() -> None:
    assert sorted(NAMES) == sorted(caffe_fcn.__all__) == dir(caffe_fcn)
    assert {*api.__all__, "__version__"} == set(NAMES)
    assert all(getattr(caffe_fcn, name) is getattr(api, name) for name in api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        caffe_fcn.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_loads_next_to_nothing() -> None:
    script = "import sys, caffe_fcn; print([n for n in sys.modules if n.split('.')[0] in ('numpy', 'google', 'click')])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_example_of_the_module_runs(lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("net.prototxt", "deploy.prototxt")
    example = "\n".join(line[4:] for line in inspect.cleandoc(api.__doc__ or "").splitlines() if line[:4] == "    ")
    example = example.replace("(451, 451)", "(44, 60)")
    exec(compile(example, "example", "exec"), {})
    assert "+++ deploy_fcn.prototxt" in capsys.readouterr().out
    assert run("convert net.prototxt net.caffemodel --input-size 44x60 -q --force".split()) == 0
    assert Path("deploy_fcn.prototxt").read_bytes() == Path("net_fcn.prototxt").read_bytes()


def test_what_a_conversion_tells(lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = caffe_fcn.read_net("net.prototxt")
    with caffe_fcn.open_weights("net.caffemodel") as weights:
        conversion = caffe_fcn.convolutionalize(net, weights, skip=["ip1"])
    first, second = caffe_fcn.convolutionalize(net).converted
    assert (first.layer, first.kernel, first.weight_shape, first.parameters) == ("ip1", (4, 4), (32, 12, 4, 4), 6176)
    assert (second.layer, second.kernel) == ("ip2", (1, 1))
    assert conversion.converted == () and conversion.names == {}
    assert [entry.layer for entry in conversion.left_alone] == ["ip1", "ip2"]
    assert run(["convert", "net.prototxt", "net.caffemodel", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    with caffe_fcn.open_weights("net.caffemodel") as weights:
        report = caffe_fcn.convolutionalize(net, weights).report()
    assert {**report, "outputs": None} == {**told, "outputs": None}


def test_shapes_by_name() -> None:
    shapes = caffe_fcn.infer_shapes(caffe_fcn.read_net(LENET / "net.prototxt"))
    assert shapes.blobs["pool2"] == (1, 12, 4, 4) and shapes.blobs["ip1"] == (1, 32)
    assert shapes.params["ip1"] == ((32, 192), (32,)) and shapes.params["relu1"] == ()
    assert shapes.notes == ()


def test_shapes_that_are_given_or_not_known(tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_text('layer { name: "d" type: "Odd" top: "d" }')
    net = caffe_fcn.read_net(tmp_path / "n.prototxt")
    unknown = caffe_fcn.infer_shapes(net).blobs["d"]
    assert isinstance(unknown, caffe_fcn.Unknown) and unknown.layer == "d"
    assert caffe_fcn.infer_shapes(net, shapes={"d": [1, 2, 3, 4]}).blobs["d"] == (1, 2, 3, 4)


def test_shapes_with_weights_in_hdf5() -> None:
    net = caffe_fcn.read_net(LENET / "net.prototxt")
    with caffe_fcn.open_weights(LENET / "variants" / "net.caffemodel.h5") as weights:
        assert caffe_fcn.infer_shapes(net, weights).blobs["prob"] == (1, 10)


def test_convert_does_what_the_command_does(lenet: Path) -> None:
    conversion = caffe_fcn.convert("net.prototxt", "net.caffemodel", rename=[r"ip(\d)=dense\1"])
    assert conversion.names == {"ip1": "dense1", "ip2": "dense2"}
    command = ["convert", "net.prototxt", "net.caffemodel", "--rename", r"ip(\d)=dense\1", "-q"]
    assert run([*command, "-o", "c.prototxt", "-w", "c.caffemodel"]) == 0
    for suffix in ("prototxt", "caffemodel"):
        assert Path(f"net_fcn.{suffix}").read_bytes() == Path(f"c.{suffix}").read_bytes()
    assert caffe_fcn.convert(Path("net.caffemodel"), output="d.prototxt", output_weights="d.caffemodel").converted
    with pytest.raises(OutputError, match="exists already"):
        caffe_fcn.convert("net.prototxt", "net.caffemodel")
    caffe_fcn.convert("net.prototxt", "net.caffemodel", force=True)


def test_every_option_of_the_command_is_one_of_the_library(lenet: Path) -> None:
    net = caffe_fcn.read_net("net.prototxt")
    options = api.ConvertOptions.__annotations__
    settings = inspect.signature(api._settings).parameters
    assert set(options) == set(settings)
    assert caffe_fcn.convolutionalize(net, input_size=44).report()["input_size"] == [44, 44]
    assert caffe_fcn.convolutionalize(net, suffix="").names == {}
    assert [edit.layer for edit in caffe_fcn.convolutionalize(net, only=["ip1"], phase="TRAIN").converted] == ["ip1"]
    with pytest.raises(SurgeryError, match="--strict"):
        text = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 5 } } } layer { name: "ip" '
        Path("flat.prototxt").write_text(
            text + 'type: "InnerProduct" bottom: "d" top: "ip" inner_product_param { num_output: 2 } }'
        )
        caffe_fcn.convolutionalize(caffe_fcn.read_net("flat.prototxt"), strict=True)
    with pytest.raises(ValueError, match="global_pooling"):
        caffe_fcn.convolutionalize(net, global_pooling="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="input_size"):
        caffe_fcn.convolutionalize(net, input_size=())
    with pytest.raises(ShapeError):
        caffe_fcn.convolutionalize(net, shapes={"data": (1, 1, 9, 9)})


def test_writing_needs_what_there_is_to_write(lenet: Path) -> None:
    conversion = caffe_fcn.convolutionalize(caffe_fcn.read_net("net.prototxt"))
    with pytest.raises(SurgeryError, match="without weights"):
        conversion.write("a.prototxt", "a.caffemodel")
    with pytest.raises(OutputError, match="same file as the input"):
        conversion.write("net.prototxt", force=True)
    conversion.write("a.prototxt")
    assert Path("a.prototxt").read_bytes() == conversion.text


def test_the_lists_of_names_agree() -> None:
    """The package lists its names twice, for people and for type checkers."""
    tree = ast.parse((ROOT / "caffe_fcn" / "__init__.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported >= set(api.__all__)


def test_one_name_will_do_for_several(lenet: Path) -> None:
    net = caffe_fcn.read_net("net.prototxt")
    assert [edit.layer for edit in caffe_fcn.convolutionalize(net, only="ip1").converted] == ["ip1"]
    assert caffe_fcn.convolutionalize(net, rename=r"ip(\d)=dense\1").names["ip1"] == "dense1"
    assert caffe_fcn.infer_shapes(net, stages="foo").blobs["prob"] == (1, 10)


def test_closed_weights_say_so(lenet: Path) -> None:
    with caffe_fcn.open_weights("net.caffemodel") as weights:
        conversion = caffe_fcn.convolutionalize(caffe_fcn.read_net("net.prototxt"), weights)
    with pytest.raises(CaffemodelError, match="has been closed"):
        weights.read_values(weights.layers[1].blobs[0], 0, 1)
    with pytest.raises(CaffeFcnError):
        conversion.write("a.prototxt", "a.caffemodel")
    assert not Path("a.prototxt").exists() and not Path("a.caffemodel").exists()


def test_what_is_shown_of_a_net_is_short(lenet: Path) -> None:
    net = caffe_fcn.read_net("net.prototxt")
    assert repr(net) == "<SourceNet net.prototxt: 9 layers>"
    assert repr(caffe_fcn.convolutionalize(net)) == "<Conversion of net.prototxt: 2 layers become Convolutions>"
