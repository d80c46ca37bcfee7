from __future__ import annotations

import fcntl
import os
import random
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError, CaffemodelError, ExtraError, OutputError, WeightsError
from caffe_fcn.files import hdf5, slabs
from caffe_fcn.files.caffemodel import WeightFile, open_caffemodel
from caffe_fcn.files.hdf5 import open_hdf5, write_hdf5
from caffe_fcn.files.rewrite import write
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.entries import held_in
from caffe_fcn.model.reorder import Reorder
from tests.files.datasets import CAFFES, Blobs, made, memory, read, same
from tests.files.datasets import weights as weights_at
from tests.files.encodings import ENCODINGS, layer, matrix, model, packed, parsed, shape_field, varint_field
from tests.files.test_caffemodel import LENET, sparse_model
from tests.model.entries import Change, changed

ARRAY = matrix(6, 20)
Fill = Callable[[Any], object]


@pytest.fixture(autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Temporary files go to a directory of their own, where none may be left."""
    directory = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield directory
    assert os.listdir(directory) == []


def indexed(weights: WeightFile) -> Blobs:
    """What WEIGHTS holds, as `read` gives it."""
    return {
        record.name: {
            str(position): weights.read_values(blob, 0, blob.count).reshape(blob.shape)
            for position, blob in enumerate(record.blobs)
            if not blob.absent
        }
        for record in weights.layers
    }


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


def bfloat(bits: bool = True) -> Any:
    """A type of numbers that numpy lacks: bfloat16, or a float32 with another bias."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    if bits:
        kind.set_fields(15, 7, 8, 0, 7)
        kind.set_size(2)
    else:
        kind.set_ebias(126)
    return kind


def of_type(kind: Any) -> Fill:
    def fill(file: Any) -> None:
        space = h5py.h5s.create_simple(ARRAY.shape)
        dataset = h5py.h5d.create(file.create_group("data/fc").id, b"0", kind, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, (ARRAY % 128).astype("<f4"))
        file["behind"] = np.zeros(1000)  # or reading too much would be reading beyond the end

    return fill


def stored(**options: Any) -> Fill:
    kind = options.pop("kind", "<f4")
    return lambda file: file.create_dataset("data/fc/0", data=(ARRAY % 128).astype(kind), **options)


def compact(file: Any) -> None:
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(ARRAY.shape)
    dataset = h5py.h5d.create(file.create_group("data/fc").id, b"0", h5py.h5t.IEEE_F32LE, space, layout)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, (ARRAY % 128).astype("<f4"))


WAYS: dict[str, tuple[Fill, str]] = {
    "contiguous": (stored(), "float32"),
    "doubles": (stored(kind="<f8"), "float64"),
    "halves": (stored(kind="<f2"), "float32"),
    "big-endian": (stored(kind=">f4"), "float32"),
    "big-endian doubles": (stored(kind=">f8"), "float64"),
    "big-endian halves in chunks": (stored(kind=">f2", chunks=(4, 3)), "float32"),
    "chunks": (stored(chunks=(4, 7)), "float32"),
    "chunks larger than the array": (stored(chunks=(10, 30), maxshape=(None, None)), "float32"),
    "gzip": (stored(chunks=(5, 3), compression="gzip", shuffle=True, fletcher32=True), "float32"),
    "lzf": (stored(chunks=(2, 20), compression="lzf"), "float32"),
    "doubles in gzip": (stored(kind="<f8", compression="gzip"), "float64"),
    "compact": (compact, "float32"),
    "bfloat16": (of_type(bfloat()), "float32"),
    "another bias": (of_type(bfloat(False)), "float64"),
}


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
        with pytest.raises(WeightsError, match=r'layer "a", blob 0: .*only a prototxt says which'):
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
        with pytest.raises(WeightsError, match=r"the slash in the name '.*/.*' for a group"):
            write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
    assert {one.name for one in parsed(tmp_path / "out.caffemodel").layer if one.blobs} == set(names)
    assert not (tmp_path / "out.h5").exists()


# ---- What is refused ----


def dataset(data: Any = None, **options: Any) -> Fill:
    return lambda file: file.create_dataset("data/fc/0", data=data, **options)


def named(name: str) -> Fill:
    return lambda file: file.create_dataset(f"data/fc/{name}", data=ARRAY)


def elsewhere(file: Any) -> None:
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["data/fc/0"] = ARRAY


