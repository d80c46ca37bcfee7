from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.errors import CaffemodelError, OutputError, WeightsError
from caffe_fcn.files.caffemodel import WeightFile, open_caffemodel
from caffe_fcn.files.rewrite import Entry, write
from caffe_fcn.model.entries import Held, held_in
from caffe_fcn.model.reorder import Reorder
from caffe_fcn.net.layers.views import Segment
from tests.files.encodings import (
    ENCODINGS,
    UNKNOWN,
    bytes_field,
    layer,
    legacy_shape,
    matrix,
    model,
    packed,
    parsed,
    shape_field,
    values,
    varint_field,
)
from tests.files.test_caffemodel import SMALL, VARIANTS, sparse_model
from tests.model.entries import Change, changed
from tests.paths import GOLDEN, ROOT

LENET = GOLDEN / "conversions" / "lenet"
SHAPES = {"ip1": (32, 12, 4, 4), "ip2": (10, 32, 1, 1)}


def upgrade(header: schema.Message) -> schema.Message:
    """Enough of an upgrade to see that it is used."""
    return schema.LayerParameter(name=header.name, type=f"V1 type {header.type}", bottom=header.bottom, top=header.top)


def to_convolution(header: schema.Message, name: str) -> schema.Message:
    new = schema.LayerParameter()
    new.CopyFrom(header)
    new.name, new.type = name, "Convolution"
    new.convolution_param.num_output = new.inner_product_param.num_output
    new.ClearField("inner_product_param")
    return new


def convolutions(weights: WeightFile) -> tuple[Held, ...]:
    """The fully connected layers of LeNet as convolutions, and current headers for all."""
    changes = {}
    for position, record in enumerate(weights.layers):
        header = record.header if record.format == "V2" else upgrade(record.header)
        if record.name in SHAPES:
            changes[position] = Change(to_convolution(header, f"{record.name}-conv"), {0: SHAPES[record.name]})
        elif record.format != "V2":
            changes[position] = Change(header)
    return changed(weights, changes)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_lenet_has_the_values_of_the_plain_one(variant: str, tmp_path: Path) -> None:
    plain = {one.name: one for one in parsed(LENET / "net.caffemodel").layer}
    out = tmp_path / "out"
    with open_caffemodel(LENET / variant) as weights:
        size = write(weights, out, convolutions(weights))
        assert size == out.stat().st_size
    net = parsed(out)
    assert net.name == "lenet"
    assert not net.layers
    assert [one.name for one in net.layer if one.blobs] == ["conv1", "conv2", "ip1-conv", "ip2-conv"]
    for one in net.layer:
        name = one.name.removesuffix("-conv")
        for position, blob in enumerate(one.blobs):
            np.testing.assert_array_equal(values(blob), values(plain[name].blobs[position]))
        if name in SHAPES:
            assert (one.type, tuple(one.blobs[0].shape.dim)) == ("Convolution", SHAPES[name])
            assert not one.blobs[0].HasField("num")


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_edits_copy_the_file(variant: str, tmp_path: Path) -> None:
    with open_caffemodel(LENET / variant) as weights:
        assert write(weights, tmp_path / "out", held_in(weights)) == weights.size
    assert (tmp_path / "out").read_bytes() == (LENET / variant).read_bytes()


def test_only_the_edited_layer_changes(tmp_path: Path) -> None:
    before = layer("a", [shape_field((2, 3)) + packed(5, matrix(2, 3))], number=100)
    middle = layer("b", [shape_field((2, 3)) + packed(5, matrix(2, 3)) + UNKNOWN, shape_field((2,))])
    after = bytes_field(9001, b"of a fork") + before + varint_field(9004, 1)
    with open_caffemodel(model(tmp_path / "m", before, middle, after)) as weights:
        write(weights, tmp_path / "out", changed(weights, {1: Change(None, {0: (2, 3, 1, 1)})}))
    shape = shape_field((2, 3, 1, 1))
    header = schema.LayerParameter(name="b", type="InnerProduct", bottom=["x"], top=["b"]).SerializeToString()
    expected = bytes_field(
        100,
        header
        + varint_field(10, 1)
        + bytes_field(9001, b"fork")
        + bytes_field(7, shape + packed(5, matrix(2, 3)) + UNKNOWN)
        + bytes_field(7, shape_field((2,))),
    )
    assert (tmp_path / "out").read_bytes() == bytes_field(1, b"net") + before + expected + after


def test_fields_of_forks_survive_in_an_edited_header(tmp_path: Path) -> None:
    """A fork's repeated field under a number that is not repeated in the schema would lose all but its last value."""
    reused = varint_field(10, 0) + varint_field(10, 1) + bytes_field(132, varint_field(77, 5)) + bytes_field(9001, b"f")
    old = bytes_field(100, bytes_field(1, b"fc") + reused + bytes_field(2, b"InnerProduct") + bytes_field(4, b"t"))
    with open_caffemodel(model(tmp_path / "m", old)) as weights:
        new = to_convolution(weights.layers[0].header, "fc-conv")
        write(weights, tmp_path / "out", changed(weights, {0: Change(new)}))
    expected = bytes_field(1, b"fc-conv") + reused + bytes_field(2, b"Convolution") + bytes_field(4, b"t")
    conv = bytes_field(106, varint_field(1, 0))
    assert (tmp_path / "out").read_bytes() == bytes_field(1, b"net") + bytes_field(100, expected + conv)


