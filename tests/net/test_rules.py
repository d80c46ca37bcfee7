"""What a message says of the `stages` and `level`s of a file, where the net that was asked for cannot be made."""

from __future__ import annotations

import pytest

from caffe_fcn.errors import NetError
from caffe_fcn.files.prototxt import parse
from caffe_fcn.net.options import Selection
from caffe_fcn.net.rules import Named, choices, named
from caffe_fcn.net.selection import graphs, known_to
from caffe_fcn.net.source import interpret
from tests.net.nets import data, graph_of, layer, parse_net


def template(*rules: str) -> str:
    """A net whose layer "reader" reads what a layer makes under each of RULES only."""
    made = "".join(
        layer("Power", f"include {{ {rule} }}", top="made", name=f"maker{n}") for n, rule in enumerate(rules)
    )
    return data(1, 3, 8, 8) + made + layer("ReLU", bottom="made", name="reader")


@pytest.mark.parametrize(
    ("rules", "chosen", "told"),
    [
        (["stage: 'a'"], {}, "in phase TEST without a stage; the file has the stage 'a'; choose with `stages`"),
        (
            ["stage: 'a' not_stage: 'b'", "stage: 'c'"],
            {"stages": ("b",)},
            "in phase TEST with the stage 'b'; the file has the stages 'a', 'b' and 'c'; choose with `stages`",
        ),
        (
            ["stage: 'a' min_level: 2"],
            {"stages": ("a",), "level": 1},
            "in phase TEST with the stage 'a' at level 1; the file has the stage 'a' and the level 2; choose with "
            "`stages` and `level`",
        ),
        (["phase: TRAIN"], {}, "in phase TEST without a stage; see `phase`"),
        (
            [f"stage: 's{n}'" for n in range(9)],
            {},
            "the stages 's0', 's1', 's2', 's3', 's4', 's5' and 3 more; choose with `stages`",
        ),
    ],
)
def test_stages_and_levels_are_listed(rules: list[str], chosen: dict[str, object], told: str) -> None:
    with pytest.raises(NetError) as error:
        graph_of(template(*rules), **chosen)
    assert str(error.value).endswith(told)
    assert 'which layer "maker0" makes, but not' in str(error.value)


def test_what_rules_name() -> None:
    net = parse_net(template("stage: 'b' stage: 'a' max_level: -1", "not_stage: 'a' min_level: 2 max_level: 2"))
    assert named(net) == Named(("b", "a"), (-1, 2))
    assert choices(parse_net(data(1))) == ""


def test_a_stage_of_no_rule_is_refused() -> None:
    """It would choose nothing; but it may be meant for another of several nets."""
    text = data(1, 3, 8, 8) + layer("ReLU", "exclude { stage: 'train' }")
    source = interpret(parse(text, "net"))
    asked = Selection(stages=("trian",))
    with pytest.raises(
        NetError, match="no layer has a rule for the stage 'trian'; the file has the stage 'train'; choose"
    ):
        graphs(source, asked)
    assert known_to(source, asked).stages == ()
    assert known_to(source, Selection(stages=("train",))).stages == ("train",)


def test_a_net_of_which_no_layer_is_chosen_is_refused() -> None:
    source = interpret(parse(layer("Input", "include { stage: 'deploy' }", bottom=""), "net"))
    with pytest.raises(
        NetError, match="no layer is in the chosen phase, TEST; the file has the stage 'deploy'; choose"
    ):
        graphs(source, Selection())
    assert len(graphs(source, Selection(stages=("deploy",)))["TEST"].nodes) == 1
