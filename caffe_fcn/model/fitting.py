"""Compares the blobs of a weight file with the layers of a net, by the rules of Caffe when it loads weights.

A layer is refused if the number or the shapes of its blobs differ from those of the net. Equal counts of values are
not enough: 288×6 is not 6×288.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import NamedTuple

from caffe_fcn.errors import WeightsError, located
from caffe_fcn.files.blobs import BlobRecord
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.shape import matching
from caffe_fcn.net.shapes import Shape, Shapes, bare, layouts_of, show

_SHOWN = 4
_BATCH_NORM = 3
"""How many blobs a BatchNorm of BVLC Caffe has."""


class Fit(NamedTuple):
    """What BVLC Caffe would say of weights that fit the net: the layers whose blobs have OTHER_AXES of one than it
    wants, each with the first such blob in words, and the BatchNorm layers that are SCALED, as forks have them."""

    other_axes: Mapping[str, str] = MappingProxyType({})
    scaled: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The same in sentences."""
        found = []
        if self.other_axes:
            found.append(
                f"BVLC Caffe refuses the weights of {some(self.other_axes)} as they are stored, because axes of one "
                f"differ: {next(iter(self.other_axes.values()))}"
            )
        if self.scaled:
            found.append(
                f"BVLC Caffe refuses the weights of {some(self.scaled)}: BatchNorm layers with a scale and shift of "
                "their own, as some forks have them; to split them: "
                "`caffe-fcn upgrade NET WEIGHTS -o NEW_NET -w NEW_WEIGHTS --for bvlc`"
            )
        return tuple(found)


def blob_shapes(weights: WeightFile) -> dict[str, list[Shape]]:
    """The shapes of the parameter blobs in WEIGHTS, by layer name, where all of a layer's are there."""
    return {
        record.name: [blob.shape for blob in record.blobs]
        for record in weights.layers
        if record.blobs and not any(blob.absent for blob in record.blobs)
    }


def foreign_layers(weights: WeightFile, names: Iterable[str]) -> tuple[str, ...]:
    """The layers with blobs in WEIGHTS that are none of NAMES, those of the net."""
    known = set(names)
    return tuple(record.name for record in weights.layers if record.blobs and record.name not in known)


def loads(blob: BlobRecord, shape: Shape) -> bool:
    """Whether Caffe reads BLOB into a parameter blob of SHAPE (Blob::ShapeEquals). One that is stored as num, channels,
    height and width has axes of one in front."""
    if blob.legacy_shape and len(shape) <= len(blob.shape):
        shape = (1,) * (len(blob.shape) - len(shape)) + shape
    return blob.shape == shape


def check_fit(weights: WeightFile, graphs: Sequence[tuple[Graph, Shapes]], *, lacks: bool) -> Fit:
    """Hold WEIGHTS against the net in each of its phases; LACKS says whether a layer of it has no values without them.
    Raises WeightsError, naming the layer, where they misfit."""
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
    """Raise WeightsError where the weights hold nothing for any layer of the net."""
    if not records:
        raise WeightsError(source=weights.path, expected="trained weights", found="layers without any blobs")
    if records.keys().isdisjoint(node.name for graph, _ in graphs for node in graph.nodes):
        raise WeightsError(
            f"none of its layers ({some(records)}) is in the net",
            source=weights.path,
            hint="are these the weights of another net?",
        )


def _check_layer(node: Node, record: LayerRecord, shapes: Shapes, expected: Sequence[Shape]) -> None:
    """Raise WeightsError unless the blobs of RECORD are those that NODE has in the net."""
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
    if len(found) != len(expected):  # no layout has these shapes: tell it of the first that has so many
        expected = next(layout for layout in layouts if len(layout) == len(found))
    for position, (blob, shape) in enumerate(zip(record.blobs, expected, strict=True)):
        _check_blob(f"blob {position}", blob, shape)
    if len(matching(layouts, found)) > 1:
        raise WeightsError(
            f"its {len(found)} blobs can be in two orders, the statistics first or the scale first, and with one "
            "channel their shapes do not tell which",
            hint="say `scale_bias: true` in its batch_norm_param if the statistics are first",
        )


def _check_blob(place: str, blob: BlobRecord, shape: Shape) -> None:
    """Raise WeightsError unless BLOB has the values of SHAPE in their order."""
    if blob.count != prod(shape):
        raise WeightsError(
            place=place,
            expected=f"{prod(shape):,} values ({show(shape)})",
            found=f"{blob.count:,} ({show(blob.shape)})",
            hint="are these the weights of another net, or is the input size another?",
        )
    if bare(blob.shape) != bare(shape):
        raise WeightsError(
            place=place,
            expected=show(shape),
            found=f"{show(blob.shape)}, which Caffe refuses",
            hint="are these the weights of another net, converted already, or stored with their axes in another order?",
        )


def _other_axes(record: LayerRecord, expected: Sequence[Shape]) -> Iterator[tuple[str, str]]:
    """RECORD's name, and its first blob that Caffe does not load although only axes of one differ."""
    for position, (blob, shape) in enumerate(zip(record.blobs, expected, strict=True)):
        if not loads(blob, shape):
            found = show(blob.shape)
            yield record.name, f"layer {record.name!r}, blob {position}: expected {show(shape)}, found {found}"
            return


def _all(shapes: Sequence[Shape]) -> str:
    return ", ".join(map(show, shapes)) or "none"


def some(names: Iterable[str]) -> str:
    """The first of NAMES."""
    listed = list(names)
    return ", ".join(listed[:_SHOWN]) + (", ..." if len(listed) > _SHOWN else "")
