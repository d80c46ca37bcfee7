"""Outputs are written whole, read back, checked, and only then given their names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError, CaffemodelError, OutputError, WeightsError
from caffe_fcn.files import hdf5_writing, prototxt
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model import writing
from caffe_fcn.model.writing import WeightsOutput, beside, write_outputs
from tests.files.datasets import CAFFES, read, same
from tests.files.encodings import ENCODINGS, layer, legacy_shape, matrix, model, packed, parsed
from tests.files.test_caffemodel import LENET
from tests.model.entries import Change, changed
from tests.passes.nets import data, fc

TEXT = prototxt.parse(data() + "# a comment\n" + fc("fc", "data", 5), "net.prototxt")
ARRAY = matrix(6, 20)


def output(
    weights: WeightFile, changes: dict[int, Change | None] | None = None, types: dict[str, str] | None = None
) -> WeightsOutput:
    return WeightsOutput(weights, changed(weights, changes or {}), types=types or {})


# ---- What is written ----


@pytest.mark.parametrize("name", ["out.caffemodel", "out.caffemodel.h5", "OUT.HDF5"])
def test_both_outputs_appear(name: str, tmp_path: Path) -> None:
    with open_weights(LENET / "net.caffemodel") as weights:
        write_outputs(TEXT, str(tmp_path / "out.prototxt"), output(weights), str(tmp_path / name))
    assert (tmp_path / "out.prototxt").read_bytes() == bytes(TEXT)
    if name == "out.caffemodel":
        assert (tmp_path / name).read_bytes() == (LENET / "net.caffemodel").read_bytes()
    else:
        assert same(read(tmp_path / name), read(CAFFES))
    assert sorted(os.listdir(tmp_path)) == sorted(["out.prototxt", name])


def test_one_output_alone(tmp_path: Path) -> None:
    with open_weights(CAFFES) as weights:
        write_outputs(TEXT, None, output(weights), str(tmp_path / "w.h5"))
        write_outputs(TEXT, str(tmp_path / "t"), output(weights), None)
        write_outputs(None, str(tmp_path / "no"), None, str(tmp_path / "neither"))
    assert sorted(os.listdir(tmp_path)) == ["t", "w.h5"]


def test_the_text_to_stdout(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_weights(CAFFES) as weights:
        write_outputs(TEXT, "-", output(weights), str(tmp_path / "w.h5"))
    assert capfdbinary.readouterr().out == bytes(TEXT)
    assert os.listdir(tmp_path) == ["w.h5"]


def test_hdf5_gets_the_shapes_of_today(tmp_path: Path) -> None:
    """Those that no edit names, too: Caffe takes no others from HDF5."""
    with open_weights(LENET / "variants" / "v1.caffemodel") as weights:
        places = [position for position, record in enumerate(weights.layers) if record.name == "ip1"]
        shaped: dict[int, Change | None] = {places[0]: Change(None, {0: (32, 12, 4, 4)})}
        write_outputs(None, None, output(weights, shaped), str(tmp_path / "w.h5"))
    wanted = read(CAFFES)
    wanted["ip1"]["0"] = wanted["ip1"]["0"].reshape(32, 12, 4, 4)
    assert same(
        {name: blobs for name, blobs in read(tmp_path / "w.h5").items() if blobs},
        {name: blobs for name, blobs in wanted.items() if blobs},
    )


def test_the_nets_word_for_a_type_decides_the_axes(tmp_path: Path) -> None:
    blob = legacy_shape((6, 20)) + packed(5, ARRAY)
    model(tmp_path / "m", layer("fc", [blob], type="Unknown"))
    with open_weights(tmp_path / "m") as weights:
        for types, shape in (({}, (1, 1, 6, 20)), ({"fc": "InnerProduct"}, (6, 20))):
            target = str(tmp_path / "w.h5")
            write_outputs(None, None, output(weights, {}, types), target, force=True)
            assert read(tmp_path / "w.h5")["fc"]["0"].shape == shape


def test_the_fields_of_the_net_before_its_layers(tmp_path: Path) -> None:
    head = schema.NetParameter(name="another").SerializeToString()
    with open_weights(LENET / "net.caffemodel") as weights:
        write_outputs(None, None, WeightsOutput(weights, changed(weights, {0: None}), head), str(tmp_path / "w"))
    net, old = parsed(tmp_path / "w"), parsed(LENET / "net.caffemodel")
    assert (net.name, old.name) == ("another", "lenet")
    assert list(net.layer) == list(old.layer)[1:]


@pytest.mark.parametrize(
    ("path", "suffix", "expected"),
    [
        ("a/net.prototxt", ".prototxt", "a/net_fcn.prototxt"),
        ("net.caffemodel", ".caffemodel", "net_fcn.caffemodel"),
        ("net.binary", ".caffemodel", "net_fcn.caffemodel"),
        ("net.caffemodel.h5", ".caffemodel", "net_fcn.caffemodel.h5"),
        ("a/net.h5", ".caffemodel", "a/net_fcn.h5"),
        ("net.hdf5", ".caffemodel", "net_fcn.hdf5"),
    ],
)
def test_names_beside_the_input(path: str, suffix: str, expected: str) -> None:
    assert beside(path, suffix, "_fcn") == expected


# ---- What is read back ----


def tampered(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], object]) -> None:
    """Let the disk hold something else than what was written, as HDF5 that CHANGE has been at."""
    import h5py  # type: ignore[import-untyped]

    real = hdf5_writing.write_hdf5

    def wrong(weights: WeightFile, path: str, *arguments: Any, **options: Any) -> None:
        real(weights, path, *arguments, **options)
        with h5py.File(path, "r+") as file:
            change(file["data"])

    monkeypatch.setattr(hdf5_writing, "write_hdf5", wrong)


def reshaped(group: Any) -> None:
    values = group["ip1/0"][()]
    del group["ip1/0"]
    group["ip1/0"] = values.reshape(192, 32)


@pytest.mark.parametrize(
    "change",
    [
        lambda group: group.__delitem__("conv1"),
        lambda group: group.__delitem__("ip2/1"),
        lambda group: group.move("ip1", "ip3"),
        lambda group: group.__setitem__("more/0", ARRAY),
        reshaped,
    ],
    ids=["layer gone", "blob gone", "name", "layer more", "shape"],
)
def test_what_reads_otherwise_gets_no_name(
    change: Callable[[Any], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tampered(monkeypatch, change)
    with (
        open_weights(LENET / "net.caffemodel") as weights,
        pytest.raises(
            CaffemodelError, match=r"w\.h5: expected to read back layer .*; nothing was written; check the disk"
        ),
    ):
        write_outputs(TEXT, str(tmp_path / "t"), output(weights), str(tmp_path / "w.h5"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("position", [40, 60, 100, 30_000])
def test_a_caffemodel_that_reads_otherwise_gets_no_name(
    position: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = writing._write_caffemodel

    def wrong(weights: WeightsOutput, fd: int, *arguments: Any) -> None:
        real(weights, fd, *arguments)
        os.ftruncate(fd, position)

    monkeypatch.setattr(writing, "_write_caffemodel", wrong)
    with open_weights(LENET / "net.caffemodel") as weights, pytest.raises(CaffemodelError, match=r"w: "):
        write_outputs(TEXT, str(tmp_path / "t"), output(weights), str(tmp_path / "w"))
    assert os.listdir(tmp_path) == []


def test_a_text_that_reads_otherwise_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, part: real(fd, bytes(part).replace(b"comment", b"Comment")))
    with pytest.raises(OutputError, match="t: the file differs from what was written"):
        write_outputs(TEXT, str(tmp_path / "t"), None, None)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5"])
def test_every_encoding_reads_back_as_it_should(encoding: str, name: str, tmp_path: Path) -> None:
    path = model(tmp_path / "m", layer("fc", [ENCODINGS[encoding](ARRAY)]), layer("r", []))
    with open_weights(path) as weights:
        write_outputs(None, None, output(weights, {1: None}), str(tmp_path / name))
    with open_weights(tmp_path / name) as written:
        (record,) = written.layers
        assert [extent for extent in record.blobs[0].shape if extent != 1] == [6, 20]
        assert written.read_values(record.blobs[0], 0, 120).tolist() == ARRAY.ravel().tolist()


# ---- What cannot be written ----


def refused(error: type[CaffeFcnError], expected: str, tmp_path: Path, weights: WeightFile, name: str) -> None:
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(error, match=expected):
        write_outputs(TEXT, str(tmp_path / "t"), output(weights), str(tmp_path / name))
    assert sorted(os.listdir(tmp_path)) == before


def test_hdf5_that_cannot_hold_the_weights_takes_the_text_with_it(tmp_path: Path) -> None:
    path = model(tmp_path / "m", layer("conv1/7x7", [ENCODINGS["packed"](ARRAY)]))
    with open_weights(path) as weights:
        refused(WeightsError, "the slash in the layer name", tmp_path, weights, "w.h5")


def test_no_hdf5_through_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    received: list[bytes] = []
    reader = Thread(target=lambda: received.append((tmp_path / "pipe.h5").read_bytes()))
    reader.start()
    with open_weights(CAFFES) as weights:
        refused(OutputError, r"pipe\.h5: .*written to a pipe; name a file", tmp_path, weights, "pipe.h5")
    reader.join(10)
    assert received == [b""]


def test_existing_files_stay_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_bytes(b"old")
    with open_weights(CAFFES) as weights:
        refused(OutputError, r"w\.h5: already exists; overwrite it with force=True", tmp_path, weights, "w.h5")
        assert (tmp_path / "w.h5").read_bytes() == b"old"
        (tmp_path / "w.h5").chmod(0o640)
        write_outputs(None, None, output(weights), str(tmp_path / "w.h5"), force=True)
    assert same(read(tmp_path / "w.h5"), read(CAFFES))
    assert (tmp_path / "w.h5").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["w.h5"]


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(written: int) -> None:
        assert [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
        raise KeyboardInterrupt

    for name in ("w.h5", "w.caffemodel"):
        with open_weights(CAFFES) as weights, pytest.raises(KeyboardInterrupt):
            write_outputs(TEXT, str(tmp_path / "t"), output(weights), str(tmp_path / name), progress=interrupt)
        assert os.listdir(tmp_path) == []
