"""The JSON that commands print is what docs/schema says: every document is, and none that is otherwise."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tests.cli.conftest import CommandLine
from tests.passes.nets import data, fc, layer
from tests.passes.segment.nets import VGG
from tests.paths import GOLDEN, ROOT

SCHEMAS = {
    name: json.loads((ROOT / "docs" / "schema" / f"{name}.json").read_bytes())
    for name in ("convert", "check", "deploy", "fold", "reduce", "score", "segment")
}
CASES = sorted(path.parent for path in (GOLDEN / "conversions").glob("*/net.prototxt"))
POOL = layer("pool", "Pooling", "data", params="pooling_param { pool: AVE global_pooling: true }")
POOL2 = layer("p", "Pooling", "data", params="pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
FULL = (
    data(shape="1 2 6 6")
    + layer("flat", "Flatten", "data")
    + fc("fc1", "flat", 50)
    + fc("score", "fc1", 4)
    + data("tokens", "1 4 3")
    + layer("rows", "InnerProduct", "tokens", params="inner_product_param { num_output: 3 axis: -1 }")
    + POOL
    + fc("fc2", "pool", 2)
)
"""A net of which every list in the document tells something."""


def valid(schema: str, document: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMAS[schema]).is_valid(document))


def check(schema: str, document: Any) -> Any:
    """DOCUMENT, if the SCHEMA describes it."""
    jsonschema.Draft202012Validator(SCHEMAS[schema]).validate(document)
    return document


# ---- The schemas themselves ----


def parts(schema: Any, place: str = "#") -> Iterator[tuple[str, Any]]:
    """Every schema within SCHEMA, and where."""
    yield place, schema
    for key in ("$defs", "properties"):
        for name, part in schema.get(key, {}).items():
            yield from parts(part, f"{place}/{key}/{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key], f"{place}/{key}")
    for index, part in enumerate(schema.get("oneOf", [])):
        yield from parts(part, f"{place}/oneOf/{index}")


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMAS[name]["title"] == f"caffe-fcn {name} --json"


@pytest.mark.parametrize("name", SCHEMAS)
def test_everything_is_described_and_nothing_is_left_open(name: str) -> None:
    found = dict(parts(SCHEMAS[name]))
    assert len(found) > 10
    undescribed = [
        place
        for place, part in found.items()
        if "description" not in part and "$ref" not in part and part.get("type") != "null" and "oneOf" not in part
    ]
    assert undescribed == []
    for place, part in found.items():
        if part.get("type") == "object":
            assert "additionalProperties" in part, place
            assert set(part.get("required", ())) == set(part.get("properties", ())), place


# ---- convert ----


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_golden_conversion(cli: CommandLine, case: Path) -> None:
    weights = [case / "net.caffemodel"] if (case / "net.caffemodel").exists() else []
    document = cli.converts(case / "net.prototxt", *weights, "--out-dir", "out", "--json").document
    assert check("convert", document)[0]["converted"]
    alone = cli.converts(case / "net.prototxt", *weights, "--json", "--dry-run").document
    assert check("convert", alone)["dry_run"] is True


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--input-size", "40x50"],
        ["--names", "keep"],
        ["--skip", "*"],
        ["--only", "fc1", "--global-pooling", "keep"],
        ["--rename", "nothing=x"],
        ["--dry-run", "-o", "-"],
        ["--phase", "train"],
    ],
    ids=" ".join,
)
def test_options(cli: CommandLine, options: list[str]) -> None:
    cli.write(net=FULL)
    check("convert", cli.converts("net.prototxt", "--json", *options).document)


def full(cli: CommandLine) -> Any:
    """A document in which nothing is empty, but what needs weights, or none."""
    cli.write(net=FULL + layer("n", "Normalize", "tokens"))
    document = cli.converts("net.prototxt", "--json", "--input-size", "40x50", "--input-channels", "3").document
    empty = [key for key, value in document.items() if value in (None, [], {})]
    assert empty == ["weights", "cut", "atrous", "missing_weights", "copied_layers", "verification"]
    return document


def test_a_document_with_everything_in_it(cli: CommandLine) -> None:
    check("convert", full(cli))


def test_weights_that_lack_layers_or_have_more(cli: CommandLine) -> None:
    from tests.cli.conftest import trained

    cli.write(net=FULL)
    cli.write(net=trained(("fc1", "InnerProduct", [(50, 72), (50,)]), ("old", "InnerProduct", [(1, 1)])))
    document = check("convert", cli.converts("net.prototxt", "net.caffemodel", "--json").document)
    assert document["missing_weights"] and document["copied_layers"] and document["weights"]


def test_stdin_and_old_formats(cli: CommandLine) -> None:
    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\nlayers { name: "ip" type: INNER_PRODUCT '
    text += 'bottom: "data" top: "ip" inner_product_param { num_output: 2 } }'
    document = cli.converts("-", "--json", "-o", "x", stdin=text.encode()).document
    assert check("convert", document)["format"] == "V1"


def test_failures_stand_in_the_array(cli: CommandLine) -> None:
    cli.write(good=FULL, bad="layer {")
    document = cli.convert("good.prototxt", "bad.prototxt", "--out-dir", "out", "--json").document
    assert [("error" in each) for each in check("convert", document)] == [False, True]


def test_the_documents_of_the_library(cli: CommandLine) -> None:
    import caffe_fcn

    cli.write(net=FULL)
    check("convert", caffe_fcn.open("net.prototxt").convolutionalize().report())


# ---- fold ----

FOLDED = (
    data(shape="1 2 6 6")
    + layer("drop", "Dropout", "data")
    + fc("fc1", "drop", 3, "bias_term: false")
    + layer("bias", "Bias", "fc1", params="include { phase: TEST }")
    + layer("bn", "BatchNorm", "data")
    + layer("loss", "EuclideanLoss", "bias bn", params="include { phase: TRAIN }")
)
"""A net of which every list in the document tells something, but those on weights."""


def folded(cli: CommandLine) -> Any:
    cli.write(net=FOLDED + layer("n", "Normalize", "data"))
    document = cli.run("fold", "net.prototxt", "--phase", "test", "--json").document
    empty = [key for key, value in document.items() if value in (None, [], {})]
    assert empty == ["weights", "missing_weights", "copied_layers", "verification"]
    return document


def test_a_fold_with_everything_in_it(cli: CommandLine) -> None:
    check("fold", folded(cli))


@pytest.mark.parametrize("case", ["dropout", "preactivation"])
def test_folds_that_are_verified(cli: CommandLine, case: str) -> None:
    files = [GOLDEN / "folds" / case / name for name in ("net.prototxt", "net.caffemodel")]
    document = cli.run("fold", *files, "-o", "a", "-w", "b", "--json", "--verify").document
    assert check("fold", document)["verification"]["holds"]


# ---- reduce ----


def reduced(cli: CommandLine) -> Any:
    cli.write(
        net=data(shape="1 2 6 6") + POOL2 + fc("fc1", "p", 50) + fc("score", "fc1", 4) + layer("n", "Mystery", "p")
    )
    document = cli.run("reduce", "net.prototxt", "fc1=10:2", "--json", "--dry-run").document
    empty = [key for key, value in document.items() if value in (None, [], {})]
    assert empty == ["weights", "left_alone", "missing_weights", "copied_layers", "verification"]
    assert document["reduced"][0]["kernel"]["behind"] == ["p"]
    return document


def test_a_reduction_with_everything_in_it(cli: CommandLine) -> None:
    check("reduce", reduced(cli))


# ---- deploy ----

TRAINED = (
    layer("d", "Data", "", "data label", "include { phase: TRAIN } data_param { batch_size: 4 }")
    + layer("t", "Data", "", "data label", "include { phase: TEST } transform_param { crop_size: 6 scale: 2 }")
    + fc("fc", "data", 3)
    + layer("drop", "Dropout", "fc")
    + layer("acc", "Accuracy", "fc label")
    + layer("loss", "SoftmaxWithLoss", "fc label")
)


def deployed(cli: CommandLine) -> Any:
    cli.write(net=TRAINED)
    document = cli.run("deploy", "net.prototxt", "--drop-dropout", "--json").document
    empty = [key for key, value in document.items() if value in (None, [], {})]
    assert empty == ["weights", "dropped_weights", "missing_weights", "copied_layers", "verification"]
    return document


def test_a_deploy_net_with_everything_in_it(cli: CommandLine) -> None:
    check("deploy", deployed(cli))


# ---- segment ----


def segmented(cli: CommandLine) -> Any:
    fed = layer("in", "Data", "", "data", "transform_param { crop_size: 96 }")
    cli.write(
        net=VGG.replace(data(shape="1 3 96 96"), fed) + layer("t", "Silence", "fc8", "", "include { phase: TRAIN }")
    )
    words = ("--classes", "3", "--skip", "pool2:0.5", "--pad", "least", "--phase", "test", "--json", "--dry-run")
    more = ("--input-size", "100x120", "--input-channels", "4")
    document = cli.run("segment", "net.prototxt", *words, *more).document
    empty = [key for key, value in document.items() if value in (None, [], {})]
    assert empty == ["weights", "cut", "pooling", "left_alone", "missing_weights", "copied_layers", "verification"]
    return document


def test_a_segmentation_with_everything_in_it(cli: CommandLine) -> None:
    check("segment", segmented(cli))
    again = cli.run("segment", "net.prototxt", "--phase", "test", "--keep-classifier", "--json", "--dry-run").document
    assert check("segment", again)["scores"] == {"blob": "fc8-conv", "classes": 5, "in_place_of": None}


# ---- score ----


def scored(cli: CommandLine) -> Any:
    np.save(cli.path / "a.npy", np.array([[0, 0, 1, 255]]))
    np.save(cli.path / "b.npy", np.array([[0, 1, 1, 0]]))
    return cli.run("score", "a.npy", "b.npy", "--classes", "3", "--ignore", "255", "--json").document


def test_a_score_with_everything_in_it(cli: CommandLine) -> None:
    assert check("score", scored(cli))["classes"][2]["iu"] is None


# ---- check ----


def test_what_check_finds(cli: CommandLine) -> None:
    cli.write(net=FULL, fork=FULL + layer("n", "Normalize", "data"), bad="layer {", empty="", solver="base_lr: 1")
    files = ["net", "fork", "bad", "empty", "solver", "missing"]
    result = cli.run("check", *(f"{file}.prototxt" for file in files), "--json")
    found = {Path(each["file"]).stem: each for each in check("check", result.document)}
    assert [found[file]["ok"] for file in files] == [True, True, False, False, True, False]
    assert found["fork"]["notes"] and found["missing"]["errors"]
    check("check", cli.run("check", "fork.prototxt", "--json", "--strict").document)
    check("check", cli.run("check", "-", "--json", stdin=FULL.encode()).document)


# ---- What the schemas keep out ----


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects with fixed keys within VALUE."""
    if isinstance(value, dict):
        yield value
        for key, part in value.items():
            yield from () if key in ("output_shapes", "input_shapes") else objects(part)
    elif isinstance(value, list):
        for part in value:
            yield from objects(part)


