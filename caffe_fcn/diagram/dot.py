"""Writes a diagram in the DOT language of Graphviz, which then makes its own layout.

Strings are quoted, with the characters escaped that quoted strings and their labels interpret.
"""

from __future__ import annotations

from collections.abc import Iterator

from caffe_fcn.diagram.colours import LIGHT
from caffe_fcn.diagram.measures import SIGNS, badge_of
from caffe_fcn.diagram.records import Comparison, Diagram, DrawnBlob, DrawnBox
from caffe_fcn.diagram.text import fitted
from caffe_fcn.display import visible
from caffe_fcn.inspection.words import shape_of

_MOST_REMARKS = 4
_WIDEST = 600
"""The width of the longest names, in the unit of their size 12."""


def dot_file(diagram: Diagram) -> str:
    """DIAGRAM as the text of a DOT file, from top to bottom."""
    return "\n".join([*_start(diagram.title), *_body(diagram, ""), "}"]) + "\n"


def dot_comparison(both: Comparison) -> str:
    """Two nets as the text of a DOT file, side by side; twins are in one rank."""
    lines = [*_start(both.title)]
    for side, diagram in (("a", both.old), ("b", both.new)):
        lines += [f"  subgraph cluster_{side} {{", f"  label={_quoted(diagram.title)};", *_body(diagram, side), "  }"]
    lines += ["  graph [newrank=true];"]
    lines += [f"  {{ rank=same; an{old}; bn{new}; }}" for old, new in both.twins]
    return "\n".join([*lines, "}"]) + "\n"


def _start(title: str) -> Iterator[str]:
    yield f"digraph {_quoted(title)} {{"
    yield f'  graph [rankdir=TB, label={_quoted(title)}, labelloc=t, fontname="Helvetica"];'
    yield '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11];'
    yield f'  edge [fontname="Helvetica", fontsize=10, color="{LIGHT.line}", fontcolor="{LIGHT.quiet}"];'


def _body(diagram: Diagram, side: str) -> Iterator[str]:
    """The nodes and edges of DIAGRAM, whose names begin with SIDE."""
    for number, box in enumerate(diagram.boxes):
        yield f"  {side}n{number} [{_attributes(box)}];"
    for wire in diagram.wires:
        source = diagram.boxes[wire.source]
        label = _quoted(_label(source.blobs[wire.position], source))
        yield f"  {side}n{wire.source} -> {side}n{wire.target} [label={label}];"
    for number, box in enumerate(diagram.boxes):
        for position, blob in enumerate(box.blobs):
            if blob.output:
                end, label = f"{side}o{number}_{position}", _quoted(f"output {_name(blob)}")
                yield f"  {end} [label={label}, shape=plain, style=solid];"
                yield f"  {side}n{number} -> {end} [label={_quoted(shape_of(blob.shape))}];"


def _attributes(box: DrawnBox) -> str:
    layer = box.layer
    first = fitted(layer.name, 12, _WIDEST) + (f" ({badge_of(box)})" if badge_of(box) else "")
    kinds = [f"{layer.type} {layer.numbers}".strip() + (" (unknown type)" if layer.family == "unknown" else "")]
    kinds += box.layer.remarks[:_MOST_REMARKS]
    kinds += [f"with {SIGNS[folded.mark]}{folded.type}" for folded in box.folded]
    paint = LIGHT.families[layer.family]
    lines = "\\n".join(_escaped(fitted(line, 12, _WIDEST)) for line in (first, *kinds))
    about = "\\n".join(_escaped(visible(line)) for each in box.layers for line in each.about)
    mark = layer.mark
    border = f'color="{LIGHT.marks[mark]}", penwidth=3' if mark else f'color="{paint.line}"'
    return f'label="{lines}", tooltip="{about}", fillcolor="{paint.fill}", {border}'


def _label(blob: DrawnBlob, source: DrawnBox) -> str:
    named = blob.name not in {layer.name for layer in source.layers}
    return f"{_name(blob)} {shape_of(blob.shape)}" if named else shape_of(blob.shape)


def _name(blob: DrawnBlob) -> str:
    """The name of BLOB, shortened."""
    return fitted(blob.name, 12, _WIDEST)


def _quoted(text: str) -> str:
    return f'"{_escaped(visible(text))}"'


def _escaped(text: str) -> str:
    """TEXT inside of a quoted string: a backslash would begin an escape, and & would begin an entity."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
