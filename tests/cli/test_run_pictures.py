"""`caffe-fcn run` on many pictures."""

from __future__ import annotations

import shutil

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.running import FCN, NET, SCALE, checked, refuses, rejects, runs


@pytest.mark.parametrize("option", ["--labels", "--mean"])
def test_no_input_is_overwritten(digits: CommandLine, option: str) -> None:
    (digits.path / "x.npy").write_text("anything")
    told = digits.run("run", *FCN, "scattered.png", option, "x.npy", "-o", "x.npy", "--force")
    assert told.code == 1 and "the same file as the input x.npy" in told.err
    assert (digits.path / "x.npy").read_text() == "anything"


def test_pixels_that_go_in_as_they_are_are_told_once(digits: CommandLine) -> None:
    told = "note: pixels are used unchanged, from 0 to 255; "
    assert runs(digits, *NET, "window.png", "window.png").err.count(told) == 1
    for words in (("--scale", SCALE), ("--mean", "0")):
        assert told not in runs(digits, *NET, "window.png", *words).err


@pytest.mark.thorough
def test_folders_globs_and_lists(digits: CommandLine) -> None:
    folder = digits.path / "in"
    folder.mkdir()
    for name in ("b.png", "a.PNG"):
        shutil.copy(digits.path / "window.png", folder / name)
    (folder / "notes.txt").write_text("no picture")
    (digits.path / "list").write_text("in/b.png window.png")
    for words, names in (
        (["in"], ["in/a.PNG", "in/b.png"]),
        (["in/*.[pP]*"], ["in/a.PNG", "in/b.png"]),
        (["@list"], ["in/b.png", "window.png"]),
    ):
        document = checked(runs(digits, *NET, *words, "--json").document)
        assert [each["picture"] for each in document["pictures"]] == names
    told = runs(digits, *FCN, "in", "--scale", SCALE, "--out-dir", "out", "-o", ".npz", "--label-map", "labels.png")
    assert sorted(path.name for path in (digits.path / "out").iterdir()) == [
        *("a.npz", "a_labels.png", "b.npz", "b_labels.png")
    ]
    assert told.err == "wrote out/a.npz, out/a_labels.png\nwrote out/b.npz, out/b_labels.png\n"


@pytest.mark.thorough
def test_one_bad_picture_among_many(digits: CommandLine) -> None:
    (digits.path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    result = digits.run("run", *NET, "window.png", "bad.png", "nowhere.png", "window.png", "--json")
    assert result.code == 1
    pictures = checked(result.document)["pictures"]
    assert ["error" in each for each in pictures] == [False, True, True, False]
    assert pictures[2]["error"] == "nowhere.png: No such file or directory"
    lines = result.err.splitlines()
    assert lines[0].startswith("caffe-fcn: bad.png: ") and lines[1] == f"caffe-fcn: {pictures[2]['error']}"
    assert lines[2:] == ["caffe-fcn: 2 of 4 pictures failed"]
    result = digits.run("run", *FCN, "bad.png", "nowhere.png", "--out-dir", "out", "-o", ".npy")
    assert result.code == 1 and "out" not in digits.names


def test_names_that_would_collide(digits: CommandLine) -> None:
    (digits.path / "sub").mkdir()
    shutil.copy(digits.path / "window.png", digits.path / "sub" / "window.bmp")
    told = rejects(digits, *FCN, "window.png", "sub/window.bmp", "--out-dir", "out", "-o", ".npy")
    assert told.endswith("window.png and sub/window.bmp would both be written to out/window.npy; run them separately")


def test_the_largest_folder_there_is_none_of(digits: CommandLine) -> None:
    (digits.path / "empty").mkdir()
    assert refuses(digits, *NET, "empty").startswith("empty: expected a folder with pictures, found none (.bmp")
    assert refuses(digits, *NET, "no*.png") == "no*.png: expected pictures, found no such file"
