"""Files of any age upgraded: what is written reads as the net's upgrade, and nothing else has changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError, NetError, WeightsError
from caffe_fcn.files import prototxt
from caffe_fcn.files.prototxt import comments
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.opening import meet
from caffe_fcn.model.writing import write_outputs
from caffe_fcn.net.blobs import current_shape
from caffe_fcn.net.source import interpret
from caffe_fcn.net.upgrade import needs_upgrade, upgrade
from caffe_fcn.passes.convolutionalize import convolutionalize
from caffe_fcn.passes.upgrade import Upgrade, upgrade_file
from caffe_fcn.passes.upgrade import upgrade as upgraded_model
from caffe_fcn.schema import Message
from tests.files import datasets
from tests.files.datasets import CAFFES
from tests.files.encodings import (
    ENCODINGS,
    UNKNOWN,
    bytes_field,
    layer,
    legacy_shape,
    matrix,
    packed,
    parsed,
    shape_field,
    unpacked,
    varint_field,
)
from tests.files.test_caffemodel import LENET, VARIANTS
from tests.passes.nets import conv, fc
from tests.paths import CORPUS, GOLDEN

PAIRS = sorted(path.name.removesuffix(".in.prototxt") for path in (GOLDEN / "upgrades").glob("*.in.prototxt"))
V1 = schema.V1LayerParameter
W, B = matrix(3, 8), matrix(1, 3).ravel()


# ---- Texts ----


def upgraded(text: str, name: str = "net.prototxt") -> Upgrade:
    return upgrade_file(interpret(prototxt.parse(text, name)))


def text_of(result: Upgrade) -> str:
    assert result.document is not None
    return bytes(result.document).decode("utf-8", "surrogateescape")


def message(text: str) -> Message:
    return interpret(prototxt.parse(text, "net.prototxt")).written


@pytest.mark.parametrize("name", PAIRS)
def test_texts_become_what_the_reference_tool_makes_of_them(name: str) -> None:
    old = (GOLDEN / "upgrades" / f"{name}.in.prototxt").read_text()
    new = text_of(upgraded(old))
    assert message(new) == message((GOLDEN / "upgrades" / f"{name}.out.prototxt").read_text())
    again = upgraded(new)
    assert (again.changes, again.format, text_of(again)) == ((), "V2", new)


COMMENTED = """\
# The net of 2014.\r
name: 'old'  # its name
input: "data"
input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8   # one image
layers {   # the first layer
  type: CONVOLUTION  bottom: "data"  top: "c"  # before its name
  name: "c"
  blobs_lr: 1.0   # the weights
  blobs_lr: 2.0   # the bias
  convolution_param { num_output: 0x4  kernel_size: 3 # odd
  }
}

