"""A net and its weights as one immutable value.

A `Model` holds what was read from a prototxt, weights, or both: the net in the current format, the origin of each of
its layers, and the tensors of each layer of the weights. No value of a weight is in memory. Passes make new models from
old ones (`passing`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from caffe_fcn.errors import SurgeryError, WeightsError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.prototxt import Document, TextEdit
from caffe_fcn.model.entries import Held
from caffe_fcn.model.filling import Supply, completed, words_of
from caffe_fcn.model.fitting import Fit
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.foreign import ForeignField
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.options import Selection
from caffe_fcn.net.shapes import Shape, Shapes
from caffe_fcn.net.source import SourceNet, interpret
from caffe_fcn.schema import Message


@dataclass(frozen=True, repr=False, kw_only=True)
class Model:
    """A net in each of its phases, TEST first, with the shapes of all blobs, and its weights."""

    source: SourceNet
    """The net and its text; the text is made from the weights if there is no prototxt."""
    weights: WeightFile | None
    """The open file of the weights; None if there is none."""
    held: tuple[Held, ...]
    """The layers of the weights as they would be written, also those that the net does not have."""
    selection: Selection
    """The selection of the net: phase, stages, level, given shapes."""
    graphs: Mapping[str, Graph]
    """The graphs by phase."""
    shapes: Mapping[str, Shapes]
    """By phase."""
    fit: Fit = field(default_factory=Fit)
    """What BVLC Caffe would refuse in the weights as they were read."""
    supplies: tuple[Supply, ...] = ()
    """The values of layers for which the file, as it was read, has no weights."""
    misfit: WeightsError | None = None
    """Why the weights do not fit the net; None if they fit. Only lenient callers get a model with this error."""
    notes: tuple[str, ...] = ()
    """The notes for the user, without repetition. Every command shows them."""
    objected: tuple[str, ...] = ()
    """The notes with Caffe's objections to the net; these may differ at another input size."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """The fields whose contents passes have moved, and where to."""
    gone: tuple[ForeignField, ...] = ()
    """The fields of forks that passes have removed from layers that stay."""

    def __repr__(self) -> str:
        return f"<Model {self.summary}>"

    @property
    def summary(self) -> str:
        """The name of the net, and how many layers it has."""
        count = len(self.net.layer)
        weights = f", {sum(map(bool, self.tensors.values()))} with weights" if self.weights is not None else ""
        return f"{self.source.name}: {count} layer{'s' * (count != 1)}{weights}"

    @property
    def net(self) -> Message:
        """The net, a NetParameter in the current format."""
        return self.source.net

    @property
    def origins(self) -> tuple[int | None, ...]:
        """The place of each layer of the net in the text; None for a new layer."""
        return self.source.origins

    @property
    def phase(self) -> str:
        """The phase to use where only one is possible."""
        return next(iter(self.graphs))

    @property
    def graph(self) -> Graph:
        """The net in that phase."""
        return self.graphs[self.phase]

    @cached_property
    def tensors(self) -> dict[str, tuple[Tensor, ...]]:
        """The parameter blobs by layer name, of layers that have any. If the weights have several layers of one name,
        the last one is used, as in Caffe."""
        return {entry.name: entry.tensors for entry in self.held if entry.tensors}

    @cached_property
    def types(self) -> dict[str, str]:
        """The types of the net's layers by name."""
        return {layer.name: layer.type for layer in self.net.layer}

    @property
    def missing(self) -> tuple[str, ...]:
        """The layers that have parameters but no blobs in the weights."""
        return tuple(supply.node.name for supply in self.supplies if supply.fillers or supply.lack)

    @property
    def foreign(self) -> tuple[str, ...]:
        """The layers with blobs in the weights that the net does not have."""
        return tuple(entry.name for entry in self.held if entry.tensors and entry.name not in self.types)

    @property
    def lacking(self) -> tuple[str, ...]:
        """A note on layers without values, for callers that do not need the values."""
        words = words_of(supply for supply in self.supplies if supply.lack)
        return (f"{self.weights.path} holds no weights for {words}",) if self.weights is not None and words else ()

    @property
    def completed(self) -> WeightFile | None:
        """The weights as they were read, plus the blobs that layers share or that the net fills. They are for running
        the net, not for writing."""
        return None if self.weights is None else completed(self.weights, self.supplies)

    @property
    def params(self) -> dict[str, tuple[Shape, ...]]:
        """The shapes of the parameter blobs by layer name, as the net defines them; without unknown ones."""
        return {
            node.name: self.shapes[phase].params[node.index]
            for phase, graph in self.graphs.items()
            for node in graph.nodes
            if node.index in self.shapes[phase].params
        }

    @cached_property
    def text_edits(self) -> Sequence[TextEdit]:
        """The edits that turn the text that was read into the text of the net."""
        return self.source.edits_for(self.net, range(len(self.net.layer)), self.moved, self.gone)

    @cached_property
    def document(self) -> Document:
        """The text of the net. Bytes without an edit are those that were read. Raises SurgeryError if the text would be
        parsed as another net."""
        made = self.source.document.with_edits(self.text_edits)
        check_text(made, self.net)
        return made


def check_text(document: Document, planned: Message) -> None:
    """Raise SurgeryError unless DOCUMENT parses as the net that was PLANNED."""
    # Compares bytes, because protobuf 5 never finds two messages with a NaN equal.
    read = interpret(document).net.SerializePartialToString(deterministic=True)
    if read != planned.SerializePartialToString(deterministic=True):
        raise SurgeryError(
            "the new text does not parse as the planned net; nothing was written",
            source=document.name,
            hint="this is a defect of caffe-fcn, please report it with the prototxt",
        )
