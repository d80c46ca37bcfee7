"""Weights without a net, given one: its order, its headers, and the blobs that its layers share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn.errors import WeightsError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.rewrite import write
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.bare import with_headers
from caffe_fcn.model.entries import held_in
from caffe_fcn.net.source import interpret
from caffe_fcn.schema import Message
from tests.files import datasets
from tests.files.encodings import matrix, parsed
from tests.passes.nets import data, fc, layer

W, B = matrix(5, 160), matrix(1, 5).ravel()
Blob = np.ndarray | None


def net(text: str) -> Message:
    return interpret(prototxt.parse(text, "net.prototxt")).net


def given(path: Path, text: str, **layers: Sequence[Blob]) -> WeightFile:
    """The weights of LAYERS with the headers of the net TEXT."""
    with open_weights(datasets.weights(path / "w.h5", **layers)) as weights:
        return with_headers(weights, net(text))


def values(path: Path, text: str, **layers: Sequence[Blob]) -> dict[str, list[np.ndarray]]:
    """What a caffemodel then holds, read by protobuf alone."""
    with open_weights(datasets.weights(path / "w.h5", **layers)) as weights:
        complete = with_headers(weights, net(text))
        write(complete, path / "out", held_in(complete))
    return {
        each.name: [np.array(blob.data).reshape([*blob.shape.dim]) for blob in each.blobs]
        for each in parsed(path / "out").layer
    }


def shares(*names: str) -> str:
    return " ".join(f'param {{ name: "{name}" }}' if name else "param { lr_mult: 2 }" for name in names)


TWINS = data() + fc("one", "data", 5, params=shares("w", "")) + fc("two", "data", 5, params=shares("w", ""))


# ---- Order and headers ----


def test_layers_are_in_the_order_of_the_net_and_others_behind(tmp_path: Path) -> None:
    text = data("z") + fc("c", "z", 5) + layer("a", "ReLU", "c", "c") + fc("b", "c", 5)
    found = given(tmp_path, text, a=[], b=[W], c=[W, B], y=[B], x=[], z=[])
    assert [record.name for record in found.layers] == ["z", "c", "a", "b", "x", "y"]


def test_layers_have_the_headers_of_the_net(tmp_path: Path) -> None:
    text = 'name: "twins" force_backward: true\n' + TWINS
    found = given(tmp_path, text, one=[W, B], two=[W, B], foreign=[W])
    for record, wanted in zip(found.layers, net(text).layer[1:], strict=False):
        assert record.header == wanted
        assert type(wanted).FromString(record.raw) == wanted
    assert (found.layers[-1].name, found.layers[-1].header.type) == ("foreign", "")
    assert (found.net_header.name, found.net_header.force_backward, len(found.net_header.layer)) == ("twins", True, 0)
    assert found.hdf5 and not found.bare


def test_the_net_is_not_changed(tmp_path: Path) -> None:
    wanted = net(TWINS)
    with open_weights(datasets.weights(tmp_path / "w.h5", one=[W, B], two=[None, B])) as weights:
        with_headers(weights, wanted)
        assert weights.layers[1].blobs[0].absent
    assert wanted == net(TWINS)


def test_the_first_of_several_layers_of_a_name_counts(tmp_path: Path) -> None:
    text = data() + fc("fc", "data", 5, params="include { phase: TRAIN }") + layer("fc", "ReLU", "data")
    (record,) = given(tmp_path, text, fc=[W, B]).layers
    assert record.header.type == "InnerProduct"


def test_what_only_forks_know_is_left_out(tmp_path: Path) -> None:
    """It stands under numbers of our own, which other programs would take for something else."""
    forks = layer("n", "Normalize", "fc", params="norm_param { across_spatial: false }")
    resize = layer("i", "Interp", "n", params="interp_param { height: 60 width: 60 }")
    found = given(tmp_path, data() + fc("fc", "data", 5) + forks + resize, fc=[W, B], n=[B], i=[])
    headers = {record.name: record.header for record in found.layers}
    assert (headers["n"].type, headers["i"].type) == ("Normalize", "Interp")
    assert [field.name for field, _ in headers["n"].ListFields()] == ["name", "type", "bottom", "top"]
    for record in found.layers:
        assert all(field.number < 60000 for field, _ in record.header.ListFields())


def test_a_net_with_fields_of_forks_is_not_written_without_them(tmp_path: Path) -> None:
    """The Permute would have no order, and the caffemodel alone would be read as another net."""
    text = data() + layer("p", "Permute", "data", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
    for source, whole in ((text + fc("fc", "p", 5), False), (data() + fc("fc", "data", 5), True)):
        read = interpret(prototxt.parse(source, "net.prototxt"))
        with open_weights(datasets.weights(tmp_path / "w.h5", fc=[W, B])) as weights:
            complete = with_headers(weights, read.net, forks=bool(read.foreign))
            write(complete, tmp_path / "out", held_in(complete))
        with open_weights(tmp_path / "out") as made:
            assert made.bare is not whole
            assert [record.name for record in made.layers] == ["fc"]


# ---- Blobs that layers share ----


def test_a_shared_blob_is_given_to_all(tmp_path: Path) -> None:
    found = values(tmp_path, TWINS, one=[W, B], two=[None, B + 1])
    for name, bias in (("one", B), ("two", B + 1)):
        np.testing.assert_array_equal(found[name][0], W)
        np.testing.assert_array_equal(found[name][1], bias)


def test_a_shared_blob_behind_ones_own(tmp_path: Path) -> None:
    text = data() + fc("one", "data", 5, params=shares("", "b")) + fc("two", "data", 5, params=shares("", "b"))
    found = values(tmp_path, text, one=[W, B], two=[W + 1])
    assert [blob.shape for blob in found["two"]] == [(5, 160), (5,)]
    np.testing.assert_array_equal(found["two"][0], W + 1)
    np.testing.assert_array_equal(found["two"][1], B)


def test_all_of_a_layer_is_shared(tmp_path: Path) -> None:
    text = data() + "".join(fc(name, "data", 5, params=shares("w", "b")) for name in ("one", "two", "three"))
    found = values(tmp_path, text, one=[W, B], two=[], three=[])
    assert list(found) == ["one", "two", "three"]
    for blobs in found.values():
        assert [blob.shape for blob in blobs] == [(5, 160), (5,)]
        np.testing.assert_array_equal(blobs[0], W)
        np.testing.assert_array_equal(blobs[1], B)


def test_a_blob_shared_at_another_position(tmp_path: Path) -> None:
    text = data() + fc("one", "data", 5, params=shares("", "v")) + layer("s", "Scale", "one", params=shares("v"))
    found = values(tmp_path, text, one=[W, B], s=[])
    np.testing.assert_array_equal(found["s"][0], B)


def test_what_the_file_holds_goes_before_what_is_shared(tmp_path: Path) -> None:
    found = values(tmp_path, TWINS, one=[W, B], two=[W + 1, B])
    np.testing.assert_array_equal(found["two"][0], W + 1)


def test_the_owner_is_the_first_in_the_net_that_has_it(tmp_path: Path) -> None:
    """Not the first by name: that is the order of the file."""
    text = data() + "".join(fc(name, "data", 5, params=shares("w", "")) for name in ("z", "m", "a"))
    found = values(tmp_path, text, z=[W, B], m=[W + 1, B], a=[None, B])
    np.testing.assert_array_equal(found["a"][0], W)
    found = values(tmp_path, text, z=[None, B], m=[W + 1, B], a=[None, B])
    np.testing.assert_array_equal(found["z"][0], W + 1)
    np.testing.assert_array_equal(found["a"][0], W + 1)


def test_a_bias_that_only_one_of_them_has(tmp_path: Path) -> None:
    text = (
        data() + fc("one", "data", 5, "bias_term: false", params=shares("w")) + fc("two", "data", 5, params=shares("w"))
    )
    found = values(tmp_path, text, one=[W], two=[None, B])
    assert {name: [blob.shape for blob in blobs] for name, blobs in found.items()} == {
        "one": [(5, 160)],
        "two": [(5, 160), (5,)],
    }


@pytest.mark.parametrize(
    ("text", "layers", "place"),
    [
        (data() + fc("one", "data", 5), {"one": [None, B]}, 'layer "one": expected a blob 0'),
        (TWINS, {"one": [None, B], "two": [None, B]}, 'layer "one": expected a blob 0'),
        (TWINS, {"two": [None, B]}, 'layer "two": expected a blob 0'),
        (TWINS, {"one": [W, B], "two": [None, None, B]}, 'layer "two": expected a blob 1'),
        (data() + layer("bn", "BatchNorm", "data"), {"bn": [B, None, B]}, 'layer "bn": expected a blob 1'),
    ],
)
def test_a_gap_that_the_net_does_not_explain(
    text: str, layers: dict[str, Sequence[Blob]], place: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=rf"w\.h5: {place}.*are these the weights of another net\?"):
        given(tmp_path, text, **layers)


def test_a_gap_in_a_layer_that_the_net_lacks(tmp_path: Path) -> None:
    found = given(tmp_path, data() + fc("fc", "data", 5), fc=[W, B], foreign=[None, B])
    assert [blob.absent for blob in found.layers[1].blobs] == [True, False]


# ---- A caffemodel that was made of HDF5 ----


def test_a_caffemodel_without_types_is_given_headers_where_it_is(tmp_path: Path) -> None:
    """It has no net in it either. Its layers stay in their order, because what no edit names is copied."""
    with open_weights(datasets.weights(tmp_path / "w.h5", a=[W, B], b=[W, B + 1])) as weights:
        write(weights, tmp_path / "typeless", held_in(weights))
    text = data() + fc("b", "data", 5) + fc("a", "data", 5)
    with open_weights(tmp_path / "typeless") as weights:
        assert weights.bare and not weights.hdf5
        found = with_headers(weights, net(text))
        assert [(record.name, record.header.type) for record in found.layers] == [
            ("a", "InnerProduct"),
            ("b", "InnerProduct"),
        ]
        assert not found.bare
        np.testing.assert_array_equal(found.read_values(found.layers[1].blobs[1], 0, 5), B + 1)