layers { name: "r" type: RELU bottom: "c" top: "c" }
"""


def test_comments_and_all_that_does_not_change_stay() -> None:
    new = text_of(upgraded(COMMENTED))
    assert list(comments(new, 0, len(new))) == list(comments(COMMENTED, 0, len(COMMENTED)))
    assert new.startswith("# The net of 2014.\r\nname: 'old'  # its name\n")
    assert "num_output: 0x4  kernel_size: 3 # odd\n" in new
    found = message(new)
    assert [(each.name, each.type) for each in found.layer] == [("input", "Input"), ("c", "Convolution"), ("r", "ReLU")]
    assert [param.lr_mult for param in found.layer[1].param] == [1, 2]


def test_what_a_text_says_of_itself() -> None:
    result = upgraded(COMMENTED)
    assert (result.name, result.format, result.weights, result.output) == ("net.prototxt", "V1", None, None)
    assert result.changes == (
        "2 layers in format V1",
        "input fields of the net become an Input layer",
    )
    assert result.diff is not None
    shown = result.diff("new.prototxt").splitlines()
    assert shown[:2] == ["--- net.prototxt", "+++ new.prototxt"]
    assert any(line.startswith("-layers {") for line in shown)


PADDED = (
    'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "d" top: "p" }\n'
    'layers { layer { name: "c" type: "conv" } bottom: "p" top: "c" }\n'
)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (PADDED, "2 layers in format V0"),
        (PADDED, "1 padding layer merged"),
        ('layers { name: "r" type: RELU bottom: "d" top: "d" }\n' * 2, "2 layers in format V1"),
        (
            'layers { name: "d" type: DATA top: "d" data_param { scale: 0.5 } }\n',
            "scale, mean, crop and mirror of data",
        ),
        (
            'input: "d" input_dim: [1, 1, 1, 1]\nlayer { name: "r" type: "ReLU" bottom: "d" top: "d" }\n',
            "input fields of the net",
        ),
        (
            'layer { name: "b" type: "BatchNorm" param { lr_mult: 1 } param { lr_mult: 0 } param { lr_mult: 0 } }\n',
            "learning rates of BatchNorm statistics",
        ),
    ],
)
def test_every_change_is_told(text: str, change: str) -> None:
    result = upgraded(text)
    assert any(each.startswith(change) for each in result.changes)
    assert not upgraded(text_of(result)).changes


def test_a_current_text_stays_byte_for_byte() -> None:
    text = '\ufeff# x\r\nlayer {\tname: "r" type: "ReLU"; bottom: "d" top: "d" forks_own: 3 }'
    result = upgraded(text)
    assert (result.changes, text_of(result)) == ((), text)
    assert any("forks_own" in note for note in result.notes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('layers { name: "x" bottom: "d" }', 'layer "x": it has no type'),
        ('layers { layer { name: "x" type: "new" } }', 'layer "x": unknown type "new"'),
        ('input: "d" input_dim: 1\nlayer { name: "r" type: "ReLU" }', "expected an input_shape or 4 input_dim"),
    ],
)
def test_what_caffe_refuses_is_refused(text: str, expected: str) -> None:
    with pytest.raises(NetError, match=rf"net\.prototxt: .*{expected}|net\.prototxt: {expected}"):
        upgraded(text)


def legacy_entries() -> list[Any]:
    if not (CORPUS / "manifest.json").exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"the corpus of real nets is not at {CORPUS}"))]
    found = json.loads((CORPUS / "manifest.json").read_text())
    entries = found["nets"] if isinstance(found, dict) else found
    return [pytest.param(each, id=each["file"]) for each in entries if each["format"][:2] in ("V0", "V1")]


@pytest.mark.thorough
@pytest.mark.parametrize("entry", legacy_entries())
def test_old_nets_of_the_corpus(entry: dict[str, Any]) -> None:
    path = CORPUS / entry["file"]
    try:
        source = interpret(prototxt.read(path))
        result = upgrade_file(source)
    except CaffeFcnError as error:
        assert "mixed" in entry["format"], str(error)
        assert str(error).startswith(str(path))
        return
    new = text_of(result)
    assert result.changes and result.format == entry["format"]
    expected = upgrade(source.written)
    crops = [each for each in expected.layer if each.type == "Crop"]  # all of them FCN-8s
    for crop, offset in zip(crops, (5, 9, 31), strict=bool(crops)):
        crop.crop_param.offset.append(offset)
    assert message(new) == expected
    assert not needs_upgrade(message(new))
    assert list(comments(new, 0, len(new))) == list(comments(source.document.text, 0, len(source.document.text)))
    again = upgraded(new)
    assert (again.changes, text_of(again)) == ((), new)


# ---- Weights ----


def written(path: Path, *, hdf5: bool = False) -> Upgrade:
    """PATH upgraded, as `new` or `new.h5` beside it."""
    target = path.with_name("new.h5" if hdf5 else "new")
    with open_weights(path) as weights:
        result = upgrade_file(weights, hdf5=hdf5)
        assert result.output is not None
        write_outputs(None, None, result.output, str(target), force=True)
    return result


def values(blob: Message) -> tuple[list[float], ...]:
    return [*blob.data], [*blob.diff], [*blob.double_data], [*blob.double_diff]


def held_against_protobuf(path: Path) -> Message:
    """What came of PATH, if that is the upgrade of the whole message, but for the shapes of its blobs."""
    new, expected = parsed(path.with_name("new")), upgrade(parsed(path))
    for mine, wanted in zip(new.layer, expected.layer, strict=True):
        assert len(mine.blobs) == len(wanted.blobs)
        for position, (blob, old) in enumerate(zip(mine.blobs, wanted.blobs, strict=True)):
            assert values(blob) == values(old)
            legacy = old.HasField("num") or old.HasField("width")
            given = (old.num, old.channels, old.height, old.width) if legacy else (*old.shape.dim,)
            shape = current_shape(wanted.type, position, given) if legacy else given
            assert (*blob.shape.dim,) == shape
            assert not blob.HasField("num")
    stripped = schema.NetParameter()
    stripped.CopyFrom(new)
    for net in (stripped, expected):
        for each in net.layer:
            each.ClearField("blobs")
        net.DiscardUnknownFields()
    assert stripped == expected
    assert not needs_upgrade(new)
    return new


def second_time(path: Path) -> None:
    """A second upgrade changes nothing, and says so."""
    new = path.with_name("new")
    data = new.read_bytes()
    new.rename(path)
    again = written(path)
    assert again.changes == ()
    assert new.read_bytes() == data


def model(path: Path, *parts: bytes) -> Path:
    (path / "m").write_bytes(b"".join(parts))
    return path / "m"


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(variant: str, tmp_path: Path) -> None:
    path = model(tmp_path, (LENET / variant).read_bytes())
    result = written(path)
    new = held_against_protobuf(path)
    plain = {each.name: each for each in parsed(LENET / "net.caffemodel").layer if each.blobs}
    for each in new.layer:
        for position, blob in enumerate(each.blobs):
            wanted = plain[each.name].blobs[position]
            assert blob.shape == wanted.shape
            assert [*blob.data, *np.array(blob.double_data, "<f4")] == [*wanted.data]
    assert bool(result.changes) == ("v1" in variant or "unpacked" in variant)
    if not result.changes:
        assert path.with_name("new").read_bytes() == path.read_bytes()
    second_time(path)


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("v1", ("8 layers in format V1", "8 blobs with num, channels, height and width instead of a shape")),
        ("unpacked", ("8 blobs with unpacked values",)),
        ("double", ()),
        ("diff", ()),
        ("chunked_unknown_fields", ()),
    ],
)
def test_changes_of_weights_are_told(variant: str, changes: Sequence[str]) -> None:
    with open_weights(LENET / "variants" / f"{variant}.caffemodel") as weights:
        assert upgrade_file(weights).changes == tuple(changes)


def v0_layer(name: str, kind: str, bottom: str, *blobs: bytes, **fields: Any) -> bytes:
    inner = schema.V0LayerParameter(name=name, type=kind, **fields).SerializeToString()
    held = b"".join(bytes_field(50, blob) for blob in blobs)
    return bytes_field(
        2, bytes_field(1, inner + held) + bytes_field(2, bottom.encode()) + bytes_field(3, name.encode())
    )


V0_NET = (
    bytes_field(1, b"of 2013")
    + bytes_field(3, b"data")
    + b"".join(varint_field(4, extent) for extent in (1, 2, 6, 6))
    + UNKNOWN
    + v0_layer("pad", "padding", "data", pad=2)
    + v0_layer(
        *("conv", "conv", "pad", legacy_shape((3, 2, 2, 2)) + packed(5, W), legacy_shape((3,)) + packed(5, B)),
        num_output=3,
        kernelsize=2,
        blobs_lr=[1, 2],
        weight_decay=[1, 0],
    )
    + v0_layer("relu", "relu", "conv")
    + v0_layer("ip", "innerproduct", "relu", legacy_shape((3, 8)) + unpacked(5, W), num_output=3, biasterm=False)
)


def test_a_net_of_2013_with_padding_and_input_fields(tmp_path: Path) -> None:
    path = model(tmp_path, V0_NET)
    result = written(path)
    assert result.format == "V0"
    assert result.changes == (
        "4 layers in format V0",
        "1 padding layer merged into the next layers",
        "input fields of the net become an Input layer",
        "3 blobs with num, channels, height and width instead of a shape",
        "1 blob with unpacked values",
    )
    new = held_against_protobuf(path)
    assert [(each.name, each.type) for each in new.layer] == [
        ("input", "Input"),
        ("conv", "Convolution"),
        ("relu", "ReLU"),
        ("ip", "InnerProduct"),
    ]
    assert (list(new.layer[1].bottom), list(new.layer[1].convolution_param.pad)) == (["data"], [2])
    assert [[*blob.shape.dim] for each in new.layer for blob in each.blobs] == [[3, 2, 2, 2], [3], [3, 8]]
    assert new.name == "of 2013" and UNKNOWN in path.with_name("new").read_bytes()
    second_time(path)


def test_input_fields_become_a_layer_in_front(tmp_path: Path) -> None:
    """Of a current net, whose other layers stay as they are: bytes that nobody knows included."""
    first, second = layer("a", [shape_field((3, 8)) + packed(5, W) + UNKNOWN]), layer("b", [])
    inputs = bytes_field(3, b"d") + bytes_field(8, varint_field(1, 1) + varint_field(1, 2))
    path = model(tmp_path, bytes_field(1, b"n"), first, inputs, varint_field(5, 1), second, UNKNOWN)
    result = written(path)
    assert result.changes == ("input fields of the net become an Input layer",)
    head = schema.LayerParameter(name="input", type="Input", top=["d"], input_param={"shape": [{"dim": [1, 2]}]})
    kept = bytes_field(1, b"n") + varint_field(5, 1) + UNKNOWN
    expected = kept + bytes_field(100, head.SerializeToString()) + first + second
    assert path.with_name("new").read_bytes() == expected
    held_against_protobuf(path)
    second_time(path)


def test_rates_of_batch_norm(tmp_path: Path) -> None:
    net = schema.NetParameter(name="n")
    for name, rates in (("learns", (1, 1, 0)), ("does not", (0, 0, 0))):
        each = net.layer.add(name=name, type="BatchNorm", param=[{"lr_mult": rate, "decay_mult": 0} for rate in rates])
        each.blobs.add(shape={"dim": [3]}, data=[1, 2, 3])
    net.layer[1].MergeFromString(UNKNOWN)
    path = model(tmp_path, net.SerializeToString())
    assert written(path).changes == (
        "learning rates of BatchNorm statistics become 0, because these are measured and not learned",
    )
    new = held_against_protobuf(path)
    assert [param.lr_mult for param in new.layer[0].param] == [0, 0, 0]
    assert new.layer[1].SerializeToString() == net.layer[1].SerializeToString()
    second_time(path)


def test_transforms_of_data_layers_of_2014(tmp_path: Path) -> None:
    net = schema.NetParameter()
    net.layers.add(name="d", type="DATA", top=["d"], data_param={"source": "s", "scale": 0.5, "crop_size": 7})
    net.layers.add(name="ip", type="INNER_PRODUCT", bottom=["d"], top=["ip"], blobs_lr=[1, 2], param=["w", "b"])
    path = model(tmp_path, net.SerializeToString())
    assert "scale, mean, crop and mirror of data layers move to transform_param" in written(path).changes
    new = held_against_protobuf(path)
    assert (new.layer[0].transform_param.crop_size, new.layer[1].param[1].name) == (7, "b")
    second_time(path)


@pytest.mark.parametrize("encoding", sorted(set(ENCODINGS) - {"C3D", "C3D unpacked"}))
def test_encodings_of_blobs(encoding: str, tmp_path: Path) -> None:
    """Data, gradients and all that forks add are there afterwards, as protobuf reads them."""
    path = model(tmp_path, layer("fc", [ENCODINGS[encoding](matrix(6, 20))]))
    written(path)
    (old,), (new,) = parsed(path).layer[0].blobs, parsed(path.with_name("new")).layer[0].blobs
    assert values(new) == values(old)
    assert [*new.shape.dim] == [6, 20]
    if "raw" in encoding:
        assert path.with_name("new").read_bytes() == path.read_bytes()
    with open_weights(path.with_name("new")) as weights:
        blob = weights.layers[0].blobs[0]
        assert (blob.packed, blob.legacy_shape) == (True, False)
        np.testing.assert_array_equal(weights.read_values(blob, 0, 120), matrix(6, 20).ravel())
    second_time(path)


@pytest.mark.parametrize("encoding", ["C3D", "C3D unpacked"])
def test_weights_of_c3d_are_refused_but_for_their_values(encoding: str, tmp_path: Path) -> None:
    """Its numbers mean other layers and fields than BVLC's, so its headers cannot be taken over."""
    inner = bytes_field(4, b"fc") + varint_field(5, V1.LayerType.Value("INNER_PRODUCT"))
    path = model(tmp_path, bytes_field(2, inner + bytes_field(6, ENCODINGS[encoding](matrix(6, 20)))))
    with open_weights(path) as weights, pytest.raises(NetError, match=r": these are weights of C3D 1\.0.*upgrade them"):
        upgrade_file(weights)
    written(path, hdf5=True)
    np.testing.assert_array_equal(datasets.read(tmp_path / "new.h5")["fc"]["0"].ravel(), matrix(6, 20).ravel())


