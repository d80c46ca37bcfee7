"""Weights in HDF5: read in every way that they are stored, and written as Caffe writes them."""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.errors import ExtraError, OutputError, WeightsError
from caffe_fcn.files import hdf5_writing, slabs
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.hdf5 import open_hdf5
from caffe_fcn.files.hdf5_writing import write_hdf5
from caffe_fcn.files.rewrite import write
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.entries import held_in
from caffe_fcn.model.reorder import Reorder
from tests.files.datasets import ARRAY, CAFFES, WAYS, indexed, made, memory, read, same
from tests.files.datasets import weights as weights_at
from tests.files.encodings import ENCODINGS, layer, model, packed, parsed, shape_field, varint_field
from tests.files.test_caffemodel import LENET, sparse_model
from tests.model.entries import Change, changed

pytestmark = pytest.mark.usefixtures("nothing_left")


# ---- Reading ----


def test_the_file_that_caffe_wrote() -> None:
    with open_hdf5(CAFFES) as weights:
        assert same(indexed(weights), read(CAFFES))
        assert (weights.hdf5, weights.bare, weights.legacy, weights.path) == (True, True, False, str(CAFFES))
        assert weights.size == CAFFES.stat().st_size, "values stay where they are"
        for record in weights.layers:
            assert (record.format, record.header) == ("HDF5", schema.LayerParameter(name=record.name))
            for blob in record.blobs:
                assert (blob.dtype, blob.packed, blob.legacy_shape, blob.absent) == ("float32", True, False, False)


