"""What is wrong with a prototxt: problems, each with its place, and no false alarms."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.problems import Findings, Problem, Severity, examine
from tests.passes.nets import conv, data, fc, layer

NET = data() + fc("fc", "data", 3)
SOLVER = 'net: "train_val.prototxt"\nbase_lr: 0.01\nlr_policy: "step"\nsolver_mode: GPU\ntest_iter: 10\ntest_iter: 20\n'
V1 = """\
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: KERNEL } }
layers { name: "ip" type: INNER_PRODUCT bottom: "c" top: "ip" inner_product_param { num_output: 2 } }
"""
V0 = """\
input: "data"
input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "c" type: "conv" num_output: 2 kernelsize: KERNEL } bottom: "pad" top: "c" }
"""
TRAIN, TEST = "include { phase: TRAIN }", "include { phase: TEST }"


def look(text: str | bytes, selection: Selection = ANY_NET) -> Findings:
    return examine(text if isinstance(text, bytes) else text.encode(), "net.prototxt", selection)


def told(problems: tuple[Problem, ...]) -> list[str]:
    return [f"{each.line}:{each.column} {each.message}" for each in problems]


def errors(text: str | bytes, selection: Selection = ANY_NET) -> list[str]:
    return told(look(text, selection).errors)


def notes(text: str | bytes, selection: Selection = ANY_NET) -> list[str]:
    found = look(text, selection)
    assert found.errors == ()
    return told(found.notes)


# ---- Nothing wrong ----


@pytest.mark.parametrize(
    ("text", "kind", "form"),
    [
        (NET, "net", "V2"),
        (V1.replace("KERNEL", "3"), "net", "V1"),
        (V0.replace("KERNEL", "3"), "net", "V0"),
        (SOLVER, "solver", None),
        ("\ufeff# a solver\r\nbase_lr: 0.01\r\n", "solver", None),
        ('debug_info: true train_net: "x"', "solver", None),
        ("net_param { layer { name: 'a' type: 'Input' top: 'a' } }", "solver", None),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_nets_of_any_age_and_solvers_are_right(text: str, kind: str, form: str | None) -> None:
    assert look(text) == Findings(kind, form)


def test_what_the_file_does_not_tell_is_no_problem() -> None:
    images = layer("data", "Data", "", "data label", "data_param { batch_size: 4 }")
    odd = layer("odd", "Python", "data")
    assert look(images + conv("c", "data", 3) + odd + fc("fc", "odd", 3)) == Findings("net", "V2")


# ---- Neither a net nor a solver ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1 expected a net or a solver, found an empty file"),
        ("# nothing\n", "1:1 expected a net or a solver, found an empty file"),
        (
            '# labels\nthing { name: "cat" }\n',
            "2:1 expected a net or a solver, found neither: the field 'thing' does not show which",
        ),
        (
            "debug_info: true",
            "1:1 expected a net or a solver, found neither: the field 'debug_info' does not show which",
        ),
        (
            b"\x0a\x00\x01",
            "1:1 expected a prototxt (text), found a binary file; if it is the caffemodel, give the "
            "prototxt first, then the weights",
        ),
    ],
    ids=repr,
)
def test_other_files(text: str | bytes, expected: str) -> None:
    found = look(text)
    assert (found.kind, found.format, told(found.errors)) == (None, None, [expected])


def test_the_names_of_classes_are_no_error() -> None:
    """SSD's repositories have them beside their nets, under the same suffix."""
    found = look('item { name: "cat" label: 1 }\nitem { name: "dog" label: 2 }\n')
    assert (found.kind, found.format, found.problems) == ("labelmap", None, ())
    assert told(look("item { name: }").errors) != []