def documents(cli: CommandLine) -> dict[str, Any]:
    cli.write(net=FULL + fc("b", "nowhere", 3) + layer("n", "Normalize", "data"))
    found = cli.run("check", "net.prototxt", "--json").document
    assert found[0]["errors"] and found[0]["notes"]
    return {
        "convert": [full(cli), {"net": "x", "error": "y"}],
        "check": found,
        "fold": folded(cli),
        "reduce": reduced(cli),
        "deploy": deployed(cli),
        "score": scored(cli),
        "segment": segmented(cli),
    }


@pytest.mark.parametrize("name", SCHEMAS)
def test_documents_with_more_or_fewer_keys_are_refused(cli: CommandLine, name: str) -> None:
    document = documents(cli)[name]
    assert valid(name, document)
    for index in range(len(list(objects(document)))):
        changed = copy.deepcopy(document)
        list(objects(changed))[index]["more"] = 1
        assert not valid(name, changed)
        for key in list(objects(document))[index]:
            changed = copy.deepcopy(document)
            del list(objects(changed))[index][key]
            assert not valid(name, changed), key


@pytest.mark.parametrize("name", SCHEMAS)
def test_values_of_another_kind_are_refused(cli: CommandLine, name: str) -> None:
    document = documents(cli)[name]
    for index, each in enumerate(objects(document)):
        for key in each:
            changed = copy.deepcopy(document)
            list(objects(changed))[index][key] = "text" if isinstance(each[key], float) or key == "scale" else 1.5
            assert not valid(name, changed), key


@pytest.mark.parametrize("document", [[], {}, None, "x", [[]]], ids=repr)
@pytest.mark.parametrize("name", SCHEMAS)
def test_other_documents_are_refused(name: str, document: Any) -> None:
    assert not valid(name, document)
