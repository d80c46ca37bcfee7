"""Files of ONNX: what the checker says of them, what they hold, and that they come whole, in little memory, or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest

from caffe_fcn import schema
from caffe_fcn.engines.protocol import Array, ShapedNet
from caffe_fcn.errors import CaffeFcnError, CaffemodelError, ExtraError, LoweringError, OutputError, WeightsError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.wire import prefix
from caffe_fcn.onnx import export as export_module
from caffe_fcn.onnx.export import MEANINGS, Exported, Metadata, explained, export, metadata_props
from caffe_fcn.onnx.layers.normalization import MAX_BAND
from caffe_fcn.onnx.scope import ALL
from caffe_fcn.onnx.serialization import ALIGNMENT
from tests.engines.nets import add_layer, case, difference, load, net_of, weights_of
from tests.net.nets import data, layer
from tests.paths import GOLDEN, ROOT

CONVERSIONS = sorted(path.name for path in (GOLDEN / "conversions").iterdir() if path.is_dir())
VARIANTS = sorted((GOLDEN / "conversions" / "lenet" / "variants").glob("*.caffemodel"))
LAYERS = sorted({path.name for path in (GOLDEN / "layers").iterdir()} - {"accuracy", "euclidean_loss", "lstm"})


def export_case(name: str, path: Path, **options: object) -> Exported:
    with case(GOLDEN / "conversions" / name) as (net, weights):
        return export(net.graph, net.shapes, weights, path, **options)  # type: ignore[arg-type]


def run_file(path: Path, feed: dict[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    made: list[Array] = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"]).run(None, feed)
    return made


# ---- The file ----


@pytest.mark.thorough
@pytest.mark.parametrize("name", LAYERS)
def test_the_checker_passes_every_layer(name: str, tmp_path: Path) -> None:
    with case(GOLDEN / "layers" / name) as (net, weights):
        export(net.graph, net.shapes, weights, tmp_path / "net.onnx", outputs=[ALL])
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)


@pytest.mark.parametrize("name", CONVERSIONS)
@pytest.mark.parametrize("external", [False, True], ids=["inside", "beside"])
def test_a_file_gives_what_caffe_gives(name: str, external: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    written = export_case(name, path, external=external)
    onnx.checker.check_model(path, full_check=True)
    assert {Path(file).name: size for file, size in written.files.items()} == {
        file.name: file.stat().st_size for file in tmp_path.iterdir()
    }
    with np.load(GOLDEN / "conversions" / name / "golden.npz") as measured:
        (image,) = written.lowered.inputs
        made = run_file(path, {image: measured["in:same"]})
        for blob, values in zip(written.lowered.outputs, made, strict=True):
            assert difference(values, measured[f"same:{blob}"]) < 1e-5


@pytest.mark.parametrize("channels", [8, MAX_BAND + 1])
def test_lrn_is_an_operator_or_is_expanded(channels: int, tmp_path: Path) -> None:
    """Both forms give the same, but for the rounding of onnxruntime's operator, whose sums run along the channels."""
    net = net_of(data(1, channels, 6, 5) + layer("LRN", "lrn_param { alpha: 2 beta: 0.6 k: 3 }"))
    made = []
    feed = {"data": np.random.default_rng(0).normal(0, 9, (2, channels, 6, 5)).astype(np.float32)}
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        for expand in (False, True):
            path = tmp_path / f"{expand}.onnx"
            export(*net, weights, path, expand_lrn=expand)
            onnx.checker.check_model(path, full_check=True)
            assert expand != any(node.op_type == "LRN" for node in onnx.load(path).graph.node)
            made += run_file(path, feed)
    assert difference(made[1], made[0]) < (1e-6 if channels == 8 else 1e-4)


def test_values_beside_the_model_can_be_mapped(tmp_path: Path) -> None:
    export_case("caffenet", tmp_path / "net.onnx", external=True)
    model = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    beside = [each for each in model.graph.initializer if each.data_location == onnx.TensorProto.EXTERNAL]
    inside = [each for each in model.graph.initializer if each.data_location != onnx.TensorProto.EXTERNAL]
    assert beside and all(len(each.raw_data) < ALIGNMENT for each in inside)
    ends = 0
    for tensor in beside:
        place = {entry.key: entry.value for entry in tensor.external_data}
        assert place["location"] == "net.onnx.data"
        assert int(place["offset"]) % ALIGNMENT == 0 and ends <= int(place["offset"]) < ends + ALIGNMENT
        assert int(place["length"]) == 4 * int(np.prod(tensor.dims))
        ends = int(place["offset"]) + int(place["length"])
    assert ends == (tmp_path / "net.onnx.data").stat().st_size


