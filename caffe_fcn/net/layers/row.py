"""A layer type as one row: all that is known of it, in fields that are data or functions.

A row begins as one of the `traits`, or as nothing, and says what differs. What it does not say is refused where it is
needed, by the name of the type: a type without a shape rule is an unknown type, one without a way to follow a map
stops a conversion behind it, one without moves makes no map. ONNX is the one thing that a row does not hold: the
lowering of a type is registered for its name where the operators are known.
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
MacsRule: TypeAlias = Callable[[Sequence[Shape], Sequence[Shape], Sequence[Shape]], int]
"""From the shapes of the bottoms, the tops and the parameter blobs."""
FillersRule: TypeAlias = Callable[[Message, Sequence[Shape]], Sequence[str]]
TermsRule: TypeAlias = Callable[[Message, Shape, Sequence[Shape]], int]
OrderRule: TypeAlias = Callable[[Message, int], tuple[int, ...]]

ONE: Limits = (1, 1)
SOME: Limits = (1, None)
ANY: Limits = (0, None)


def always(_layer: Message) -> bool:
    """The answer to a test of a layer that does not depend on it: yes."""
    return True


def never(_layer: Message) -> bool:
    """The answer to a test of a layer that does not depend on it: no."""
    return False


def is_alone(layer: Message) -> bool:
    """Whether a layer makes one top of one bottom."""
    return len(layer.bottom) == len(layer.top) == 1


def no_params(_layer: Message, _bottoms: Bottoms) -> Sequence[Shape]:
    """The parameter blobs of a layer that has none."""
    return ()


def no_objections(_layer: Message, _bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """What Caffe has against a layer whose shapes are possible: nothing."""
    return iter(())


def no_macs(_bottoms: Sequence[Shape], _tops: Sequence[Shape], _params: Sequence[Shape]) -> int:
    """The multiplications by learned weights of a layer that does none."""
    return 0


def no_fillers(_layer: Message, _params: Sequence[Shape]) -> Sequence[str]:
    """The fillers of a layer of which none are known."""
    return ()


def none_measured(_params: Sequence[Shape]) -> Collection[int]:
    """Which parameter blobs a layer measures that learns all of them."""
    return ()


def few_terms(_layer: Message, _bottom: Shape, _params: Sequence[Shape]) -> int:
    """The terms of a layer that works value by value: its operations one behind the other."""
    return 4


def first_bottom(bottoms: Blobs, _position: int) -> Blobs:
    """The first bottom alone may be a map."""
    return bottoms[:1]


def every_bottom(bottoms: Blobs, _position: int) -> Blobs:
    """All bottoms may be maps, of which a top is made together."""
    return bottoms


def opposite_bottom(bottoms: Blobs, position: int) -> Blobs:
    """Each top is made of the bottom of its place."""
    return bottoms[position : position + 1]


def one_part(_layer: Message) -> int:
    """The channels that go into a layer may be any number."""
    return 1


class LayerType(NamedTuple):
    """What is known of a layer type. A layer is a LayerParameter; BOTTOMS of a function are their shapes."""

    # ---- Shapes ----

    shape: ShapeRule | None = None
    """The shapes of the tops; None for a type that is not known."""
    partial: bool = False
    """Whether the shape rule is asked even where a bottom is Unknown; else all tops have that shape."""
    bottoms: Limits = ANY
    """How many bottoms a layer takes."""
    tops: Limits = ANY
    """How many tops a layer makes."""
    objections: ObjectsRule = no_objections
    """What Caffe objects to although the shapes are plain, each with its severity."""
    in_place: Test = always
    """Whether Caffe builds the layer where the first top is the first bottom."""

    # ---- Parameters ----

    params: ParamsRule | None = None
    """The shapes of the parameter blobs; None where they cannot be known."""
    layouts: LayoutsRule | None = None
    """All that forks of Caffe may hold in place of PARAMS, the likeliest first; the weights tell which it is."""
    fillers: FillersRule = no_fillers
    """The field of the filler of each parameter blob, such as "scale_param.filler", for parameter blobs of these
    shapes; none where that is not known."""
    old_axes: tuple[int, ...] = ()
    """How many axes each parameter blob has, which files of the time when every blob had four fill up in front."""
    linear: bool = False
    """Whether each value of a top is a sum of values of the bottom, each times a weight of the first parameter blob,
    and of the bias of its channel, where there is one."""
    measured: Callable[[Sequence[Shape]], Collection[int]] = none_measured
    """Which parameter blobs of these shapes are measured in training, and not learned."""

    # ---- Formats ----

    bvlc: bool = False
    """Whether BVLC Caffe has it."""
    v1: str = ""
    """Its names in the format of 2014, where that is not the same words in capitals ("INNER_PRODUCT")."""
    reads: str = ""
    """The fields of a layer that hold its parameters ("convolution_param"), one after another."""

    # ---- Maps ----

    moves: MovesRule | None = None
    """How it makes the cells of a top of those of its bottoms; None where its tops are no maps."""
    maps: MapsRule = first_bottom
    """Which bottoms may be maps of which it makes the top at a position."""
    windows: WindowsRule | None = None
    """The windows that it slides over a bottom of a shape, or spreads from one."""
    joins: bool = False
    """Whether it puts several maps together, cell by cell."""
    operand_axis: Callable[[Message], int] | None = None
    """On which axis of the first bottom a smaller second one lies; None where it has all axes."""
    by_size: Test = never
    """Whether its moves follow from the sizes of its blobs."""
    constant: bool = False
    """Whether its tops do not depend on the input."""
    follows: FollowsRule = unknown
    """What it does to a blob in whose place the converted net has a map."""
    idle: Test = never
    """Whether it keeps every value in its place where its one top has the shape of its one bottom."""
    unchanging: Test = never
    """Whether its tops are its bottom, value by value, in a net that is used."""
    order: OrderRule | None = None
    """For a type that gives values other axes and computes nothing: the order in which it takes the axes of a bottom
    that has so many."""
    value_by_value: bool = False
    """Whether each top holds one function of each value of the one bottom, wherever that value lies."""
    in_its_place: bool = False
    """Whether a top of the shape of the first bottom has a value for each value of it, in its place."""
    parts: Callable[[Message], int] = one_part
    """Of what the channels that go in are a multiple."""
    keeps: KeepsRule | None = None
    """Which channels of its tops are left where some of its bottoms' are; None where that is not known. A `linear` type
    says it by its weights."""

    # ---- Ends ----

    regions: bool = False
    """Whether each item of its top is a region of a map; what follows does not depend on the size of the image."""
    counted: int | None = None
    """The axis of its tops that is as long as there are detections or regions."""
    sequence: bool = False
    """Whether it works on a sequence, or makes one."""
    judges: bool = False
    """Whether it is a loss or a measure, or throws away what it reads: a net in use does without."""
    contains: str = ""
    """The layer type that a loss contains, and of which a net in use has need."""

    # ---- Scores ----

    makes: Literal["scores", "probabilities", "same", "values"] = "scores"
    """What its numbers are: what may be scores of classes, probabilities that it makes of scores, the same as those of
    its bottom, or anything else."""
    reads_scores: bool = False
    """Whether what it reads are scores of classes."""
    time_first: bool = False
    """Whether the first axis of its bottoms is the time, and not the batch."""

    # ---- Arithmetic ----

    terms: TermsRule = few_terms
    """How many terms each value that it makes is the sum of, at most, over a bottom and parameter blobs of these
    shapes."""
    picks: Test = never
    """Whether each value that it makes is one of its bottom's, or 0."""
    near_one: Literal["", "result", "factor"] = ""
    """What is computed by way of numbers around one, such as 1 + exp(x): nothing, its result, or a factor of it."""
    index_bottoms: int | None = None
    """From which bottom on it reads places and not values."""
    index_tops: int | None = None
    """From which top on it makes places and not values."""

    # ---- Cost ----

    macs: MacsRule | None = None
    """How many multiplications by learned weights it does; None where that is not known."""
    shares: Test = never
    """Whether its tops are another view of data that is there already."""

    @property
    def known(self) -> bool:
        """Whether the shapes of its tops are told."""
        return self.shape is not None