# ---- Errors ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('layer {\n  name: "a" type }\n', "2:18 expected ':' or '{' after 'type', found '}'"),
        (NET + "layer { relu_param { negative_slope: steep } }", "3:38 layer.relu_param.negative_slope: expected a"),
        (SOLVER + "max_iter: soon\n", "7:11 max_iter: expected a whole number, found soon"),
        (SOLVER + "base_lr: 0.1\n", "7:1 base_lr is given twice"),
        ("force_backward: true", "1:1 expected a net, found no layers"),
        ("net { }", "1:1 net is a single value"),
    ],
    ids=lambda value: value[-30:],
)
def test_errors_of_the_text_have_their_place(text: str, expected: str) -> None:
    (error,) = errors(text)
    assert error.startswith(expected) or error.split(" ", 1)[1].startswith(expected.split(" ", 1)[1])
    assert "\n" not in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NET + fc("b", "nowhere", 3), '3:1 layer "b" needs the blob "nowhere", which no layer makes'),
        (NET + layer("b", "ReLU", "data", "fc"), '3:1 layer "b" makes the blob "fc", but layer "fc" already makes it'),
        (NET + conv("c", "data", 3, 99), '3:1 layer "c" (Convolution): '),
        ("\n\n  " + data(shape="1 2 -3 4"), '3:3 layer "data" (Input): '),
        (data() + data(), '2:1 layer "data" makes the blob "data", but layer "data" already makes it'),
        (V1.replace("KERNEL", "99"), '2:1 layer "c" (Convolution): '),
        (V0.replace("KERNEL", "99"), '4:1 layer "c" (Convolution): '),
        (
            'name: "n"\n'
            + 'input: "data"\n'
            + "input_dim: 1 input_dim: 2 input_dim: 3 input_dim: -4\n"
            + fc("f", "data", 3),
            '2:1 layer "input" (Input): ',
        ),
        (
            'name: "n"\ninput: "data"\ninput_dim: 1\n' + fc("f", "data", 3),
            "1:1 expected an input_shape or 4 input_dim for each of 1 inputs",
        ),
        (NET + "layers { }\n", "3:1 the file mixes 'layer' and 'layers'"),
        ("layer [\n { name: 'a' type: 'ReLU' bottom: 'b' },\n { } ]", '2:2 layer "a" needs the blob "b"'),
    ],
    ids=lambda value: repr(value)[-50:],
)
def test_errors_of_a_layer_stand_where_it_does(text: str, expected: str) -> None:
    (error,) = errors(text)
    assert error.startswith(expected)
    assert "net.prototxt" not in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layers { name: 'a' type: NONE }\n", '3:1 layer "a": it has no type'),
        ("layers { layer { name: 'a' type: 'riddle' } }\n", '3:1 layer "a": unknown type "riddle"'),
        (
            "layers { layer { name: 'p' type: 'padding' pad: 1 } bottom: 'd' top: 'p' }\n"
            "layers { layer { name: 'r' type: 'relu' } bottom: 'p' top: 'r' }\n",
            '4:1 layer "r": expected a conv or pool layer',
        ),
    ],
)
def test_errors_of_an_upgrade_stand_where_the_layer_does(text: str, expected: str) -> None:
    (error,) = errors("input: 'd' input_dim: [1, 1, 4, 4]\nlayers: []\n" + text)
    assert error.startswith(expected)


def test_layers_of_another_phase_are_not_judged() -> None:
    text = NET + layer("n", "Normalize", "data", params=TRAIN)
    assert [note.split(" (")[0] for note in notes(text)] == ["3:1 BVLC Caffe has no layer type 'Normalize'"]
    assert look(text, Selection("TEST")).problems == ()
    assert len(look(text, Selection("TRAIN")).problems) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (layer("s", "Split", "data", "data other"), "it cannot work in place in Caffe"),
        (layer("s", "Slice", "data", "data other"), "it cannot work in place in Caffe"),
        (
            layer("d", "Data", "", "d", 'transform_param { mean_file: "m" mean_value: 1 }'),
            "has both mean_file and mean_value",
        ),
        (
            layer("d", "Data", "", "d", "transform_param { force_color: true force_gray: true }"),
            "which exclude each other",
        ),
        (layer("d", "ImageData", "", "d l", "image_data_param { new_height: 3 }"), "found one of them"),
        (
            layer("d", "DummyData", "", "d e f", "dummy_data_param { shape { dim: 1 } data_filler {} data_filler {} }"),
            "2 data_",
        ),
        (
            layer("s", "Scale", "data", params='scale_param { filler { type: "bilinear" } }'),
            "expected a square kernel over two axes",
        ),
        (
            layer("e", "Eltwise", "data data", params="eltwise_param { operation: PROD coeff: 1 coeff: 2 }"),
            "no coefficients",
        ),
        (layer("b", "BatchNorm", "data", params="param { lr_mult: 1 }"), "BVLC Caffe wants lr_mult: 0 in every param"),
        (layer("h", "HDF5Output", "data", ""), "BVLC Caffe takes 2, data and labels"),
    ],
)
def test_what_caffe_has_against_a_layer(text: str, expected: str) -> None:
    found = look(data(shape="1 2 8 10") + text).strictly().errors
    assert [expected in problem.message for problem in found] == [True]


