"""What a net made of pictures, for programs: JSON as docs/schema/run.json describes it, a piece at a time.

The one idea: a map may have millions of cells, so the document is never there as a whole. Objects are left open, and
their last array follows, a line for each cell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from caffe_fcn import __version__
from caffe_fcn.net.geometry import exactness_of, words
from caffe_fcn.run.labels import Labels
from caffe_fcn.run.model import Model
from caffe_fcn.run.running import Answer, Found, Level, Settings, best_classes, summarize, tops

if TYPE_CHECKING:
    from numpy.typing import NDArray

END = "\n  ]\n}\n"
"""What ends the document."""


def head(model: Model, weights: str, engine: str, settings: Settings, notes: Sequence[str]) -> str:
    """The beginning of the document, up to its pictures."""
    steps = settings.steps
    mean = steps.mean
    return _opened(
        {
            "caffe_fcn": __version__,
            "net": model.source,
            "weights": weights,
            "engine": engine,
            "blob": model.blob.name,
            "classes": model.classes,
            "labels": list(settings.labels.names) or None,
            "preprocessing": {
                "channels": {1: "grey", 3: "RGB" if steps.rgb else "BGR"}.get(model.channels, "as given"),
                "mean": None if mean is None else mean.name,
                "scale": steps.scale,
            },
            "notes": list(notes),
        },
        "pictures",
    )


def failure(path: str, message: str) -> str:
    """The entry of a picture that could not be looked at."""
    return _indented(json.dumps({"picture": path, "error": message}, indent=2, ensure_ascii=False), 4)


def entry(answer: Answer, labels: Labels, top: int, outputs: Mapping[str, str | None]) -> Iterator[str]:
    """The entry of one picture, with the TOP classes, or places; OUTPUTS are the files written."""
    levels = answer.levels if answer.is_map else ()
    found = summarize(levels, labels.background)
    best = found.best[:top] if levels else best_classes(answer.levels[0].scores, top)
    fields = {
        "picture": answer.path,
        "size": list(answer.plan.original),
        "resized": list(answer.plan.picture.size) if answer.plan.picture.size != answer.plan.original else None,
        "notes": list(answer.plan.notes),
        "outputs": dict(outputs),
        "top": [_best(answer, each, labels) for each in best],
    }
    yield _indented(_opened(fields, "maps"), 4)
    for number, level in enumerate(levels):
        opened = _opened(_level(level, found.counts[number], labels), "cells")
        yield f"{',' if number else ''}\n{_indented(opened, 8)}"
        yield from _cells(level, labels, " " * 12)
        yield "\n          ]\n        }"
    yield ("\n      " if levels else "") + "]\n    }"


def _best(answer: Answer, found: Found, labels: Labels) -> dict[str, Any]:
    cells = answer.levels[found.level].cells
    place = None
    if cells is not None:
        place = {
            "map": found.level,
            "row": found.row,
            "column": found.column,
            "window": list(cells.window_of(found.row, found.column)),
        }
    return {"class": found.label, "name": labels.name(found.label), "score": _number(found.score), "place": place}


def _number(score: float) -> float:
    """SCORE in the fewest digits that say the same in single precision."""
    return float(f"{score:.9g}")


def _level(level: Level, counts: Sequence[int], labels: Labels) -> dict[str, Any]:
    cells = level.cells
    axes = (cells.rows, cells.columns) if cells else ()
    return {
        "scale": level.scale,
        "shape": list(level.scores.shape),
        "window": [axis.window for axis in axes],
        "stride": [float(axis.stride) for axis in axes],
        "offset": [float(axis.offset) for axis in axes],
        "exactness": exactness_of(cells.reasons if cells else ()).value,
        "reasons": list(map(words, cells.reasons if cells else ())),
        "tiles": level.tiles,
        "counts": [
            {"class": index, "name": labels.name(index), "cells": count} for index, count in enumerate(counts) if count
        ],
    }


def _cells(level: Level, labels: Labels, indent: str) -> Iterator[str]:
    """A line for each cell of LEVEL."""
    cells = level.cells
    if cells is None:
        return
    names = [json.dumps(labels.name(index), ensure_ascii=False) for index in range(labels.count)]
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
    names: Sequence[str],
    indent: str,
) -> Iterator[str]:
    high, low = down
    for column, (index, value, (left, right)) in enumerate(zip(top.tolist(), score.tolist(), across, strict=True)):
        yield (
            f'{indent}{{"row": {row}, "column": {column}, "window": [{high}, {left}, {low}, {right}], '
            f'"class": {index}, "name": {names[index]}, "score": {value:.9g}}}'
        )


def _opened(fields: Mapping[str, Any], array: str) -> str:
    """The object FIELDS, without its end, and after them the beginning of ARRAY."""
    return json.dumps(fields, indent=2, ensure_ascii=False).removesuffix("\n}") + f',\n  "{array}": ['


def _indented(text: str, spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in text.split("\n"))
