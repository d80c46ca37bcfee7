"""What is told of a conversion: its lines for people, its document for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from caffe_fcn import __version__, schema
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.model.opening import meet
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.conversion import ConversionPlan, Settings, plan
from caffe_fcn.passes.convolutionalize.naming import Naming
from caffe_fcn.report.convert import document, lines
from caffe_fcn.schema import Message
from tests.passes.nets import conv, data, fc, layer, planned
from tests.paths import ROOT

POOL = layer("pool", "Pooling", "data", params="pooling_param { pool: AVE global_pooling: true }")
FULL = (
    data(shape="1 2 6 6")
    + conv("c", "data", 3)
    + layer("flat", "Flatten", "c")
    + fc("fc1", "flat", 50)
    + fc("score", "fc1", 4, "transpose: true bias_term: false")
    + data("tokens", "1 4 3")
    + layer("rows", "InnerProduct", "tokens", params="inner_product_param { num_output: 3 axis: -1 }")
    + layer("best", "ArgMax", "score")
)


def told(plan: ConversionPlan, *outputs: str, dry_run: bool = False) -> list[str]:
    return list(lines(plan, outputs, dry_run))


def with_weights(path: Path, text: str, weights: Message) -> ConversionPlan:
    (path / "w.caffemodel").write_bytes(weights.SerializeToString())
    with open_caffemodel(path / "w.caffemodel") as opened:
        return plan(meet(interpret(prototxt.parse(text, "net.prototxt")), opened), Settings())


def trained(**shapes: Sequence[tuple[int, ...]]) -> Message:
    net = schema.NetParameter()
    for name, blobs in shapes.items():
        each = net.layer.add(name=name, type="InnerProduct")
        for shape in blobs:
            count = 1
            for extent in shape:
                count *= extent
            each.blobs.add(shape={"dim": shape}, data=[0.5] * count)
    return net


# ---- For people ----


def test_the_report_of_alexnet() -> None:
    text = (ROOT / "models" / "alexnet.prototxt").read_text(encoding="utf-8")
    report = told(plan(meet(interpret(prototxt.parse(text, "alexnet.prototxt")), None), Settings()))
    assert report[0] == "alexnet.prototxt: 3 InnerProducts become Convolutions, called NAME-conv"
    assert [line.split() for line in report[1:4]] == [
        "fc6 256×6×6 → 4096 Convolution 6×6 37,752,832 parameters".split(),
        "fc7 4096×1×1 → 4096 Convolution 1×1 16,781,312 parameters".split(),
        "fc8 4096×1×1 → 1000 Convolution 1×1 4,097,000 parameters".split(),
    ]


def test_every_change_has_its_line_and_columns_are_aligned() -> None:
    assert told(planned(FULL, Settings(input_size=(40, 50))), "out.prototxt", "out.caffemodel") == [
        "net.prototxt: 2 InnerProducts become Convolutions, called NAME-conv",
        "  fc1    3×4×4 → 50  Convolution 4×4  2,450 parameters",
        "  score  50×1×1 → 4  Convolution 1×1  200 parameters    weights transposed",
        "  flat  Flatten dropped",
        "  best  axis: 1",
        "  data  input 40×50",
        "  output rows  1×4×3",
        "  output best  1×1×35×45",
        "left unchanged:",
        "  rows  works along axis -1 of its input, not along axis 1",
        "wrote out.prototxt, out.caffemodel",
    ]


def test_kept_names_are_not_told() -> None:
    report = told(planned(data() + fc("fc", "data", 3), naming=Naming("")))
    assert report == [
        "net.prototxt: 1 InnerProduct becomes a Convolution",
        "  fc  2×8×10 → 3  Convolution 8×10  483 parameters",
    ]


def test_reordered_columns_are_told() -> None:
    nhwc = layer("p", "Permute", "data", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
    text = data() + nhwc + layer("flat", "Flatten", "p") + fc("fc", "flat", 3, "transpose: true")
    assert told(planned(text))[1].endswith("483 parameters  weights transposed, columns reordered")


def test_windows_of_global_poolings_are_told() -> None:
    assert told(planned(data() + POOL + fc("fc", "pool", 3)))[1:] == [
        "  fc  2×1×1 → 3  Convolution 1×1  9 parameters",
        "  pool  global → window 8×10",
        "note: outputs of the net have other names: fc is now fc-conv",
    ]
    assert told(planned(data() + POOL))[0] == (
        "net.prototxt: no InnerProduct to convert; its global pooling becomes a window"
    )


def test_nothing_to_do_is_told() -> None:
    assert told(planned(data() + conv("c", "data", 3))) == ["net.prototxt: nothing to convert; the net is unchanged"]


def test_inputs_without_a_layer_are_told() -> None:
    text = 'input: "data" input_dim: 1 input_dim: 2 input_dim: 8 input_dim: 10\n' + fc("fc", "data", 3)
    assert "  input  input 20×20" in told(planned(text, Settings(input_size=(20, 20))))


@pytest.mark.parametrize(("dry_run", "word"), [(False, "wrote"), (True, "would write")])
def test_what_was_written_is_told_last(dry_run: bool, word: str) -> None:
    text = data() + fc("fc", "data", 3)
    assert told(planned(text), "a b.prototxt", "c", dry_run=dry_run)[-1] == f"{word} a b.prototxt, c"
    assert not any(word in line for line in told(planned(text), dry_run=dry_run))


def test_an_old_format_is_told() -> None:
    text = (
        'input: "data" input_dim: 1 input_dim: 2 input_dim: 8 input_dim: 10\n'
        'layers { name: "fc" type: INNER_PRODUCT bottom: "data" top: "fc" inner_product_param { num_output: 3 } }\n'
    )
    found = planned(text)
    note = "the file was in Caffe's old format V1; the new one is in the current format"
    assert f"note: {note}" in told(found)
    made = document(found, {}, False)
    assert made["format"] == "V1" and note in made["notes"]


def test_unknown_fields_are_told_once() -> None:
    last = layer("x", "ReLU", "fc2", params="my_field: 3") + layer("y", "ReLU", "x", params="my_field: 4")
    lines = told(planned(data() + fc("fc", "data", 3) + fc("fc2", "fc", 3) + last))
    notes = [line for line in lines if line.startswith("note: ")]
    assert notes[0].startswith('note: layers "x", "y": my_field is not in any known fork, so its effect is unknown')
    assert not any("my_field" in note for note in notes[1:])


def test_weights_that_are_missing_or_foreign_are_told(tmp_path: Path) -> None:
    text = data() + fc("fc", "data", 3) + fc("fc2", "fc", 3)
    held = {"fc": [(3, 160), (3,)]}
    found = with_weights(tmp_path, text, trained(**held, aux=[(1,)]))
    lines = told(found)
    assert lines[-1] == "note: 1 layer of the caffemodel is not in the net and copied unchanged: aux"
    assert any(line.endswith("holds no weights for layer 'fc2', without a filler in the net") for line in lines)
    more = {f"aux{number}": [(1,)] for number in range(6)}
    found = with_weights(tmp_path, text, trained(**held, fc2=[(3, 3), (3,)], **more))
    assert told(found)[-1] == (
        "note: 6 layers of the caffemodel are not in the net and copied unchanged: aux0, aux1, aux2, aux3, ..."
    )


# ---- For programs ----


def test_the_document_of_a_conversion() -> None:
    outputs: dict[str, str | None] = {"net": "out.prototxt", "weights": None}
    pool = layer("pool", "Pooling", "c", params="pooling_param { pool: AVE global_pooling: true }")
    text = FULL + pool
    made = document(planned(text, Settings(input_size=(40, 50))), outputs, True)
    assert made == json.loads(json.dumps(made))
    assert made == {
        "caffe_fcn": __version__,
        "net": "net.prototxt",
        "format": "V2",
        "weights": None,
        "outputs": outputs,
        "dry_run": True,
        "converted": [
            {
                "layer": "fc1",
                "name": "fc1-conv",
                "input": [3, 4, 4],
                "num_output": 50,
                "kernel": [4, 4],
                "parameters": 2450,
                "transposed": False,
                "reordered": False,
            },
            {
                "layer": "score",
                "name": "score-conv",
                "input": [50, 1, 1],
                "num_output": 4,
                "kernel": [1, 1],
                "parameters": 200,
                "transposed": True,
                "reordered": False,
            },
        ],
        "cut": [],
        "pooling": [{"layer": "pool", "kernel": [4, 4]}],
        "dropped": [{"layer": "flat", "type": "Flatten"}],
        "atrous": [],
        "left_alone": [
            {
                "layer": "rows",
                "type": "InnerProduct",
                "reason": "works along axis -1 of its input, not along axis 1",
            }
        ],
        "input_size": [40, 50],
        "input_channels": None,
        "output_shapes": {"pool": [1, 3, 35, 45], "rows": [1, 4, 3], "best": [1, 1, 35, 45]},
        "missing_weights": [],
        "copied_layers": [],
        "notes": [],
        "verification": None,
    }


def test_the_document_names_all_layers_that_were_copied(tmp_path: Path) -> None:
    more = {f"aux{number}": [(1,)] for number in range(6)}
    text = data() + fc("fc", "data", 3) + fc("fc2", "fc", 3)
    made = document(with_weights(tmp_path, text, trained(fc=[(3, 160), (3,)], **more)), {}, False)
    assert made["copied_layers"] == list(more)
    assert made["missing_weights"] == ["fc2"]
    assert made["weights"] == str(tmp_path / "w.caffemodel")


def test_a_document_without_a_new_size() -> None:
    made = document(planned(data() + fc("fc", "data", 3)), {}, False)
    assert made["input_size"] is None and made["dry_run"] is False
