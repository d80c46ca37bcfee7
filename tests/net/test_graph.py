"""The graph: which layers a phase has, who makes and who reads each blob, and what Caffe would refuse."""

from __future__ import annotations

import pytest

from caffe_fcn.errors import NetError
from caffe_fcn.net.graph import Blob, build_graph
from tests.net.nets import data, graph_of, layer, parse_net


def names(text: str, **options: object) -> list[str]:
    return [node.name for node in graph_of(text, **options).nodes]


def test_blobs_have_producers_and_consumers_in_file_order() -> None:
    graph = graph_of(data(1, 2) + layer("ReLU", top="a", name="one") + layer("ReLU", top="b", name="two"))
    blob = Blob("data", 0)
    assert graph.producer[blob].name == "data"
    assert [node.name for node in graph.consumers[blob]] == ["one", "two"]
    assert graph.outputs == (Blob("a", 0), Blob("b", 0))
    assert [node.index for node in graph.nodes] == [0, 1, 2]


def test_an_in_place_layer_makes_the_next_version() -> None:
    graph = graph_of(
        data(1, 2)
        + layer("ReLU", top="data", name="first")
        + layer("Dropout", top="data", name="second")
        + layer("ReLU", top="out", name="last")
    )
    assert [node.bottoms + node.tops for node in graph.nodes[1:]] == [
        (Blob("data", 0), Blob("data", 1)),
        (Blob("data", 1), Blob("data", 2)),
        (Blob("data", 2), Blob("out", 0)),
    ]
    assert graph.latest("data") == Blob("data", 2)
    assert graph.latest("nothing") is None
    assert graph.outputs == (Blob("out", 0),)


def test_a_reader_before_the_in_place_layer_sees_the_older_version() -> None:
    graph = graph_of(data(1, 2) + layer("Power", top="kept", name="early") + layer("ReLU", top="data", name="late"))
    assert graph.nodes[1].bottoms == (Blob("data", 0),)
    assert graph.outputs == (Blob("kept", 0), Blob("data", 1))


def test_a_layer_that_reads_a_blob_twice_is_one_consumer() -> None:
    graph = graph_of(data(1, 2) + layer("Eltwise", bottom="data data"))
    assert len(graph.consumers[Blob("data", 0)]) == 1
    assert graph.nodes[1].bottoms == (Blob("data", 0), Blob("data", 0))


PHASES = (
    'layer { name: "train" type: "Input" top: "x" include { phase: TRAIN } }'
    'layer { name: "test" type: "Input" top: "x" exclude { phase: TRAIN } }'
    'layer { name: "both" type: "ReLU" bottom: "x" top: "y" }'
)


def test_phases_choose_their_layers() -> None:
    assert names(PHASES) == ["test", "both"]
    assert names(PHASES, phase="TRAIN") == ["train", "both"]
    assert graph_of(PHASES, phase="TRAIN").phase == "TRAIN"


def test_the_phase_asked_for_replaces_the_one_in_the_net() -> None:
    assert names("state { phase: TRAIN } " + PHASES) == ["test", "both"]


@pytest.mark.parametrize(
    ("rule", "stages", "level", "included"),
    [
        ('stage: "a"', (), None, False),
        ('stage: "a"', ("a", "b"), None, True),
        ('stage: "a" stage: "b"', ("a",), None, False),
        ('not_stage: "a"', ("a",), None, False),
        ('not_stage: "a"', ("b",), None, True),
        ("min_level: 1", (), None, False),
        ("min_level: 1", (), 1, True),
        ("max_level: 1", (), 1, True),
        ("max_level: 1", (), 2, False),
        ("max_level: -1", (), None, False),
        ('phase: TEST stage: "a"', ("a",), None, True),
        ('phase: TRAIN stage: "a"', ("a",), None, False),
    ],
)
def test_stages_and_levels(rule: str, stages: tuple[str, ...], level: int | None, included: bool) -> None:
    text = f'layer {{ name: "x" type: "Input" top: "x" include {{ {rule} }} }}'
    assert bool(names(text, stages=stages, level=level)) is included


