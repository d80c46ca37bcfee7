"""Collects what a report page shows.

The frame of the page (totals, notes, problems, the table of costs, the layers) is what `inspect` and `check` know. The
other sections are made by one module each, from the same `PageSource`:

- `page/weights.py`: `weights_panel(source: PageSource, position: int) -> WeightsPanel | None`, called once for each
  layer with blobs in the file, in the order of the page, so that one layer is in memory at a time. None: nothing to
  show.
- `page/activations.py`: `activations_of(source: PageSource, progress: Progress) -> Activations`, called once, only if
  there are weights. Its panels have the positions of layers as keys. Without `source.picture` it shows a test pattern,
  and its panels say so.
- `page/dense.py`: `dense_panel(source: PageSource, progress: Progress) -> DensePanel`, called once, only if there are
  weights.

Both have notes on how the picture is prepared, which the page shows once, with its other notes.

A function that cannot make its section raises CaffeFcnError, such as ExtraError without an engine. Then the page says
what it does not have, and why (`Page.left_out`). A PictureError is an error of the page: a picture or an option that
was given cannot be used. Positions are those of `source.inspection.layers`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from caffe_fcn import __version__
from caffe_fcn.display import first_of, printable
from caffe_fcn.errors import CaffeFcnError, PictureError
from caffe_fcn.inspection.inspect import look_into
from caffe_fcn.inspection.records import InspectedFiles, InspectedNet, Inspection, InspectSettings
from caffe_fcn.inspection.words import FORMATS, count_of, human, human_bytes, shape_of
from caffe_fcn.net import crops
from caffe_fcn.net.cost import VALUE_BYTES, Total
from caffe_fcn.net.options import Selection
from caffe_fcn.net.shapes import Shape, Unknown
from caffe_fcn.net.source import foreign_types
from caffe_fcn.page.activations import activations_of
from caffe_fcn.page.dense import DensePanel, dense_panel
from caffe_fcn.page.graph import graph_panel
from caffe_fcn.page.layers import first_anchors, layers_of
from caffe_fcn.page.options import ReportOptions
from caffe_fcn.page.problems import problems_of
from caffe_fcn.page.records import (
    Fact,
    MissingSection,
    Page,
    PageLayer,
    PageSource,
    Progress,
    Section,
    StoredRow,
    no_progress,
)
from caffe_fcn.page.tiles import number
from caffe_fcn.page.weights import weight_bytes, weights_panel
from caffe_fcn.predict.options import PreparationOptions

_MOST_BLOBS, _LONGEST = 4, 40
"""The maximum number of inputs or outputs that are named, and of characters of each."""


def build_page(
    files: InspectedFiles,
    picture: Any = None,
    selection: Selection | None = None,
    preparation: PreparationOptions | None = None,
    options: ReportOptions | None = None,
    progress: Progress = no_progress,
) -> Page:
    """Return the page of the net in FILES. PICTURE is as in `PageSource`. Raises CaffeFcnError if the net is impossible
    or the options do not fit, above all PictureError if the picture, the mean or the labels cannot be used; OSError if
    a file cannot be read."""
    looked, source = look_at(files, picture, selection, preparation, options)
    found, model = looked.inspection, looked.model
    layers = () if model is None or looked.shapes is None else tuple(layers_of(found, model.graph, looked.shapes))
    left_out = list(_without_files(source))
    dense: DensePanel | None = None
    heard: tuple[str, ...] = ()
    if not left_out:
        layers = _with_weights(source, layers, left_out, progress)
        layers, heard = _with_activations(source, layers, left_out, progress)
        dense = _dense(source, left_out, progress)
        heard = (*heard, *(dense.preparation if dense is not None else ()))
    title = printable(found.name) or os.path.basename(found.file)
    return Page(
        title=title,
        version=__version__,
        subtitle=tuple(_subtitle(found)),
        totals=tuple(_totals(looked)),
        notes=_notes(looked, heard),
        problems=() if model is None else problems_of(model, found, first_anchors(found)),
        layers=layers,
        inputs=", ".join(_shapes_in_words(found.inputs)),
        stored=() if model is not None else tuple(_stored(found)),
        graph=None if model is None or looked.shapes is None else graph_panel(model.graph, looked.shapes, title),
        dense=dense,
        left_out=tuple(left_out),
    )


def look_at(
    files: InspectedFiles,
    picture: Any = None,
    selection: Selection | None = None,
    preparation: PreparationOptions | None = None,
    options: ReportOptions | None = None,
) -> tuple[InspectedNet, PageSource]:
    """Return what `inspect` knows of FILES, and what the sections get. Arguments and errors are those of
    `build_page`."""
    options = options or ReportOptions()
    settings = InspectSettings(selection=selection or Selection(), geometry=True, input_size=options.input_size)
    looked = look_into(files, settings, lenient=True)
    model = looked.model
    if model is None:  # nothing else will show the values
        looked = look_into(files, replace(settings, statistics=True))
    return looked, PageSource(
        inspection=looked.inspection,
        source=files.source,
        weights=files.weights if model is None else model.weights,
        model=model,
        graph=None if model is None else model.graph,
        shapes=looked.shapes,
        picture=picture,
        selection=settings.selection,
        preparation=preparation or PreparationOptions(),
        options=options,
    )


# ---- The sections of other modules ----


def _with_weights(
    source: PageSource, layers: tuple[PageLayer, ...], left_out: list[MissingSection], progress: Progress
) -> tuple[PageLayer, ...]:
    """Return LAYERS with their weights."""
    made, done = [], 0
    whole = sum(weight_bytes(source, position) for position in range(len(layers)))
    with _left_out(Section.WEIGHTS, source, left_out):
        for position, layer in enumerate(layers):
            made.append(replace(layer, weights=weights_panel(source, position)))
            done += weight_bytes(source, position)
            progress(Section.WEIGHTS, done, whole)
    return (*made, *layers[len(made) :])


def _with_activations(
    source: PageSource, layers: tuple[PageLayer, ...], left_out: list[MissingSection], progress: Progress
) -> tuple[tuple[PageLayer, ...], tuple[str, ...]]:
    """Return LAYERS with their activations, and notes."""
    with _left_out(Section.ACTIVATIONS, source, left_out):
        panels, notes = activations_of(source, progress)
        return tuple(replace(layer, activations=panels.get(place)) for place, layer in enumerate(layers)), notes
    return layers, ()


def _dense(source: PageSource, left_out: list[MissingSection], progress: Progress) -> DensePanel | None:
    with _left_out(Section.DENSE, source, left_out):
        return dense_panel(source, progress)
    return None


def _without_files(source: PageSource) -> Iterator[MissingSection]:
    """Return the sections that the page cannot have, because there are no weights or no net."""
    if source.weights is None:
        yield from (MissingSection(section, "no weights were given") for section in Section)
    elif source.model is None:
        told = "there are only weights, no net"
        yield from (MissingSection(section, told) for section in (Section.ACTIVATIONS, Section.DENSE))


@contextmanager
def _left_out(section: Section, source: PageSource, left_out: list[MissingSection]) -> Iterator[None]:
    """Add SECTION to LEFT_OUT if it cannot be made. Raises PictureError."""
    try:
        yield
    except PictureError:
        raise
    except CaffeFcnError as error:
        left_out.append(MissingSection(section, error.within(source.inspection.file)))


# ---- The frame ----


def _subtitle(found: Inspection) -> Iterable[str]:
    yield os.path.basename(found.file)
    yield FORMATS[found.format]
    if found.phase:
        yield f"phase {found.phase}"


def _totals(looked: InspectedNet) -> Iterable[Fact]:
    found, model = looked.inspection, looked.model
    sums = found.totals
    if found.inputs:
        yield _named_shapes("input", found.inputs)
    if model is not None and looked.shapes is not None:
        shapes = {blob.name: looked.shapes.blobs[blob] for blob in model.graph.outputs}
        yield _named_shapes(
            "output", {name: None if isinstance(each, Unknown) else each for name, each in shapes.items()}
        )
    if sums is not None:
        yield Fact("layers", f"{sums.layers:,}")
        yield from _amounts(sums)
    if found.weights is not None:
        kinds = ", ".join([FORMATS[found.weights.format], *found.weights.dtypes])
        yield Fact("weights", human_bytes(found.weights.size), kinds)


def _named_shapes(term: str, blobs: Mapping[str, Shape | None]) -> Fact:
    """Return the fact with BLOBS, and as much of them as there is room for."""
    return Fact(term + "s" * (len(blobs) > 1), ", ".join(_shapes_in_words(blobs)))


def _shapes_in_words(blobs: Mapping[str, Shape | None]) -> list[str]:
    shown = [f"{printable(name, _LONGEST)} {shape_of(shape)}" for name, shape in blobs.items()]
    return first_of(shown, _MOST_BLOBS)


def _amounts(sums: Total) -> Iterable[Fact]:
    yield _sum("parameters", sums.parameters, sums.without_parameters, human)
    if sums.statistics:
        yield _sum("statistics", sums.statistics, 0, human)
    size = VALUE_BYTES * (sums.parameters + sums.statistics)
    yield _sum("size in float32", size, sums.without_parameters, human_bytes, " bytes")
    yield _sum("multiply-accumulates", sums.macs, sums.without_macs, human)
    yield _sum("activations", sums.activation_bytes, sums.without_activation, human_bytes, " bytes")


def _sum(term: str, value: int, missing: int, spell: Callable[[int], str], unit: str = "") -> Fact:
    """Return a sum that does not include the values of MISSING layers."""
    if missing:
        unknown = f"unknown for {count_of(missing, 'layer')}"
        return Fact(term, f"≥ {spell(value)}" if value else "?", unknown)
    return Fact(term, spell(value), f"{value:,}{unit}")


def _notes(looked: InspectedNet, heard: tuple[str, ...]) -> tuple[str, ...]:
    """Return the notes of LOOKED and those HEARD from sections, each once, without problems, which stand in their own
    section."""
    model = looked.model
    elsewhere: set[str] = set()
    if model is not None:
        elsewhere = {*model.objected, *model.lacking, *foreign_types(node.type for node in model.graph.nodes)}
        elsewhere.update(crops.notes({phase: (graph, model.shapes[phase]) for phase, graph in model.graphs.items()}))
    if model is not None and model.misfit is not None and model.weights is not None:
        elsewhere.add(model.misfit.within(model.weights.path))
    return tuple(note for note in dict.fromkeys((*looked.inspection.notes, *heard)) if note not in elsewhere)


def _stored(found: Inspection) -> Iterable[StoredRow]:
    for row in found.blobs:
        known = row.statistics
        values = (known.minimum, known.maximum, known.mean) if known is not None else ()
        numbers = [
            f"{row.values:,}",
            human_bytes(row.size),
            *("–" if each is None else number(each) for each in values),
        ]
        yield StoredRow(printable(row.layer), str(row.position), shape_of(row.shape), row.dtype, tuple(numbers))
