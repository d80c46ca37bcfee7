"""Hostile weights in HDF5: each is refused, whatever lies, and nothing is left of it."""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from caffe_fcn.errors import CaffeFcnError, CaffemodelError, OutputError
from caffe_fcn.files import hdf5, slabs
from caffe_fcn.files.hdf5 import open_hdf5
from tests.files.datasets import ARRAY, CAFFES, WAYS, Fill, indexed, made, stored
from tests.files.datasets import weights as weights_at

pytestmark = pytest.mark.usefixtures("nothing_left")


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
    "no group between": (
        lambda file: file.create_dataset("data/0", data=ARRAY),
        "expected the group of a layer, found '0'",
    ),
    "a type": (lambda file: file.__setitem__("data/fc/0", np.dtype("<f4")), "the group of a layer, found 'fc/0'"),
    "external root": (external_root, "'data' is a link to another place; links are not followed"),
    "external layer": (external_layer, "'fc' is a link to another place"),
    "external blob": (external_blob, "'fc/0' is a link to another place"),
    "external storage": (external_storage, 'layer "fc", blob 0: its values are in another file'),
    "virtual": (virtual, 'layer "fc", blob 0: its values are in another file'),
    "soft root": (soft_root, "'data' is a link to another place"),
    "soft layer": (soft_layer, "'twin' is a link to another place"),
    "dangling": (dangling, "'fc/0' is a link to another place"),
    "cycle": (cycle, "expected at most 16 nested groups, found more at 'fc/again/fc/again"),
    "many cycles": (many_cycles, "expected at most (16 nested groups|20,000 groups and datasets)"),
    "deep": (lambda file: file.create_dataset("data" + "/g" * 40 + "/0", data=ARRAY), "at most 16 nested groups"),
    "one dataset in many layers": (linked_bomb, 'layer "twin.*", blob 0: expected 1,048,576 bytes of values'),
    "huge": (dataset(shape=(1 << 40,), dtype="<f4"), "expected 4,398,046,511,104 bytes of values, found 0"),
    "huge in chunks": (dataset(shape=(1 << 40, 9), dtype="<f4", chunks=(512, 9)), "bytes of values, found 0"),
    "of 60 bits": (dataset(shape=(1 << 30, 1 << 30), dtype="<f8", chunks=(8, 8)), "found 0; the file is incomplete"),
    "half there": (half_there, "expected 67,108,864 bytes of values, found 1,024"),
    "called x": (named("x"), "layer \"fc\": expected blobs called 0, 1, ..., found 'x'"),
    "called 01": (named("01"), "found '01'"),
    "called -1": (named("-1"), "found '-1'"),
    "called 256": (named("256"), "found '256'"),
    "called 999999999": (named("999999999"), "found '999999999'"),
    "called 9...": (named("9" * 5000), "found '9{80}'$"),
    "called \u0661": (named("\u0661"), "expected blobs called"),
    "no UTF-8": (no_utf8, "expected names in UTF-8|codec can't decode"),
    "integers": (dataset(ARRAY.astype("<i4")), 'layer "fc", blob 0: expected floating point numbers, found int32'),
    "complex": (dataset(ARRAY.astype("<c8")), "expected floating point numbers, found complex64"),
    "quadruple": (dataset(np.zeros(3, np.longdouble)), "expected floating point numbers, found float"),
    "string": (dataset("values"), "expected floating point numbers, found object"),
    "references": (dataset(shape=(2,), dtype=h5py.ref_dtype), "expected floating point numbers, found object"),
    "pairs": (dataset(shape=(2,), dtype="f4, f4"), "expected floating point numbers"),
    "nothing": (dataset(h5py.Empty("<f4")), "expected a shape of at most 32 axes, found None"),
    "unknown filter": (unknown_filter, r"compressed with a filter that is not installed \(filter 32015\)"),
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
    with pytest.raises(
        CaffemodelError, match=r"its chunks \(6×2 values\) are too large; repack the file with h5repack"
    ):
        open_hdf5(path)
    monkeypatch.setattr(hdf5, "_MAX_CHUNK", 48)
    open_hdf5(path).close()


def test_a_chunk_is_not_unpacked_over_and_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "w.h5", stored(chunks=(6, 1), compression="gzip"))
    monkeypatch.setattr(hdf5, "_MAX_READS", 3)
    monkeypatch.setattr(slabs, "SLAB", 20)
    with pytest.raises(CaffemodelError, match=r"its chunks \(6×1 values\) are too large"):
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
