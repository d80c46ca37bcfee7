"""`caffe-fcn export`: the files run as Caffe's nets do, tell what they are, and come whole or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest

from caffe_fcn import schema
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.parts import write_parts
from caffe_fcn.onnx import export as export_module
from tests.cli.conftest import LENET, CommandLine, Result, listing, the_message, trained
from tests.engines.nets import difference, hollow_weights, net_of, weights_of
from tests.net.nets import data, layer
from tests.paths import GOLDEN, ROOT

CASES = sorted(path.name for path in (GOLDEN / "conversions").iterdir() if (path / "golden.npz").exists())
DIGITS = ROOT / "models" / "digits"
FILES = ("net.prototxt", "net.caffemodel")
SCHEMA = json.loads((ROOT / "docs" / "schema" / "export.json").read_bytes())
TRAIN = """
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "db" batch_size: 4 }
        transform_param { crop_size: 8 mean_value: 104 mean_value: 117.5 mean_value: 123 scale: 0.25 } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "label" top: "acc" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


def exports(cli: CommandLine, *arguments: str | Path, stdin: bytes = b"") -> Result:
    """A run that must succeed."""
    result = cli.run("export", *arguments, stdin=stdin)
    assert result.code == 0, result.err
    return result


def refuses(cli: CommandLine, *arguments: str | Path, code: int = 1) -> str:
    """What a run tells that must fail in one line, with nothing written."""
    before = listing(cli.path)
    result = cli.run("export", *arguments)
    assert (result.code, result.out) == (code, b""), result.err
    assert listing(cli.path) == before and "Traceback" not in result.err
    return the_message(result.err) if code != 2 else result.err.splitlines()[-1]


def document(cli: CommandLine, *arguments: str | Path) -> Any:
    """The document that a run prints, which the schema must describe."""
    result = exports(cli, *arguments, "--json")
    assert result.err == ""
    jsonschema.Draft202012Validator(SCHEMA).validate(result.document)
    return result.document


def props(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def session(path: Path) -> Any:
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])


def write_net(directory: Path, text: str, stem: str = "net") -> None:
    """TEXT as a prototxt in DIRECTORY, with random weights."""
    (directory / f"{stem}.prototxt").write_text(text)
    with weights_of(net_of(text), directory / f"{stem}.caffemodel"):
        pass


# ---- The files ----


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_files_give_what_caffe_gives(cli: CommandLine, name: str) -> None:
    """The original at its size, and the converted net at both, from the file alone."""
    folder = GOLDEN / "conversions" / name
    exports(cli, *(folder / file for file in FILES), "-o", "net.onnx")
    cli.converts(*(folder / file for file in FILES), "-o", "fcn.prototxt", "-w", "fcn.caffemodel")
    exports(cli, "fcn.prototxt", "fcn.caffemodel")
    with np.load(folder / "golden.npz") as measured:
        for file, size in (("net.onnx", "same"), ("fcn.onnx", "same"), ("fcn.onnx", "large")):
            model = session(cli.path / file)
            (image,), outputs = model.get_inputs(), [each.name for each in model.get_outputs()]
            made = model.run(outputs, {image.name: measured[f"in:{size}"]})
            for output, values in zip(outputs, made, strict=True):
                expected = measured[f"{size}:{output.removesuffix('-conv')}"]
                assert difference(values.reshape(expected.shape), expected) < 1e-5


