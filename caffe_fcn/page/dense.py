"""Makes the panel of a dense net: its maps over the picture, with the scores of one class at a time.

The page has for each cell its place, what it sees, its top classes, and the values of classes as whole numbers (see
`quantised`). A script draws these; nothing about the net is computed in the browser.
"""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from math import prod
from typing import Any

from caffe_fcn.display import printable
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.engines.registry import engine
from caffe_fcn.errors import EngineError
from caffe_fcn.net.geometry import Exactness, Geometry
from caffe_fcn.net.shapes import Shape, Unknown, show
from caffe_fcn.page.backdrop import Backdrop, backdrop_of
from caffe_fcn.page.dense_maps import PanelMap, panel_map
from caffe_fcn.page.quantised import CODE
from caffe_fcn.page.records import PageSource, Progress, Section, no_progress
from caffe_fcn.predict.choosing import convertible, numbers_of_class
from caffe_fcn.predict.draw import bare, colours
from caffe_fcn.predict.images.picture import picture_from
from caffe_fcn.predict.options import RunOptions
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.preparing import prepare
from caffe_fcn.predict.run import Answer, RunSettings, carry_out, plan
from caffe_fcn.wording import Command, advise

BUDGET = 4 << 20
"""The maximum bytes of values on the page, before compression, of all maps together."""

MOST_MAPS = 8
"""The maximum number of maps on the page."""


@dataclass(frozen=True)
class DensePanel:
    """The panel of a dense net: the picture and its MAPS. The notes on the PREPARATION of the picture are not shown
    here."""

    path: str
    size: tuple[int, int]
    picture: Backdrop
    maps: tuple[PanelMap, ...]
    notes: tuple[str, ...]
    preparation: tuple[str, ...] = ()

    @property
    def document(self) -> Mapping[str, Any]:
        """The panel for the script, as JSON."""
        ramp, shares = colours.sequential()
        return {
            "size": self.size,
            "ramp": ramp.round().astype(int).tolist(),
            "shares": [round(float(share), 4) for share in shares],
            "bare": {"stripes": bare.STRIPES, "share": bare.SHARE},
            "maps": [_document(each) for each in self.maps],
        }


def _document(each: PanelMap) -> Mapping[str, Any]:
    import numpy as np

    codes = np.concatenate([array.astype("<u2").ravel() for array in (each.top, each.values, each.planes)])
    parted = codes.view(np.uint8).reshape(-1, CODE).T.tobytes()  # all low bytes, then all high ones: this is shorter
    return {
        "name": each.name,
        "scores": each.of_classes,
        "span": each.span,
        "cells": each.cells,
        "pooled": each.pooled,
        "caption": each.caption,
        "rows": each.rows._asdict(),
        "columns": each.columns._asdict(),
        "classes": [[known.number, known.name, *known.decimals, known.peak] for known in each.classes],
        "shown": each.shown,
        "chosen": each.chosen,
        "faint": each.faint,
        "top": len(each.top),
        "listed": each.listed,
        "data": base64.b64encode(zlib.compress(parted, 9)).decode("ascii"),
    }


def dense_panel(source: PageSource, progress: Progress = no_progress) -> DensePanel:
    """Return the panel of the net of SOURCE on its picture. Raises EngineError if there is no picture, or the net makes
    no map; PictureError if there is no such class as is asked for; CaffeFcnError if the net cannot be run on the
    picture."""
    picture = source.picture
    if source.source is None or source.weights is None or picture is None:
        raise _without_picture(source)
    asked = RunOptions(resize=source.options.resize, labels=source.options.labels)
    prepared = prepare(
        source.source,
        source.weights,
        engine(EngineOptions(), brief=True),
        source.selection,
        source.preparation,
        asked,
        first=lambda channels: picture_from(picture, channels).size,
    )
    model, settings = prepared.model, prepared.settings
    if not model.maps:
        if source.options.wanted is not None:  # it is in the top classes, if there is such a class
            numbers_of_class(model.outputs, settings, str(source.options.wanted), model.source)
        raise _no_map("the", model.net, [(each.name, each.shape) for each in model.outputs])
    if settings.resize is None:
        settings = settings._replace(resize=model.fixed)
    with ExitStack() as stack:
        work = plan(model, picture_from(picture, model.channels), settings)
        runs = count(1)
        progress(Section.DENSE, 0, work.runs)
        answer = carry_out(model, work, settings, stack, done=lambda: progress(Section.DENSE, next(runs), work.runs))
        panel = panel_of(model, answer, settings, source.options.wanted)
    return replace(panel, preparation=prepared.notes)


def _without_picture(source: PageSource) -> EngineError:
    """Return the error that there is no picture; it tells, as far as shapes do, whether the net would make a map of
    one."""
    told, graph, shapes = "no picture was given", source.graph, source.shapes
    if graph is None or shapes is None:
        return EngineError(told)
    layers = zip(graph.nodes, source.inspection.layers, strict=True)
    places = {blob: layer.geometry for node, layer in layers for blob in node.tops}
    known = [(blob.name, shape) for blob in graph.outputs if isinstance(shape := shapes.blobs[blob], tuple)]
    if any(_is_map(shapes.blobs[blob], places[blob]) for blob in graph.outputs):
        return EngineError(f"{told}; the net makes a map of one")
    return _no_map(f"{told}, and the", ShapedNet(graph, shapes), known) if known else EngineError(told)


def _is_map(shape: Shape | Unknown, geometry: Geometry | None) -> bool:
    if not isinstance(shape, tuple) or len(shape) != 4 or geometry is None:
        return False
    return geometry.exactness is not Exactness.NOWHERE or prod(shape[2:]) > 1


def _no_map(begins: str, net: ShapedNet, outputs: Iterable[tuple[str, Shape]]) -> EngineError:
    """Return the error that NET with its OUTPUTS makes no map; the message BEGINS so."""
    found = ", ".join(f"{name!r} {show(shape)}" for name, shape in outputs)
    way = advise("make it fully convolutional first: ", Command("convert")) if convertible(net) else None
    told = f"{begins} net answers for a whole picture, not with a map: {found}"
    return EngineError(told, source=net.graph.source, hint=way)


def panel_of(model: PictureNet, answer: Answer, settings: RunSettings, wanted: str | int | None = None) -> DensePanel:
    """Return the panel of MODEL with its ANSWER for a picture, which has a map. The class WANTED, by number or name, is
    shown first. Raises PictureError if there is no such class or the picture cannot be read."""
    found = sorted((each for each in answer.results if each.levels), key=lambda each: not each.output.of_classes)
    taken = found[:MOST_MAPS]
    first = {} if wanted is None else numbers_of_class(model.outputs, settings, str(wanted), model.source)
    maps = [
        panel_map(model, each, settings.labels(each.output), first.get(each.output.name), BUDGET // len(taken))
        for each in taken
    ]
    left = [printable(each.output.name) for each in found[MOST_MAPS:]]
    notes = [f"Maps that are not on the page: {', '.join(left)}."] if left else []
    notes += map(_sentence, answer.plan.notes)
    picture = answer.plan.picture
    name = printable(os.path.basename(picture.path))
    return DensePanel(name, picture.size, backdrop_of(picture), tuple(maps), tuple(notes))


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}."
