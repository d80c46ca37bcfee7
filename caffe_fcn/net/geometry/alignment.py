"""Finds layers that join maps whose cells do not coincide, and the distance between the cells.

This is no error: many nets were trained in this way, for example with a strided 3×3 pooling beside a padded
convolution. But it is also the effect of a Crop with a wrong offset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from caffe_fcn.net.geometry.coordinates import Places, infer_coordinates
from caffe_fcn.net.geometry.crops import Offset, offsets_between, read_crops
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.cutting import crop_offsets
from caffe_fcn.net.shapes import Shape, Shapes


class Misaligned(NamedTuple):
    """A layer that joins the blobs FIRST and SECOND, whose cells do not coincide.

    DISTANCE: from the first cell of the first to that of the second along each axis. STRIDES: the distances between
    neighbouring cells of both. Both are in pixels, or in cells of ORIGIN if that is no input. ALIGNED: the offset of a
    Crop with which the cells coincide.
    """

    layer: int
    """By its `Node.index`."""
    name: str
    type: str
    first: str
    second: str
    distance: tuple[Fraction, ...]
    strides: tuple[tuple[Fraction, ...], tuple[Fraction, ...]]
    origin: str | None = None
    aligned: Shape | None = None


def misaligned(graph: Graph, shapes: Shapes) -> tuple[Misaligned, ...]:
    """The layers of GRAPH that join maps whose cells do not coincide, each with the first bottom that lies elsewhere.

    A Crop with an undecided offset is not included; for later layers it has the offset that the geometry gives.
    A Crop and the layer that joins its top with the map that it was cut for are found once, at the Crop.
    """
    readings = () if graph.crops_at_zero else read_crops(graph, shapes)
    undecided = {each.layer for each in readings if not each.is_zero}
    known = infer_coordinates(graph, shapes, {each.layer: each.offsets for each in readings if each.offsets})
    found, cropped = [], set[frozenset[Blob]]()
    for node in graph.nodes:
        each = _judge(graph, node, shapes, known, cropped) if node.index not in undecided else None
        found += [each] if each is not None else []
    return tuple(found)


def _judge(
    graph: Graph, node: Node, shapes: Shapes, known: Mapping[Blob, Places], cropped: set[frozenset[Blob]]
) -> Misaligned | None:
    """What is found at NODE. CROPPED has the tops of Crops that were found, each with the map that it was cut for, and
    this adds to them: a layer that joins the two is no finding of its own."""
    for first, second in _joined(node):
        if frozenset((first, second)) in cropped or not _are_maps(shapes, first, second):
            continue
        ways = offsets_between(known[first], _places_of_labels(graph, shapes, known, first, second))
        if (
            len({(way.strides, way.offsets) for way in ways}) != 1
        ):  # an earlier join is misaligned, or no origin is known
            continue
        way = min(ways, key=lambda each: bool(graph.producer[each.origin].bottoms))
        if any(way.offsets) or any(stride != 1 for stride in way.strides):
            if node.type == "Crop":
                cropped.add(frozenset((first, second)))
            pixels = not graph.producer[way.origin].bottoms
            return _found(node, way, pixels, first, second, _offsets(node, len(way.offsets)))
    return None


def _offsets(node: Node, axes: int) -> Sequence[int]:
    """The offset of NODE along each of AXES spatial axes if it is a Crop; else zeros."""
    if node.type != "Crop":
        return ()
    axis = node.layer.crop_param.axis % (axes + 2)
    offsets: Shape = (0,) * axis + crop_offsets(node.layer, axes + 2 - axis)
    return offsets[2:]


def _joined(node: Node) -> Iterator[tuple[Blob, Blob]]:
    """The pairs of blobs whose cells NODE joins."""
    row = row_of(node.type)
    if node.type == "Crop" and len(node.bottoms) > 1:
        yield node.tops[0], node.bottoms[1]
    elif row.joins:
        first, *others = row.maps(node.bottoms, 0)
        yield from ((first, other) for other in others)
    elif row.judges and row.tops[1] != 0 and len(node.bottoms) > 1:  # scores and labels
        yield node.bottoms[0], node.bottoms[1]


def _are_maps(shapes: Shapes, *blobs: Blob) -> bool:
    """Whether BLOBS are maps with more than one cell and the same number of axes, as far as known."""
    known = [shape[2:] for blob in blobs if isinstance(shape := shapes.blobs[blob], tuple)]
    return len(set(map(len, known))) < 2 and all(known) and not (known and all(set(size) == {1} for size in known))


def _places_of_labels(graph: Graph, shapes: Shapes, known: Mapping[Blob, Places], first: Blob, second: Blob) -> Places:
    """The places of SECOND. If it is an input as large as one on which FIRST depends, its cells are taken for labels of
    that input's pixels."""
    places = known[second]
    origin = next(iter(places), None)
    if len(places) != 1 or origin is None or graph.producer[origin].bottoms or origin in known[first]:
        return places
    for picture in known[first]:
        sizes = [shape[2:] for blob in (picture, origin) if isinstance(shape := shapes.blobs[blob], tuple)]
        if not graph.producer[picture].bottoms and len(sizes) == 2 and sizes[0] == sizes[1]:
            return {picture: places[origin]}
    return places


def _found(node: Node, way: Offset, pixels: bool, first: Blob, second: Blob, offsets: Sequence[int]) -> Misaligned:
    return Misaligned(
        node.index,
        node.name,
        node.type,
        first.name,
        second.name,
        tuple(offset * scale for offset, scale in zip(way.offsets, way.scale, strict=True)),
        (way.scale, tuple(stride * scale for stride, scale in zip(way.strides, way.scale, strict=True))),
        None if pixels else way.origin.name,
        _aligned(node, way, offsets) if node.type == "Crop" else None,
    )


def _aligned(node: Node, way: Offset, offsets: Sequence[int]) -> Shape | None:
    """The offset along each spatial axis with which the bottoms of the Crop NODE, which has OFFSETS, coincide."""
    if any(stride != 1 for stride in way.strides) or any(offset.denominator != 1 for offset in way.offsets):
        return None
    wanted = tuple(now + int(more) for now, more in zip(offsets, way.offsets, strict=True))
    cut = node.layer.crop_param.axis % (len(wanted) + 2) - 2
    return wanted if min(wanted) >= 0 and not any(way.offsets[: max(0, cut)]) else None


# ---- Words ----


def told(found: Misaligned) -> str:
    """FOUND in words."""
    unit, one = ("pixels", "pixel")
    if found.origin is not None:
        unit, one = (f'{each} of "{found.origin}"' for each in ("cells", "cell"))
    first, second = found.strides
    if first != second:
        steps = (
            f'of "{found.first}" are {_numbers(first)} and those of "{found.second}" {_numbers(second)} {unit} apart'
        )
        return f"the cells do not coincide: the cells {steps}"
    distance = _numbers(tuple(map(abs, found.distance)))
    unit = one if distance == "1" else unit
    cure = f"; they coincide with an offset of {_numbers(found.aligned)}" if found.aligned is not None else ""
    return f'the cells of "{found.first}" and "{found.second}" do not coincide: they are {distance} {unit} apart{cure}'


def _numbers(values: Sequence[Fraction | int]) -> str:
    """VALUES in words: one number if all are equal, as decimals if these are short."""
    shown = [str(float(value)) if getattr(value, "denominator", 1) in (2, 4, 8) else str(value) for value in values]
    return "×".join(shown[:1] if len(set(shown)) == 1 else shown)
