"""The surgery carried out on a caffemodel: matched by name, checked against the net, turned into edits.

A caffemodel is usually the training net's, so it holds layers that the prototxt lacks; those are copied
untouched. What both hold must agree: a blob of another size means that the weights are another net's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.errors import NetError, WeightsError
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.model.entries import Held, held_in
from caffe_fcn.model.filling import words_of
from caffe_fcn.model.fitting import loads
from caffe_fcn.model.opening import Trained
from caffe_fcn.model.tensors import Stored, Tensor
from caffe_fcn.net.blobs import current_shape
from caffe_fcn.net.shapes import Shape
from caffe_fcn.net.upgrade import upgrade_layer_header
from caffe_fcn.passes.edits import Edit, ResizeInput, Rewire, Surgery, ToConvolution
from caffe_fcn.schema import Message
from caffe_fcn.wording import option


class WeightPlan(NamedTuple):
    """What a file of weights becomes. `missing`: layers of the net it holds no blobs for; `foreign`: layers with
    blobs that the net lacks, copied untouched."""

    layers: tuple[Held, ...]
    missing: tuple[str, ...]
    foreign: tuple[str, ...]
    types: Mapping[str, str]
    head: bytes | None = None
    """The fields of the net, in front of its layers, where they change."""
    params: Mapping[str, Sequence[Shape]] = MappingProxyType({})
    """The shapes that the net gives the blobs of its layers, by the names that these had, where they are known."""


def _upgraded(header: Message, types: Mapping[str, str]) -> Message:
    """The current form of a legacy layer header: the net's word for the type goes before the number's."""
    name = header.layer.name if header.HasField("layer") else header.name
    try:
        return upgrade_layer_header(header, type_name=types.get(name))
    except NetError:
        if name in types:
            raise
        return upgrade_layer_header(header, type_name="Unknown")


def for_hdf5(plan: WeightPlan) -> tuple[Held, ...]:
    """PLAN's layers for a file in HDF5, where every blob has the axes it has today."""
    return with_current_shapes(plan.layers, plan.types, plan.params)


def with_current_shapes(
    layers: Iterable[Held],
    types: Mapping[str, str],
    params: Mapping[str, Sequence[Shape]] = MappingProxyType({}),
) -> tuple[Held, ...]:
    """LAYERS, with a shape for every blob beside whose shape is given in the old way or whose values are not packed.

    TYPES holds the layers' types by name; that of others is taken from the file. PARAMS are the shapes that a net gives
    the blobs; where it gives none, the type tells.
    """
    return tuple(_with_current_shapes(entry, types, params) for entry in layers)


def _with_current_shapes(entry: Held, types: Mapping[str, str], params: Mapping[str, Sequence[Shape]]) -> Held:
    record = entry.record
    if record is None or not any(map(_is_old, entry.tensors)):
        return entry
    kind = types.get(record.name) or current_header(record, types).type
    told = params.get(record.name, ())
    return replace(
        entry,
        tensors=tuple(
            tensor.reshaped(told[index] if index < len(told) else current_shape(kind, index, tensor.shape))
            if _is_old(tensor)
            else tensor
            for index, tensor in enumerate(entry.tensors)
        ),
    )


def _is_old(tensor: Tensor) -> bool:
    """Whether TENSOR is a blob as it stands in its file, and the file has it in a way that is no longer written."""
    kept = tensor.kept
    stays = isinstance(tensor, Stored) and tensor.given is None
    return stays and kept is not None and (kept.blob.legacy_shape or not kept.blob.packed)


def current_header(record: LayerRecord, types: Mapping[str, str]) -> Message:
    """The header of RECORD as a LayerParameter, whatever its format."""
    return _upgraded(record.header, types) if record.format in ("V1", "V0") else record.header


def with_headers_of_today(layers: Iterable[Held], types: Mapping[str, str]) -> tuple[Held, ...]:
    """LAYERS, with a header in the current format for each that has none and is in a legacy one."""
    return tuple(
        replace(entry, header=current_header(entry.record, types))
        if entry.header is None and entry.record is not None and entry.record.format in ("V1", "V0")
        else entry
        for entry in layers
    )


def plan_weights(found: Trained, weights: WeightFile, surgery: Surgery) -> WeightPlan:
    """What follows from SURGERY, on the net that was FOUND with WEIGHTS, for these. Raises WeightsError where they hold
    nothing to convert."""
    net, params = found.source.net, found.params
    types = {layer.name: layer.type for layer in net.layer}
    by_name: dict[str, list[Edit]] = {}
    for edit in surgery.edits:
        if not isinstance(edit, ResizeInput):
            by_name.setdefault(edit.layer, []).append(edit)
    _check_names(found, weights, surgery)
    moved = _moved_blobs(net, surgery)
    before = held_in(weights)
    layers = tuple(_changed(before, by_name, net, types, params, moved))
    if weights.legacy and layers != before:
        layers = with_headers_of_today(layers, types)
    return WeightPlan(layers, found.missing, foreign_layers(weights, types), types, params=params)


