"""DOT: statements that Graphviz can parse, with any names."""

from __future__ import annotations

import re

import pytest

from caffe_fcn.diagram.dot import dot_file
from tests.diagram.nets import drawn
from tests.diagram.test_svg import HOSTILE, net
from tests.net.nets import data, layer

STRING = r'"(?:[^"\\]|\\.)*"'
VALUE = rf"(?:{STRING}|[A-Za-z0-9_.]+)"
ATTRIBUTES = rf"\[{'{'}0{'}'}(?:, {'{'}0{'}'})*\]".format(rf"[a-z]+={VALUE}")
STATEMENT = re.compile(rf"  [a-z0-9_]+(?: -> [a-z0-9_]+)? {ATTRIBUTES};")


def check(text: str) -> list[str]:
    """The statements of TEXT; the grammar of DOT, as far as we use it."""
    first, *statements, last = text.removesuffix("\n").split("\n")
    assert re.fullmatch(rf"digraph {STRING} \{{", first) and last == "}"
    assert [each for each in statements if not STATEMENT.fullmatch(each)] == []
    return statements


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_quoted(name: str) -> None:
    statements = check(dot_file(drawn(net(name))))
    assert sum("->" in each for each in statements) == 2
    assert all(len(each) < 6000 for each in statements)


def test_labels_have_no_escapes_of_graphviz_but_line_ends() -> None:
    text = dot_file(drawn(net("\\\\N&lt;")))
    (line,) = [each for each in text.split("\n") if each.startswith("  n1 [")]
    assert 'label="\\\\N&amp;lt;\\nConvolution 3×3 → 4\\nwith ReLU"' in line


def test_edges_have_shapes_and_names() -> None:
    split = layer("Slice", top="one two", name="slice")
    statements = check(dot_file(drawn(data(1, 4, 8, 8) + split + layer("Eltwise", bottom="one two"))))
    assert '  n1 -> n2 [label="one 1×2×8×8"];' in statements
    assert '  n2 -> o2_0 [label="1×2×8×8"];' in statements
    assert any("output out" in each for each in statements)
