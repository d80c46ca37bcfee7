"""Makes `schema.binpb`, which the package loads, of the descriptor sets compiled from `proto/`: BVLC's schema
with the fields of forks added. It is done once, by `make schema`, because every start would pay for it."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

_FORKS = ".caffe.forks."
_OURS = ".caffe."


def load_file(name: str) -> FileDescriptorProto:
    """The file descriptor compiled from proto/NAME.proto: "caffe" or "forks"."""
    data = Path(__file__).with_name(f"{name}.binpb").read_bytes()
    return FileDescriptorSet.FromString(data).file[0]


def merged() -> FileDescriptorProto:
    """BVLC's schema and what forks add to it, as one file; messages that forks alone have join it whole."""
    schema = load_file("caffe")
    schema.name = "caffe_fcn/caffe.proto"
    messages = {message.name: message for message in schema.message_type}
    for addition in load_file("forks").message_type:
        for field in addition.field:
            if field.type_name.startswith(_FORKS):
                field.type_name = _OURS + field.type_name.removeprefix(_FORKS)
        if addition.name in messages:
            _extend(messages[addition.name], addition)
        else:
            schema.message_type.append(addition)
    return schema


def _extend(message: DescriptorProto, addition: DescriptorProto) -> None:
    """Give MESSAGE the fields, and its enums the values, that forks add to it."""
    message.field.extend(addition.field)
    enums: dict[str, EnumDescriptorProto] = {enum.name: enum for enum in message.enum_type}
    for enum in addition.enum_type:
        enums[enum.name].value.extend(enum.value)


if __name__ == "__main__":
    Path(__file__).with_name("schema.binpb").write_bytes(merged().SerializeToString(deterministic=True))
