"""`caffe-fcn run` on any blob, and on all outputs of a net as trained: numbers of any shape, told as what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn.engines.onnxruntime import OnnxRuntimeSession
from tests.cli.conftest import CommandLine
from tests.cli.running import checked, refuses, runs
from tests.engines.nets import net_of, weights_of
from tests.paths import SHARED_MODELS

TRAINED = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        transform_param { mirror: true crop_size: 16 } data_param { source: "x" batch_size: 8 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
        transform_param { crop_size: 20 } data_param { source: "x" batch_size: 5 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 5 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "cube" type: "Reshape" bottom: "conv" top: "cube"
        reshape_param { shape { dim: 0 dim: 2 dim: 2 dim: 16 dim: 16 } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 6 } }
layer { name: "norm" type: "Normalize" bottom: "fc" top: "norm" norm_param { across_spatial: false } }
layer { name: "score" type: "InnerProduct" bottom: "fc" top: "score" inner_product_param { num_output: 3 } }
layer { name: "age" type: "InnerProduct" bottom: "fc" top: "age" inner_product_param { num_output: 1 } }
layer { name: "heat" type: "Convolution" bottom: "conv" top: "heat" convolution_param { num_output: 1 kernel_size: 1 } }
layer { name: "accuracy" type: "Accuracy" bottom: "score" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
layer { name: "aged" type: "EuclideanLoss" bottom: "age" bottom: "label" top: "aged" }
"""
FILES = ("net.prototxt", "net.caffemodel", "picture.npy")
OUTPUTS = {"cube": (1, 2, 2, 16, 16), "norm": (1, 6), "prob": (1, 3), "age": (1, 1), "heat": (1, 16, 16)}


@pytest.fixture
def trained(cli: CommandLine) -> CommandLine:
    """A net as trained, with several outputs, and a picture of the size that it is tested on."""
    (cli.path / FILES[0]).write_text(TRAINED)
    with weights_of(net_of(TRAINED), cli.path / FILES[1], 0.1):
        pass
    np.save(cli.path / FILES[2], np.random.default_rng(0).integers(0, 9, (20, 20, 3)).astype(np.uint8))
    return cli


