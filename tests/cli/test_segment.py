"""`caffe-fcn segment`, and the method of the library: files in, files out, and what is told."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from google.protobuf import text_format

import caffe_fcn
from caffe_fcn import schema
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.registry import engine
from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.opening import NetAndWeights, open_model
from caffe_fcn.verify.records import Status
from caffe_fcn.verify.settings import VerifySettings
from caffe_fcn.verify.verify import verify
from tests.cli.conftest import CommandLine, listing, the_message
from tests.files.test_diff import apply
from tests.passes.nets import layer
from tests.passes.segment.nets import SEGMENTS, VGG
from tests.passes.test_deploy import TEST, TRAIN

REPORT = """\
net.prototxt: 3 classes for every pixel, from scores of stride 8
  conv1     pad 1 → 45, the least with which every crop fits for every input size
  score_fr  1×1 Convolution in place of fc8
upsampling:
  blob   stride  upsampling     by  kernel  crop          offset  scale
  pool2  4       upscore2       2   4       score_pool2c  10      0.01
  pool1  2       upscore_pool2  2   4       score_pool1c  19
  data   1       upscore        2   4       score         7
the crops fit for inputs of all sizes
converted to Convolutions: fc6
dropped: prob
wrote net_segmented.prototxt
"""


@pytest.fixture
def vgg(cli: CommandLine) -> CommandLine:
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(SEGMENTS / "vgg" / name, cli.path / name)
    return cli


def test_the_report(cli: CommandLine) -> None:
    cli.write(net="# mine\n" + VGG)
    result = cli.run("segment", "net.prototxt", "--classes", "3", "--skip", "pool1", "--skip", "pool2:0.01")
    assert (result.code, result.out, result.err) == (0, b"", REPORT)
    made = cli.read("net_segmented.prototxt")
    assert made.startswith("# mine\n") and 'name: "score_fr"' in made
    assert cli.run("check", "net_segmented.prototxt", "--strict").code == 0


def test_a_dry_run_with_a_diff_writes_nothing(vgg: CommandLine) -> None:
    words = ("segment", "net.prototxt", "net.caffemodel", "--classes", "3", "--style", "8s")
    result = vgg.run(*words, "--dry-run", "--diff")
    assert set(listing(vgg.path)) == {"net.prototxt", "net.caffemodel"}
    assert vgg.run(*words, "--quiet").err == ""
    old, new = (vgg.read(name) for name in ("net.prototxt", "net_segmented.prototxt"))
    assert apply(result.out.decode(), old) == new
    shapes = vgg.blobs("net_segmented.caffemodel")
    assert shapes["score_fr"] == [(3, 10, 1, 1), (3,)]
    assert shapes["upscore2"] == [(3, 1, 4, 4)] and shapes["upscore8"] == [(3, 1, 16, 16)]
    assert not {"fc8", "fc8-conv", "fc6"} & shapes.keys()


def test_weights_are_copied_and_filled(vgg: CommandLine) -> None:
    words = ("--classes", "6", "--init", "xavier", "--seed", "7", "--expand-score", "--dense-upsampling")
    assert vgg.run("segment", "net.prototxt", "net.caffemodel", *words).code == 0
    assert vgg.run("segment", "net.prototxt", "net.caffemodel", *words, "-o", "b", "-w", "b.caffemodel.h5").code == 0
    old = open_model("net.prototxt", "net.caffemodel").tensors
    for files in (("net_segmented.prototxt", "net_segmented.caffemodel"), ("b", "b.caffemodel.h5")):
        new = {name: [each.read(0, each.count) for each in made] for name, made in open_model(*files).tensors.items()}
        assert np.array_equal(new["fc6-conv"][0], old["fc6"][0].read(0, old["fc6"][0].count))
        weights, bias = new["score_fr"]
        assert np.array_equal(weights[:40], old["fc8"][0].read(0, 40))
        assert np.array_equal(bias[:4], old["fc8"][1].read(0, 4))
        limit = (3 / 10) ** 0.5
        assert 0 < np.abs(weights[40:]).max() <= limit and np.unique(weights).size == 60 and not bias[4:].any()
        assert weights[[40, 50]] == pytest.approx([0.22132903, 0.07718879])  # by the seed, whatever the machine
        kernels = new["upscore"][0].reshape(6, 6, 64, 64)
        line = 1 - np.abs(np.arange(64) / 32 - 63 / 64)
        assert np.allclose(kernels[2, 2], np.outer(line, line)) and not kernels[2, 3].any()


def test_new_scores_begin_at_zero(vgg: CommandLine) -> None:
    assert vgg.run("segment", "net.prototxt", "net.caffemodel", "--classes", "3", "--style", "16s").code == 0
    with caffe_fcn.open("net_segmented.prototxt", "net_segmented.caffemodel") as net:
        tensors = net.model.tensors
        assert all(not each.read(0, each.count).any() for name in ("score_fr", "score_pool4") for each in tensors[name])
        found = net.load(blobs="score").run({"data": np.ones((1, 3, 33, 41), np.float32)})["score"]
    assert found.shape == (1, 3, 33, 41) and not found.any()


@pytest.mark.thorough
def test_the_text_alone_and_with_weights_are_the_same(vgg: CommandLine) -> None:
    vgg.run("segment", "net.prototxt", "--classes", "3", "-o", "alone")
    vgg.run("segment", "net.prototxt", "net.caffemodel", "--classes", "3", "-o", "both")
    vgg.run("segment", "net.caffemodel", "--classes", "3", "-o", "c", "-w", "c.caffemodel")
    assert vgg.read("alone") == vgg.read("both")
    assert vgg.blobs("c.caffemodel") == vgg.blobs("net_segmented.caffemodel")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["net.prototxt"], "expected either --classes or --keep-classifier"),
        (["net.prototxt", "--classes", "1"], "1 is not in the range 2<=x"),
        (["net.prototxt", "--classes", "3", "--keep-classifier"], "expected either"),
        (["net.prototxt", "--classes", "3", "--style", "8s", "--skip", "pool4"], "--style chooses the skips"),
        (["net.prototxt", "--classes", "3", "--pad", "most"], "expected auto, least, keep or a number of pixels"),
        (["net.prototxt", "--classes", "3", "--skip", "pool4:nan"], "expected a number, such as pool4:0.01"),
        (["net.prototxt", "--keep-classifier", "--expand-score"], "leave out --expand-score"),
    ],
)
def test_wrong_usage(vgg: CommandLine, words: list[str], told: str) -> None:
    before = listing(vgg.path)
    result = vgg.run("segment", *words)
    assert result.code == 2 and told in result.err.splitlines()[-1]
    assert listing(vgg.path) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--skip", "pol4"], "--skip pol4: no blob is called 'pol4'; did you mean 'pool4'?"),
        (["--skip", "fc6"], "--skip fc6: the skip 'fc6-conv' has the stride 32"),
        (
            ["--pad", "10"],
            "--pad 10: the last crop would have the offset -23, which is negative; the least that fits is",
        ),
        (["--at", "fc9"], "--at fc9: no layer is called 'fc9'"),
        (["--drop-pooling"], "no pooling"),
    ],
)
def test_one_clear_line_and_nothing_written(vgg: CommandLine, words: list[str], told: str) -> None:
    before = listing(vgg.path)
    result = vgg.run("segment", "net.prototxt", "net.caffemodel", "--classes", "3", *words)
    assert result.code == 1 and told in the_message(result.err)
    assert listing(vgg.path) == before


@pytest.mark.thorough
def test_crops_that_fit_some_sizes(cli: CommandLine) -> None:
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(SEGMENTS / "vgg_fc2" / name, cli.path / name)
    words = ("segment", "net.prototxt", "net.caffemodel", "--keep-classifier", "--skip", "pool4")
    result = cli.run(*words, "--pad", "1")
    assert result.code == 0
    assert "note: the crops fit only for inputs of sizes 49 to 64, and so on every 32\n" in result.err
    result = cli.run(*words, "--pad", "100", "--force")
    assert result.code == 0
    assert "note: the crops fit only for inputs of sizes 11 to 26, and so on every 32\n" in result.err
    assert "so the new net has an input of 75×75\n" in result.err
    assert cli.run("check", "--strict", "net_segmented.prototxt").code == 0
    result = cli.run(*words, "--pad", "100", "--input-size", "64", "--force")
    told = "--pad 100: the crops do not fit at 64×64: they fit sizes 11 to 26, and so on"
    assert result.code == 1 and told in the_message(result.err)
    assert cli.run(*words, "--pad", "100", "--input-size", "50", "--force").code == 0
    result = cli.run(*words, "--skip", "pool3", "--force")
    assert result.code == 1 and "the scores are larger than the skip 'pool3'" in the_message(result.err)


# ---- Files for a training ----


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("words", "rate"), [([], 1e-10), (["--style", "8s"], 1e-14), (["--skip", "pool4:0.01"], 1e-10)]
)
def test_training_files(vgg: CommandLine, words: list[str], rate: float) -> None:
    """The rates are those of the published solvers."""
    words = ["segment", "net.prototxt", "net.caffemodel", "--classes", "3", "--train", *words]
    result = vgg.run(*words, "-o", "out.prototxt", "--dry-run", "--json")
    assert result.document["outputs"]["train_val"] == "train_val.prototxt"
    assert result.document["outputs"]["solver"] == "solver.prototxt" and len(listing(vgg.path)) == 2
    assert vgg.run(*words).err.endswith(
        "wrote net_segmented.prototxt, net_segmented.caffemodel, train_val.prototxt, solver.prototxt\n"
    )
    checked = vgg.run("check", "--strict", "net_segmented.prototxt", "train_val.prototxt", "solver.prototxt")
    assert (checked.code, checked.err) == (0, "")
    solver = schema.SolverParameter()
    text_format.Parse(vgg.read("solver.prototxt"), solver)
    assert solver.base_lr == pytest.approx(rate) and solver.net == "train_val.prototxt"
    assert "-solver solver.prototxt -weights net_segmented.caffemodel" in vgg.read("solver.prototxt")
    with caffe_fcn.open("train_val.prototxt", "net_segmented.caffemodel") as net:  # all weights fit
        assert not net.model.misfit and not net.model.missing
    again = vgg.run(*words)
    assert again.code == 1 and "exists" in again.err


def test_files_for_a_training_are_written_together(vgg: CommandLine) -> None:
    (vgg.path / "solver.prototxt").write_text("mine")
    before = listing(vgg.path)
    result = vgg.run("segment", "net.prototxt", "net.caffemodel", "--classes", "3", "--train")
    assert result.code == 1 and "solver.prototxt" in the_message(result.err)
    assert listing(vgg.path) == before
    assert vgg.run("segment", "net.prototxt", "--classes", "3", "--data", "lmdb").code == 2


@pytest.mark.thorough
def test_training_files_of_the_library(vgg: CommandLine) -> None:
    vgg.run("segment", "net.prototxt", "net.caffemodel", "--classes", "3", "--train", "--normalize", "--data", "lmdb")
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as net:
        made = net.segment(3)
        (vgg.path / "t").mkdir()
        made.save_training("t", "net_segmented.caffemodel", data="lmdb", normalize=True)
        with pytest.raises(SurgeryError, match="needs one output with scores for each pixel"):
            net.save_training("t", force=True)
    assert vgg.read("t/train_val.prototxt") == vgg.read("train_val.prototxt")
    weights = vgg.read("t/solver.prototxt").replace("../net", "net")
    assert weights == vgg.read("solver.prototxt")


# ---- The library ----


@pytest.mark.thorough
def test_the_method_of_the_library(vgg: CommandLine) -> None:
    vgg.run("segment", "net.prototxt", "net.caffemodel", "--classes", "3", "--style", "8s")
    words = ("segment", "net.prototxt", "net.caffemodel", "--classes", "3", "--style", "8s", "--json", "--dry-run")
    printed = vgg.run(*words).document
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as net:
        made = net.segment(3, style="8s")
        assert made.text == (vgg.path / "net_segmented.prototxt").read_bytes()
        assert {**made.report(), "outputs": None} == {**printed, "outputs": None}
        made.save("a", "b")
        again = net.segment(classes=3, skip=["pool3", "pool4"])
        assert again.text == made.text
        with pytest.raises(ValueError, match="expected either `classes` or `keep_classifier`"):
            net.segment()
        with pytest.raises(SurgeryError, match=r"pad=10: the last crop would have .*pad=33"):
            net.segment(3, pad=10)
    assert (vgg.path / "b").read_bytes() == (vgg.path / "net_segmented.caffemodel").read_bytes()


# ---- The proof ----


@pytest.mark.thorough
def test_a_kept_classifier_is_proven_by_its_map(vgg: CommandLine) -> None:
    words = ("segment", "net.prototxt", "net.caffemodel", "--verify", "--force")
    result = vgg.run(*words, "--keep-classifier", "--skip", "pool4")
    assert result.code == 0 and "map        holds      fc8-conv 4×4×4, compared with the converted net" in result.err
    assert "gone: prob (Softmax)" in result.err and "replaced" not in result.err
    document = vgg.run(*words, "--keep-classifier", "--json").document["verification"]
    assert document["claim"] == "new_function" and document["new_function"]["map"]["status"] == "holds"
    document = vgg.run(*words, "--classes", "3", "--json").document["verification"]
    assert document["holds"] and document["new_function"]["map"] is None


@pytest.mark.thorough
def test_a_training_net_is_proven_as_its_deploy_net(vgg: CommandLine) -> None:
    text = vgg.read("net.prototxt")
    places = [each.start() for each in re.finditer("^layer", text, re.MULTILINE)]
    first, second, last = places[0], places[1], places[-1]
    fed = layer("in", "Data", "", "data label", f"{TEST} transform_param {{ crop_size: 128 mean_value: 9 }}")
    fed += layer("in", "Data", "", "data label", f"{TRAIN} data_param {{ batch_size: 8 }}")
    ends = layer("loss", "SoftmaxWithLoss", "fc8 label") + layer("accuracy", "Accuracy", "fc8 label", params=TEST)
    vgg.write(train=text[:first] + fed + text[second:last] + ends)
    result = vgg.run(
        "segment", "train.prototxt", "net.caffemodel", "--keep-classifier", "--verify", "-w", "a.caffemodel"
    )
    assert result.code == 0 and "\ndropped: loss, accuracy\n" in result.err
    assert "in       Data becomes the input data 1×3×128×128" in result.err
    vgg.run("segment", "net.prototxt", "net.caffemodel", "--keep-classifier")
    made, expected = vgg.read("train_segmented.prototxt"), vgg.read("net_segmented.prototxt")
    assert made.startswith(text[:first] + "# The layer in (Data) fed images:")
    conv = text[second:].split('"')[1]
    assert made.partition(f'"{conv}"')[2] == expected.partition(f'"{conv}"')[2] != ""
    words = ("train.prototxt", "net.caffemodel", "train_segmented.prototxt", "a.caffemodel", "--claim", "new-function")
    assert vgg.run("verify", *words).code == 0


@pytest.mark.thorough
@pytest.mark.parametrize(("old", "new"), [("pad: 49", "pad: 48"), ("pool: MAX", "pool: AVE")])
def test_another_map_is_found(vgg: CommandLine, old: str, new: str) -> None:
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as net:
        made = net.segment(keep_classifier=True)
        made.save("a.prototxt", "a.caffemodel")
        text = vgg.read("a.prototxt")
        assert old in text
        vgg.write(a=text.replace(old, new, 1).replace("offset: 16", "offset: 15" if "48" in new else "offset: 16"))
        plan = made._plan
        assert plan is not None and net.weights is not None
        wrong = open_model("a.prototxt", "a.caffemodel")
        assert wrong.weights is not None
        files = NetAndWeights(net.model.source, net.weights), NetAndWeights(wrong.source, wrong.weights)
        settings = VerifySettings(engine=engine(EngineOptions()))
        found = verify(*files, options=settings, results=plan.results)
    assert found.statuses["map"] in (Status.FAILS, Status.NOT_SHOWN) and not found.holds
