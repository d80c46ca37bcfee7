from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_fcn import schema
from caffe_fcn.errors import CaffemodelError
from caffe_fcn.files import caffemodel
from caffe_fcn.files.caffemodel import open_caffemodel
from tests.files.encodings import (
    ENCODINGS,
    bytes_field,
    layer,
    legacy_shape,
    matrix,
    model,
    packed,
    parsed,
    shape_field,
    unpacked,
    values,
    varint_field,
)
from tests.paths import GOLDEN

LENET = GOLDEN / "conversions" / "lenet"
VARIANTS = ["net.caffemodel", *(f"variants/{p.name}" for p in sorted((LENET / "variants").glob("*.caffemodel")))]


@pytest.mark.parametrize("variant", VARIANTS)
def test_index_agrees_with_protobuf(variant: str) -> None:
    net = parsed(LENET / variant)
    layers = net.layer or net.layers
    with open_caffemodel(LENET / variant) as weights:
        assert weights.net_header.name == "lenet"
        assert [record.name for record in weights.layers] == [one.name for one in layers]
        for record, one in zip(weights.layers, layers, strict=True):
            assert len(record.blobs) == len(one.blobs)
            for blob, theirs in zip(record.blobs, one.blobs, strict=True):
                legacy = (theirs.num, theirs.channels, theirs.height, theirs.width)
                assert blob.shape == (legacy if theirs.HasField("num") else tuple(theirs.shape.dim))
                assert blob.legacy_shape == theirs.HasField("num")
                assert blob.dtype == ("float64" if theirs.double_data else "float32")
                np.testing.assert_array_equal(weights.read_values(blob, 0, blob.count), values(theirs))
            one.ClearField("blobs")
            assert record.header == one


def test_packed_says_how_values_lie() -> None:
    with open_caffemodel(LENET / "variants/unpacked.caffemodel") as unpacked_weights:
        assert not unpacked_weights.layers[1].blobs[0].packed
    with open_caffemodel(LENET / "variants/chunked_unknown_fields.caffemodel") as chunked:
        blob = chunked.layers[1].blobs[0]
        assert blob.packed
        assert [span.size for span in blob.data] == [300, 300]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_values_of_every_encoding(encoding: str, tmp_path: Path) -> None:
    array = matrix(5, 7)
    path = model(tmp_path / "m", layer("fc", [ENCODINGS[encoding](array)]))
    with open_caffemodel(path) as weights:
        blob = weights.layers[0].blobs[0]
        assert blob.count == 35
        assert [dim for dim in blob.shape if dim != 1] == [5, 7]
        for start, stop in ((0, 35), (0, 0), (3, 4), (1, 30), (17, 35)):
            found = weights.read_values(blob, start, stop)
            assert found.dtype == ("float64" if "double" in encoding else "float32")
            np.testing.assert_array_equal(found, array.ravel()[start:stop])


def test_a_v0_layer_inside_a_v1_layer(tmp_path: Path) -> None:
    array = matrix(2, 3)
    blob = bytes_field(50, legacy_shape(array.shape) + packed(5, array))
    inner = schema.V0LayerParameter(name="fc", type="innerproduct", num_output=2).SerializeToString()
    whole = bytes_field(1, inner + blob + bytes_field(9001, b"a")) + bytes_field(2, b"x") + bytes_field(3, b"fc")
    with open_caffemodel(model(tmp_path / "m", bytes_field(2, whole))) as weights:
        (record,) = weights.layers
        assert (record.name, record.format, weights.legacy) == ("fc", "V0", True)
        assert (list(record.header.bottom), record.header.layer.num_output) == (["x"], 2)
        assert not record.header.layer.blobs
        np.testing.assert_array_equal(weights.read_values(record.blobs[0], 0, 6), array.ravel())


