"""The library: its names, and that it does what the command line does."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn import api, schema
from caffe_fcn.api import Predictor, SourceNet, WeightFile, open_weights
from caffe_fcn.api.convert import _settings
from caffe_fcn.api.export import _exporting
from caffe_fcn.api.options import selection_of
from caffe_fcn.api.verify import _proving
from caffe_fcn.cli.main import run
from caffe_fcn.engines.registry import ENGINES
from caffe_fcn.errors import (
    CaffeFcnError,
    CaffemodelError,
    EngineError,
    LoweringError,
    OutputError,
    PictureError,
    ShapeError,
    SurgeryError,
    VerificationError,
    WeightsError,
)
from caffe_fcn.net.options import Selection
from caffe_fcn.proofs.weights import prove_weights
from tests.engines.nets import net_of, weights_of
from tests.paths import GOLDEN, ROOT

LENET = GOLDEN / "conversions" / "lenet"
NAMES = """
Benchmark Best BlobRecord CaffeFcnError CaffemodelError Conversion ConvertOptions DenseMap EngineError Export
ExportOptions ExtraError LayerRecord LeftAlone LoweringError NetError NetShapes OutputError PictureError
PredictOptions Prediction Predictor PrototxtError SelectionOptions Session Shape ShapeError SourceNet Status
SurgeryError ToConvolution Unknown Verification VerificationError VerifyOptions WeightFile WeightsError __version__
benchmark convert convolutionalize export infer_shapes load open_weights predictor read_net verify
""".split()
"""What scripts may rely on: a name that goes, or comes, is a decision."""


def session_of(path: str) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


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


@pytest.mark.thorough
def test_importing_the_package_loads_next_to_nothing() -> None:
    script = "import sys, caffe_fcn; print([n for n in sys.modules if n.split('.')[0] in ('numpy', 'google', 'click')])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.thorough
def test_the_example_of_the_module_runs(lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("net.prototxt", "deploy.prototxt")
    example = "\n".join(line[4:] for line in inspect.cleandoc(api.__doc__ or "").splitlines() if line[:4] == "    ")
    example = example.replace("(451, 451)", "(44, 60)").replace("(104, 117, 123)", "33").replace(".png", ".npy")
    np.save("picture.npy", np.zeros((44, 60)))
    exec(compile(example, "example", "exec"), {})
    told = capsys.readouterr().out
    assert "+++ deploy_fcn.prototxt" in told and "\nTrue\n[Best(" in told
    assert session_of("net.onnx").get_outputs()[0].name == "prob"
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
    with pytest.raises(OutputError, match="already exists"):
        caffe_fcn.convert("net.prototxt", "net.caffemodel")
    caffe_fcn.convert("net.prototxt", "net.caffemodel", force=True)


@pytest.mark.thorough
def test_a_conversion_is_written_if_it_is_proven(lenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_weights("net.caffemodel") as weights:
        conversion = api.convolutionalize(api.read_net("net.prototxt"), weights)
        assert conversion.write("a.prototxt", "a.caffemodel") is None
        found = conversion.write("b.prototxt", "b.caffemodel", verify=True, engine="opencv")
        assert found is not None and found.holds and found.engine == "opencv"
        with pytest.raises(ValueError, match="expected an output for the net and one for the weights"):
            conversion.write("c.prototxt", verify=True)
    assert Path("a.caffemodel").read_bytes() == Path("b.caffemodel").read_bytes()

    def failing(*sides: Any) -> Any:
        return prove_weights(*sides)._replace(failures=("a weight went astray",))

    monkeypatch.setattr("caffe_fcn.proofs.verify.prove_weights", failing)
    with pytest.raises(VerificationError, match="a weight went astray; nothing was written"):
        api.convert("net.prototxt", "net.caffemodel", "c.prototxt", "c.caffemodel", verify=True)
    assert not Path("c.prototxt").exists() and not Path("c.caffemodel").exists()


def test_every_option_of_the_command_is_one_of_the_library(lenet: Path) -> None:
    net = caffe_fcn.read_net("net.prototxt")
    options = api.ConvertOptions.__annotations__
    settings = {*inspect.signature(_settings).parameters} - {"selection"}
    assert set(options) == settings | set(api.SelectionOptions.__annotations__)
    assert caffe_fcn.convolutionalize(net, input_size=44).report()["input_size"] == [44, 44]
    assert caffe_fcn.convolutionalize(net, suffix="").names == {}
    assert [edit.layer for edit in caffe_fcn.convolutionalize(net, only=["ip1"], phase="TRAIN").converted] == ["ip1"]
    with pytest.raises(SurgeryError, match="strict=True"):
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
    with pytest.raises(CaffeFcnError, match="no layer has a rule for the stage 'foo'"):
        caffe_fcn.infer_shapes(net, stages="foo")


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
    conversion = caffe_fcn.convolutionalize(net)
    assert repr(conversion) == "<Conversion of net.prototxt: 2 layers become Convolutions>"
    assert repr(conversion.converted[1]).startswith("<ToConvolution 'ip2': ")
    assert all("\n" not in repr(edit) and repr(edit).startswith("<") for edit in conversion.plan.changes)


# ---- Proving, writing as ONNX, running ----


@pytest.fixture
def twin(lenet: Path) -> Iterator[tuple[SourceNet, WeightFile, SourceNet, WeightFile]]:
    """LeNet and its twin, open."""
    caffe_fcn.convert("net.prototxt", "net.caffemodel")
    names = ("net", "net_fcn")
    net, fcn = (caffe_fcn.read_net(f"{name}.prototxt") for name in names)
    with open_weights("net.caffemodel") as weights, open_weights("net_fcn.caffemodel") as fcn_weights:
        yield net, weights, fcn, fcn_weights


Twin = tuple[SourceNet, WeightFile, SourceNet, WeightFile]


@pytest.mark.thorough
def test_a_verification(twin: Twin) -> None:
    found = caffe_fcn.verify(*twin)
    assert found.holds and set(found.statuses.values()) == {caffe_fcn.Status.HOLDS}
    only = caffe_fcn.verify(*twin, proofs="same-size", samples=2, seed=3, pictures=[np.zeros((1, 28, 28))], threads=1)
    assert [*only.statuses] == ["same size"] and only.same_size is not None
    assert (only.same_size.samples, only.same_size.seed, only.same_size.given) == (2, 3, 1)
    net, weights, fcn, _ = twin
    assert not caffe_fcn.verify(net, weights, fcn, weights, proofs=["weights"]).holds
    for options in ({"proofs": "dens"}, {"samples": 0}, {"seed": -1}, {"tolerance": float("nan")}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}.*: expected"):
            caffe_fcn.verify(*twin, **options)
    with pytest.raises(ValueError, match="engine: expected"):
        caffe_fcn.verify(*twin, engine="tea")  # type: ignore[arg-type]


def test_an_export(twin: Twin) -> None:
    _, _, fcn, fcn_weights = twin
    Path("names").write_text("\n".join(map(str, range(10))))
    made = caffe_fcn.export(
        fcn, fcn_weights, "a.onnx", mean=33, scale=0.5, labels="names", external_data=True, expand_lrn=True
    )
    assert [*made.files] == ["a.onnx", "a.onnx.data"] and made.files["a.onnx"] == Path("a.onnx").stat().st_size
    assert made.inputs == {"data": ("batch", 1, "height", "width")}
    assert made.outputs == {"prob": ("batch", 10, None, None)}
    assert made.fixed == made.notes == () and repr(made) == "<Export of net_fcn.prototxt: a.onnx, a.onnx.data>"
    assert (
        run([*"export net_fcn.prototxt net_fcn.caffemodel -o a.onnx --force --mean 33.0 --scale 0.5".split(), "-q"])
        == 0
    )
    assert made.report()["metadata"]["input_mean"] == [33] and made.report()["metadata"]["classes"] == [*"0123456789"]
    assert session_of("a.onnx").get_modelmeta().custom_metadata_map["input_mean"] == "[33.0]"


def test_what_an_export_refuses(twin: Twin) -> None:
    net, weights, *_ = twin
    with pytest.raises(LoweringError, match="'tea' is not a blob of the net; expected one of "):
        caffe_fcn.export(net, weights, "a.onnx", blobs="tea")
    with pytest.raises(PictureError, match="expected 1 channel,"):
        caffe_fcn.export(net, weights, "a.onnx", mean=(1, 2, 3))
    for scale in (0, float("nan")):
        with pytest.raises(ValueError, match="scale: expected a number"):
            caffe_fcn.export(net, weights, "a.onnx", scale=scale)
    assert not Path("a.onnx").exists()
    caffe_fcn.export(net, weights, "a.onnx")
    with pytest.raises(OutputError, match="already exists"):
        caffe_fcn.export(net, weights, "a.onnx")
    caffe_fcn.export(net, weights, "a.onnx", force=True, fixed=True)


def test_a_session_outlives_its_weights(lenet: Path) -> None:
    net = caffe_fcn.read_net("net.prototxt")
    image = np.random.default_rng(0).standard_normal((2, 1, 28, 28))
    with caffe_fcn.open_weights("net.caffemodel") as weights:
        sessions = [caffe_fcn.load(net, weights, engine, threads=1) for engine in ("onnxruntime", "opencv")]
        inner = caffe_fcn.load(net, weights, blobs=["pool2", "ip1"])
    assert sessions[0].inputs == {"data": (None, 1, 28, 28)}
    made = [session.run({"data": image})["prob"] for session in sessions[:1]]
    alone = [session.run({"data": image[:1]})["prob"] for session in sessions]
    np.testing.assert_allclose(made[0][:1], alone[1], atol=1e-6)
    assert {name: blob.shape for name, blob in inner.run({"data": image}).items()} == {
        "pool2": (2, 12, 4, 4),
        "ip1": (2, 32),
    }


def test_weights_that_are_no_numbers_are_not_loaded(lenet: Path) -> None:
    changed = schema.NetParameter.FromString(Path("net.caffemodel").read_bytes())
    next(layer for layer in changed.layer if layer.name == "ip2").blobs[0].data[7] = float("nan")
    Path("net.caffemodel").write_bytes(changed.SerializeToString())
    net = caffe_fcn.read_net("net.prototxt")
    with (
        open_weights("net.caffemodel") as weights,
        pytest.raises(WeightsError, match='layer "ip2", blob 0: expected numbers'),
    ):
        caffe_fcn.load(net, weights)


def test_every_option_of_the_commands_is_one_of_the_library() -> None:
    for options, function in ((api.VerifyOptions, _proving), (api.ExportOptions, _exporting)):
        own = set(inspect.signature(function).parameters)
        assert set(options.__annotations__) == own | set(api.SelectionOptions.__annotations__)


def test_every_engine_can_be_asked_for() -> None:
    """Wherever the library takes one."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "caffe_fcn" / "api").glob("*.py")]
    found = [each for source in sources for each in re.findall(r"engine: Literal\[(.*?)\]", source)]
    assert len(found) >= 5 and {*found} == {", ".join(f'"{name}"' for name in ENGINES)}


