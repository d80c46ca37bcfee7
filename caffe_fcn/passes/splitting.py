"""Splits the BatchNorm layers of forks into layers of BVLC Caffe: a BatchNorm, a Scale, and a ReLU where the
fork's layer has one.

The new layers work in place on the top of the BatchNorm, so no other layer changes. Which blob goes to which layer is
decided by the layer's name, in the same way for the text and for the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, NamedTuple

from caffe_fcn import schema
from caffe_fcn.errors import NetError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.model.changes import Change, Decision, NewLayer
from caffe_fcn.model.entries import Held, current_header
from caffe_fcn.model.fitting import blob_shapes
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Claim, Result, carried_out
from caffe_fcn.model.tensors import Tensor
from caffe_fcn.net.foreign import ForeignField
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.layers.normalization import BATCH_STATISTICS, batch_norm_layouts, stored_eps
from caffe_fcn.net.layers.shape import matching
from caffe_fcn.net.shapes import BatchNormBlobs, Shape, Shapes, batch_norm_blobs
from caffe_fcn.net.source import SourceNet
from caffe_fcn.schema import FORKS, Message

TYPE = "BatchNorm"
_PARAM = "batch_norm_param"
_TRAIN = 0
"""Phase.TRAIN."""
_FIXED = ("include", "exclude", "phase")
"""The fields that say to which nets a layer belongs; the new layers get them too."""


class Split(NamedTuple):
    """How the BatchNorm layers of one name are split: the shapes and the contents of their blobs, and the names of the
    new Scale and ReLU, None where there is none."""

    params: tuple[Shape, ...]
    blobs: BatchNormBlobs
    scale: str | None
    relu: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the new layers."""
        return tuple(name for name in (self.scale, self.relu) if name is not None)


def asks(layer: Message) -> bool:
    """Whether LAYER is a BatchNorm whose fields ask for more than BVLC Caffe's BatchNorm does."""
    return layer.type == TYPE and (_has_scale(_layouts(layer, 1)[0]) or layer.batch_norm_param.relu)


def holds(weights: WeightFile) -> str | None:
    """The name of the first layer in WEIGHTS with the blobs of such a BatchNorm; None if there is none."""
    for record in weights.layers:
        found = _of_weights(schema.LayerParameter(), [blob.shape for blob in record.blobs])
        if current_header(Held(None, (), record), {}).type in ("", TYPE) and _has_scale(found):
            return record.name
    return None


def of_forks(graphs: Mapping[str, Graph], shapes: Mapping[str, Shapes]) -> dict[str, BatchNormBlobs]:
    """Where the blobs are of those BatchNorm layers of a net, its GRAPHS and SHAPES by phase, that have a scale or a
    ReLU of their own, by name. What takes its statistics from the batch is none of them, because forks do not agree on
    what it computes then."""
    found: dict[str, BatchNormBlobs] = {}
    whole: set[str] = set()
    for phase, graph in graphs.items():
        for node in graph.nodes:
            param = node.layer.batch_norm_param
            blobs = batch_norm_blobs(shapes[phase].params.get(node.index, ()))
            if node.type != TYPE or node.name in whole or not (blobs.scale is not None or param.relu):
                continue
            if param.HasField("use_global_stats") and not param.use_global_stats and node.name not in found:
                whole.add(node.name)
            else:
                found.setdefault(node.name, blobs)
    return found


def retrace(model: Model, twin: Model) -> Result | None:
    """Return MODEL with the BatchNorm layers of forks split, if the new net TWIN has fewer of these."""
    many, others = (len(of_forks(each.graphs, each.shapes)) for each in (model, twin))
    if model.weights is None or many <= others:
        return None
    return split_batch_norms(model, find_splits(model.source, model.weights))