def test_layers_can_be_dropped(tmp_path: Path) -> None:
    with open_caffemodel(model(tmp_path / "m", layer("a", []), layer("b", []), layer("c", []))) as weights:
        write(weights, tmp_path / "out", changed(weights, {0: None, 2: None}))
    assert (tmp_path / "out").read_bytes() == bytes_field(1, b"net") + layer("b", [])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("transpose", [False, True])
def test_reordered_values_of_every_encoding(encoding: str, transpose: bool, tmp_path: Path) -> None:
    stored = matrix(6, 5)
    order = Reorder(5, 6, True) if transpose else Reorder(6, 5, segments=(Segment(5, 1, True),))
    expected = stored.T if transpose else stored
    with open_caffemodel(model(tmp_path / "m", layer("fc", [ENCODINGS[encoding](stored)]))) as weights:
        write(weights, tmp_path / "out", changed(weights, {0: Change(None, {0: (*expected.shape, 1, 1)}, order)}))
    blob = parsed(tmp_path / "out").layer[0].blobs[0]
    assert tuple(blob.shape.dim) == (*expected.shape, 1, 1)
    with open_caffemodel(tmp_path / "out") as weights:
        record = weights.layers[0].blobs[0]
        np.testing.assert_array_equal(weights.read_values(record, 0, 30), expected.ravel())
        assert record.packed
    if "raw" not in encoding:
        np.testing.assert_array_equal(values(blob), expected.ravel())
    diff = blob.double_diff or blob.diff
    if diff:
        np.testing.assert_array_equal(diff, expected.ravel() + 1)
    assert bool(diff) == (encoding in ("diff", "double", "C3D"))


@pytest.mark.parametrize("encoding", ["C3D", "C3D unpacked"])
def test_blobs_of_c3d_become_blobs_of_caffe(encoding: str, tmp_path: Path) -> None:
    inner = bytes_field(4, b"fc") + bytes_field(6, ENCODINGS[encoding](matrix(2, 3)) + UNKNOWN)
    source = model(
        tmp_path / "m", bytes_field(2, inner + bytes_field(9001, b"f")), bytes_field(2, bytes_field(4, b"r"))
    )
    with open_caffemodel(source) as weights:
        assert weights.layers[0].blobs[0].shape == (1, 1, 1, 2, 3)
        headers = {0: Change(upgrade(weights.layers[0].header)), 1: Change(schema.LayerParameter(name="new"))}
        write(weights, tmp_path / "out", changed(weights, headers))
    first, second = parsed(tmp_path / "out").layer
    assert (first.name, first.type, second.name) == ("fc", "", "new"), "its numbers are others in BVLC Caffe"
    assert tuple(first.blobs[0].shape.dim) == (1, 1, 1, 2, 3)
    np.testing.assert_array_equal(first.blobs[0].data, matrix(2, 3).ravel())
    content = (tmp_path / "out").read_bytes()
    assert UNKNOWN in content
    assert bytes_field(9001, b"f") not in content


def test_v0_layers_are_upgraded_with_their_blobs(tmp_path: Path) -> None:
    blob = legacy_shape((2, 3)) + packed(5, matrix(2, 3))
    inner = schema.V0LayerParameter(name="fc", type="innerproduct").SerializeToString() + bytes_field(50, blob)
    with open_caffemodel(model(tmp_path / "m", bytes_field(2, bytes_field(1, inner)))) as weights:
        write(weights, tmp_path / "out", changed(weights, {0: Change(schema.LayerParameter(name="fc"), {0: (2, 3)})}))
    (one,) = parsed(tmp_path / "out").layer
    assert (one.name, tuple(one.blobs[0].shape.dim)) == ("fc", (2, 3))
    np.testing.assert_array_equal(one.blobs[0].data, matrix(2, 3).ravel())


def test_another_count_of_values_is_refused(tmp_path: Path) -> None:
    source = model(tmp_path / "m", layer("fc", [shape_field((2, 3)) + packed(5, matrix(2, 3))]))
    with open_caffemodel(source) as weights:
        for order in (None, Reorder(2, 4)):
            with pytest.raises(WeightsError, match=r'layer "fc", blob 0: expected 8 values .* 2×4, found 6'):
                write(weights, tmp_path / "out", changed(weights, {0: Change(None, {0: (2, 4)}, order)}))
        with pytest.raises(ValueError, match="8 values in the shape"):
            changed(weights, {0: Change(None, {0: (2, 3)}, Reorder(2, 4))})
    assert not (tmp_path / "out").exists()


