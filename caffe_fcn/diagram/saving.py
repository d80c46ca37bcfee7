"""Writes the drawing of a net into a file."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple, TypeAlias

from caffe_fcn.diagram.building import diagram_of
from caffe_fcn.diagram.dot import dot_file
from caffe_fcn.diagram.drawing import drawing_of
from caffe_fcn.diagram.options import DrawOptions
from caffe_fcn.diagram.png import png_file
from caffe_fcn.diagram.records import Diagram
from caffe_fcn.diagram.svg import svg_file
from caffe_fcn.errors import NetError
from caffe_fcn.files.atomic import OutputFiles, check_outputs
from caffe_fcn.files.stdout import STDOUT, to_stdout
from caffe_fcn.inspection.inspect import look_into
from caffe_fcn.inspection.records import InspectedFiles, InspectSettings
from caffe_fcn.net.options import ANY_NET, Selection

Format: TypeAlias = Literal["svg", "png", "dot"]

_FORMATS: dict[str, Format] = {".svg": "svg", ".png": "png", ".dot": "dot", ".gv": "dot"}
"""The formats by the endings of files."""


class SavedDrawing(NamedTuple):
    """A DIAGRAM of the net in the file NET, in PHASE, in the file OUTPUT with SIZE bytes. NOTES are for the user."""

    diagram: Diagram
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
    *,
    force: bool = False,
) -> SavedDrawing:
    """Write the drawing of the net in FILES to OUTPUT, "-" for stdout.

    Raises CaffeFcnError if the net is impossible, if the options do not fit, or if a PNG would be too large;
    OutputError if the file cannot be written; ExtraError for a PNG without pillow; ValueError if OUTPUT does not show
    the format and none is given.
    """
    options, path = options or DrawOptions(), os.fspath(output)
    form = format_of(path, options.format)
    if path != STDOUT:
        read = [files.name, files.weights.path if files.weights is not None else None]
        check_outputs([path], list(filter(None, read)), force=force)
    diagram, phase, notes = _drawn(files, selection, options)
    data = drawn_as(diagram, form)
    if path == STDOUT:
        to_stdout(data)
    else:
        with OutputFiles() as outputs:
            outputs.add(path, overwrite=force).write(data)
            outputs.commit()
    return SavedDrawing(diagram, files.name, phase, form, path, len(data), notes)


def format_of(path: str, given: Format | None) -> Format:
    """The format of a drawing at PATH, if it is not GIVEN. Raises ValueError if the name does not show it."""
    if given is not None or path == STDOUT:
        return given or "svg"
    found = _FORMATS.get(os.path.splitext(path)[1].lower())
    if found is None:
        endings = ", ".join(_FORMATS)
        raise ValueError(f"{path}: expected a name for a drawing ({endings}), found another one; choose another name")
    return found


def _drawn(files: InspectedFiles, selection: Selection, options: DrawOptions) -> tuple[Diagram, str, tuple[str, ...]]:
    """The diagram of the net in FILES, its phase, and the notes on it."""
    settings = InspectSettings(selection=selection, input_size=options.input_size)
    looked = look_into(files, settings, lenient=True)
    if looked.model is None or looked.shapes is None:
        raise NetError(str(files.why or "there is no net"), source=files.name)
    graph = looked.model.graph
    title = f"{os.path.basename(files.name)}, phase {graph.phase}"
    return diagram_of(graph, looked.shapes, title), graph.phase, looked.inspection.notes


def drawn_as(diagram: Diagram, form: Format) -> bytes:
    """DIAGRAM as the bytes of a file in the format FORM."""
    if form == "dot":
        return dot_file(diagram).encode()
    drawing = drawing_of(diagram)
    return png_file(drawing) if form == "png" else svg_file(drawing).encode()
