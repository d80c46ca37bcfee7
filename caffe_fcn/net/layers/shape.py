"""Shapes as values: what a rule of a layer type gives for a top, and helpers for the rules.

What a rule cannot know it says as a value (`Missing`, or None for one axis); what is wrong it raises as a ShapeError,
and the caller adds which layer it was.
"""

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
"""A shape of which a data layer leaves out the axes that are None."""

Kind: TypeAlias = Literal["input", "type", "runtime"]
"""Why a shape is not known: the data decides, nobody knows the layer type, or the values decide."""


@dataclass(frozen=True)
class Missing:
    """What a rule gives in place of a top's shape that the files do not tell."""

    kind: Kind
    reason: str


@dataclass(frozen=True)
class Unknown:
    """A shape that is not known, with the first layer and blob whose shape is unknown, and the reason."""

    kind: Kind
    """What is missing: "input", "type" and the like."""
    layer: str
    """The first layer whose shape is unknown."""
    blob: str
    """Its blob; the shape to give, where one can be given."""
    reason: str
    """Why, in words."""


MAX_COUNT = 2**31 - 1
"""Caffe counts the elements of a blob in an int."""


class TooLargeError(ShapeError):
    """A blob would have more elements than Caffe can count."""


Top: TypeAlias = "PartialShape | Missing | Unknown"
Bottoms: TypeAlias = Sequence[Any]
"""Shapes; for a partial rule also `Unknown`."""


def bare(shape: Shape) -> Shape:
    """SHAPE without its axes of one: blobs of which only those differ hold the same values in the same order."""
    return tuple(extent for extent in shape if extent != 1)


def show(shape: PartialShape) -> str:
    """SHAPE for people: 1×3×227×227, with ? for an axis that is not known."""
    return "×".join("?" if extent is None else str(extent) for extent in shape) or "a scalar"


def canonical_axis(axis: int, shape: Shape, field: str) -> int:
    """AXIS counted from the front; a negative one counts from the end, as in Blob::CanonicalAxisIndex."""
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"{field} is {axis}, but the bottom has only {len(shape)} axes ({show(shape)})")
    return axis % len(shape)


def legacy_shape(shape: Shape) -> Shape:
    """SHAPE as num×channels×height×width, which some layers still think in. Raises ShapeError over four axes."""
    if len(shape) > 4:
        raise ShapeError(f"the bottom has {len(shape)} axes ({show(shape)}), but the layer takes at most 4")
    return shape + (1,) * (4 - len(shape))


def need_axes(shape: Shape, axes: int) -> None:
    """Raise ShapeError unless SHAPE has so many AXES."""
    if len(shape) != axes:
        raise ShapeError(f"the bottom has {len(shape)} axes ({show(shape)}), but the layer needs {axes}")


def need_least_axes(shape: Shape, axes: int) -> None:
    """Raise ShapeError unless SHAPE has AXES or more."""
    if len(shape) < axes:
        raise ShapeError(f"the bottom has {len(shape)} axes ({show(shape)}), but the layer needs {axes} or more")


def count(shape: Shape) -> int:
    """How many elements a blob of SHAPE has."""
    return prod(shape)


def channels_of(shape: Shape) -> int:
    """The channels of a blob of SHAPE; 1 where it has one axis, as in BatchNormLayer."""
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
    """Those of LAYOUTS of parameter blobs that blobs of the shapes HELD have, axes of one aside."""
    wanted = [bare(shape) for shape in held]
    return [layout for layout in layouts if [bare(shape) for shape in layout] == wanted]
