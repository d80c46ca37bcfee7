"""The layers of a page: what `inspect` knows of each, in words."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from caffe_fcn.diagram.numbers import numbers
from caffe_fcn.display import first_of, printable
from caffe_fcn.inspection.records import Inspection, Layer, Top
from caffe_fcn.inspection.words import axes, human, human_bytes, shape_of, windows
from caffe_fcn.net.geometry import Exactness, Geometry, summed_up
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shapes
from caffe_fcn.page.contents import title_of
from caffe_fcn.page.records import CostShare, Fact, PageBlob, PageLayer
from caffe_fcn.page.settings import settings_of

_MOST_NAMES = 3
"""The maximum number of layers that are named for a reason."""

_EXACT = {
    Exactness.EVERYWHERE: "everywhere",
    Exactness.AWAY_FROM_BORDERS: "away from the borders",
    Exactness.NOWHERE: "nowhere",
}


def anchor_of(position: int) -> str:
    """Return the id of the layer at POSITION of the page."""
    return f"layer-{position + 1}"


def layers_of(found: Inspection, graph: Graph, shapes: Shapes) -> Iterator[PageLayer]:
    """Return the layers of FOUND, which are the nodes of GRAPH with SHAPES, without panels."""
    anchors = {blob: anchor_of(position) for position, node in enumerate(graph.nodes) for blob in node.tops}
    told = {
        blob: shape_of(top.shape)
        for node, layer in zip(graph.nodes, found.layers, strict=True)
        for blob, top in zip(node.tops, layer.tops, strict=True)
    }
    sums = found.totals
    whole = (sums.parameters, sums.macs, sums.activation_bytes) if sums else (0, 0, 0)
    for position, (node, layer) in enumerate(zip(graph.nodes, found.layers, strict=True)):
        bottoms = tuple(PageBlob(printable(blob.name), told[blob], "", anchors[blob]) for blob in node.bottoms)
        yield _layer(position, node, layer, bottoms, whole, numbers(node, shapes))


def _layer(
    position: int,
    node: Node,
    layer: Layer,
    bottoms: tuple[PageBlob, ...],
    whole: tuple[int, int, int],
    characteristic: str,
) -> PageLayer:
    row = row_of(node.type)
    cost = layer.cost
    statistics = f" and {cost.statistics:,} statistics" if cost.statistics else ""
    parameters = _amount(cost.parameters, whole[0], "" if cost.parameters is None else f"{cost.parameters:,}")
    return PageLayer(
        anchor=anchor_of(position),
        number=position + 1,
        name=printable(layer.name),
        type=printable(layer.type),
        family=row.family if row.known else "unknown",
        numbers=characteristic,
        settings=settings_of(node.layer),
        bottoms=bottoms,
        tops=tuple(_top(layer, top) for top in layer.tops),
        geometry=_geometry(layer.geometry),
        window=_window(layer.geometry),
        inexact=tuple(_inexact(layer.geometry)) if layer.geometry else (),
        blobs=_blobs(node, layer),
        parameters=parameters._replace(text=parameters.text + statistics),
        macs=_amount(cost.macs, whole[1], "" if cost.macs is None else human(cost.macs)),
        memory=_amount(
            cost.activation_bytes, whole[2], "" if cost.activation_bytes is None else human_bytes(cost.activation_bytes)
        ),
    )


def _amount(value: int | None, whole: int, text: str) -> CostShare:
    if value is None:
        return CostShare(None, "?", 0.0)
    return CostShare(value, text if value else "0", value / whole if whole else 0.0)


def _top(layer: Layer, top: Top) -> PageBlob:
    remark = "in place" if top.in_place else "shares memory" if layer.shares else ""
    return PageBlob(printable(top.name), shape_of(top.shape), remark)


def _geometry(geometry: Geometry | None) -> tuple[Fact, ...]:
    if geometry is None:
        return ()
    return (
        Fact("receptive field", _pixels(axes(windows(geometry)))),
        Fact("stride", axes(geometry.stride)),
        Fact("offset", axes(geometry.offset).replace("-", "−")),
        Fact("depends only on its receptive field", _EXACT[geometry.exactness]),
    )


def _pixels(extents: str) -> str:
    return f"{extents} pixel{'s' if extents != '1' else ''}"


def _window(geometry: Geometry | None) -> tuple[int | None, str]:
    if geometry is None:
        return None, "–"
    area = prod(extent or 1 << 31 for extent in geometry.window)
    return area, axes(windows(geometry))


def _inexact(geometry: Geometry) -> Iterator[str]:
    """Return why a map is not a sliding window. Deep in a net many layers have the same reason."""
    for names, what in summed_up(geometry.reasons):
        yield f"{', '.join(first_of([*map(printable, names)], _MOST_NAMES))} {what}"


def _blobs(node: Node, layer: Layer) -> tuple[Fact, ...]:
    shapes = [blob.shape for blob in layer.cost.blobs or ()]
    shared = ", ".join(layer.cost.shared_with)
    facts = [Fact(title_of(node, place, shapes), shape_of(shape)) for place, shape in enumerate(shapes)]
    return (*facts, *([Fact("shared with", shared)] if shared else []))


def first_anchors(found: Inspection) -> dict[str, str]:
    """Return the anchor of the first layer of each name."""
    places = range(len(found.layers))
    return {found.layers[position].name: anchor_of(position) for position in reversed(places)}
