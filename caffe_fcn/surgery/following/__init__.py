"""How each layer type takes a blob whose place in the twin is taken by a map.

A layer with a viewed bottom can do one of three things, and a table of layer types says which: stay, and make tops that
are views as well, or none (`Passes`); vanish, because the twin needs no reshaping there (`Vanishes`); or not take the
bottom, with a reason (`Refuses`). An axis that a layer names is an axis of the original and is looked up there: the
twin can do the same only along the channels, or along the batch. A refusal is a value; whoever asked decides what it
means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers import LAYERS
from caffe_fcn.net.shapes import Shape, Unknown
from caffe_fcn.surgery.following import axes, counting, joins, maps
from caffe_fcn.surgery.following.place import Outcome, Passes, Place, Refuses, Vanishes, along_space
from caffe_fcn.surgery.views import FLATTENING, View, map_of

__all__ = ["Passes", "Refuses", "Vanishes", "outcome"]


def outcome(
    node: Node, views: Sequence[View | None], bottoms: Sequence[Shape | Unknown], tops: Sequence[Shape | Unknown]
) -> Outcome:
    """What NODE does when its bottoms are VIEWS (None for a bottom that stays as it was).

    BOTTOMS and TOPS are the original's shapes. At least one bottom is a view.
    """
    known = zip(node.bottoms, views, bottoms, strict=True)
    complete = tuple(view or map_of(blob, shape) for blob, view, shape in known)
    return _RULES.get(node.type, counting.unknown)(Place(node, complete, tuple(tops)))


def _silence(_place: Place) -> Outcome:
    return Passes(())


_MAP_LAYERS = frozenset(
    "Convolution Convolution3D ConvolutionDepthwise Crop Deconvolution Deconvolution3D DepthwiseConvolution Im2col "
    "Interp LRN Pad Padding Pooling Pooling3D Reorg ResizeBilinear ResizeNearestNeighbor Upsample "
    "UpsampleDarknet".split()
)
"""Types that make a map of a map."""

_RULES: dict[str, Callable[[Place], Outcome]] = {
    **dict.fromkeys((*(name for name, row in LAYERS.items() if row.value_by_value), "Eltwise"), joins.one_by_one),
    **dict.fromkeys(("Add", "Mul"), joins.broadcast),
    **dict.fromkeys(("BN", "BatchNorm", "PReLU", "ShuffleChannel"), axes.channelwise),
    **dict.fromkeys(("Bias", "Scale"), axes.scale),
    **dict.fromkeys(("EuclideanLoss", "L1Loss", "SigmoidCrossEntropyLoss", "SmoothL1Loss"), counting.loss),
    **dict.fromkeys(("ContrastiveLoss", "HingeLoss", "MultinomialLogisticLoss"), counting.loss_of_items),
    **dict.fromkeys(("HDF5Output", "MarginInnerProduct"), counting.counts),
    **dict.fromkeys((*FLATTENING, "Permute", "Transpose"), maps.reshape),
    **dict.fromkeys(_MAP_LAYERS, maps.slides),
    **dict.fromkeys(("Interp", "ResizeBilinear", "ResizeNearestNeighbor", "Upsample"), maps.resizes),
    **dict.fromkeys(("Flip", "MVN", "SPP", "SpatialPyramidPooling"), along_space),
    "Accuracy": counting.along_classes("accuracy_param", counting.counts),
    "ArgMax": axes.argmax,
    "BatchReindex": joins.reindex,
    "Concat": joins.concat,
    "InfogainLoss": counting.along_classes("infogain_loss_param", counting.loss),
    "InnerProduct": counting.inner_product,
    "Normalize": axes.normalize,
    "Reduction": counting.reduction,
    "Silence": _silence,
    "Slice": joins.slice_,
    "Softmax": axes.softmax,
    "SoftmaxWithLoss": counting.along_classes("softmax_param", counting.loss),
    "Tile": joins.tile,
}
