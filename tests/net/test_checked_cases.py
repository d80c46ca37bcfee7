"""Small nets that users met: what check says of each, and what the other commands make of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caffe_fcn.errors import NetError, PrototxtError, ShapeError
from caffe_fcn.model.opening import meet
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems import examine
from caffe_fcn.net.selection import graphs
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.net.source import SourceNet, read_net
from caffe_fcn.passes.conversion import Settings, plan
from caffe_fcn.passes.upgrade import upgrade_file
from tests.net.test_problems import told
from tests.paths import CASES

ERROR, BVLC = Severity.ERROR, Severity.BVLC


def path(case: str) -> Path:
    return CASES / f"{case}.prototxt"


def shapes_of(source: SourceNet) -> dict[str, Shape]:
    (graph,) = graphs(source, Selection()).values()
    return {blob.name: shape for blob, shape in infer_shapes(graph).blobs.items() if isinstance(shape, tuple)}


def text_of(source: SourceNet) -> str:
    document = upgrade_file(source).document
    assert document is not None
    return str(document)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("conv2", [(ERROR, '2:1 layer "c" (Convolution): expected a top for each bottom, found 1 for 2')]),
        ("elu2", [(ERROR, '1:59 layer "e" (ELU): it has 2 tops, but layers of this type make 1')]),
        ("clip", [(ERROR, "2:59 layer.clip_param.max is missing, but is required")]),
        ("conv_small", []),
        ("input_no_shape", []),
        ("input_no_shape_only", [(ERROR, "2:1 input 'data' has no shape, so Caffe drops it; add input_shape {")]),
        ("loss_map", [(ERROR, "3:1 .* found 8 = 2×2×2 predictions .* and 2 labels")]),
        (
            "prelu5",
            [(ERROR, '2:1 layer "p" (PReLU): the bottom has 5 axes (1×2×3×4×4), but the layer takes at most 4')],
        ),
        ("videodata", [(BVLC, "1:1 BVLC Caffe has no layer type 'VideoData'")]),
        (
            "forkfield",
            [
                (BVLC, "4:1 BVLC Caffe has no layer type 'AnnotatedData'"),
                (BVLC, "5:121 layer.transform_param.resize_param is given again, as some forks do; the first one is"),
            ],
        ),
        (
            "halfway",
            [
                (
                    BVLC,
                    "4:1 type CONVOLUTION is a name from the format of 2014; in a 'layer', write type: \"Convolution\"",
                ),
                (BVLC, "4:26 layer.type is written in a form that Caffe refuses (4 times, first here)"),
                (BVLC, "4:63 layer.blobs_lr is written in a form that Caffe refuses (2 times, first here)"),
                (BVLC, "4:87 layer.weight_decay is written in a form that Caffe refuses (2 times, first here)"),
                (BVLC, "5:1 type RELU is a name"),
                (BVLC, "6:1 type INNER_PRODUCT is a name"),
                (BVLC, "7:1 type SOFTMAX is a name"),
            ],
        ),
        ("webpage", [(ERROR, "1:1 expected a prototxt (text), found a web page; download the file itself")]),
        ("merge_conflict", [(ERROR, "9:1 found '<<<<<<<', a merge conflict marker; keep one side")]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_check_says(case: str, expected: list[tuple[Severity, str]]) -> None:
    found = examine(path(case).read_bytes(), path(case).name)
    assert [problem.severity for problem in found.problems] == [severity for severity, _ in expected]
    for line, (_, start) in zip(told(found.problems), expected, strict=True):
        assert line.startswith(start) or re.match(start, line)


@pytest.mark.parametrize(
    ("case", "blob", "shape"),
    [
        ("conv_small", "y", (1, 1, 1, 1)),
        ("input_no_shape", "fc", (1, 2)),
        ("videodata", "data", (5, 20, 224, 224)),
        ("videodata", "pool1", (5, 4, 111, 111)),
        ("halfway", "prob", (1, 3)),
        ("prelu5", "p", (1, 2, 3, 4, 4)),
        ("forkfield", "c1", (2, 4, 30, 30)),
    ],
)
def test_the_shapes_of_a_case(case: str, blob: str, shape: Shape) -> None:
    assert shapes_of(read_net(path(case)))[blob] == shape


@pytest.mark.parametrize(
    ("fields", "channels"),
    [
        ("new_length: 10 num_segments: 1 modality: FLOW", 20),
        ("new_length: 5 num_segments: 3 modality: FLOW", 30),
        ("new_length: 1 num_segments: 3 modality: RGB", 9),
        ("new_length: 4 modality: RGB", 12),
        ("num_segments: 2", 6),
    ],
)
def test_the_frames_of_a_temporal_segment_network_are_channels(fields: str, channels: int, tmp_path: Path) -> None:
    text = path("videodata").read_text(encoding="utf-8")
    net = tmp_path / "net.prototxt"
    net.write_text(text.replace("new_length: 10 num_segments: 1 modality: FLOW", fields), encoding="utf-8")
    assert shapes_of(read_net(net))["data"] == (5, channels, 224, 224)


def test_clips_of_c3d_keep_their_axis() -> None:
    found = examine(path("videodata").read_bytes().replace(b"num_segments: 1 modality: FLOW", b""), "net")
    assert 'layer "pool1" (Pooling): the bottom has 5 axes' in "".join(told(found.errors))


@pytest.mark.parametrize("case", ["conv2", "elu2", "clip"])
def test_what_no_command_takes(case: str) -> None:
    with pytest.raises((ShapeError, PrototxtError)):
        meet(read_net(path(case)), None)


def test_what_check_refuses_and_other_commands_note() -> None:
    (note,) = meet(read_net(path("prelu5")), None).notes
    assert note.startswith('Caffe does not build the net: layer "p" (PReLU): the bottom has 5 axes')
    for case, notes in {"loss_map": 1, "halfway": 3, "input_no_shape": 0}.items():
        assert len(meet(read_net(path(case)), None).notes) == notes


def test_an_input_without_a_shape_beside_its_layer_is_dropped() -> None:
    source = read_net(path("input_no_shape"))
    converted = plan(meet(source, None), Settings()).document
    assert 'type: "Convolution"' in str(converted) and str(converted).startswith('name: "n"\ninput: "data"\n')
    upgraded = text_of(source)
    assert "input:" not in upgraded and upgraded.count('type: "Input"') == 1
    assert examine(upgraded.encode(), "net").strictly().errors == ()


def test_an_input_without_a_shape_is_not_upgraded() -> None:
    with pytest.raises(NetError, match=r'input: "data" has no shape, so Caffe drops it; add input_shape'):
        upgrade_file(read_net(path("input_no_shape_only")))


def test_its_shape_can_be_given() -> None:
    source = read_net(path("input_no_shape_only"))
    (graph,) = graphs(source, Selection(shapes={"data": (1, 2)})).values()
    assert infer_shapes(graph, given={"data": (1, 2)}).blobs[Blob("r", 0)] == (1, 2)


def test_a_field_that_a_fork_repeats_stays_as_it_is() -> None:
    source = read_net(path("forkfield"))
    assert source.net.layer[0].transform_param.resize_param.height == 32
    converted = str(plan(meet(source, None), Settings()).document)
    assert converted == path("forkfield").read_text(encoding="utf-8")
    assert any("resize_param is given several times" in note for note in meet(source, None).notes)


# ---- Halfway between two formats ----

SPECS = "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"


def test_a_net_halfway_is_read_as_what_it_means() -> None:
    source = read_net(path("halfway"))
    assert [layer.type for layer in source.net.layer] == ["Convolution", "ReLU", "InnerProduct", "Softmax"]
    assert [(spec.lr_mult, spec.decay_mult) for spec in source.net.layer[0].param] == [(1, 1), (2, 0)]
    (conversion,) = plan(meet(source, None), Settings()).conversions
    assert conversion.layer == "fc"


@pytest.mark.parametrize("step", ["convert", "upgrade"])
def test_a_net_halfway_is_written_in_the_current_format(step: str) -> None:
    source = read_net(path("halfway"))
    text = str(plan(meet(source, None), Settings()).document) if step == "convert" else text_of(source)
    assert SPECS in text and "blobs_lr" not in text and "CONVOLUTION" not in text
    assert text.startswith("# matconvnet#984")
    assert examine(text.encode(), "net").strictly().errors == ()
    assert upgrade_file(source).changes[0] == "V1 names in layers of the current format"


def test_a_type_of_2014_in_quotes_is_one_too() -> None:
    quoted = path("halfway").read_text(encoding="utf-8").replace("type: RELU", 'type: "RELU"')
    assert "5:1 type RELU is a name from the format of 2014; in a 'layer', write type: \"ReLU\"" in told(
        examine(quoted.encode(), "net").notes
    )


@pytest.mark.parametrize(
    "layer",
    [
        'name: "a" type: "ReLU" bottom: "d" top: "e"',
        'name: "a" type: INNER_PRODUCT bottom: "d" top: "e" param { lr_mult: 1 } inner_product_param { num_output: 2 }',
    ],
)
def test_current_layers_under_the_word_of_2014_are_refused_with_the_word_to_write(layer: str, tmp_path: Path) -> None:
    text = f'input: "d" input_dim: [1, 1, 4, 4]\nlayers {{ {layer} }}\n'
    expected = "'layers' belongs to the format of 2014, but this layer is in the current format; write 'layer'"
    (net := tmp_path / "net.prototxt").write_text(text, encoding="utf-8")
    assert told(examine(text.encode(), "net").errors) == [f"2:1 {expected}"]
    with pytest.raises(PrototxtError, match=f"net.prototxt:2:1: {expected}"):
        read_net(net)
