"""The channels of the pictures that a net takes: a pass that widens the first convolutions, or makes them grey.

The first convolutions read the picture, directly or through layers that keep channels apart. Where the picture
gets more channels, each filter gets planes of zeros behind its own: whatever the new channels hold, the net answers as
before. Where a picture of three channels becomes grey, the three planes of each filter are summed,

    W[o, 0] = W[o, 0] + W[o, 1] + W[o, 2],

which gives the answer to the old net's picture with three equal channels. Sums are made in double precision, and
rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from caffe_fcn.errors import NetError, ShapeError, SurgeryError
from caffe_fcn.files.blobs import DType
from caffe_fcn.model.changes import Change, Decision
from caffe_fcn.model.computed import Computed
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Phase, Result, agreed, carried_out
from caffe_fcn.model.tensors import Moving, Tensor
from caffe_fcn.net.graph import Blob, Node
from caffe_fcn.net.images import image_inputs, known_shape
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.convolutions import DECONVOLUTIONS
from caffe_fcn.net.layers.data import declared_channels, set_channels
from caffe_fcn.net.layers.keeping import Blobs, KeptChannels, Unlike
from caffe_fcn.net.layers.windows import convolution_param
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.schema import Message
from caffe_fcn.wording import Option

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLOUR, _GREY = 3, 1
_MAP = 3
"""The least axes of a picture, which is then one row, N×C×W."""
_GREY_MEAN = (
    "a grey picture has one mean; if a mean of each channel was subtracted in training, the sums of the first layer "
    "differ from those of the colour net by a constant"
)


def change_channels(model: Model, channels: int) -> Result:
    """MODEL with pictures of so many CHANNELS as its input. Raises SurgeryError where it has no such input or several,
    and where a layer that reads it cannot be changed."""
    decision, phases = agreed(model, lambda phase: _decide(phase, channels), "change the channels")
    inputs = {phase: {_input(each).name: channels} for phase, each in _phases(model).items()}
    made = carried_out(model, decision, claim=Claim.NEW_FUNCTION, phases=phases, resized=inputs)
    for phase, graph in made.model.graphs.items():
        for blob in image_inputs(graph, made.model.shapes[phase]):
            node, shape = graph.producer[blob], known_shape(made.model.shapes[phase], blob)
            if blob.name in inputs[phase] and {shape[1], declared_channels(node.layer) or channels} != {channels}:
                raise _refused(node, "a layer whose channels the file can change", node.type)
    return made


def retrace(model: Model, twin: Model) -> Result | None:
    """Return MODEL with as many channels as the new net TWIN has, if it has others."""
    phases, others = _phases(model), _phases(twin)
    try:
        both = [(phases[phase], others[phase]) for phase in phases.keys() & others.keys()]
        counts = {known_shape(new.shapes, _input(new))[1] for _, new in both}
        changed = any({known_shape(old.shapes, _input(old))[1]} != counts for old, _ in both)
        return change_channels(model, counts.pop()) if changed and len(counts) == 1 else None
    except (NetError, ShapeError, SurgeryError):
        return None


def _phases(model: Model) -> Mapping[str, Phase]:
    return {name: Phase(name, graph, model.shapes[name], {}) for name, graph in model.graphs.items()}


def _input(phase: Phase) -> Blob:
    """The picture that the net takes. Raises SurgeryError where there is not one."""
    shaped = [(blob, len(known_shape(phase.shapes, blob))) for blob in image_inputs(phase.graph, phase.shapes)]
    found = [blob for blob, axes in shaped if axes > _MAP] or [blob for blob, axes in shaped if axes == _MAP]
    if len(found) != 1:
        names = ", ".join(repr(blob.name) for blob in found) or "none"
        raise SurgeryError(place=Option("input_channels"), expected="a net with one input for pictures", found=names)
    return found[0]


def _decide(phase: Phase, channels: int) -> Decision:
    blob = _input(phase)
    old = known_shape(phase.shapes, blob)[1]
    if old == channels:
        return Decision()
    if channels < old and (old, channels) != (_COLOUR, _GREY):
        raise SurgeryError(
            place=Option("input_channels", channels),
            expected=f"more than the {old} channels of {blob.name!r}, or 1 for a net of 3",
            found=str(channels),
        )
    changes: list[Change] = [_input_change(phase, blob, channels)]
    changes += _convolutions(phase, blob, old, channels)
    if len(changes) == 1:
        raise SurgeryError(f"no Convolution reads {blob.name!r}", layer=phase.graph.producer[blob].name)
    notes = [_GREY_MEAN] * (channels < old)
    node = phase.graph.producer[blob]
    if node.index >= 0 and node.type != "Input":
        notes.append(f"layer {node.name!r} ({node.type}) has to read pictures of {channels} channels")
    return Decision(tuple(changes), notes=tuple(notes))


def _input_change(phase: Phase, blob: Blob, channels: int) -> Change:
    node = phase.graph.producer[blob]
    return InputChannels(node.index, node.name, blob.name, node.tops.index(blob), channels)


def _convolutions(phase: Phase, picture: Blob, old: int, channels: int) -> list[Change]:
    """The changes of the Convolutions that read the PICTURE, of OLD channels."""
    graph, shapes = phase.graph, phase.shapes
    reached = {picture: (some := KeptChannels(1, old, tuple(range(old - 1))))}  # where a channel would be missing
    changes: list[Change] = []
    for node in graph.nodes:
        kept = [reached.get(blob) for blob in node.bottoms]
        row, params = row_of(node.type), shapes.params.get(node.index)
        if not any(kept) or (row.judges and not node.tops):
            continue
        if row.linear and params:
            changes.append(_convolution(node, params[0], old, channels))
            continue
        bottoms, tops = ([known_shape(shapes, blob) for blob in blobs] for blobs in (node.bottoms, node.tops))
        left = row.keeps(node.layer, Blobs(bottoms, tops[0], kept)) if row.keeps and all(tops) else Unlike(0, 0)
        apart = left is None or row.value_by_value or row.windows is not None
        if left is not None and (left != some or params != () or not apart):
            raise _refused(node, f"a Convolution, or a layer without weights, that reads {picture.name!r}", node.type)
        if left is not None:
            reached.update(dict.fromkeys(node.tops, some))
    for blob in graph.outputs:
        if blob in reached:
            found = "one that hands the picture on"
            raise _refused(graph.producer[blob], f"a layer that makes the output {blob.name!r} of features", found)
    _check_shared(phase, changes)
    return changes


def _convolution(node: Node, weights: Shape, old: int, channels: int) -> Change:
    plain = node.type not in DECONVOLUTIONS and node.type != "InnerProduct"
    if not plain or weights[1] != old:
        found = f"{convolution_param(node.layer).group} groups" if plain else node.type
        raise _refused(node, "a Convolution without groups as the layer that reads the picture", found)
    return (WidenedFilters if channels > old else GreyFilters)(node.index, node.name, weights, channels)


def _check_shared(phase: Phase, changes: list[Change]) -> None:
    """Raise SurgeryError where a layer shares its weights with one that changes, and does not change."""
    changed = {change.index for change in changes}
    shared = {param.name: node for node in phase.graph.nodes if node.index in changed for param in node.layer.param[:1]}
    for node in phase.graph.nodes:
        for param in node.layer.param[:1]:
            if param.name in shared and param.name and node.index not in changed:
                other = shared[param.name].name
                raise _refused(
                    node, f"a layer that reads the picture, as {other!r}, whose weights it shares", "another"
                )


def _refused(node: Node, expected: str, found: str) -> SurgeryError:
    return SurgeryError(layer=node.name, layer_type=node.type, expected=expected, found=found)


# ---- Changes ----


@dataclass(frozen=True, repr=False)
class InputChannels(Change):
    """The picture TOP, at POSITION among the tops of the layer, gets CHANNELS."""

    top: str
    position: int
    channels: int
    kind: ClassVar[str] = "input_channels"
    in_weights: ClassVar[bool] = False

    def apply(self, target: Message) -> None:
        if self.index >= 0:
            set_channels(target, self.position, self.channels)
        elif target.input_shape:
            target.input_shape[self.position].dim[1] = self.channels
        elif target.input_dim:
            target.input_dim[4 * self.position + 1] = self.channels

    def describe(self) -> str:
        return f"input of {self.channels} channel{'s' * (self.channels > 1)}"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "blob": self.top, "channels": self.channels}


@dataclass(frozen=True, repr=False)
class WidenedFilters(Change):
    """The filters of the layer, of the shape BEFORE, get planes of zeros behind their own, up to CHANNELS."""

    before: Shape
    channels: int
    kind: ClassVar[str] = "channels"

    @property
    def after(self) -> Shape:
        """The new shape of the weights."""
        return (self.before[0], self.channels, *self.before[2:])

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (ZeroPlanes(old[0].reshaped(self.before), self.after), *old[1:]) if old else old

    def describe(self) -> str:
        return f"{show(self.before)} → {show(self.after)}, new planes of zeros"

    def document(self) -> dict[str, Any]:
        return {"layer": self.layer, "before": list(self.before), "after": list(self.after)}


@dataclass(frozen=True, repr=False)
class GreyFilters(WidenedFilters):
    """The planes of each filter of the layer, of the shape BEFORE, are summed to one."""

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (SummedPlanes(old[0].reshaped(self.before), self.after), *old[1:]) if old else old

    def describe(self) -> str:
        return f"{show(self.before)} → {show(self.after)}, planes summed"


@dataclass(frozen=True, repr=False)
class ZeroPlanes(Moving):
    """The weights OF a convolution in a SHAPE with more channels, which are zero."""

    of: Tensor
    shape: Shape

    @property
    def dtype(self) -> DType:
        """That of the other."""
        return self.of.dtype

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """The filters first..last."""
        import numpy as np

        old = self.of.rows(first, last)
        made = np.zeros((last - first, *self.shape[1:]), old.dtype)
        made[:, : old.shape[1]] = old
        return made


@dataclass(frozen=True, repr=False)
class SummedPlanes(Computed):
    """The weights OF a convolution with the planes of each filter summed, in a SHAPE of one channel."""

    of: Tensor
    shape: Shape

    @property
    def dtype(self) -> DType:
        """Single precision, unless the old weights are in double."""
        return "float64" if self.of.dtype == "float64" else "float32"

    @property
    def roundings(self) -> float:
        """Each plane is added in single precision, at most."""
        return _COLOUR * 2.0**-24

    def sizes(self, first: int, last: int) -> NDArray[Any]:
        """The sums of the sizes of the weights first..last that are summed."""
        made: NDArray[Any] = abs(self.of.rows(first, last)).sum(axis=1, keepdims=True, dtype="f8")
        return made

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """The filters first..last, summed in double precision and rounded once."""
        made: NDArray[Any] = self.of.rows(first, last).sum(axis=1, keepdims=True, dtype="f8").astype(self.dtype)
        return made
