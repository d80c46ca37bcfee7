"""A net and its weights as one value.

A `Model` is what a file of either kind, or a pair, says: the net in the current format, for each of its layers where it
came from, and for each layer of the weights its tensors. No value of a weight is in memory. Passes make new models of
models (`passing`); nothing changes one.
"""

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
    """A net in each of its phases, TEST first, with the shapes of all blobs, and the weights that belong to it."""

    source: SourceNet
    """The net, and the text that it was read from, if only from the weights."""
    weights: WeightFile | None
    """The file of the weights, open."""
    held: tuple[Held, ...]
    """The layers of the weights, as they would be written; of layers that the net lacks, too."""
    selection: Selection
    """Which net is meant."""
    graphs: Mapping[str, Graph]
    """By phase."""
    shapes: Mapping[str, Shapes]
    """By phase."""
    fit: Fit = field(default_factory=Fit)
    """What BVLC Caffe would refuse of the weights as they were read."""
    supplies: tuple[Supply, ...] = ()
    """What the layers have that the weights, as they were read, hold nothing for."""
    misfit: WeightsError | None = None
    """Why the weights do not fit the net, None if they do, which is raised unless who asks is lenient."""
    notes: tuple[str, ...] = ()
    """What the user has to know, in sentences, none twice. Every command tells them."""
    objected: tuple[str, ...] = ()
    """Those of the notes that tell what Caffe has against the net, which may be other things at another input size."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """The fields, old to new, whose contents passes have moved to another field."""
    gone: tuple[ForeignField, ...] = ()
    """The fields of forks that passes have taken from layers that stay."""

    def __repr__(self) -> str:
        count = len(self.net.layer)
        weights = f", {sum(map(bool, self.tensors.values()))} with weights" if self.weights is not None else ""
        return f"<Model {self.source.name}: {count} layer{'s' * (count != 1)}{weights}>"

    @property
    def net(self) -> Message:
        """The net, a NetParameter in the current format."""
        return self.source.net

    @property
    def origins(self) -> tuple[int | None, ...]:
        """For each layer of the net its place in the text, None where it is new."""
        return self.source.origins

    @property
    def phase(self) -> str:
        """The phase that is meant where only one can be."""
        return next(iter(self.graphs))

    @property
    def graph(self) -> Graph:
        """The net in that phase."""
        return self.graphs[self.phase]

    @cached_property
    def tensors(self) -> dict[str, tuple[Tensor, ...]]:
        """The parameter blobs by layer name, of those that have any. As in Caffe, of layers of one name in the weights
        the last counts."""
        return {entry.name: entry.tensors for entry in self.held if entry.tensors}

    @cached_property
    def types(self) -> dict[str, str]:
        """The types of the net's layers by name."""
        return {layer.name: layer.type for layer in self.net.layer}

    @property
    def missing(self) -> tuple[str, ...]:
        """The layers that have parameters, and none in the weights."""
        return tuple(supply.node.name for supply in self.supplies if supply.fillers or supply.lack)

    @property
    def foreign(self) -> tuple[str, ...]:
        """The layers with blobs in the weights that the net lacks."""
        return tuple(entry.name for entry in self.held if entry.tensors and entry.name not in self.types)

    @property
    def lacking(self) -> tuple[str, ...]:
        """The note on layers that have no values, for who does not need them."""
        words = words_of(supply for supply in self.supplies if supply.lack)
        return (f"{self.weights.path} holds no weights for {words}",) if self.weights is not None and words else ()

    @property
    def completed(self) -> WeightFile | None:
        """The weights as they were read, with those that layers share or that the net fills, to be run and not to be
        written."""
        return None if self.weights is None else completed(self.weights, self.supplies)

    @property
    def params(self) -> dict[str, tuple[Shape, ...]]:
        """The shapes that the net gives the parameter blobs, by layer name, where they are known."""
        return {
            node.name: self.shapes[phase].params[node.index]
            for phase, graph in self.graphs.items()
            for node in graph.nodes
            if node.index in self.shapes[phase].params
        }

    @cached_property
    def text_edits(self) -> Sequence[TextEdit]:
        """The edits after which the text reads as the net."""
        return self.source.edits_for(self.net, range(len(self.net.layer)), self.moved, self.gone)

    @cached_property
    def document(self) -> Document:
        """The text of the net. Bytes that no edit touched are those that were read. Raises SurgeryError where it would
        be read as another net."""
        made = self.source.document.with_edits(self.text_edits)
        check_text(made, self.net)
        return made


def check_text(document: Document, planned: Message) -> None:
    """Raise SurgeryError unless DOCUMENT reads as the net that was PLANNED."""
    # By their bytes: as messages, two nets with a NaN in them are never equal to protobuf 5.
    read = interpret(document).net.SerializePartialToString(deterministic=True)
    if read != planned.SerializePartialToString(deterministic=True):
        raise SurgeryError(
            "the rewritten text does not read as the net it should; nothing was written",
            source=document.name,
            hint="this is a defect of caffe-fcn, please report it with the prototxt",
        )
