"""The schema is Caffe's: every message, field and enum as recorded from BVLC's, and no other in the process minds it.

The facts (tests/golden/caffe_schema.json) are names, numbers, types, defaults and packing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from caffe_fcn import schema
from caffe_fcn.schema import merge
from tests.paths import GOLDEN, ROOT, SHARED

FACTS: dict[str, Any] = json.loads((GOLDEN / "caffe_schema.json").read_text(encoding="utf-8"))
FORKS = SHARED / "facts" / "forks.json"
FORK_NUMBERS_FROM = 60000
LARGEST_FIELD_NUMBER = 2**29 - 1


@cache
def compiled(name: str) -> FileDescriptorProto:
    return merge.load_file(name)


def messages_of(file: FileDescriptorProto) -> dict[str, DescriptorProto]:
    return {message.name: message for message in file.message_type}


def enums_of(holder: FileDescriptorProto | DescriptorProto) -> dict[str, dict[str, int]]:
    return {enum.name: {value.name: value.number for value in enum.value} for enum in holder.enum_type}


def described(field: FieldDescriptorProto) -> dict[str, Any]:
    """FIELD in the terms of the facts."""
    kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    found: dict[str, Any] = {
        "name": field.name,
        "number": field.number,
        "label": FieldDescriptorProto.Label.Name(field.label).removeprefix("LABEL_").lower(),
        "type": field.type_name.removeprefix(".") or kind,
    }
    if field.HasField("default_value"):
        found["default"] = normal_default(found["type"], field.default_value)
    if field.options.packed:
        found["packed"] = True
    return found


def normal_default(kind: str, text: str) -> str:
    """The default TEXT of a field of type KIND, in one spelling: floats as the 32 bits that they stand for."""
    return struct.pack(">f", float(text)).hex() if kind == "float" else text


def recorded(message: str) -> list[dict[str, Any]]:
    """The facts about MESSAGE's fields, by number."""
    fields = [dict(field) for field in FACTS["messages"][message]["fields"]]
    for field in fields:
        if "default" in field:
            field["default"] = normal_default(field["type"], field["default"])
    return sorted(fields, key=lambda field: int(field["number"]))


# ---- The schema of BVLC Caffe ----


def test_the_file_is_caffes() -> None:
    file = compiled("caffe")
    assert file.package == FACTS["package"] == "caffe"
    assert file.syntax in ("", FACTS["syntax"])  # "" is how a descriptor says proto2
    assert enums_of(file) == FACTS["enums"]


def test_there_are_423_fields_of_63_messages() -> None:
    messages = messages_of(compiled("caffe"))
    assert set(messages) == set(FACTS["messages"])
    assert len(messages) == 63
    assert sum(len(message.field) for message in messages.values()) == 423
    assert not any(message.nested_type or message.extension for message in messages.values())


@pytest.mark.parametrize("message", FACTS["messages"])
def test_the_fields_are_caffes(message: str) -> None:
    fields = sorted(messages_of(compiled("caffe"))[message].field, key=lambda field: field.number)
    assert [described(field) for field in fields] == recorded(message)


@pytest.mark.parametrize("message", FACTS["messages"])
def test_the_enums_are_caffes(message: str) -> None:
    assert enums_of(messages_of(compiled("caffe"))[message]) == FACTS["messages"][message].get("enums", {})


@pytest.mark.parametrize("message", FACTS["messages"])
def test_the_classes_have_the_fields(message: str) -> None:
    descriptor = schema.message_class(message).DESCRIPTOR
    assert descriptor.full_name == f"caffe.{message}"
    for field in recorded(message):
        assert descriptor.fields_by_number[field["number"]].name == field["name"]


def test_a_message_nobody_knows_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no message 'NoSuchMessage'"):
        schema.message_class("NoSuchMessage")
    assert not hasattr(schema, "NoSuchMessage")
    assert schema.NetParameter is schema.message_class("NetParameter")


# ---- The descriptor sets that are checked in ----


def loaded() -> FileDescriptorProto:
    """The schema of the package."""
    return FileDescriptorProto.FromString(Path(merge.__file__).with_name("schema.binpb").read_bytes())


