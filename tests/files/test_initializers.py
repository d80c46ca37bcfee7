"""The initializers of an ONNX file: where their values are, in all encodings, and files that are not to be believed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files.blobs import read_stored
from caffe_fcn.files.initializers import is_onnx, open_initializers

VALUES = np.arange(6, dtype="f4").reshape(2, 3)


def model_of(*tensors: TensorProto) -> bytes:
    graph = helper.make_graph([], "net", [], [], initializer=tensors)
    data: bytes = helper.make_model(graph, producer_name="test").SerializeToString()
    return data


def raw(name: str = "x", values: Any = VALUES, kind: int = TensorProto.FLOAT) -> TensorProto:
    return TensorProto(name=name, dims=values.shape, data_type=kind, raw_data=values.tobytes())


def external(**places: str) -> TensorProto:
    tensor = TensorProto(name="x", dims=(2, 3), data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in places.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def written(path: Path, *tensors: TensorProto) -> str:
    (path / "net.onnx").write_bytes(model_of(*tensors))
    return str(path / "net.onnx")


def values_in(file: str, name: str = "x") -> Any:
    with open_initializers(file) as opened:
        found = opened.initializers[name]
        assert found.record is not None
        values = found.record.values
        return read_stored(found.source, values, 0, values.count).reshape(found.shape)


@pytest.mark.parametrize(
    "tensor",
    [
        raw(),
        helper.make_tensor("x", TensorProto.FLOAT, (2, 3), VALUES.ravel()),
        raw(values=VALUES.astype("f8"), kind=TensorProto.DOUBLE),
        helper.make_tensor("x", TensorProto.DOUBLE, (2, 3), VALUES.ravel().astype("f8")),
        raw(values=VALUES.astype("f2"), kind=TensorProto.FLOAT16),
        raw(values=VALUES.astype("i4"), kind=TensorProto.INT32),
    ],
)
def test_values_in_all_encodings(tmp_path: Path, tensor: TensorProto) -> None:
    assert (values_in(written(tmp_path, raw("y", VALUES + 1), tensor)) == VALUES).all()


def test_values_one_by_one_and_a_type_behind_them(tmp_path: Path) -> None:
    one_by_one = b"".join(b"\x25" + value.tobytes() for value in VALUES.ravel())
    tensor = b"\x0a\x02\x02\x03" + one_by_one + b"\x42\x01x\x10\x01"
    late = b"\x0a\x02\x02\x03\x4a\x30" + VALUES.astype("f8").tobytes() + b"\x42\x01y\x10\x0b"
    graph = b"".join(b"\x2a" + bytes([len(each)]) + each for each in (tensor, late))
    (tmp_path / "net.onnx").write_bytes(b"\x08\x09\x3a" + bytes([len(graph)]) + graph + b"\x42\x02\x10\x13")
    onnx.load(str(tmp_path / "net.onnx"))
    for name in ("x", "y"):
        assert (values_in(str(tmp_path / "net.onnx"), name) == VALUES).all()


def test_types_that_are_not_read(tmp_path: Path) -> None:
    file = written(tmp_path, raw(values=VALUES.astype("i8"), kind=TensorProto.INT64))
    with open_initializers(file) as opened:
        assert opened.initializers["x"].record is None


def test_an_onnx_file_is_known_by_its_contents(tmp_path: Path) -> None:
    data = model_of(raw())
    (tmp_path / "x").write_bytes(data)
    assert is_onnx(tmp_path / "x")
    (tmp_path / "x").write_bytes(data[: len(data) // 2])
    assert is_onnx(tmp_path / "x"), "cut off within the graph"
    for other in (b"", b"layer {", b"\x0a\x01x", b"\x08\x01\x12\x01x\x1a\x00\x20\x01"):
        (tmp_path / "x").write_bytes(other)
        assert not is_onnx(tmp_path / "x")


def test_values_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "net.data").write_bytes(b"1234" + VALUES.tobytes())
    assert (values_in(written(tmp_path, external(location="net.data", offset="4", length="24"))) == VALUES).all()
    assert (values_in(written(tmp_path, external(location="net.data", offset="4"))) == VALUES).all()


@pytest.mark.parametrize(
    "places",
    [
        {"location": "../secret"},
        {"location": "/etc/hostname"},
        {"location": "link"},
        {"location": ""},
        {"location": "."},
        {"location": "net.data\0"},
        {"location": "missing"},
        {"location": "net.data", "offset": "1"},
        {"location": "net.data", "offset": "-1"},
        {"location": "net.data", "offset": "9" * 30},
        {"location": "net.data", "length": "23"},
        {"location": "net.data", "length": "x"},
    ],
    ids=str,
)
def test_no_place_is_believed(tmp_path: Path, places: dict[str, str]) -> None:
    (tmp_path / "secret").write_bytes(bytes(100))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "net.data").write_bytes(VALUES.tobytes())
    os.symlink(tmp_path / "secret", folder / "link")
    with pytest.raises(CaffemodelError):
        open_initializers(written(folder, external(**places)))


def test_the_folder_of_a_copy_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "net.data").write_bytes(VALUES.tobytes())
    with pytest.raises(CaffemodelError, match="name the file itself"):
        open_initializers(written(tmp_path, external(location="net.data")), "<stdin>")


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    tensors = []
    for place in range(65):
        (tmp_path / str(place)).write_bytes(VALUES.tobytes())
        tensor = external(location=str(place))
        tensor.name = f"x{place}"
        tensors.append(tensor)
    with pytest.raises(CaffemodelError, match="at most 64 files"):
        open_initializers(written(tmp_path, *tensors))


@pytest.mark.parametrize("dims", [(2, 4), (1 << 40, 1 << 40), (-1, 6), (1,) * 33])
def test_no_shape_is_believed(tmp_path: Path, dims: tuple[int, ...]) -> None:
    tensor = raw()
    del tensor.dims[:]
    tensor.dims.extend(dims)
    with pytest.raises(CaffemodelError):
        open_initializers(written(tmp_path, tensor))


def test_every_truncation_is_an_error_or_a_smaller_model(tmp_path: Path) -> None:
    data = model_of(raw("x"), helper.make_tensor("y", TensorProto.FLOAT, (6,), range(6)))
    for end in range(len(data)):
        (tmp_path / "net.onnx").write_bytes(data[:end])
        try:
            open_initializers(str(tmp_path / "net.onnx")).__exit__(None, None, None)
        except CaffemodelError:
            continue
