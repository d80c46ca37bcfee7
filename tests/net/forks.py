"""Message classes of forks of Caffe, made by protobuf itself from BVLC's schema and the table of forks, and nets that
use all that a fork has."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from caffe_fcn.schema import is_repeated
from caffe_fcn.schema.forks import table
from caffe_fcn.schema.merge import load_file

_SAMPLES: dict[str, Any] = {
    "float": 0.3,
    "double": 0.1,
    "int32": -7,
    "int64": -(1 << 40),
    "uint32": 0xFFFFFFFF,
    "bool": True,
    "string": 'a "b"\t\\é',
    "bytes": b"\xff\x00z",
}


@cache
def net_class(fork: str) -> Any:
    """The NetParameter of FORK."""
    file = load_file("caffe")
    messages = {message.name: message for message in file.message_type}
    enums = {enum.name: enum for enum in file.enum_type}
    for message in file.message_type:
        enums.update({f"{message.name}.{enum.name}": enum for enum in message.enum_type})
    gone = {(row.message, row.name) for row in table().lacks if fork in row.forks}
    gone |= {(row.message, row.name) for row in table().fields if fork in row.forks}
    for message in messages.values():
        kept = [field for field in message.field if (message.name, field.name) not in gone]
        del message.field[:]
        message.field.extend(kept)
    for value in table().enumerators:
        if fork in value.forks:
            if value.enum not in enums:
                holder, _, name = value.enum.rpartition(".")
                enums[value.enum] = _message(file, messages, holder).enum_type.add() if holder else file.enum_type.add()
                enums[value.enum].name = name
            kept_values = [each for each in enums[value.enum].value if each.number != value.number]
            del enums[value.enum].value[:]
            enums[value.enum].value.extend(kept_values)
            enums[value.enum].value.add(name=value.name, number=value.number)
    for row in table().fields:
        if fork in row.forks:
            field = _message(file, messages, row.message).field.add(name=row.name, number=row.number)
            field.label = FieldDescriptorProto.Label.Value(f"LABEL_{row.label.upper()}")
            if row.type in _SAMPLES:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{row.type.upper()}")
            else:
                field.type_name = f".caffe.{row.type}"
    pool = DescriptorPool()
    for message in file.message_type:  # protobuf holds defaults against types, and they are of no matter here
        for field in message.field:
            field.ClearField("default_value")
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


def _message(file: FileDescriptorProto, messages: dict[str, DescriptorProto], name: str) -> DescriptorProto:
    """The message called NAME, made where it is not there."""
    if name not in messages:
        holder, _, own = name.rpartition(".")
        messages[name] = _message(file, messages, holder).nested_type.add() if holder else file.message_type.add()
        messages[name].name = own
    return messages[name]


def net_of(fork: str, *, alone: str = "") -> Any:
    """A net of FORK with a layer for each message that a layer can hold, every field of it set, or for ALONE only; in
    C3D 1.0 of the format V1."""
    net = net_class(fork)(name="net")
    layers = net.layer if fork != "C3D-1.0" else net.layers
    for field in layers.add().DESCRIPTOR.fields:
        if field.message_type is not None and field.name not in ("blobs", "layer") and alone in ("", field.name):
            layer = layers.add(name=f"of {field.name}")
            if fork == "C3D-1.0":
                layer.type = 4
            else:
                layer.type = type_of(field.name)
            fill(layer, {field.name})
    del layers[0]
    if not alone:
        fill(net, {row.name for row in table().fields if row.message == "NetParameter" and fork in row.forks})
        plain = {field.name for field in layers[0].DESCRIPTOR.fields if field.message_type is None}
        fill(layers[0], plain - {"name", "type"})
    return net


def type_of(param: str) -> str:
    """The type that a layer with PARAM is likely to have: Permute for permute_param."""
    return "".join(word.title() for word in param.removesuffix("_param").split("_"))


def fill(message: Any, names: set[str] | None = None) -> None:
    """Set every field of MESSAGE, or those called NAMES, to a sample value, and all fields in it."""
    for field in message.DESCRIPTOR.fields:
        if names is not None and field.name not in names:
            continue
        if field.message_type is not None:
            targets = [getattr(message, field.name)]
            if is_repeated(field):
                targets = [targets[0].add() for _ in range(2)]
            for target in targets:
                target.SetInParent()
                fill(target)
            continue
        value = _SAMPLES[_kind(field)] if field.enum_type is None else _enumerator(field.enum_type)
        if is_repeated(field):
            getattr(message, field.name).extend([value] * 3)
        else:
            setattr(message, field.name, value)


def _enumerator(enum: Any) -> int:
    """A value that some fork has added to ENUM, or its first one."""
    added = {(row.name, row.number) for row in table().enumerators if f"caffe.{row.enum}" == enum.full_name}
    found = [value.number for value in enum.values if (value.name, value.number) in added]
    return found[-1] if found else int(enum.values[0].number)


def _kind(field: Any) -> str:
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