def test_one_of_several_include_rules_is_enough() -> None:
    text = 'layer { name: "x" type: "Input" top: "x" include { phase: TRAIN } include { stage: "deploy" } }'
    assert names(text, stages=("deploy",)) == ["x"]
    assert names(text) == []


def test_the_stages_of_the_net_itself_count_and_its_level_does_not() -> None:
    text = (
        'state { stage: "a" level: 3 } layer { name: "x" type: "Input" top: "x" include { stage: "a" min_level: 3 } }'
    )
    assert names(text, level=3) == ["x"]
    assert names(text, level=3, stages=("b",)) == ["x"]
    assert names(text) == []


def test_include_and_exclude_in_one_layer_are_refused() -> None:
    text = 'layer { name: "x" type: "Input" top: "x" include { phase: TEST } exclude { phase: TRAIN } }'
    with pytest.raises(NetError, match='layer "x" has include and exclude rules'):
        graph_of(text)


def test_an_unknown_phase_is_refused() -> None:
    with pytest.raises(NetError, match="TRAIN and TEST"):
        graph_of(PHASES, phase="DEPLOY")


def test_legacy_input_dims_become_an_input_node() -> None:
    text = 'input: "a" input: "b" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 9 ' + "input_dim: 2 " * 4
    graph = build_graph(parse_net(text + layer("ReLU", bottom="a")))
    node = graph.nodes[0]
    assert (node.index, node.type, node.tops) == (-1, "Input", (Blob("a", 0), Blob("b", 0)))
    assert [list(shape.dim) for shape in node.layer.input_param.shape] == [[1, 3, 8, 9], [2, 2, 2, 2]]
    assert graph.nodes[1].index == 0


def test_legacy_input_shapes_become_an_input_node() -> None:
    graph = graph_of('input: "a" input_shape { dim: 4 dim: 7 }')
    assert [list(shape.dim) for shape in graph.nodes[0].layer.input_param.shape] == [[4, 7]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'input: "a" input_dim: 1 input_dim: 2',
            "expected .* 4 input_dim for each of 1 inputs, found 0 input_shape and 2 input_dim",
        ),
        ('input: "a" input: "b" input_shape { dim: 1 }', "for each of 2 inputs, found 1 input_shape"),
        (data(1) + layer("ReLU", bottom="dta"), r'layer "layer" needs the blob "dta", .* did you mean "data"\?'),
        (layer("ReLU", bottom="x"), 'needs the blob "x", which no layer makes$'),
        (layer("ReLU", bottom="x", top="x"), "which it makes itself: the layers form a cycle"),
        (
            layer("ReLU", bottom="b", top="a", name="one") + layer("ReLU", bottom="a", top="b", name="two"),
            'layer "one" needs the blob "b", which is made only by the later layer "two": .* out of order or '
            "form a cycle",
        ),
        (data(1) + data(1, name="data"), 'makes the blob "data", but layer "data" already makes it'),
        (layer("Input", bottom="", top="a a"), 'layer "layer" makes the blob "a", but layer "layer" already makes it'),
        (
            data(1) + data(1, name="other") + layer("Eltwise", bottom="other data", top="data"),
            'makes the blob "data", but layer "data" already makes it',
        ),
        (
            'layer { name: "t" type: "Input" top: "x" include { phase: TRAIN } }' + layer("ReLU", bottom="x"),
            'which layer "t" makes, but not in phase TEST',
        ),
    ],
)
def test_what_caffe_could_not_build_is_refused(text: str, message: str) -> None:
    with pytest.raises(NetError, match=message) as error:
        graph_of(text, source="deploy.prototxt")
    assert str(error.value).startswith("deploy.prototxt: ")
