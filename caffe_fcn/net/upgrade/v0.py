"""Upgrades layers of the format of 2013, V0, to the format of 2014, V1. A V0 layer is a flat message in a `layers`
entry.

Tables give the message for each of the flat fields. Layers of type padding are removed: the layers after them get their
pad.
"""

from __future__ import annotations

from collections.abc import Iterable

from caffe_fcn import schema
from caffe_fcn.errors import NetError
from caffe_fcn.net.upgrade.parts import at, put
from caffe_fcn.schema import Message

_V0_TYPES = {
    **{
        name: name.upper()
        for name in (
            *("accuracy", "bnll", "concat", "data", "dropout", "euclidean_loss", "flatten", "hdf5_data", "hdf5_output"),
            *("im2col", "infogain_loss", "lrn", "multinomial_logistic_loss", "relu", "sigmoid", "softmax"),
            *("softmax_loss", "split", "tanh", "window_data"),
        )
    },
    "conv": "CONVOLUTION",
    "images": "IMAGE_DATA",
    "innerproduct": "INNER_PRODUCT",
    "pool": "POOLING",
}
PADDING = "padding"
"""The only V0 type that no longer exists: its pad moves to the layers after it."""

_DETECTION = ("det_fg_threshold", "det_bg_threshold", "det_fg_fraction", "det_context_pad", "det_crop_mode")
_V0_PARAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "concat": ("concat_param", ("concat_dim",)),
    "conv": (
        "convolution_param",
        ("num_output", "biasterm", "weight_filler", "bias_filler", "pad", "kernelsize", "group", "stride"),
    ),
    "data": ("data_param", ("source", "batchsize", "rand_skip")),
    "dropout": ("dropout_param", ("dropout_ratio",)),
    "hdf5_data": ("hdf5_data_param", ("source", "batchsize")),
    "images": ("image_data_param", ("source", "batchsize", "rand_skip", "shuffle_images", "new_height", "new_width")),
    "infogain_loss": ("infogain_loss_param", ("source",)),
    "innerproduct": ("inner_product_param", ("num_output", "biasterm", "weight_filler", "bias_filler")),
    "lrn": ("lrn_param", ("local_size", "alpha", "beta", "k")),
    "pool": ("pooling_param", ("pool", "pad", "kernelsize", "stride")),
    "window_data": ("window_data_param", ("source", "batchsize", *_DETECTION)),
}
"""V0 type -> the V1 message for its parameters, and V0's flat fields that become its fields."""

_V0_LAYER = ("name", "blobs", "blobs_lr", "weight_decay", "hdf5_output_param")
_V0_TRANSFORM = ("scale", "meanfile", "cropsize", "mirror")
_V0_RENAMED = {
    "batchsize": "batch_size",
    "biasterm": "bias_term",
    "cropsize": "crop_size",
    "kernelsize": "kernel_size",
    "meanfile": "mean_file",
    "shuffle_images": "shuffle",
    **{name: name.removeprefix("det_") for name in _DETECTION},
}


def upgrade_v0_layers(net: Message, source: str) -> list[int]:
    """Replace the V0 layers of NET by V1 layers; return the old index of each remaining layer."""
    kept = _fold_padding(net, source)
    layers = []
    for index in kept:
        with at(source, net.layers[index], index):
            layers.append(upgrade_v0_layer(net.layers[index]))
    net.ClearField("layers")
    net.layers.extend(layers)
    return kept


def _fold_padding(net: Message, source: str) -> list[int]:
    """Move the pad of each padding layer to the layers after it; return the indices of the other layers."""
    producers: dict[str, Message] = {}
    for index, layer in enumerate(net.layers):
        for position, bottom in enumerate(layer.bottom):
            producer = producers.get(bottom)
            if producer is None or producer.layer.type != PADDING:
                continue
            if layer.layer.type not in ("conv", "pool") or not len(layer.bottom) == len(producer.bottom) == 1:
                expected = "a conv or pool layer with one bottom after padding of one"
                found = f'a "{layer.layer.type}" with {len(layer.bottom)} after padding of {len(producer.bottom)}'
                with at(source, layer, index):
                    raise NetError(expected=expected, found=found)
            layer.layer.pad = producer.layer.pad
            layer.bottom[position] = producer.bottom[0]
        producers.update((top, layer) for top in layer.top)
    return [index for index, layer in enumerate(net.layers) if layer.layer.type != PADDING]


def upgrade_v0_layer(connection: Message, type_name: str | None = None) -> Message:
    """Return the V1 layer for the V0 layer inside CONNECTION; a connection without a V0 layer is a V1 layer itself."""
    layer = schema.V1LayerParameter()
    layer.CopyFrom(connection)
    if not connection.HasField("layer"):
        return layer
    layer.ClearField("layer")
    old = connection.layer
    if old.type in _V0_TYPES:
        layer.type = schema.enum_number("V1LayerParameter", "LayerType", _V0_TYPES[old.type])
    elif old.HasField("type") and type_name is None:
        known = ", ".join(sorted(_V0_TYPES))
        raise NetError(f'unknown type "{old.type}"; expected one of {known}', expected=known, found=old.type)
    _carry(old, layer, _V0_LAYER)
    _carry(old, layer.transform_param, _V0_TRANSFORM)
    if old.type in _V0_PARAMS:
        param, fields = _V0_PARAMS[old.type]
        _carry(old, getattr(layer, param), fields)
    return layer


def _carry(old: Message, new: Message, names: Iterable[str]) -> None:
    """Copy the fields NAMES of OLD that are set to NEW, under their current names."""
    for field, value in old.ListFields():
        if field.name in names:
            try:
                put(new, _V0_RENAMED.get(field.name, field.name), value)
            except ValueError as error:
                raise NetError(f"{field.name} is out of range, found {value}", found=value) from error