def test_a_slice_of_one_part_works_in_place() -> None:
    assert look(data() + layer("s", "Slice", "data", "data")).problems == ()


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (layer("a", "ReLU", "d") + layer("x", "ReLU", "d", "d"), 'layer "a" reads too'),
        (layer("x", "ReLU", "d", "d") + layer("a", "ReLU", "d"), None),
        (layer("x", "ReLU", "d", "d") + layer("y", "ReLU", "d", "d"), None),
        (layer("x", "Eltwise", "d d", "d"), "it reads twice"),
        (layer("x", "Eltwise", "d data", "d"), None),
        (layer("x", "Slice", "d", "d"), None),
        (layer("l", "ReLU", "d", "l", "loss_weight: 1") + layer("x", "ReLU", "l", "l"), "has a loss_weight in"),
        (layer("l", "ReLU", "d", "l", "loss_weight: 0") + layer("x", "ReLU", "l", "l"), None),
        (layer("l", "ReLU", "d", "l") + layer("x", "ReLU", "l", "l", "loss_weight: 1"), None),
    ],
)
def test_only_the_one_use_of_a_blob_may_be_in_place(layers: str, expected: str | None) -> None:
    found = look(data() + layer("d", "Power", "data", "d") + layers).errors
    assert [expected is not None and expected in problem.message for problem in found] == [True] * bool(expected)
    assert all(problem.message.startswith('layer "x" ') for problem in found)


def test_an_empty_blob_is_information() -> None:
    text = data() + layer("p", "Pooling", "data", params="pooling_param { kernel_size: 9 }") + layer("r", "ReLU", "p")
    found = look(text).strictly()
    assert [(each.severity, each.message) for each in found.notes] == [
        (Severity.INFORMATION, 'layer "p" (Pooling): its top "p" has no values (1×2×0×2)')
    ]
    assert found.errors == ()


def test_an_input_layer_without_a_shape_is_refused_by_caffe_where_axes_are_needed() -> None:
    text = layer("data", "Input", "", "data")
    assert look(text + layer("r", "ReLU", "data")).problems == ()
    (note,) = notes(text + conv("c", "data", 1))
    assert note.startswith("1:1 Caffe cannot load the net while 'data' has no shape (layer \"c\" (Convolution): ")
    assert look(text + conv("c", "data", 1), Selection(shapes={"data": (1, 1, 4, 4)})).problems == ()


def test_a_name_within_a_name_is_not_taken_for_it() -> None:
    named = layer("a", "ReLU", "data", "x") + layer('a\\" needs', "ReLU", "nowhere", "y")
    assert errors(NET + named)[0].startswith("4:1 ")


def test_every_phase_is_looked_at() -> None:
    both = data() + conv("c", "data", 3)
    assert errors(both + layer("loss", "ReLU", "nowhere", params=TRAIN) + fc("a", "c", 3, params=TEST)) == [
        '3:1 layer "loss" needs the blob "nowhere", which no layer makes (in phase TRAIN)'
    ]


def test_a_phase_with_an_impossible_shape_is_named() -> None:
    def windowed(rules: str, kernel: int) -> str:
        params = f"{rules} convolution_param {{ num_output: 2 kernel_size: {kernel} }}"
        return layer("c", "Convolution", "data", params=params)

    (error,) = errors(data() + windowed(TRAIN, 99) + windowed(TEST, 3))
    assert error.startswith('2:1 layer "c" (Convolution): ') and error.endswith(" (in phase TRAIN)")
    train, test = errors(data() + windowed(TRAIN, 99) + windowed(TEST, 98))
    assert train.startswith("2:1 ") and train.endswith("(in phase TRAIN)")
    assert test.startswith("3:1 ") and test.endswith("(in phase TEST)")


def test_the_same_error_in_both_phases_is_told_once() -> None:
    net = data() + conv("c", "data", 3, 99) + layer("x", "ReLU", "data", params=TRAIN)
    (error,) = errors(net)
    assert "(in phase" not in error
    (error,) = errors(data() + fc("c", "nowhere", 3) + layer("x", "ReLU", "data", params=TRAIN))
    assert "nowhere" in error


# ---- Phases, stages and levels that a file is not made for ----

LOSS = layer("loss", "SoftmaxWithLoss", "fc label")


def images(rules: str, top: str = "data") -> str:
    return layer("data", "Data", "", f"{top} label", f"{rules} transform_param {{ crop_size: 8 }}")


