"""The report on the score of a segmentation, for people (tables) and for programs (a JSON document)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caffe_fcn import __version__
from caffe_fcn.predict.scoring import SegmentationScore
from caffe_fcn.report.tables import Column, Heading, Part, Table, shown

_SHOWN = 12
"""The maximum number of classes for which the confusion matrix is shown."""


def page(found: SegmentationScore) -> Iterator[Part]:
    """Return the report for people."""
    left_out = f", {found.ignored:,} ignored" if found.ignored else ""
    images = "1 image" if found.images == 1 else f"{found.images:,} images"
    yield Heading(f"{found.predictions} against {found.labels}: {images}, {found.pixels:,} pixels{left_out}")
    yield _classes(found)
    classes = len(found.confusion)
    if classes <= _SHOWN:
        yield ""
        yield Heading("pixels of the class in the row that are predicted as the class in the column")
        yield _confusion(found)
    yield ""
    yield Heading("all classes")
    measures = ("overall_accuracy", "mean_accuracy", "mean_iu", "frequency_weighted_iu")
    rows = [[_MEASURES[name], _fraction(getattr(found, name))] for name in measures]
    yield Table((Column("measure"), Column("value", number=True)), rows)


_MEASURES = {
    "overall_accuracy": "overall accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_iu": "mean IU",
    "frequency_weighted_iu": "frequency-weighted IU",
}


def _classes(found: SegmentationScore) -> Table:
    columns = [Column("class", number=True), Column("name", least=8), Column("pixels", number=True)]
    columns += [Column("accuracy", number=True), Column("IU", number=True)]
    counts = found.confusion.sum(1).tolist()
    rows = [
        [str(index), _name(found, index), f"{count:,}", _fraction(accuracy), _fraction(iu)]
        for index, (count, accuracy, iu) in enumerate(zip(counts, found.accuracy, found.iu, strict=True))
    ]
    if not found.names:
        columns.pop(1)
        rows = [[*row[:1], *row[2:]] for row in rows]
    return Table(tuple(columns), rows)


def _confusion(found: SegmentationScore) -> Table:
    columns = [
        Column("class", number=True),
        *(Column(str(index), number=True) for index in range(len(found.confusion))),
    ]
    rows = [[str(index), *(f"{count:,}" for count in row)] for index, row in enumerate(found.confusion.tolist())]
    return Table(tuple(columns), rows)


def _name(found: SegmentationScore, index: int) -> str:
    return shown(found.names[index]) if found.names else ""


def _fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def document(found: SegmentationScore) -> dict[str, Any]:
    """Return the JSON document."""
    predicted = found.confusion.sum(0).tolist()
    return {
        "caffe_fcn": __version__,
        "labels": found.labels,
        "predictions": found.predictions,
        "images": found.images,
        "pixels": found.pixels,
        "ignored": found.ignored,
        **{name: getattr(found, name) for name in _MEASURES},
        "classes": [
            {
                "class": index,
                "name": found.names[index] if found.names else None,
                "pixels": count,
                "predicted": predicted[index],
                "accuracy": found.accuracy[index],
                "iu": found.iu[index],
            }
            for index, count in enumerate(found.confusion.sum(1).tolist())
        ],
        "confusion": found.confusion.tolist(),
    }