def test_a_model_too_large_for_one_message_gets_a_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = export_case("caffenet", tmp_path / "whole.onnx")
    assert len(whole.files) == 1
    monkeypatch.setattr(export_module, "LIMIT", 25_000)
    assert len(export_case("caffenet", tmp_path / "net.onnx").files) == 2
    onnx.checker.check_model(tmp_path / "net.onnx")


def test_the_same_net_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        export_case("resnet", tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
def test_weights_in_any_encoding_are_the_same(variant: Path, tmp_path: Path) -> None:
    export_case("lenet", tmp_path / "expected.onnx")
    with case(GOLDEN / "conversions" / "lenet") as (net, _), open_caffemodel(variant) as weights:
        export(net.graph, net.shapes, weights, tmp_path / "net.onnx")
    found, expected = (onnx.load(tmp_path / name).graph.initializer for name in ("net.onnx", "expected.onnx"))
    for one, other in zip(found, expected, strict=True):
        assert one.name == other.name and one.dims == other.dims
        arrays = [onnx.numpy_helper.to_array(each) for each in (one, other)]
        np.testing.assert_allclose(arrays[0], arrays[1], rtol=1e-7)


@pytest.mark.parametrize("field", ["double_data", "data"])
def test_values_are_converted_in_chunks_without_a_seam(field: str, tmp_path: Path) -> None:
    """More values than are converted at a time."""
    values = np.random.default_rng(0).standard_normal(3 * (1 << 18) + 5)
    message = schema.NetParameter()
    blob = message.layer.add(name="layer").blobs.add(shape={"dim": values.shape})
    getattr(blob, field).extend(values)
    (tmp_path / "net.caffemodel").write_bytes(message.SerializeToString())
    net = net_of(layer("Parameter", f"parameter_param {{ shape {{ dim: {values.size} }} }}", bottom=""))
    with open_caffemodel(tmp_path / "net.caffemodel") as weights:
        export(net.graph, net.shapes, weights, tmp_path / "net.onnx")
    (made,) = run_file(tmp_path / "net.onnx", {})
    assert np.array_equal(made, values.astype(np.float32))


# ---- What it tells ----


def test_metadata(tmp_path: Path) -> None:
    told = Metadata("lenet.prototxt", mean=[104, 117.5], scale=0.5, labels=["null", "eins", "zwö"])
    export_case("lenet", tmp_path / "net.onnx", metadata=told)
    model = onnx.load(tmp_path / "net.onnx")
    props = {entry.key: entry.value for entry in model.metadata_props}
    assert props["source"] == "lenet.prototxt" and model.producer_name == "caffe-fcn" and model.producer_version
    assert json.loads(props["input_mean"]) == [104, 117.5] and json.loads(props["input_scale"]) == 0.5
    assert json.loads(props["classes"]) == ["null", "eins", "zwö"]
    assert "geometry" not in props, "the answer of a classifier is no map"
    onnx.checker.check_model(model)
    assert model.doc_string == explained(["source", "input_mean", "input_scale", "classes"])


def test_every_key_is_explained_in_the_file_and_in_the_manual(tmp_path: Path) -> None:
    made = export_case("lenet", tmp_path / "net.onnx")
    told = metadata_props(made.lowered, Metadata("n", "BGR", [1], 0.5, ["a"], column_major=True))
    assert [*MEANINGS] == [*told, "geometry"]
    page = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
    assert [line for key, text in MEANINGS.items() if (line := f"| `{key}` | {text} |") not in page.splitlines()] == []


def test_what_is_not_given_is_not_told(tmp_path: Path) -> None:
    export_case("lenet", tmp_path / "net.onnx")
    assert {entry.key for entry in onnx.load(tmp_path / "net.onnx").metadata_props} == {"source"}


def test_outputs_that_are_maps_tell_their_geometry(tmp_path: Path) -> None:
    net = net_of(
        data(1, 1, 20, 20)
        + layer("Convolution", "convolution_param { num_output: 2 kernel_size: 4 stride: 2 }", top="a", name="a")
        + layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }", bottom="a", top="b", name="b")
        + layer("Deconvolution", "convolution_param { num_output: 1 kernel_size: 4 stride: 8 }", "b", "c", "c")
    )
    with weights_of(net, tmp_path / "w.caffemodel") as weights:
        export(net.graph, net.shapes, weights, tmp_path / "net.onnx", outputs=["b", "c"])
    (told,) = [each.value for each in onnx.load(tmp_path / "net.onnx").metadata_props if each.key == "geometry"]
    geometry = json.loads(told)
    inexact = ['layer "b" pads', 'layer "b" has a partial window at the border']  # this one at other sizes
    place = {"window": [8, 8], "stride": [4, 4], "offset": [1.5, 1.5], "phases": []}
    assert geometry["b"] == {**place, "exactness": "away from borders", "inexact": inexact}
    assert geometry["c"]["stride"] == [0.5, 0.5]
    seen = {"window": 8, "offset": 1.5}  # of eight phases the first four are of one cell, and the others of none
    assert [axis[:4] for axis in geometry["c"]["phases"]] == [[seen] * 4] * 2


