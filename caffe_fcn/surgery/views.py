"""What becomes of a blob when the flattening before it goes: views, and how each layer type takes them.

Let a classifier's map N×C×H×W be flattened to N×(C·H·W). In its twin the flattening is gone and the
blob is the map itself: a `View` says where in the twin a blob of the original lives, with which shape,
and in which order the original laid it out. The output N×K of an InnerProduct is the same case with
H = W = 1, because the converted layer makes N×K×1×1 at the nominal input.

A layer with a viewed bottom can do one of four things, and a table of layer types says which: pass the
view on (`Passes`), vanish because the twin needs no reshaping there (`Vanishes`), take it as it comes
because only the count or the channel axis matters to it (`Accepts`), or not take it, with a reason
(`Refuses`). A refusal is a value; whoever asked decides what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, NamedTuple, TypeAlias

from caffe_fcn.files.reorder import Segment
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.shapes import VALUE_BY_VALUE, Shape, Unknown, show
from caffe_fcn.surgery.edits import SetParameter


@dataclass(frozen=True)
class View:
    """The twin's `blob`, of the nominal `shape` N×C×spatial, stands for a blob of the original that is

    flat: N×(C·spatial), its axis 1, or all axes from 1 on in their order, laid out as `segments`;
    permuted: N×spatial×C;
    same: of that very shape, reached through a reshaping that the twin does without;
    index: N×1×spatial where the original has no spatial axes (ArgMax).
    """

    blob: Blob
    shape: Shape
    kind: Literal["flat", "permuted", "same", "index"]
    segments: tuple[Segment, ...] = ()

    @property
    def spatial(self) -> Shape:
        """The twin's spatial axes."""
        return self.shape[2:]

    @property
    def is_reordered(self) -> bool:
        """Whether the original holds the values in another order than the twin."""
        return self.kind == "permuted" or any(
            s.channels_last and min(s.channels, s.positions) > 1 for s in self.segments
        )

    @property
    def is_vector(self) -> bool:
        """Whether each position along the original's axis 1 is a channel of its own."""
        return self.kind in ("flat", "index") and prod(self.spatial) == 1


class Passes(NamedTuple):
    """The tops are views as well; `changes` is what the layer itself needs for that."""

    tops: tuple[View, ...]
    changes: tuple[SetParameter, ...] = ()


class Vanishes(NamedTuple):
    """The twin does without the layer: its top is `view`."""

    view: View


class Accepts(NamedTuple):
    """The layer takes the bottom and makes something that is no view: a loss, an accuracy."""

    changes: tuple[SetParameter, ...] = ()


class Refuses(NamedTuple):
    """The layer cannot take the bottom; `reason` reads after the layer's name. `by_position`: because it
    treats each position of the flattened map on its own, so that no sliding window could do the same."""

    reason: str
    by_position: bool = False


Outcome: TypeAlias = Passes | Vanishes | Accepts | Refuses
Views: TypeAlias = Sequence[View | None]
Shapes: TypeAlias = Sequence["Shape | Unknown"]
Rule: TypeAlias = Callable[[Node, Views, Shapes, Shapes], Outcome]


