"""Exports a net with its weights, and with the data that a user needs to run it, as an ONNX file.

An .onnx file is self-contained. What users of Caffe keep beside a net (mean, scale, class names) goes into it where
possible; the rest is reported in a note.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from caffe_fcn.display import some
from caffe_fcn.engines.nets import one_net
from caffe_fcn.errors import LoweringError, PictureError
from caffe_fcn.files.atomic import check_outputs
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.stdout import STDOUT
from caffe_fcn.net.graph import Node
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.shapes import show
from caffe_fcn.net.source import SourceNet, foreign_types
from caffe_fcn.onnx.export import Exported, Metadata, export
from caffe_fcn.onnx.scope import Scope, choose_scope
from caffe_fcn.predict.labels import read_labels
from caffe_fcn.predict.means import Mean, read_mean
from caffe_fcn.predict.options import ExportOptions, PreparationOptions
from caffe_fcn.predict.preprocessing import mean_stated, stated_notes, transform_of
from caffe_fcn.wording import Option, advise, option

_COLOURS = 3
SHOWN = 4


class ExportSettings(NamedTuple):
    """The user's choices: the BLOBS that replace the net's own outputs, whether all sizes are FIXED and values
    EXTERNAL, in their own file; whether to EXPAND_LRN, as in `lower`; and the data on pictures and classes. LABELS is a
    file."""

    blobs: tuple[str, ...]
    fixed: bool
    external: bool
    expand_lrn: bool
    mean: Mean | None
    scale: float | None
    rgb: bool
    column_major: bool
    labels: str | os.PathLike[str] | None


class ExportOutcome(NamedTuple):
    """The result of an export: the file name NET, the PHASE, and the METADATA. LEFT_OUT are layers that are not
    exported, REPLACED are layers that another type replaces."""

    net: str
    weights: str
    phase: str
    exported: Exported
    metadata: Metadata
    settings: ExportSettings
    left_out: tuple[Node, ...]
    replaced: tuple[tuple[Node, Node], ...]
    notes: tuple[str, ...]


def export_net(
    source: SourceNet,
    weights: WeightFile,
    out_path: str | os.PathLike[str],
    selection: Selection = ANY_NET,
    options: ExportOptions | None = None,
    preparation: PreparationOptions | None = None,
    *,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ExportOutcome:
    """Write SOURCE with WEIGHTS to OUT_PATH as ONNX, in the phase of SELECTION, by default TEST.

    Raises LoweringError for layers that the ONNX exporter does not support, PictureError for a mean or labels that do
    not fit the net, ShapeError and WeightsError as `convert` does, OutputError if a file cannot be written.
    """
    asked = _settings(options or ExportOptions(), preparation or PreparationOptions())
    others = [asked.labels, None if asked.mean is None else asked.mean.name]
    if os.fspath(out_path) != STDOUT:
        check_outputs([out_path], [other for other in others if other is not None], force=force)
    found = one_net(source, weights, selection)
    graph, shapes, weights = found.net.graph, found.net.shapes, found.weights
    scope = choose_scope(graph, shapes, asked.blobs)
    stated = _stated(scope, asked)
    metadata = _metadata(source, weights, scope, stated)
    exported = export(
        graph,
        shapes,
        weights,
        out_path,
        outputs=asked.blobs,
        fixed=asked.fixed,
        external=asked.external,
        expand_lrn=asked.expand_lrn,
        metadata=metadata,
        force=force,
        progress=progress,
    )
    kept = {node.index: node for node in exported.lowered.scope.graph.nodes}
    replaced = ((node, kept[node.index]) for node in graph.nodes if node.index in kept)
    return ExportOutcome(
        source.name,
        weights.path,
        graph.phase,
        exported,
        metadata,
        asked,
        tuple(node for node in graph.nodes if node.index not in kept),
        tuple((old, new) for old, new in replaced if old.type != new.type),
        tuple(dict.fromkeys([*found.notes, *_notes(source, weights, exported.lowered.scope, asked)])),
    )


def _settings(options: ExportOptions, preparation: PreparationOptions) -> ExportSettings:
    return ExportSettings(
        blobs=options.blobs,
        fixed=options.fixed,
        external=options.external_data,
        expand_lrn=options.expand_lrn,
        mean=None if preparation.mean is None else read_mean(preparation.mean),
        scale=preparation.scale,
        rgb=preparation.swap_channels,
        column_major=preparation.column_major,
        labels=options.labels,
    )


# ---- Metadata in the file ----


def _stated(scope: Scope, asked: ExportSettings) -> ExportSettings:
    """Return ASKED, with the mean and the scale that the net itself defines if none is given."""
    stated = transform_of(scope.graph)
    if stated is None:
        return asked
    if asked.mean is None and stated.means:
        asked = asked._replace(mean=mean_stated(stated))
    if asked.scale is None and stated.scale != 1:
        asked = asked._replace(scale=stated.scale)
    return asked


def _metadata(source: SourceNet, weights: WeightFile, scope: Scope, asked: ExportSettings) -> Metadata:
    files = dict.fromkeys(os.path.basename(name) for name in (source.name, weights.path))
    channels = _channels(scope)
    if asked.mean is not None:
        _check_mean(asked.mean, channels)
    if asked.rgb and _COLOURS not in channels.values():
        raise PictureError(
            place=Option("swap_channels", True), expected="a net for pictures with 3 channels", found="none"
        )
    if asked.column_major and not channels:
        raise PictureError(place=Option("column_major", True), expected="a net for pictures", found="none")
    order = "RGB" if asked.rgb else "BGR"
    return Metadata(
        ", ".join(files),
        order if _COLOURS in channels.values() else None,
        None if asked.mean is None else _means(asked.mean, channels),
        asked.scale,
        None if asked.labels is None else read_labels(asked.labels, _classes(scope)).names,
        asked.column_major,
    )


def _channels(scope: Scope) -> dict[str, int]:
    """Return the inputs of SCOPE that are pictures or videos, with their numbers of channels."""
    shapes = {blob.name: scope.shapes.blobs[blob] for blob in scope.inputs}
    return {name: shape[1] for name, shape in shapes.items() if isinstance(shape, tuple) and len(shape) > 3}


def _check_mean(mean: Mean, channels: dict[str, int]) -> None:
    if not channels:
        raise PictureError(
            source=mean.name, role="mean", expected="a net for pictures", found="none", hint="leave it out"
        )
    for count in channels.values():
        mean.check(count)


def _means(mean: Mean, channels: dict[str, int]) -> list[float]:
    """Return a value for each channel; for a mean image the average."""
    values: list[float] = mean.of_channels().reshape(-1).tolist()
    counts = set(channels.values())
    return values * counts.pop() if len(values) == len(counts) == 1 else values


def _classes(scope: Scope) -> int:
    """Return the number of classes of the outputs. Raises LoweringError if they do not agree."""
    found = {
        blob.name: shape[min(1, len(shape) - 1)]
        for blob in scope.outputs
        if isinstance(shape := scope.shapes.blobs[blob], tuple) and shape
    }
    if len(set(found.values())) != 1:
        shown = ", ".join(f"{count} in {name!r}" for name, count in found.items()) or "none"
        raise LoweringError(
            source=scope.graph.source,
            expected=f"one count of classes for {option('labels')}",
            found=shown,
            hint=advise("see ", Option("blob")),
        )
    return next(iter(found.values()))


# ---- Notes ----


def _notes(source: SourceNet, weights: WeightFile, scope: Scope, asked: ExportSettings) -> Iterator[str]:
    yield from foreign_types(node.type for node in scope.graph.nodes)
    for blob in scope.inputs:
        node = scope.graph.producer[blob]
        if node.type != "Input" and node.index >= 0:
            yield (
                f"layer {node.name!r} ({node.type}) is now the input {blob.name!r}; the layers before it "
                "are not in the file"
            )
    if stated := transform_of(scope.graph):
        yield from stated_notes(stated, asked.mean, asked.scale)
    if asked.mean is not None and asked.mean.is_image:
        shown = show(asked.mean.values.shape)
        yield f"mean {asked.mean.name}: a mean image of {shown} cannot be stored; the file has its channel means"
    names = {layer.name for layer in source.net.layer}
    foreign = [record.name for record in weights.layers if record.blobs and record.name not in names]
    if foreign:
        yield f"weights of layers that are not in the net are left out: {some(foreign, SHOWN)}"
