"""What docs/caffe-facts.md says of files: the numbers by which formats are told, and weights in HDF5."""

from __future__ import annotations

from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.errors import WeightsError
from caffe_fcn.files.blobs import BVLC, C3D
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.hdf5_writing import write_hdf5
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.entries import held_in
from tests.files.encodings import ENCODINGS, layer, matrix, model
from tests.paths import GOLDEN

LENET = GOLDEN / "conversions" / "lenet"
HDF5 = LENET / "variants" / "net.caffemodel.h5"


def numbers(message: str, *fields: str) -> dict[str, int]:
    by_name = schema.message_class(message).DESCRIPTOR.fields_by_name
    return {name: by_name[name].number for name in fields}


def number_and_type(message: str, field: str) -> tuple[int, str]:
    descriptor = schema.message_class(message).DESCRIPTOR.fields_by_name[field]
    return descriptor.number, descriptor.message_type.name if descriptor.message_type else ""


# ---- Numbers ----


def test_the_numbers_that_tell_the_formats_apart() -> None:
    assert number_and_type("NetParameter", "layer") == (100, "LayerParameter")
    assert number_and_type("NetParameter", "layers") == (2, "V1LayerParameter")
    assert number_and_type("V1LayerParameter", "layer") == (1, "V0LayerParameter")
    assert numbers("LayerParameter", "name", "type", "blobs") == {"name": 1, "type": 2, "blobs": 7}
    assert numbers("V1LayerParameter", "name", "type", "blobs") == {"name": 4, "type": 5, "blobs": 6}
    assert numbers("V0LayerParameter", "name", "type", "blobs") == {"name": 1, "type": 2, "blobs": 50}


def test_the_numbers_of_a_blob() -> None:
    dims = numbers("BlobProto", "num", "channels", "height", "width")
    assert BVLC.dims == tuple(dims.values()) == (1, 2, 3, 4)
    assert numbers("BlobProto", "data", "diff", "shape", "double_data", "double_diff") == {
        "data": 5,
        "diff": 6,
        "shape": 7,
        "double_data": 8,
        "double_diff": 9,
    }
    assert (BVLC.shape, BVLC.types) == (7, {5: "float32", 6: "float32", 8: "float64", 9: "float64"})
    assert (C3D.dims, C3D.shape, C3D.types) == ((1, 2, 3, 4, 5), None, {6: "float32", 7: "float32"})
    assert BVLC.raw == {12: 10, 13: 11}, "NVCaffe's bytes, and the field that says of what type they are"


def test_v1_blobs_have_four_axes() -> None:
    with open_caffemodel(LENET / "variants" / "v1.caffemodel") as weights:
        found = {record.name: [blob.shape for blob in record.blobs] for record in weights.layers if record.blobs}
        assert all(blob.legacy_shape for record in weights.layers for blob in record.blobs)
    assert found == {
        "conv1": [(6, 1, 5, 5), (1, 1, 1, 6)],
        "conv2": [(12, 6, 5, 5), (1, 1, 1, 12)],
        "ip1": [(1, 1, 32, 192), (1, 1, 1, 32)],
        "ip2": [(1, 1, 10, 32), (1, 1, 1, 10)],
    }


@pytest.mark.parametrize(
    ("encoding", "shape", "dtype"),
    [
        ("legacy and shape", (1, 1, 5, 7), "float32"),
        ("double and float", (5, 7), "float64"),
        ("raw half", (5, 7), "float16"),
        ("C3D", (1, 1, 1, 5, 7), "float32"),
    ],
)
def test_what_goes_before_what_in_a_blob(encoding: str, shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    array = matrix(5, 7)
    with open_caffemodel(model(tmp_path / "m", layer("fc", [ENCODINGS[encoding](array)]))) as weights:
        blob = weights.layers[0].blobs[0]
        assert (blob.shape, blob.dtype) == (shape, dtype)
        np.testing.assert_array_equal(weights.read_values(blob, 0, 35), array.ravel())


# ---- HDF5 ----


def test_caffes_hdf5_weights() -> None:
    trained = schema.NetParameter.FromString((LENET / "net.caffemodel").read_bytes())
    with h5py.File(HDF5) as file:
        assert set(file) == {"data"}
        assert set(file["data"]) == {each.name for each in trained.layer}, "layers without blobs have a group, too"
        for each in trained.layer:
            group = file["data"][each.name]
            assert sorted(group) == [str(position) for position in range(len(each.blobs))]
            for position, blob in enumerate(each.blobs):
                dataset = group[str(position)]
                assert (dataset.shape, dataset.dtype) == (tuple(blob.shape.dim), np.float32)
                np.testing.assert_array_equal(dataset[()].ravel(), np.array(blob.data, np.float32))


def test_a_slash_in_a_name_makes_a_group_in_a_group(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["data/conv1/7x7_s2/0"] = matrix(2, 3)
        assert list(file["data"]) == ["conv1"], "where Caffe looks for its layers"
    with open_weights(path) as weights:
        assert [record.name for record in weights.layers] == ["conv1/7x7_s2"]
        assert weights.layers[0].blobs[0].shape == (2, 3)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["conv1/7x7_s2"], "the slash in the layer name"), (["fc", "fc"], "two layers named 'fc' have weights")],
)
def test_names_that_hdf5_cannot_hold(names: list[str], message: str, tmp_path: Path) -> None:
    blob = ENCODINGS["packed"](matrix(2, 3))
    path = model(tmp_path / "m", *(layer(name, [blob]) for name in names))
    with open_caffemodel(path) as weights, pytest.raises(WeightsError, match=message):
        write_hdf5(weights, tmp_path / "out.h5", held_in(weights))
    assert not (tmp_path / "out.h5").exists()
