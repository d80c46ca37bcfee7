"""Writes the results of `run` as JSON (docs/schema/run.json), piece by piece.

A map may have millions of cells, so the whole document is never in memory. Objects stay open while their last array is
written, one cell in each line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from caffe_fcn import __version__
from caffe_fcn.engines.protocol import Array
from caffe_fcn.net.geometry import exactness_of, words
from caffe_fcn.predict.areas import Area, areas
from caffe_fcn.predict.labels import Labels
from caffe_fcn.predict.output_picture import Restored
from caffe_fcn.predict.outputs import Holds, NetOutput
from caffe_fcn.predict.peaks import Peaks
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.run import Answer, BlobResult, Level, RunSettings
from caffe_fcn.predict.searching import Searched
from caffe_fcn.predict.summaries import (
    Found,
    NumberSummary,
    best_classes,
    highest,
    of_channels,
    statistics,
    summarize,
    tops,
)
from caffe_fcn.report.run_places import number, peak_record, place_record, search_record, standing_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MANY = 4096
"""The maximum number of values that are all in the document."""

END = "\n  ]\n}\n"
"""The end of the document."""


def head(model: PictureNet, weights: str, engine: str, settings: RunSettings, notes: Sequence[str]) -> str:
    """Return the beginning of the document, up to its pictures."""
    steps = settings.steps
    mean = steps.mean
    return _opened(
        {
            "caffe_fcn": __version__,
            "net": model.source,
            "weights": weights,
            "engine": engine,
            "blobs": [
                {"blob": output.name, "holds": output.holds.value, "map": output.is_map, "shape": list(output.shape)}
                for output in model.outputs
            ],
            "labels": None if settings.names is None else list(settings.names.names),
            "preprocessing": {
                "resize": _resize(settings.resize),
                "crop": settings.crop.value,
                "channels": {1: "grey", 3: "RGB" if steps.rgb else "BGR"}.get(model.channels, "as given"),
                "mean": None if mean is None else mean.name,
                "scale": number(steps.scale),
                "column_major": settings.column_major,
                "pad_to": settings.pad_to,
            },
            "drawing": {
                "range": None if settings.drawing.span is None else list(settings.drawing.span),
                "under": "colour" if settings.drawing.colour else "grey",
                "upsample": settings.drawing.upsample,
            },
            "notes": list(notes),
        },
        "pictures",
    )


def failure(path: str, message: str) -> str:
    """Return the entry of a picture that could not be processed."""
    return _indented(json.dumps({"picture": path, "error": message}, indent=2, ensure_ascii=False), 4)


def entry(
    answer: Answer,
    settings: RunSettings,
    top: int,
    outputs: Mapping[str, str | None],
    searched: Searched,
    made: Restored | None = None,
) -> Iterator[str]:
    """Yield the entry of one picture, with the TOP classes, or positions, and what was SEARCHED; OUTPUTS are the files
    written, and MADE is the picture made of an output."""
    first, peaks = 0, searched.peaks
    listed: Iterator[str] = iter(())
    standings: list[dict[str, Any]] = []
    best: list[dict[str, Any]] = []
    values: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    maps: list[tuple[BlobResult, Level, Sequence[int]]] = []
    for result in answer.results:
        labels = settings.labels(result.output)
        counts: list[tuple[int, ...]] = [()] * len(result.levels)
        if result.output.of_classes and result.levels:
            found = summarize(result.levels, labels.background)
            counts = list(found.counts)
            told += [
                _area(result, each, labels)
                for each in areas(answer, result, counts, upsample=settings.drawing.upsample)
            ]
            best += [_best(result, each, labels, first) for each in found.best[:top]]
        elif result.output.of_classes and result.values is not None:
            best += [_best(result, each, labels, first) for each in best_classes(result.values, top)]
        if result.values is not None and result.output.holds is not Holds.CLASSES:
            values.append(_values(result, result.values, labels))
        elif result.levels and not result.output.of_classes and result.output.channels == 1 and not settings.no_scores:
            best.append(_best(result, highest(result.levels), labels, first))
        if (standing := searched.standings.get(result.output.name)) is not None:
            standings.append(standing_record(standing, result, labels, first))
        if peaks is not None and peaks.blob == result.output.name:
            listed = _peaks(peaks, result, labels, first)
        maps += [(result, level, count) for level, count in zip(result.levels, counts, strict=True)]
        first += len(result.levels)
    fields = {
        **_picture(answer),
        "outputs": dict(outputs),
        "made": None if made is None else _made(made),
        "top": best,
        "areas": told,
        "values": values,
        "classes": standings,
        "search": None if peaks is None else search_record(peaks),
    }
    yield _indented(_opened(fields, "peaks"), 4)
    yield from listed
    yield '],\n      "maps": ['
    yield from _maps(maps, settings)


def _picture(answer: Answer) -> dict[str, Any]:
    """Return what was done with the picture before the net."""
    plan = answer.plan
    return {
        "picture": answer.path,
        "size": list(plan.original),
        "resized": list(plan.resized) if plan.resized != plan.original else None,
        "cropped": list(plan.crops[0].size) if plan.crops[0].size != plan.resized or len(plan.crops) > 1 else None,
        "crops": len(plan.crops),
        "notes": list(plan.notes),
    }


def _maps(maps: Sequence[tuple[BlobResult, Level, Sequence[int]]], settings: RunSettings) -> Iterator[str]:
    """Yield MAPS, each with the number of cells of each class, and the end of the entry."""
    for index, (result, level, count) in enumerate(maps):
        labels = settings.labels(result.output)
        fields = _level(result, level, count, labels)
        fields["channels"] = _channels(level, labels) if settings.no_scores else []
        yield f"{',' if index else ''}\n{_indented(_opened(fields, 'cells'), 8)}"
        if not settings.no_scores:
            yield from _cells(result.output, level, labels, " " * 12)
        yield "\n          ]\n        }"
    yield ("\n      " if maps else "") + "]\n    }"


def _made(made: Restored) -> dict[str, Any]:
    """Return how a picture was made of an output."""
    return {
        "blob": made.blob,
        "size": list(made.pixels.shape[:2]),
        "channels": made.channels,
        "values": made.pixels.size,
        "below": made.below,
        "above": made.above,
    }


def _resize(resize: tuple[int, int] | int | None) -> list[int] | int | None:
    return list(resize) if isinstance(resize, tuple) else resize


def _best(result: BlobResult, found: Found, labels: Labels, first: int) -> dict[str, Any]:
    """Return FOUND in RESULT, whose maps are numbered from FIRST on."""
    of_classes = result.output.of_classes
    return {
        "blob": result.output.name,
        "class": found.label if of_classes else None,
        "name": labels.name(found.label) if of_classes else None,
        "score": number(found.score),
        "place": place_record(result, found, first) if result.levels else None,
    }


def _peaks(peaks: Peaks, result: BlobResult, labels: Labels, first: int) -> Iterator[str]:
    """Yield a line for each of PEAKS, which are of RESULT, whose maps are numbered from FIRST on."""
    separator = "\n"
    for each in peaks:
        yield separator + " " * 8 + json.dumps(peak_record(result, each, labels, first), ensure_ascii=False)
        separator = ",\n"
    if len(peaks):
        yield "\n      "


def _area(result: BlobResult, area: Area, labels: Labels) -> dict[str, Any]:
    return {
        "blob": result.output.name,
        "class": area.label,
        "name": None if area.label is None else labels.name(area.label),
        "pixels": area.pixels,
        "share": number(area.share),
    }


def _values(result: BlobResult, values: Array, labels: Labels) -> dict[str, Any]:
    """Return VALUES that are not scores of classes; all of them if they are few, and their names in LABELS."""
    numbers = [number(value) for value in values.reshape(-1).tolist()] if values.size <= _MANY else None
    return {
        "blob": result.output.name,
        "shape": list(values.shape),
        **_statistics(statistics(result)),
        "numbers": numbers,
        "names": list(labels.names) if numbers is not None and len(labels.names) == len(numbers) else None,
    }


def _channels(level: Level, labels: Labels) -> list[dict[str, Any]]:
    """Return statistics of each channel of the map at LEVEL, and its name."""
    return [
        {"channel": index, "name": labels.name(index), **_statistics(found)}
        for index, found in enumerate(of_channels(level.scores))
    ]


def _statistics(found: NumberSummary) -> dict[str, float]:
    return {name: number(value) for name, value in found._asdict().items()}


def _level(result: BlobResult, level: Level, counts: Sequence[int], labels: Labels) -> dict[str, Any]:
    cells = level.cells
    axes = (cells.rows, cells.columns)
    return {
        "blob": result.output.name,
        "scale": level.scale,
        "shape": list(level.scores.shape),
        "window": [axis.window for axis in axes],
        "stride": [float(axis.stride) for axis in axes],
        "offset": [float(axis.offset) for axis in axes],
        "exactness": exactness_of(cells.reasons).value,
        "reasons": list(map(words, cells.reasons)),
        "shifts": level.shifts,
        "tiles": level.tiles,
        "values": None if result.output.of_classes else _statistics(statistics(result, level)),
        "counts": [
            {"class": index, "name": labels.name(index), "cells": count} for index, count in enumerate(counts) if count
        ],
    }


def _cells(output: NetOutput, level: Level, labels: Labels, indent: str) -> Iterator[str]:
    """Yield a line for each cell of LEVEL; none for a map with several numbers per cell that are not classes."""
    cells = level.cells
    if not output.of_classes and output.channels > 1:
        return
    known = [(str(index), json.dumps(labels.name(index), ensure_ascii=False)) for index in range(labels.count)]
    names = known if output.of_classes else [("null", "null")]
    across = [cells.columns.window_of(column) for column in range(cells.columns.cells)]
    separator = "\n"
    for first, top, score in tops(level.scores):
        for offset in range(len(top)):
            down = cells.rows.window_of(first + offset)
            yield separator + ",\n".join(_row(first + offset, down, across, top[offset], score[offset], names, indent))
            separator = ",\n"


def _row(
    row: int,
    down: tuple[int, int],
    across: Sequence[tuple[int, int]],
    top: NDArray[Any],
    score: NDArray[Any],
    names: Sequence[tuple[str, str]],
    indent: str,
) -> Iterator[str]:
    high, low = down
    for column, (index, value, (left, right)) in enumerate(zip(top.tolist(), score.tolist(), across, strict=True)):
        yield (
            f'{indent}{{"row": {row}, "column": {column}, "window": [{high}, {left}, {low}, {right}], '
            f'"class": {names[index][0]}, "name": {names[index][1]}, "score": {value:.9g}}}'
        )


def _opened(fields: Mapping[str, Any], array: str) -> str:
    """Return the object FIELDS without its end, and then the beginning of ARRAY."""
    return json.dumps(fields, indent=2, ensure_ascii=False).removesuffix("\n}") + f',\n  "{array}": ['


def _indented(text: str, spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in text.split("\n"))
