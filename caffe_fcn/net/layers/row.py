"""A row of the table of layer types: all that is known about a type, as data and functions.

A row begins as one of the `traits`, or empty, and sets the fields that differ. What a row does not define is refused by
the name of the type where it is needed: a type without a shape rule is unknown, one without `follows` stops a
conversion, one without moves makes no map. Only the lowering to ONNX is not in the row; it is registered in `onnx/`.
"""

# Annotations are objects here and not text, which NamedTuple would have to compile when the program starts.

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from caffe_fcn.net.layers.following import FollowsRule, unknown
from caffe_fcn.net.layers.keeping import KeepsRule
from caffe_fcn.net.layers.moves import MovesRule
from caffe_fcn.net.layers.shape import Bottoms, Shape, Top
from caffe_fcn.net.objections import Severity
from caffe_fcn.schema import Message

if TYPE_CHECKING:
    from caffe_fcn.net.graph import Blob
    from caffe_fcn.net.layers.windows import Windows

Limits: TypeAlias = tuple[int, int | None]
"""The least and the greatest number of something; None where there is no greatest."""

ShapeRule: TypeAlias = Callable[[Message, Bottoms], Sequence[Top]]
ParamsRule: TypeAlias = Callable[[Message, Bottoms], Sequence[Shape]]
LayoutsRule: TypeAlias = Callable[[Message, Bottoms], Sequence[Sequence[Shape]]]
ObjectsRule: TypeAlias = Callable[[Message, Bottoms], Iterator[tuple[Severity, str]]]
Test: TypeAlias = Callable[[Message], bool]
Blobs: TypeAlias = Sequence["Blob"]
MapsRule: TypeAlias = Callable[[Blobs, int], Blobs]
WindowsRule: TypeAlias = Callable[[Message, Shape], "Windows"]
Family: TypeAlias = Literal[
    "convolution",
    "pooling",
    "activation",
    "normalization",
    "inner_product",
    "join",
    "reshape",
    "resize",
    "detection",
    "data",
    "loss",
    "other",
    "unknown",
]
"""What layers of a type do, roughly, as drawings show it by colours."""
MacsRule: TypeAlias = Callable[[Sequence[Shape], Sequence[Shape], Sequence[Shape]], int]
"""From the shapes of the bottoms, the tops and the parameter blobs."""
FillersRule: TypeAlias = Callable[[Message, Sequence[Shape]], Sequence[str]]
TermsRule: TypeAlias = Callable[[Message, Shape, Sequence[Shape]], int]
LimitsRule: TypeAlias = Callable[[Message], tuple["float | None", "float | None"]]
OrderRule: TypeAlias = Callable[[Message, int], tuple[int, ...]]

ONE: Limits = (1, 1)
SOME: Limits = (1, None)
ANY: Limits = (0, None)


def always(_layer: Message) -> bool:
    """A test that is true for every layer."""
    return True


def never(_layer: Message) -> bool:
    """A test that is false for every layer."""
    return False


def is_alone(layer: Message) -> bool:
    """Whether a layer has one bottom and one top."""
    return len(layer.bottom) == len(layer.top) == 1


