"""The changes that passes make, as data: one small frozen class per kind of change to one layer.

A change applies itself to a `LayerParameter`, of the prototxt or of a header in a caffemodel. It also says how
parameter blobs change, which layers are added, and how it is described in a report and in JSON. Code that reports,
merges or carries out changes uses these methods and attributes, and never asks for a class. A `Decision` is the list of
changes that a pass makes in one phase, with the reasons for the layers that it left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.net.shapes import Shape
from caffe_fcn.schema import Message

_INPUT_DIMS = 4
"""The numbers per input in `input_dim`: num, channels, height and width, for one input after the other."""


class NewLayer(NamedTuple):
    """A new layer and its parameter blobs; there are none where the model has no weights."""

    layer: Message
    tensors: tuple[Tensor, ...] = ()
    comment: tuple[str, ...] = ()
    """The lines of the comment that stands in front of the layer in the text, without their "#"."""


@dataclass(frozen=True, repr=False)
class Change:
    """A change to one layer. `index` is its place in the net and `layer` its name before the change. The index -1 means
    the net itself, whose `input` fields can make blobs."""

    index: int
    """The index of the layer in the net, from 0."""
    layer: str
    """The layer's name before the change."""
    drops: ClassVar[bool] = False
    """Whether the layer is removed, with its parameter blobs."""
    replaces: ClassVar[bool] = False
    """Whether nothing of the layer's message stays."""
    kind: ClassVar[str] = ""
    """The list of the report that has this change; "" if the change only follows from others."""
    said: ClassVar[tuple[str, ...]] = ()
    """The fields of the layer for which the prototxt is used, and not the header in the weights."""
    in_weights: ClassVar[bool] = True
    """Whether the header in the weights changes, too."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.layer!r}: {self.describe()}>"

    @property
    def new_name(self) -> str:
        """The name of the layer after the change."""
        return self.layer

    @property
    def new_tops(self) -> Mapping[str, str]:
        """The new names of renamed tops, by old name."""
        return {}

    @property
    def new_bottoms(self) -> Mapping[str, str]:
        """The new names of renamed bottoms, by old name."""
        return {}

    @property
    def way_round(self) -> str:
        """The end of a sentence that says how to leave the layer unchanged; "" if there is no way."""
        return ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the change in a table, after the layer's name; all changes of a kind have the same columns."""
        return (self.describe(),)

    def apply(self, target: Message) -> None:
        """Change TARGET, a LayerParameter, or for an index of -1 a NetParameter, in place."""

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The new parameter blobs of the layer. OLD are those before; both are empty if the weights have none."""
        return old

    def behind(self, layer: Message, tensors: tuple[Tensor, ...]) -> Sequence[NewLayer]:
        """The new layers after the layer, which was LAYER with TENSORS before the change. For the index -1: the new
        layers before all others."""
        return ()

    @property
    def comment(self) -> tuple[str, ...]:
        """The lines of a comment before the layer in the text, without "#"."""
        return ()

    def agrees(self, others: Sequence[Change]) -> bool:
        """Whether one file can hold this change and those of another phase to the same layer, OTHERS."""
        return self in others

    def describe(self) -> str:
        """The change as a line of a report."""
        return self.layer

    def document(self) -> dict[str, Any]:
        """The change as a JSON object."""
        return {"layer": self.layer, "change": self.describe()}


@dataclass(frozen=True, repr=False)
class DropLayer(Change):
    """The layer goes, with its parameter blobs. That its readers take its bottom instead is another change (`Rewire`).
    Weights belong to a name: they stay where another layer of that name does."""

    type: str
    drops: ClassVar[bool] = True
    kind: ClassVar[str] = "dropped"

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return ()

    def describe(self) -> str:
        return f"{self.type} dropped"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "type": self.type}


@dataclass(frozen=True, repr=False)
class DropInputs(Change):
    """Inputs with these NAMES in the net's own fields are removed."""

    names: tuple[str, ...]
    kind: ClassVar[str] = "dropped"

    def apply(self, target: Message) -> None:
        for place in reversed(range(len(target.input))):
            if target.input[place] in self.names:
                del target.input[place]
                if target.input_shape:
                    del target.input_shape[place]
                else:
                    del target.input_dim[_INPUT_DIMS * place : _INPUT_DIMS * (place + 1)]

    def describe(self) -> str:
        return "Input dropped"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "type": "Input"}


@dataclass(frozen=True, repr=False)
class ReplaceLayer(Change):
    """The layer goes, with its parameter blobs, and BY stands in its place. In the text the comments of the layer stay,
    and the new one is laid out as the old one was."""

    type: str
    by: NewLayer
    tops: Mapping[str, str] = field(default_factory=dict)
    """The tops that have another name in the new layer, old to new; their readers are rewired by other changes."""
    replaces: ClassVar[bool] = True
    kind: ClassVar[str] = "replaced"

    @property
    def new_name(self) -> str:
        return str(self.by.layer.name)

    @property
    def new_tops(self) -> Mapping[str, str]:
        return self.tops

    @property
    def comment(self) -> tuple[str, ...]:
        return self.by.comment

    def apply(self, target: Message) -> None:
        target.CopyFrom(self.by.layer)

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self.by.tensors

    def describe(self) -> str:
        return f"{self.type} replaced by {self.by.layer.name} ({self.by.layer.type})"

    def document(self) -> dict[str, Any]:
        new = {"layer": self.by.layer.name, "type": self.by.layer.type}
        return {"layer": self.layer, "type": self.type, "by": new}


