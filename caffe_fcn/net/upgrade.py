"""Bring a net in any of Caffe's old formats to the current one, as Caffe does when it loads the net.

An upgrade is a row of small steps, each from one format to the next: V0 layers become V1 layers, V1
layers become current ones, the net's own input fields become an Input layer. What differs between two
formats stands in tables; fields that both formats have under one name are carried over through their
descriptors, those of forks included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from caffe_fcn import schema
from caffe_fcn.errors import NetError
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
_V0_PADDING = "padding"
"""The one V0 type without a successor: the layers it feeds take its pad over."""

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
"""V0 type -> the V1 message for its parameters, and which of V0's flat fields go there."""

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

_V1_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BN": "BN",
    "BNLL": "BNLL",
    "CONVOLUTION3D": "Convolution3D",
    "DECONVOLUTION3D": "Deconvolution3D",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "POOLING3D": "Pooling3D",
    "PRELU": "PReLU",
    "RELU": "ReLU",
    "ROI_POOLING": "ROIPooling",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
"""V1 type -> current type, where that is not just V1's words with a capital each."""

_V1_PARAM_SPECS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
"""V1's parallel lists, one value a blob -> the field of ParamSpec."""

_OLD_SPECS = ("blob_share_mode", "blobs_lr", "weight_decay")
"""Those of the lists that are read in a current layer too, in which no Caffe takes them."""

_V1_DATA_PARAMS = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_TRANSFORM = ("scale", "mean_file", "crop_size", "mirror")

_LEGACY_INPUT_AXES = 4
"""`input_dim` lists num, channels, height and width of one input after the other."""

SHAPE_HINT = "add input_shape { dim: 1 dim: 3 dim: 224 dim: 224 }, with the extents of the net, behind it"
"""How to give the shape of an input field."""

_BATCH_NORM_BLOBS = 3


def is_v0(net: Message) -> bool:
    """Whether a layer of NET is in the format of 2013: one flat message inside a `layers` entry."""
    return any(layer.HasField("layer") for layer in net.layers)


def is_v1(net: Message) -> bool:
    """Whether the layers of NET are in the format of 2014, the type an enum."""
    return len(net.layers) > 0 and not is_v0(net)


def has_legacy_transforms(net: Message) -> bool:
    """Whether a V1 data layer keeps scale, mean, crop or mirror among its source's parameters."""
    return any(list(_legacy_transform(layer)) for layer in net.layers)


def has_legacy_inputs(net: Message) -> bool:
    """Whether NET declares its inputs itself instead of in an Input layer."""
    return len(net.input) > 0


def has_legacy_batch_norm(net: Message) -> bool:
    """Whether a BatchNorm layer lets the solver train or decay its three statistics."""
    return any(_trains_statistics(layer) for layer in net.layer)


def is_halfway(net: Message) -> bool:
    """Whether a current layer of NET has a type, rates or sharing in the words of the format of 2014."""
    types = old_types()
    return any(layer.type in types or any(map(len, _old_specs(layer))) for layer in net.layer)


def finished(net: Message) -> Message:
    """NET, in the current format, as a new NetParameter without words of the format of 2014; blobs are carried over."""
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
    """The types of the format of 2014 that have another name now, by their old name."""
    names = {name: _current_type(name) for name in _type_names().values()}
    return {old: new for old, new in names.items() if new and new != old}


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
        raise NetError(f"{source}: expected all layers in one format, found {found}; rewrite one kind as the other")
    upgraded = schema.NetParameter()
    upgraded.CopyFrom(net)
    origins: list[int | None] = [*range(len(net.layers) or len(net.layer))]
    with _names_checked(source):
        if is_v0(upgraded):
            origins = [*_upgrade_v0_layers(upgraded, source)]
        if has_legacy_transforms(upgraded):
            for layer in upgraded.layers:
                _move_transform(layer)
        for origin, layer in zip(tuple(origins), upgraded.layers, strict=False):
            with _at(origin):
                _upgrade_v1_layer(layer, upgraded.layer.add(), _place(source, layer, origin))
        upgraded.ClearField("layers")
        if has_legacy_inputs(upgraded) and _upgrade_inputs(upgraded, source):
            origins.insert(0, None)
        _freeze_statistics(upgraded)
    return upgraded, tuple(origins)


def upgrade_layer_header(layers: Message, *, type_name: str | None = None, source: str = "net") -> Message:
    """One V1 layer, or the V0 layer inside it, as a LayerParameter: for weights, read record by record.

    TYPE_NAME is the prototxt's word for the type, where there is one: forks give the numbers of V1's
    types different meanings. A V0 padding layer becomes a layer of type "Padding", since folding it
    takes the whole net; `upgrade` does so. Raises NetError if the type is not known.
    """
    with _names_checked(source):
        place = _place(source, layers)
        layer = schema.V1LayerParameter()
        layer.CopyFrom(layers)
        if layers.layer.type == _V0_PADDING and type_name is None:
            type_name = "Padding"
        if layers.HasField("layer"):
            layer = _upgrade_v0_layer(layers, place, type_name)
        if has_legacy_transforms(schema.NetParameter(layers=[layer])):
            _move_transform(layer)
        upgraded = schema.LayerParameter()
        _upgrade_v1_layer(layer, upgraded, place, type_name)
    return upgraded


