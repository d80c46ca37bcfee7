"""Builds the graph of a net for one phase, stage and level, as Caffe would build it.

A blob is a name and a version. A layer that works in place makes the next version of its bottom, so every blob has
exactly one producer and the graph has no loops, in file order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.errors import NetError
from caffe_fcn.net.rules import choices, in_words, included
from caffe_fcn.net.upgrade import input_layer
from caffe_fcn.wording import nearest, option

if TYPE_CHECKING:
    from caffe_fcn.net.foreign import ForeignField


class Blob(NamedTuple):
    """A value of the net. Version 0 comes first; each in-place layer makes the next one."""

    name: str
    version: int


@dataclass(frozen=True)
class Node:
    """A layer in the graph. INDEX is its place in `net.layer`, or -1 for the net's own `input` fields; UNCOMPUTED are
    its fields whose effect is not supported."""

    index: int
    layer: schema.Message
    bottoms: tuple[Blob, ...]
    tops: tuple[Blob, ...]
    uncomputed: tuple[ForeignField, ...] = ()

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.name)

    @property
    def type(self) -> str:
        """The layer's type, as Caffe spells it."""
        return str(self.layer.type)


class Graph(NamedTuple):
    """The layers of one phase in file order, and the producer and the readers of each blob."""

    phase: str
    nodes: tuple[Node, ...]
    producer: Mapping[Blob, Node]
    consumers: Mapping[Blob, tuple[Node, ...]]
    outputs: tuple[Blob, ...]
    source: str = "net"
    held: Mapping[str, Sequence[tuple[int, ...]]] = MappingProxyType({})
    """The shapes of the parameter blobs in the weights by layer name, if known."""
    uncomputed: tuple[ForeignField, ...] = ()
    """Fields of the net itself whose effect is not supported."""
    channels: Mapping[str, int] = MappingProxyType({})
    """The channels of images by blob name, as a layer of the file, in any phase, defines them."""
    crops_at_zero: bool = False
    """Whether the user chose the offset 0 for Crop layers without one, as in BVLC Caffe."""

    def before(self, nodes: Iterable[Node]) -> set[int]:
        """The indices of NODES and of all layers that they depend on."""
        wanted = {node.index for node in nodes}
        blobs: set[Blob] = set()
        for node in reversed(self.nodes):
            if node.index in wanted or not blobs.isdisjoint(node.tops):
                wanted.add(node.index)
                blobs.update(node.bottoms)
        return wanted

    def made_of(self, nodes: Iterable[Node]) -> Graph:
        """The same net with NODES as its layers."""
        kept = tuple(nodes)
        producer = {blob: node for node in kept for blob in node.tops}
        readers: dict[Blob, list[Node]] = {}
        for node in kept:
            for blob in dict.fromkeys(node.bottoms):
                readers.setdefault(blob, []).append(node)
        consumers = {blob: tuple(found) for blob, found in readers.items()}
        outputs = tuple(blob for blob in producer if blob not in consumers)
        return self._replace(nodes=kept, producer=producer, consumers=consumers, outputs=outputs)

    def latest(self, name: str) -> Blob | None:
        """The last version of the blob called NAME, or None if no layer makes it."""
        blob = Blob(name, 0)
        if blob not in self.producer:
            return None
        while (following := Blob(name, blob.version + 1)) in self.producer:
            blob = following
        return blob


def build_graph(
    net: schema.Message,
    *,
    phase: str = "TEST",
    stages: Sequence[str] = (),
    level: int | None = None,
    source: str = "net",
    uncomputed: Mapping[int | None, tuple[ForeignField, ...]] = MappingProxyType({}),
) -> Graph:
    """The graph of NET, a NetParameter in the current format, for PHASE ("TRAIN" or "TEST").

    As Caffe's tools do it, PHASE and LEVEL (0 unless it is given) replace those in the net's own `state`, and STAGES
    are added to the stages there. SOURCE names the file in messages; UNCOMPUTED are fields whose effect is not
    supported, by the index of their layer, None for the net. Raises NetError for a bottom that no earlier layer makes,
    a top made twice, bad input fields or bad include rules.
    """
    state = _state(net, phase, stages, level)
    builder = _Builder(net, state, source, uncomputed)
    inputs = input_layer(net, source)
    if inputs is not None:
        builder.add(-1, inputs)
    for index, layer in enumerate(net.layer):
        if layer.include and layer.exclude:
            raise _error(
                source, layer, index, "has include and exclude rules, but Caffe allows only one kind; remove the others"
            )
        if included(layer, state):
            builder.add(index, layer)
    return builder.graph()


