"""The message classes of Caffe's schema: `NetParameter`, `LayerParameter`, `BlobProto` and the rest.

They are built at first use from `schema.binpb` beside this file: what `proto/caffe.proto` (BVLC's
schema, exactly) and `proto/forks.proto` (fields of forks that bear on shapes or answers, under numbers of
our own, for the text format only) compile to, merged by `merge.py`. The classes live in a descriptor
pool of their own, so pycaffe or any other `caffe.proto` can be imported in the same process.

Messages are typed `Any`: their fields are known to protobuf, not to a static checker.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool

Message: TypeAlias = Any
"""Any message of the schema."""

FORKS = 60000
"""Fields and enumerators from this number on are forks', numbered by us, and not for other programs."""
OLD = 61000
"""Fields from this number on belong to an older format, and stand where no Caffe takes them."""

_LABEL_REQUIRED = 2
_LABEL_REPEATED = 3


def __getattr__(name: str) -> Any:
    """The class of message NAME, as an attribute of this module."""
    if name.startswith("_"):
        raise AttributeError(name)
    return message_class(name)


@cache
def message_class(name: str) -> Any:
    """The class of the message called NAME, e.g. "NetParameter". Raises AttributeError for others."""
    from google.protobuf import message_factory

    try:
        descriptor = _pool().FindMessageTypeByName(f"caffe.{name}")
    except KeyError:
        raise AttributeError(f"Caffe's schema has no message {name!r}") from None
    return message_factory.GetMessageClass(descriptor)


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether FIELD holds a list. protobuf 5 says so by a label, later versions by a property."""
    known = getattr(field, "is_repeated", None)
    return bool(getattr(field, "label", None) == _LABEL_REPEATED if known is None else known)


def is_required(field: FieldDescriptor) -> bool:
    """Whether a message without FIELD is none."""
    known = getattr(field, "is_required", None)
    return bool(getattr(field, "label", None) == _LABEL_REQUIRED if known is None else known)


def enum_number(message: str, enum: str, value: str) -> int:
    """The number of an enumerator, e.g. ("PoolingParameter", "PoolMethod", "AVE") -> 1."""
    enumeration = message_class(message).DESCRIPTOR.enum_types_by_name[enum]
    return int(enumeration.values_by_name[value].number)


@cache
def _pool() -> DescriptorPool:
    from google.protobuf.descriptor_pool import DescriptorPool

    pool = DescriptorPool()
    with open(os.path.join(os.path.dirname(__file__), "schema.binpb"), "rb") as file:
        pool.AddSerializedFile(file.read())
    return pool
