"""Which layers leave a map as it is: their top is their bottom, value by value, whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.shapes import Shape, Unknown
from caffe_fcn.schema import Message


def is_idle(node: Node, blobs: Mapping[Blob, Shape | Unknown]) -> bool:
    """Whether NODE of a net of these BLOBS moves no value of its bottom; not if their shapes are unknown.

    A Permute of axes of 1 does move values, because on a larger input these axes are longer.
    """
    if not node.bottoms or not node.tops:
        return False
    bottom, top = blobs.get(node.bottoms[0]), blobs.get(node.tops[0])
    return isinstance(bottom, tuple) and isinstance(top, tuple) and keeps_values(node, bottom, top)


def keeps_values(node: Node, bottom: Shape, top: Shape) -> bool:
    """Whether NODE makes of its BOTTOM the same TOP, if these are its only ones."""
    test = _TESTS.get(node.type)
    return len(node.bottoms) == len(node.tops) == 1 and bottom == top and test is not None and test(node.layer)


def _keeps_order(order: Sequence[int]) -> bool:
    """Whether each axis stays where it is; those that ORDER does not name follow in their own order."""
    return all(place == axis for place, axis in enumerate(order))


_TESTS: dict[str, Callable[[Message], bool]] = {
    **dict.fromkeys(("Concat", "Flatten", "Reshape", "Slice", "Squeeze"), lambda layer: True),
    "Flip": lambda layer: not (layer.flip_param.flip_width or layer.flip_param.flip_height),
    "Permute": lambda layer: _keeps_order(layer.permute_param.order),
    "Tile": lambda layer: layer.tile_param.tiles == 1,
    "Transpose": lambda layer: _keeps_order(layer.transpose_param.dim),
}
"""Layer type to whether it keeps the order of values, where the shape is kept."""
