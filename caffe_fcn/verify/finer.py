"""Pairs the cells of a new net's finer map with those of the original.

If the last strides of a net are removed and the layers after them are dilated, the old cells are every D-th cell of the
new map, D the quotient of the strides. Those are compared with the answers of the original at the nominal size. On a
larger input the windows lie as close together as the new cells, and so the cells between are compared as well.
"""

from __future__ import annotations

from fractions import Fraction

from caffe_fcn.compare.effective import windows_of
from caffe_fcn.compare.numbering import number_both
from caffe_fcn.net.geometry import Inner, infer_geometry
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.shapes import Shape, Shapes
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.verify.outputs import Pairs


def strides(graph: Graph, shapes: Shapes) -> dict[Blob, tuple[Fraction, ...]]:
    """How far apart the cells lie of which each blob would be a map, in pixels: its own stride, or that of the
    last map on the way to it, unless a layer between has windows of its own."""
    geometry = infer_geometry(graph, shapes)
    known: dict[Blob, tuple[Fraction, ...]] = {}
    for node in graph.nodes:
        before = next((known[bottom] for bottom in node.bottoms if bottom in known), None)
        for top in node.tops:
            own = geometry.get(top)
            if own is not None:
                known[top] = own.stride
            elif before is not None and row_of(node.type).windows is None:
                known[top] = before
    return known


def with_finer_maps(pairs: Pairs, original: Scope, twin: Scope) -> Pairs:
    """PAIRS of outputs of ORIGINAL and TWIN, with which cells of the new net are the original's."""
    coarse, fine = strides(original.graph, original.shapes), infer_geometry(twin.graph, twin.shapes)
    outputs = []
    for output in pairs.outputs:
        ours, theirs = coarse.get(output.blob), fine.get(output.twin)
        if ours is not None and theirs is not None and len(ours) == len(theirs.stride):
            every = [one / other for one, other in zip(ours, theirs.stride, strict=True)]
            if all(each.denominator == 1 for each in every):
                output = output._replace(every=tuple(map(int, every)))
        outputs.append(output)
    return pairs._replace(outputs=outputs, windowed=pairs.windowed | _with_other_windows(original, twin))


def _with_other_windows(original: Scope, twin: Scope) -> frozenset[str]:
    """The layers of ORIGINAL, by name, whose counterparts in TWIN slide their windows in other steps."""
    ours, theirs = number_both(original.graph, twin.graph)
    pairs = [(node, theirs.layers[number]) for number, node in ours.layers.items() if number in theirs.layers]
    return frozenset(
        node.name
        for node, other in pairs
        if node.type == other.type and _steps(node, original.shapes) != _steps(other, twin.shapes)
    )


def _steps(node: Node, shapes: Shapes) -> object:
    bottom = shapes.blobs[node.bottoms[0]]
    windows = windows_of(node, bottom) if isinstance(bottom, tuple) else None
    return windows and (windows.stride, windows.dilation)


def nominal_cells(shape: Shape, every: Shape) -> Shape:
    """SHAPE of a map, N×C×cells, with the cells alone that are the original's."""
    return (*shape[:2], *(-(-size // each) for size, each in zip(shape[2:], every, strict=True))) if every else shape


def inner_of_original(inner: Inner, every: Shape) -> Inner:
    """INNER cells of a map, by the numbers that they have in the original."""
    if not every:
        return inner
    axes = zip(inner.axes, every, strict=True)
    return inner._replace(axes=tuple(range(-(-cells.start // each), -(-cells.stop // each)) for cells, each in axes))


def expected_stride(stride: tuple[Fraction, ...], every: Shape) -> tuple[Fraction, ...]:
    """The STRIDE of the original as a finer map has it."""
    return tuple(each / step for each, step in zip(stride, every, strict=True)) if every else stride
