"""Upgrades files of any age to the current format, as Caffe's own upgrade tools do.

`net.upgrade` decides how a net changes. Here the changes become edits of a text or of weights, so comments stay, and
values are copied unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError, NetError, SurgeryError
from caffe_fcn.files import prototxt
from caffe_fcn.files.blobs import C3D
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.headers import merge_header
from caffe_fcn.files.prototxt import Document
from caffe_fcn.files.reading import reading
from caffe_fcn.files.weights import open_weights
from caffe_fcn.files.wire import prefix
from caffe_fcn.model.changes import Change, Decision
from caffe_fcn.model.entries import Held, held_in, with_current_headers, with_current_shapes
from caffe_fcn.model.fitting import TO_SPLIT
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import meet, unbuilt
from caffe_fcn.model.passing import Claim, Result, with_net
from caffe_fcn.model.writing import WeightsOutput
from caffe_fcn.net import crops
from caffe_fcn.net.foreign import ForeignField, kept_note
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.shapes import Shape
from caffe_fcn.net.source import SourceNet, interpret, net_of_weights, refuse_lost
from caffe_fcn.net.upgrade import (
    SHAPE_HINT,
    input_layer,
    upgrade_with_origins,
)
from caffe_fcn.passes.crop_offsets import crop_offsets
from caffe_fcn.passes.old import for_old
from caffe_fcn.passes.splitting import TYPE as BATCH_NORM
from caffe_fcn.passes.splitting import Split, asks, find_splits, holds, split_batch_norms
from caffe_fcn.passes.upgrade_changes import blob_changes, net_changes
from caffe_fcn.schema import Message
from caffe_fcn.wording import advise

_LAYER = 100
"""The number of the field NetParameter.layer."""


class Upgrade(NamedTuple):
    """A file in the current format: a DOCUMENT, or WEIGHTS and the OUTPUT made from them. CHANGES describe in words
    what changes; there are none if the file is current already."""

    name: str
    format: str
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    document: Document | None = None
    diff: Callable[[str], str] | None = None
    """The unified diff of the prototxt; takes its new name."""
    weights: WeightFile | None = None
    output: WeightsOutput | None = None


def upgrade_file(
    opened: SourceNet | WeightFile, *, hdf5: bool = False, selection: Selection = ANY_NET, old: bool = False
) -> Upgrade:
    """OPENED in the current format, weights as HDF5 or as a caffemodel. SELECTION says whether the geometry of the net
    decides on missing offsets, and of which net. OLD: inputs are written for Caffe before the Input layer.

    Raises NetError where Caffe refuses the net, where its geometry gives no offset for a Crop that has none, and for
    what old Caffe does not read.
    """
    if isinstance(opened, SourceNet):
        return _upgrade_text(opened, selection, old=old)
    return _upgrade_weights(opened, hdf5, selection)


def upgrade_pair(
    source: SourceNet,
    weights: WeightFile,
    *,
    hdf5: bool,
    bvlc: bool,
    selection: Selection = ANY_NET,
    old: bool = False,
) -> tuple[Upgrade, Upgrade]:
    """SOURCE and its WEIGHTS in the current format, the weights as HDF5 or as a caffemodel. With BVLC, BatchNorm layers
    of forks become layers of BVLC Caffe, in both. SELECTION and OLD are as in `upgrade_file`.

    Raises NetError where Caffe refuses the net or does not support a layer; WeightsError where the weights do not fit
    it.
    """
    found = meet(source, weights, selection)
    held = found.weights or weights
    splits = find_splits(source, held) if bvlc else {}
    trained = _upgrade_weights(held, hdf5, selection, found.params)
    if splits and trained.output is not None:
        split = split_batch_norms(replace(found, held=trained.output.layers), splits)
        output = trained.output._replace(layers=split.model.held)
        trained = trained._replace(output=output, changes=(*trained.changes, *_told(split.changes)))
    fit = found.fit._replace(scaled=()) if bvlc else found.fit
    return _upgrade_text(source, selection, splits, old=old), trained._replace(notes=(*trained.notes, *fit.notes))


def check_for_bvlc(names: tuple[str, str], net: str, weights: str) -> None:
    """Check the new files NET and WEIGHTS against each other; messages call them NAMES. Raises SurgeryError if they
    still have a BatchNorm with a scale."""
    with reading(net, names[0]) as file:
        source = interpret(prototxt.parse(file.read(), names[0]))
    with open_weights(weights, names[1]) as opened:
        scaled = meet(source, opened).fit.scaled
    if scaled:
        raise SurgeryError(
            f"layer {scaled[0]!r} still has a scale of its own; nothing was written",
            source=names[1],
            hint="this is a defect of caffe-fcn, please report it with the prototxt",
        )


def check_alone(opened: SourceNet | WeightFile) -> tuple[str, ...]:
    """The notes on OPENED, a single file to be upgraded for BVLC Caffe. Raises NetError where a layer would have to be
    split: then text and weights must change together."""
    if isinstance(opened, SourceNet):
        name, layer = opened.name, next((each.name for each in opened.net.layer if asks(each)), None)
    else:
        name, layer = opened.path, holds(opened)
    if layer is not None:
        raise NetError(
            f"layer {layer!r} (BatchNorm) has a scale or a ReLU of its own, which BVLC Caffe does not support",
            source=name,
            hint=advise("upgrade the net and its weights together with ", TO_SPLIT, ", which splits it"),
        )
    if isinstance(opened, SourceNet) and any(each.type == BATCH_NORM for each in opened.net.layer):
        return ("only the weights show whether its BatchNorm layers have a scale of their own, as in Intel's fork",)
    return ()


def net_inside(
    weights: WeightFile, selection: Selection = ANY_NET, fork: str | None = None, *, old: bool = False
) -> Upgrade:
    """The net inside WEIGHTS as a prototxt in the current format. FORK is the fork that wrote them, if known; OLD is as
    in `upgrade_file`. Raises
    NetError where there is no net, a layer cannot be read, or Caffe refuses the net."""
    source = net_of_weights(weights, fork)
    refuse_lost(source)
    found = _upgrade_text(source, selection, old=old)
    return found._replace(changes=("the net inside the caffemodel becomes a prototxt", *found.changes), diff=None)


def upgrade(model: Model, *, fields: bool = True) -> Result:
    """MODEL with its net in the current format, as Caffe's own tools make it. Reading the text upgraded the net
    already, so most changes are only described here; that of the input FIELDS may be left out. The weights stay: the
    net inside them may be another.

    Raises NetError where Caffe refuses the net.
    """
    source = model.source
    inputs = input_layer(source.written, source.name)
    if inputs is not None and not inputs.input_param.shape:
        names = ", ".join(f'input: "{name}"' for name in inputs.top)
        raise NetError(f"{names} has no shape, so Caffe drops it", source=source.name, hint=SHAPE_HINT)
    net, origins = upgrade_with_origins(source.net, source=source.name)
    changes = tuple(Upgraded(-1, "", told) for told in net_changes(source.written, fields=fields))
    return Result(
        before=model,
        model=with_net(model, net, origins),
        decision=Decision(changes),
        claim=Claim.SAME_BITS,
        origins=origins,
    )


@dataclass(frozen=True, repr=False)
class Upgraded(Change):
    """A change of the whole net, described in words."""

    told: str
    kind: ClassVar[str] = "upgraded"

    def describe(self) -> str:
        return self.told


def _upgrade_text(
    source: SourceNet,
    selection: Selection,
    splits: Mapping[str, Split] = MappingProxyType({}),
    *,
    old: bool = False,
) -> Upgrade:
    """SOURCE in the current format, with its BatchNorm layers split, and for OLD Caffe with input fields."""
    offsets = crop_offsets(unbuilt(source, selection))
    upgraded = upgrade(offsets.model, fields=not old)
    split = split_batch_norms(upgraded.model, splits)
    results = [split, *([for_old(split.model)] if old else [])]
    model = results[-1].model
    stay = {field.offset for field in model.source.foreign}
    gone = [field for field in source.foreign if field.offset not in stay]
    later = _told(change for result in results for change in result.changes)
    changes = (*_told(upgraded.changes), *offsets.decision.notes, *later, *_gone_changes(gone))
    notes = (*source.notes, *kept_note(model.source.foreign), *crops.notes_on(offsets.model.source, selection))
    diff = partial(source.diff, model.text_edits)
    return Upgrade(source.name, source.format, tuple(dict.fromkeys(changes)), notes, model.document, diff)


def _told(changes: Iterable[Change]) -> Iterator[str]:
    """The descriptions of CHANGES, each once."""
    yield from dict.fromkeys(change.describe() for change in changes)


def _gone_changes(gone: Sequence[ForeignField]) -> Iterator[str]:
    """A line that lists the fields that are removed."""
    if gone:
        names = dict.fromkeys(field.name for field in gone)
        yield f"fields of these layers that BVLC Caffe does not know are removed: {', '.join(names)}"


def _upgrade_weights(
    weights: WeightFile,
    hdf5: bool,
    selection: Selection,
    params: Mapping[str, Sequence[Shape]] = MappingProxyType({}),
) -> Upgrade:
    """WEIGHTS in the current format: blobs get shapes and are packed, and the net inside is upgraded."""
    changes: list[str] = []
    notes: list[str] = []
    layers = held_in(weights)
    types: dict[str, str] = {}
    head: bytes | None = None
    if weights.hdf5 and not hdf5:
        changes.append("HDF5 becomes a caffemodel")
        if weights.bare:
            notes.append("HDF5 holds no net, so the caffemodel has only the names and the weights of the layers")
    blobs = [blob for record in weights.layers for blob in record.blobs]
    if not hdf5 and any(blob.dialect is C3D for blob in blobs):
        raise NetError(
            "these are weights of C3D 1.0, which numbers layer types and fields otherwise than BVLC Caffe does",
            source=weights.path,
            hint=("convert them with their prototxt, or upgrade them to .caffemodel.h5, which holds values only"),
        )
    if not weights.hdf5:
        net = _net_inside(weights)
        whole = True
        try:
            layers, head, offsets = _upgraded_net(weights, net, selection)
            changes += offsets
        except NetError as error:
            if not weights.legacy:
                raise
            head = _head_alone(weights)
            types = _types_inside(weights)
            whole = False
            notes.append(f"{error}; each layer is upgraded separately, and an unknown type becomes 'Unknown'")
        changes += net_changes(net, whole=whole)
    changes += blob_changes(weights.layers)
    if hdf5 and not weights.hdf5:
        changes.append("the caffemodel becomes HDF5, with names and weights only")
    layers = with_current_shapes(with_current_headers(layers, types), types, params)
    output = WeightsOutput(weights, layers, head, types, params)
    form = weights.layers[0].format
    return Upgrade(weights.path, form, tuple(changes), tuple(notes), weights=weights, output=output)


def _net_inside(weights: WeightFile) -> Message:
    """The net in WEIGHTS, in its own format."""
    net = schema.NetParameter()
    net.CopyFrom(weights.net_header)
    for record in weights.layers:
        (net.layers if record.format in ("V1", "V0") else net.layer).append(record.header)
    return net


def _types_inside(weights: WeightFile) -> dict[str, str]:
    """The types of the layers in WEIGHTS by name, if the schema of a fork can read them; else empty."""
    try:
        return {layer.name: layer.type for layer in net_of_weights(weights).net.layer}
    except CaffeFcnError:
        return {}


def _upgraded_net(
    weights: WeightFile, net: Message, selection: Selection
) -> tuple[tuple[Held, ...], bytes | None, list[str]]:
    """The layers of WEIGHTS with upgraded headers, the bytes before them, and a line for each offset that a Crop layer
    gets. NET is made of these layers."""
    upgraded, origins = upgrade_with_origins(net, source=weights.path)
    upgraded, offsets = crops.settled_inside(upgraded, weights.path, selection)
    successors = dict(zip(origins, upgraded.layer, strict=True))
    layers: list[Held] = []
    for position, entry in enumerate(held_in(weights)):
        layer = successors.get(position)  # None: a padding layer (V0), which the next layer has absorbed
        if layer is not None:
            same = not weights.legacy and entry.record is not None and layer == entry.record.header
            layers.append(entry if same else replace(entry, header=layer))
    return tuple(layers), _head(weights, upgraded, successors.get(None)), offsets


def _head_alone(weights: WeightFile) -> bytes | None:
    """The bytes before the layers, if the layers are upgraded separately: the fields of the net itself."""
    upgraded, _ = upgrade_with_origins(weights.net_header, source=weights.path)
    return _head(weights, upgraded, upgraded.layer[0] if upgraded.layer else None)


def _head(weights: WeightFile, upgraded: Message, new: Message | None) -> bytes | None:
    """The bytes before the layers, with the NEW layer; None if the upgrade does not change them."""
    header = type(upgraded)()
    header.CopyFrom(upgraded)
    header.ClearField("layer")
    if new is None and header == weights.net_header:
        return None
    layer = b"" if new is None else new.SerializePartialToString()
    return merge_header(weights.raw, header) + (prefix(_LAYER, len(layer)) + layer if layer else b"")
