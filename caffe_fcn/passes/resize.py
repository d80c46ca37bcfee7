"""The size of the images that the written net takes: `input_size` as edits of its input layers."""

from __future__ import annotations

from caffe_fcn.errors import SurgeryError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.shapes import Shapes
from caffe_fcn.passes.convolutionalize.pooling import is_map
from caffe_fcn.passes.edits import ResizeInput
from caffe_fcn.wording import option

_IMAGE_AXES = 4
"""N×C×H×W."""


def image_inputs(graph: Graph, shapes: Shapes) -> list[Blob]:
    """The blobs that come into the net as images: made by a layer without bottoms, more than one pixel large.

    Where none is, those with a height and a width at all: some nets say 1×1 and leave the size to whoever runs them.
    """
    sources = [blob for node in graph.nodes if not node.bottoms for blob in node.tops]
    maps = [blob for blob in sources if is_map(shapes, blob)]
    return maps or [blob for blob in sources if len(_shape(shapes, blob)) >= _IMAGE_AXES]


def resize_inputs(graph: Graph, shapes: Shapes, size: tuple[int, ...]) -> list[ResizeInput]:
    """The edits that give the image inputs of GRAPH the spatial SIZE. Raises SurgeryError where the net has no
    such input, or one whose size the file does not say."""
    images = image_inputs(graph, shapes)
    images = [blob for blob in images if len(_shape(shapes, blob)) >= 2 + len(size)]
    if not images:
        raise SurgeryError(f"{option('input_size', size)}: the net has no input with {len(size)} spatial axes")
    sizes = {_shape(shapes, blob)[-len(size) :] for blob in images}
    if len(sizes) > 1:
        found = ", ".join(f"{blob.name!r} {_show(_shape(shapes, blob)[-len(size) :])}" for blob in images)
        raise SurgeryError(
            f"{option('input_size', size)}: the net's inputs have different sizes: {found}; edit the file"
        )
    makers = {graph.producer[blob].index: graph.producer[blob] for blob in images}
    edits = []
    for node in makers.values():
        positions = tuple(position for position, blob in enumerate(node.tops) if blob in images)
        _check_resizable(node, size)
        edits.append(ResizeInput(node.index, node.name, size=size, tops=positions))
    return edits


def _check_resizable(node: Node, size: tuple[int, ...]) -> None:
    if node.type == "Input" and node.layer.input_param.shape:
        return
    if node.layer.transform_param.crop_size and len(set(size)) == 1:
        return
    if node.layer.transform_param.crop_size:
        raise SurgeryError(f"{option('input_size', size)}: layer {node.name!r} crops squares; give a square size")
    raise SurgeryError(
        f"{option('input_size', size)}: layer {node.name!r} ({node.type}) does not say its size in the file; "
        "change its data source instead"
    )


def _shape(shapes: Shapes, blob: Blob) -> tuple[int, ...]:
    shape = shapes.blobs[blob]
    return shape if isinstance(shape, tuple) else ()


def _show(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
