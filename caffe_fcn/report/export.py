"""The report of an export, for people (lines) and for programs (a JSON document)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from caffe_fcn import __version__
from caffe_fcn.display import some, visible
from caffe_fcn.net.graph import Blob
from caffe_fcn.onnx.export import metadata_props
from caffe_fcn.onnx.graph import Value
from caffe_fcn.onnx.lowering import Lowered
from caffe_fcn.onnx.serialization import OPSET
from caffe_fcn.predict.export import SHOWN, ExportOutcome
from caffe_fcn.wording import option

_LETTERS = {"batch": "N", "length": "L", "height": "H", "width": "W"}
_MAPS = {3: "l", 4: "hw", 5: "lhw"}
"""Letters for the spatial axes of an output, whose lengths are not those of the input."""
_JSON_PROPS = ("input_mean", "input_scale", "classes", "geometry")


def lines(found: ExportOutcome) -> Iterator[str]:
    """Return the report for people, safe to print with any names of layers."""
    yield from map(visible, _lines(found))


def _lines(found: ExportOutcome) -> Iterator[str]:
    lowered = found.exported.lowered
    count = len(lowered.scope.graph.nodes)
    yield f"{found.net}: {count} layer{'s' * (count != 1)} of phase {found.phase} in ONNX, opset {OPSET}"
    rows = [("input", value.name, _dims(value)) for value in lowered.graph.inputs]
    places = json.loads(metadata_props(lowered).get("geometry", "{}"))
    for blob, value in zip(lowered.scope.outputs, lowered.graph.outputs, strict=True):
        name = value.name if value.name == blob.name else f"{value.name} (in Caffe {blob.name})"
        rows.append(("output", name, "  ".join(filter(None, (_dims(value), _place(places.get(value.name)))))))
    width = max(len(name) for _, name, _ in rows)
    for kind, name, told in rows:
        yield f"  {kind:<6}  {name:<{width}}  {told}"
    yield from (f"  {reason}" for reason in _fixed(found))
    yield from (f"  {told}" for told in _told(found))
    for old, new in found.replaced:
        yield f"  layer {old.name!r} ({old.type}) is replaced by its {new.type}, which makes {new.tops[0].name!r}"
    if found.left_out:
        yield f"  left out: {some([f'{node.name} ({node.type})' for node in found.left_out], SHOWN)}"
    yield from (f"note: {note}" for note in found.notes)
    files = [f"{name} ({size:,} bytes)" for name, size in found.exported.files.items() if name != "-"]
    if files:
        yield f"wrote {', '.join(files)}"


def _dims(value: Value) -> str:
    """Return the extents of VALUE, with a letter for each free one."""
    shown = [_LETTERS.get(dim.rpartition("_")[2], dim) if isinstance(dim, str) else dim for dim in value.dims]
    rank = len(shown)
    letters = "N?" + _MAPS.get(rank, "?" * rank) if shown[:1] == ["N"] else "?" * rank
    return "×".join(letters[axis] if dim is None else str(dim) for axis, dim in enumerate(shown)) or "a single value"


def _place(known: dict[str, Any] | None) -> str:
    """Return the positions of the cells of an output; KNOWN is its geometry in the metadata, None if it is not a
    map."""
    if known is None:
        return ""
    window, stride, offset = (
        "×".join("all" if extent is None else f"{extent:g}" for extent in known[key])
        for key in ("window", "stride", "offset")
    )
    exact = f"exact {known['exactness']}" + (f": {some(known['inexact'], SHOWN)}" if known["inexact"] else "")
    return f"window {window}, stride {stride}, offset {offset}, {exact}"


def _fixed(found: ExportOutcome) -> list[str]:
    return (
        [f"all sizes are fixed: {option('fixed', True)}"] if found.settings.fixed else [*found.exported.lowered.fixed]
    )


def _told(found: ExportOutcome) -> Iterator[str]:
    """Return the metadata on pictures and classes, in lines."""
    told = found.metadata
    parts = [f"channels {told.channels}"] if told.channels else []
    parts += [f"mean {', '.join(f'{value:g}' for value in told.mean)}"] if told.mean is not None else []
    parts += [f"scale {told.scale:g}"] if told.scale is not None else []
    parts += ["transposed pictures"] if told.column_major else []
    parts += [f"{len(told.labels):,} names of classes"] if told.labels is not None else []
    if parts:
        yield f"metadata: {'; '.join(parts)}"


def document(found: ExportOutcome) -> dict[str, Any]:
    """Return the JSON document, as described in docs/schema/export.json."""
    lowered = found.exported.lowered
    props = metadata_props(lowered, found.metadata)
    return {
        "caffe_fcn": __version__,
        "net": found.net,
        "weights": found.weights,
        "phase": found.phase,
        "files": [{"name": name, "bytes": size} for name, size in found.exported.files.items()],
        "opset": OPSET,
        "layers": len(lowered.scope.graph.nodes),
        "nodes": len(lowered.graph.nodes),
        "inputs": _values(lowered, lowered.scope.inputs, lowered.graph.inputs),
        "outputs": _values(lowered, lowered.scope.outputs, lowered.graph.outputs),
        "fixed": _fixed(found),
        "metadata": {
            key: None if key not in props else json.loads(props[key]) if key in _JSON_PROPS else props[key]
            for key in ("source", "input_channels", "input_order", *_JSON_PROPS)
        },
        "replaced": [{"layer": old.name, "type": old.type, "by": new.type} for old, new in found.replaced],
        "left_out": [{"layer": node.name, "type": node.type} for node in found.left_out],
        "notes": list(found.notes),
    }


def _values(lowered: Lowered, blobs: Sequence[Blob], values: Sequence[Value]) -> list[dict[str, Any]]:
    shapes = lowered.scope.shapes.blobs
    return [
        {
            "name": value.name,
            "blob": blob.name,
            "dims": list(value.dims),
            "nominal": list(shape) if isinstance(shape := shapes[blob], tuple) else [],
        }
        for blob, value in zip(blobs, values, strict=True)
    ]
