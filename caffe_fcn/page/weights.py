"""The weights of a layer on a report page: statistics, a histogram and tiles of each blob, dead and duplicate filters.

Every blob is read once, block by block, for all that is told of its values; a sample of it is read again for the tiles.
The weights of an InnerProduct are shown as the windows on its map that they are, which are the kernels of the
Convolution that `convert` makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from caffe_fcn.display import printable, some
from caffe_fcn.errors import CaffeFcnError
from caffe_fcn.files.statistics import BLOCK, Gathering
from caffe_fcn.inspection.words import count_of, shape_of
from caffe_fcn.model.model import Model
from caffe_fcn.model.tensors import Stored, Tensor, stored
from caffe_fcn.net.blobs import current_shape
from caffe_fcn.net.graph import Node
from caffe_fcn.net.images import image_inputs, known_shape
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.convolutions import outputs_by_column
from caffe_fcn.net.shapes import Shape
from caffe_fcn.page.contents import title_of
from caffe_fcn.page.filters import DEAD, FilterJudge, FilterLayout, JudgedFilters, listed
from caffe_fcn.page.records import PageSource
from caffe_fcn.page.values import ValuesPanel, drawn, facts_of, values_of
from caffe_fcn.page.weight_tiles import KernelView, tiles_of_blob, tiles_of_filters
from caffe_fcn.passes.convolutionalize import Options, convolutionalize
from caffe_fcn.passes.convolutionalize.naming import Naming

_COLOURS = 3
_MOST_GROUPS = 4
"""The maximum number of groups of duplicates that are told."""


@dataclass(frozen=True)
class WeightsPanel:
    """The parameter blobs of a layer, in Caffe's order, and REMARKS on its filters."""

    blobs: tuple[ValuesPanel, ...]
    remarks: tuple[str, ...]


def weights_panel(source: PageSource, position: int) -> WeightsPanel | None:
    """Return the weights of the layer at POSITION of the page; None if there are none. Raises CaffeFcnError if the file
    cannot be read, ExtraError without pillow."""
    if source.model is None or source.graph is None:
        return None
    node = source.graph.nodes[position]
    tensors = _tensors(source.model, node)
    if not tensors:
        return None
    linear = row_of(node.type).linear and len(tensors[0].shape) > 1
    panels: list[ValuesPanel] = []
    remarks: list[str] = []
    for place, tensor in enumerate(tensors):
        kernels = linear and place == 0
        judge = _judge(source, node, tensor) if kernels else None
        found = _read(tensor, judge)
        title = title_of(node, place, [tensor.shape for tensor in tensors])
        picture = (
            tiles_of_filters(_kernels(source, node, tensor))
            if kernels
            else tiles_of_blob(f"{title} of {printable(node.name)}", tensor)
        )
        remarks += [] if judge is None else _remarks(judge.judged)
        panels.append(
            ValuesPanel(
                title=title,
                shape=f"{shape_of(tensor.shape)}, {tensor.dtype}",
                facts=tuple(facts_of(found.statistics)),
                histogram=drawn(found.histogram, found.statistics),
                picture=picture,
            )
        )
    return WeightsPanel(tuple(panels), tuple(remarks))


def weight_bytes(source: PageSource, position: int) -> int:
    """Return the bytes of the weights of the layer at POSITION."""
    if source.model is None or source.graph is None:
        return 0
    return sum(tensor.size for tensor in _tensors(source.model, source.graph.nodes[position]))


def _tensors(model: Model, node: Node) -> tuple[Tensor, ...]:
    """Return the parameter blobs of NODE in the shapes that the net gives them, also those that it shares or fills."""
    held = model.tensors.get(node.name, ())
    if not held and model.weights is not None:
        blobs = (blob for supply in model.supplies if supply.node.name == node.name for blob in supply.blobs)
        held = tuple(stored(model.weights.source, blob) for blob in blobs)
    told = model.params.get(node.name, ())
    return tuple(
        _shaped(tensor, told[place] if place < len(told) else current_shape(node.type, place, tensor.shape))
        for place, tensor in enumerate(held)
        if not (isinstance(tensor, Stored) and tensor.blob.absent)
    )


def _shaped(tensor: Tensor, shape: Shape) -> Tensor:
    """Return TENSOR in SHAPE, or in one axis if it has another number of values."""
    count = tensor.values.count if isinstance(tensor, Stored) else tensor.count
    return tensor.reshaped(shape if prod(shape) == count else (count,))


def _read(tensor: Tensor, judge: FilterJudge | None) -> Gathering:
    """Read all values of TENSOR, for their statistics and for JUDGE."""
    found = Gathering(histogram=True)
    for start in range(0, tensor.count, BLOCK):
        values = values_of(tensor, start, min(start + BLOCK, tensor.count))
        found.add(values)
        if judge is not None:
            judge.add(start, values)
    return found


