"""Makes `schema.binpb`, which the package loads, of BVLC's schema, `caffe.binpb`, and the fields of forks.

`make schema` does it once, because each start would take longer. It gives the descriptor set compiled from
`proto/forks.proto` as the standard input.
"""

from __future__ import annotations

import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

_FORKS = ".caffe.forks."
_OURS = ".caffe."


def load_file(name: str) -> FileDescriptorProto:
    """The file in the descriptor set NAME.binpb beside this module."""
    return only_file(Path(__file__).with_name(f"{name}.binpb").read_bytes())


def only_file(data: bytes) -> FileDescriptorProto:
    """The one file in the descriptor set DATA."""
    (file,) = FileDescriptorSet.FromString(data).file
    return file


def merged(forks: FileDescriptorProto) -> FileDescriptorProto:
    """BVLC's schema and what FORKS add to it, as one file; messages that forks alone have join it whole."""
    schema = load_file("caffe")
    schema.name = "caffe_fcn/caffe.proto"
    messages = {message.name: message for message in schema.message_type}
    for addition in forks.message_type:
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
    made = merged(only_file(sys.stdin.buffer.read()))
    Path(__file__).with_name("schema.binpb").write_bytes(made.SerializeToString(deterministic=True))