class _Builder:
    """Adds layers in file order, keeping the current version of every blob name."""

    def __init__(
        self,
        net: schema.Message,
        state: schema.Message,
        source: str,
        uncomputed: Mapping[int | None, tuple[ForeignField, ...]],
    ) -> None:
        self._net = net
        self._state = state
        self._source = source
        self._uncomputed = uncomputed
        self._current: dict[str, Blob] = {}
        self._producer: dict[Blob, Node] = {}
        self._consumers: dict[Blob, list[Node]] = {}
        self._nodes: list[Node] = []

    def add(self, index: int, layer: schema.Message) -> None:
        bottom_names = list(layer.bottom)
        bottoms = tuple(self._bottom(layer, index, name) for name in bottom_names)
        tops = tuple(self._top(layer, index, position, bottom_names) for position in range(len(layer.top)))
        node = Node(index, layer, bottoms, tops, self._uncomputed.get(index, ()))
        self._nodes.append(node)
        for blob in dict.fromkeys(bottoms):
            self._consumers.setdefault(blob, []).append(node)
        for blob in tops:
            self._producer[blob] = node

    def graph(self) -> Graph:
        outputs = tuple(blob for blob in self._producer if blob not in self._consumers)
        consumers = {blob: tuple(nodes) for blob, nodes in self._consumers.items()}
        phase = _phase_name(self._state.phase)
        uncomputed = self._uncomputed.get(None, ())
        return Graph(phase, tuple(self._nodes), self._producer, consumers, outputs, self._source, uncomputed=uncomputed)

    def _bottom(self, layer: schema.Message, index: int, name: str) -> Blob:
        blob = self._current.get(name)
        if blob is None:
            what = f'needs the blob "{printable(name)}", {self._absence(name, index)}'
            raise _error(self._source, layer, index, what)
        return blob

    def _top(self, layer: schema.Message, index: int, position: int, bottoms: Sequence[str]) -> Blob:
        """The blob of a top of LAYER. A top is in place only if the bottom at the same position has its name."""
        name = layer.top[position]
        before = self._current.get(name)
        in_place = position < len(bottoms) and bottoms[position] == name
        if before is not None and not in_place:
            maker = self._producer[before].name if before in self._producer else layer.name
            made = f'makes the blob "{printable(name)}", but layer "{printable(maker)}" already makes it'
            what = f"{made}; rename one of the two tops"
            raise _error(self._source, layer, index, what)
        blob = Blob(name, 0 if before is None else before.version + 1)
        self._current[name] = blob
        return blob

    def _absence(self, name: str, index: int) -> str:
        """Why there is no blob NAME before the layer at INDEX, and what to do about it."""
        makers = [(later, layer) for later, layer in enumerate(self._net.layer) if name in layer.top]
        for later, layer in makers:
            if later == index:
                return "which it makes itself: the layers form a cycle"
            if included(layer, self._state):
                maker = printable(layer.name)
                return f'which is made only by the later layer "{maker}": the layers are out of order or form a cycle'
        if makers:
            phase, maker = _phase_name(self._state.phase), makers[0][1].name
            asked = f"phase {phase}{in_words(self._state)}"
            way = choices(self._net) or f"; see {option('phase')}"
            return f'which layer "{printable(maker)}" makes, but not in {asked}{way}'
        near = nearest(name, self._current)
        return f'which no layer makes; did you mean "{printable(near)}"?' if near else "which no layer makes"


def _error(source: str, layer: schema.Message, index: int, what: str) -> NetError:
    """A NetError about one LAYER."""
    return NetError(f'layer "{printable(layer.name)}" {what}', source=source, layer=layer.name, index=index)


def only_in(net: schema.Message, phase: str, stages: Iterable[str], level: int | None) -> int:
    """Return the number of layers of NET that are in the net of PHASE, and not in that of the other phase. STAGES and
    LEVEL are those of `build_graph`."""
    states = [_state(net, each, stages, level) for each in (phase, "TEST" if phase == "TRAIN" else "TRAIN")]
    return sum(included(layer, states[0]) and not included(layer, states[1]) for layer in net.layer)


def _state(net: schema.Message, phase: str, stages: Iterable[str], level: int | None) -> schema.Message:
    if phase not in ("TRAIN", "TEST"):
        raise NetError(f'the phase is "{phase}", but a net has only TRAIN and TEST')
    state = schema.message_class("NetState")()
    state.CopyFrom(net.state)
    state.phase = state.DESCRIPTOR.fields_by_name["phase"].enum_type.values_by_name[phase].number
    state.stage.extend(stages)
    state.level = level or 0
    return state


def _phase_name(number: int) -> str:
    return "TRAIN" if number == 0 else "TEST"
