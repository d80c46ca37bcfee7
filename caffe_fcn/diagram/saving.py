"""Writes the drawing of a net into a file."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias

from caffe_fcn.diagram.building import diagram_of
from caffe_fcn.diagram.comparing import comparison_of
from caffe_fcn.diagram.dot import dot_comparison, dot_file
from caffe_fcn.diagram.drawing import comparison_drawing, drawing_of
from caffe_fcn.diagram.options import DrawOptions
from caffe_fcn.diagram.png import png_file
from caffe_fcn.diagram.records import Comparison, Diagram
from caffe_fcn.diagram.svg import svg_file
from caffe_fcn.errors import NetError
from caffe_fcn.files.atomic import OutputFiles, check_outputs
from caffe_fcn.files.stdout import STDOUT, to_stdout
from caffe_fcn.inspection.inspect import look_into
from caffe_fcn.inspection.records import InspectedFiles, InspectSettings
from caffe_fcn.inspection.words import count_of
from caffe_fcn.net.graph import Graph, only_in
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.shapes import Shapes
from caffe_fcn.wording import command, option

Format: TypeAlias = Literal["svg", "png", "dot"]

_FORMATS: dict[str, Format] = {".svg": "svg", ".png": "png", ".dot": "dot", ".gv": "dot"}
"""The formats by the endings of files."""


class _ShownNet(NamedTuple):
    """The net in the files of PATH, in one phase."""

    graph: Graph
    shapes: Shapes
    path: str
    notes: tuple[str, ...]


class SavedDrawing(NamedTuple):
    """A drawing of the net in the file NET, in PHASE, in the file OUTPUT with SIZE bytes: one diagram, or two that are
    compared. NOTES are for the user."""

    drawn: Diagram | Comparison
    net: str
    phase: str
    format: Format
    output: str
    size: int
    notes: tuple[str, ...]


def save_drawing(
    files: InspectedFiles,
    output: str | os.PathLike[str],
    selection: Selection = ANY_NET,
    options: DrawOptions | None = None,
    compared: InspectedFiles | None = None,
    *,
    force: bool = False,
) -> SavedDrawing:
    """Write the drawing of the net in FILES to OUTPUT, "-" for stdout. The net in COMPARED is drawn beside it.

    Raises CaffeFcnError if the net is impossible, if the options do not fit, or if a PNG would be too large;
    OutputError if the file cannot be written; ExtraError for a PNG without pillow; ValueError if OUTPUT does not show
    the format and none is given.
    """
    options, path = options or DrawOptions(), os.fspath(output)
    form = format_of(path, options.format)
    if path != STDOUT:
        both = [each for each in (files, compared) if each is not None]
        read = [*(each.name for each in both), *(each.weights.path for each in both if each.weights is not None)]
        check_outputs([path], read, force=force)
    one = _shown(files, selection, options)
    drawn: Diagram | Comparison = diagram_of(one.graph, one.shapes, _title(os.path.basename(one.path), one))
    notes = one.notes
    if compared is not None:
        other = _shown(compared, replace(selection, phase="TRAIN" if one.graph.phase == "TRAIN" else "TEST"), options)
        drawn = comparison_of(one.graph, one.shapes, other.graph, other.shapes, _titles(one, other))
        notes = tuple(dict.fromkeys((*notes, *other.notes)))
        if files.weights is not None and compared.weights is not None:
            notes += (f"weights are not compared; {command('diff')} compares them",)
    data = drawn_as(drawn, form)
    if path == STDOUT:
        to_stdout(data)
    else:
        with OutputFiles() as outputs:
            outputs.add(path, overwrite=force).write(data)
            outputs.commit()
    return SavedDrawing(drawn, files.name, one.graph.phase, form, path, len(data), notes)


def format_of(path: str, given: Format | None) -> Format:
    """The format of a drawing at PATH, if it is not GIVEN. Raises ValueError if the name does not show it."""
    if given is not None or path == STDOUT:
        return given or "svg"
    found = _FORMATS.get(os.path.splitext(path)[1].lower())
    if found is None:
        endings = ", ".join(_FORMATS)
        raise ValueError(f"{path}: expected a name for a drawing ({endings}), found another one; choose another name")
    return found


def _shown(files: InspectedFiles, selection: Selection, options: DrawOptions) -> _ShownNet:
    """What is drawn of FILES. Raises NetError if there is no net in them."""
    settings = InspectSettings(selection=selection, input_size=options.input_size)
    looked = look_into(files, settings, lenient=True)
    if looked.model is None or looked.shapes is None:
        raise NetError(str(files.why or "there is no net"), source=files.name)
    graph = looked.model.graph
    notes = looked.inspection.notes
    if selection.phase is None:
        other = "TEST" if graph.phase == "TRAIN" else "TRAIN"
        count = only_in(looked.model.source.net, other, selection.stages, selection.level)
        if count:
            told = f"{count_of(count, 'layer')} of the file {'is' if count == 1 else 'are'} only in phase {other}"
            notes += (f"{told}; draw it with {option('phase', other)}",)
    return _ShownNet(graph, looked.shapes, files.name, notes)


def _title(path: str, shown: _ShownNet) -> str:
    return f"{path}, phase {shown.graph.phase}"


def _titles(one: _ShownNet, other: _ShownNet) -> tuple[str, str]:
    """Titles of two nets: the names of their files, with as many directories as they need to differ."""
    parts = [each.path.replace(os.sep, "/").split("/") for each in (one, other)]
    some = next((count for count in range(1, max(map(len, parts)) + 1) if parts[0][-count:] != parts[1][-count:]), 1)
    first, second = ("/".join(each[-some:]) for each in parts)
    return _title(first, one), _title(second, other)


def drawn_as(drawn: Diagram | Comparison, form: Format) -> bytes:
    """What is DRAWN, as the bytes of a file in the format FORM."""
    if form == "dot":
        return (dot_comparison(drawn) if isinstance(drawn, Comparison) else dot_file(drawn)).encode()
    drawing = comparison_drawing(drawn) if isinstance(drawn, Comparison) else drawing_of(drawn)
    return png_file(drawing) if form == "png" else svg_file(drawing).encode()
