"""The example of a package that adds a layer type: installed, its type can do all that ours can."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from tests.cli.conftest import CommandLine, Result
from tests.paths import ROOT

PLUGIN = ROOT / "examples" / "plugin"
NET, FCN = ("net.prototxt", "net.caffemodel"), ("net_fcn.prototxt", "net_fcn.caffemodel")
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "conv": [(4, 3, 3, 3), (4,)],
    "swish": [(4,)],
    "fc1": [(8, 100), (8,)],
    "swish1": [(8,)],
    "fc2": [(5, 8), (5,)],
}

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the example is installed, from a copy, since a build leaves files behind."""
    pytest.importorskip("setuptools", reason="without setuptools no package can be built here")
    place = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, place / "source")
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(place / "target"), "./source"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return place / "target"


@pytest.fixture
def plugged(cli: CommandLine, installed: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line beside the example's package, and its net with random weights."""
    monkeypatch.syspath_prepend(str(installed))
    shutil.copy(PLUGIN / NET[0], cli.path)
    random, net = np.random.default_rng(3), schema.NetParameter()
    for name, shapes in SHAPES.items():
        layer = net.layer.add(name=name, type="ChannelSwish" if name.startswith("swish") else "")
        for shape in shapes:
            blob = layer.blobs.add()
            blob.shape.dim.extend(shape)
            blob.data.extend(random.normal(size=shape).ravel())
    (cli.path / NET[1]).write_bytes(net.SerializeToString())
    return cli


def runs(cli: CommandLine, *arguments: str | Path) -> Result:
    result = cli.run(*arguments)
    assert result.code == 0, result.err
    return result


def test_inspect_knows_its_shapes_maps_and_cost(plugged: CommandLine) -> None:
    document = runs(plugged, "inspect", *NET, "--geometry", "--json").document
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert layers["swish"]["tops"][0]["shape"] == [1, 4, 10, 10]
    assert (layers["swish"]["parameters"], layers["swish"]["macs"]) == (4, 0)
    geometry = layers["swish"]["geometry"]
    assert (geometry["window"], geometry["exactness"]) == ([3, 3], "everywhere")


def test_convert_follows_it_and_verify_proves_the_twin(plugged: CommandLine) -> None:
    runs(plugged, "convert", *NET)
    assert plugged.blobs(FCN[1])["swish1"] == [(8,)]
    assert plugged.blobs(FCN[1])["fc1-conv"] == [(8, 4, 5, 5), (8,)]
    document = runs(plugged, "verify", *NET, *FCN, "--json").document
    assert document["holds"] is True


def test_run_computes_it_and_export_writes_it(plugged: CommandLine) -> None:
    import onnx

    np.save(plugged.path / "picture.npy", np.random.default_rng(0).integers(0, 9, (20, 24, 3)).astype(np.uint8))
    runs(plugged, "convert", *NET)
    runs(plugged, "run", *FCN, "picture.npy", "--blob", "conv", "--blob", "swish", "-o", "out.npz", "--scale", "0.2")
    found = np.load(plugged.path / "out.npz")
    weights = schema.NetParameter.FromString((plugged.path / NET[1]).read_bytes())
    beta = np.array(weights.layer[1].blobs[0].data)[:, None, None]
    x = found["conv"].astype(np.float64)
    assert np.abs(x).max() > 1
    np.testing.assert_allclose(found["swish"], x / (1 + np.exp(-beta * x)), rtol=1e-4, atol=1e-5)

    runs(plugged, "export", *FCN, "-o", "net.onnx")
    kinds = [node.op_type for node in onnx.load(plugged.path / "net.onnx").graph.node]
    assert kinds.count("Sigmoid") == 2


def test_a_channel_for_each_place_is_refused_by_name(plugged: CommandLine) -> None:
    """Between a flattening and its InnerProduct each weight belongs to a place, which no window has."""
    text = (PLUGIN / NET[0]).read_text()
    flat = 'layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }\n'
    flat += 'layer { name: "each" type: "ChannelSwish" bottom: "flat" top: "each" }\n'
    head = 'layer { name: "fc1"'
    plugged.write(flat=text.replace(head, flat + head).replace('"pool" top: "fc1"', '"each" top: "fc1"'))
    told = plugged.refuses("flat.prototxt")
    assert "each (ChannelSwish)" in told and "5×5 positions" in told
