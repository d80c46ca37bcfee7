"""What lies in examples/ works: the shell script and the Makefile are run, with a stand-in for Caffe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from caffe_fcn.net.problems import examine
from tests.paths import GOLDEN, ROOT

EXAMPLES = ROOT / "examples"
MAKEFILE = EXAMPLES / "Makefile"
LENET = GOLDEN / "conversions" / "lenet"
BROKEN = 'layer { name: "b" type: "ReLU" bottom: "nowhere" top: "b" }\n'

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed"),
]


class Place:
    """A directory `work` with net.prototxt and net.caffemodel, a LeNet, and programs that write down their calls."""

    def __init__(self, path: Path) -> None:
        self.path = path / "work"
        self.bin = path / "bin"
        self.log = path / "log"
        self.path.mkdir()
        self.bin.mkdir()
        self.program("caffe-fcn", f'exec "{sys.executable}" -m caffe_fcn "$@"')
        self.program("caffe", "")
        for name in ("net.prototxt", "net.caffemodel"):
            shutil.copyfile(LENET / name, self.path / name)

    def program(self, name: str, does: str) -> Path:
        """Put a program NAME into the path, which logs its arguments and then DOES something."""
        path = self.bin / name
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >> "{self.log}"\n{does}\n', encoding="utf-8")
        path.chmod(0o755)
        return path

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("", encoding="utf-8")
        path = os.pathsep.join([str(self.bin), *os.environ["PATH"].split(os.pathsep)])
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **variables}
        for name in ("MAKEFLAGS", "MAKELEVEL", "CAFFE", "CAFFE_FCN"):
            if name not in variables:
                environment.pop(name, None)
        return subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=120)

    def calls(self, program: str) -> list[str]:
        """The arguments of each call of PROGRAM in the last run."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [line.removeprefix(f"{program} ") for line in lines if line.split(" ")[0] == program]

    @property
    def names(self) -> set[str]:
        return {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()}

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_readme_names_what_there_is() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^- `([^`]+?)/?`:", text, re.MULTILINE)
    assert {path.name for path in EXAMPLES.iterdir()} == {"README.md", *named}


def test_the_solver_is_one() -> None:
    found = examine((EXAMPLES / "solver.prototxt").read_bytes(), "solver.prototxt")
    assert (found.kind, found.errors, found.notes) == ("solver", (), ())


# ---- finetune.sh ----


@pytest.fixture
def tuning(place: Place) -> Place:
    """A place with a solver too."""
    shutil.copyfile(EXAMPLES / "solver.prototxt", place.path / "solver.prototxt")
    return place


THREE = ("net.prototxt", "net.caffemodel", "solver.prototxt")


def finetune(place: Place, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return place.run(EXAMPLES / "finetune.sh", *arguments, **variables)


def test_a_classifier_is_converted_checked_and_trained(tuning: Place) -> None:
    done = finetune(tuning, "-s", "40x50", *THREE, "-gpu", "all")
    assert done.returncode == 0, done.stderr
    assert tuning.calls("caffe") == ["train -solver fcn/solver.prototxt -weights fcn/net.caffemodel -gpu all"]
    assert tuning.names == {*THREE, *(f"fcn/{name}" for name in THREE)}
    assert "dim: 40 dim: 50" in tuning.read("fcn/net.prototxt") and "ip1-conv" in tuning.read("fcn/net.prototxt")
    before, after = tuning.read("solver.prototxt").splitlines(), tuning.read("fcn/solver.prototxt").splitlines()
    assert [line for line in after if line not in before] == [
        'net: "fcn/net.prototxt"  # finetune.sh puts the converted net here'
    ]
    assert len(before) == len(after) and (tuning.path / "snapshots").is_dir()
    commands = [call.split()[0] for call in tuning.calls("caffe-fcn")]
    assert commands == ["check", "convert", "check"]


def test_size_and_options_may_be_left_out(tuning: Place) -> None:
    done = finetune(tuning, *THREE)
    assert done.returncode == 0, done.stderr
    assert tuning.calls("caffe") == ["train -solver fcn/solver.prototxt -weights fcn/net.caffemodel"]
    assert "dim: 28 dim: 28" in tuning.read("fcn/net.prototxt")


def test_names_with_spaces_and_programs_elsewhere(tuning: Place) -> None:
    for name in THREE:
        os.rename(tuning.path / name, tuning.path / f"my {name}")
    other = tuning.program("other caffe", "")
    fcn = (tuning.bin / "caffe-fcn").rename(tuning.bin / "my fcn")
    options = ["-d", "out & more/deep", *(f"my {name}" for name in THREE)]
    done = finetune(tuning, *options, CAFFE=str(other), CAFFE_FCN=str(fcn))
    assert done.returncode == 0, done.stderr
    calls = tuning.log.read_text(encoding="utf-8")
    assert "other caffe train -solver out & more/deep/my solver.prototxt -weights out & more/deep/my net.caf" in calls
    assert 'net: "out & more/deep/my net.prototxt"  # finetune' in tuning.read("out & more/deep/my solver.prototxt")


def test_training_goes_on_from_the_latest_snapshot(tuning: Place) -> None:
    assert finetune(tuning, *THREE).returncode == 0
    for name in ("iter_900.solverstate", "iter_10000.solverstate", "iter_9000.solverstate.h5", "iter_x.solverstate"):
        (tuning.path / "snapshots" / f"fcn_{name}").touch()
    written = (tuning.path / "fcn" / "net.prototxt").stat().st_mtime_ns
    done = finetune(tuning, *THREE, "-gpu", "0")
    told = "finetune.sh: continuing from snapshots/fcn_iter_10000.solverstate with the existing fcn/net.prototxt"
    assert (done.returncode, done.stderr) == (0, f"{told}; remove the snapshots to start again\n")
    assert tuning.calls("caffe") == [
        "train -solver fcn/solver.prototxt -snapshot snapshots/fcn_iter_10000.solverstate -gpu 0"
    ]
    assert (tuning.path / "fcn" / "net.prototxt").stat().st_mtime_ns == written


def test_snapshots_are_found_where_caffe_puts_them_by_itself(tuning: Place) -> None:
    (tuning.path / "solver.prototxt").write_text('net: "x"\nbase_lr: 1\n', encoding="utf-8")
    assert finetune(tuning, *THREE).returncode == 0
    (tuning.path / "fcn" / "solver_iter_5.solverstate").touch()
    assert finetune(tuning, *THREE).returncode == 0
    assert tuning.calls("caffe")[0].endswith("-snapshot fcn/solver_iter_5.solverstate")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "expected NET, WEIGHTS and SOLVER, found 0"),
        (["a", "b"], 2, "found 2 of them"),
        (["-x", *THREE], 2, "-x is no option"),
        (["-s"], 2, "-s is no option, or lacks its value"),
        (["no.prototxt", *THREE[1:]], 1, "no.prototxt: there is no such file"),
        (["net.prototxt", "no.caffemodel", "solver.prototxt"], 1, "no.caffemodel: there is no such file"),
        (["net.prototxt", "net.caffemodel", "net.prototxt"], 1, "expected a line 'net: ...'"),
        (["broken.prototxt", *THREE[1:]], 1, "broken.prototxt:1:1: error: "),
        (["-s", "5x5", *THREE], 1, "--input-size 5x5 does not suit"),
        (["-d", ".", *THREE], 1, "the same file as the input"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_before_anything_is_done(
    tuning: Place, arguments: Sequence[str], code: int, message: str
) -> None:
    (tuning.path / "broken.prototxt").write_text(BROKEN, encoding="utf-8")
    before = tuning.names
    done = finetune(tuning, *arguments)
    assert (done.returncode, done.stdout) == (code, "") and message in done.stderr
    assert tuning.names == before and tuning.calls("caffe") == []
    assert ("usage:" in done.stderr) == (code == 2)


@pytest.mark.parametrize(("variable", "program"), [("CAFFE", "caffe"), ("CAFFE_FCN", "caffe-fcn")])
def test_a_program_that_is_not_there_is_told_first(tuning: Place, variable: str, program: str) -> None:
    done = finetune(tuning, *THREE, **{variable: f"/nowhere/{program}"})
    assert done.returncode == 1
    assert done.stderr.startswith(f"finetune.sh: no program '/nowhere/{program}'; install") and variable in done.stderr
    assert tuning.names == set(THREE) and tuning.log.read_text(encoding="utf-8") == ""


def test_the_exit_code_of_caffe_is_kept(tuning: Place) -> None:
    tuning.program("caffe", "exit 7")
    assert finetune(tuning, *THREE).returncode == 7


def test_help() -> None:
    done = subprocess.run([EXAMPLES / "finetune.sh", "-h"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("usage: finetune.sh ") and done.stderr == ""


# ---- segment.sh ----

DIGITS = ROOT / "models" / "digits"
WRITTEN = {
    f"segmentation/{name}"
    for name in (
        "deploy.prototxt",
        "solver.prototxt",
        "start.caffemodel",
        "train_labels.txt",
        "train_pictures.txt",
        "train_val.prototxt",
        "val_labels.txt",
        "val_pictures.txt",
    )
}


@pytest.fixture
def labelled(place: Place) -> Place:
    """A place with a classifier, twelve pictures, and label images of all but one."""
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copyfile(DIGITS / name.replace("net", "digits"), place.path / name)
    for kind in ("pictures", "labels"):
        (place.path / kind).mkdir()
    for number in range(12):
        Image.new("L", (24, 20)).save(place.path / "pictures" / f"a picture {number:02}.png")
        if number != 5:
            Image.new("L", (24, 20), number % 11).save(place.path / "labels" / f"a picture {number:02}.png")
    return place


FOUR = ("net.prototxt", "net.caffemodel", "pictures", "labels")


def segment(place: Place, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return place.run(EXAMPLES / "segment.sh", *arguments, **variables)


def test_a_classifier_becomes_a_segmentation_net_and_is_trained(labelled: Place) -> None:
    before = labelled.names
    done = segment(labelled, "-c", "11", "-m", "30", *FOUR, "-gpu", "all")
    assert done.returncode == 0, done.stderr
    assert labelled.calls("caffe") == ["train -solver solver.prototxt -weights start.caffemodel -gpu all"]
    assert labelled.names == before | WRITTEN
    lists = {
        name: labelled.read(f"segmentation/{name}.txt").splitlines() for name in ("train_pictures", "train_labels")
    }
    tests = {name: labelled.read(f"segmentation/{name}.txt").splitlines() for name in ("val_pictures", "val_labels")}
    assert [len(lines) for lines in (*lists.values(), *tests.values())] == [9, 9, 2, 2]
    for one, other in (lists.values(), tests.values()):
        assert [line.replace("/pictures/", "/labels/") for line in one] == other
    assert "test_iter: 2\n" in labelled.read("segmentation/solver.prototxt")
    net = labelled.read("segmentation/train_val.prototxt")
    assert net.count("transform_param { mean_value: 30 }") == 2 and net.count('root_folder: ""') == 4
    assert [call.split()[0] for call in labelled.calls("caffe-fcn")] == ["segment", "check"]
    assert "1 pictures have no labels" in done.stderr and "--label-map" in done.stdout


def test_without_caffe_all_but_the_training_is_done(labelled: Place) -> None:
    done = segment(labelled, "-c", "11", "-d", "new", *FOUR, CAFFE="no-such-caffe")
    assert done.returncode == 0, done.stderr
    assert {name.replace("segmentation/", "new/") for name in WRITTEN} <= labelled.names
    assert done.stdout.endswith("  cd 'new' && caffe train -solver solver.prototxt -weights start.caffemodel \n")


def test_a_segmentation_goes_on_from_the_latest_snapshot(labelled: Place) -> None:
    assert segment(labelled, "-c", "11", *FOUR).returncode == 0
    for iterations in (900, 4000):
        (labelled.path / f"segmentation/train_val_iter_{iterations}.solverstate").touch()
    done = segment(labelled, "-c", "11", *FOUR)
    assert labelled.calls("caffe") == ["train -solver solver.prototxt -snapshot train_val_iter_4000.solverstate"]
    assert labelled.calls("caffe-fcn") == [] and "continuing from" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (FOUR, 2, "expected -c K, NET, WEIGHTS, PICTURES and LABELS"),
        (("-c", "11", "-x", *FOUR), 2, "-x is no option"),
        (("-c", "11", "-m", "a,b", *FOUR), 2, "expected values with commas between"),
        (("-c", "11", "net.prototxt", "nothing", "pictures", "labels"), 1, "nothing: there is no such file"),
        (("-c", "11", "net.prototxt", "net.caffemodel", "pictures", "net.prototxt"), 1, "expected a directory"),
        (
            ("-c", "11", "net.prototxt", "net.caffemodel", ".", "labels"),
            1,
            "at least two pictures with labels, found 0",
        ),
        (("-c", "1", *FOUR), 2, "--classes"),
    ],
)
def test_what_segment_refuses(labelled: Place, arguments: tuple[str, ...], code: int, told: str) -> None:
    done = segment(labelled, *arguments)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert labelled.calls("caffe") == []


# ---- Makefile ----

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
MADE = {"net_fcn.prototxt", "net_fcn.caffemodel"}


def make(place: Place, *arguments: str | Path, makefile: Path = MAKEFILE) -> subprocess.CompletedProcess[str]:
    return place.run("make", "-C", ".", "-f", makefile, *arguments)


def touch(place: Place, name: str) -> None:
    """Make NAME newer than all there is."""
    newest = max(path.stat().st_mtime_ns for path in place.path.iterdir())
    os.utime(place.path / name, ns=(newest + 1_000_000_000, newest + 1_000_000_000))


@needs_make
def test_all_nets_are_made_once(place: Place) -> None:
    for kind in ("prototxt", "caffemodel"):
        shutil.copyfile(place.path / f"net.{kind}", place.path / f"two.{kind}")
    shutil.copyfile(place.path / "net.prototxt", place.path / "text.prototxt")
    done = make(place, "-j3")
    assert done.returncode == 0, done.stderr
    assert len(place.calls("caffe-fcn")) == 2
    assert MADE | {"two_fcn.prototxt", "two_fcn.caffemodel"} <= place.names and "text_fcn.prototxt" not in place.names
    assert "ip1-conv" in place.read("two_fcn.prototxt")


@needs_make
def test_a_second_run_does_nothing(place: Place) -> None:
    assert make(place).returncode == 0
    done = make(place)
    assert done.returncode == 0 and "Nothing to be done" in done.stdout
    assert place.calls("caffe-fcn") == []


@needs_make
@pytest.mark.parametrize("changed", ["net.prototxt", "net.caffemodel"])
def test_a_change_makes_both_anew(place: Place, changed: str) -> None:
    assert make(place).returncode == 0
    touch(place, changed)
    old = {name: (place.path / name).stat().st_ino for name in MADE}
    assert make(place, "-j2").returncode == 0
    assert len(place.calls("caffe-fcn")) == 1
    assert not any((place.path / name).stat().st_ino == old[name] for name in MADE)


@needs_make
@pytest.mark.parametrize("lost", sorted(MADE))
def test_one_that_is_gone_comes_back(place: Place, lost: str) -> None:
    assert make(place).returncode == 0
    (place.path / lost).unlink()
    assert make(place, "-j2").returncode == 0
    assert place.names >= MADE and len(place.calls("caffe-fcn")) == 1


@needs_make
@pytest.mark.parametrize("which", ["text", "weights"])
def test_a_conversion_that_fails_leaves_nothing_behind(place: Place, which: str) -> None:
    if which == "text":
        (place.path / "net.prototxt").write_text(BROKEN, encoding="utf-8")
    else:
        with (place.path / "net.caffemodel").open("r+b") as file:
            file.truncate(8000)
    before = place.names
    done = make(place)
    assert done.returncode != 0 and "caffe-fcn: net." in done.stderr
    assert place.names == before


@needs_make
def test_what_was_made_before_stays_where_a_later_conversion_fails(place: Place) -> None:
    assert make(place).returncode == 0
    before = place.read("net_fcn.prototxt")
    (place.path / "net.prototxt").write_text(BROKEN, encoding="utf-8")
    touch(place, "net.prototxt")
    assert make(place).returncode != 0
    assert place.read("net_fcn.prototxt") == before and place.names >= MADE


@needs_make
def test_a_net_without_weights_options_checks_and_cleaning(place: Place) -> None:
    shutil.copyfile(place.path / "net.prototxt", place.path / "text.prototxt")
    done = make(place, "text_fcn.prototxt", "FCN_FLAGS=--input-size 40x50")
    assert done.returncode == 0, done.stderr
    assert "dim: 40 dim: 50" in place.read("text_fcn.prototxt") and not MADE & place.names
    assert make(place).returncode == 0
    assert make(place, "check").returncode == 0
    assert sorted(place.calls("caffe-fcn")[0].split()) == sorted(["check", *(n for n in place.names if "proto" in n)])
    assert make(place, "clean").returncode == 0
    assert not MADE & place.names and {"net.prototxt", "net.caffemodel"} <= place.names


def ways() -> list[str]:
    """The rules for names without a pattern that the comments of the Makefile show."""
    lines = re.findall(r"^#    (\S.*|\t.*)$", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)
    return [f"{rule}\n{recipe}\n" for rule, recipe in zip(lines[::2], lines[1::2], strict=True)]


@needs_make
@pytest.mark.parametrize("way", range(2))
def test_rules_for_other_names(place: Place, way: int) -> None:
    assert len(ways()) == 2
    version = place.run("make", "--version").stdout
    if "&:" in ways()[way] and [int(part) for part in re.findall(r"\d+", version)[:2]] < [4, 3]:
        pytest.skip("grouped targets need GNU make 4.3")
    makefile = place.path / "Makefile"
    both = "all: dense.prototxt dense.caffemodel\n"
    makefile.write_text(f"CAFFE_FCN = caffe-fcn\n{both}{ways()[way]}", encoding="utf-8")
    (place.path / "net.prototxt").rename(place.path / "deploy.prototxt")
    (place.path / "net.caffemodel").rename(place.path / "snapshot_iter_9000.caffemodel")
    for calls in (1, 0):
        done = make(place, "-j2", makefile=makefile)
        assert done.returncode == 0, done.stderr
        assert len(place.calls("caffe-fcn")) == calls
    (place.path / "dense.prototxt").unlink()
    assert make(place, makefile=makefile).returncode == 0
    assert {"dense.prototxt", "dense.caffemodel"} <= place.names