def test_a_reordered_blob_with_a_diff_of_another_size_is_refused(tmp_path: Path) -> None:
    blob = shape_field((2, 3)) + packed(5, matrix(2, 3)) + packed(6, matrix(2, 2))
    with (
        open_caffemodel(model(tmp_path / "m", layer("fc", [blob]))) as weights,
        pytest.raises(WeightsError, match="4, 6"),
    ):
        write(weights, tmp_path / "out", changed(weights, {0: Change(None, {0: (3, 2)}, Reorder(3, 2, True))}))


def test_misuse_is_a_value_error(tmp_path: Path) -> None:
    with open_caffemodel(LENET / "variants/v1.caffemodel") as weights:
        with pytest.raises(ValueError, match="needs a header"):
            write(weights, tmp_path / "out", held_in(weights)[1:])
        with open_caffemodel(LENET / "net.caffemodel") as others, pytest.raises(ValueError, match="another file"):
            write(weights, tmp_path / "out", held_in(others))


def test_a_file_beyond_4_gib_is_rewritten_where_it_has_to_be(tmp_path: Path) -> None:
    size = 5 << 30
    source = sparse_model(tmp_path / "m", size)
    with open_caffemodel(source) as weights:
        write(weights, tmp_path / "out", changed(weights, {0: None, 1: Change(None, {0: (3, 2)})}))
    (last,) = parsed(tmp_path / "out").layer
    assert tuple(last.blobs[0].shape.dim) == (3, 2)
    np.testing.assert_array_equal(last.blobs[0].data, matrix(2, 3).ravel())


@pytest.mark.thorough
def test_any_damage_is_rewritten_or_refused(tmp_path: Path) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    for position in range(len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[position] ^= 0x05
        (tmp_path / "m").write_bytes(damaged)
        try:
            with open_caffemodel(tmp_path / "m") as weights:
                change = Change(None, {0: (3, 2)}, Reorder(3, 2, True))
                write(weights, null, changed(weights, dict.fromkeys(range(len(weights.layers)), change)))
        except (CaffemodelError, WeightsError) as error:
            assert str(tmp_path / "m") in str(error)
    os.close(null)


@pytest.mark.thorough
def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    """The limit is for files of one process, so this one has to be another."""
    source = model(tmp_path / "m", layer("fc", [shape_field((300, 300)) + packed(5, matrix(300, 300))]))
    program = textwrap.dedent(
        f"""
        import resource
        from caffe_fcn.errors import OutputError
        from caffe_fcn.files.atomic import OutputFiles
        from caffe_fcn.files.caffemodel import open_caffemodel
        from caffe_fcn.files.rewrite import write
        from tests.model.entries import Change, changed

        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            with open_caffemodel({str(source)!r}) as weights, OutputFiles() as outputs:
                output = outputs.add({str(tmp_path / "out")!r})
                write(weights, output.fd, changed(weights, {{0: Change(None, {{0: (90_000,)}})}}), name=output.path)
                outputs.commit()
        except OutputError as error:
            print(error)
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000
    assert done.stdout.startswith(f"{tmp_path / 'out'}: a file of 360,0")
    assert done.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == ["m"]


def test_no_space_left_says_how_much_is_needed(tmp_path: Path) -> None:
    with (
        open_caffemodel(LENET / "net.caffemodel") as weights,
        pytest.raises(OutputError, match="disk is full") as caught,
    ):
        write(weights, "/dev/full", held_in(weights))
    assert "34,506 bytes are needed" in str(caught.value)


def test_a_layer_becomes_several(tmp_path: Path) -> None:
    """The first is the old one, with all that was not changed in it; those behind are new, with blobs of its."""
    net = schema.NetParameter(name="net")
    old = net.layer.add(name="old", type="A", bottom=["x"], top=["y"])
    old.MergeFromString(UNKNOWN)
    for value in (1.0, 2.0, 3.0):
        old.blobs.add(shape={"dim": [2]}, data=[value, value + 0.5])
    net.layer.add(name="last", type="B")
    (tmp_path / "in").write_bytes(net.SerializeToString())
    first, second = (
        schema.LayerParameter(name="old", type="A", bottom=["x"], top=["z"]),
        schema.LayerParameter(name="new"),
    )
    with open_caffemodel(tmp_path / "in") as weights:
        old, last = held_in(weights)
        layers = [
            Entry(first, old.tensors[2:], old.record),
            Entry(second, (old.tensors[1], old.tensors[0].reshaped((1, 2)))),
            last,
        ]
        write(weights, tmp_path / "out", layers)
    made = schema.NetParameter.FromString((tmp_path / "out").read_bytes())
    assert [each.name for each in made.layer] == ["old", "new", "last"] and made.name == "net"
    assert [[list(blob.data) for blob in each.blobs] for each in made.layer] == [[[3, 3.5]], [[2, 2.5], [1, 1.5]], []]
    assert [list(blob.shape.dim) for blob in made.layer[1].blobs] == [[2], [1, 2]]
    assert list(made.layer[0].top) == ["z"]
    assert UNKNOWN in made.layer[0].SerializeToString() and UNKNOWN not in made.layer[1].SerializeToString()
