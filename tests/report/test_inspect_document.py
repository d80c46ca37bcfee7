"""The documents of an inspection for programs: JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError

from caffe_fcn import __version__
from caffe_fcn.inspection.records import Inspection, InspectSettings
from caffe_fcn.report.inspect_document import document, to_csv, to_json
from tests.cli.conftest import trained
from tests.files.encodings import layer as record
from tests.files.encodings import model, packed, shape_field
from tests.net.nets import data, layer
from tests.paths import GOLDEN, ROOT
from tests.report.inspections import CONV, FC, LENET, MODELS, NET, Bench, shown

SCHEMA = json.loads((ROOT / "docs" / "schema" / "inspect.json").read_text(encoding="utf-8"))


def various(bench: Bench) -> Iterator[Inspection]:
    """Inspections of all kinds."""
    lenet, weights = LENET / "net.prototxt", LENET / "net.caffemodel"
    yield bench.files(lenet)
    yield bench.files(lenet, None, InspectSettings(geometry=True, layers=("ip*",)))
    yield bench.files(GOLDEN / "conversions" / "flatten" / "net.prototxt")
    yield bench.files(lenet, weights, InspectSettings(statistics=True))
    yield bench.files(weights, None, InspectSettings(statistics=True))
    yield bench.files(LENET / "variants" / "v1.caffemodel")
    yield bench.files(GOLDEN / "conversions" / "resnet" / "net.caffemodel", None, InspectSettings(geometry=True))
    yield bench.files(MODELS / "googlenet.prototxt", None, InspectSettings(geometry=True))
    yield bench.text(data(1, 3, 8, 8) + layer("Convolution", CONV), input_size=(16, 16))
    yield bench.files(ROOT / "tests" / "files" / "documents" / "v0.in.prototxt", None, InspectSettings(geometry=True))
    yield bench.text(layer("HDF5Data", "", "", "data label", "h5") + layer("InnerProduct", FC), geometry=True)
    yield bench.text(NET.replace("inner_product_param", 'param { name: "w" } inner_product_param', 1))
    odd = np.array([np.nan, np.inf], "<f4")
    model(bench.path / "odd.caffemodel", record("a", [shape_field((2,)) + packed(5, odd), shape_field(())]))
    yield bench.files(bench.path / "odd.caffemodel", None, InspectSettings(statistics=True))


@pytest.mark.thorough
def test_documents_are_what_the_schema_says(bench: Bench) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    keys = set()
    for found in various(bench):
        made = json.loads(to_json(found), parse_constant=pytest.fail)
        assert made == document(found)
        validator.validate(made)
        keys.add(tuple(made))
    assert len(keys) == 1


def _objects(schema_part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema_part, dict):
        if "properties" in schema_part:
            yield path, schema_part
        for key, part in schema_part.items():
            yield from _objects(part, f"{path}/{key}")
    elif isinstance(schema_part, list):
        for index, part in enumerate(schema_part):
            yield from _objects(part, f"{path}/{index}")


def test_the_schema_describes_every_key_and_allows_no_other() -> None:
    for path, part in _objects(SCHEMA):
        assert part["additionalProperties"] is False, path
        assert part["required"] == list(part["properties"]), path
        assert all("description" in each or "$ref" in each for each in part["properties"].values()), path


@pytest.mark.parametrize("change", ["missing", "further", "wrong"])
def test_a_document_that_differs_is_not_what_the_schema_says(bench: Bench, change: str) -> None:
    made = document(bench.files(LENET / "net.prototxt"))
    if change == "missing":
        del made["layers"][0]["macs"]
    elif change == "further":
        made["layers"][0]["flops"] = 1
    else:
        made["totals"]["parameters"] = "8,474"
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMA).validate(made)


def test_the_document_in_full(bench: Bench) -> None:
    made = document(bench.text('name: "n"' + NET, layers=("a",), geometry=True))
    path = str(bench.path / "net.prototxt")
    sums = {"layers": 3, "parameters": 50, "statistics": 0, "macs": 40, "activation_bytes": 52}
    unknown = {"parameters": 0, "macs": 0, "activation_bytes": 0}
    assert made == {
        "caffe_fcn": __version__,
        "net": path,
        "name": "n",
        "format": "V2",
        "phase": "TEST",
        "weights": None,
        "input_size": None,
        "inputs": {"data": [1, 3]},
        "batch": 1,
        "layers": [
            {
                "name": "a",
                "type": "InnerProduct",
                "bottoms": ["data"],
                "tops": [{"name": "a", "shape": [1, 5], "in_place": False}],
                "parameters": 20,
                "statistics": 0,
                "macs": 15,
                "activation_bytes": 20,
                "parameter_shapes": [[5, 3], [5]],
                "shared_with": [],
                "geometry": None,
            }
        ],
        "misaligned": [],
        "totals": {**sums, "unknown": unknown},
        "selected": {
            "layers": 1,
            "parameters": 20,
            "statistics": 0,
            "macs": 15,
            "activation_bytes": 20,
            "unknown": unknown,
        },
        "groups": [],
        "blobs": [],
        "notes": [],
    }


def test_json_keeps_names_and_steers_no_terminal(bench: Bench) -> None:
    name = "a\x1b[31m\u009b1m é 漢 [1,\\n2]"
    text = to_json(bench.text(data(1, 3) + layer("ReLU", "", "data", "out", name.replace("\x1b", "\\033"))))
    assert not any((ord(character) < 32 and character != "\n") or 0x7F <= ord(character) < 0xA0 for character in text)
    assert "é 漢" in text
    assert json.loads(text)["layers"][1]["name"] == name.replace("\\n", "\n")


def test_shapes_stand_on_one_line_in_json(bench: Bench) -> None:
    text = to_json(bench.files(MODELS / "lenet.prototxt", None, InspectSettings(geometry=True)))
    assert '"shape": [1, 20, 24, 24],' in text
    assert '"offset": [2.5, 2.5],' in text


def rows(found: Inspection) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(found))))


def test_csv_of_layers(bench: Bench) -> None:
    found = rows(bench.files(MODELS / "alexnet.prototxt", None, InspectSettings(geometry=True)))
    assert len(found) == 24
    assert found[5] == {
        "name": "conv2",
        "type": "Convolution",
        "bottoms": "pool1",
        "tops": "conv2",
        "shapes": "1x256x27x27",
        "in_place": "no",
        "parameters": "307456",
        "statistics": "0",
        "macs": "223948800",
        "activation_bytes": "746496",
        "parameter_shapes": "256x48x5x5;256",
        "shared_with": "",
        "window": "51x51",
        "stride": "8x8",
        "offset": "9x9",
        "phases": "1x1",
        "exactness": "away from borders",
        "reasons": 'layer "conv2" pads',
    }
    assert found[-1]["window"] == ""
    assert sum(int(row["parameters"]) for row in found) == 60_965_224


def test_a_window_that_is_a_whole_axis_is_no_number(bench: Bench) -> None:
    """In the map, in each phase of it, in the table and in CSV; a fixed number would move on from cell to cell."""
    text = data(1, 2, 31, 41) + layer("Softmax", "softmax_param { axis: 3 }", "data", "along")
    text += layer("Pooling", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }", "along", "pool")
    text += layer("Deconvolution", "convolution_param { num_output: 2 kernel_size: 4 stride: 3 }", "pool", "up")
    found = bench.text(text, geometry=True)
    made = document(found)
    Draft202012Validator(SCHEMA).validate(made)
    up = made["layers"][-1]["geometry"]
    assert up["window"] == [4, None]
    assert [[phase["window"] for phase in axis] for axis in up["phases"]] == [[4, 2, 2], [None, None, None]]
    assert rows(found)[-1]["window"] == "4xall"
    assert any(" 2-4×all " in line for line in shown(found, 140).splitlines())


def test_csv_of_what_is_not_known_and_of_names_that_need_quotes(bench: Bench) -> None:
    text = layer("HDF5Data", "", "", "data label", "a,b") + layer("EuclideanLoss", "", "data label", "=1+1", 'q\\"q')
    first, second = rows(bench.text(text))
    assert (first["name"], first["tops"], first["shapes"], first["activation_bytes"]) == (
        "a,b",
        "data;label",
        "?;?",
        "",
    )
    assert (second["name"], second["tops"], second["shapes"]) == ('q"q', "=1+1", "scalar")
    assert "exactness" not in first


def test_csv_steers_no_terminal(bench: Bench) -> None:
    text = data(1, 3) + layer("ReLU", "", "data", "o\\033ut", "n\\033ame")
    assert "\x1b" not in to_csv(bench.text(text))
    weights = trained(("n\x1bame", "InnerProduct", [(3,)]))
    assert "\x1b" not in to_csv(bench.weights(weights, statistics=True))


def test_csv_of_blobs(bench: Bench) -> None:
    found = rows(bench.files(LENET / "net.prototxt", LENET / "net.caffemodel", InspectSettings(statistics=True)))
    assert [row["shape"] for row in found[:3]] == ["6x1x5x5", "6", "12x6x5x5"]
    assert float(found[0]["min"]) == pytest.approx(-0.24, abs=1e-3)
    without = rows(bench.files(LENET / "variants" / "v1.caffemodel"))
    assert list(without[0]) == ["layer", "index", "shape", "dtype", "values", "bytes"]