def test_every_keyword_of_the_selection_arrives_in_it() -> None:
    told = {"shapes": {"data": [1, 3, 8, 8]}, "phase": "TEST", "stages": "deploy", "level": 2, "crop_offset": "auto"}
    selection, others = selection_of({**told, "ignore_fields": ["convolution_param.relu"], "suffix": "-x"})
    assert others == {"suffix": "-x"}
    fields = frozenset({"convolution_param.relu"})
    assert selection == Selection("TEST", ("deploy",), 2, {"data": (1, 3, 8, 8)}, "auto", fields)
    assert {*told, "ignore_fields"} == set(api.SelectionOptions.__annotations__)
    with pytest.raises(TypeError, match="suffix"):
        caffe_fcn.infer_shapes(caffe_fcn.read_net(LENET / "net.prototxt"), suffix="-x")  # type: ignore[call-arg]


# ---- Looking at pictures ----


DIGITS = ROOT / "models" / "digits"


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """The converted digits net, which knows the names of its classes."""
    monkeypatch.chdir(tmp_path)
    caffe_fcn.convert(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel", "fcn.prototxt", "fcn.caffemodel")
    with open_weights("fcn.caffemodel") as weights:
        labels = DIGITS / "labels.txt"
        return caffe_fcn.predictor(caffe_fcn.read_net("fcn.prototxt"), weights, scale=1 / 255, labels=labels)


@pytest.mark.thorough
def test_a_picture_is_looked_at(digits: Predictor) -> None:
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
def test_an_array_is_a_picture(digits: Predictor) -> None:
    from PIL import Image

    pixels = np.asarray(Image.open(DIGITS / "scattered.png"))
    expected = digits(DIGITS / "scattered.png").scores
    for array in (pixels, pixels[:, :, None], np.repeat(pixels[:, :, None], 3, 2), pixels.astype(float)):
        np.testing.assert_allclose(digits(array).scores, expected, atol=1e-6)
    for mode in ("L", "P", "RGBA"):
        image = Image.fromarray(pixels).convert(mode)
        np.testing.assert_allclose(digits(image).scores, expected, atol=0.02)
    arrays = (np.zeros(3), np.zeros((0, 4)), np.full((30, 30), np.nan), np.array([["a"]]), np.zeros((5, 5)))
    bads: tuple[Any, ...] = (5, b"x", [[]], *arrays)
    for bad in bads:
        with pytest.raises(PictureError):
            digits(bad)
    for row, column in ((44, 0), (0, 60), (-1, 0)):
        with pytest.raises(IndexError, match="expected a cell of 44 rows and 60 columns"):
            digits(pixels).maps[0].window(row, column)


def test_a_classifier_has_top_classes_and_no_map(lenet: Path) -> None:
    with open_weights("net.caffemodel") as weights:
        predict = caffe_fcn.predictor(caffe_fcn.read_net("net.prototxt"), weights, resize="net")
    found = predict(np.zeros((50, 40)))
    assert found.scores.shape == (10, 1, 1) and found.notes == ("resized from 50×40 to 28×28 pixels",)
    assert [each.window for each in found.top(2)] == [None, None] and found.top(1)[0].score == found.scores.max()
    for draw in (found.label_map, lambda: found.heat_map(1)):
        with pytest.raises(EngineError, match="no map"):
            draw()


@pytest.mark.thorough
def test_engines_are_timed(digits: Predictor) -> None:
    with open_weights("fcn.caffemodel") as weights:
        net = caffe_fcn.read_net("fcn.prototxt")
        found = caffe_fcn.benchmark(net, weights, np.zeros((40, 30), np.uint8), scale=1 / 255, threads=1)
        assert "onnxruntime" in found.seconds and min(found.seconds.values()) > 0
        assert {*found.seconds, *found.left_out} == {*ENGINES} and found.use in found.seconds
        report = found.report()
        assert report["use"] == found.use and (report["height"], report["width"]) == (40, 30)
        assert repr(found) == f"<Benchmark of fcn.prototxt: use {found.use}>"
        with pytest.raises(ValueError, match="benchmark times all engines; leave it out"):
            caffe_fcn.benchmark(net, weights, np.zeros((40, 30)), engine="opencv")
        with pytest.raises(TypeError, match="benchmark: weights: expected open weights, made by"):
            caffe_fcn.benchmark(net, "fcn.caffemodel", np.zeros((40, 30)))  # type: ignore[arg-type]


@pytest.mark.thorough
def test_a_pyramid_of_maps(digits: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_weights("fcn.caffemodel") as weights:
        net = caffe_fcn.read_net("fcn.prototxt")
        found = caffe_fcn.predictor(net, weights, scale=1 / 255, scales=(0.5, 1))(DIGITS / "scattered.png")
        assert [(each.scale, each.scores.shape[1:], each.stride) for each in found.maps] == [
            (0.5, (20, 28), (8, 8)),
            (1, (44, 60), (4, 4)),
        ]
        bad: list[Any] = [{"resize": size} for size in ("nett", 0, True, (0, 3), (3, 4, 5))]
        for options in ({"scales": ()}, {"scales": (0,)}, {"scale": 0}, {"crop": "left"}, *bad):
            with pytest.raises(ValueError, match="expected"):
                caffe_fcn.predictor(net, weights, **options)


def test_several_outputs_by_name(tmp_path: Path) -> None:
    """All of them from one run; where one has to be meant, the only one of classes."""
    text = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
        'layer { name: "box" type: "InnerProduct" bottom: "data" top: "box" inner_product_param { num_output: 4 } }\n'
        'layer { name: "face" type: "InnerProduct" bottom: "data" top: "face" inner_product_param { num_output: 2 } }\n'
        'layer { name: "prob" type: "Softmax" bottom: "face" top: "prob" }\n'
    )
    (tmp_path / "net.prototxt").write_text(text)
    net = caffe_fcn.read_net(tmp_path / "net.prototxt")
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    with weights_of(net_of(text), tmp_path / "w", 0.01) as weights:
        found = caffe_fcn.predictor(net, weights, resize=8, crop="center")(picture)
        assert {name: array.shape for name, array in found.blobs.items()} == {"box": (1, 4), "prob": (1, 2)}
        assert found.maps == () and found.scores.shape == (2, 1, 1) and len(found.top()) == 2
        assert found.scores.ravel().tolist() == found.blobs["prob"][0].tolist()
        assert found.notes[1] == "took the centre, 8×8 of 8×11 pixels"
        boxes = caffe_fcn.predictor(net, weights, resize="net", blobs="box")(picture)
        with pytest.raises(EngineError, match="'box' holds no scores of classes; see `blobs` for its numbers"):
            boxes.top()
        both = caffe_fcn.predictor(net, weights, resize="net", blobs=["box", "box", "face"])(picture)
        assert list(both.blobs) == ["box", "face"] and both.top(1)[0].label == both.blobs["face"].argmax()
        with pytest.raises(LoweringError, match="expected one of 'face', "):
            caffe_fcn.predictor(net, weights, blobs="fase")


# ---- What functions are called with ----


@pytest.mark.parametrize("threads", [0, -1])
def test_engines_have_threads(threads: int, lenet: Path) -> None:
    net = caffe_fcn.read_net("net.prototxt")
    with caffe_fcn.open_weights("net.caffemodel") as weights:
        for function in (caffe_fcn.load, caffe_fcn.predictor):
            with pytest.raises(ValueError, match=f"threads: expected at least 1, found {threads}"):
                function(net, weights, threads=threads)
        with pytest.raises(ValueError, match="threads"):
            caffe_fcn.verify(net, weights, net, weights, threads=threads)


def wrong_calls(net: Any, weights: Any) -> dict[str, Any]:
    """Calls with an argument that is wrong, by what they are told."""
    path = "net.prototxt"
    return {
        "convolutionalize: net: expected a net, made by caffe_fcn.read_net('net.prototxt'), found 'net.prototxt'": (
            lambda: caffe_fcn.convolutionalize(path)  # type: ignore[arg-type]
        ),
        "convolutionalize: weights: expected open weights, made by caffe_fcn.open_weights('w.h5'), found 'w.h5'": (
            lambda: caffe_fcn.convolutionalize(net, "w.h5")  # type: ignore[arg-type]
        ),
        "load: net: expected a net, made by caffe_fcn.read_net(PATH), found open weights": (
            lambda: caffe_fcn.load(weights, net)
        ),
        "load: weights: expected open weights, made by caffe_fcn.open_weights(PATH), found a NoneType": (
            lambda: caffe_fcn.load(net, None)  # type: ignore[arg-type]
        ),
        "infer_shapes: weights: expected open weights, made by caffe_fcn.open_weights(PATH), found a net": (
            lambda: caffe_fcn.infer_shapes(net, net)
        ),
        "predictor: net: expected a net, made by caffe_fcn.read_net(PATH), found a dict": (
            lambda: caffe_fcn.predictor({}, weights)  # type: ignore[arg-type]
        ),
        "export: net: expected a net, made by caffe_fcn.read_net('net.prototxt')": (
            lambda: caffe_fcn.export(Path(path), weights, "x.onnx")  # type: ignore[arg-type]
        ),
        "export: output: expected a path, found 3": (
            lambda: caffe_fcn.export(net, weights, 3)  # type: ignore[arg-type]
        ),
        "verify: fcn_weights: expected open weights": (
            lambda: caffe_fcn.verify(net, weights, net, path)  # type: ignore[arg-type]
        ),
        "convert: net: expected a path, found a net": lambda: caffe_fcn.convert(net),
        "convert: net: expected a path, found a NoneType": lambda: caffe_fcn.convert(None),  # type: ignore[arg-type]
        "read_net: path: expected a path, found a net": lambda: caffe_fcn.read_net(net),
        "read_net: path: expected a path, found 0": lambda: caffe_fcn.read_net(0),  # type: ignore[arg-type]
        "read_net: fork: expected str | None, found 3": (
            lambda: caffe_fcn.read_net(path, fork=3)  # type: ignore[arg-type]
        ),
        "open_weights: path: expected a path, found open weights": lambda: caffe_fcn.open_weights(weights),
        "convert: force: expected bool, found 'yes'": (
            lambda: caffe_fcn.convert(path, force="yes")  # type: ignore[arg-type]
        ),
        "convert: verify: expected bool, found 1": (
            lambda: caffe_fcn.convert(path, verify=1)  # type: ignore[arg-type]
        ),
        "convert: fork: expected str | None, found a list": (
            lambda: caffe_fcn.convert(path, fork=["SSD"])  # type: ignore[arg-type]
        ),
        "convert: engine: expected Literal['onnxruntime', 'opencv', 'openvino', 'caffe'], found 3": (
            lambda: caffe_fcn.convert(path, engine=3)  # type: ignore[arg-type]
        ),
        "write: output: expected a path, found 3": (
            lambda: caffe_fcn.convolutionalize(net).write(3)  # type: ignore[arg-type]
        ),
        "write: force: expected bool, found 'no'": (
            lambda: caffe_fcn.convolutionalize(net).write("x", force="no")  # type: ignore[arg-type]
        ),
        "export: force: expected bool, found 2": (
            lambda: caffe_fcn.export(net, weights, "x.onnx", force=2)  # type: ignore[arg-type]
        ),
        "load: threads: expected int | None, found '2'": (
            lambda: caffe_fcn.load(net, weights, threads="2")  # type: ignore[arg-type]
        ),
        "load: blobs: expected str | Sequence[str], found 3": (
            lambda: caffe_fcn.load(net, weights, blobs=3)  # type: ignore[arg-type]
        ),
        "load: engine: expected Literal['onnxruntime', 'opencv', 'openvino', 'caffe'], found a dict": (
            lambda: caffe_fcn.load(net, weights, {})  # type: ignore[arg-type]
        ),
        "convert: unknown keyword engin; did you mean engine?": (
            lambda: caffe_fcn.convert(path, engin="caffe")  # type: ignore[call-arg]
        ),
        "verify: unknown keyword sample; did you mean samples?": (
            lambda: caffe_fcn.verify(net, weights, net, weights, sample=3)  # type: ignore[call-arg]
        ),
        "infer_shapes: unknown keyword size; it takes shapes, phase, stages, level, crop_offset, ignore_fields": (
            lambda: caffe_fcn.infer_shapes(net, size=3)  # type: ignore[call-arg]
        ),
        "convolutionalize: input_size: expected int | Sequence[int] | None, found 'large'": (
            lambda: caffe_fcn.convolutionalize(net, input_size="large")  # type: ignore[arg-type]
        ),
        "convolutionalize: only: expected str | Sequence[str], found 3": (
            lambda: caffe_fcn.convolutionalize(net, only=3)  # type: ignore[arg-type]
        ),
        "load: shapes: expected Mapping[str, Sequence[int]] | None, found a list": (
            lambda: caffe_fcn.load(net, weights, shapes=[1, 3, 4, 4])  # type: ignore[arg-type]
        ),
        "verify: samples: expected int, found 2.5": (
            lambda: caffe_fcn.verify(net, weights, net, weights, samples=2.5)  # type: ignore[arg-type]
        ),
        "predictor: scale: expected float | None, found '1'": (
            lambda: caffe_fcn.predictor(net, weights, scale="1")  # type: ignore[arg-type]
        ),
    }


@pytest.mark.parametrize("told", wrong_calls(None, None))
def test_what_is_given_in_place_of_another(lenet: Path, told: str) -> None:
    net = caffe_fcn.read_net("net.prototxt")
    with caffe_fcn.open_weights("net.caffemodel") as weights, pytest.raises(TypeError) as caught:
        wrong_calls(net, weights)[told]()
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)