def find_splits(source: SourceNet, weights: WeightFile) -> dict[str, Split]:
    """The BatchNorm layers of SOURCE and its WEIGHTS that BVLC Caffe does not support, by name. Raises NetError where a
    field changes the computation in a way that BVLC Caffe does not support, or that differs between forks."""
    held = blob_shapes(weights)
    taken = {layer.name for layer in source.net.layer} | {record.name for record in weights.layers}
    found: dict[str, Split] = {}
    for index, layer in enumerate(source.net.layer):
        if layer.type != TYPE:
            continue
        _check_fields(source, index, layer)
        params = _of_weights(layer, held[layer.name]) if layer.name in held else _layouts(layer, 1)[0]
        if _has_scale(params):
            _check_statistics(source, layer)
        relu = bool(layer.batch_norm_param.relu)
        if not _has_scale(params) and not relu:
            continue
        known = found.get(layer.name, Split(tuple(params), batch_norm_blobs(params), None, None))
        scale = known.scale or (unique_name(f"{layer.name}_scale", taken) if _has_scale(params) else None)
        rectified = known.relu or (unique_name(f"{layer.name}_relu", taken) if relu else None)
        found[layer.name] = known._replace(scale=scale, relu=rectified)
    return found


def _layouts(layer: Message, channels: int) -> Sequence[Sequence[Shape]]:
    return batch_norm_layouts(layer, [(1, channels)])


def _has_scale(params: Sequence[Shape]) -> bool:
    return batch_norm_blobs(params).scale is not None


def _of_weights(layer: Message, held: Sequence[Shape]) -> Sequence[Shape]:
    """The layout of the blobs HELD for LAYER: a fork's if they match it, else BVLC Caffe's."""
    channels = max(map(prod, held), default=1)
    found = matching(_layouts(layer, channels), held)
    return found[0] if found else ()


def _check_fields(source: SourceNet, index: int, layer: Message) -> None:
    """Raise NetError for a field of LAYER that has no equivalent in BVLC Caffe."""
    own = (each for each in source.foreign if each.layer == index and is_of_batch_norm(each))
    field = next((each for each in own if each.undecided), None)
    if field is not None:
        raise NetError(
            f"{source.name}: layer {layer.name!r} ({TYPE}): {field.name} is a field of forks that may change the "
            "computation, and BVLC Caffe has no equivalent; if it has no effect, remove it first"
        )


def _check_statistics(source: SourceNet, layer: Message) -> None:
    """Raise NetError where LAYER, which has a scale, may use batch statistics outside of training."""
    param = layer.batch_norm_param
    trains_only = layer.include and all(rule.HasField("phase") and rule.phase == _TRAIN for rule in layer.include)
    if param.HasField("use_global_stats") and not param.use_global_stats and not trains_only:
        raise NetError(f"{source.name}: layer {layer.name!r} ({TYPE}): {BATCH_STATISTICS}; remove the field first")


def is_of_batch_norm(field: ForeignField) -> bool:
    """Whether FIELD is a parameter of a BatchNorm."""
    return field.name.startswith(f"{_PARAM}.")