# ---- Memory ----

MEASURE = """
import sys
from pathlib import Path

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10

import numpy, onnx
from tests.engines.nets import case
from caffe_fcn.onnx.export import export

before = peak()
with case(Path(sys.argv[1])) as (net, weights):
    export(net.graph, net.shapes, weights, Path(sys.argv[1]) / "net.onnx", external=sys.argv[2] == "beside")
print(peak() - before)
"""
LARGE = 200 << 20
ROOM = 24 << 20
"""What everything but the weights may take: buffers for copying, and the net."""


def write_hollow(path: Path, field: int, item: int, outputs: int, inputs: int) -> None:
    """A caffemodel of one layer whose values, zeros in FIELD of ITEM bytes each, are a hole in the file."""
    shape = schema.BlobShape(dim=(outputs, inputs)).SerializeToString()
    size = item * outputs * inputs
    blob = prefix(7, len(shape)) + shape + prefix(field, size)
    head = schema.LayerParameter(name="layer", type="InnerProduct").SerializeToString() + prefix(7, len(blob) + size)
    start = prefix(100, len(head) + len(blob) + size) + head + blob
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + size)


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(("field", "item"), [(5, 4), (8, 8)], ids=["floats", "doubles"])
@pytest.mark.parametrize("where", ["inside", "beside"])
def test_memory_does_not_grow_with_the_model(field: int, item: int, where: str, tmp_path: Path) -> None:
    outputs, inputs = 4096, LARGE // 4 // 4096
    write_hollow(tmp_path / "net.caffemodel", field, item, outputs, inputs)
    parameters = f"inner_product_param {{ num_output: {outputs} bias_term: false }}"
    (tmp_path / "net.prototxt").write_text(data(1, inputs) + layer("InnerProduct", parameters))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), where], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < ROOM
    assert sum(path.stat().st_size for path in tmp_path.glob("net.onnx*")) > LARGE


# ---- Whole or not at all ----


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.mark.parametrize("external", [False, True], ids=["inside", "beside"])
def test_weights_that_are_cut_short_leave_nothing(external: bool, tmp_path: Path) -> None:
    net = net_of(data(1, 3, 4, 4) + layer("InnerProduct", "inner_product_param { num_output: 400 }"))
    with weights_of(net, tmp_path / "w.caffemodel") as weights:
        os.truncate(tmp_path / "w.caffemodel", 20_000)
        with pytest.raises(CaffemodelError, match="expected more data"):
            export(net.graph, net.shapes, weights, tmp_path / "net.onnx", external=external)
    assert files(tmp_path) == {"w.caffemodel"}


def test_no_file_is_overwritten_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "net.onnx.data").write_text("mine")
    with pytest.raises(OutputError, match=r"net\.onnx\.data: already exists"):
        export_case("caffenet", tmp_path / "net.onnx", external=True)
    assert files(tmp_path) == {"net.onnx.data"} and (tmp_path / "net.onnx.data").read_text() == "mine"
    export_case("caffenet", tmp_path / "net.onnx", external=True, force=True)
    onnx.checker.check_model(tmp_path / "net.onnx")