def test_numbers_of_numpy_are_numbers(lenet: Path) -> None:
    net = caffe_fcn.read_net("net.prototxt")
    with caffe_fcn.open_weights("net.caffemodel") as weights:
        picture = np.zeros((1, 28, 28), np.float32)
        found = caffe_fcn.verify(net, weights, net, weights, samples=np.int64(2), pictures=[picture])  # type: ignore[arg-type]
        predict = caffe_fcn.predictor(net, weights, scale=np.float32(0.5), mean=np.array([33.0]))  # type: ignore[arg-type]
    assert found.holds and predict(np.zeros((28, 28), np.uint8)).scores.shape == (10, 1, 1)


def test_every_object_tells_itself_in_a_line(lenet: Path) -> None:
    net = caffe_fcn.read_net("net.prototxt")
    with caffe_fcn.open_weights("net.caffemodel") as weights:
        record = next(layer for layer in weights.layers if layer.blobs)
        conversion = caffe_fcn.convolutionalize(net, weights)
        told: list[tuple[Any, str]] = [
            (net, "<SourceNet net.prototxt: 9 layers>"),
            (weights, "<WeightFile net.caffemodel: 9 layers, 4 of them with blobs>"),
            (record, "<LayerRecord 'conv1' (Convolution): 6×1×5×5, 6>"),
            (record.blobs[0], "<BlobRecord 6×1×5×5: 150 of float32>"),
            (conversion, "<Conversion of net.prototxt: 2 layers become Convolutions>"),
            (caffe_fcn.load(net, weights), "<Session of onnxruntime: 'data' → 'prob'>"),
            (caffe_fcn.load(net, weights, "opencv"), "<Session of OpenCV: 'data' → 'prob'>"),
        ]
        assert [repr(each) for each, _ in told] == [line for _, line in told]
        assert repr(caffe_fcn.infer_shapes(net)) == "<NetShapes: 8 blobs, 4 layers with parameters>"
        verified = (
            "<Verification of net.prototxt against net.prototxt: weights holds, same size holds, dense does not apply>"
        )
        assert repr(caffe_fcn.verify(net, weights, net, weights)) == verified
        conversion.write("whole.prototxt", "whole.caffemodel")
    with caffe_fcn.open_weights("whole.caffemodel") as weights:
        found = caffe_fcn.predictor(caffe_fcn.read_net("whole.prototxt"), weights)(np.zeros((44, 60), np.uint8))
    assert repr(found.maps[0]) == "<DenseMap at scale 1: 10×5×9>"