def v1_layer(name: str, kind: int, *more: bytes) -> bytes:
    return bytes_field(2, bytes_field(4, name.encode()) + varint_field(5, kind) + b"".join(more))


def test_a_type_of_a_fork_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    blob = bytes_field(6, legacy_shape((3, 8)) + packed(5, W) + packed(6, W + 1))
    inputs = bytes_field(3, b"data") + b"".join(varint_field(4, extent) for extent in (1, 2, 6, 6))
    path = model(
        *(tmp_path, bytes_field(1, b"n"), inputs, UNKNOWN),
        v1_layer("ip", V1.LayerType.Value("INNER_PRODUCT"), blob, bytes_field(9001, b"fork")),
        v1_layer("own", 99, blob),
    )
    result = written(path)
    assert len(result.notes) == 1 and 'layer "own"' in result.notes[0] and "'Unknown'" in result.notes[0]
    new = parsed(path.with_name("new"))
    assert [(each.name, each.type) for each in new.layer] == [
        ("input", "Input"),
        ("ip", "InnerProduct"),
        ("own", "Unknown"),
    ]
    assert [[*blob.shape.dim] for each in new.layer for blob in each.blobs] == [[3, 8], [1, 1, 3, 8]]
    assert [*new.layer[2].blobs[0].diff] == [*(W + 1).ravel()]
    assert not needs_upgrade(new)
    data = path.with_name("new").read_bytes()
    assert UNKNOWN in data and bytes_field(9001, b"fork") in data
    assert "2 layers in format V1" in result.changes
    assert "input fields of the net become an Input layer" in result.changes
    second_time(path)