@pytest.mark.thorough
def test_the_descriptor_sets_are_what_the_protos_compile_to(tmp_path: Path) -> None:
    # grpcio-tools is in the `dev` extra: only somebody's own environment may lack it.
    if importlib.util.find_spec("grpc_tools") is None and not os.environ.get("CI"):
        pytest.skip("grpcio-tools is not installed")
    target = tmp_path / "both.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", f"--descriptor_set_out={target}"]
    protos = ["proto/caffe.proto", "proto/forks.proto"]
    done = subprocess.run([*command, *protos], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    caffe, forks = FileDescriptorSet.FromString(target.read_bytes()).file
    assert caffe == compiled("caffe"), "run `make schema`"
    assert merge.merged(forks) == loaded(), "run `make schema`"


# ---- What forks add ----


def additions() -> list[tuple[DescriptorProto, DescriptorProto]]:
    """What forks add to each message of BVLC Caffe's, and that message. It comes before additions in both schemas."""
    made = []
    for name, ours in messages_of(compiled("caffe")).items():
        added = DescriptorProto()
        added.CopyFrom(messages_of(loaded())[name])
        assert added.field[: len(ours.field)] == list(ours.field)
        del added.field[: len(ours.field)]
        for enum, old in zip(added.enum_type, ours.enum_type, strict=True):
            del enum.value[: len(old.value)]
        if added.field or any(enum.value for enum in added.enum_type):
            made.append((added, ours))
    return made


def test_fields_of_forks_have_numbers_of_their_own() -> None:
    seen = 0
    for added, ours in additions():
        numbers = [field.number for field in added.field]
        names = [field.name for field in added.field]
        assert all(FORK_NUMBERS_FROM <= number <= LARGEST_FIELD_NUMBER for number in numbers), added.name
        assert len(set(numbers)) == len(numbers), added.name
        assert set(names).isdisjoint(field.name for field in ours.field), added.name
        seen += len(numbers)
    assert seen > 0


def test_enumerators_of_forks_have_numbers_of_their_own() -> None:
    for added, ours in additions():
        known: dict[str, EnumDescriptorProto] = {enum.name: enum for enum in ours.enum_type}
        for enum in added.enum_type:
            assert all(value.number >= FORK_NUMBERS_FROM for value in enum.value), f"{added.name}.{enum.name}"
            taken = {value.name for value in known[enum.name].value}
            assert taken.isdisjoint(value.name for value in enum.value), f"{added.name}.{enum.name}"


@pytest.mark.skipif(not FORKS.exists(), reason="the recorded facts about forks are not beside the checkout")
def test_no_fork_uses_our_numbers() -> None:
    taken: set[tuple[str, int]] = set()
    for fork in json.loads(FORKS.read_text(encoding="utf-8")).values():
        taken |= {(name.rpartition(".")[0], int(fact[0])) for name, fact in fork["fields"].items()}
        taken |= {(enum, int(number)) for enum, values in fork["enum_values"].items() for number in values.values()}
    assert len(taken) > 1000
    for added, _ in additions():
        assert taken.isdisjoint((added.name, field.number) for field in added.field)
        for enum in added.enum_type:
            assert taken.isdisjoint((f"{added.name}.{enum.name}", value.number) for value in enum.value)


@pytest.mark.parametrize("message", loaded().message_type, ids=lambda message: message.name)
def test_the_classes_have_the_fields_of_forks(message: DescriptorProto) -> None:
    by_name = schema.message_class(message.name).DESCRIPTOR.fields_by_name
    for field in message.field:
        assert by_name[field.name].number == field.number
        if field.type_name:
            kind = by_name[field.name].message_type or by_name[field.name].enum_type
            assert kind.full_name.startswith("caffe.")
            assert not kind.full_name.startswith("caffe.forks.")


# ---- Beside another caffe.proto ----

RIVAL = """
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto

def rival():
    # What pycaffe does on import: a file "caffe.proto" of package caffe, in the pool that all share.
    # It is a fork's: a NetParameter with one more field, and a LayerParameter with few of ours.
    file = FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    layer = file.message_type.add(name="LayerParameter")
    layer.field.add(name="name", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    net = file.message_type.add(name="NetParameter")
    net.field.add(name="name", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    net.field.add(name="layer", number=100, type="TYPE_MESSAGE", type_name=".caffe.LayerParameter",
                  label="LABEL_REPEATED")
    net.field.add(name="ours_lacks_it", number=77, type="TYPE_INT32", label="LABEL_OPTIONAL")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))

def ours():
    from caffe_fcn import schema
    return schema.NetParameter
"""
MEET = """
first = theirs(ours_lacks_it=7, name="net")
first.layer.add(name="fc6")
second = mine.FromString(first.SerializeToString())
assert second.layer[0].name == "fc6"
assert "ours_lacks_it" not in mine.DESCRIPTOR.fields_by_name
second.layer[0].inner_product_param.num_output = 4096
assert "inner_product_param" not in theirs.DESCRIPTOR.fields_by_name["layer"].message_type.fields_by_name
back = theirs.FromString(second.SerializeToString())
assert back.ours_lacks_it == 7
assert mine.FromString(back.SerializeToString()).layer[0].inner_product_param.num_output == 4096
print("side by side")
"""


@pytest.mark.thorough
@pytest.mark.parametrize("order", ["theirs = rival(); mine = ours()", "mine = ours(); theirs = rival()"])
@pytest.mark.parametrize("runtime", ["upb", "python"])
def test_another_caffe_proto_lives_beside_ours(order: str, runtime: str) -> None:
    environment = os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": runtime}
    command = [sys.executable, "-c", "\n".join([RIVAL, order, MEET])]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "side by side\n", done.stderr