# ---- V0 to V1 ----


def _upgrade_v0_layers(net: Message, source: str) -> list[int]:
    """Replace the V0 layers of NET by V1 layers; return the index that each one left over had."""
    kept = _fold_padding(net, source)
    layers = []
    for index in kept:
        with _at(index):
            layers.append(_upgrade_v0_layer(net.layers[index], _place(source, net.layers[index], index)))
    net.ClearField("layers")
    net.layers.extend(layers)
    return kept


def _fold_padding(net: Message, source: str) -> list[int]:
    """Give the pad of each padding layer to the layers it feeds; return the indices of the other layers."""
    producers: dict[str, Message] = {}
    for index, layer in enumerate(net.layers):
        for position, bottom in enumerate(layer.bottom):
            producer = producers.get(bottom)
            if producer is None or producer.layer.type != _V0_PADDING:
                continue
            if layer.layer.type not in ("conv", "pool") or not len(layer.bottom) == len(producer.bottom) == 1:
                expected = "a conv or pool layer with one bottom after padding of one"
                found = f'a "{layer.layer.type}" with {len(layer.bottom)} after padding of {len(producer.bottom)}'
                with _at(index):
                    raise NetError(f"{_place(source, layer, index)}: expected {expected}, found {found}")
            layer.layer.pad = producer.layer.pad
            layer.bottom[position] = producer.bottom[0]
        producers.update((top, layer) for top in layer.top)
    return [index for index, layer in enumerate(net.layers) if layer.layer.type != _V0_PADDING]


def _upgrade_v0_layer(connection: Message, place: str, type_name: str | None = None) -> Message:
    """The V1 layer for the V0 layer inside CONNECTION; a connection that holds none is a V1 layer itself."""
    layer = schema.V1LayerParameter()
    layer.CopyFrom(connection)
    if not connection.HasField("layer"):
        return layer
    layer.ClearField("layer")
    old = connection.layer
    if old.type in _V0_TYPES:
        layer.type = schema.enum_number("V1LayerParameter", "LayerType", _V0_TYPES[old.type])
    elif old.HasField("type") and type_name is None:
        raise NetError(f'{place}: unknown type "{old.type}"; expected one of {", ".join(sorted(_V0_TYPES))}')
    _carry(old, layer, _V0_LAYER, place)
    _carry(old, layer.transform_param, _V0_TRANSFORM, place)
    if old.type in _V0_PARAMS:
        param, fields = _V0_PARAMS[old.type]
        _carry(old, getattr(layer, param), fields, place)
    return layer


def _carry(old: Message, new: Message, names: Iterable[str], place: str) -> None:
    """Give NEW the fields of OLD called NAMES that are set, under the names they have now."""
    for field, value in old.ListFields():
        if field.name in names:
            try:
                _put(new, _V0_RENAMED.get(field.name, field.name), value)
            except ValueError as error:
                raise NetError(f"{place}: {field.name} is out of range, found {value}") from error


# ---- V1 to current ----


def _legacy_transform(layer: Message) -> Iterator[str]:
    """The fields of a V1 data layer that belong in its transform_param."""
    param = _V1_DATA_PARAMS.get(_type_name(layer))
    if param is not None:
        yield from (name for name in _TRANSFORM if getattr(layer, param).HasField(name))