# ---- Filters ----


def _judge(source: PageSource, node: Node, tensor: Tensor) -> FilterJudge | None:
    """Return the judge of the filters of NODE, whose weights are TENSOR; None if there are too many."""
    first, second, *window = tensor.shape
    groups, cells = _groups(source, node, second, len(window)), prod(window)
    if outputs_by_column(node.layer):
        if first % groups:
            return None
        layout = FilterLayout(second * groups, first // groups * cells, groups, by_column=True, window=cells)
    else:
        layout = FilterLayout(first, second * cells, groups if first % groups == 0 else 1)
    return FilterJudge(layout) if FilterJudge.suits(layout) else None


def _groups(source: PageSource, node: Node, second: int, axes: int) -> int:
    """Return the number of groups of NODE, whose weights have SECOND channels of a group and AXES axes of a window."""
    if source.shapes is None or not axes or not second:
        return 1
    blob = node.tops[0] if outputs_by_column(node.layer) else node.bottoms[0]
    shape = source.shapes.blobs[blob]
    channels = shape[1] if isinstance(shape, tuple) and len(shape) > 1 else second
    return max(1, channels // second)


def _kernels(source: PageSource, node: Node, tensor: Tensor) -> KernelView:
    """Return how the filters of NODE, whose weights are TENSOR, are drawn."""
    windows = tensor
    if len(tensor.shape) == 2:
        windows = _windows(source).get(node.name) or _over_bottom(source, node, tensor)
    turned = outputs_by_column(node.layer) and windows is tensor
    coloured = not turned and windows.shape[1] == _COLOURS and len(windows.shape) == 4 and _reads_image(source, node)
    return KernelView(
        name=printable(node.name),
        tensor=windows,
        turned=turned,
        grouped=_groups(source, node, tensor.shape[1], len(tensor.shape) - 2) > 1,
        over_map=windows is not tensor,
        colour=None if not coloured else (0, 1, 2) if source.preparation.swap_channels else (2, 1, 0),
    )


@lru_cache(maxsize=1)
def _windows(source: PageSource) -> Mapping[str, Tensor]:
    """Return the kernels that the InnerProducts of the net become, by name; none if it cannot be converted."""
    if source.model is None:
        return {}
    try:
        made = convolutionalize(source.model, Options(Naming("")))
    except CaffeFcnError:
        return {}
    converted = {change.layer for change in made.decision.of_kind("converted")}
    return {name: tensors[0] for name, tensors in made.model.tensors.items() if name in converted}


def _over_bottom(source: PageSource, node: Node, tensor: Tensor) -> Tensor:
    """Return TENSOR, the matrix of NODE, as windows over its bottom, if that is a map; else TENSOR."""
    shape = source.shapes.blobs[node.bottoms[0]] if source.shapes is not None and node.bottoms else None
    if outputs_by_column(node.layer) or not isinstance(shape, tuple) or prod(shape[2:]) <= 1:
        return tensor
    return tensor.reshaped((tensor.shape[0], *shape[1:])) if prod(shape[1:]) == tensor.shape[1] else tensor


def _reads_image(source: PageSource, node: Node) -> bool:
    """Return whether NODE reads an image of the net, with no layer between that mixes its colours."""
    if source.graph is None or source.shapes is None:
        return False
    graph, images = source.graph, image_inputs(source.graph, source.shapes)
    blob = node.bottoms[0]
    while blob not in images:
        maker = graph.producer.get(blob)
        if maker is None or len(maker.bottoms) != 1 or row_of(maker.type).linear:
            return False
        shape = known_shape(source.shapes, maker.bottoms[0])
        if len(shape) != 4 or shape[1] != _COLOURS:
            return False
        blob = maker.bottoms[0]
    return True


def _remarks(found: JudgedFilters) -> Iterator[str]:
    """Return what is to be told of the filters."""
    if found.dead:
        many = len(found.dead)
        share = f"{many:,} of {count_of(found.many, 'filter')}"
        are = "is dead, its weights are" if many == 1 else "are dead, their weights are"
        zero = f"zero, or smaller than those of the strongest filter by a factor of {1 / DEAD:,.0f}"
        yield f"{share} {are} {zero}: number {listed(found.dead)}"
    if found.duplicates:
        many = sum(len(group) - 1 for group in found.duplicates)
        told = some([" = ".join(listed(group, 6).split(", ")) for group in found.duplicates], _MOST_GROUPS, "; ")
        are = (
            "filter has the same weights as another one"
            if many == 1
            else "filters have the same weights as another one"
        )
        yield f"{many:,} {are}: {told}"
