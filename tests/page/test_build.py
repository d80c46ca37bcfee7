"""What the frame of a page tells: totals, problems, settings and costs, of nets of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.errors import NetError, SurgeryError
from caffe_fcn.net.objections import Severity
from caffe_fcn.page.options import ReportOptions
from caffe_fcn.page.records import Page, Section
from caffe_fcn.page.render import percent, render
from tests.page.pages import page_of, parsed
from tests.paths import GOLDEN, ROOT

DIGITS = ROOT / "models" / "digits"
LENET = GOLDEN / "conversions" / "lenet"
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }\n'
CONV = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 0.1 } param { decay_mult: 2 }
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.01 } } }
"""
TRAINING = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        data_param { source: "db" batch_size: 4 backend: LMDB } transform_param { crop_size: 9 mirror: true } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def page_with(text: str, tmp_path: Path, options: ReportOptions | None = None) -> Page:
    """The page of the net TEXT."""
    path = tmp_path / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    return page_of(path, options=options)


def test_settings_are_those_of_the_file(tmp_path: Path) -> None:
    layers = page_with(INPUT + CONV, tmp_path).layers
    assert [(fact.term, fact.value) for fact in layers[0].settings] == [("shape", "1×3×9×9")]
    assert [(fact.term, fact.value) for fact in layers[1].settings] == [
        ("param", "{lr_mult: 0.1}, {decay_mult: 2}"),
        ("num_output", "4"),
        ("pad", "1"),
        ("kernel_size", "3"),
        ("weight_filler: type", "gaussian"),
        ("weight_filler: std", "0.01"),
    ]


def test_one_minus_sign(tmp_path: Path) -> None:
    power = 'layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { scale: -0.5 } }\n'
    concat = 'layer { name: "c" type: "Concat" bottom: "data" top: "c" concat_param { axis: -3 } }\n'
    pad = CONV.replace("pad: 1", "pad: 2")
    page = page_with(INPUT + power + concat + pad, tmp_path)
    assert {fact.value for layer in page.layers for fact in layer.settings} >= {"−0.5", "−3"}
    assert [fact.value for fact in page.layers[-1].geometry if fact.term == "offset"] == ["−1"]


def test_costs_say_for_which_input(tmp_path: Path) -> None:
    for size, told in ((None, "data 1×3×9×9"), ((30, 40), "data 1×3×30×40")):
        page = page_with(INPUT + CONV, tmp_path, ReportOptions(input_size=size))
        assert page.inputs == told and f"For the input {told}." in render(page)


def test_a_long_list_is_shortened(tmp_path: Path) -> None:
    points = " ".join(f"slice_point: {point}" for point in range(1, 30))
    tops = " ".join(f'top: "{top}"' for top in range(30))
    text = INPUT.replace("dim: 3", "dim: 30")
    layer = f'layer {{ name: "cut" type: "Slice" bottom: "data" {tops} slice_param {{ {points} }} }}'
    cut = page_with(text + layer, tmp_path).layers[1]
    assert cut.settings[0].value == "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, and 17 more"
    assert len(cut.tops) == 30


def test_shares_are_of_the_whole_net(tmp_path: Path) -> None:
    layers = page_of(DIGITS / "digits.prototxt").layers
    assert sum(layer.macs.share for layer in layers) == pytest.approx(1)
    assert sum(layer.memory.share for layer in layers) == pytest.approx(1)
    assert [percent(share) for share in (0, 1e-6, 0.0123, 0.5, 1)] == ["0%", "< 0.1%", "1.2%", "50.0%", "100.0%"]


def test_the_geometry_and_why_it_is_not_exact(tmp_path: Path) -> None:
    conv = page_with(INPUT + CONV, tmp_path).layers[1]
    assert [fact.value for fact in conv.geometry] == ["3 pixels", "1", "0", "away from the borders"]
    assert conv.inexact == ("conv pads",) and conv.window == (9, "3")


def test_many_reasons_are_summed_up(tmp_path: Path) -> None:
    text, bottom = INPUT, "data"
    for number in range(40):
        name = f"conv{number}"
        text += CONV.replace('"conv"', f'"{name}"').replace('"data"', f'"{bottom}"')
        bottom = name
    page = page_with(text, tmp_path)
    assert page.layers[-1].inexact == ("conv0, conv1, conv2, and 37 more pad",)
    assert len(render(page)) < 400_000