def unique_name(wanted: str, taken: set[str]) -> str:
    """WANTED, with a number appended if it is TAKEN. Adds the result to TAKEN."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}{number}"
    taken.add(name)
    return name


# ---- Layers ----


def split_layer(layer: Message, split: Split, said: Message) -> list[Message]:
    """The layers of BVLC Caffe for LAYER, a BatchNorm. SAID is the layer of that name in the prototxt; its parameters
    are used."""
    blobs, param = split.blobs, said.batch_norm_param
    first = schema.LayerParameter()
    first.CopyFrom(layer)
    first.batch_norm_param.CopyFrom(param)
    for field, _ in param.ListFields():
        if field.number >= FORKS:
            first.batch_norm_param.ClearField(field.name)
    if stored_eps(said) != param.eps:
        first.batch_norm_param.eps = stored_eps(said)
    if not first.batch_norm_param.ListFields():
        first.ClearField(_PARAM)
    made = [first]
    if split.scale is not None:
        scale = _behind(layer, split.scale, "Scale")
        _give_params(scale, layer, [place for place in (blobs.scale, blobs.shift) if place is not None])
        scale.scale_param.bias_term = blobs.shift is not None
        if param.HasField("scale_filler"):
            scale.scale_param.filler.CopyFrom(param.scale_filler)
        if param.HasField("bias_filler") and blobs.shift is not None:
            scale.scale_param.bias_filler.CopyFrom(param.bias_filler)
        made.append(scale)
        _give_params(first, layer, blobs.statistics)
    for spec in first.param:  # Caffe accepts no other rates: statistics are measured
        spec.lr_mult = 0
    if split.relu is not None and param.relu:
        made.append(_behind(layer, split.relu, "ReLU"))
    return made


def parts_of(split: Split) -> list[tuple[int, ...]]:
    """The blobs that each new layer takes, by their old positions."""
    found: list[tuple[int, ...]] = [split.blobs.statistics]
    if split.scale is not None:
        found.append(tuple(place for place in (split.blobs.scale, split.blobs.shift) if place is not None))
    return [*found, ()]


def _behind(layer: Message, name: str, kind: str) -> Message:
    """A new layer that works in place on the top of LAYER and belongs to the same nets."""
    made = schema.LayerParameter(name=name, type=kind, bottom=layer.top[:1], top=layer.top[:1])
    for field in _FIXED:
        if schema.is_repeated(layer.DESCRIPTOR.fields_by_name[field]):
            getattr(made, field).MergeFrom(getattr(layer, field))
        elif layer.HasField(field):
            setattr(made, field, getattr(layer, field))
    return made


def _give_params(made: Message, layer: Message, positions: Sequence[int]) -> None:
    """Copy to MADE the `param` messages of LAYER for the blobs at POSITIONS."""
    specs = [layer.param[position] for position in positions if position < len(layer.param)]
    kept = [type(spec).FromString(spec.SerializeToString()) for spec in specs]
    del made.param[:]
    made.param.extend(kept)


@dataclass(frozen=True, repr=False)
class SplitBatchNorm(Change):
    """A BatchNorm of a fork becomes one of BVLC Caffe, followed by the layers of its SPLIT."""

    split: Split
    kind: ClassVar[str] = "split"
    said: ClassVar[tuple[str, ...]] = (_PARAM,)

    def apply(self, target: Message) -> None:
        target.CopyFrom(split_layer(target, self.split, target)[0])

    def tensors(self, old: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(old[position] for position in self.split.blobs.statistics) if old else old

    def behind(self, layer: Message, tensors: tuple[Tensor, ...]) -> Sequence[NewLayer]:
        made = zip(split_layer(layer, self.split, layer)[1:], parts_of(self.split)[1:], strict=False)
        return [NewLayer(each, tuple(tensors[place] for place in takes if tensors)) for each, takes in made]

    def describe(self) -> str:
        what = "its scale or ReLU becomes a separate layer"
        return f"layer {self.layer!r} ({TYPE}): {what}: {', '.join(self.split.names)}"


def split_batch_norms(model: Model, splits: Mapping[str, Split]) -> Result:
    """MODEL with the BatchNorm layers of SPLITS, by name, as layers of BVLC Caffe. Fields of forks in these layers are
    dropped; fields of forks in other layers stay among the model's foreign fields."""
    layers = [(index, layer) for index, layer in enumerate(model.net.layer) if layer.type == TYPE]
    changes = [SplitBatchNorm(index, layer.name, splits[layer.name]) for index, layer in layers if layer.name in splits]
    split = {change.index: change for change in changes}
    gone = [field for field in model.source.foreign if field.layer in split and is_of_batch_norm(field)]
    result = carried_out(model, Decision(tuple(changes)), claim=Claim.SAME_BITS, fit=False)
    stay = [field for field in gone if _keeps_its_message(result, field)]
    foreign = tuple(
        field for field in result.model.source.foreign if not any(field.offset == each.offset for each in gone)
    )
    source = replace(result.model.source, foreign=foreign)
    return replace(result, model=replace(result.model, source=source, gone=(*model.gone, *stay)))


def _keeps_its_message(result: Result, field: ForeignField) -> bool:
    """Whether the message that held FIELD is still there after RESULT."""
    return bool(result.model.net.layer[result.origins.index(field.layer)].HasField(_PARAM))