def _changed(
    layers: Iterable[Held],
    by_name: Mapping[str, Sequence[Edit]],
    net: Message,
    types: Mapping[str, str],
    params: Mapping[str, Sequence[Shape]],
    moved: Mapping[str, str],
) -> Iterator[Held]:
    """LAYERS, with the edits BY_NAME of layer."""
    for entry in layers:
        record = entry.record
        if record is None:
            yield entry
        elif record.name not in types and record.name not in by_name:
            header = _rewired(current_header(record, types), moved)
            yield entry if header is None else replace(entry, header=header)
        else:
            shaped = fitted(entry, params.get(record.name, ()))
            changes = by_name.get(record.name, ())
            if any(edit.drops for edit in changes) and not record.blobs:
                continue  # of one name with a layer that has weights
            yield _edited(shaped, record, changes, net, types) if changes else shaped


def fitted(entry: Held, params: Sequence[Shape]) -> Held:
    """ENTRY, whose tensors are the blobs of a record, with the shapes PARAMS for those that Caffe would not load as
    these, although only axes of one differ."""
    blobs = entry.record.blobs if entry.record is not None else ()
    pairs = zip(entry.tensors, blobs, params, strict=False)
    shaped = [tensor if loads(blob, shape) else tensor.reshaped(shape) for tensor, blob, shape in pairs]
    tensors = (*shaped, *entry.tensors[len(shaped) :])
    same = all(one is other for one, other in zip(tensors, entry.tensors, strict=True))
    return entry if same else replace(entry, tensors=tensors)


def _edited(entry: Held, record: LayerRecord, changes: Sequence[Edit], net: Message, types: Mapping[str, str]) -> Held:
    """ENTRY, which is RECORD, with CHANGES."""
    header = schema.LayerParameter()
    header.CopyFrom(current_header(record, types))
    tensors = entry.tensors
    for edit in changes:
        if isinstance(edit, ToConvolution):  # forks number these fields differently, so the prototxt's word counts
            header.inner_product_param.CopyFrom(net.layer[edit.index].inner_product_param)
        tensors = edit.tensors(tensors)
        edit.apply(header)
    return replace(entry, header=header, tensors=tensors)


def _moved_blobs(net: Message, surgery: Surgery) -> dict[str, str]:
    """Where the blobs of NET are found after SURGERY, by their old names: under another name, or before a layer
    that is gone."""
    moved = {old: new for edit in surgery.edits if isinstance(edit, Rewire) for old, new in edit.tops.items()}
    for edit in surgery.edits:
        if edit.drops:
            layer = net.layer[edit.index]
            held = layer.bottom[0]
            moved.setdefault(layer.top[0], moved.get(held, held))
    return moved


def _rewired(header: Message, moved: Mapping[str, str]) -> Message | None:
    """The new HEADER, if any, of a layer that only the caffemodel has (the splits and losses of training), so that the
    net inside it still holds together."""
    if moved.keys().isdisjoint(header.bottom):
        return None
    changed = type(header)()
    changed.CopyFrom(header)
    changed.bottom[:] = [moved.get(name, name) for name in header.bottom]
    changed.top[:] = [moved[name] if name in moved and name in header.bottom else name for name in header.top]
    return changed


def foreign_layers(weights: WeightFile, names: Iterable[str]) -> tuple[str, ...]:
    """The layers with blobs in WEIGHTS that are none of NAMES, those of the net."""
    known = set(names)
    return tuple(record.name for record in weights.layers if record.blobs and record.name not in known)


def _check_names(found: Trained, weights: WeightFile, surgery: Surgery) -> None:
    """Raise WeightsError where a new name is taken, or nothing is there that could be converted."""
    held = [record.name for record in weights.layers if record.blobs]
    for old, new in surgery.renamed_layers.items():
        if old in held and new in held and new not in surgery.renamed_layers:
            raise WeightsError(
                f"{weights.path}: {old!r} would become {new!r}, a layer that it holds already; choose another name "
                f"with {option('suffix')} or {option('rename')}"
            )
    wanted = {edit.layer for edit in surgery.conversions}
    lacking = [supply for supply in found.supplies if supply.lack and supply.node.name in wanted]
    if wanted and len(lacking) == len(wanted):
        raise WeightsError(f"{weights.path}: holds no weights for {words_of(lacking)}; nothing else is to be converted")
