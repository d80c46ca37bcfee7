"""Writes a diagram in the DOT language of Graphviz, which then makes its own layout.

Strings are quoted, with the characters escaped that quoted strings and their labels interpret.
"""

from __future__ import annotations

from collections.abc import Iterator

from caffe_fcn.diagram.colours import LIGHT
from caffe_fcn.diagram.records import Diagram, DrawnBlob, DrawnBox
from caffe_fcn.diagram.text import fitted
from caffe_fcn.display import visible
from caffe_fcn.inspection.words import shape_of

_WIDEST = 600
"""The width of the longest names, in the unit of their size 12."""


def dot_file(diagram: Diagram) -> str:
    """DIAGRAM as the text of a DOT file, from top to bottom."""
    return "\n".join(_lines(diagram)) + "\n"


def _lines(diagram: Diagram) -> Iterator[str]:
    yield f"digraph {_quoted(diagram.title)} {{"
    yield f'  graph [rankdir=TB, label={_quoted(diagram.title)}, labelloc=t, fontname="Helvetica"];'
    yield '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11];'
    yield f'  edge [fontname="Helvetica", fontsize=10, color="{LIGHT.line}", fontcolor="{LIGHT.quiet}"];'
    for number, box in enumerate(diagram.boxes):
        yield f"  n{number} [{_attributes(box)}];"
    for wire in diagram.wires:
        source = diagram.boxes[wire.source]
        label = _quoted(_label(source.blobs[wire.position], source))
        yield f"  n{wire.source} -> n{wire.target} [label={label}];"
    for number, box in enumerate(diagram.boxes):
        for position, blob in enumerate(box.blobs):
            if blob.output:
                label = _quoted(f"output {_name(blob)}")
                yield f"  o{number}_{position} [label={label}, shape=plain, style=solid];"
                yield f"  n{number} -> o{number}_{position} [label={_quoted(shape_of(blob.shape))}];"
    yield "}"


def _attributes(box: DrawnBox) -> str:
    layer = box.layer
    first = fitted(layer.name, 12, _WIDEST) + (" (input)" if box.input else "")
    kinds = [f"{layer.type} {layer.numbers}".strip() + (" (unknown type)" if layer.family == "unknown" else "")]
    kinds += [f"+ {folded.type}" for folded in box.folded]
    paint = LIGHT.families[layer.family]
    lines = "\\n".join(_escaped(fitted(line, 12, _WIDEST)) for line in (first, *kinds))
    about = "\\n".join(_escaped(visible(line)) for each in box.layers for line in each.about)
    return f'label="{lines}", tooltip="{about}", fillcolor="{paint.fill}", color="{paint.line}"'


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