def test_unknown_shapes_are_told(tmp_path: Path) -> None:
    swirl = 'layer { name: "s" type: "Swirl" bottom: "data" top: "s" }\n'
    page = page_with(INPUT + swirl + CONV.replace('"data"', '"s"'), tmp_path)
    assert [blob.shape for layer in page.layers for blob in layer.tops] == ["1×3×9×9", "?", "?"]
    assert page.layers[2].macs.text == "?" and page.layers[2].macs.value is None
    assert page.layers[1].family == "unknown"
    (problem,) = page.problems
    assert (problem.severity, problem.layer, problem.anchor) == (Severity.BVLC, "s", "layer-2")
    assert any("'s'" in note and "shape" in note for note in page.notes)
    told = {fact.term: (fact.value, fact.exact) for fact in page.totals}
    assert told["activations"] == ("≥ 972 B", "unknown for 2 layers")
    assert told["parameters"] == ("?", "unknown for 2 layers")
    assert parsed(render(page))


def test_a_training_net(tmp_path: Path) -> None:
    page = page_with(TRAINING, tmp_path)
    assert page.subtitle[-1] == "phase TRAIN" and [layer.name for layer in page.layers] == ["data", "ip", "loss"]
    assert any("phase TRAIN" in note for note in page.notes)
    totals = {fact.term: fact.value for fact in page.totals}
    assert totals["inputs"] == "data 4×3×9×9, label 4" and totals["output"] == "loss scalar"


def test_what_is_a_problem_is_not_a_note_too(tmp_path: Path) -> None:
    text = INPUT + CONV.replace(" pad: 1", "")
    text += 'layer { name: "cut" type: "Crop" bottom: "data" bottom: "conv" top: "cut" }\n'
    page = page_with(text, tmp_path)
    assert [problem.layer for problem in page.problems if "it has no offset" in problem.message] == ["cut"]
    assert not [note for note in page.notes if "Crop" in note]


def test_weights_that_do_not_fit_are_problems() -> None:
    page = page_of(DIGITS / "digits.prototxt", LENET / "net.caffemodel")
    first = page.problems[0]
    assert first.severity is Severity.ERROR and "expected" in first.message and first.anchor == "layer-2"
    assert not any("expected" in note for note in page.notes)
    assert parsed(render(page))


def test_missing_and_foreign_weights_are_problems(tmp_path: Path) -> None:
    text = (LENET / "net.prototxt").read_text(encoding="utf-8").replace('name: "ip1"', 'name: "other"')
    path = tmp_path / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    told = {problem.message: problem.severity for problem in page_of(path, LENET / "net.caffemodel").problems}
    assert [severity for message, severity in told.items() if message.endswith("parameters: other")] == [Severity.ERROR]
    assert Severity.INFORMATION in [severity for message, severity in told.items() if message.endswith("not have: ip1")]


def test_a_net_alone_says_what_needs_its_weights() -> None:
    page = page_of(DIGITS / "digits.prototxt")
    assert [left.section for left in page.left_out] == list(Section)
    assert page.reasons == (("weights, activations and dense map", "no weights were given"),)
    assert [each.text for each in parsed(render(page)).all("li") if "no weights were given" in each.text] == [
        "This page has no weights, activations and dense map: no weights were given"
    ]


def test_weights_alone_say_what_needs_a_net() -> None:
    page = page_of(LENET / "variants" / "net.caffemodel.h5")
    assert page.reasons == (("activations and dense map", "there are only weights, no net"),)


def test_weights_alone_are_listed() -> None:
    page = page_of(LENET / "variants" / "net.caffemodel.h5")
    assert not page.layers and page.graph is None and len(page.stored) == 8
    first = page.stored[0]
    assert first[:4] == ("conv1", "0", "6×1×5×5", "float32") and first.numbers[:2] == ("150", "600 B")
    assert all(float(number.replace("−", "-")) for number in first.numbers[2:]) and len(first.numbers) == 5
    assert "6×1×5×5" in [each.text for each in parsed(render(page)).all("td")]


def test_the_net_inside_a_caffemodel() -> None:
    page = page_of(DIGITS / "digits.caffemodel")
    assert len(page.layers) == 11 and not page.problems
    assert not [problem.place for problem in page.problems if problem.place]


def test_another_input_size(tmp_path: Path) -> None:
    page = page_with(INPUT + CONV, tmp_path, ReportOptions(input_size=(30, 40)))
    assert page.layers[1].tops[0].shape == "1×4×30×40" and page.graph is not None and "1×4×30×40" in page.graph.svg
    with pytest.raises(SurgeryError, match="does not suit the net"):
        page_of(DIGITS / "digits.prototxt", options=ReportOptions(input_size=(30, 40)))


def test_an_impossible_net_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetError, match="nowhere"):
        page_with(INPUT + CONV.replace('bottom: "data"', 'bottom: "nowhere"'), tmp_path)
