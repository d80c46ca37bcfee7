"""The table of effects holds every field that a layer of a fork may have; what it calls applied is in our schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from caffe_fcn import schema
from caffe_fcn.files.textmessage import fields_of
from caffe_fcn.net import effects as module
from caffe_fcn.net.effects import Effect, defaults_of, effect_of, forks_with, readers_of, table
from caffe_fcn.net.layers import LAYERS
from caffe_fcn.schema import FORKS, OLD
from caffe_fcn.schema.forks import fork_fields
from tests.paths import GOLDEN, SHARED

FACTS = SHARED / "facts" / "forks.json"
BVLC: dict[str, Any] = json.loads((GOLDEN / "caffe_schema.json").read_text())["messages"]
OUTSIDE_LAYERS = ("AnnotatedDatum", "BlobProto", "Datum", "SolverParameter", "SolverState")
"""Messages that are no part of a layer's text: values, data sets, solvers."""


def ours(message: str) -> dict[str, Any] | None:
    """The fields of MESSAGE in our schema, None if it does not have it."""
    try:
        return dict(fields_of(schema.message_class(message).DESCRIPTOR))
    except AttributeError:
        return None


def is_bvlcs(message: str, name: str) -> bool:
    fields = BVLC[message]["fields"] if message in BVLC else ()
    return any(field["name"] == name for field in fields)


def added_by_forks() -> Iterator[tuple[str, str]]:
    """The fields that forks add, by message and name."""
    for field in fork_fields():
        if field.message not in OUTSIDE_LAYERS and not is_bvlcs(field.message, field.name):
            yield field.message, field.name


def is_classified(message: str, name: str, within: tuple[str, ...] = ()) -> bool:
    """Whether the table says what a field does: itself, or, of a message that our schema does not have, by the fields
    that such a message is the value of."""
    if effect_of(message, name) is not Effect.UNKNOWN:
        return True
    if ours(message) is not None or message in within:
        return False
    holders = {(each.message, each.name) for each in fork_fields() if each.type == message}
    return bool(holders) and all(is_classified(*holder, (*within, message)) for holder in holders)


def test_every_field_that_forks_add_is_classified() -> None:
    missing = {f"{message}.{name}" for message, name in added_by_forks() if not is_classified(message, name)}
    assert not missing


def test_every_field_of_the_facts_is_classified() -> None:
    if not FACTS.exists():
        pytest.skip(f"{FACTS} is not there; it is shared, not part of the project")
    facts: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))
    held = {field.message for field in fork_fields()} - set(OUTSIDE_LAYERS)
    found = set()
    for fork, fact in facts.items():
        for message, name in (path.rpartition(".")[::2] for path in fact["fields"]):
            old = fork == "C3D-1.0" and message == "LayerParameter"
            found.add(("V1LayerParameter" if old else message, name))
    assert len(found) > 1000
    added = [(message, name) for message, name in sorted(found) if message in held and not is_bvlcs(message, name)]
    assert [field for field in added if not is_classified(*field)] == []


def test_what_is_applied_is_in_our_schema() -> None:
    for message, effects in table().items():
        fields = ours(message)
        for name, effect in effects.items():
            if effect is Effect.APPLIED:
                assert fields is not None and name in fields, f"{message}.{name}"


def test_what_is_not_applied_is_not_in_our_schema() -> None:
    for message, effects in table().items():
        for name, effect in effects.items():
            field = (ours(message) or {}).get(name)
            if effect is not Effect.APPLIED and field is not None:
                assert is_bvlcs(message, name), f"{message}.{name}: its values alone are unknown to BVLC"


def test_what_our_schema_adds_is_applied() -> None:
    messages = schema.message_class("NetParameter").DESCRIPTOR.file.message_types_by_name
    for message in messages:
        for name, field in (ours(message) or {}).items():
            if FORKS <= field.number < OLD or message not in BVLC:
                assert effect_of(message, name) is Effect.APPLIED, f"{message}.{name}"


def has_applied(message: str) -> bool:
    """Whether a field of MESSAGE is applied."""
    return any(effect_of(message, name) is Effect.APPLIED for name in ours(message) or ())


def test_what_is_applied_has_types_that_read_it() -> None:
    fields = fields_of(schema.message_class("LayerParameter").DESCRIPTOR)
    for name, field in fields.items():
        if name.endswith("_param") and field.message_type is not None and has_applied(field.message_type.name):
            assert readers_of(name) and readers_of(name) <= LAYERS.keys(), name
    assert readers_of("quantization_param") == frozenset(), "which any layer may have"


def test_every_parameter_of_bvlc_caffe_has_types_that_read_it() -> None:
    for name in BVLC["LayerParameter"]["fields"]:
        if name["name"].endswith("_param") and name["name"] != "loss_param":  # of any loss
            assert readers_of(name["name"]) and readers_of(name["name"]) <= LAYERS.keys(), name["name"]


def test_a_row_is_found() -> None:
    assert effect_of("ConvolutionParameter", "relu") is Effect.APPLIED
    assert effect_of("InnerProductParameter", "normalize") is Effect.VALUES
    assert effect_of("ReshapeParameter", "pixelshuffler") is Effect.SHAPES
    assert effect_of("DataParameter", "new_to_all") is Effect.NONE, "of a source of data all is"
    assert effect_of("ImageDataParameter", "is_flow") is Effect.SHAPES, "what has its own row is not"
    assert effect_of("ConvolutionParameter", "new_to_all") is Effect.UNKNOWN
    assert effect_of("V1LayerParameter", "multibox_loss_param") is effect_of("LayerParameter", "multibox_loss_param")
    assert forks_with("ConvolutionParameter", "relu") == ("intel",)


def test_defaults_are_those_of_the_forks() -> None:
    assert defaults_of("DropoutParameter", "scale_train") == {"true"}
    assert defaults_of("PoolingParameter", "pad_type") == {"0"}, "which no fork in the schemas has"
    assert defaults_of("ConvolutionParameter", "coeff") == frozenset()
    assert defaults_of("ConvolutionParameter", "new_to_all") == frozenset()


def test_what_our_schema_adds_is_applied_without_a_row() -> None:
    """A new type needs no row here for its parameters; an unknown value of a field of BVLC Caffe stays unknown."""
    told = table()
    added = [field.name for field in schema.LayerParameter.DESCRIPTOR.fields if FORKS <= field.number < OLD]
    assert added
    for message, name in [*(("LayerParameter", name) for name in added), ("BNParameter", "bn_mode")]:
        without = {**told, message: {each: what for each, what in told[message].items() if each != name}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "table", lambda rows=without: rows)
            assert effect_of(message, name) is Effect.APPLIED, name
    assert effect_of("LRNParameter", "norm_region") is Effect.UNKNOWN
