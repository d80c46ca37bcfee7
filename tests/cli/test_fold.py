"""`caffe-fcn fold`, and the function of the library: files in, files out, and what is told."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn.cli.main import run
from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.opening import meet, open_model
from caffe_fcn.net.options import Selection
from caffe_fcn.net.source import read_net
from caffe_fcn.passes.folding import folding
from caffe_fcn.passes.planning import planned
from tests.cli.conftest import CommandLine, listing, the_message
from tests.files.test_diff import apply
from tests.passes.nets import conv, data, layer
from tests.paths import GOLDEN

FOLDS = GOLDEN / "folds"
NET = data(shape="1 2 4 4") + conv("conv", "data", 3, 1, "bias_term: false") + layer("bn", "BatchNorm", "conv", "conv")
NET += layer("relu", "ReLU", "conv", "conv") + layer("drop", "Dropout", "conv", "conv") + layer("s", "Scale", "conv")
REPORT = """\
net.prototxt: 1 layer folded into 1, 1 layer dropped
  conv  absorbs bn (BatchNorm); gets a bias
  drop  Dropout dropped
inference: 4 of 6 layers left; per batch 48 multiply-adds less, 96 values read and written less
left unchanged:
  s  follows 'relu' (ReLU), which has no weights to fold it into
wrote net_folded.prototxt
"""


@pytest.fixture
def residual(cli: CommandLine) -> CommandLine:
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(FOLDS / "residual" / name, cli.path / name)
    return cli


def test_the_report(cli: CommandLine) -> None:
    cli.write(net=NET)
    result = cli.run("fold", "net.prototxt")
    assert (result.code, result.out, result.err) == (0, b"", REPORT)
    assert set(listing(cli.path)) == {"net.prototxt", "net_folded.prototxt"}


def test_a_net_with_nothing_to_fold(cli: CommandLine) -> None:
    cli.write(net=data() + conv("conv", "data", 3))
    result = cli.run("fold", "net.prototxt", "-o", "new")
    assert (result.code, result.err) == (0, "net.prototxt: nothing to fold\nwrote new\n")
    assert (cli.path / "new").read_bytes() == (cli.path / "net.prototxt").read_bytes()


def test_a_dry_run_with_a_diff_writes_nothing(residual: CommandLine) -> None:
    result = residual.run("fold", "net.prototxt", "net.caffemodel", "--dry-run", "--diff")
    assert set(listing(residual.path)) == {"net.prototxt", "net.caffemodel"}
    assert residual.run("fold", "net.prototxt", "net.caffemodel", "--quiet").err == ""
    old, new = ((residual.path / name).read_text() for name in ("net.prototxt", "net_folded.prototxt"))
    assert apply(result.out.decode(), old) == new


def test_files_that_are_there_are_kept(residual: CommandLine) -> None:
    residual.write(net_folded="mine")
    result = residual.run("fold", "net.prototxt", "net.caffemodel")
    assert result.code == 1 and "--force" in the_message(result.err)
    assert residual.run("fold", "net.prototxt", "net.caffemodel", "--force").code == 0


def test_hdf5_and_a_caffemodel_alone_give_the_same(residual: CommandLine) -> None:
    assert residual.run("fold", "net.prototxt", "net.caffemodel", "-o", "a", "-w", "a.caffemodel.h5").code == 0
    assert residual.run("fold", "a", "a.caffemodel.h5", "-o", "again", "-w", "b.caffemodel").code == 0
    assert residual.run("fold", "net.caffemodel", "-o", "c", "-w", "c.caffemodel").code == 0
    one, two = (open_model("a", name).tensors for name in ("b.caffemodel", "c.caffemodel"))
    assert one.keys() == two.keys()
    for name, tensors in one.items():
        for ours, theirs in zip(tensors, two[name], strict=True):
            assert np.array_equal(ours.read(0, ours.count), theirs.read(0, theirs.count))


def test_the_text_alone_and_with_weights_are_the_same(residual: CommandLine) -> None:
    residual.run("fold", "net.prototxt", "-o", "alone")
    residual.run("fold", "net.prototxt", "net.caffemodel", "-o", "both")
    assert (residual.path / "alone").read_bytes() == (residual.path / "both").read_bytes()


def test_pipes(residual: CommandLine) -> None:
    text = residual.run("fold", "-", stdin=(residual.path / "net.prototxt").read_bytes()).out
    assert residual.run("fold", "net.prototxt", "-o", "out").code == 0
    assert (residual.path / "out").read_bytes() == text


@pytest.mark.thorough
def test_what_is_verified_is_the_same_function(residual: CommandLine) -> None:
    result = residual.run("fold", "net.prototxt", "net.caffemodel", "--verify")
    assert result.code == 0 and "same size  holds" in result.err
    assert (residual.path / "net_folded.prototxt").exists()


@pytest.mark.thorough
def test_the_folded_net_given_first_is_said_to_be_swapped(residual: CommandLine) -> None:
    assert residual.run("fold", "net.prototxt", "net.caffemodel").code == 0
    files = ["net_folded.prototxt", "net_folded.caffemodel", "net.prototxt", "net.caffemodel"]
    result = residual.run("verify", *files)
    assert result.code == 1 and "note: the nets seem to be swapped: " in result.err
    result = residual.run("verify", *files[2:], *files[:2])
    assert result.code == 0 and "swapped" not in result.err
    scaled = (
        residual.path / files[2]
    ).read_text() + 'layer { name: "more" type: "Scale" bottom: "data" top: "more" }\n'
    residual.write(other=scaled.replace('name: "rs2"', 'name: "another"'))
    result = residual.run("verify", *files[2:], "other.prototxt", "net.caffemodel")
    assert result.code == 1 and b"is not equivalent" in result.out and "swapped" not in result.err


@pytest.mark.thorough
def test_nothing_is_written_that_is_another_function(residual: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffe_fcn.passes.fold import affine

    def wrong(slope: float, shift: float, mean: Any, variance: Any, _eps: float) -> affine.Numbers:
        return affine.Numbers(slope + 0 * variance, shift + 0 * variance, abs(mean))

    monkeypatch.setattr(affine, "_normalized", wrong)
    before = listing(residual.path)
    result = residual.run("fold", "net.prototxt", "net.caffemodel", "--verify")
    assert result.code == 1 and "same size fails" in result.err
    assert listing(residual.path) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["net.prototxt", "--verify"], "--verify needs WEIGHTS"),
        (["net.prototxt", "net.prototxt"], "another net"),
        (["net.prototxt", "-w", "x"], "-w needs WEIGHTS"),
        (["net.prototxt", "net.caffemodel", "--verify", "--dry-run"], "--dry-run"),
        (["net.prototxt", "--diff", "--json"], "choose one"),
    ],
)
def test_wrong_usage(residual: CommandLine, words: list[str], told: str) -> None:
    result = residual.run("fold", *words)
    assert result.code == 2 and told in result.err and "--out-dir" not in result.err


def test_a_net_for_training(cli: CommandLine) -> None:
    cli.write(net=NET + layer("silence", "Silence", "s", "", "include { phase: TRAIN }"))
    result = cli.run("fold", "net.prototxt")
    assert result.code == 1 and "--phase TEST" in the_message(result.err)
    assert cli.run("fold", "net.prototxt", "--phase", "train").code == 1
    result = cli.run("fold", "net.prototxt", "--phase", "test")
    assert result.code == 0 and "left out, of other phases and stages: silence" in result.err
    assert run(["fold", "net_folded.prototxt", "-q"]) == 0


# ---- The library ----


@pytest.mark.thorough
def test_the_method_of_the_library(residual: CommandLine) -> None:
    residual.run("fold", "net.prototxt", "net.caffemodel")
    printed = residual.run("fold", "net.prototxt", "net.caffemodel", "--json", "--dry-run").document
    with caffe_fcn.open("net.prototxt", "net.caffemodel") as net:
        made = net.fold()
        assert made.text == (residual.path / "net_folded.prototxt").read_bytes() and made.left_alone == ()
        assert {**made.report(), "outputs": None} == {**printed, "outputs": None}
        assert made.verify(net).holds
        made.save("a", "b")
    for ours, theirs in (("a", "net_folded.prototxt"), ("b", "net_folded.caffemodel")):
        assert (residual.path / ours).read_bytes() == (residual.path / theirs).read_bytes()


def test_the_library_names_keywords(cli: CommandLine) -> None:
    cli.write(net=NET + layer("silence", "Silence", "s", "", "include { phase: TRAIN }"))
    with pytest.raises(SurgeryError, match="phase='TEST'"):
        caffe_fcn.open("net.prototxt").fold()
    made = caffe_fcn.open("net.prototxt", phase="TEST").fold()
    assert [each["layer"] for each in made.report()["folded"]] == ["bn"]
    assert [each["layer"] for each in made.report()["left_out"]] == ["silence"]


def test_a_plan_is_made_of_both_passes(cli: CommandLine) -> None:
    cli.write(net=NET + layer("silence", "Silence", "s", "", "include { phase: TRAIN }"))
    made = planned(meet(read_net("net.prototxt"), None, Selection(phase="TEST")), folding)
    assert [len(result.changes) > 0 for result in made.results] == [True, True]
    assert made.results[-1].claim.value == "same function within rounding"
