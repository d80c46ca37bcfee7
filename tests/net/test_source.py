"""A net as it was read: formats told apart, files that are no net refused with the place, changes brought back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError, NetError, PrototxtError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.prototxt import parse
from caffe_fcn.files.textmessage import to_message
from caffe_fcn.net.source import SourceNet, interpret, net_of_weights, read_net

V2 = "name: 'n'\nlayer { name: 'a' type: 'ReLU' bottom: 'x' top: 'x' }\nlayer { name: 'b' type: 'ReLU' }\n"
V1 = "# one\nlayers { name: 'a' type: RELU }\n# two\nlayers { name: 'b' type: INNER_PRODUCT } # three\n"
V0 = (
    "layers { layer { name: 'p' type: 'padding' pad: 1 } bottom: 'x' top: 'p' }\n"
    "# one\n"
    "layers { layer { name: 'c' type: 'conv' kernelsize: 3 } bottom: 'p' top: 'c' }\n"
)


def source(text: str | bytes) -> SourceNet:
    return interpret(parse(text, "net.prototxt"))


def net_of(text: str) -> Any:
    return to_message(parse(text), schema.message_class("NetParameter")).message


def failure(text: str | bytes) -> str:
    """The error that TEXT gives, its first line alone."""
    with pytest.raises(CaffeFcnError) as caught:
        source(text)
    return str(caught.value).split("\n")[0]


# ---- Formats ----


def test_the_current_format_stays_as_it_is() -> None:
    read = source(V2)
    assert (read.format, read.origins, read.notes, read.name) == ("V2", (0, 1), (), "net.prototxt")
    assert read.net == read.written == net_of(V2)


def test_v1_is_upgraded() -> None:
    read = source(V1)
    assert (read.format, read.origins) == ("V1", (0, 1))
    assert [layer.type for layer in read.net.layer] == ["ReLU", "InnerProduct"]
    assert read.written == net_of(V1)


def test_v0_is_upgraded_and_its_padding_layers_leave_no_layer() -> None:
    read = source(V0)
    assert (read.format, read.origins) == ("V0", (1,))
    assert [layer.convolution_param.pad for layer in read.net.layer] == [[1]]


def test_inputs_of_an_old_net_become_a_layer_without_an_origin() -> None:
    read = source("input: 'x' input_dim: [1, 3, 4, 4]\n" + V1)
    assert (read.format, read.origins) == ("V1", (None, 0, 1))
    assert read.net.layer[0].type == "Input"


def test_inputs_of_a_current_net_stay_fields() -> None:
    read = source("input: 'x' input_shape { dim: 1 }\n" + V2)
    assert (read.format, read.origins, list(read.net.input)) == ("V2", (0, 1), ["x"])


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deploy.prototxt"
    path.write_bytes(b"\xef\xbb\xbf" + V2.replace("\n", "\r\n").encode())
    read = read_net(path)
    assert read.name == str(path)
    assert read.net == net_of(V2)


def test_a_file_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        read_net(tmp_path / "none.prototxt")


def brought_along(path: Path, text: str) -> SourceNet:
    """The net inside a caffemodel that holds the message TEXT reads as."""
    path.write_bytes(net_of(text).SerializeToString())
    with open_caffemodel(path) as weights:
        return net_of_weights(weights)


@pytest.mark.parametrize("text", [V1, V2])
def test_the_net_inside_a_caffemodel_is_given_a_text(tmp_path: Path, text: str) -> None:
    read = brought_along(tmp_path / "net.caffemodel", text)
    assert read.from_weights
    assert not source(text).from_weights
    assert (read.name, read.written) == (str(tmp_path / "net.caffemodel"), net_of(text))
    assert (read.format, read.net, read.origins) == (source(text).format, source(text).net, source(text).origins)


def test_the_net_inside_a_caffemodel_has_neither_weights_nor_phases(tmp_path: Path) -> None:
    layer = "name: 'a' type: 'ReLU' include { phase: TRAIN } exclude { stage: 's' } blobs { data: [1, 2] }"
    read = brought_along(tmp_path / "net.caffemodel", f"layer {{ {layer} }}")
    assert read.net == net_of("layer { name: 'a' type: 'ReLU' }")


def test_names_beyond_ascii_survive_without_a_text(tmp_path: Path) -> None:
    text = "layer { type: 'ReLU' name: '\u00e9\u4e16 \\n\\'\\\"\\\\ \u2028\x85' }"
    read = brought_along(tmp_path / "net.caffemodel", text)
    assert read.net == net_of(text)
    assert "\u00e9\u4e16" in read.document.text


# ---- Files that are no net ----


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("layer {}\nlayers {}\n", 2, 1),
        ("name: 'x'\n  layers { name: 'a' }\nlayer { name: 'b' }\n", 2, 3),
        ("layer {} layers { type: RELU } layers {}", 1, 10),
    ],
)
def test_layer_and_layers_do_not_mix(text: str, line: int, column: int) -> None:
    found = failure(text)
    assert found.startswith(f"net.prototxt:{line}:{column}: the file mixes 'layer' and 'layers'")
    assert issubclass(PrototxtError, CaffeFcnError)


@pytest.mark.parametrize("text", ["", "\n", "\ufeff", " \t\r\n", b"\xef\xbb\xbf\r\n"])
def test_an_empty_file(text: str | bytes) -> None:
    assert failure(text) == "net.prototxt: expected a net, found an empty file"


@pytest.mark.parametrize("text", ["# nothing here\n", "name: 'n'\n", "input: 'x' input_dim: 1"])
def test_a_net_without_layers(text: str) -> None:
    assert failure(text) == "net.prototxt: expected a net, found no layers"


SOLVER = "# settings\nnet: 'train_val.prototxt'\nbase_lr: 0.01\nlr_policy: 'step'\nsnapshot_prefix: 'x'\n"


@pytest.mark.parametrize(
    ("text", "place", "field"),
    [(SOLVER, "2:1", "net"), ("debug_info: true\n  train_net: 'x'\n", "2:3", "train_net"), ("a { b: 1 }", "1:1", "a")],
)
def test_a_solver_is_no_net(text: str, place: str, field: str) -> None:
    expected = (
        f"net.prototxt:{place}: expected a net, found no layers, and '{field}' is not a field of a net (is it "
        "a solver?)"
    )
    assert failure(text) == expected


@pytest.mark.parametrize("ending", [b"", b"\x20\0"])
def test_a_caffemodel_is_read_as_the_net_inside(tmp_path: Path, ending: bytes) -> None:
    """With a zero in it, as nearly all have, and without."""
    data = net_of(V2).SerializeToString() + ending
    (tmp_path / "net.prototxt").write_bytes(data)
    assert (b"\0" in data) is bool(ending)
    assert read_net(tmp_path / "net.prototxt").net.layer == net_of(V2).layer


def test_a_binary_file_is_no_text() -> None:
    assert "expected a prototxt (text), found a binary file; if it is the caffemodel" in failure(b"\x89PNG\0")


def test_layers_of_an_unknown_type_are_refused_in_the_old_format() -> None:
    with pytest.raises(PrototxtError, match=r"net\.prototxt:1:26: unknown layer type 'TELEPORT'; expected a type of"):
        source("layers { name: 'a' type: TELEPORT }")
    with pytest.raises(NetError, match=r'net\.prototxt: layer "a": it has no type'):
        source("layers { name: 'a' }")


# ---- Notes ----


def test_what_bvlc_does_not_know_is_found() -> None:
    layer = "layer { name: 'a' type: 'X' x_param { a: 1 } pooling_param { round: UP pool: MEDIAN } }\n"
    found = [(field.layer, field.shown) for field in source("colour: 'red'\n" + layer * 2).foreign]
    inside = ["x_param", "pooling_param.round", "pooling_param.pool: MEDIAN"]
    assert found == [(None, "colour"), *((index, shown) for index in (0, 1) for shown in inside)]


def test_what_caffe_refuses_is_noted_with_its_place() -> None:
    read = source("layer {\n  type: ReLU\n  pooling_param { pool: 'MAX' }\n}\nname: 'n'\nname: 'n'\n")
    end = "is written in a form that Caffe refuses; it was read anyway"
    assert read.notes == (
        f"net.prototxt:2:9: layer.type {end}",
        f"net.prototxt:3:25: layer.pooling_param.pool {end}",
        f"net.prototxt:6:1: name {end}",
    )


# ---- Changes ----


@pytest.mark.parametrize("text", [V2, "input: 'x' input_shape { dim: 1 }\n" + V2])
def test_a_current_net_unchanged_gives_no_edits(text: str) -> None:
    read = source(text)
    edits = read.edits_for(read.net, range(len(read.net.layer)))
    assert edits == []
    assert read.diff(edits, "new.prototxt") == ""


@pytest.mark.parametrize("text", [V1, V0, "input: 'x' input_dim: [1, 3, 4, 4] # in\n" + V1])
def test_an_old_net_unchanged_is_written_in_the_current_format(text: str) -> None:
    read = source(text)
    result = read.document.with_edits(read.edits_for(read.net, range(len(read.net.layer))))
    assert net_of(result.text) == read.net
    again = interpret(result)
    assert (again.format, again.net) == ("V2", read.net)
    assert again.edits_for(again.net, range(len(again.net.layer))) == []


def changed(read: SourceNet, drop: int) -> tuple[Any, list[int]]:
    """The net of READ without one layer, the last one renamed."""
    net = net_of("")
    net.CopyFrom(read.net)
    net.layer[-1].name += "-new"
    del net.layer[drop]
    return net, [index for index in range(len(read.net.layer)) if index != drop]


def test_a_change_of_an_upgraded_net_reaches_the_text() -> None:
    read = source(V1)
    net, origins = changed(read, 0)
    result = read.document.with_edits(read.edits_for(net, origins))
    assert result.text == "# one\n# two\nlayer { name: 'b-new' type: \"InnerProduct\" } # three\n"


def test_an_input_layer_that_the_upgrade_made_can_be_followed() -> None:
    read = source("input: 'x' input_dim: [1, 3, 4, 4]\n" + V1)
    net, origins = changed(read, 1)
    result = read.document.with_edits(read.edits_for(net, origins))
    assert net_of(result.text) == net
    assert result.text.startswith("# one\n# two\n")
    assert result.text.endswith("\nlayer { name: 'b-new' type: \"InnerProduct\" } # three\n")


def test_an_inner_product_becomes_a_convolution_in_place() -> None:
    text = "layer {\n  type: 'InnerProduct'\n  inner_product_param {\n    # ten\n    num_output: 10\n  }\n}\n"
    net = net_of("layer { type: 'Convolution' convolution_param { num_output: 10 kernel_size: 6 } }")
    read = source(text)
    edits = read.edits_for(net, [0], {"inner_product_param": "convolution_param"})
    assert read.diff(edits, "new.prototxt") == (
        "--- net.prototxt\n"
        "+++ new.prototxt\n"
        "@@ -1,7 +1,8 @@\n"
        " layer {\n"
        "-  type: 'InnerProduct'\n"
        "-  inner_product_param {\n"
        "+  type: 'Convolution'\n"
        "+  convolution_param {\n"
        "     # ten\n"
        "     num_output: 10\n"
        "+    kernel_size: 6\n"
        "   }\n"
        " }\n"
    )