def test_all_outputs_come_from_one_run(trained: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of phase TEST, without losses and measures; no label is asked for."""
    fed: list[Any] = []
    run = OnnxRuntimeSession.run

    def counting(self: OnnxRuntimeSession, inputs: Any) -> Any:
        fed.append({name: array.shape for name, array in inputs.items()})
        return run(self, inputs)

    monkeypatch.setattr(OnnxRuntimeSession, "run", counting)
    lines = runs(trained, *FILES, "-o", "all.npz").out.decode().splitlines()
    assert len(fed) == 1 and list(fed[0]) == ["data"]
    with np.load(trained.path / "all.npz") as held:
        found = dict(held)
    places = {f"heat.{kind}" for kind in ("window", "stride", "offset")}
    assert {name: array.shape for name, array in found.items() if name not in places} == OUTPUTS
    assert places < set(found) and found["heat.window"].tolist() == [5, 5]
    assert f"  age 1×1: {found['age'].item():.6g}" in lines
    assert f"  norm 1×6: {', '.join(f'{value:.6g}' for value in found['norm'][0])}" in lines
    assert any(line.startswith("  cube 1×2×2×16×16: from 0 to ") for line in lines)
    first = lines.index("  prob 1×3") + 1
    assert lines[first].split() == [f"{found['prob'].max():.4f}", str(found["prob"].argmax())]
    (heat,) = (number for number, line in enumerate(lines) if line.startswith("  heat 1×16×16: each cell sees 5×5"))
    assert lines[heat + 1].startswith("    from ") and lines[heat + 2].split()[1] == "highest"
    assert "%" not in "".join(lines) and "class" not in "".join(lines)


@pytest.mark.thorough
def test_a_cell_that_sees_a_whole_axis_has_no_number_for_a_window(cli: CommandLine) -> None:
    picture = np.random.default_rng(0).integers(0, 9, (8, 6)).astype(np.uint8)
    for kind, window, told in (
        ("Softmax softmax_param { axis: 3 }", [1, None], "each cell sees 1×all pixels, the next one 1×0.5 further"),
        ("MVN", [None, None], "each cell sees all pixels and is 1×0.5 from the next"),
    ):
        far, _, params = kind.partition(" ")
        text = f"""
            layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 1 dim: 8 dim: 6 }} }} }}
            layer {{ name: "far" type: "{far}" bottom: "data" top: "far" {params} }}
            layer {{ name: "up" type: "Deconvolution" bottom: "far" top: "up"
                    convolution_param {{ num_output: 1 kernel_h: 1 kernel_w: 2 stride_h: 1 stride_w: 2 }} }}
        """
        (cli.path / FILES[0]).write_text(text)
        with weights_of(net_of(text), cli.path / FILES[1], 0.1):
            pass
        np.save(cli.path / FILES[2], picture)
        document = checked(json.loads(runs(cli, *FILES, "--json").out))
        (level,) = document["pictures"][0]["maps"]
        assert level["window"] == window
        assert {tuple(cell["window"]) for cell in level["cells"] if cell["row"] == 2} == (
            {(2, 0, 3, 6)} if window[0] else {(0, 0, 8, 6)}
        )
        assert told in runs(cli, *FILES, "-o", "out.npz", "--force").out.decode()
        with np.load(cli.path / "out.npz") as held:
            assert held["up.window"].tolist() == [np.inf if each is None else each for each in window]


@pytest.mark.thorough
@pytest.mark.parametrize("name", [*OUTPUTS, "conv", "fc", "score"])
def test_each_blob_by_itself(trained: CommandLine, name: str) -> None:
    runs(trained, *FILES, "-o", "all.npz", *(f"--blob={each}" for each in (*OUTPUTS, "conv", "fc", "score")))
    with np.load(trained.path / "all.npz") as held:
        expected = held[name]
    told = runs(trained, *FILES, "--blob", name, "-o", "one.npy").out.decode()
    np.testing.assert_allclose(np.load(trained.path / "one.npy"), expected, rtol=1e-5, atol=1e-6)
    assert (f"  {name} 1×" in told) is (name not in ("prob", "score")) or name == "conv"
    assert "of the cells" not in told  # no map of these holds classes
    runs(trained, *FILES, "--blob", name, "-o", "one.npz")
    with np.load(trained.path / "one.npz") as held:
        np.testing.assert_array_equal(held[name], np.load(trained.path / "one.npy"))


@pytest.mark.thorough
def test_the_document_says_what_blobs_hold(trained: CommandLine) -> None:
    document = checked(runs(trained, *FILES, "--json", "--top", "2").document)
    holds = {each["blob"]: (each["holds"], each["map"]) for each in document["blobs"]}
    plain = ("values", False)
    wanted = {"cube": plain, "norm": plain, "prob": ("classes", False), "age": plain, "heat": ("values", True)}
    assert holds == wanted
    (picture,) = document["pictures"]
    assert [(each["blob"], each["class"] is None) for each in picture["top"]] == [
        ("heat", True),
        ("prob", False),
        ("prob", False),
    ]
    values = {each["blob"]: each for each in picture["values"]}
    assert set(values) == {"cube", "norm", "age"}
    assert values["norm"]["norm"] == pytest.approx(np.linalg.norm(values["norm"]["numbers"]), rel=1e-5)
    numbers = np.array(values["cube"]["numbers"]).reshape(values["cube"]["shape"])
    assert (values["cube"]["least"], values["cube"]["most"]) == (numbers.min(), numbers.max())
    assert values["cube"]["mean"] == pytest.approx(numbers.mean(), rel=1e-5)
    (heat,) = picture["maps"]
    scores = [cell["score"] for cell in heat["cells"]]
    assert heat["blob"] == "heat" and len(scores) == 256 and {cell["class"] for cell in heat["cells"]} == {None}
    assert heat["values"]["most"] == max(scores) == picture["top"][0]["score"] and heat["counts"] == []


def test_a_name_that_is_no_blob_is_told_the_nearest(trained: CommandLine) -> None:
    for name, told in {
        "scor": "'scor' is not a blob of the net; expected one of 'score', ",
        "Prob": "'Prob' is not a blob of the net; expected one of 'prob', ",
        "label": "'label' is used only for training, which is not run; expected one of ",
        "accuracy": "'accuracy' is used only for training, which is not run; expected one of ",
        "data": "'data' is an input of the net; expected one of ",
    }.items():
        assert f"net.prototxt: {told}" in refuses(trained, *FILES, "--blob", name)


def test_one_file_for_one_blob(trained: CommandLine) -> None:
    told = refuses(trained, *FILES, "-o", "all.npy")
    assert "--output all.npy can hold one blob, found 'cube', 'norm', 'age', 'heat', 'prob'; use .npz, or" in told


@pytest.mark.thorough
def test_what_is_no_class_is_not_drawn_as_one(trained: CommandLine) -> None:
    runs(trained, *FILES, "--heatmap", "heat.png")
    runs(trained, *FILES, "--blob", "conv", "--heatmap", "conv.png", "--class", "2")
    assert "'heat' holds 5×1×16×16 numbers, which are not scores of classes" in refuses(
        trained, *FILES, "--label-map", "x.png"
    )
    told = refuses(trained, *FILES, "--blob", "conv", "--heatmap", "x.png")
    assert told.endswith("'conv' has 4 channels; choose the one to draw with --class")
    told = refuses(trained, *FILES, "--blob", "conv", "--heatmap", "x.png", "--class", "4")
    assert told.endswith("--class 4: expected a channel of 'conv', 0 to 3")
    told = refuses(trained, *FILES, "--blob", "conv", "--blob", "heat", "--heatmap", "x.png", "--class", "0")
    assert told.endswith("expected one map for --heatmap, found 'conv', 'heat'; choose one with --blob")


@pytest.mark.thorough
def test_labels_say_that_numbers_are_classes(trained: CommandLine) -> None:
    (trained.path / "names").write_text("".join(f"name {number}\n" for number in range(6)))
    assert "name 0" in runs(trained, *FILES, "--blob", "fc", "--labels", "names", "--top", "6").out.decode()
    assert "names: expected 3 labels" in refuses(trained, *FILES, "--labels", "names")
    told = refuses(trained, *FILES, "--blob", "cube", "--labels", "names")
    assert "names: expected scores for one number of classes, found 'cube' 5×2×2×16×16" in told


def test_scores_before_and_after_a_softmax_are_classes(trained: CommandLine) -> None:
    for name in ("score", "prob"):
        document = checked(runs(trained, *FILES, "--blob", name, "--json").document)
        assert [each["holds"] for each in document["blobs"]] == ["classes"]


@pytest.mark.thorough
@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason=f"there are no nets in {SHARED_MODELS}")
def test_real_nets_with_several_outputs(cli: CommandLine) -> None:
    """Places of faces beside their probabilities, as a vector and for each of 4420 boxes."""
    np.save(cli.path / "x.npy", np.random.default_rng(0).integers(0, 255, (24, 24, 3)).astype(np.uint8))

    def holds(name: str, *options: str) -> dict[str, str]:
        files = [str(Path(SHARED_MODELS) / name / each) for each in FILES[:2]]
        document = checked(runs(cli, *files, "x.npy", "--json", *options, "-o", f"{name}.npz").document)
        with np.load(cli.path / f"{name}.npz") as held:
            assert [each["blob"] for each in document["blobs"]] == list(held)
        return {each["blob"]: each["holds"] for each in document["blobs"]}

    assert holds("det2") == {"conv5-2": "values", "prob1": "classes"}
    assert holds("slim320", "--resize", "net") == {"boxes": "values", "scores": "values"}


def test_numbers_of_which_nobody_knows_whether_they_are_scores(cli: CommandLine) -> None:
    """Classes, or an embedding: both are told, until labels say that they are classes."""
    text = (
        TRAINED.partition('layer { name: "norm"')[0].replace('top: "label" ', "").replace('top: "cube"', 'top: "conv"')
    )
    (cli.path / FILES[0]).write_text(text)
    with weights_of(net_of(text), cli.path / FILES[1], 0.1):
        pass
    np.save(cli.path / FILES[2], np.random.default_rng(0).integers(0, 9, (20, 20, 3)).astype(np.uint8))
    lines = runs(cli, *FILES, "--top", "2", "-o", "m.npy").out.decode().splitlines()
    found = np.load(cli.path / "m.npy")
    assert lines[1].startswith(f"  fc 1×6: from {found.min():.5g} to {found.max():.5g}, mean ") and len(lines) == 4
    assert lines[2].split()[1] == str(found.argmax())
    document = checked(runs(cli, *FILES, "--json").document)
    (picture,) = document["pictures"]
    assert document["blobs"][0]["holds"] == "scores" and len(picture["top"]) == 5
    np.testing.assert_allclose(picture["values"][0]["numbers"], found[0], rtol=1e-6)
    (cli.path / "names").write_text("".join(f"name {number}\n" for number in range(6)))
    document = checked(runs(cli, *FILES, "--json", "--labels", "names").document)
    assert document["blobs"][0]["holds"] == "classes" and document["pictures"][0]["values"] == []
