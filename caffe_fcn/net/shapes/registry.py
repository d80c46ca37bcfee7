"""The registry of shape rules: one function per layer type, found by the name Caffe gives the type.

A rule takes the layer and the shapes of its bottoms and returns the shapes of its tops; a sibling gives
the shapes of the parameter blobs. What a rule cannot know it says as a value (`Missing`, or None for one
axis); what is wrong it raises as a ShapeError, and the caller adds which layer it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, Literal, NamedTuple, TypeAlias

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.objections import Severity

Shape: TypeAlias = tuple[int, ...]
"""The extent of a blob along each axis, outermost first; () is a scalar."""

PartialShape: TypeAlias = tuple["int | None", ...]
"""A shape of which a data layer leaves out the axes that are None."""

Kind: TypeAlias = Literal["input", "type", "runtime"]
"""Why a shape is not known: the data decides, nobody knows the layer type, or the values decide."""

BVLC_LAYERS = frozenset(
    "AbsVal Accuracy ArgMax BatchNorm BatchReindex Bias BNLL Clip Concat ContrastiveLoss Convolution Crop Data "
    "Deconvolution Dropout DummyData Eltwise ELU Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss "
    "Im2col ImageData InfogainLoss InnerProduct Input Log LRN LSTM LSTMUnit MemoryData MultinomialLogisticLoss MVN "
    "Parameter Pooling Power PReLU Python Reduction ReLU Reshape RNN Scale Sigmoid SigmoidCrossEntropyLoss Silence "
    "Slice Softmax SoftmaxWithLoss Split SPP Swish TanH Threshold Tile WindowData".split()
)
"""The layer types of BVLC Caffe; the registry knows those of forks as well."""

ENTRY_POINTS = "caffe_fcn.layers"
"""The group of entry points by which other packages add layer types: NAME = function(layer, bottoms) -> tops."""


@dataclass(frozen=True)
class Missing:
    """What a rule gives in place of a top's shape that the files do not tell."""

    kind: Kind
    reason: str


@dataclass(frozen=True)
class Unknown:
    """A shape that is not known, and the layer and blob at which the knowledge ends."""

    kind: Kind
    """What is missing: "input", "type" and the like."""
    layer: str
    """The layer at which the knowledge ends."""
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
TopsRule: TypeAlias = Callable[[schema.Message, Bottoms], Sequence[Top]]
ParamsRule: TypeAlias = Callable[[schema.Message, Bottoms], Sequence[Shape]]
LayoutsRule: TypeAlias = Callable[[schema.Message, Bottoms], Sequence[Sequence[Shape]]]


def no_params(_layer: schema.Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """The parameter blobs of a layer that has none."""
    return ()


Limits: TypeAlias = tuple[int, "int | None"]
"""The least and the greatest number of something; None where there is no greatest."""

ObjectsRule: TypeAlias = Callable[[schema.Message, Bottoms], Iterator[tuple[Severity, str]]]


def no_objections(_layer: schema.Message, _bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """What Caffe has against a layer whose shapes are possible: nothing."""
    return iter(())


class Rule(NamedTuple):
    """What is known of a layer type: its tops, its parameter blobs, how many bottoms it takes and how many tops it
    MAKES, and what Caffe OBJECTS to although the shapes are plain.

    PARAMS is None where the parameter blobs cannot be known. LAYOUTS gives all that forks of Caffe may hold in place of
    PARAMS, the likeliest first; the weights tell which it is.
    A PARTIAL rule is asked even where a bottom is Unknown; the others give the same Unknown for all tops.
    """

    tops: TopsRule
    params: ParamsRule | None = no_params
    bottoms: Limits = (1, 1)
    partial: bool = False
    makes: Limits = (0, None)
    layouts: LayoutsRule | None = None
    objects: ObjectsRule = no_objections


RULES: dict[str, Rule] = {}
"""Layer type to rule, filled by the modules beside this one."""


def rule(
    *types: str,
    params: ParamsRule | None = no_params,
    bottoms: int | Limits = 1,
    partial: bool = False,
    makes: int | Limits = (0, None),
    layouts: LayoutsRule | None = None,
    objects: ObjectsRule = no_objections,
) -> Callable[[TopsRule], TopsRule]:
    """Register the decorated function as the rule of the layer TYPES. BOTTOMS, MAKES: how many, or (least, most)."""

    def register(tops: TopsRule) -> TopsRule:
        for name in types:
            RULES[name] = Rule(tops, params, _limits(bottoms), partial, _limits(makes), layouts, objects)
        return tops

    return register


def _limits(number: int | Limits) -> Limits:
    return (number, number) if isinstance(number, int) else number


def find_rule(layer_type: str) -> Rule | None:
    """The rule of LAYER_TYPE: ours, else that of an installed package, else None."""
    return RULES.get(layer_type) or _installed_rule(layer_type)


@cache
def _installed_rule(layer_type: str) -> Rule | None:
    from importlib.metadata import entry_points

    for entry_point in entry_points(group=ENTRY_POINTS, name=layer_type):
        try:
            return Rule(entry_point.load(), params=None, bottoms=(0, None))
        except (ImportError, AttributeError) as error:
            raise ShapeError(f"the entry point {entry_point.value} for this type cannot be loaded: {error}") from error
    return None


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
