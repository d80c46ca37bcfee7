"""Upgrades a net in any of Caffe's old formats to the current format, as Caffe does when it loads the net.

An upgrade is a sequence of small steps: V0 layers become V1 layers, V1 layers become current layers, and the input
fields of the net become an Input layer. Tables in the modules of this package have the differences between formats.
"""

from __future__ import annotations

from caffe_fcn import schema
from caffe_fcn.errors import NetError
from caffe_fcn.net.upgrade.parts import at, names_checked
from caffe_fcn.net.upgrade.v0 import PADDING, upgrade_v0_layer, upgrade_v0_layers
from caffe_fcn.net.upgrade.v1 import (
    finished,
    has_legacy_transforms,
    is_halfway,
    move_transform,
    old_types,
    upgrade_v1_layer,
)
from caffe_fcn.net.upgrade.whole import (
    SHAPE_HINT,
    freeze_statistics,
    has_legacy_batch_norm,
    has_legacy_inputs,
    input_layer,
    upgrade_inputs,
)
from caffe_fcn.schema import Message

__all__ = [
    "SHAPE_HINT",
    "finished",
    "has_legacy_batch_norm",
    "has_legacy_inputs",
    "has_legacy_transforms",
    "input_layer",
    "is_halfway",
    "is_v0",
    "is_v1",
    "needs_upgrade",
    "old_types",
    "upgrade",
    "upgrade_layer_header",
    "upgrade_with_origins",
]


def is_v0(net: Message) -> bool:
    """Return whether a layer of NET is in the format of 2013: one flat message inside a `layers` entry."""
    return any(layer.HasField("layer") for layer in net.layers)


def is_v1(net: Message) -> bool:
    """Return whether the layers of NET are in the format of 2014, with an enum as type."""
    return len(net.layers) > 0 and not is_v0(net)


def needs_upgrade(net: Message) -> bool:
    """Return whether `upgrade` would change NET."""
    return len(net.layers) > 0 or is_halfway(net) or has_legacy_inputs(net) or has_legacy_batch_norm(net)


def upgrade(net: Message, *, source: str = "net") -> Message:
    """Return NET in the current format, as a new NetParameter; blobs are kept.

    Raises NetError if Caffe refuses the net: both `layer` and `layers`, a layer without a known type, misused padding
    layers, inputs without dimensions. The place in the error begins with SOURCE.
    """
    return upgrade_with_origins(net, source=source)[0]


def upgrade_with_origins(net: Message, *, source: str = "net") -> tuple[Message, tuple[int | None, ...]]:
    """Return the upgraded NET, and for each of its layers the index of the layer in NET from which it was made.

    The index is that in `net.layers` or `net.layer`, whichever NET uses. It is None for the Input layer that replaces
    input fields. V0's padding layers have no layer in the upgraded net. Raises the same errors as `upgrade`.
    """
    if net.layer and net.layers:
        found = f"{len(net.layer)} in 'layer' and {len(net.layers)} in 'layers'"
        raise NetError(
            source=source, expected="all layers in one format", found=found, hint="rewrite them in one format"
        )
    upgraded = schema.NetParameter()
    upgraded.CopyFrom(net)
    origins: list[int | None] = [*range(len(net.layers) or len(net.layer))]
    with names_checked(source):
        if is_v0(upgraded):
            origins = [*upgrade_v0_layers(upgraded, source)]
        if has_legacy_transforms(upgraded):
            for layer in upgraded.layers:
                move_transform(layer)
        for origin, layer in zip(tuple(origins), upgraded.layers, strict=False):
            with at(source, layer, origin):
                upgrade_v1_layer(layer, upgraded.layer.add())
        upgraded.ClearField("layers")
        if has_legacy_inputs(upgraded) and upgrade_inputs(upgraded, source):
            origins.insert(0, None)
        freeze_statistics(upgraded)
    return upgraded, tuple(origins)


def upgrade_layer_header(layers: Message, *, type_name: str | None = None, source: str = "net") -> Message:
    """Return one V1 layer, or the V0 layer inside it, as a LayerParameter. It is used for weights, record by record.

    TYPE_NAME is the type in the prototxt, if there is one, because forks use the numbers of V1's types for different
    types. A V0 padding layer becomes a layer of type "Padding", because folding it needs the whole net; `upgrade` folds
    it. Raises NetError if the type is unknown.
    """
    with names_checked(source), at(source, layers):
        layer = schema.V1LayerParameter()
        layer.CopyFrom(layers)
        if layers.layer.type == PADDING and type_name is None:
            type_name = "Padding"
        if layers.HasField("layer"):
            layer = upgrade_v0_layer(layers, type_name)
        if has_legacy_transforms(schema.NetParameter(layers=[layer])):
            move_transform(layer)
        upgraded = schema.LayerParameter()
        upgrade_v1_layer(layer, upgraded, type_name)
    return upgraded