def external_root(file: Any) -> None:
    elsewhere(file)
    file["data"] = h5py.ExternalLink("other.h5", "data")


def external_layer(file: Any) -> None:
    elsewhere(file)
    file.create_group("data")["fc"] = h5py.ExternalLink("other.h5", "data/fc")


def external_blob(file: Any) -> None:
    elsewhere(file)
    file.create_group("data/fc")["0"] = h5py.ExternalLink("other.h5", "data/fc/0")


def external_storage(file: Any) -> None:
    file.create_group("data/fc").create_dataset("0", (4,), "<f4", external=[("/etc/hostname", 0, 16)])


def virtual(file: Any) -> None:
    elsewhere(file)
    layout = h5py.VirtualLayout(ARRAY.shape, "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "data/fc/0", ARRAY.shape)
    file.create_group("data/fc").create_virtual_dataset("0", layout)


def soft_root(file: Any) -> None:
    file["there/fc/0"] = ARRAY
    file["data"] = h5py.SoftLink("/there")


def soft_layer(file: Any) -> None:
    file["data/fc/0"] = ARRAY
    file["data/twin"] = h5py.SoftLink("/data/fc")


def dangling(file: Any) -> None:
    file.create_group("data/fc")["0"] = h5py.SoftLink("/nowhere")


def cycle(file: Any) -> None:
    file["data/fc/0"] = ARRAY
    file["data/fc/again"] = file["data"]


def many_cycles(file: Any) -> None:
    file["data/fc/0"] = ARRAY
    for number in range(50):
        file[f"data/again{number}"] = file["data"]


def linked_bomb(file: Any) -> None:
    file.create_dataset("data/fc/0", data=np.zeros((256, 1024), "<f4"), chunks=(256, 1024), compression="gzip")
    for number in range(100):
        file[f"data/twin{number}"] = file["data/fc"]


def unknown_filter(file: Any) -> None:
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((4,))
    layout.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    group = file.create_group("data/fc").id
    made = h5py.h5d.create(group, b"0", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4,)), layout)
    made.write_direct_chunk((0,), bytes(16), 0)


def no_utf8(file: Any) -> None:
    h5py.h5g.create(file.create_group("data").id, b"fc\xff\xfe")


def half_there(file: Any) -> None:
    file.create_group("data/fc").create_dataset("0", (1 << 20, 16), "<f4", chunks=(16, 16))[:16] = 1


