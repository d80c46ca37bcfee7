"""Writes an inspection for programs: one JSON document, described in docs/schema/inspect.json, or rows of CSV.

Numbers are exact, unknown values are null or an empty cell, and every key is always present.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from caffe_fcn import __version__
from caffe_fcn.display import visible, visible_json
from caffe_fcn.inspection.records import BlobRow, Group, Inspection, Layer, Match
from caffe_fcn.net.cost import Total
from caffe_fcn.net.geometry import CellPhase, Geometry, words
from caffe_fcn.net.geometry.alignment import Misaligned
from caffe_fcn.net.shapes import Shape

_NUMBERS = re.compile(r"\[\n[-0-9.e+,\s]+\]")
"""A list of numbers on several lines; text in quotes cannot look like this."""


def to_json(found: Inspection) -> str:
    """Return FOUND as a JSON document with each shape on one line and without control characters."""
    text = json.dumps(document(found), indent=2, ensure_ascii=False, allow_nan=False)
    text = _NUMBERS.sub(lambda match: "[" + ", ".join(match[0][1:-1].replace(",", " ").split()) + "]", text)
    return visible_json(text) + "\n"


def document(found: Inspection) -> dict[str, Any]:
    """Return FOUND as described in docs/schema/inspect.json."""
    size = found.settings.input_size
    return {
        "caffe_fcn": __version__,
        "net": found.file,
        "name": found.name,
        "format": found.format,
        "phase": found.phase,
        "weights": _weights(found.weights) if found.weights else None,
        "input_size": list(size) if size else None,
        "inputs": {name: _list(shape) for name, shape in found.inputs.items()},
        "batch": found.batch,
        "layers": [_layer(layer) for layer in found.layers],
        "misaligned": [_misaligned(each) for each in found.misaligned],
        "totals": _total(found.totals) if found.totals else None,
        "selected": _total(found.selected) if found.selected else None,
        "groups": [_group(group) for group in found.groups],
        "blobs": [_blob(row) for row in found.blobs],
        "notes": list(found.notes),
    }


def to_csv(found: Inspection) -> str:
    """Return FOUND as CSV with a line of titles: its layers, or its blobs if statistics were requested or there is no
    net. Several values in a cell are separated by semicolons."""
    if found.settings.statistics or found.totals is None:
        titles = _BLOB_TITLES + (_STATISTICS if found.settings.statistics else ())
        rows = [_blob_cells(row) for row in found.blobs]
    else:
        titles = _LAYER_TITLES + (_GEOMETRY_TITLES if found.settings.geometry else ())
        rows = [_layer_cells(layer) for layer in found.layers]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([titles, *(row[: len(titles)] for row in rows)])
    return out.getvalue()


# ---- JSON ----


def _list(shape: Shape | None) -> list[int] | None:
    return None if shape is None else list(shape)


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def _weights(match: Match) -> dict[str, Any]:
    return {
        "file": match.file,
        "format": match.format,
        "size": match.size,
        "dtypes": list(match.dtypes),
        "layers": match.held,
        "wanted": match.wanted,
        "missing": list(match.missing),
        "foreign": list(match.foreign),
    }


def _layer(layer: Layer) -> dict[str, Any]:
    cost = layer.cost
    return {
        "name": layer.name,
        "type": layer.type,
        "bottoms": list(layer.bottoms),
        "tops": [{"name": top.name, "shape": _list(top.shape), "in_place": top.in_place} for top in layer.tops],
        "parameters": cost.parameters,
        "statistics": cost.statistics,
        "macs": cost.macs,
        "activation_bytes": cost.activation_bytes,
        "parameter_shapes": None if cost.blobs is None else [list(blob.shape) for blob in cost.blobs],
        "shared_with": list(cost.shared_with),
        "geometry": _geometry(layer.geometry) if layer.geometry else None,
    }


def _geometry(geometry: Geometry) -> dict[str, Any]:
    return {
        "window": list(geometry.window),
        "stride": [_number(stride) for stride in geometry.stride],
        "offset": [_number(offset) for offset in geometry.offset],
        "phases": [[_phase(phase) for phase in axis] for axis in geometry.phases],
        "exactness": geometry.exactness.value,
        "reasons": list(map(words, geometry.reasons)),
    }


def _misaligned(found: Misaligned) -> dict[str, Any]:
    return {
        "layer": found.name,
        "type": found.type,
        "blobs": [found.first, found.second],
        "distance": list(map(_number, found.distance)),
        "strides": [list(map(_number, stride)) for stride in found.strides],
        "unit": found.origin,
        "aligned": None if found.aligned is None else list(found.aligned),
    }


def _phase(phase: CellPhase) -> dict[str, Any]:
    return {"window": phase.window, "offset": _number(phase.offset), "exactness": phase.exactness.value}


def _total(total: Total) -> dict[str, Any]:
    return {
        "layers": total.layers,
        "parameters": total.parameters,
        "statistics": total.statistics,
        "macs": total.macs,
        "activation_bytes": total.activation_bytes,
        "unknown": {
            "parameters": total.without_parameters,
            "macs": total.without_macs,
            "activation_bytes": total.without_activation,
        },
    }


def _group(group: Group) -> dict[str, Any]:
    return {"prefix": group.prefix, **_total(group.total)}


_STATISTICS = ("min", "max", "mean", "deviation", "zeros", "nan", "inf")


def _statistics(row: BlobRow) -> dict[str, Any] | None:
    found = row.statistics
    if found is None:
        return None
    values = (found.minimum, found.maximum, found.mean, found.deviation, found.zeros, found.nan, found.inf)
    return dict(zip(_STATISTICS, values, strict=True))


def _blob(row: BlobRow) -> dict[str, Any]:
    return {
        "layer": row.layer,
        "index": row.position,
        "shape": list(row.shape),
        "dtype": row.dtype,
        "values": row.values,
        "bytes": row.size,
        "statistics": _statistics(row),
    }


# ---- CSV ----

_LAYER_TITLES = (
    *("name", "type", "bottoms", "tops", "shapes", "in_place", "parameters", "statistics", "macs"),
    *("activation_bytes", "parameter_shapes", "shared_with"),
)
_GEOMETRY_TITLES = ("window", "stride", "offset", "phases", "exactness", "reasons")
_BLOB_TITLES = ("layer", "index", "shape", "dtype", "values", "bytes")


def _layer_cells(layer: Layer) -> list[Any]:
    cost, lies = layer.cost, layer.geometry
    cells = [
        visible(layer.name),
        visible(layer.type),
        _joined(layer.bottoms),
        _joined(top.name for top in layer.tops),
        _joined(_extents(top.shape) for top in layer.tops),
        _joined(_truth(top.in_place) for top in layer.tops),
        *(cost.parameters, cost.statistics, cost.macs, cost.activation_bytes),
        _joined(_extents(blob.shape) for blob in cost.blobs or ()),
        _joined(cost.shared_with),
    ]
    if lies is None:
        return [*cells, *[""] * len(_GEOMETRY_TITLES)]
    numbers = [_extents("all" if window is None else window for window in lies.window)]
    numbers += [_extents(map(_number, lies.stride)), _extents(map(_number, lies.offset))]
    numbers.append(_extents(len(axis.phases) for axis in lies.axes))
    return [*cells, *numbers, lies.exactness.value, _joined(map(words, lies.reasons))]


def _blob_cells(row: BlobRow) -> list[Any]:
    cells = [visible(row.layer), row.position, _extents(row.shape), row.dtype, row.values, row.size]
    return [*cells, *(_statistics(row) or {}).values()]


def _joined(texts: Iterable[str]) -> str:
    return ";".join(visible(text) for text in texts)


def _extents(shape: Iterable[int | float | str] | None) -> str:
    return "?" if shape is None else "x".join(map(str, shape)) or "scalar"


def _truth(value: bool) -> str:
    return "yes" if value else "no"
