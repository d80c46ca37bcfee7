"""Compares the blobs of a weight file with the layers of a net, by Caffe's rules for loading weights.

A layer is refused if the number or the shapes of its blobs differ from those of the net. Equal counts of values are
not enough: 288×6 is not 6×288.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import NamedTuple

from caffe_fcn.display import some
from caffe_fcn.errors import WeightsError, located
from caffe_fcn.files.blobs import BlobRecord
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.shape import matching
from caffe_fcn.net.shapes import Shape, Shapes, bare, layouts_of, show
from caffe_fcn.wording import Command, Option

_SHOWN = 4
TO_SPLIT = Command("upgrade", (Option("for", "bvlc"),))
"""Splits BatchNorm layers that have a scale, or a ReLU."""
_BATCH_NORM = 3
"""The number of blobs of BVLC Caffe's BatchNorm."""


class Fit(NamedTuple):
    """What BVLC Caffe would refuse in weights that fit the net. OTHER_AXES: the layers whose blobs differ in axes of
    length 1, each with the first such blob in words. SCALED: the BatchNorm layers with a scale, as forks have them."""

    other_axes: Mapping[str, str] = MappingProxyType({})
    scaled: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes for the user."""
        found = []
        if self.other_axes:
            found.append(
                f"BVLC Caffe refuses the stored weights of {some([*self.other_axes], _SHOWN)}, because axes of length "
                f"1 differ: {next(iter(self.other_axes.values()))}"
            )
        if self.scaled:
            found.append(
                f"BVLC Caffe refuses the weights of {some(self.scaled, _SHOWN)}: these BatchNorm layers have a scale "
                f"and a shift, as in some forks; {TO_SPLIT} splits them"
            )
        return tuple(found)


def blob_shapes(weights: WeightFile) -> dict[str, list[Shape]]:
    """The shapes of the parameter blobs in WEIGHTS by layer name; without layers that lack a blob."""
    return {
        record.name: [blob.shape for blob in record.blobs]
        for record in weights.layers
        if record.blobs and not any(blob.absent for blob in record.blobs)
    }


def foreign_layers(weights: WeightFile, names: Iterable[str]) -> tuple[str, ...]:
    """The layers with blobs in WEIGHTS that are not among NAMES, the layers of the net."""
    known = set(names)
    return tuple(record.name for record in weights.layers if record.blobs and record.name not in known)


def loads(blob: BlobRecord, shape: Shape) -> bool:
    """Whether Caffe loads BLOB into a parameter blob of SHAPE (Blob::ShapeEquals). A blob with num, channels, height
    and width may have leading axes of length 1."""
    if blob.legacy_shape and len(shape) <= len(blob.shape):
        shape = (1,) * (len(blob.shape) - len(shape)) + shape
    return blob.shape == shape


def check_fit(weights: WeightFile, graphs: Sequence[tuple[Graph, Shapes]], *, lacks: bool) -> Fit:
    """Compare WEIGHTS with the net in each of its phases. LACKS: whether a layer of the net has no values without them.
    Raises WeightsError, naming the layer, where they do not fit."""
    records: dict[str, list[LayerRecord]] = {}
    for record in weights.layers:
        if record.blobs:
            records.setdefault(record.name, []).append(record)
    if lacks:
        _check_belong(weights, records, graphs)
    other_axes: dict[str, str] = {}
    scaled: dict[str, None] = {}
    for graph, shapes in graphs:
        for node in graph.nodes:
            for record in records.get(node.name, ()):
                expected = shapes.params.get(node.index)
                if node.index < 0 or expected is None:
                    continue
                with located(source=weights.path, layer=node.name, layer_type=node.type, index=node.index):
                    _check_layer(node, record, shapes, expected)
                if row_of(node.type).bvlc:
                    other_axes.update(_other_axes(record, expected))
                if node.type == "BatchNorm" and len(expected) > _BATCH_NORM:
                    scaled[node.name] = None
    return Fit(other_axes, tuple(scaled))


def _check_belong(
    weights: WeightFile, records: Mapping[str, Sequence[LayerRecord]], graphs: Sequence[tuple[Graph, Shapes]]
) -> None:
    """Raise WeightsError where the weights hold no layer of the net."""
    if not records:
        raise WeightsError(source=weights.path, expected="trained weights", found="layers without any blobs")
    if records.keys().isdisjoint(node.name for graph, _ in graphs for node in graph.nodes):
        raise WeightsError(
            f"none of the layers of this file ({some([*records], _SHOWN)}) is in the net",
            source=weights.path,
            hint="are these the weights of another net?",
        )


def _check_layer(node: Node, record: LayerRecord, shapes: Shapes, expected: Sequence[Shape]) -> None:
    """Raise WeightsError unless the blobs of RECORD fit NODE."""
    bottoms = [shapes.blobs[blob] for blob in node.bottoms]
    layouts = layouts_of(node.layer, bottoms) or [expected]
    found = [blob.shape for blob in record.blobs]
    if len(found) not in map(len, layouts):
        counts = " or ".join(str(count) for count in sorted(set(map(len, layouts))))
        raise WeightsError(
            expected=f"{counts} blobs ({_all(expected)})",
            found=f"{len(found)} ({_all(found)})",
            hint="are these the weights of another net?",
        )
    if len(found) != len(expected):  # no layout has these shapes: compare with the first of this length
        expected = next(layout for layout in layouts if len(layout) == len(found))
    for position, (blob, shape) in enumerate(zip(record.blobs, expected, strict=True)):
        _check_blob(f"blob {position}", blob, shape)
    if len(matching(layouts, found)) > 1:
        raise WeightsError(
            f"the order of its {len(found)} blobs is unknown: with one channel, the shapes do not show whether the "
            "statistics or the scale come first",
            hint="if the statistics come first, write `scale_bias: true` in its batch_norm_param",
        )


def _check_blob(place: str, blob: BlobRecord, shape: Shape) -> None:
    """Raise WeightsError unless BLOB has as many values as SHAPE, in the same order."""
    if blob.count != prod(shape):
        raise WeightsError(
            place=place,
            expected=f"{prod(shape):,} values ({show(shape)})",
            found=f"{blob.count:,} ({show(blob.shape)})",
            hint="are these the weights of another net, or of another input size?",
        )
    if bare(blob.shape) != bare(shape):
        raise WeightsError(
            place=place,
            expected=show(shape),
            found=f"{show(blob.shape)}, which Caffe refuses",
            hint="are these the weights of another net or of a converted net, or are their axes in another order?",
        )


def _other_axes(record: LayerRecord, expected: Sequence[Shape]) -> Iterator[tuple[str, str]]:
    """The name of RECORD, and its first blob that Caffe refuses although only axes of length 1 differ."""
    for position, (blob, shape) in enumerate(zip(record.blobs, expected, strict=True)):
        if not loads(blob, shape):
            found = show(blob.shape)
            yield record.name, f"layer {record.name!r}, blob {position}: expected {show(shape)}, found {found}"
            return


def _all(shapes: Sequence[Shape]) -> str:
    return ", ".join(map(show, shapes)) or "none"