HOSTILE: dict[str, tuple[Fill, str]] = {
    "empty": (lambda file: None, "expected a group 'data', as Caffe writes it, found nothing"),
    "other groups": (lambda file: file.create_group("model_weights"), "as Caffe writes it, found model_weights"),
    "no layers": (lambda file: file.create_group("data"), "expected layers in the group 'data', found none"),
    "data no group": (lambda file: file.create_dataset("data", data=ARRAY), "expected a group 'data'.*found data"),
    "no group between": (lambda file: file.create_dataset("data/0", data=ARRAY), "expected a layer's group, found '0'"),
    "a type": (lambda file: file.__setitem__("data/fc/0", np.dtype("<f4")), "a layer's group, found 'fc/0'"),
    "external root": (external_root, "'data' is a link to another place, which is not followed"),
    "external layer": (external_layer, "'fc' is a link to another place"),
    "external blob": (external_blob, "'fc/0' is a link to another place"),
    "external storage": (external_storage, "layer 'fc', blob 0: its values are in another file"),
    "virtual": (virtual, "layer 'fc', blob 0: its values are in another file"),
    "soft root": (soft_root, "'data' is a link to another place"),
    "soft layer": (soft_layer, "'twin' is a link to another place"),
    "dangling": (dangling, "'fc/0' is a link to another place"),
    "cycle": (cycle, "expected at most 16 groups in one another, found more at 'fc/again/fc/again"),
    "many cycles": (many_cycles, "expected at most (16 groups in one another|20,000 groups and datasets)"),
    "deep": (lambda file: file.create_dataset("data" + "/g" * 40 + "/0", data=ARRAY), "at most 16 groups"),
    "one dataset in many layers": (linked_bomb, "layer 'twin.*', blob 0: expected 1,048,576 bytes of values"),
    "huge": (dataset(shape=(1 << 40,), dtype="<f4"), "expected 4,398,046,511,104 bytes of values, found 0"),
    "huge in chunks": (dataset(shape=(1 << 40, 9), dtype="<f4", chunks=(512, 9)), "bytes of values, found 0"),
    "of 60 bits": (dataset(shape=(1 << 30, 1 << 30), dtype="<f8", chunks=(8, 8)), "found 0; the file is incomplete"),
    "half there": (half_there, "expected 67,108,864 bytes of values, found 1,024"),
    "called x": (named("x"), "layer 'fc': expected blobs called 0, 1, ..., found 'x'"),
    "called 01": (named("01"), "found '01'"),
    "called -1": (named("-1"), "found '-1'"),
    "called 256": (named("256"), "found '256'"),
    "called 999999999": (named("999999999"), "found '999999999'"),
    "called 9...": (named("9" * 5000), "found '9{80}'$"),
    "called \u0661": (named("\u0661"), "expected blobs called"),
    "no UTF-8": (no_utf8, "expected names in UTF-8|codec can't decode"),
    "integers": (dataset(ARRAY.astype("<i4")), "layer 'fc', blob 0: expected floating point numbers, found int32"),
    "complex": (dataset(ARRAY.astype("<c8")), "expected floating point numbers, found complex64"),
    "quadruple": (dataset(np.zeros(3, np.longdouble)), "expected floating point numbers, found float"),
    "string": (dataset("values"), "expected floating point numbers, found object"),
    "references": (dataset(shape=(2,), dtype=h5py.ref_dtype), "expected floating point numbers, found object"),
    "pairs": (dataset(shape=(2,), dtype="f4, f4"), "expected floating point numbers"),
    "nothing": (dataset(h5py.Empty("<f4")), "expected a shape of at most 32 axes, found None"),
    "unknown filter": (unknown_filter, r"compressed in a way that is not installed \(filter 32015\)"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(case: str, tmp_path: Path) -> None:
    fill, expected = HOSTILE[case]
    path = made(tmp_path / "w.h5", fill)
    with pytest.raises(CaffemodelError, match=expected) as caught:
        open_hdf5(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message and len(message) < len(str(path)) + 300


def test_the_count_of_objects_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "w.h5", lambda file: [file.create_group(f"data/l{number}") for number in range(30)])
    open_hdf5(path).close()
    monkeypatch.setattr(hdf5, "_MAX_OBJECTS", 29)
    with pytest.raises(CaffemodelError, match="at most 29 groups and datasets, found more"):
        open_hdf5(path)


def test_chunks_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "w.h5", stored(chunks=(6, 2)))
    monkeypatch.setattr(hdf5, "_MAX_CHUNK", 47)
    with pytest.raises(CaffemodelError, match="its chunks, 6×2 values, are too large; repack the file with h5repack"):
        open_hdf5(path)
    monkeypatch.setattr(hdf5, "_MAX_CHUNK", 48)
    open_hdf5(path).close()


def test_a_chunk_is_not_unpacked_over_and_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "w.h5", stored(chunks=(6, 1), compression="gzip"))
    monkeypatch.setattr(hdf5, "_MAX_READS", 3)
    monkeypatch.setattr(slabs, "SLAB", 20)
    with pytest.raises(CaffemodelError, match="its chunks, 6×1 values, are too large"):
        open_hdf5(path)
    monkeypatch.setattr(slabs, "SLAB", 40)
    open_hdf5(path).close()


def test_a_shape_and_an_offset_that_lie(tmp_path: Path) -> None:
    """The bytes of a contiguous dataset said to be more, or elsewhere, than the file has."""
    path = weights_at(tmp_path / "w.h5", fc=[np.full(100, 3, "<f4")])
    good = path.read_bytes()
    with h5py.File(path) as file:
        offset = file["data/fc/0"].id.get_offset()
    for old, new in (
        (offset.to_bytes(8, "little"), (len(good) - 399).to_bytes(8, "little")),
        (offset.to_bytes(8, "little"), (1 << 60).to_bytes(8, "little")),
    ):
        assert old in good
        path.write_bytes(good.replace(old, new))
        with pytest.raises(CaffemodelError, match=r"w\.h5: "):
            open_hdf5(path)


