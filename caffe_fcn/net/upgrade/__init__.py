"""Bring a net in any of Caffe's old formats to the current one, as Caffe does when it loads the net.

An upgrade is a row of small steps, each from one format to the next: V0 layers become V1 layers, V1
layers become current ones, the net's own input fields become an Input layer. What differs between two
formats stands in tables, in the modules of this package.
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
    """Whether a layer of NET is in the format of 2013: one flat message inside a `layers` entry."""
    return any(layer.HasField("layer") for layer in net.layers)


def is_v1(net: Message) -> bool:
    """Whether the layers of NET are in the format of 2014, the type an enum."""
    return len(net.layers) > 0 and not is_v0(net)


def needs_upgrade(net: Message) -> bool:
    """Whether `upgrade` would change anything in NET."""
    return len(net.layers) > 0 or is_halfway(net) or has_legacy_inputs(net) or has_legacy_batch_norm(net)


def upgrade(net: Message, *, source: str = "net") -> Message:
    """NET in the current format, as a new NetParameter; blobs are carried over.

    Raises NetError, its place beginning with SOURCE, where Caffe refuses the net: `layer` and `layers`
    side by side, a layer without a known type, misused padding layers, inputs without dimensions.
    """
    return upgrade_with_origins(net, source=source)[0]


def upgrade_with_origins(net: Message, *, source: str = "net") -> tuple[Message, tuple[int | None, ...]]:
    """The upgraded NET, and for each of its layers the index of the one in NET that it came from.

    The index counts in `net.layers` or `net.layer`, whichever NET uses; None is for the Input layer
    that took the place of the input fields. V0's padding layers have no successor. Raises as `upgrade`.
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
    """One V1 layer, or the V0 layer inside it, as a LayerParameter: for weights, read record by record.

    TYPE_NAME is the prototxt's word for the type, where there is one: forks give the numbers of V1's
    types different meanings. A V0 padding layer becomes a layer of type "Padding", since folding it
    takes the whole net; `upgrade` does so. Raises NetError if the type is not known.
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