@pytest.mark.parametrize(
    ("blob", "shape"),
    [
        (b"", ()),
        (bytes_field(7, b""), ()),
        (bytes_field(7, varint_field(1, 3) + varint_field(1, 4)), (3, 4)),
        (shape_field((3,)) + shape_field((4, 0)), (3, 4, 0)),
        (varint_field(4, 6), (0, 0, 0, 6)),
    ],
)
def test_shapes_as_protobuf_merges_them(blob: bytes, shape: tuple[int, ...], tmp_path: Path) -> None:
    with open_caffemodel(model(tmp_path / "m", layer("fc", [blob]))) as weights:
        assert weights.layers[0].blobs[0].shape == shape


@pytest.mark.thorough
def test_a_long_run_of_unpacked_values_is_one_piece(tmp_path: Path) -> None:
    array = matrix(1000, 600)
    blob = shape_field(array.shape) + unpacked(5, array[:500]) + varint_field(9003, 1) + unpacked(5, array[500:])
    with open_caffemodel(model(tmp_path / "m", layer("fc", [blob]))) as weights:
        record = weights.layers[0].blobs[0]
        assert [piece.number for piece in record.pieces] == [7, 5, 9003, 5]
        assert record.count == array.size
        np.testing.assert_array_equal(weights.read_values(record, 299_990, 300_010), array.ravel()[299_990:300_010])


def fails(path: Path, *expected: str) -> None:
    with pytest.raises(CaffemodelError) as caught:
        open_caffemodel(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    for text in expected:
        assert text in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty file"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "HDF5"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "a picture"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "a picture"),
        (gzip.compress(b"net", mtime=0), "gzip"),
        (b"PK\x03\x04" + b"\0" * 30, "zip"),
        (b'name: "lenet"\nlayer {\n}\n', "are the arguments swapped?"),
        (b"# ein Kommentar: \xe4\r\n", "are the arguments swapped?"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (varint_field(1, 7) + bytes_field(2, b"a.caffemodel"), "a solverstate"),
        (bytes_field(1, b"net\1"), "found one without layers"),
        (layer("a", []) + bytes_field(2, bytes_field(4, b"b")), "both `layer` and `layers`"),
        (layer("a", []) + b"\0\0\0\0", "field number 0"),
        (layer("a", []) + b"\x0b", "wire type 3"),
        (layer("a", [shape_field((2,)) + bytes_field(5, b"1234567")]), 'layer "a"): expected values of 4 bytes each'),
        (layer("a", [shape_field((-2,))]), "none negative"),
        (layer("a", [shape_field([1] * 33)]), "at most 32 axes"),
        (layer("a", [varint_field(10, 6) + bytes_field(12, b"1234")]), "type 6"),
        (bytes_field(100, bytes_field(1, b"\xff\xfe")), "UTF-8"),
        (bytes_field(100, bytes_field(3, b"\xff\xfe")), "UTF-8"),
        (bytes_field(100, bytes_field(130, bytes_field(1, b"\xff\xfe"))), "UTF-8"),
        (bytes_field(100, bytes_field(1, b"a") + bytes_field(106, b"\xff")), "other bytes"),
    ],
)
def test_what_is_no_caffemodel_is_refused_with_a_reason(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(content)
    fails(path, expected)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    fails(tmp_path / "none", "cannot be opened: No such file")
    fails(tmp_path, "a directory")
    os.mkfifo(tmp_path / "pipe")
    fails(tmp_path / "pipe", "save it to a file first")


def test_headers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caffemodel, "MAX_HEADERS", 1000)
    fails(model(tmp_path / "m", layer("a", []), bytes_field(100, bytes_field(9001, b"\0" * 1000))), "at most 1,000")


def test_errors_name_offset_and_layer(tmp_path: Path) -> None:
    whole = layer("fine", [shape_field((2,)) + packed(5, matrix(1, 2))])
    bad = bytearray(layer("fc8", [shape_field((2,)) + packed(5, matrix(1, 2))]))
    at = bad.index(b"\x2a\x08")
    bad[at + 1] = 100
    offset = len(bytes_field(1, b"net")) + len(whole) + at
    fails(model(tmp_path / "m", whole, bytes(bad)), f'offset {offset} (layer "fc8"): expected 100 bytes', "only 8")