@pytest.mark.thorough
def test_arguments_of_the_right_type_and_no_meaning(lenet: Path, digits: Predictor) -> None:
    """They are wrong, and neither the file nor the net is."""
    net = caffe_fcn.read_net("net.prototxt")
    with caffe_fcn.open_weights("net.caffemodel") as weights:
        blob = next(layer.blobs[0] for layer in weights.layers if layer.blobs)
        for start, stop in ((0, 10**9), (-5, 3), (4, 3)):
            with pytest.raises(ValueError, match=f"start, stop: .*, found {start} and {stop}"):
                weights.read_values(blob, start, stop)
        wrong: dict[str, Any] = {
            "engine: expected 'onnxruntime' or 'opencv' or 'openvino' or 'caffe', found 'foo'": [
                lambda: caffe_fcn.load(net, weights, "foo"),  # type: ignore[arg-type]
                lambda: caffe_fcn.convert("net.prototxt", engine="foo"),  # type: ignore[arg-type]
                lambda: caffe_fcn.convolutionalize(net).write("x", engine="foo"),  # type: ignore[arg-type]
                lambda: caffe_fcn.verify(net, weights, net, weights, engine="foo"),  # type: ignore[arg-type]
                lambda: caffe_fcn.predictor(net, weights, engine="foo"),  # type: ignore[arg-type]
            ],
            "crop_offset: expected 'auto' or 'zero', found 'foo'": [
                lambda: caffe_fcn.infer_shapes(net, crop_offset="foo"),  # type: ignore[arg-type]
            ],
            "phase: expected 'TRAIN' or 'TEST', found 'foo'": [
                lambda: caffe_fcn.infer_shapes(net, phase="foo"),  # type: ignore[arg-type]
                lambda: caffe_fcn.export(net, weights, "x.onnx", phase="foo"),  # type: ignore[arg-type]
            ],
        }
        for message, calls in wrong.items():
            for call in calls:
                with pytest.raises(ValueError, match=f"^{message}"):
                    call()
        session = caffe_fcn.load(net, weights)
        with pytest.raises(TypeError, match=r"run: expected arrays by name, such as \{'data': array\}, found a nd"):
            session.run(np.zeros((1, 1, 28, 28)))  # type: ignore[arg-type]
    found = digits(np.zeros((50, 40)))
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"top: count: expected at least 1, found {count}"):
            found.top(count)
    with pytest.raises(TypeError, match="top: count: expected a number, found 'x'"):
        found.top("x")  # type: ignore[arg-type]
