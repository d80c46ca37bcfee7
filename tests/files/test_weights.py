from __future__ import annotations

import os
from pathlib import Path

import pytest

from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files.names import is_hdf5_name
from caffe_fcn.files.weights import open_weights
from tests.files.datasets import CAFFES
from tests.files.test_caffemodel import LENET, VARIANTS


@pytest.mark.parametrize("name", [*VARIANTS, "variants/net.caffemodel.h5"])
def test_told_apart_by_contents_not_by_name(name: str, tmp_path: Path) -> None:
    for called in ("weights", "weights.h5", "weights.caffemodel"):
        (tmp_path / called).write_bytes((LENET / name).read_bytes())
        with open_weights(tmp_path / called) as weights:
            assert weights.hdf5 == weights.bare == name.endswith(".h5")
            assert {record.name for record in weights.layers} >= {"conv1", "conv2", "ip1", "ip2"}


def test_messages_call_the_file_as_asked(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(CAFFES.read_bytes())
    with open_weights(tmp_path / "w", "<stdin>") as weights:
        assert weights.path == "<stdin>"
    for damaged in (CAFFES.read_bytes()[:100], b"\0no weights"):
        (tmp_path / "w").write_bytes(damaged)
        with pytest.raises(CaffemodelError, match=r"^<stdin>: ") as caught:
            open_weights(tmp_path / "w", "<stdin>")
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"\x89", b"\x89HDF\r\n\x1a", b"\x89HDF\r\n\x1a\n", b"\x89HDF\n\x1a\n"], ids=repr
)
def test_beginnings_of_hdf5_are_no_weights(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(CaffemodelError, match=r"w: "):
        open_weights(tmp_path / "w")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    for name, expected in (("pipe.h5", "a pipe"), ("", "a directory"), ("none.h5", "No such")):
        with pytest.raises(CaffemodelError, match=expected):
            open_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net.caffemodel.h5", True),
        ("NET.H5", True),
        ("a/b.hdf5", True),
        ("net.caffemodel", False),
        ("h5", False),
        ("net.h5.caffemodel", False),
        ("net.h5/weights", False),
        ("-", False),
    ],
)
def test_names_of_outputs(name: str, expected: bool) -> None:
    assert is_hdf5_name(name) == is_hdf5_name(Path(name)) == expected
