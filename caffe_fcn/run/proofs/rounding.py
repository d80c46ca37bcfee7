"""How far two nets may be apart that compute the same: what the arithmetic explains, and not more.

The one idea: every addition rounds by at most half a unit in the last place, u = 2^-24 of the sum, up or down
as if by chance. So after m additions, one behind the other through the depth of the net, a sum is off by about
u·√m of the scale of its terms, and by more than four times that practically never. m is counted, per output, from
the shapes.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import TYPE_CHECKING, Any

from caffe_fcn import schema
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.net.shapes import Shape, Shapes
from caffe_fcn.run.proofs.records import Difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = 2.0**-24
"""The largest relative error of one rounding in single precision."""

_SURE = 8.0
"""Four times the deviation to be expected, of terms that may be twice as large as their sum."""

_WEIGHTED = frozenset({"Convolution", "Convolution3D", "InnerProduct", "ConvolutionDepthwise", "DepthwiseConvolution"})
_LEAST = 2.0**-126
"""The least number that single precision holds with all its digits."""


def additions(graph: Graph, shapes: Shapes) -> dict[Blob, int]:
    """How many roundings follow each other, at most, on the way to each blob."""
    known: dict[Blob, int] = {}
    for node in graph.nodes:
        made = max((known[bottom] for bottom in node.bottoms), default=0) + _own(node, shapes)
        known.update(dict.fromkeys(node.tops, made))
    return known


def _own(node: Node, shapes: Shapes) -> int:
    """The roundings in a value that NODE makes."""
    if not node.bottoms:
        return 0
    params, bottom = shapes.params.get(node.index, ()), shapes.blobs[node.bottoms[0]]
    if node.type in _WEIGHTED and params and params[0]:
        outputs = node.layer.inner_product_param if node.type == "InnerProduct" else node.layer.convolution_param
        return prod(params[0]) // max(1, int(outputs.num_output))
    if node.type in ("Deconvolution", "Deconvolution3D") and params:
        return prod(params[0]) // max(1, int(node.layer.convolution_param.num_output))
    if node.type == "Pooling" and isinstance(bottom, tuple):
        return _pooled(node, bottom)
    if node.type == "Softmax" and isinstance(bottom, tuple):
        return bottom[node.layer.softmax_param.axis % len(bottom)] if bottom else 1
    return {"LRN": int(node.layer.lrn_param.local_size), "Eltwise": len(node.bottoms)}.get(node.type, 4)


def _pooled(node: Node, bottom: Shape) -> int:
    param = node.layer.pooling_param
    if param.pool == schema.enum_number("PoolingParameter", "PoolMethod", "MAX"):
        return 0
    if param.global_pooling:
        return prod(bottom[2:])
    return int(param.kernel_h or param.kernel_size) * int(param.kernel_w or param.kernel_size) or 1


def allowed(roundings: int) -> float:
    """The difference, relative to the scale of an output, that so many ROUNDINGS explain."""
    return _SURE * UNIT * sqrt(max(1, roundings))


def difference(original: NDArray[Any], twin: NDArray[Any], limit: float, *, softmax: bool) -> Difference:
    """How far TWIN is from ORIGINAL, both N×K×spatial and finite, where LIMIT times the scale is allowed.

    The scale is the largest value. What a SOFTMAX made is compared by its logarithms, which are the scores but for
    a summand: probabilities next to nought and one hide what the scores show.
    """
    import numpy as np

    absolute = float(np.max(np.abs(original - twin), initial=0))
    original, twin = (scores(values) if softmax else values for values in (original, twin))
    scale = float(np.max(np.abs(original), initial=0))
    distance = float(np.max(np.abs(original - twin), initial=0))
    relative = distance / scale if scale else distance
    agrees = cells = 0
    if original.ndim > 1 and original.shape[1] > 1:
        best = np.max(original, axis=1)
        chosen = np.take_along_axis(original, np.argmax(twin, axis=1)[:, None], axis=1)[:, 0]
        agrees, cells = int(np.count_nonzero(chosen >= best - limit * scale)), best.size
    return Difference(absolute, relative, limit, agrees, cells)


def scores(probabilities: NDArray[Any]) -> NDArray[Any]:
    """What a Softmax made its PROBABILITIES of, but for a summand."""
    import numpy as np

    made: NDArray[Any] = np.log(np.maximum(probabilities, _LEAST))
    return made


def span(answers: NDArray[Any], *, softmax: bool) -> float:
    """How far the ANSWERS to several items are apart, of their scale."""
    import numpy as np

    values = scores(answers) if softmax else answers
    return float(np.max(np.ptp(values, axis=0), initial=0)) / (float(np.max(np.abs(values), initial=0)) or 1.0)


def worst(found: list[Difference]) -> Difference:
    """Several differences as one."""
    return Difference(
        max(each.absolute for each in found),
        max(each.relative for each in found),
        found[0].allowed,
        sum(each.agrees for each in found),
        sum(each.cells for each in found),
    )
