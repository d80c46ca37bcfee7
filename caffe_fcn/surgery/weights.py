"""The surgery carried out on a caffemodel: matched by name, checked against the net, turned into edits.

A caffemodel is usually the training net's, so it holds layers that the prototxt lacks; those are copied
untouched. What both hold must agree: a blob of another size means that the weights are another net's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.errors import NetError, WeightsError
from caffe_fcn.files.caffemodel import LayerRecord, WeightFile
from caffe_fcn.files.rewrite import DROP, BlobEdit, Edits, LayerEdit
from caffe_fcn.net.blobs import current_shape
from caffe_fcn.net.shapes import Shape
from caffe_fcn.net.upgrade import upgrade_layer_header
from caffe_fcn.schema import Message
from caffe_fcn.surgery.edits import Edit, ResizeInput, Rewire, Surgery, ToConvolution
from caffe_fcn.surgery.filling import words_of
from caffe_fcn.surgery.fitting import loads
from caffe_fcn.surgery.meeting import Trained
from caffe_fcn.wording import option


class WeightPlan(NamedTuple):
    """What to do to a caffemodel. `missing`: layers of the net it holds no blobs for; `foreign`: layers with
    blobs that the net lacks, copied untouched."""

    edits: Edits
    missing: tuple[str, ...]
    foreign: tuple[str, ...]
    types: Mapping[str, str]
    head: bytes | None = None
    """The fields of the net, in front of its layers, where they change."""
    params: Mapping[str, Sequence[Shape]] = MappingProxyType({})
    """The shapes that the net gives the blobs of its layers, by the names that these had, where they are known."""

    def upgrade_header(self, header: Message) -> Message:
        """The current form of a legacy layer header: the net's word for the type goes before the number's."""
        return _upgraded(header, self.types)


def _upgraded(header: Message, types: Mapping[str, str]) -> Message:
    name = header.layer.name if header.HasField("layer") else header.name
    try:
        return upgrade_layer_header(header, type_name=types.get(name))
    except NetError:
        if name in types:
            raise
        return upgrade_layer_header(header, type_name="Unknown")


def for_hdf5(weights: WeightFile, plan: WeightPlan) -> Edits:
    """PLAN's edits of WEIGHTS for a file in HDF5, where every blob has the axes it has today."""
    return with_current_shapes(weights, plan.edits, plan.types, plan.params)


def with_current_shapes(
    weights: WeightFile,
    edits: Edits,
    types: Mapping[str, str],
    params: Mapping[str, Sequence[Shape]] = MappingProxyType({}),
) -> Edits:
    """EDITS, and one for every blob beside whose shape is given in the old way or whose values are not packed.

    TYPES holds the layers' types by name; that of others is taken from the file. PARAMS are the shapes that a net gives
    the blobs; where it gives none, the type tells.
    """
    changed = dict(edits)
    for position, record in enumerate(weights.layers):
        old = [index for index, blob in enumerate(record.blobs) if blob.legacy_shape or not blob.packed]
        if old:
            kind = types.get(record.name) or current_header(record, types).type
            told = params.get(record.name, ())
            shapes = {
                index: BlobEdit(
                    told[index] if index < len(told) else current_shape(kind, index, record.blobs[index].shape)
                )
                for index in old
            }
            before = edits.get(position, (LayerEdit(),))
            changed[position] = [replace(edit, blobs={**shapes, **edit.blobs}) for edit in before]
    return changed


def current_header(record: LayerRecord, types: Mapping[str, str]) -> Message:
    """The header of RECORD as a LayerParameter, whatever its format."""
    return _upgraded(record.header, types) if record.format in ("V1", "V0") else record.header


def plan_weights(found: Trained, weights: WeightFile, surgery: Surgery) -> WeightPlan:
    """The edits of WEIGHTS that follow SURGERY on the net that was FOUND with them. Raises WeightsError where they hold
    nothing to convert."""
    net, params = found.source.net, found.params
    types = {layer.name: layer.type for layer in net.layer}
    by_name: dict[str, list[Edit]] = {}
    for edit in surgery.edits:
        if not isinstance(edit, ResizeInput):
            by_name.setdefault(edit.layer, []).append(edit)
    _check_names(found, weights, surgery)
    moved = _moved_blobs(net, surgery)
    edits: dict[int, Sequence[LayerEdit]] = {}
    for position, record in enumerate(weights.layers):
        shaped = _reshaped(record, params.get(record.name, ()))
        if record.name in by_name:
            edits[position] = _layer_edit(record, by_name[record.name], net, types, shaped)
        elif record.name not in types:
            edits.update(_rewired(position, current_header(record, types), moved))
        elif shaped:
            edits[position] = (LayerEdit(None, shaped),)
    return WeightPlan(edits, found.missing, foreign_layers(weights, types), types, params=params)


def _layer_edit(
    record: LayerRecord,
    changes: Sequence[Edit],
    net: Message,
    types: Mapping[str, str],
    shaped: Mapping[int, BlobEdit],
) -> Sequence[LayerEdit]:
    """The edit of RECORD, whose blobs are SHAPED, by CHANGES."""
    if any(edit.drops for edit in changes) and not record.blobs:  # of one name with a layer that has weights
        return DROP
    old = current_header(record, types)
    header = schema.LayerParameter()
    header.CopyFrom(old)
    blobs = dict(shaped)
    for edit in changes:
        if isinstance(edit, ToConvolution):  # forks number these fields differently, so the prototxt's word counts
            header.inner_product_param.CopyFrom(net.layer[edit.index].inner_product_param)
            if record.blobs:
                blobs[0] = edit.weight_edit
        edit.apply(header)
    return (LayerEdit(header, blobs),)


def _reshaped(record: LayerRecord, params: Sequence[Shape]) -> dict[int, BlobEdit]:
    """What becomes of those blobs of RECORD that Caffe would not load as PARAMS, although only axes of one differ."""
    pairs = enumerate(zip(record.blobs, params, strict=False))
    return {position: BlobEdit(shape) for position, (blob, shape) in pairs if not loads(blob, shape)}


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


def _rewired(position: int, header: Message, moved: Mapping[str, str]) -> dict[int, Sequence[LayerEdit]]:
    """The edit, if any, of a layer that only the caffemodel has (the splits and losses of training), so that the net
    inside it still holds together."""
    if moved.keys().isdisjoint(header.bottom):
        return {}
    changed = type(header)()
    changed.CopyFrom(header)
    changed.bottom[:] = [moved.get(name, name) for name in header.bottom]
    changed.top[:] = [moved[name] if name in moved and name in header.bottom else name for name in header.top]
    return {position: (LayerEdit(changed),)}


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
