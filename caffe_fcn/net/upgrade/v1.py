"""Upgrades layers of the format of 2014, V1, to the current format. In V1 the type is an enum, and rates are lists.

Fields with the same name in both formats, also those of forks, are copied by their descriptors. Field names of the old
format in layers of the current format are understood too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from caffe_fcn import schema
from caffe_fcn.errors import NetError
from caffe_fcn.net.layers import LAYERS
from caffe_fcn.net.upgrade.parts import put
from caffe_fcn.schema import Message

_V1_PARAM_SPECS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
"""V1's lists with one value per blob -> the field of ParamSpec."""

_OLD_SPECS = ("blob_share_mode", "blobs_lr", "weight_decay")
"""Those of the lists that are also read in a current layer, where no Caffe accepts them."""

_V1_DATA_PARAMS = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")


def has_legacy_transforms(net: Message) -> bool:
    """Return whether a V1 data layer has scale, mean, crop or mirror among the parameters of its source."""
    return any(list(_legacy_transform(layer)) for layer in net.layers)


def is_halfway(net: Message) -> bool:
    """Return whether a current layer of NET has its type, rates or sharing in the fields of the format of 2014."""
    types = old_types()
    return any(layer.type in types or any(map(len, _old_specs(layer))) for layer in net.layer)


def finished(net: Message) -> Message:
    """Return NET, in the current format, as a new NetParameter without fields of the format of 2014; blobs are kept."""
    made = schema.NetParameter()
    made.CopyFrom(net)
    for layer in made.layer:
        layer.type = old_types().get(layer.type, layer.type)
        _put_specs(layer, layer)
        for name in _OLD_SPECS:
            layer.ClearField(name)
    return made


def _old_specs(layer: Message) -> Iterator[Sequence[float]]:
    return (getattr(layer, name) for name in _OLD_SPECS)


@cache
def old_types() -> dict[str, str]:
    """Return the types of the format of 2014 that have another name now, by their old name."""
    names = {name: _current_type(name) for name in _type_names().values()}
    return {old: new for old, new in names.items() if new and new != old}


def _legacy_transform(layer: Message) -> Iterator[str]:
    """Return the fields of a V1 data layer that belong in its transform_param."""
    param = _V1_DATA_PARAMS.get(_type_name(layer))
    if param is not None:
        yield from (name for name in _TRANSFORM if getattr(layer, param).HasField(name))


def move_transform(layer: Message) -> None:
    """Move the transform of a V1 data layer to its transform_param.

    Caffe keeps both messages even if they are empty, in all data layers if one has a transform.
    """
    param = _V1_DATA_PARAMS.get(_type_name(layer))
    if param is None:
        return
    source = getattr(layer, param)
    source.SetInParent()
    layer.transform_param.SetInParent()
    for name in _legacy_transform(layer):
        setattr(layer.transform_param, name, getattr(source, name))
        source.ClearField(name)


def upgrade_v1_layer(old: Message, new: Message, type_name: str | None = None) -> None:
    """Fill NEW, a LayerParameter, from OLD. TYPE_NAME replaces the type of OLD."""
    new.type = type_name or _current_type(_type_name(old))
    if not new.type:
        raise NetError(
            "it has no type or an unknown one; expected a type of V1, such as CONVOLUTION",
            expected="a type of V1, such as CONVOLUTION",
        )
    common = _common_fields()
    for field, value in old.ListFields():
        if field.name in common:
            put(new, field.name, value)
    _put_specs(old, new)


def _put_specs(old: Message, new: Message) -> None:
    """Set the `param` of NEW from the lists of OLD."""
    for name, part in _V1_PARAM_SPECS.items():
        if name == "param" and old.DESCRIPTOR is new.DESCRIPTOR:
            continue
        for position, value in enumerate(getattr(old, name)):
            if position == len(new.param):
                new.param.add()
            setattr(new.param[position], part, value)


def _current_type(v1_type: str) -> str:
    """Return the current name of a V1 type: "INNER_PRODUCT" -> "InnerProduct"."""
    return _new_types().get(v1_type, "".join(word.capitalize() for word in v1_type.split("_")))


@cache
def _new_types() -> dict[str, str]:
    """Return V1 type -> current type, for types whose current name is not just V1's words in capitals and lower
    case."""
    return {"NONE": "", **{old: name for name, row in LAYERS.items() for old in row.v1.split()}}


@cache
def _common_fields() -> frozenset[str]:
    """Return the names of the fields that are the same in V1 layers and current layers, also those of forks."""
    current = schema.LayerParameter.DESCRIPTOR.fields_by_name
    return frozenset(
        name
        for name, field in schema.V1LayerParameter.DESCRIPTOR.fields_by_name.items()
        if name in current
        and name not in _V1_PARAM_SPECS
        and current[name].type == field.type
        and (field.message_type is None or field.message_type.full_name == current[name].message_type.full_name)
    )


@cache
def _type_names() -> dict[int, str]:
    enum = schema.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"]
    return {value.number: value.name for value in enum.values}


def _type_name(layer: Message) -> str:
    """Return the name of a V1 layer's type; "NONE" if it has none."""
    return _type_names()[layer.type]