def test_digits_where_they_stand(cli: CommandLine) -> None:
    cli.converts(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel", "-o", "f.prototxt", "-w", "f.caffemodel")
    exports(cli, "f.prototxt", "f.caffemodel", "--scale", "0.00392157")
    model = session(cli.path / "f.onnx")
    assert model.get_inputs()[0].shape == ["batch", 1, "height", "width"]
    (made,) = model.run(None, {"data": np.zeros((2, 1, 192, 256), np.float32)})
    assert made.shape == (2, 11, 44, 60)
    told = props(cli.path / "f.onnx")
    assert told["source"] == "f.prototxt, f.caffemodel" and json.loads(told["input_scale"]) == 0.00392157
    assert json.loads(told["geometry"])["prob"] == {
        "window": [20] * 2,
        "stride": [4] * 2,
        "offset": [9.5] * 2,
        "phases": [],
        "exactness": "away from borders",
        "inexact": [f'layer "{name}" has a partial window at the border' for name in ("pool1", "pool2")],
    }


def test_values_beside_the_model(lenet: CommandLine) -> None:
    exports(lenet, *FILES, "-o", "a.onnx")
    result = exports(lenet, *FILES, "-o", "b.onnx", "--external-data")
    assert lenet.names == {*FILES, "a.onnx", "b.onnx", "b.onnx.data"}
    sizes = [(lenet.path / name).stat().st_size for name in ("b.onnx", "b.onnx.data")]
    assert result.err.endswith(f"wrote b.onnx ({sizes[0]:,} bytes), b.onnx.data ({sizes[1]:,} bytes)\n")
    image = {"data": np.ones((1, 1, 28, 28), np.float32)}
    made = [session(lenet.path / name).run(None, image)[0] for name in ("a.onnx", "b.onnx")]
    assert np.array_equal(*made)


def test_lrn_in_other_operators(lenet: CommandLine) -> None:
    Path("lrn.prototxt").write_text(data(1, 3, 8, 8) + layer("LRN", ""))
    exports(lenet, "lrn.prototxt", FILES[1], "-o", "a.onnx")
    exports(lenet, "lrn.prototxt", FILES[1], "-o", "b.onnx", "--expand-lrn")
    found = [{node.op_type for node in onnx.load(lenet.path / name).graph.node} for name in ("a.onnx", "b.onnx")]
    assert found[0] == {"LRN"} and {"Conv", "Sqrt"} <= found[1] and "LRN" not in found[1]


def test_the_same_input_gives_the_same_bytes_wherever_it_lies(lenet: CommandLine) -> None:
    exports(lenet, *FILES)
    exports(lenet, *(lenet.path / file for file in FILES), "-o", "again.onnx")
    assert (lenet.path / "net.onnx").read_bytes() == (lenet.path / "again.onnx").read_bytes()


def test_weights_in_hdf5_are_the_same(lenet: CommandLine) -> None:
    exports(lenet, *FILES, "-o", "a.onnx")
    shutil.copy(LENET / "variants" / "net.caffemodel.h5", lenet.path)
    exports(lenet, FILES[0], "net.caffemodel.h5", "-o", "b.onnx")
    found, expected = (onnx.load(lenet.path / name).graph.initializer for name in ("a.onnx", "b.onnx"))
    assert [(each.name, each.raw_data) for each in found] == [(each.name, each.raw_data) for each in expected]


def test_from_stdin_and_to_stdout(lenet: CommandLine) -> None:
    for position in (0, 1):
        arguments = [*FILES]
        arguments[position] = "-"
        result = exports(lenet, *arguments, "-o", "-", stdin=(lenet.path / FILES[position]).read_bytes())
        onnx.checker.check_model(onnx.ModelProto.FromString(result.out))
        assert "wrote" not in result.err
    assert lenet.names == {*FILES}
    assert exports(lenet, "-", FILES[1], stdin=(lenet.path / FILES[0]).read_bytes()).out[:1] == result.out[:1]


def test_blobs_in_place_of_the_outputs(lenet: CommandLine) -> None:
    told = document(lenet, *FILES, "--blob", "pool2", "--blob", "ip1")
    assert [(each["name"], each["nominal"]) for each in told["outputs"]] == [("pool2", [1, 12, 4, 4]), ("ip1", [1, 32])]
    assert [each["layer"] for each in told["left_out"]] == ["ip2", "prob"]
    assert [each.name for each in session(lenet.path / "net.onnx").get_outputs()] == ["pool2", "ip1"]


def test_sizes_are_fixed_where_that_is_asked_for(cli: CommandLine) -> None:
    write_net(cli.path, data(2, 3, 8, 8) + layer("Convolution", "convolution_param { num_output: 2 kernel_size: 3 }"))
    assert document(cli, *FILES)["inputs"][0]["dims"] == ["batch", 3, "height", "width"]
    told = document(cli, *FILES, "--fixed", "--force")
    assert (told["inputs"][0]["dims"], told["fixed"]) == ([2, 3, 8, 8], ["all sizes are fixed: --fixed"])
    assert session(cli.path / "net.onnx").get_inputs()[0].shape == [2, 3, 8, 8]


# ---- What it tells ----


def test_the_report(lenet: CommandLine) -> None:
    result = exports(lenet, *FILES)
    assert result.out == b""
    assert result.err.splitlines() == [
        "net.prototxt: 9 layers of phase TEST in ONNX, opset 19",
        "  input   data  N×1×28×28",
        "  output  prob  N×10",
        "  height is fixed: layer 'ip1' (InnerProduct) would need parameters of 32×240, but has 32×192",
        "  width is fixed: layer 'ip1' (InnerProduct) would need parameters of 32×288, but has 32×192",
        f"wrote net.onnx ({(lenet.path / 'net.onnx').stat().st_size:,} bytes)",
    ]
    assert exports(lenet, *FILES, "--force", "-q") == Result(0, b"", "")


def test_a_map_tells_where_its_cells_lie(cli: CommandLine) -> None:
    folder = GOLDEN / "conversions" / "rnet"
    cli.converts(*(folder / file for file in FILES), "-o", "f.prototxt", "-w", "f.caffemodel")
    lines = exports(cli, "f.prototxt", "f.caffemodel").err.splitlines()
    assert lines[1] == "  input   data          N×3×H×W"
    window = "window 25×25, stride 4×4, offset 12×12"
    assert lines[2].startswith(
        f'  output  conv5-2-conv  N×4×h×w  {window}, exact away from borders: layer "pool1" has a p'
    )


@pytest.mark.thorough
def test_report_json_and_file_agree_on_the_batch(cli: CommandLine) -> None:
    folder = GOLDEN / "conversions" / "rnet"
    cli.converts(*(folder / file for file in FILES), "-o", "f.prototxt", "-w", "f.caffemodel")
    told = document(cli, "f.prototxt", "f.caffemodel")
    lines = exports(cli, "f.prototxt", "f.caffemodel", "--force").err.splitlines()
    named = [each.shape[0] for each in session(cli.path / "f.onnx").get_outputs()]
    assert [each["dims"][0] for each in told["outputs"]] == named == ["batch", "batch"]
    assert ["  N×" in line for line in lines if line.startswith("  output")] == [True, True]


def test_a_batch_whose_items_do_not_stay_apart_is_fixed(cli: CommandLine) -> None:
    text = data(1, 3, 4, 4) + layer("Reshape", "reshape_param { shape { dim: 1 dim: -1 dim: 3 } }", name="rows")
    write_net(cli.path, text)
    told = document(cli, *FILES)
    assert told["inputs"][0]["dims"] == [1, 3, "height", "width"]
    assert told["outputs"][0]["dims"] == [1, None, 3]
    assert "batch is fixed: layer 'rows' (Reshape)" in told["fixed"][0]
    assert session(cli.path / "net.onnx").get_inputs()[0].shape[0] == 1


def test_a_training_net(cli: CommandLine) -> None:
    """The transform of its data layer is told, its loss is the Softmax within, its measure is left out."""
    (cli.path / "net.prototxt").write_text(TRAIN)
    cli.write(net=trained(("fc", "InnerProduct", [(5, 192), (5,)]), ("old", "InnerProduct", [(1, 1)])))
    told = document(cli, *FILES)
    assert told["metadata"]["input_channels"] == "BGR"
    assert (told["metadata"]["input_mean"], told["metadata"]["input_scale"]) == ([104, 117.5, 123], 0.25)
    assert told["replaced"] == [{"layer": "loss", "type": "SoftmaxWithLoss", "by": "Softmax"}]
    assert told["left_out"] == [{"layer": "acc", "type": "Accuracy"}]
    assert [note.partition(";")[0] for note in told["notes"]] == [
        "layer 'data' (Data) is now the input 'data'",
        "the mean 104,117.5,123 comes from layer 'data'",
        "the scale 0.25 comes from layer 'data'",
        "weights of layers that are not in the net are left out: old",
    ]
    result = exports(cli, *FILES, "--force", "--mean", "1", "--scale", "2", "--swap-channels")
    assert "  metadata: channels RGB; mean 1, 1, 1; scale 2\n" in result.err and "comes from layer" not in result.err
    assert "  left out: acc (Accuracy)\n" in result.err
    assert "  layer 'loss' (SoftmaxWithLoss) is replaced by its Softmax, which makes 'prob'\n" in result.err


def test_a_mean_in_a_file_that_the_net_names_is_not_opened(cli: CommandLine) -> None:
    (cli.path / "net.prototxt").write_text(
        TRAIN.replace("mean_value: 104 mean_value: 117.5 mean_value: 123", 'mean_file: "m"')
    )
    cli.write(net=trained(("fc", "InnerProduct", [(5, 192), (5,)])))
    told = document(cli, *FILES)
    assert told["metadata"]["input_mean"] is None
    assert "layer 'data' subtracts the mean in 'm', which is not opened; give it with --mean" in told["notes"]


def test_an_image_of_the_mean_is_carried_as_the_means_of_its_channels(cli: CommandLine) -> None:
    (cli.path / "net.prototxt").write_text(TRAIN)
    cli.write(net=trained(("fc", "InnerProduct", [(5, 192), (5,)])))
    np.save(cli.path / "mean.npy", np.arange(12, dtype=np.float32).reshape(3, 2, 2))
    told = document(cli, *FILES, "--mean", "mean.npy")
    assert told["metadata"]["input_mean"] == [1.5, 5.5, 9.5]
    assert "mean mean.npy: a mean image of 3×2×2 cannot be stored; the file has its channel means" in told["notes"]


def test_names_of_classes(lenet: CommandLine) -> None:
    (lenet.path / "names.txt").write_text("\n".join(f"n0000000{digit} größe {digit}" for digit in range(10)))
    told = document(lenet, *FILES, "--labels", "names.txt")
    assert told["metadata"]["classes"] == [f"größe {digit}" for digit in range(10)]
    assert json.loads(props(lenet.path / "net.onnx")["classes"]) == told["metadata"]["classes"]


def test_a_window_that_is_a_whole_axis_is_no_number(cli: CommandLine) -> None:
    text = data(1, 2, 8, 8) + layer("Softmax", "softmax_param { axis: 2 }", "data", "along")
    text += layer("Deconvolution", "convolution_param { num_output: 1 kernel_size: 2 stride: 2 }", "along", "up", "up")
    write_net(cli.path, text)
    found = document(cli, *FILES)["metadata"]["geometry"]["up"]
    assert found["window"] == [None, 1]
    assert found["phases"] == [[{"window": window, "offset": 0}] * 2 for window in (None, 1)]


def test_blobs_worked_on_in_place_go_by_two_names(cli: CommandLine) -> None:
    """The input has the name, so the output that is made of it in place has another."""
    write_net(cli.path, data(1, 3, 8, 8) + layer("ReLU", top="data"))
    told = document(cli, *FILES)
    (output,) = told["outputs"]
    assert (output["blob"], output["name"] in told["metadata"]["geometry"]) == ("data", True)
    assert output["name"] != "data" == told["inputs"][0]["name"]
    assert f"{output['name']} (in Caffe data)" in exports(cli, *FILES, "--force").err


def test_names_from_a_model_do_not_steer_the_terminal(cli: CommandLine) -> None:
    text = data(1, 3, 8, 8) + layer(
        "Convolution", "convolution_param { num_output: 2 kernel_size: 3 }", top="a\\033[2J"
    )
    write_net(cli.path, text)
    assert "\033" not in exports(cli, *FILES).err


def test_the_schema_is_closed_and_described() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def check(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("type") == "object" and "properties" in part:
                assert part["additionalProperties"] is False and set(part["required"]) == set(part["properties"])
            if isinstance(part.get("type"), str | list):
                assert part["description"]
        for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            check(each)

    check(SCHEMA)


# ---- Bad input ----


def test_all_layers_that_cannot_be_lowered_are_named(cli: CommandLine) -> None:
    write_net(cli.path, data(1, 2, 8, 8) + layer("ReLU", top="a", name="fine"))
    text = (cli.path / "net.prototxt").read_text() + layer("Warp", bottom="a", top="b", name="one")
    (cli.path / "net.prototxt").write_text(text + layer("Python", 'python_param { module: "m" }', "b", "c", "two"))
    told = refuses(cli, *FILES)
    assert told.startswith("net.prototxt: 2 layers are not supported by the ONNX exporter, ")
    assert ': "one" (Warp); "two" (Python): its function' in told


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(lenet: CommandLine, value: float) -> None:
    net = schema.NetParameter.FromString((lenet.path / FILES[1]).read_bytes())
    next(each for each in net.layer if each.name == "ip1").blobs[1].data[3] = value
    (lenet.path / FILES[1]).write_bytes(net.SerializeToString())
    assert refuses(lenet, *FILES).startswith(
        'net.caffemodel: layer "ip1", blob 1: expected numbers, found NaN or infinity'
    )
    exports(lenet, *FILES, "--blob", "pool2")  # does without it


@pytest.mark.parametrize("value", [1e39, -1e39])
def test_doubles_that_are_infinite_as_floats(cli: CommandLine, value: float) -> None:
    (cli.path / "net.prototxt").write_text(data(1, 2) + layer("InnerProduct", "inner_product_param { num_output: 1 }"))
    net = schema.NetParameter()
    blobs = net.layer.add(name="layer", type="InnerProduct").blobs
    blobs.add(shape={"dim": [1, 2]}).double_data.extend([1, value])
    blobs.add(shape={"dim": [1]}).double_data.append(0)
    cli.write(net=net.SerializeToString())
    assert 'layer "layer", blob 0: expected numbers, found NaN or infinity' in refuses(cli, *FILES)


def test_weights_of_another_net(lenet: CommandLine) -> None:
    told = refuses(lenet, FILES[0], GOLDEN / "conversions" / "rnet" / "net.caffemodel")
    assert told.endswith("are these the weights of another net, or of another input size?")
    net = schema.NetParameter.FromString((lenet.path / FILES[1]).read_bytes())
    del next(each for each in net.layer if each.name == "ip1").blobs[1]
    (lenet.path / FILES[1]).write_bytes(net.SerializeToString())
    assert 'layer "ip1" (InnerProduct): expected 2 blobs (32×192, 32), found 1 (32×192)' in refuses(lenet, *FILES)


def test_weights_that_are_cut_short(lenet: CommandLine) -> None:
    data = (lenet.path / FILES[1]).read_bytes()
    (lenet.path / FILES[1]).write_bytes(data[:-100])
    assert refuses(lenet, *FILES).startswith("net.caffemodel: offset ")


def test_files_that_are_there_or_are_not(lenet: CommandLine) -> None:
    (lenet.path / "net.onnx").write_text("mine")
    told = "net.onnx: already exists; overwrite it with --force or choose another name"
    assert refuses(lenet, *FILES) == f"{told} with --output" and refuses(lenet, *FILES, "-o", "net.onnx") == told
    plain = [shutil.copy(file, file.replace("net.", "")) for file in FILES]
    assert "the same file as the input prototxt" in refuses(lenet, *plain, "-o", plain[0], "--force")
    assert "the same file as the input caffemodel" in refuses(lenet, *plain, "-o", plain[1], "--force")
    (lenet.path / "labels.txt").write_text("\n".join("0123456789"))
    labels = ("--labels", "labels.txt", "-o", "labels.txt", "--force")
    assert "the same file as the input labels.txt" in refuses(lenet, *FILES, *labels)
    assert "does not exist" in refuses(lenet, *FILES, "-o", "nowhere/net.onnx")
    assert refuses(lenet, "nothing", FILES[1]).startswith("nothing: No such file")
    assert refuses(lenet, *FILES[::-1]).endswith("the arguments are swapped: give the prototxt first")
    exports(lenet, *FILES, "--force")


def test_an_existing_file_of_values_is_not_overwritten(lenet: CommandLine) -> None:
    (lenet.path / "net.onnx.data").write_text("mine")
    assert refuses(lenet, *FILES, "--external-data").startswith("net.onnx.data: already exists")
    exports(lenet, *FILES)
    assert lenet.read("net.onnx.data") == "mine"


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk(lenet: CommandLine) -> None:
    assert refuses(lenet, *FILES, "-o", "/dev/full").startswith("/dev/full: the disk is full: ")
    command = [sys.executable, "-m", "caffe_fcn", "export", *FILES, "-o", "-"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, cwd=lenet.path, env={"PYTHONPATH": str(ROOT)}, text=True
        )
    assert done.returncode == 1 and the_message(done.stderr).startswith("stdout: the disk is full: ")


def test_ctrl_c_leaves_nothing(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def interrupted(*arguments: Any) -> None:
        """Write the first file and the second, and be interrupted there."""
        write_parts(*arguments)
        written.append(arguments)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "write_parts", interrupted)
    assert refuses(lenet, *FILES, "--external-data", code=130) == "interrupted; no file is half written"


def test_without_the_extra_it_says_what_to_install(lenet: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert refuses(lenet, *FILES).endswith("pip install 'caffe-fcn[run]'")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--mean", "1,2,3"], "mean 1,2,3: expected 1 channel for this net, found 3"),
        (["--mean", "tea"], "mean tea: expected numbers such as 104,117,123"),
        (["--swap-channels"], "--swap-channels: expected a net for pictures with 3 channels"),
        (["--labels", "net.prototxt"], "net.prototxt: expected 10 labels, one line for each class of the net, found"),
        (["--labels", "nowhere"], "nowhere: No such file"),
        (["--blob", "nowhere"], "net.prototxt: 'nowhere' is not a blob of the net; expected one of "),
        (["--input-shape", "tea=1,2"], "net.prototxt: a shape was given for 'tea', but the net has no such blob"),
        (["-o", "-", "--external-data"], "stdout: the weights need a second file beside the model; name a file"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_options_that_do_not_suit_the_net(lenet: CommandLine, options: list[str], told: str) -> None:
    assert refuses(lenet, *FILES, *options).startswith(told)


def test_labels_of_several_outputs(cli: CommandLine) -> None:
    folder = GOLDEN / "conversions" / "rnet"
    files = [folder / file for file in FILES]
    (cli.path / "names").write_text("face\nnone\n")
    told = refuses(cli, *files, "-o", "a.onnx", "--labels", "names")
    assert told.endswith("expected one count of classes for --labels, found 4 in 'conv5-2', 2 in 'prob1'; see --blob")
    exports(cli, *files, "-o", "a.onnx", "--labels", "names", "--blob", "prob1")


@pytest.mark.parametrize(
    "arguments",
    [
        FILES[:1],
        [*FILES, "more"],
        ["-", "-"],
        ["", FILES[1]],
        [*FILES, "-o", ""],
        [*FILES, "-o", "-", "--json"],
        ["-", FILES[1], "--json"],
        [*FILES, "--scale", "tea"],
        [*FILES, "--scale", "0"],
        [*FILES, "--scale", "nan"],
        [*FILES, "--input-shape", "data"],
    ],
    ids=" ".join,
)
def test_wrong_usage(lenet: CommandLine, arguments: list[str]) -> None:
    refuses(lenet, *arguments, code=2)


# ---- Large models ----

MEASURE = """
import sys
from pathlib import Path
import numpy, onnx
import caffe_fcn.predict.export, caffe_fcn.report.export
from caffe_fcn.cli import main

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10

before = peak()
code = main.run(["export", *sys.argv[1:], "-q"])
print(code, peak() - before)
"""
ROOM = 40 << 20
"""What everything but the weights may take."""


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_a_vgg_is_exported_in_little_memory(tmp_path: Path) -> None:
    shutil.copy(ROOT / "models" / "vgg16.prototxt", tmp_path / "net.prototxt")
    with hollow_weights(net_of((tmp_path / "net.prototxt").read_text()), tmp_path / "net.caffemodel"):
        pass
    command = [sys.executable, "-c", MEASURE, *(str(tmp_path / name) for name in FILES), "--external-data"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    code, grown = map(int, done.stdout.split())
    assert code == 0 and grown < ROOM, done.stderr
    made = {path.name: path.stat().st_size for path in tmp_path.glob("net.onnx*")}
    with open_caffemodel(tmp_path / "net.caffemodel") as weights:
        values = 4 * sum(blob.count for record in weights.layers for blob in record.blobs)
    assert values > 500 << 20 and values < sum(made.values()) < values + (1 << 20)
    assert len(made) == 2
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)


def test_a_model_too_large_for_one_message_has_its_values_beside(
    lenet: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports(lenet, *FILES, "-o", "a.onnx")
    monkeypatch.setattr(export_module, "LIMIT", 25_000)
    told = document(lenet, *FILES)
    assert [file["name"] for file in told["files"]] == ["net.onnx", "net.onnx.data"]
    assert session(lenet.path / "net.onnx").get_outputs()[0].name == "prob"
    assert "a second file beside the model" in refuses(lenet, *FILES, "-o", "-")


def test_the_size_of_made_up_data_is_free_as_well(cli: CommandLine) -> None:
    made_up = (
        'layer { name: "d" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }'
    )
    convolution = layer(
        "Convolution", "convolution_param { num_output: 2 kernel_size: 3 stride: 2 }", name="a", top="a"
    )
    write_net(cli.path, made_up + convolution)
    assert document(cli, *FILES)["inputs"][0]["dims"] == ["batch", 3, "height", "width"]
    write_net(
        cli.path, made_up + convolution + layer("InnerProduct", "inner_product_param { num_output: 2 }", bottom="a")
    )
    told = document(cli, *FILES, "--force")
    assert told["inputs"][0]["dims"] == ["batch", 3, 9, 9] and [each.split()[0] for each in told["fixed"]] == [
        "height",
        "width",
    ]
