"""Computes the new kernel of a layer that keeps some of its taps.

Of k taps, those m apart are k' = (k - 1)/m + 1. They reach as far as before with the dilation m·D, where D is the
product of the strides that were removed from earlier layers: in a map that is finer by D, the same places are D times
as far apart.

The extent of the kernel is the same, so a Convolution keeps its padding, and with it the size of its map. Two kinds of
layers get pad = dilation·(k' - 1)/2 instead, with which the map is as large as the one before the layer: those that see
the whole map before them, as InnerProducts do, and those behind removed strides, whose old padding was for the coarse
map. That is how SSD and DeepLab reduced fc6. Where a Convolution padded so before, both rules give the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.passing import Phase
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.convolutions import DECONVOLUTIONS
from caffe_fcn.net.layers.windows import convolution_windows
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.passes.reduce.amounts import Amount
from caffe_fcn.passes.reduce.changes import Kernel
from caffe_fcn.wording import Option, advise


def kernel_of(node: Node, amount: Amount, phase: Phase) -> Kernel | None:
    """Return the new kernel of NODE for AMOUNT; None if it keeps its own. Raises SurgeryError."""
    if amount.taps is None and amount.dilation is None:
        return None
    dilated = node.type not in (DECONVOLUTIONS | {"InnerProduct"}) and not node.type.endswith("3D")
    if not dilated or node.layer.convolution_param.HasField("kernel_depth"):
        raise SurgeryError(
            layer=node.name,
            layer_type=node.type,
            expected="a Convolution, whose kernel can be dilated",
            found=f"{node.type} with a kernel to reduce",
        )
    windows = convolution_windows(node.layer, len(phase.shapes.params[node.index][0]) - 2)
    axes = len(windows.kernel)
    taps = amount.taps or windows.kernel
    taps = taps * axes if len(taps) == 1 else taps
    if len(taps) != axes:
        raise SurgeryError(
            layer=node.name,
            layer_type=node.type,
            expected=f"a kernel with {axes} extents, such as {'x'.join('3' * axes)}",
            found=show(taps),
        )
    step = tuple(_step(node, old, new) for old, new in zip(windows.kernel, taps, strict=True))
    behind = tuple(_removed(phase, node)) if set(windows.dilation) == {1} else ()
    factor = 2 ** len(behind)
    dilation = tuple(each * old * factor for each, old in zip(step, windows.dilation, strict=True))
    if amount.dilation is not None and set(dilation) != {amount.dilation}:
        dilation, behind = (amount.dilation,) * axes, ()
    elif (taps, dilation) == (windows.kernel, windows.dilation):
        return None
    elif not behind and set(windows.dilation) == {1} and not _sees_all(phase, node):
        return Kernel(taps, step, dilation, windows.before, keeps_pad=True)
    pad = tuple(
        _pad(node, old, extent, apart) for old, extent, apart in zip(windows.kernel, taps, dilation, strict=True)
    )
    return Kernel(taps, step, dilation, pad, behind)


def _sees_all(phase: Phase, node: Node) -> bool:
    """Whether NODE sees the whole map before it at the nominal size, so that its own map has one cell."""
    shape = phase.shapes.blobs[node.tops[0]]
    return isinstance(shape, tuple) and set(shape[2:]) == {1}


def _step(node: Node, old: int, new: int) -> int:
    """Return the distance of NEW taps among OLD ones, with the first and the last included."""
    if old == new:
        return 1
    if new == 1 or new > old or (old - 1) % (new - 1):
        possible = [*map(str, _possible(old))]
        last = f" or {possible[-1]}" if len(possible) > 1 else possible[-1]
        raise SurgeryError(
            layer=node.name,
            layer_type=node.type,
            expected=f"{', '.join(possible[:-1])}{last} taps, evenly spaced from the first to the last of {old}",
            found=str(new),
        )
    return (old - 1) // (new - 1)


def _possible(old: int) -> list[int]:
    """How many of OLD taps can stay."""
    return [taps for taps in range(2, old + 1) if (old - 1) % (taps - 1) == 0] or [1]


def _pad(node: Node, old: int, extent: int, dilation: int) -> int:
    pad, half = divmod(dilation * (extent - 1), 2)
    if half:
        raise SurgeryError(
            layer=node.name,
            layer_type=node.type,
            expected="a padding in whole numbers, dilation·(kernel - 1)/2",
            found=f"{dilation}·{extent - 1}/2",
            hint=advise(
                "give an odd kernel, or an even " if any(taps % 2 for taps in _possible(old)) else "give an even ",
                Option("dilation"),
            ),
        )
    return pad


def _removed(phase: Phase, node: Node) -> Iterator[str]:
    """Return the poolings before NODE whose stride was removed: on every path from the inputs to it, with an odd
    kernel, stride 1 and the padding that keeps the size, as in published nets."""
    for each in _on_every_way(phase.graph, node):
        shape = phase.shapes.blobs[each.bottoms[0]]
        if isinstance(shape, tuple) and _keeps_size(each, shape):
            yield each.name


def _keeps_size(node: Node, shape: Shape) -> bool:
    rule = row_of(node.type).windows
    if rule is None or row_of(node.type).linear or len(shape) < 3:
        return False
    windows = rule(node.layer, shape)
    return (
        set(windows.stride) == {1}
        and min(windows.kernel) > 1
        and windows.before == windows.after == tuple((extent - 1) // 2 for extent in windows.kernel)
        and all(extent % 2 for extent in windows.kernel)
    )


def _on_every_way(graph: Graph, node: Node) -> list[Node]:
    """Return the layers before NODE that are on every path to it, in the order of the net."""
    pending = set(node.bottoms)
    found = []
    for each in reversed(graph.nodes):
        if each.index >= node.index or pending.isdisjoint(each.tops) or not each.bottoms:
            continue
        if pending <= set(each.tops):
            found.append(each)
        pending.difference_update(each.tops)
        pending.update(each.bottoms)
    return found[::-1]