@pytest.mark.thorough
def test_truncated_at_any_length(tmp_path: Path) -> None:
    for whole in (CAFFES.read_bytes(), made(tmp_path / "z.h5", WAYS["gzip"][0]).read_bytes()):
        for size in [*range(0, 300, 7), *range(300, len(whole), len(whole) // 60), len(whole) - 1]:
            (tmp_path / "w.h5").write_bytes(whole[:size])
            with pytest.raises(CaffemodelError, match=r"w\.h5: ") as caught:
                open_hdf5(tmp_path / "w.h5")
            assert "\n" not in str(caught.value)


@pytest.mark.thorough
@pytest.mark.parametrize("way", ["contiguous", "gzip"])
@pytest.mark.parametrize("latest", [False, True], ids=["", "latest"])
def test_any_damage_is_read_or_refused(way: str, latest: bool, tmp_path: Path) -> None:
    fill = WAYS[way][0]
    good = made(tmp_path / "w.h5", fill, libver="latest" if latest else "earliest").read_bytes()
    chance = random.Random(42)
    refused = 0
    for _ in range(150):
        damaged = bytearray(good)
        for _ in range(chance.choice((1, 1, 1, 3, 20))):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 255, chance.randrange(256)))
        (tmp_path / "w.h5").write_bytes(damaged)
        try:
            with open_hdf5(tmp_path / "w.h5") as weights:
                indexed(weights)
        except CaffeFcnError as error:
            assert str(error).startswith(f"{tmp_path / 'w.h5'}: ") and "\n" not in str(error)
            refused += 1
    assert 10 < refused < 150


def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    path = weights_at(tmp_path / "w.h5", fc=[ARRAY])
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(CaffemodelError, match="another program is writing to it; try again"):
            open_hdf5(path)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(CaffemodelError, match="No such file"):
        open_hdf5(tmp_path / "none.h5")
    with pytest.raises(CaffemodelError, match="a directory"):
        open_hdf5(tmp_path)


def test_no_place_for_the_unpacked_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "w.h5", WAYS["gzip"][0])
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
        with pytest.raises(OutputError, match=r"a temporary copy of .*w\.h5: cannot be written"):
            open_hdf5(path)


def test_an_interrupt_while_values_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> Any:
        yield slice(0, 5)
        raise KeyboardInterrupt

    monkeypatch.setattr(hdf5, "slabs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_hdf5(made(tmp_path / "w.h5", WAYS["gzip"][0]))


def test_no_files_stay_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    open_hdf5(CAFFES).close()
    open_hdf5(made(tmp_path / "w.h5", WAYS["gzip"][0])).close()
    for case in ("integers", "cycle", "unknown filter"):
        with pytest.raises(CaffemodelError):
            open_hdf5(made(tmp_path / "w.h5", HOSTILE[case][0]))
    assert os.listdir("/proc/self/fd") == before


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
        ([layer("a/b", [])], "the slash in the name 'a/b'.*; write a .caffemodel instead"),
        ([layer("", [FC])], "cannot hold a layer called ''"),
        ([layer(".", [FC])], r"cannot hold a layer called '\.'"),
        ([layer("a\0b", [FC])], "cannot hold a layer called"),
        ([layer("fc", [FC]), layer("fc", [FC])], "two layers called 'fc' have weights"),
        ([layer("fc", [shape_field((6, 20)) + varint_field(10, 3) + packed(12, ARRAY.astype("<i4"))])], "found int32"),
        ([layer("fc", [shape_field((2, 3)) + packed(5, ARRAY)])], "values for its shape, 2×3, found 120"),
        ([layer("fc", [shape_field((600, 2)) + packed(5, ARRAY)])], "values for its shape, 600×2, found 120"),
        ([layer("fc", [FC, packed(5, ARRAY)])], "layer 'fc', blob 1: .* a single value, found 120"),
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
        pytest.raises(WeightsError, match="layer 'fc', blob 0: expected 121 values"),
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
        (OSError(28, "No space left on device"), "out.h5: the disk is full: 480 bytes needed"),
        (RuntimeError("Disable slist (errno = 28, error message = 'No space left')"), "the disk is full: 480 bytes"),
        (ValueError("Unable to create\n dataset"), "out.h5: cannot be written: Unable to create dataset; choose"),
    ],
)
def test_what_the_library_tells_of_a_full_disk(
    error: Exception, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> list[int]:
        raise error

    monkeypatch.setattr(hdf5, "_lay_out", fail)
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
    from caffe_fcn.files.hdf5 import write_hdf5
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