def test_layers_are_in_the_order_of_their_names_and_blobs_in_that_of_their_numbers(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        for name in ("b", "a", "é", "B"):
            for position in (10, 2, 1, 0, *range(3, 10)):
                file[f"data/{name}/{position}"] = np.full(2, position, "<f4")

    with open_hdf5(made(tmp_path / "w.h5", fill)) as weights:
        assert [record.name for record in weights.layers] == ["B", "a", "b", "é"]
        for record in weights.layers:
            found = [weights.read_values(blob, 0, 1)[0] for blob in record.blobs]
            assert found == list(range(11))


@pytest.mark.thorough
@pytest.mark.parametrize("latest", [False, True], ids=["", "latest"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_storing(way: str, latest: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill, dtype = WAYS[way]
    path = made(tmp_path / "w.h5", fill, libver="latest" if latest else "earliest")
    for limit in (slabs.SLAB, 50, 7):
        monkeypatch.setattr(slabs, "SLAB", limit)
        with open_hdf5(path) as weights:
            (record,) = weights.layers
            blob = record.blobs[0]
            assert (blob.shape, blob.dtype, blob.count) == ((6, 20), dtype, 120)
            np.testing.assert_array_equal(weights.read_values(blob, 0, 120), ARRAY.ravel() % 128)
            assert (
                write(weights, tmp_path / "out.caffemodel", held_in(weights))
                == (tmp_path / "out.caffemodel").stat().st_size
            )
            write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
        (one,) = parsed(tmp_path / "out.caffemodel").layer
        np.testing.assert_array_equal(one.blobs[0].double_data or one.blobs[0].data, ARRAY.ravel() % 128)
        assert bool(one.blobs[0].double_data) == (dtype == "float64")
        assert same(read(tmp_path / "out.h5"), read(path))


def test_plain_datasets_beside_others_are_all_read(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["data/a/0"] = ARRAY
        file.create_dataset("data/b/0", data=ARRAY + 1, chunks=(2, 2))
        file["data/c/0"] = np.zeros((0, 3), "<f4")
        file["data/d/0"] = (ARRAY + 2).astype(">f4")

    path = made(tmp_path / "w.h5", fill)
    with open_hdf5(path) as weights:
        assert same(indexed(weights), read(path))


def test_scalars_and_arrays_without_values(tmp_path: Path) -> None:
    path = weights_at(tmp_path / "w.h5", a=[np.array(2.5, "<f4"), np.zeros((0, 3), "<f4"), np.array(1, ">f4")])
    with open_hdf5(path) as weights:
        blobs = weights.layers[0].blobs
        assert [(blob.shape, blob.count, blob.absent) for blob in blobs] == [
            ((), 1, False),
            ((0, 3), 0, False),
            ((), 1, False),
        ]
        write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
        write(weights, tmp_path / "out.caffemodel", held_in(weights))
    assert same(read(tmp_path / "out.h5"), read(path))
    found = parsed(tmp_path / "out.caffemodel").layer[0].blobs
    assert [(list(blob.shape.dim), list(blob.data)) for blob in found] == [([], [2.5]), ([0, 3], []), ([], [1])]


def test_a_blob_left_to_another_layer_is_absent(tmp_path: Path) -> None:
    path = weights_at(tmp_path / "w.h5", a=[None, ARRAY, None, ARRAY], b=[])
    with open_hdf5(path) as weights:
        a, b = weights.layers
        assert [blob.absent for blob in a.blobs] == [True, False, True, False]
        assert b.blobs == ()
        write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
        with pytest.raises(WeightsError, match=r'layer "a", blob 0: .*give the prototxt, which names that layer'):
            write(weights, tmp_path / "out.caffemodel", held_in(weights))
    assert same(read(tmp_path / "out.h5"), read(path))
    assert not (tmp_path / "out.caffemodel").exists()


def test_other_groups_are_none_of_our_business(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["data/fc/0"] = ARRAY
        file["diff/fc/0"], file["diff/fc/x"] = ARRAY + 1, "no numbers"
        file["diff/away"] = h5py.ExternalLink("/nowhere.h5", "data")
        file["solver/iter"] = 5
        file["data"].attrs["a"] = file["data/fc"].attrs["b"] = "attributes"

    with open_hdf5(made(tmp_path / "w.h5", fill)) as weights:
        assert same(indexed(weights), {"fc": {"0": ARRAY}})


def test_names_with_slashes_and_in_any_script(tmp_path: Path) -> None:
    names = ["inception_3a/1x1", "inception_3a/3x3/bn", "inception_3a", "слой", "層 1", "a.b", "..", "a\\b", "a\nb"]

    def fill(file: Any) -> None:
        for name in names:
            file[f"data/{name}/0"] = ARRAY
        file.create_group("data/empty/inner")

    with open_hdf5(made(tmp_path / "w.h5", fill)) as weights:
        held = {record.name for record in weights.layers if record.blobs}
        assert held == set(names)
        assert {record.name for record in weights.layers} == {*names, "empty/inner"}
        write(weights, tmp_path / "out.caffemodel", held_in(weights))
        with pytest.raises(WeightsError, match=r"the slash in the layer name '.*/.*' would make nested groups"):
            write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
    assert {one.name for one in parsed(tmp_path / "out.caffemodel").layer if one.blobs} == set(names)
    assert not (tmp_path / "out.h5").exists()


# ---- Writing ----


def test_caffes_file_is_written_as_caffe_does(tmp_path: Path) -> None:
    with open_caffemodel(LENET / "net.caffemodel") as weights:
        write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
    assert same(read(tmp_path / "out.h5"), read(CAFFES))
    with h5py.File(tmp_path / "out.h5") as file:
        assert list(file) == ["data"]
        found = [file["data"][name][position] for name in file["data"] for position in file["data"][name]]
        assert len(found) == 8
        for each in found:
            assert each.id.get_type().equal(h5py.h5t.IEEE_F32LE)
            assert each.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.h5", "two.h5"):
        with open_caffemodel(LENET / "net.caffemodel") as weights:
            write_hdf5(weights, tmp_path / name, held_in(weights))
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    times = []
    with h5py.File(tmp_path / "one.h5") as file:
        file.visititems(lambda name, item: times.append(h5py.h5g.get_objinfo(item.id).mtime))
    assert len(times) > 8 and not any(times), "the hour of writing is in the file"


@pytest.mark.parametrize("variant", sorted(path.name for path in (LENET / "variants").iterdir()))
def test_there_and_back(variant: str, tmp_path: Path) -> None:
    """Caffemodel to HDF5 to caffemodel, and HDF5 to HDF5: every value, and every shape that is not of 2014."""
    with open_weights(LENET / "variants" / variant) as weights:
        before = indexed(weights)
        changes = {
            index: Change(None, {i: blob.shape for i, blob in enumerate(record.blobs)})
            for index, record in enumerate(weights.layers)
        }
        write_hdf5(weights, tmp_path / "one.h5", changed(weights, changes))
    assert same(read(tmp_path / "one.h5"), before)
    with open_weights(tmp_path / "one.h5") as weights:
        write(weights, tmp_path / "two.caffemodel", held_in(weights))
        write_hdf5(weights, tmp_path / "two.h5", held_in(weights))
    assert same(read(tmp_path / "two.h5"), before)
    net = parsed(tmp_path / "two.caffemodel")
    blobs = {
        one.name: {
            str(position): np.array(blob.double_data or blob.data).reshape([*blob.shape.dim])
            for position, blob in enumerate(one.blobs)
        }
        for one in net.layer
    }
    assert same(blobs, before)
    assert not net.layers and not any(blob.HasField("num") for one in net.layer for blob in one.blobs)
    with open_weights(tmp_path / "two.caffemodel") as weights:
        write_hdf5(weights, tmp_path / "three.h5", held_in(weights))
    assert (tmp_path / "three.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding(encoding: str, tmp_path: Path) -> None:
    path = model(tmp_path / "m", layer("fc", [ENCODINGS[encoding](ARRAY)]))
    with open_caffemodel(path) as weights:
        write_hdf5(weights, tmp_path / "out.h5", changed(weights, {0: Change(None, {0: (6, 20)})}))
    found = read(tmp_path / "out.h5")["fc"]["0"]
    np.testing.assert_array_equal(found, ARRAY)
    expected = "<f2" if "half" in encoding else "<f8" if "double" in encoding else "<f4"
    assert found.dtype == expected


@pytest.mark.parametrize("source", ["caffemodel", "plain", "gzip"])
def test_edits(source: str, tmp_path: Path) -> None:
    names = ("gone", "renamed", "shaped", "turned", "same")
    path = tmp_path / "m"
    if source == "caffemodel":
        model(path, *(layer(name, [shape_field((6, 20)) + packed(5, ARRAY)]) for name in names))
    else:
        options = {"compression": "gzip"} if source == "gzip" else {}
        made(path, lambda file: [file.create_dataset(f"data/{name}/0", data=ARRAY, **options) for name in names])
    with open_weights(path) as weights:
        places = {record.name: position for position, record in enumerate(weights.layers)}
        changes = {
            places["gone"]: None,
            places["renamed"]: Change(schema.LayerParameter(name="new")),
            places["shaped"]: Change(None, {0: (6, 5, 2, 2)}),
            places["turned"]: Change(None, {0: (20, 6, 1)}, Reorder(20, 6, True)),
        }
        write_hdf5(weights, tmp_path / "out.h5", changed(weights, changes))
        write(weights, tmp_path / "out.caffemodel", changed(weights, changes))
    expected = {
        "new": {"0": ARRAY},
        "shaped": {"0": ARRAY.reshape(6, 5, 2, 2)},
        "turned": {"0": ARRAY.T.reshape(20, 6, 1)},
        "same": {"0": ARRAY},
    }
    assert same(read(tmp_path / "out.h5"), expected)
    with open_weights(tmp_path / "out.caffemodel") as weights:
        assert same(indexed(weights), expected)


FC = shape_field((6, 20)) + packed(5, ARRAY)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([layer("a/b", [])], "the slash in the layer name 'a/b'.*; write a .caffemodel instead"),
        ([layer("", [FC])], "cannot hold a layer named ''"),
        ([layer(".", [FC])], r"cannot hold a layer named '\.'"),
        ([layer("a\0b", [FC])], "cannot hold a layer named"),
        ([layer("fc", [FC]), layer("fc", [FC])], "two layers named 'fc' have weights"),
        ([layer("fc", [shape_field((6, 20)) + varint_field(10, 3) + packed(12, ARRAY.astype("<i4"))])], "found int32"),
        ([layer("fc", [shape_field((2, 3)) + packed(5, ARRAY)])], "values for its shape, 2×3, found 120"),
        ([layer("fc", [shape_field((600, 2)) + packed(5, ARRAY)])], "values for its shape, 600×2, found 120"),
        ([layer("fc", [FC, packed(5, ARRAY)])], 'layer "fc", blob 1: .* a single value, found 120'),
        ([layer("fc", [b""])], "blob 0: .* a single value, found 0"),
        ([layer("fc", [shape_field((6, 20))])], "6×20, found 0"),
    ],
)
def test_what_hdf5_cannot_hold(parts: list[bytes], expected: str, tmp_path: Path) -> None:
    with open_caffemodel(model(tmp_path / "m", *parts)) as weights, pytest.raises(WeightsError, match=expected):
        write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
    assert os.listdir(tmp_path) == ["m"]


def test_an_edit_of_another_count_of_values_is_refused(tmp_path: Path) -> None:
    with (
        open_caffemodel(model(tmp_path / "m", layer("fc", [FC]))) as weights,
        pytest.raises(WeightsError, match='layer "fc", blob 0: expected 121 values'),
    ):
        write_hdf5(weights, tmp_path / "out.h5", changed(weights, {0: Change(None, {0: (11, 11)})}))
    assert os.listdir(tmp_path) == ["m"]


def test_layers_of_one_name_are_one_group_where_one_has_blobs(tmp_path: Path) -> None:
    """The layers of TRAIN and TEST, of which the second has nothing to hold."""
    with open_caffemodel(model(tmp_path / "m", layer("fc", []), layer("fc", [FC]), layer("fc", []))) as weights:
        write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
    assert same(read(tmp_path / "out.h5"), {"fc": {"0": ARRAY}})


def test_strange_names(tmp_path: Path) -> None:
    names = ["..", " ", "a.b", "слой", "l" * 3000, "é\n", "0"]
    with open_caffemodel(model(tmp_path / "m", *(layer(name, [FC]) for name in names))) as weights:
        write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
    with h5py.File(tmp_path / "out.h5") as file:
        assert set(file["data"]) == set(names)
    with open_hdf5(tmp_path / "out.h5") as weights:
        assert {record.name for record in weights.layers} == set(names)


def test_progress_is_that_of_all_values(tmp_path: Path) -> None:
    told: list[int] = []
    with open_caffemodel(LENET / "net.caffemodel") as weights:
        write_hdf5(weights, tmp_path / "out.h5", held_in(weights), progress=told.append)
        total = sum(blob.values.size for record in weights.layers for blob in record.blobs)
    assert told == sorted(told) and told[-1] == total


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with open_caffemodel(LENET / "net.caffemodel") as weights:
        with pytest.raises(OutputError, match=r"nowhere/out\.h5: cannot be written: "):
            write_hdf5(weights, tmp_path / "nowhere" / "out.h5", held_in(weights))
        with pytest.raises(OutputError, match=r"^shown\.h5: "):
            write_hdf5(weights, tmp_path / "nowhere" / "out.h5", held_in(weights), name="shown.h5")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device"), "out.h5: the disk is full: 480 bytes are needed"),
        (RuntimeError("Disable slist (errno = 28, error message = 'No space left')"), "the disk is full: 480 bytes"),
        (ValueError("Unable to create\n dataset"), "out.h5: cannot be written: Unable to create dataset; choose"),
    ],
)
def test_what_the_library_tells_of_a_full_disk(
    error: Exception, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> list[int]:
        raise error

    monkeypatch.setattr(hdf5_writing, "_lay_out", fail)
    with (
        open_caffemodel(model(tmp_path / "m", layer("fc", [FC]))) as weights,
        pytest.raises(OutputError, match=expected),
    ):
        write_hdf5(weights, tmp_path / "out.h5", held_in(weights))


# ---- The package that may be absent ----


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    expected = r"weights in HDF5 need the package h5py; install it with: pip install 'caffe-fcn\[hdf5\]'"
    with pytest.raises(ExtraError, match=f"net.caffemodel.h5: {expected}"):
        open_weights(CAFFES)
    with open_weights(LENET / "net.caffemodel") as weights, pytest.raises(ExtraError, match=f"out.h5: {expected}"):
        write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
    assert os.listdir(tmp_path) == []


# ---- Memory ----

READ = """
    import sys
    from caffe_fcn.files.rewrite import write
    from caffe_fcn.files.weights import open_weights
    from caffe_fcn.model.entries import held_in
    with open_weights(sys.argv[1]) as weights:
        write(weights, sys.argv[2], held_in(weights))
"""
WRITE = """
    import sys
    from caffe_fcn import schema
    from caffe_fcn.files.hdf5_writing import write_hdf5
    from caffe_fcn.files.weights import open_weights
    from tests.model.entries import Change, changed
    with open_weights(sys.argv[1]) as weights:
        write_hdf5(weights, sys.argv[2], changed(weights, {0: Change(schema.LayerParameter(name="big"))}))
"""
MIB = 1 << 20


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_weights(tmp_path: Path) -> None:
    source = sparse_model(tmp_path / "m", 200 * MIB)
    assert memory(WRITE, source, tmp_path / "w.h5") < 100
    with h5py.File(tmp_path / "w.h5") as file:
        assert file["data/big/0"].size * 4 == 200 * MIB
    assert memory(READ, tmp_path / "w.h5", tmp_path / "back") < 100
    assert (tmp_path / "back").stat().st_size > 200 * MIB


def bomb(path: Path, size: int) -> Path:
    """Zeros of SIZE bytes, compressed as well as can be."""
    chunk = zlib.compress(bytes(8 * MIB), 9)

    def fill(file: Any) -> None:
        values = file.create_dataset(
            "data/fc/0", (size // 4 // 1024, 1024), "<f4", chunks=(2048, 1024), compression="gzip"
        )
        for row in range(0, size // 4 // 1024, 2048):
            values.id.write_direct_chunk((row, 0), chunk)

    return made(path, fill)


@pytest.mark.thorough
def test_memory_does_not_grow_with_what_is_compressed(tmp_path: Path) -> None:
    source = bomb(tmp_path / "w.h5", 120 * MIB)
    assert source.stat().st_size < MIB
    assert memory(READ, source, tmp_path / "out") < 100
    assert (tmp_path / "out").stat().st_size > 120 * MIB