@dataclass(frozen=True, repr=False)
class RenameLayer(Change):
    """The layer gets another name, so that Caffe does not load weights of the old shape into it."""

    name: str

    @property
    def new_name(self) -> str:
        return self.name

    def apply(self, target: Message) -> None:
        target.name = self.name

    def describe(self) -> str:
        return f"renamed to {self.name}"


@dataclass(frozen=True, repr=False)
class Rewire(Change):
    """Bottoms and tops get other names."""

    bottoms: Mapping[str, str] = field(default_factory=dict)
    tops: Mapping[str, str] = field(default_factory=dict)

    @property
    def new_tops(self) -> Mapping[str, str]:
        return self.tops

    @property
    def new_bottoms(self) -> Mapping[str, str]:
        return self.bottoms

    def apply(self, target: Message) -> None:
        for names, renamed in ((target.bottom, self.bottoms), (target.top, self.tops)):
            names[:] = [renamed.get(name, name) for name in names]

    def describe(self) -> str:
        changes = {**self.bottoms, **self.tops}
        return ", ".join(f"{old} → {new}" for old, new in changes.items())


@dataclass(frozen=True, repr=False)
class SetParameter(Change):
    """A field of the layer's parameters gets a value, e.g. ("argmax_param", "axis", 1)."""

    message: str
    name: str
    value: int
    kind: ClassVar[str] = "parameters"

    def apply(self, target: Message) -> None:
        setattr(getattr(target, self.message), self.name, self.value)

    def describe(self) -> str:
        return f"{self.name}: {self.value}"


@dataclass(frozen=True, repr=False)
class AddLayers(Change):
    """New layers after the layer."""

    added: tuple[NewLayer, ...]
    kind: ClassVar[str] = "added"

    def behind(self, layer: Message, tensors: tuple[Tensor, ...]) -> Sequence[NewLayer]:
        return self.added

    def describe(self) -> str:
        return "followed by " + ", ".join(f"{each.layer.name} ({each.layer.type})" for each in self.added)

    def document(self) -> dict[str, Any]:
        layers = [{"layer": each.layer.name, "type": each.layer.type} for each in self.added]
        return {"behind": self.layer, "layers": layers}


class LeftAlone(NamedTuple):
    """A layer that a pass left unchanged, and the reason."""

    layer: str
    """The layer's name."""
    type: str
    """The layer's type, as Caffe spells it."""
    obstacle: Obstacle
    """The reason as data."""
    settled: bool = False
    """Whether `strict` accepts this: the user chose it, or the layer already accepts any image size."""

    @property
    def reason(self) -> str:
        """The reason in words."""
        return str(self.obstacle)


class Applied(NamedTuple):
    """A net after the changes of a decision."""

    net: Message
    origins: tuple[int | None, ...]
    """For each layer its index in the old net, None for a new one."""
    comments: Mapping[int, tuple[str, ...]]
    """The lines of the new comments in front of layers, by the index of the layer."""


@dataclass(frozen=True)
class Decision:
    """What a pass decides: a list of changes in the order of the net, and the layers left alone with the reasons."""

    changes: tuple[Change, ...] = ()
    left_alone: tuple[LeftAlone, ...] = ()
    notes: tuple[str, ...] = ()
    promised: Mapping[Blob, Shape] = field(default_factory=dict)
    """The nominal shapes of blobs whose shapes may change; known for one phase only."""

    def of_kind(self, *kinds: str) -> list[Change]:
        """The changes of KINDS, in the order of the net."""
        return [change for change in self.changes if change.kind in kinds]

    @property
    def new_names(self) -> dict[str, str]:
        """The new names of layers by their old ones."""
        return {each.layer: each.new_name for each in self.changes if each.new_name != each.layer}

    @property
    def new_tops(self) -> dict[str, str]:
        """The new names of blobs by their old ones."""
        return {old: new for each in self.changes for old, new in each.new_tops.items()}

    def apply(self, net: Message) -> Applied:
        """The net after the changes. NET stays."""
        by_index: dict[int, list[Change]] = {}
        for change in self.changes:
            by_index.setdefault(change.index, []).append(change)
        changed = type(net)()
        changed.CopyFrom(net)
        del changed.layer[:]
        origins: list[int | None] = []
        comments: dict[int, tuple[str, ...]] = {}

        def add(layer: Message, origin: int | None, comment: tuple[str, ...]) -> None:
            if comment:
                comments[len(changed.layer)] = comment
            changed.layer.append(layer)
            origins.append(origin)

        for change in by_index.get(-1, ()):
            change.apply(changed)
            for new in change.behind(type(net)(), ()):
                add(new.layer, None, new.comment)
        for index, layer in enumerate(net.layer):
            changes = by_index.get(index, ())
            behind = [new for change in changes for new in change.behind(layer, ())]
            if not any(change.drops for change in changes):
                add(layer, index, tuple(line for change in changes for line in change.comment))
                for change in changes:
                    change.apply(changed.layer[-1])
            for new in behind:
                add(new.layer, None, new.comment)
        return Applied(changed, tuple(origins), comments)