def test_a_net_for_training_only_is_right() -> None:
    assert look(images(TRAIN) + fc("fc", "data", 3) + LOSS) == Findings("net", "V2")
    assert look(images("exclude { phase: TEST }") + fc("fc", "data", 3) + LOSS).errors == ()


def test_a_phase_without_data_is_a_note() -> None:
    accuracy = layer("accuracy", "Accuracy", "fc label", params=TEST)
    (note,) = notes(images(TRAIN) + fc("fc", "data", 3) + LOSS + accuracy)
    assert note.startswith('2:1 phase TEST has no data and cannot be built: layer "fc" needs the blob "data"')
    (note,) = notes(images("exclude { phase: TEST }") + fc("fc", "data", 3) + accuracy)
    assert note.startswith("2:1 phase TEST")


def test_a_phase_with_data_that_cannot_be_built_is_an_error() -> None:
    text = images(TRAIN) + images(TEST, "dta") + fc("fc", "data", 3) + LOSS
    assert errors(text)[0].startswith('3:1 layer "fc" needs the blob "data", which layer "data" makes, but not in')
    text = images(TRAIN) + images("exclude { phase: TRAIN }", "dta") + fc("fc", "data", 3) + LOSS
    assert errors(text)[0].startswith('3:1 layer "fc" needs')


def test_stages_are_tried_one_by_one() -> None:
    """As DIGITS writes nets: all of train, val and deploy in one file."""
    text = (
        images('include { stage: "train" }')
        + layer("in", "Input", "", "data", 'include { stage: "deploy" } input_param { shape { dim: [1, 3, 8, 8] } }')
        + conv("c", "data", 3, 9)
        + fc("fc", "c", 3)
        + layer("loss", "SoftmaxWithLoss", "fc label", params='exclude { stage: "deploy" }')
    )
    (error,) = errors(text)
    assert error.startswith('3:1 layer "c" (Convolution): ')
    assert errors(text.replace("kernel_size: 9", "kernel_size: 3")) == []
    assert errors(text.replace("kernel_size: 9", "kernel_size: 3"), Selection(stages=("nope",))) != []


def test_stages_within_a_phase_are_tried() -> None:
    train, deploy = 'include { phase: TRAIN stage: "train" }', "input_param { shape { dim: [1, 3, 8, 8] } }"
    text = images(train) + layer("in", "Input", "", "data", f"{TEST} {deploy}") + fc("fc", "data", 3)
    (note,) = notes(text)
    assert note.startswith(
        "3:1 phase TRAIN cannot be built at level 0 without a stage, Caffe's defaults, but can with "
    )
    assert "stage 'train': layer \"fc\" needs the blob" in note
    assert look(text, Selection(stages=("train",))).errors == ()


def test_levels_are_tried_one_by_one() -> None:
    level = layer("data", "Input", "", "data", "include { min_level: 3 } input_param { shape { dim: 1 } }")
    assert errors(level + layer("r", "ReLU", "data")) == []
    assert errors(level + layer("r", "ReLU", "data"), Selection(level=2)) != []
    assert errors(level.replace("min_level: 3", "max_level: -1") + layer("r", "ReLU", "data")) == []


def test_a_phase_asked_for_must_be_right() -> None:
    text = images(TRAIN) + fc("fc", "data", 3) + LOSS
    assert errors(text, Selection("TEST")) != []
    assert errors(text, Selection("TRAIN")) == []


def test_shapes_can_be_given() -> None:
    text = layer("data", "Data", "", "data", "data_param { batch_size: 1 }") + conv("c", "data", 3, 9)
    assert errors(text) == []
    assert errors(text, Selection(shapes={"data": (1, 3, 9, 9)})) == []
    assert errors(text, Selection(shapes={"data": (1, 3, 8, 8)}))[0].startswith('2:1 layer "c"')
    assert errors(text, Selection(shapes={"dta": (1, 3, 8, 8)})) == [
        "1:1 a shape was given for 'dta', but the net has no such blob"
    ]
    assert "shapes" in errors(NET, Selection(shapes={"data": (1, 2, 3, 4)}))[0]


# ---- Notes ----