def outcome(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    """What NODE does when its bottoms are VIEWS (None for a bottom that stays as it was).

    BOTTOMS and TOPS are the original's shapes. At least one bottom is a view.
    """
    views = [None if view is None or view.kind == "same" else view for view in views]
    if not any(views):  # maps again, only found elsewhere
        return Accepts()
    rule = _RULES.get(node.type)
    if rule is None:
        scalar = all(shape == () for shape in tops)  # a loss, or nothing at all
        result: Outcome = (
            Accepts() if scalar else Refuses(f"({node.type}) is not known to take a map in a vector's place")
        )
    else:
        result = rule(node, views, bottoms, tops)
    reordered = [blob.name for blob, view in zip(node.bottoms, views, strict=True) if view and view.is_reordered]
    if reordered and isinstance(result, Accepts):
        return Refuses(
            f"({node.type}) reads {reordered[0]!r} cell after cell, and the twin holds it channel after channel"
        )
    return result


def reshaped(node: Node, source: Blob, bottom: Shape, top: Shape) -> View | None:
    """The view of the top when NODE only reorders or flattens a map N×C×spatial; None when it does more.

    SOURCE is where its bottom lives in the twin."""
    if node.type == "Permute" and len(bottom) >= 3:
        order = _permutation(node, len(bottom))
        if order == (0, *range(2, len(bottom)), 1):
            return View(source, bottom, "permuted")
    elif node.type in _RESHAPING and len(bottom) >= 3 and top[:1] == bottom[:1] and prod(top) == prod(bottom):
        # Any reshaping keeps the order of the values; one that keeps the spatial axes only regroups the channels.
        space = min(2, len(bottom) - 2)
        if len(top) < space + 2 or top[-space:] != bottom[-space:]:
            return View(source, bottom, "flat", (Segment(bottom[1], prod(bottom[2:]), False),))
    return None


def moves_space(node: Node, axes: int) -> bool:
    """Whether NODE is a Permute that puts a spatial axis where the channels were, and is not to N×H×W×C.

    Of five axes and more the first ones may change places: so channels are shuffled.
    """
    if node.type not in ("Permute", "Transpose") or axes < 3:
        return False
    order = _permutation(node, axes) if node.type == "Permute" else ()
    shuffles = axes > 4 and order[-2:] == (axes - 2, axes - 1)
    return order[:1] != (0,) or not (order[1] == 1 or shuffles or order == (0, *range(2, axes), 1))


def flattened(view: View) -> View:
    """The view after flattening all axes but the first."""
    channels, positions = view.shape[1], prod(view.spatial)
    if view.kind == "flat":
        return view
    return replace(view, kind="flat", segments=(Segment(channels, positions, view.kind == "permuted"),))


def _permutation(node: Node, axes: int) -> tuple[int, ...]:
    """The whole order of a Permute: the axes it does not name follow in their own order."""
    named = tuple(node.layer.permute_param.order)
    return named + tuple(axis for axis in range(axes) if axis not in named)


def _only(views: Views) -> View | None:
    """The view of the bottom when all bottoms are views of one shape and order, else None."""
    first = views[0]
    for view in views:
        if view is None or first is None or (view.kind, view.shape[1:]) != (first.kind, first.shape[1:]):
            return None
        if view.segments != first.segments:
            return None
    return first


def _pass_on(node: Node, view: View) -> Passes:
    return Passes(tuple(replace(view, blob=top) for top in node.tops))


def _elementwise(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    view = _only(views)
    if view is None:
        return Refuses(_mixture(node, views))
    return _pass_on(node, view)


def _mixture(node: Node, views: Views) -> str:
    if any(view is None for view in views):
        stays = ", ".join(repr(blob.name) for blob, view in zip(node.bottoms, views, strict=True) if view is None)
        dense = ", ".join(repr(blob.name) for blob, view in zip(node.bottoms, views, strict=True) if view is not None)
        return f"({node.type}) joins {dense}, which becomes a map, with {stays}, which does not"
    return (
        f"({node.type}) joins {' and '.join(_grid(blob, view) for blob, view in zip(node.bottoms, views, strict=True))}"
    )


def _grid(blob: Blob, view: View | None) -> str:
    return f"{blob.name!r} (grid {show(view.spatial) if view else '?'})"


def _channelwise(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    """Layers with something of their own for each position of axis 1: PReLU, BatchNorm."""
    view = views[0]
    if view is None or view.kind == "index":
        return Refuses(f"({node.type}) has no channels to work on there")
    if node.type == "PReLU" and node.layer.prelu_param.channel_shared:
        return _pass_on(node, view)
    if not view.is_vector:
        return _position_dependent(node, view)
    return _pass_on(node, view)


def _position_dependent(node: Node, view: View) -> Refuses:
    reason = f"({node.type}) treats each of the {show(view.spatial)} positions of {node.bottoms[0].name!r} on its own"
    return Refuses(reason, by_position=True)


def _scale(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    """Scale and Bias, with learned values along axis 1 or with a second bottom of the same shape."""
    message = "scale_param" if node.type == "Scale" else "bias_param"
    param = getattr(node.layer, message)
    if len(views) == 2:
        view = _only(views)
        if view is None or param.axis != 0 or bottoms[0] != bottoms[1]:
            return Refuses(_mixture(node, views))
        return _pass_on(node, view)
    view = views[0]
    if view is None or view.kind == "index" or param.axis not in (1, -1):
        return Refuses(f"({node.type}) does not work along the channels")
    if param.num_axes == 0:
        return _pass_on(node, view)
    if not view.is_vector:
        return _position_dependent(node, view)
    changes = _axis_to_channels(node, message, param.axis)
    if param.num_axes != 1:
        changes += (SetParameter(node.index, node.name, message, "num_axes", 1),)
    return Passes((replace(view, blob=node.tops[0]),), changes)


def _axis_to_channels(node: Node, message: str, axis: int) -> tuple[SetParameter, ...]:
    """Axis -1 of a vector is its channels; of the twin's map it would be the last spatial axis."""
    return (SetParameter(node.index, node.name, message, "axis", 1),) if axis < 0 else ()


def _softmax(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    view = views[0]
    axis = node.layer.softmax_param.axis
    if view is None or not view.is_vector or axis not in (1, -1):
        return Refuses(f"({node.type}) does not work along the channels")
    return Passes((replace(view, blob=node.tops[0]),), _axis_to_channels(node, "softmax_param", axis))


def _loss(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    """Losses compare by count or along axis 1, so N×K×1×1 is as good as N×K to them."""
    for blob, view in zip(node.bottoms, views, strict=True):
        if view is not None and not view.is_vector and node.type not in _COUNTING_LOSSES:
            return Refuses(f"({node.type}) compares the classes in {blob.name!r}, which has none per position")
    message = "infogain_loss_param" if node.type == "InfogainLoss" else "softmax_param"
    return Accepts(_axis_to_channels(node, message, getattr(node.layer, message).axis))


def _accuracy(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    return Accepts(_axis_to_channels(node, "accuracy_param", node.layer.accuracy_param.axis))


def _accepts(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    return Accepts()


def _argmax(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    view, param = views[0], node.layer.argmax_param
    if view is None or not view.is_vector or (param.HasField("axis") and param.axis not in (1, -1)):
        return Refuses("(ArgMax) does not work along the channels")
    if param.out_max_val and not param.HasField("axis"):
        return Refuses("(ArgMax with out_max_val) gives index and value, and can give only one of them per position")
    change = SetParameter(node.index, node.name, "argmax_param", "axis", 1)
    changes = () if param.HasField("axis") and param.axis == 1 else (change,)
    shape = (view.shape[0], param.top_k, *view.spatial)
    return Passes((View(node.tops[0], shape, "index"),), changes)


def _concat(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    param = node.layer.concat_param
    axis = param.concat_dim if param.HasField("concat_dim") else param.axis
    if axis == 0:
        batch = sum(shape[0] for shape in bottoms if isinstance(shape, tuple))
        view = _only(views)
        return _pass_on(node, replace(view, shape=(batch, *view.shape[1:]))) if view else Refuses(_mixture(node, views))
    last = len(bottoms[0]) - 1 if isinstance(bottoms[0], tuple) else 0
    permuted = [view for view in views if view is not None and view.kind == "permuted"]
    if len(permuted) == len(views) and axis in (-1, last) and len({view.spatial for view in permuted}) == 1:
        channels = sum(view.shape[1] for view in permuted)
        joined = replace(permuted[0], blob=node.tops[0], shape=(permuted[0].shape[0], channels, *permuted[0].spatial))
        return Passes((joined,), (SetParameter(node.index, node.name, "concat_param", "axis", 1),))
    flat = [view for view in views if view is not None and view.kind == "flat"]
    if len(flat) < len(views) or len({view.spatial for view in flat}) > 1 or axis not in (1, -1):
        return Refuses(_mixture(node, views))
    shape = (flat[0].shape[0], sum(view.shape[1] for view in flat), *flat[0].spatial)
    segments = tuple(segment for view in flat for segment in view.segments)
    return Passes((View(node.tops[0], shape, "flat", segments),), _axis_to_channels(node, "concat_param", axis))


def _slice(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    param, view = node.layer.slice_param, views[0]
    axis = param.slice_dim if param.HasField("slice_dim") else param.axis
    if view is not None and axis == 0 and all(isinstance(shape, tuple) for shape in tops):
        parts = [(blob, shape[0]) for blob, shape in zip(node.tops, tops, strict=True) if isinstance(shape, tuple)]
        return Passes(tuple(replace(view, blob=blob, shape=(batch, *view.shape[1:])) for blob, batch in parts))
    if view is None or not view.is_vector or view.kind != "flat" or axis not in (1, -1):
        return Refuses("(Slice) does not cut along the channels")
    made = []
    for blob, shape in zip(node.tops, tops, strict=True):
        if isinstance(shape, Unknown):
            return Refuses("(Slice) makes a blob of unknown shape")
        made.append(View(blob, (*shape[:2], *view.spatial), "flat", (Segment(shape[1], 1, False),)))
    return Passes(tuple(made), _axis_to_channels(node, "slice_param", axis))


def _reshape(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    """Flatten, Reshape, Squeeze: what they undo or redo, the twin does without."""
    view, top = views[0], tops[0]
    if view is None or view.kind == "index" or isinstance(top, Unknown):
        return Refuses(f"({node.type}) reshapes to a fixed size")
    if top == view.shape:
        return Vanishes(replace(view, kind="same", segments=()))
    if top == (view.shape[0], prod(view.shape[1:])):
        return Vanishes(flattened(view))
    return Refuses(f"({node.type}) reshapes to the fixed size {show(top)}")


def _permute(node: Node, views: Views, bottoms: Shapes, tops: Shapes) -> Outcome:
    return Refuses("(Permute) reorders axes that are no longer there")


_RESHAPING = ("Flatten", "Reshape", "Squeeze")

_COUNTING_LOSSES = ("SigmoidCrossEntropyLoss", "EuclideanLoss", "SmoothL1Loss", "L1Loss")
"""These only pair up the values of two blobs, wherever they lie."""

_LOSSES = (
    *_COUNTING_LOSSES,
    "SoftmaxWithLoss",
    "MultinomialLogisticLoss",
    "InfogainLoss",
    "HingeLoss",
    "ContrastiveLoss",
)

_RULES: dict[str, Rule] = {
    **dict.fromkeys((*VALUE_BY_VALUE, "Add", "BatchReindex", "Eltwise", "Mul"), _elementwise),
    **dict.fromkeys(("PReLU", "BatchNorm", "BN"), _channelwise),
    **dict.fromkeys(("Scale", "Bias"), _scale),
    **dict.fromkeys(_LOSSES, _loss),
    **dict.fromkeys(("Silence", "HDF5Output", "MarginInnerProduct"), _accepts),
    **dict.fromkeys(_RESHAPING, _reshape),
    "Accuracy": _accuracy,
    "ArgMax": _argmax,
    "Concat": _concat,
    "Permute": _permute,
    "Slice": _slice,
    "Softmax": _softmax,
}
