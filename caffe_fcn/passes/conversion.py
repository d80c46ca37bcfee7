"""The whole conversion, up to the point of writing: a classifier in its files, a plan out.

`plan` decides everything and writes nothing; `write_model` writes what the plan says. Between the two a caller can show
the plan, or its diff, and stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.prototxt import Document
from caffe_fcn.model.changes import Change, LeftAlone
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import meet
from caffe_fcn.model.passing import Result
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.shapes import Shape
from caffe_fcn.net.source import SourceNet, foreign_types, refuse_lost
from caffe_fcn.passes.convolutionalize import Options, convolutionalize
from caffe_fcn.passes.convolutionalize.changes import ToConvolution
from caffe_fcn.passes.convolutionalize.naming import Naming, parse_rule
from caffe_fcn.passes.options import ConvertOptions
from caffe_fcn.passes.resize import resize
from caffe_fcn.schema import Message
from caffe_fcn.wording import option

_NAMES_ONLY = "a caffemodel made of it holds names and values only: BVLC Caffe has no numbers for its fields of forks"


@dataclass(frozen=True)
class Settings:
    """What the user asks for."""

    options: Options = field(default_factory=Options)
    selection: Selection = ANY_NET
    input_size: tuple[int, ...] | None = None
    strict: bool = False


def settings_of(options: ConvertOptions, selection: Selection = ANY_NET) -> Settings:
    """OPTIONS and SELECTION as the conversion takes them. Raises ValueError for a rule that is none."""
    naming = Naming(options.suffix, tuple(parse_rule(rule) for rule in options.rename))
    return Settings(
        options=Options(naming, options.only, options.skip, keep_global_pooling=options.global_pooling == "keep"),
        selection=selection,
        input_size=options.input_size,
        strict=options.strict,
    )


class Plan(NamedTuple):
    """A conversion decided on: the model before, and what the passes made of it one after the other."""

    before: Model
    results: tuple[Result, ...]
    notes: tuple[str, ...]

    @property
    def model(self) -> Model:
        """The new model."""
        return self.results[-1].model

    @property
    def source(self) -> SourceNet:
        """The net as it was read."""
        return self.before.source

    @property
    def weights(self) -> WeightFile | None:
        """The weights as they were read."""
        return self.before.weights

    @property
    def net(self) -> Message:
        """The new net."""
        return self.model.net

    @property
    def conversions(self) -> list[ToConvolution]:
        """What becomes a Convolution, in the order of the net."""
        return [change for change in self.changes if isinstance(change, ToConvolution)]

    @property
    def document(self) -> Document:
        """The new prototxt."""
        return self.model.document

    @property
    def changes(self) -> tuple[Change, ...]:
        """What all passes changed."""
        return tuple(change for result in self.results for change in result.changes)

    @property
    def left_alone(self) -> tuple[LeftAlone, ...]:
        """What was left alone, and why."""
        return tuple(entry for result in self.results for entry in result.left_alone)

    @property
    def new_names(self) -> Mapping[str, str]:
        """Old to new names of layers."""
        return self.results[0].decision.new_names

    @property
    def outputs(self) -> dict[str, Shape]:
        """Where an input size was asked for: the shapes that the outputs then have, by blob name."""
        phases = [(graph, self.model.shapes[phase].blobs) for phase, graph in self.model.graphs.items()]
        made = [
            {blob.name: shape for blob in graph.outputs if isinstance(shape := blobs[blob], tuple)}
            for graph, blobs in (phases if len(self.results) > 1 else ())
        ]
        return {name: shape for each in reversed(made) for name, shape in each.items()}

    def of_kind(self, *kinds: str) -> list[Change]:
        """The changes of these KINDS."""
        return [change for change in self.changes if change.kind in kinds]

    def diff(self, new_name: str) -> str:
        """The unified diff of the prototxt."""
        return self.source.diff(self.model.text_edits, new_name)


def plan(source: SourceNet, weights: WeightFile | None, settings: Settings) -> Plan:
    """Decide how to convert SOURCE and WEIGHTS. Raises CaffeFcnError where that cannot be done."""
    try:
        refuse_lost(source)
        made = _plan(meet(source, weights, settings.selection), settings)
    except (ShapeError, SurgeryError) as error:  # name the file, where that has not been done
        if str(error).startswith(f"{source.name}:"):
            raise
        raise type(error)(f"{source.name}: {error}") from error
    return made


def _plan(before: Model, settings: Settings) -> Plan:
    results = [convolutionalize(before, settings.options, resized=settings.input_size is not None)]
    if settings.strict:
        _check_strict(before, results[0].left_alone)
    stale = before.objected if settings.input_size else ()  # they are of another size than the written net has
    notes = [note for note in before.notes if note not in stale]
    notes += [*before.lacking, *foreign_types(layer.type for layer in before.net.layer)]
    if before.weights is not None and any(record.names_only for record in before.weights.layers):
        notes.append(f"{before.weights.path}: {_NAMES_ONLY}")
    if settings.input_size:
        results.append(resize(results[0].model, settings.input_size))
    notes += [note for result in results for note in result.decision.notes]
    made = Plan(before, tuple(results), tuple(dict.fromkeys(notes)))
    made.document  # noqa: B018  read again here, so that no plan is made that cannot be carried out
    return made


def _check_strict(model: Model, left_alone: Sequence[LeftAlone]) -> None:
    """Raise SurgeryError where an InnerProduct was LEFT_ALONE that the user did not mean to leave."""
    left = [entry for entry in left_alone if entry.type == "InnerProduct" and not entry.settled]
    if left:
        reasons = "; ".join(f"{entry.layer}: {entry.reason}" for entry in left)
        raise SurgeryError(
            f"{model.source.name}: {option('strict', True)}, and not every InnerProduct can be converted: {reasons}"
        )
