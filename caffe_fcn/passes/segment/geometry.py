"""The geometry of a segmentation head: the places of the coarse scores, the skips and the image; kernels, offsets,
paddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from caffe_fcn.errors import SurgeryError
from caffe_fcn.net.geometry.coordinates import Coordinate, Place, Places, infer_coordinates
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers.windows import SIDED_PADS, convolution_windows
from caffe_fcn.net.shapes import Shape, Shapes
from caffe_fcn.passes.segment.extents import Sized, nominal
from caffe_fcn.passes.segment.fitting import Axis
from caffe_fcn.passes.segment.upsampling import Upsampling, upsamplings
from caffe_fcn.schema import Message

AXES = 2
"""Height and width: Caffe's bilinear filler needs both."""
_PIXEL = Coordinate()
"""The place of a map whose cells are the pixels."""


@dataclass(frozen=True, kw_only=True)
class ScoreMaps:
    """A converted net and its maps to upsample: the map COARSE, then each of SKIPS, coarsest first, and last to the
    pixels of the IMAGE. All blobs have a place on the image."""

    graph: Graph
    shapes: Shapes
    coarse: Blob
    skips: tuple[Blob, ...]
    image: Blob
    places: Mapping[Blob, Places]

    def place(self, blob: Blob) -> Place:
        """Return where the cells of BLOB lie on the image. If several paths do not agree, that of the first bottom
        counts."""
        return self.places[blob][self.image][0]

    def shape(self, blob: Blob) -> Shape:
        """Return the shape of BLOB at the nominal size. Raises SurgeryError if it is unknown."""
        return nominal(self.shapes, blob)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The layers that the scores and the skips need, in the order of the net."""
        ends = {self.coarse, *self.skips}
        wanted = self.graph.before(node for node in self.graph.nodes if not ends.isdisjoint(node.tops))
        return tuple(node for node in self.graph.nodes if node.index in wanted)

    @cached_property
    def first(self) -> Node | None:
        """The Convolution whose padding shifts and enlarges all later maps: it alone reads the image, or the image
        after layers that work on each value. None if there is no such layer."""
        behind = {self.image}
        readers: list[Node] = []
        for node in self.nodes:
            if behind.isdisjoint(node.bottoms):
                continue
            if node.type != "Convolution" and self._keeps(node):
                behind.update(node.tops)
            else:
                readers.append(node)
        alone = len(readers) == 1 and readers[0].type == "Convolution" and len(readers[0].bottoms) == 1
        return readers[0] if alone and readers[0].bottoms[0] in behind else None

    def _keeps(self, node: Node) -> bool:
        """Return whether the tops of NODE are the image, pixel by pixel."""
        sizes = {nominal(self.shapes, blob)[2:] for blob in (self.image, *node.tops)}
        there = [self.places[blob].get(self.image) for blob in node.tops]
        return len(sizes) == 1 and all(
            places is not None and all(each == _PIXEL for each in places[0]) for places in there
        )

    @cached_property
    def padding(self) -> tuple[tuple[int, int], ...]:
        """The padding of the first Convolution along each axis, before and after; 0 if there is none."""
        if self.first is None:
            return ((0, 0),) * AXES
        windows = convolution_windows(self.first.layer, AXES)
        return tuple(zip(windows.before, windows.after, strict=True))

    def upsamplings(self, skips: Sequence[int], final: int) -> tuple[Upsampling, ...]:
        """Return the upsampling to each skip by these factors, and that to the image; the list ends at one without a
        kernel."""
        fine = [(factor, self.place(blob)) for factor, blob in zip(skips, self.skips, strict=True)]
        return upsamplings(self.place(self.coarse), fine, final, self.place(self.image))

    def axes(self, steps: tuple[Upsampling, ...], size: Sequence[int] | None = None) -> tuple[Axis, ...]:
        """Return both axes of the image, with the offsets of STEPS, the last one for no padding. SIZE is the new
        nominal size of the image, if it changes. Raises SurgeryError if the net accepts one size only, or the sizes of
        the maps are unknown."""
        sized = Sized(
            graph=self.graph,
            nodes=tuple(_unpadded(node) if node is self.first else node for node in self.nodes),
            shapes=self._unpadded_shapes,
            image=self.image,
            maps=(self.coarse, *self.skips),
            places=self.places,
        )
        sized.refuse_one_size()
        sizes = size or self.shape(self.image)[2:]
        made = []
        table = sized.extents(0)
        tables = (table, table if sized.square else sized.extents(1))
        for axis, extents in enumerate(tables):
            offsets = [step.offset[axis] for step in steps]
            offsets[-1] -= self.padding[axis][0]
            made.append(Axis(extents, steps, tuple(offsets), sizes[axis]))
        return tuple(made)

    @property
    def _unpadded_shapes(self) -> Shapes:
        """Return the shapes for an image with the size that it has after padding."""
        shape = nominal(self.shapes, self.image)
        larger = tuple(size + sum(sides) for size, sides in zip(shape[2:], self.padding, strict=True))
        return replace(self.shapes, blobs={**self.shapes.blobs, self.image: (*shape[:2], *larger)})


def _unpadded(node: Node) -> Node:
    """Return NODE, a Convolution, without padding."""
    layer = type(node.layer)()
    layer.CopyFrom(node.layer)
    set_pad(layer.convolution_param, 0)
    return replace(node, layer=layer)


def set_pad(param: Message, pad: int) -> None:
    """Set the padding of the convolution of PARAM to PAD on each side."""
    for field in ("pad", "pad_h", "pad_w", *SIDED_PADS):
        param.ClearField(field)
    if pad:
        param.pad.append(pad)


def score_maps(graph: Graph, shapes: Shapes, coarse: Blob, skips: Sequence[Blob]) -> ScoreMaps:
    """Return the geometry of COARSE and SKIPS in GRAPH, with nominal SHAPES. Raises SurgeryError if the scores are not
    a map of an image, or a skip is not a map of the same image."""
    places = infer_coordinates(graph, shapes)
    origins = [blob for blob in places[coarse] if not graph.producer[blob].bottoms]
    if len(origins) != 1 or len(nominal(shapes, coarse)) != AXES + 2:
        maker = graph.producer[coarse]
        raise SurgeryError(
            f"the top of layer {maker.name!r} ({maker.type}) is not a map over the height and the width of one input",
            layer=maker.name,
            layer_type=maker.type,
        )
    return ScoreMaps(graph=graph, shapes=shapes, coarse=coarse, skips=tuple(skips), image=origins[0], places=places)