def test_unknown_fields_are_noted_once_each() -> None:
    text = NET + "".join(
        layer(f"r{i}", "ReLU", "data", params="new_param { x: 1 } phase: TEST blah: 3") for i in range(3)
    )
    unknown = "is unknown to BVLC Caffe (3 times, first here), and is not in any known fork, so its effect is unknown"
    assert notes(text)[:1] == [f"3:58 new_param {unknown}"]
    assert notes(text)[1].endswith(f"blah {unknown}")
    assert notes(SOLVER + "cpu_only: true\n") == ["7:1 cpu_only is unknown to BVLC Caffe"]


def test_enumerators_of_forks_are_noted() -> None:
    text = NET + layer("p", "Pooling", "data", params="pooling_param { pool: MEDIAN kernel_size: 2 }")
    (note,) = notes(text)
    assert note.partition(" ")[2] == (
        "pooling_param.pool: MEDIAN is unknown to BVLC Caffe, and changes answers in a fork of Caffe; this is not "
        "supported"
    )


def test_fields_of_forks_that_are_known_here_are_noted_too() -> None:
    params = "convolution_param { num_output: 1 kernel_size: 1 hole: 2 engine: MKLDNN odd: 1 }"
    text = NET + layer("c", "Convolution", "data", params=params) + layer("p", "Permute", "data")
    told = [
        note.split(" ", 1)[1] for note in notes(text, Selection(ignore_fields=frozenset({"convolution_param.odd"})))
    ]
    assert told[:3] == [
        "convolution_param.hole is unknown to BVLC Caffe, and is applied as in the forks of Caffe",
        "convolution_param.engine: MKLDNN is unknown to BVLC Caffe, and has no effect on shapes and answers",
        "convolution_param.odd is unknown to BVLC Caffe, and is ignored, as requested",
    ]


def test_a_field_to_be_ignored_must_be_there() -> None:
    assert errors(NET, Selection(ignore_fields=frozenset({"relu_param.odd"}))) == [
        "1:1 the net has no field relu_param.odd whose effect could be ignored; it has: none"
    ]


def test_what_caffe_refuses_although_it_is_plain_is_noted() -> None:
    quoted = 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: "MAX" kernel_size: 2 } }'
    assert notes(NET + quoted) == ["3:81 layer.pooling_param.pool is written in a form that Caffe refuses"]
    assert notes(SOLVER.replace("GPU", "'GPU'")) == ["4:14 solver_mode is written in a form that Caffe refuses"]


def test_foreign_layer_types_are_noted() -> None:
    text = NET + layer("n", "Normalize", "data") + layer("n2", "Normalize", "data") + layer("c", "Convolutoin", "data")
    assert notes(text) == [
        "3:1 BVLC Caffe has no layer type 'Normalize' (2 times, first here)",
        "5:1 BVLC Caffe has no layer type 'Convolutoin'; did you mean Convolution?",
    ]


@pytest.mark.parametrize(
    ("written", "shown"),
    [(r"Convolution\nXX", "'Convolution?XX'; did you mean Convolution?"), ("x" * 300, f"'{'x' * 99}…'")],
    ids=["a line end", "long"],
)
def test_a_foreign_type_is_shown_on_one_line_and_not_too_long(written: str, shown: str) -> None:
    assert notes(NET + layer("c", written, "data")) == [f"3:1 BVLC Caffe has no layer type {shown}"]


def test_strictly_notes_are_errors_in_the_order_of_the_text() -> None:
    found = look(NET + layer("n", "Normalize", "data") + conv("c", "data", 1, 99) + layer("m", "Mystery", "data"))
    assert [problem.line for problem in found.errors] == [4]
    strict = found.strictly()
    assert [problem.line for problem in strict.errors] == [3, 4, 5] and strict.notes == ()


# ---- Hostile ----


@pytest.mark.thorough
@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from("{}[]:\"'#\n\\0-. aé\0")), max_size=4),
    st.sampled_from([NET, V0.replace("KERNEL", "3"), V1.replace("KERNEL", "3"), SOLVER]),
)
def test_damaged_text_is_told_in_one_line_each(changes: list[tuple[int, str]], text: str) -> None:
    for place, char in changes:
        text = text[:place] + char + text[place + 1 :]
    found = look(text)
    for line, column, message, _ in found.problems:
        assert line >= 1 and column >= 1
        assert message and message.isprintable()


def test_names_cannot_steer_the_terminal() -> None:
    for text in (data() + layer(r"a\n\033[2J", "ReLU", "no\033where"), data() + layer(r"a\n\033[2J", "x\033", "data")):
        found = look(text)
        assert all(message.isprintable() for _, _, message, _ in found.problems)
