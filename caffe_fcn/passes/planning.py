"""Runs passes on a net and its weights, and returns a plan: the results of the passes and the notes for the user.

`planned` writes nothing; `write_model` writes the model of the plan. In between, a caller can show the plan or its
diff.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from caffe_fcn.errors import located
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.prototxt import Document
from caffe_fcn.model.changes import Change, LeftAlone
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.net.source import SourceNet, foreign_types, refuse_lost
from caffe_fcn.schema import Message

_NAMES_ONLY = "a caffemodel made from it holds names and values only, as BVLC Caffe has no numbers for fields of forks"


class Plan(NamedTuple):
    """The model before, the results of the passes in the order in which they ran, and the notes for the user."""

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
    def document(self) -> Document:
        """The new prototxt."""
        return self.model.document

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes of all passes."""
        return tuple(change for result in self.results for change in result.changes)

    @property
    def left_alone(self) -> tuple[LeftAlone, ...]:
        """The layers that were left alone, and why."""
        return tuple(entry for result in self.results for entry in result.left_alone)

    @property
    def new_names(self) -> Mapping[str, str]:
        """The new names of layers by their old ones."""
        return self.results[0].decision.new_names

    def of_kind(self, *kinds: str) -> list[Change]:
        """The changes of these KINDS."""
        return [change for change in self.changes if change.kind in kinds]

    def diff(self, new_name: str) -> str:
        """The unified diff of the prototxt."""
        return self.source.diff(self.model.text_edits, new_name)


def planned(model: Model, passes: Callable[[Model], Iterable[Result]], *, resized: bool = False) -> Plan:
    """The plan that PASSES make for MODEL. RESIZED: the passes change the shapes of its inputs. Raises CaffeFcnError
    where that cannot be done."""
    refuse_lost(model.source)
    with located(source=model.source.name):
        results = tuple(passes(model))
        made = Plan(model, results, tuple(dict.fromkeys(_notes(model, results, resized=resized))))
        made.document  # noqa: B018  parsed again here, so that a plan that cannot be carried out fails now
    return made


def _notes(before: Model, results: Sequence[Result], *, resized: bool) -> list[str]:
    stale = before.objected if resized else ()  # they hold for the old inputs only
    notes = [note for note in before.notes if note not in stale]
    notes += [*before.lacking, *foreign_types(layer.type for layer in results[-1].model.net.layer)]
    if before.weights is not None and any(record.names_only for record in before.weights.layers):
        notes.append(f"{before.weights.path}: {_NAMES_ONLY}")
    return notes + [note for result in results for note in result.decision.notes]