def _move_transform(layer: Message) -> None:
    """Move the transform of a V1 data layer to its transform_param.

    Caffe leaves both messages behind even where they are empty, in all data layers once one has a transform.
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


def _upgrade_v1_layer(old: Message, new: Message, place: str, type_name: str | None = None) -> None:
    """Fill NEW, a LayerParameter, with what OLD says. TYPE_NAME overrules the type."""
    new.type = type_name or _current_type(_type_name(old))
    if not new.type:
        raise NetError(f"{place} has no type, or one that is not known; expected one of V1's, such as CONVOLUTION")
    common = _common_fields()
    for field, value in old.ListFields():
        if field.name in common:
            _put(new, field.name, value)
    _put_specs(old, new)


def _put_specs(old: Message, new: Message) -> None:
    """Give the `param` of NEW what the parallel lists of OLD say."""
    for name, part in _V1_PARAM_SPECS.items():
        if name == "param" and old.DESCRIPTOR is new.DESCRIPTOR:
            continue
        for position, value in enumerate(getattr(old, name)):
            if position == len(new.param):
                new.param.add()
            setattr(new.param[position], part, value)


def _current_type(v1_type: str) -> str:
    """The current name of a V1 type: "INNER_PRODUCT" -> "InnerProduct"."""
    words = v1_type.split("_")
    return _V1_TYPES.get(v1_type, "".join(word.capitalize() for word in words))


@cache
def _common_fields() -> frozenset[str]:
    """The names of the fields that V1 layers and current layers have alike, those of forks included."""
    current = schema.LayerParameter.DESCRIPTOR.fields_by_name
    return frozenset(
        name
        for name, field in schema.V1LayerParameter.DESCRIPTOR.fields_by_name.items()
        if name in current
        and name not in _V1_PARAM_SPECS
        and current[name].type == field.type
        and (field.message_type is None or field.message_type.full_name == current[name].message_type.full_name)
    )


# ---- The net's own fields ----


def input_layer(net: Message, source: str) -> Message | None:
    """The Input layer that says what the `input` fields of NET say, with their shapes where NET gives any; None if
    nothing is left of them. Raises NetError, its place beginning with SOURCE, where shapes are given for some only.

    Caffe drops inputs without a shape. Here those stay that no layer makes, so that their shape can be told.
    """
    names = list(net.input)
    shapes = [[*shape.dim] for shape in net.input_shape]
    if not shapes:
        last = len(net.input_dim) - _LEGACY_INPUT_AXES
        starts = range(0, last + 1, _LEGACY_INPUT_AXES)
        shapes = [[*net.input_dim[start : start + _LEGACY_INPUT_AXES]] for start in starts]
    if net.input_shape or net.input_dim:
        if len(shapes) < len(names):
            expected = f"an input_shape or {_LEGACY_INPUT_AXES} input_dim for each of {len(names)} inputs"
            found = f"{len(net.input_shape)} input_shape and {len(net.input_dim)} input_dim"
            raise NetError(f"{source}: expected {expected}, found {found}")
    else:
        layers = (*net.layer, *net.layers)
        made = {top for layer in layers for top in layer.top if top not in layer.bottom}
        names = [name for name in names if name not in made]
    if not names:
        return None
    layer = schema.LayerParameter(name="input", type="Input", top=names)
    for shape in shapes[: len(names)]:  # Caffe does not look at what is left over
        layer.input_param.shape.add(dim=shape)
    return layer


def _upgrade_inputs(net: Message, source: str) -> bool:
    """Replace the input fields by an Input layer in front, if anything is left of them; whether there is one."""
    layer = input_layer(net, source)
    for name in ("input", "input_shape", "input_dim"):
        net.ClearField(name)
    if layer is not None:
        net.layer.insert(0, layer)
    return layer is not None


def _trains_statistics(layer: Message) -> bool:
    if layer.type != "BatchNorm" or len(layer.param) != _BATCH_NORM_BLOBS:
        return False
    return any(param.lr_mult or param.decay_mult for param in layer.param)


def _freeze_statistics(net: Message) -> None:
    """Set the rates of BatchNorm's mean, variance and factor to 0: they are measured, not learned."""
    for layer in filter(_trains_statistics, net.layer):
        for param in layer.param:
            param.lr_mult = param.decay_mult = 0


# ---- Messages ----


def _put(message: Message, name: str, value: Message) -> None:
    """Set a field of MESSAGE to VALUE, whatever its kind; a repeated field gains it, or all of a list."""
    slot = getattr(message, name)
    if hasattr(slot, "extend"):
        slot.extend(value if hasattr(value, "extend") else [value])
    elif hasattr(slot, "CopyFrom"):
        slot.CopyFrom(value)
    else:
        setattr(message, name, value)


@cache
def _type_names() -> dict[int, str]:
    enum = schema.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"]
    return {value.number: value.name for value in enum.values}


def _type_name(layer: Message) -> str:
    """The name of a V1 layer's type; "NONE" if it has none."""
    return _type_names()[layer.type]


def _place(source: str, layer: Message, index: int | None = None) -> str:
    """Where an error is: the layer by its name, or by its position from 0 if it has none."""
    name = layer.layer.name or layer.name
    if name:
        return f'{source}: layer "{name}"'
    return f"{source}: a layer without a name" if index is None else f"{source}: layer {index}, which has no name,"


@contextmanager
def _at(index: int | None) -> Iterator[None]:
    """Give a NetError the INDEX of its layer, as the net was written."""
    try:
        yield
    except NetError as error:
        error.index = index
        raise


@contextmanager
def _names_checked(source: str) -> Iterator[None]:
    """Turn protobuf's complaint about a string that is no text, in a binary file, into a NetError."""
    try:
        yield
    except UnicodeDecodeError as error:
        found = f"{error.object[:40]!r}; is the file damaged?"
        raise NetError(f"{source}: expected names in UTF-8, found {found}") from error