def test_the_weights_are_never_overwritten(tmp_path: Path) -> None:
    net = net_of(data(1, 3) + layer("InnerProduct", "inner_product_param { num_output: 4 }"))
    with weights_of(net, tmp_path / "w.caffemodel") as weights:
        before = (tmp_path / "w.caffemodel").read_bytes()
        with pytest.raises(OutputError, match="the same file as the input"):
            export(net.graph, net.shapes, weights, tmp_path / "w.caffemodel", force=True)
    assert (tmp_path / "w.caffemodel").read_bytes() == before


def test_progress_ends_at_the_size(tmp_path: Path) -> None:
    told: list[int] = []
    written = export_case("caffenet", tmp_path / "net.onnx", external=True, progress=told.append)
    assert told == sorted(told) and told[-1] == sum(written.files.values())


# ---- What is refused ----


def refused(net: ShapedNet, tmp_path: Path, **options: object) -> str:
    """What exporting NET is refused with; nothing is written."""
    with weights_of(net, tmp_path / "w.caffemodel") as weights, pytest.raises(CaffeFcnError) as caught:
        export(net.graph, net.shapes, weights, tmp_path / "net.onnx", **options)  # type: ignore[arg-type]
    assert files(tmp_path) == {"w.caffemodel"} and "\n" not in str(caught.value)
    assert isinstance(caught.value, LoweringError)
    return str(caught.value)


def test_all_layers_in_the_way_are_named_at_once(tmp_path: Path) -> None:
    net = net_of(
        data(1, 2, 8, 8)
        + layer("Warp", name="one", top="a")
        + layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }", name="two", top="b")
        + layer("ReLU", bottom="a", name="fine", top="c")
        + layer("Python", 'python_param { module: "m" layer: "L" }', bottom="c", name="three", top="d")
    )
    message = refused(net, tmp_path)
    assert message.startswith(
        "net.prototxt: 3 layers are not supported by the ONNX exporter, which the default engine uses too:"
    )
    for part in (
        '"one" (Warp)',
        '"two" (Pooling): stochastic pooling',
        '"three" (Python): its function is in Python code',
    ):
        assert part in message
    assert "fine" not in message


def test_layers_that_are_refused_alike_are_counted(tmp_path: Path) -> None:
    names = [f"w{number}" for number in range(20)]
    text = "".join(layer("Warp", bottom="data", name=name, top=name) for name in names)
    message = refused(net_of(data(1, 2, 8, 8) + text), tmp_path)
    assert message.startswith("net.prototxt: 20 layers are not") and '"w0" (Warp) and 19 more; ask for' in message
    assert len(message) < 240


def test_what_the_outputs_do_not_need_is_not_in_the_way(tmp_path: Path) -> None:
    net = net_of(data(1, 2, 8, 8) + layer("ReLU", top="a", name="a") + layer("Warp", bottom="a", top="b", name="b"))
    assert '"b" (Warp)' in refused(net, tmp_path)
    with weights_of(net, tmp_path / "w.caffemodel") as weights:
        export(net.graph, net.shapes, weights, tmp_path / "net.onnx", outputs=["a"])
    onnx.checker.check_model(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("name", "told"), [("nowhere", "is not a blob of the net"), ("data", "is an input of the net")]
)
def test_an_output_that_no_layer_makes(name: str, told: str, tmp_path: Path) -> None:
    net = net_of(data(1, 2, 8, 8) + layer("ReLU"))
    assert f"{name!r} {told}; expected one of " in refused(net, tmp_path, outputs=[name])


def test_weights_of_another_net(tmp_path: Path) -> None:
    net = net_of(data(1, 3) + layer("InnerProduct", "inner_product_param { num_output: 4 }"))
    message = schema.NetParameter()
    add_layer(message, "other", [np.zeros(2)])
    (tmp_path / "w.caffemodel").write_bytes(message.SerializeToString())
    words = "holds no weights for layer 'layer', without a filler in the net"
    with open_caffemodel(tmp_path / "w.caffemodel") as weights, pytest.raises(WeightsError, match=words):
        export(net.graph, net.shapes, weights, tmp_path / "net.onnx")
    assert files(tmp_path) == {"w.caffemodel"}


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExtraError, match=r"needs more packages: pip install 'caffe-fcn\[run\]'"):
        export_case("lenet", tmp_path / "net.onnx")
    with case(GOLDEN / "conversions" / "lenet") as (net, weights), pytest.raises(ExtraError):
        load(net, weights)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with case(GOLDEN / "conversions" / "lenet") as (net, weights), pytest.raises(ExtraError, match="onnxruntime"):
        load(net, weights)
    assert not files(tmp_path)