def test_padding_that_cannot_move_is_not_said_to(tmp_path: Path) -> None:
    path = model(tmp_path, v0_layer("pad", "padding", "data", pad=2) + v0_layer("ip", "innerproduct", "pad"))
    result = written(path)
    assert result.changes == ("2 layers in format V0",)
    assert 'layer "ip": expected a conv or pool layer' in result.notes[0]
    assert [each.type for each in parsed(path.with_name("new")).layer] == ["Padding", "InnerProduct"]
    second_time(path)


def test_a_current_net_that_caffe_refuses_is_refused(tmp_path: Path) -> None:
    path = model(tmp_path, bytes_field(3, b"d") + varint_field(4, 1) + layer("a", []))
    with open_weights(path) as weights, pytest.raises(NetError, match="m: expected an input_shape"):
        upgrade_file(weights)


def test_blobs_whose_shape_is_not_that_of_their_values(tmp_path: Path) -> None:
    path = model(tmp_path, layer("fc", [legacy_shape((3, 9)) + packed(5, W)]))
    with pytest.raises(WeightsError, match=r"layer .fc., blob 0: expected 27 values for the shape 3×9, found 24"):
        written(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m"]


# ---- HDF5 ----


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_become_hdf5(variant: str, tmp_path: Path) -> None:
    path = model(tmp_path, (LENET / variant).read_bytes())
    result, new = written(path, hdf5=True), tmp_path / "new.h5"
    assert result.changes[-1] == "the caffemodel becomes HDF5, with names and weights only"
    found, wanted = ({name: blobs for name, blobs in datasets.read(each).items() if blobs} for each in (new, CAFFES))
    assert datasets.same(found, wanted)


def test_the_padding_of_2013_is_no_layer_of_hdf5(tmp_path: Path) -> None:
    written(model(tmp_path, V0_NET), hdf5=True)
    expected = {"conv": {"0": W.reshape(3, 2, 2, 2), "1": B}, "ip": {"0": W}, "relu": {}}
    assert datasets.same(datasets.read(tmp_path / "new.h5"), expected)


def test_hdf5_becomes_a_caffemodel_without_a_net(tmp_path: Path) -> None:
    path = model(tmp_path, CAFFES.read_bytes())
    result = written(path)
    assert (result.format, result.changes) == ("HDF5", ("HDF5 becomes a caffemodel",))
    assert "HDF5 holds no net" in result.notes[0]
    new = parsed(tmp_path / "new")
    found = {
        each.name: {str(i): np.array(blob.data).reshape([*blob.shape.dim]) for i, blob in enumerate(each.blobs)}
        for each in new.layer
    }
    assert datasets.same(found, datasets.read(CAFFES))
    assert {each.type for each in new.layer} == {""}
    second_time(path)


def test_hdf5_stays_hdf5(tmp_path: Path) -> None:
    path = datasets.weights(tmp_path / "m", fc=[W, None, B], other=[])
    result = written(path, hdf5=True)
    assert (result.changes, result.notes) == ((), ())
    assert datasets.same(datasets.read(tmp_path / "new.h5"), datasets.read(path))


def test_what_another_layer_holds_cannot_go_to_a_caffemodel(tmp_path: Path) -> None:
    path = datasets.weights(tmp_path / "m", one=[W, B], two=[None, B])
    with pytest.raises(WeightsError, match='layer "two", blob 0: its values are stored in a layer that shares it'):
        written(path)


def test_other_passes_follow() -> None:
    """The graph is that of the new net, in which an Input layer comes before all others."""
    text = (
        'input: "data" input_dim: 1 input_dim: 2 input_dim: 5 input_dim: 5\n' + conv("c", "data", 3) + fc("fc", "c", 4)
    )
    made = upgraded_model(meet(interpret(prototxt.parse(text, "net.prototxt")), None)).model
    assert [each.name for each in made.net.layer] == ["input", "c", "fc"]
    assert [node.index for node in made.graph.nodes] == [0, 1, 2]
    assert [each.layer for each in convolutionalize(made).decision.of_kind("converted")] == ["fc"]