def no_params(_layer: Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """No parameter blobs."""
    return ()


def no_objections(_layer: Message, _bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """No objections."""
    return iter(())


def no_macs(_bottoms: Sequence[Shape], _tops: Sequence[Shape], _params: Sequence[Shape]) -> int:
    """No multiplications by learned weights."""
    return 0


def no_fillers(_layer: Message, _params: Sequence[Shape]) -> Sequence[str]:
    """No known fillers."""
    return ()


def none_measured(_params: Sequence[Shape]) -> Collection[int]:
    """No parameter blobs that are measured."""
    return ()


def no_limits(_layer: Message) -> tuple[float | None, float | None]:
    """No limits of the values."""
    return None, None


def few_terms(_layer: Message, _bottom: Shape, _params: Sequence[Shape]) -> int:
    """The terms of a layer that works value by value: a few operations."""
    return 4


def first_bottom(bottoms: Blobs, _position: int) -> Blobs:
    """Only the first bottom may be a map."""
    return bottoms[:1]


def every_bottom(bottoms: Blobs, _position: int) -> Blobs:
    """All bottoms may be maps; each top depends on all of them."""
    return bottoms


def opposite_bottom(bottoms: Blobs, position: int) -> Blobs:
    """Each top depends on the bottom at the same position."""
    return bottoms[position : position + 1]


def one_part(_layer: Message) -> int:
    """Any number of input channels is possible."""
    return 1


class LayerType(NamedTuple):
    """What is known about a layer type. A layer is a LayerParameter; BOTTOMS of a function are shapes."""

    family: Family = "unknown"
    """The family that drawings show."""

    # ---- Shapes ----

    shape: ShapeRule | None = None
    """The shapes of the tops; None for an unknown type."""
    partial: bool = False
    """Whether the shape rule is called even if a bottom is Unknown; if not, all tops are Unknown."""
    bottoms: Limits = ANY
    """The possible numbers of bottoms."""
    tops: Limits = ANY
    """The possible numbers of tops."""
    objections: ObjectsRule = no_objections
    """Caffe's objections to a layer with valid shapes, each with its severity."""
    in_place: Test = always
    """Whether Caffe allows the layer to work in place."""

    # ---- Parameters ----

    params: ParamsRule | None = None
    """The shapes of the parameter blobs; None if the net does not define them."""
    layouts: LayoutsRule | None = None
    """All layouts that forks may have in place of PARAMS, the likeliest first; the weights show which one it is."""
    fillers: FillersRule = no_fillers
    """The field of the filler of each parameter blob, such as "scale_param.filler", given the shapes of the blobs;
    empty if unknown."""
    old_axes: tuple[int, ...] = ()
    """The number of axes of each parameter blob. V1 files add leading axes, because every blob had four axes then."""
    linear: bool = False
    """Whether each value of a top is a sum of values of the bottom times weights of the first parameter blob, plus the
    bias of its channel if there is one."""
    contents: tuple[str, ...] = ()
    """What the parameter blobs hold, in words, if it is no bias."""
    measured: Callable[[Sequence[Shape]], Collection[int]] = none_measured
    """The positions of the parameter blobs that are measured in training and not learned, given their shapes."""

    # ---- Formats ----

    bvlc: bool = False
    """Whether BVLC Caffe has the type."""
    v1: str = ""
    """Its names in the V1 format, if these are not the same words in capitals ("INNER_PRODUCT")."""
    reads: str = ""
    """The fields with the parameters of a layer ("convolution_param"), separated by spaces."""

    # ---- Maps ----

    moves: MovesRule | None = None
    """How the cells of a top depend on those of the bottoms; None if the tops are no maps."""
    maps: MapsRule = first_bottom
    """The bottoms that may be maps on which the top at a position depends."""
    windows: WindowsRule | None = None
    """The windows of the layer over a bottom, given its shape."""
    joins: bool = False
    """Whether it joins several maps cell by cell."""
    operand_axis: Callable[[Message], int] | None = None
    """The axis of the first bottom where a smaller second bottom begins; None if it has all axes."""
    by_size: Test = never
    """Whether its moves depend on the sizes of its blobs."""
    constant: bool = False
    """Whether its tops do not depend on the input."""
    follows: FollowsRule = unknown
    """What it does if a bottom becomes a map in the converted net."""
    idle: Test = never
    """Whether it keeps every value at its place if its only top has the shape of its only bottom."""
    unchanging: Test = never
    """Whether its tops equal its bottom outside of training."""
    order: OrderRule | None = None
    """For a type that only changes the axes of its bottom: the order in which it reads them, given their number."""
    value_by_value: bool = False
    """Whether each value of a top is one function of one value of the bottom, the same at every place."""
    in_its_place: bool = False
    """Whether a top with the shape of the first bottom has a value for each of its values, at the same place."""
    parts: Callable[[Message], int] = one_part
    """The number of input channels is a multiple of this."""
    keeps: KeepsRule | None = None
    """Which channels of its tops are left where some of its bottoms' are; None where that is not known. A `linear` type
    says it by its weights."""

    # ---- Ends ----

    regions: bool = False
    """Whether each item of its top is a region of a map; later layers do not depend on the image size."""
    counted: int | None = None
    """The axis of its tops along which the detections or regions lie."""
    sequence: bool = False
    """Whether it reads or makes a sequence."""
    judges: bool = False
    """Whether it is a loss or a measure, or discards its bottoms: inference does not need it."""
    weighs: bool = False
    """Whether it is a loss: Caffe gives its first top the loss_weight 1 where the layer has none."""
    contains: str = ""
    """The layer type that a loss contains and that inference needs."""

    # ---- Scores ----

    makes: Literal["scores", "probabilities", "same", "values"] = "scores"
    """What its numbers are: what may be scores of classes, probabilities that it makes of scores, the same as those of
    its bottom, or anything else."""
    reads_scores: bool = False
    """Whether its bottoms are scores of classes."""
    time_first: bool = False
    """Whether the first axis of its bottoms is time and not the batch."""

    # ---- Arithmetic ----

    terms: TermsRule = few_terms
    """The largest number of terms in the sum for a value, given the shapes of a bottom and of the parameter blobs."""
    picks: Test = never
    """Whether each of its values is one of the bottom's values, or 0."""
    limits: LimitsRule = no_limits
    """The least and the greatest value of a top, as far as the function levels out there; None where it does not."""
    near_one: Literal["", "result", "factor"] = ""
    """What it computes from numbers near 1, such as 1 + exp(x): nothing, its result, or a factor of it."""
    index_bottoms: int | None = None
    """From which bottom on it reads indices and not values."""
    index_tops: int | None = None
    """From which top on it makes indices and not values."""

    # ---- Cost ----

    macs: MacsRule | None = None
    """The number of multiplications by learned weights; None if unknown."""
    shares: Test = never
    """Whether its tops share the memory of its bottoms."""

    @property
    def known(self) -> bool:
        """Whether there is a rule for the shapes of its tops."""
        return self.shape is not None