def test_reading_beyond_the_values_is_an_error(tmp_path: Path) -> None:
    path = model(tmp_path / "m", layer("fc", [shape_field((4,)) + packed(5, matrix(1, 2))]))
    with open_caffemodel(path) as weights, pytest.raises(CaffemodelError, match="expected 4 values, found only 2"):
        weights.read_values(weights.layers[0].blobs[0], 0, 4)


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = model(tmp_path / "m", layer("fc", [shape_field((100, 100)) + packed(5, matrix(100, 100))]))
    with open_caffemodel(path) as weights:
        os.truncate(path, 20_000)
        with pytest.raises(CaffemodelError, match="it had 40,"):
            weights.read_values(weights.layers[0].blobs[0], 0, 10_000)


def test_index_of_a_file_beyond_4_gib_reads_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sparse_model(tmp_path / "m", 5 << 30)
    read: list[int] = []
    preadv = os.preadv

    def counted(fd: int, buffers: list[memoryview], offset: int) -> int:
        read.append(preadv(fd, buffers, offset))
        return read[-1]

    monkeypatch.setattr(os, "preadv", counted)
    with open_caffemodel(path) as weights:
        big, last = weights.layers
        assert big.blobs[0].count == 5 << 28
        assert last.span.start > 5 << 30
        np.testing.assert_array_equal(weights.read_values(last.blobs[0], 0, 6), matrix(2, 3).ravel())
    assert sum(read) < 50_000


def sparse_model(path: Path, size: int) -> Path:
    """A model whose first layer has a blob of SIZE bytes of zeros that take no room on the disk."""
    last = layer("last", [shape_field((2, 3)) + packed(5, matrix(2, 3))])
    blob = shape_field((size // 4,))
    head = bytes_field(1, b"big")
    with path.open("wb") as file:
        values_head = b"\x2a" + bytes_field(1, b"")[2:] + _varint(size)
        blob_size = len(blob) + len(values_head) + size
        layer_head = b"\x3a" + _varint(blob_size)
        file.write(head + b"\xa2\x06" + _varint(len(layer_head) + blob_size) + layer_head + blob + values_head)
        file.seek(size, os.SEEK_CUR)
        file.write(last)
    if path.stat().st_blocks * 512 > 1 << 20:
        pytest.skip("this file system has no sparse files")
    return path


def _varint(value: int) -> bytes:
    return varint_field(1, value)[1:]


SMALL = bytes_field(1, b"n") + b"".join(
    layer(name, [encode(matrix(2, 3)), shape_field((2,)) + packed(5, matrix(1, 2))])
    for name, encode in ENCODINGS.items()
    if name in ("packed", "mixed", "double", "legacy", "raw", "C3D")
)


def opens_or_fails_cleanly(path: Path, content: bytes | bytearray) -> None:
    path.write_bytes(content)
    try:
        with open_caffemodel(path) as weights:
            for record in weights.layers:
                for blob in record.blobs:
                    weights.read_values(blob, 0, blob.count)
    except CaffemodelError as error:
        assert str(error).startswith(str(path))


@pytest.mark.thorough
def test_every_truncation(tmp_path: Path) -> None:
    for length in range(len(SMALL)):
        opens_or_fails_cleanly(tmp_path / "m", SMALL[:length])
    fails(model(tmp_path / "t", SMALL[3:-1]), "incomplete")


@pytest.mark.thorough
def test_every_byte_changed(tmp_path: Path) -> None:
    for position in range(len(SMALL)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(SMALL)
            damaged[position] ^= change
            opens_or_fails_cleanly(tmp_path / "m", damaged)


@pytest.mark.thorough
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    opens_or_fails_cleanly(tmp_path_factory.getbasetemp() / "any", content)
