"""Writes a net as an .onnx file: the model, metadata for its users, and the weights. If an error occurs, no file is
left.

Weights are copied from their file to the new one, so memory does not grow with the model. A model too large for one
protobuf message has its values in a second file beside the first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from caffe_fcn.display import as_utf8
from caffe_fcn.errors import OutputError, ShapeError
from caffe_fcn.files.atomic import OutputFiles, check_outputs, output_error
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.copying import Sink
from caffe_fcn.files.parts import Part, size_of, write_parts
from caffe_fcn.files.stdout import STDOUT, write_stdout
from caffe_fcn.net.geometry import CellPhase, Reason, exactness_of, infer_geometry, words
from caffe_fcn.net.graph import Blob, Graph
from caffe_fcn.net.shapes import Shapes, infer_shapes
from caffe_fcn.onnx.finite import check_finite
from caffe_fcn.onnx.lowering import Lowered, lower
from caffe_fcn.onnx.serialization import LIMIT, lay_out, onnx_package

DATA_SUFFIX = ".data"
"""The ending of the file of values, after the name of the model."""


class Metadata(NamedTuple):
    """Data for users of the model that are not in the net.

    SOURCE has the names of its files; CHANNELS is the order of a picture's, "BGR" or "RGB"; MEAN is subtracted from
    each channel before multiplying by SCALE, as in Caffe; LABELS names the classes; COLUMN_MAJOR: the net takes
    transposed pictures.
    """

    source: str | None = None
    channels: str | None = None
    mean: Sequence[float] | None = None
    scale: float | None = None
    labels: Sequence[str] | None = None
    column_major: bool = False


NO_METADATA = Metadata()

MEANINGS: Mapping[str, str] = {
    "source": "the names of the Caffe files from which the model was made",
    "input_channels": "the order of the channels of a picture: BGR or RGB",
    "input_mean": "JSON list: the mean to subtract from each channel of a picture, in that order, for values 0 to 255",
    "input_scale": "JSON number: the scale to multiply by after that",
    "input_order": "column_major if the model takes transposed pictures, N×C×W×H, as after training in MATLAB; maps "
    "are transposed, too",
    "classes": "JSON list: the names of the classes, in the order of their numbers",
    "geometry": "JSON object: for each output that is a map, by name, the positions of its cells in pixels of the "
    "input. Lists have one value for each spatial axis, height before width. `window`: the number of "
    "pixels that a cell sees, at most; null for the whole axis. `stride`: the distance between "
    "neighbouring cells. `offset`: the centre of the first cell; 0 is the centre of the first pixel, and "
    "the centre of cell i is offset + i * stride. `phases`: an empty list, or, if cells are of n kinds in "
    "turn, for each axis the window and the offset of the first cell of each kind; the next cell of the "
    "same kind is n * stride further. `exactness`: where a cell depends only on its window: everywhere, "
    "away from borders or nowhere. `inexact`: the reasons why a cell depends on more",
}
"""The meanings of the keys of metadata_props; the inputs are float32, N×C×H×W."""


class Exported(NamedTuple):
    """The result of an export: the LOWERED net, and the files with their sizes in bytes."""

    lowered: Lowered
    files: dict[str, int]


def export(
    graph: Graph,
    shapes: Shapes,
    weights: WeightFile,
    out_path: str | os.PathLike[str],
    *,
    outputs: Sequence[str] = (),
    fixed: bool = False,
    external: bool = False,
    expand_lrn: bool = False,
    metadata: Metadata = NO_METADATA,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Exported:
    """Write GRAPH, of the nominal SHAPES, with its parameter blobs in WEIGHTS, to OUT_PATH as ONNX; "-" is stdout.

    OUTPUTS, FIXED and EXPAND_LRN are as in `lower`. Values are written to a file beside it, OUT_PATH.data, if the model
    is too large for one file, or with EXTERNAL. `progress` gets the number of bytes written so far. Raises the errors
    of `lower`, WeightsError if weights are NaN or infinite, ExtraError if the onnx package is not installed,
    OutputError if a file cannot be written or, without FORCE, exists.
    """
    path = os.fspath(out_path)
    onnx_package(f"{path}: writing ONNX")
    inputs = [graph.source, weights.path]
    check_outputs([path] if path != STDOUT else [], inputs, force=force)
    lowered = lower(graph, shapes, weights, outputs=outputs, fixed=fixed, expand_lrn=expand_lrn, separate=True)
    check_finite(weights, lowered.scope.graph)
    told = metadata_props(lowered, metadata)
    doc = explained(told)
    parts = lay_out(lowered.graph, told, doc=doc)
    if external or size_of(parts.model) > LIMIT:
        if path == STDOUT:
            raise OutputError("the weights need a second file beside the model", source="stdout", hint="name a file")
        name = os.path.basename(path) + DATA_SUFFIX
        if os.fsencode(name) != as_utf8(name).encode():
            raise OutputError(
                "the name of the second file must be UTF-8 in ONNX, found other bytes",
                source=path,
                hint="choose another name",
            )
        parts = lay_out(lowered.graph, told, as_utf8(name), doc=doc)
    planned = {path: parts.model, **({path + DATA_SUFFIX: parts.data} if parts.data else {})}
    if size_of(parts.model) > LIMIT:
        raise OutputError(f"{size_of(parts.model):,} bytes without its weights, more than ONNX can hold", source=path)
    _write(planned, inputs, force, progress)
    return Exported(lowered, {name: size_of(made) for name, made in planned.items()})


def _write(
    planned: Mapping[str, Sequence[Part]],
    inputs: Sequence[str],
    force: bool,
    progress: Callable[[int], None] | None,
) -> None:
    """Write the files PLANNED, all of them or none."""
    if STDOUT in planned:
        write_stdout(lambda fd: write_parts(Sink(fd, progress), planned[STDOUT]), size_of(planned[STDOUT]))
        return
    check_outputs(planned, inputs, force=force)
    done = 0
    with OutputFiles() as files:
        for name, parts in planned.items():
            output = files.add(name, overwrite=force)
            told = (lambda written, before=done: progress(before + written)) if progress else None
            try:
                write_parts(Sink(output.fd, told), parts)
            except BrokenPipeError:
                raise
            except OSError as error:
                raise output_error(name, error, needed=size_of(parts)) from error
            done += size_of(parts)
        files.commit()


def metadata_props(lowered: Lowered, metadata: Metadata = NO_METADATA) -> dict[str, str]:
    """Return the entries of the model's metadata_props: texts, and lists and tables in JSON. Blobs have their names in
    the file.

    `geometry` has for each output that is a map, per spatial axis and in pixels of the input: the window that a cell
    sees, the stride from cell to cell, the offset of the first cell, the window and the offset of each phase if there
    are several, how exact it is at every size that the model accepts, and the reasons why it is not.
    """
    props = {
        "source": metadata.source or os.path.basename(lowered.scope.graph.source),
        "input_channels": metadata.channels,
        "input_mean": _json(None if metadata.mean is None else [float(value) for value in metadata.mean]),
        "input_scale": _json(None if metadata.scale is None else float(metadata.scale)),
        "input_order": "column_major" if metadata.column_major else None,
        "classes": _json(None if metadata.labels is None else list(metadata.labels)),
        "geometry": _json(_geometry(lowered) or None),
    }
    return {key: text for key, text in props.items() if text is not None}


def explained(keys: Iterable[str]) -> str:
    """Return the doc_string of the model: the meaning of the metadata_props KEYS."""
    return "\n".join(["Inputs are float32. metadata_props:", *(f"{key}: {MEANINGS[key]}" for key in keys)])


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _geometry(lowered: Lowered) -> dict[str, dict[str, object]]:
    known = infer_geometry(lowered.scope.graph, lowered.scope.shapes)
    reasons = _reasons(lowered)
    return {
        value.name: {
            "window": list(found.window),
            "stride": [_number(value) for value in found.stride],
            "offset": [_number(value) for value in found.offset],
            "phases": [list(map(_phase, axis)) for axis in found.phases],
            "exactness": exactness_of(reasons[blob]).value,
            "inexact": list(map(words, reasons[blob])),
        }
        for blob, value in zip(lowered.scope.outputs, lowered.graph.outputs, strict=True)
        if (found := known.get(blob)) is not None
    }


def _phase(phase: CellPhase) -> dict[str, object]:
    return {"window": phase.window, "offset": _number(phase.offset)}


def _reasons(lowered: Lowered) -> dict[Blob, tuple[Reason, ...]]:
    """Return why maps are not exact at the nominal size, or at other sizes that the model accepts. For a layer, an
    input that is longer by its stride has one more position, so its windows may be partial at another size."""
    graph, shapes = lowered.scope.graph, lowered.scope.shapes
    free = {
        name: [axis for axis, extent in enumerate(value.dims) if axis > 1 and not isinstance(extent, int)]
        for name, value in lowered.inputs.items()
    }
    nominal = infer_geometry(graph, shapes)
    known = [found for found in nominal.values() if found is not None]
    found = {blob: each.reasons for blob in lowered.scope.outputs if (each := nominal.get(blob)) is not None}
    for more in sorted({step for each in known for step in each.step}) if any(free.values()) else ():
        given = {
            blob.name: tuple(extent + more * (axis in free[blob.name]) for axis, extent in enumerate(shape))
            for blob in lowered.scope.inputs
            if isinstance(shape := shapes.blobs[blob], tuple)
        }
        try:
            larger = infer_geometry(graph, infer_shapes(graph, given=given))
        except ShapeError:  # some nets do not accept every size
            continue
        for blob in lowered.scope.outputs:
            if (each := larger.get(blob)) is not None:
                found[blob] = tuple(dict.fromkeys((*found.get(blob, ()), *each.reasons)))
    return found


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)
