"""Shapes: what the shape rule of a layer type returns for a top, and helpers for such rules.

A rule returns `Missing` for an unknown shape, or None for an unknown axis. It raises ShapeError for an impossible
shape; the caller adds the layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, TypeAlias

from caffe_fcn.errors import ShapeError
from caffe_fcn.schema import Message

Shape: TypeAlias = tuple[int, ...]
"""The extent of a blob along each axis, outermost first; () is a scalar."""

PartialShape: TypeAlias = tuple["int | None", ...]
"""A shape in which the axes that a data layer does not define are None."""

Kind: TypeAlias = Literal["input", "type", "runtime"]
"""Why a shape is unknown: the input is undefined, the layer type is unknown, or it depends on values at run time."""


@dataclass(frozen=True)
class Missing:
    """What a rule returns for a top whose shape the files do not define."""

    kind: Kind
    reason: str


@dataclass(frozen=True)
class Unknown:
    """An unknown shape: the first layer and blob whose shape is unknown, and the reason."""

    kind: Kind
    """What is missing: "input", "type" and the like."""
    layer: str
    """The first layer whose shape is unknown."""
    blob: str
    """The blob of that layer whose shape the user may give."""
    reason: str
    """The reason in words."""


MAX_COUNT = 2**31 - 1
"""Caffe counts the elements of a blob in an int."""


class TooLargeError(ShapeError):
    """A blob would have more elements than Caffe can count."""


Top: TypeAlias = "PartialShape | Missing | Unknown"
Bottoms: TypeAlias = Sequence[Any]
"""Shapes; for a partial rule also `Unknown`."""


def bare(shape: Shape) -> Shape:
    """SHAPE without axes of length 1: blobs that differ only in these hold the same values in the same order."""
    return tuple(extent for extent in shape if extent != 1)


def show(shape: PartialShape) -> str:
    """SHAPE in words: 1×3×227×227, with ? for an unknown axis."""
    return "×".join("?" if extent is None else str(extent) for extent in shape) or "a scalar"


def canonical_axis(axis: int, shape: Shape, field: str) -> int:
    """AXIS counted from the front; a negative one counts from the end, as in Blob::CanonicalAxisIndex."""
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"{field} is {axis}, but the bottom has only {len(shape)} axes ({show(shape)})")
    return axis % len(shape)


def legacy_shape(shape: Shape) -> Shape:
    """SHAPE as num×channels×height×width, as some layers need it. Raises ShapeError for more than four axes."""
    if len(shape) > 4:
        raise ShapeError(f"the bottom has {len(shape)} axes ({show(shape)}), but the layer takes at most 4")
    return shape + (1,) * (4 - len(shape))


def need_axes(shape: Shape, axes: int) -> None:
    """Raise ShapeError unless SHAPE has exactly AXES axes."""
    if len(shape) != axes:
        raise ShapeError(f"the bottom has {len(shape)} axes ({show(shape)}), but the layer needs {axes}")


def need_least_axes(shape: Shape, axes: int) -> None:
    """Raise ShapeError unless SHAPE has at least AXES axes."""
    if len(shape) < axes:
        raise ShapeError(f"the bottom has {len(shape)} axes ({show(shape)}), but the layer needs {axes} or more")


def count(shape: Shape) -> int:
    """The number of elements of a blob of SHAPE."""
    return prod(shape)


def channels_of(shape: Shape) -> int:
    """The channels of a blob of SHAPE; 1 if it has one axis, as in BatchNormLayer."""
    return shape[1] if len(shape) > 1 else 1


def joined_axis(layer: Message, bottom: Shape) -> int:
    """The axis along which a Concat joins or a Slice cuts; `concat_dim` and `slice_dim` are their old names."""
    param, old = (layer.concat_param, "concat_dim") if layer.type == "Concat" else (layer.slice_param, "slice_dim")
    if not param.HasField(old):
        return canonical_axis(param.axis, bottom, "axis")
    if param.HasField("axis"):
        raise ShapeError(f"axis and {old} are both given; keep axis")
    return canonical_axis(getattr(param, old), bottom, old)


def matching(layouts: Sequence[Sequence[Shape]], held: Sequence[Shape]) -> Sequence[Sequence[Shape]]:
    """The LAYOUTS of parameter blobs that match the shapes HELD, apart from axes of length 1."""
    wanted = [bare(shape) for shape in held]
    return [layout for layout in layouts if [bare(shape) for shape in layout] == wanted]
