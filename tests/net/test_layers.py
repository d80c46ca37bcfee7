"""The table of layer types: each type is one row, and what a row names is there."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from caffe_fcn import schema
from caffe_fcn.net.layers import FAMILIES, LAYERS, UNKNOWN_TYPE, LayerType, row_of
from caffe_fcn.net.layers.row import no_params
from caffe_fcn.net.upgrade.v1 import old_types
from tests.paths import ROOT

FIELDS = dict(schema.LayerParameter.DESCRIPTOR.fields_by_name)
V1_TYPES = dict(schema.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"].values_by_name)


MOST = 3
"""A pass may name the types that it is about; a list of more is a fact about types that belongs into their rows."""

LISTS = {
    "engines/opencv_rules.py": "what OpenCV computes",
    "onnx/layers/elementwise.py": "lowerings",
    "passes/fold/affine.py": "functions for each type that the pass folds",
    "verify/columns.py": "functions for each type that need numpy",
}


def types_listed(tree: ast.AST) -> Iterator[list[str]]:
    """The layer types that each collection in TREE names, or each text of names."""
    for node in ast.walk(tree):
        parts: Sequence[ast.expr | None] = ()
        if isinstance(node, ast.Dict):
            parts = node.keys
        elif isinstance(node, ast.Set | ast.List | ast.Tuple):
            parts = node.elts
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value.split()
            yield words if set(words) <= LAYERS.keys() else []
        yield [part.value for part in parts if isinstance(part, ast.Constant) and part.value in LAYERS]


@pytest.mark.thorough
def test_no_module_has_a_list_of_layer_types_of_its_own() -> None:
    package = ROOT / "caffe_fcn"
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if not path.is_relative_to(package / "net" / "layers")
        and any(len(names) > MOST for names in types_listed(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == LISTS.keys()


@pytest.mark.parametrize(
    "source", ['"Flatten Crop ReLU Tile".split()', '{"Flatten": 1, "Crop": 2, "ReLU": 3, "Tile": 4}']
)
def test_a_list_of_layer_types_is_found(source: str) -> None:
    assert ["Flatten", "Crop", "ReLU", "Tile"] in types_listed(ast.parse(source))


def test_no_type_has_two_rows() -> None:
    found = Counter(name for family in FAMILIES for name in family.ROWS)
    assert [name for name, many in found.items() if many > 1] == []
    assert found.keys() == LAYERS.keys()


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_what_a_row_names_is_there(name: str) -> None:
    row = LAYERS[name]
    assert row.known
    assert set(row.reads.split()) <= FIELDS.keys()
    assert set(row.v1.split()) <= V1_TYPES.keys()
    assert {old_types().get(old, old) for old in row.v1.split()} <= {name}
    assert row.contains == "" or (row.contains in LAYERS and row.judges)
    for path in row.fillers(schema.LayerParameter(type=name, bottom=["a"]), [(2, 2), (2,)]):
        param, _, filler = path.partition(".")
        assert param in row.reads.split()
        assert FIELDS[param].message_type.fields_by_name[filler].message_type.name == "FillerParameter"


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_row_that_says_how_many_axes_blobs_had_has_blobs(name: str) -> None:
    row = LAYERS[name]
    assert not row.old_axes or row.layouts is not None or row.params not in (None, no_params)


def test_an_unknown_type_has_a_row_that_says_nothing() -> None:
    row = row_of("Riddle")
    assert row is UNKNOWN_TYPE and row == LayerType()
    assert (row.shape, row.params, row.moves, row.macs) == (None, None, None, None)
