"""The typed view: what each literal reads as, what is refused and where, what is kept aside."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn import schema
from caffe_fcn.errors import PrototxtError
from caffe_fcn.files.prototxt import parse
from caffe_fcn.files.textmessage import Typed, to_message
from tests.files.texts import nets, prototxts


def typed(text: str | bytes, message: str = "NetParameter") -> Typed:
    return to_message(parse(text, "net.prototxt"), schema.message_class(message))


def regular(text: str | bytes, message: str) -> Any:
    """The message of a text that must hold nothing unknown and nothing irregular."""
    result = typed(text, message)
    assert result.unknown == ()
    assert result.irregular == ()
    return result.message


def failure(text: str | bytes, message: str = "NetParameter") -> str:
    """The first line of the error that TEXT gives, without the file's name."""
    with pytest.raises(PrototxtError) as caught:
        typed(text, message)
    head, _, caret = str(caught.value).split("\n")
    str(caught.value).encode()
    file, line, column, what = head.split(":", 3)
    assert file == "net.prototxt"
    assert caret.endswith("^")
    return f"{line}:{column}:{what}"


# ---- The whole of a net ----


@pytest.mark.thorough
@given(nets())
@settings(max_examples=200)
def test_a_net_reads_as_it_was_spelled(net_and_text: tuple[Any, str]) -> None:
    net, text = net_and_text
    assert regular(text, "NetParameter") == net


@pytest.mark.thorough
@given(nets())
@settings(max_examples=100)
def test_it_reads_as_protobuf_reads_it(net_and_text: tuple[Any, str]) -> None:
    _, text = net_and_text
    text = text.removeprefix("\ufeff")
    assert typed(text).message == text_format.Parse(text, schema.message_class("NetParameter")())


@pytest.mark.thorough
@given(prototxts())
@settings(max_examples=200)
def test_any_text_has_a_message_or_a_located_error(text: str) -> None:
    try:
        typed(text)
    except PrototxtError as error:
        assert str(error).startswith("net.prototxt:")
        str(error).encode()


# ---- Strings ----


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ('""', ""),
        ("'fc6'", "fc6"),
        ('"a" "b"', "ab"),
        ("'a'\"b\"\n\t'c'", "abc"),
        ('"it\'s" \'a "net"\'', 'it\'sa "net"'),
        ('"a" # \'no\' "part"\n "b"', "ab"),
        ('"# {"', "# {"),
        (r'"\a\b\f\n\r\t\v\\\'\"\?"', "\a\b\f\n\r\t\v\\'\"?"),
        (r'"\101\7\0411"', "A\a!1"),
        (r'"\x41\x4a\X4B\x9"', "AJK\t"),
        (r'"\303\251 \xc3\xa9"', "\u00e9 \u00e9"),
        (r'"\u00e9\U0001F600"', "\u00e9\U0001f600"),
        (r'"\\n"', r"\n"),
        ('"\u00e9\u4e16\u2028"', "\u00e9\u4e16\u2028"),
    ],
)
def test_strings(literal: str, expected: str) -> None:
    assert regular(f"name: {literal}", "NetParameter").name == expected


def test_bytes_fields_take_any_byte() -> None:
    assert regular(rb'data: "\377\x00" "' + b'\xfe"', "Datum").data == b"\xff\0\xfe"


@pytest.mark.parametrize("text", [rb'name: "\377"', b'name: "caf\xe9"', r'name: "\ud83d"', r'name: "\U00110000"'])
def test_a_name_must_be_text(text: str | bytes) -> None:
    assert failure(text) == "1:7: name: expected UTF-8 text; save the file as UTF-8"


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert regular(r'name: "\ud83d\ude00"', "NetParameter").name == "\U0001f600"


def test_a_text_that_is_no_unicode_is_refused() -> None:
    """Only a str can hold a lone surrogate; no file can."""
    assert failure('name: "\ud800"').startswith("1:7: name: expected UTF-8 text")


# ---- Numbers ----


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("0", 0),
        ("-0", 0),
        ("12", 12),
        ("-12", -12),
        ("- 12", -12),
        ("- # minus\n 12", -12),
        ("0x1F", 31),
        ("0Xff", 255),
        ("-0x10", -16),
        ("017", 15),
        ("00", 0),
        ("2147483647", 2**31 - 1),
        ("-2147483648", -(2**31)),
    ],
)
def test_whole_numbers(literal: str, expected: int) -> None:
    assert regular(f"dim: {literal}", "BlobShape").dim == [expected]
    assert regular(f"input_dim: {literal}", "NetParameter").input_dim == [expected]


@pytest.mark.parametrize(
    "literal", ["1.0", "1e3", "08", "0x", "0b1", "1_000", "1f", "true", "MAX", '"5"', "'", "inf", "x", "5x", "-x", "."]
)
def test_what_is_no_whole_number(literal: str) -> None:
    text = f"input_dim: {literal}\n"
    expected = f"input_dim: expected a whole number, found {literal}" if literal != "'" else "expected a closing '"
    assert failure(text).startswith(f"1:12: {expected}")


@pytest.mark.parametrize(
    ("message", "text", "limits"),
    [
        ("NetParameter", "input_dim: 2147483648", "-2147483648 to 2147483647"),
        ("NetParameter", "input_dim: -2147483649", "-2147483648 to 2147483647"),
        ("InnerProductParameter", "num_output: -1", "0 to 4294967295"),
        ("InnerProductParameter", "num_output: 4294967296", "0 to 4294967295"),
        ("InnerProductParameter", "num_output: 0x100000000", "0 to 4294967295"),
        ("BlobShape", "dim: 9223372036854775808", "-9223372036854775808 to 9223372036854775807"),
        ("BlobShape", "dim: [1, -9223372036854775809]", "-9223372036854775808 to 9223372036854775807"),
    ],
)
def test_numbers_out_of_range(message: str, text: str, limits: str) -> None:
    name, literal = text.split(": ")
    literal = literal.removeprefix("[1, ").removesuffix("]")
    assert failure(text, message) == f"1:{text.index(literal) + 1}: {name} must be from {limits}, found {literal}"


@pytest.mark.parametrize("digits", [25, 5_000, 100_000])
def test_endless_digits(digits: int) -> None:
    assert len(failure("input_dim: " + "1" * digits)) < 200
    assert regular("std: 0." + "0" * 9 + "1" * digits, "FillerParameter").std < 2e-10
    assert regular("std: " + "1" * digits, "FillerParameter").std >= 1e24


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("5", 5.0),
        ("-5", -5.0),
        ("- 0.5", -0.5),
        ("1e2", 100.0),
        ("1.E+2", 100.0),
        ("25e-2", 0.25),
        ("0.5f", 0.5),
        ("5F", 5.0),
        ("1e2f", 100.0),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("Infinity", math.inf),
        ("1e999", math.inf),
        ("1e39", math.inf),
    ],
)
def test_real_numbers(literal: str, expected: float) -> None:
    assert regular(f"std: {literal}", "FillerParameter").std == expected


@pytest.mark.parametrize("literal", ["nan", "NaN", "-nan"])
def test_not_a_number(literal: str) -> None:
    assert math.isnan(regular(f"std: {literal}", "FillerParameter").std)


@pytest.mark.parametrize("literal", [".", "1..2", "1e", "e5", "1.5.2", "true", '"1"', "0x1p3", "1f5", "--1"])
def test_what_is_no_real_number(literal: str) -> None:
    assert failure(f"std: {literal}", "FillerParameter").startswith(("1:6: std: expected a number, found", "1:7: exp"))


@pytest.mark.parametrize(
    ("literal", "expected"),
    [*((word, True) for word in ("true", "True", "t", "1", "0x1")), *((word, False) for word in ("false", "f", "0"))],
)
def test_truth_values(literal: str, expected: bool) -> None:
    assert regular(f"bias_term: {literal}", "InnerProductParameter").bias_term is expected


@pytest.mark.parametrize(("literal", "expected"), [("0x10", 16.0), ("-0X1F", -31.0), ("010", 10.0)])
def test_a_real_number_that_is_not_decimal_is_read_and_irregular(literal: str, expected: float) -> None:
    result = typed(f"std: {literal}", "FillerParameter")
    assert result.message.std == expected
    assert result.irregular == (("std", 5),)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (r"a\n\t\\z\"", True),
        (r"\x4a\101\u00e9\U0010FFFF", True),
        (r"r\\z", True),
        (r"r\\\z", False),
        (r"\x", False),
        (r"\u00e", False),
        (r"\8", False),
    ],
)
def test_escapes_that_stand_for_nothing_are_read_and_irregular(text: str, known: bool) -> None:
    assert typed(f'name: "{text}"', "NetParameter").irregular == (() if known else (("name", 6),))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (r"\n", "\n"),
        (r"\a\b\f\r\t\v\\\'\"", "\a\b\f\r\t\v\\'\""),
        (r"\?", "?"),
        (r"\?é\?x", "?é?x"),
        (r"\101\x42\7z\0", "AB\a" + "z\0"),
        (r"\x9\X41", "\tA"),
        (r"\303\251\xc3\xA9é", "ééé"),
        (r"\u00e9\U0001F600\ud83d\ude00", "é😀😀"),
        (r"\n\?\\\?\n\x4\u0041", "\n?\\?\n\x04A"),
    ],
)
@pytest.mark.parametrize("count", [1, 2500], ids=["short", "long"])
def test_escapes_are_read_alone_and_in_long_runs(written: str, value: str, count: int) -> None:
    result = typed(f'name: "{written * count}" layer {{ name: "l" }}', "NetParameter")
    assert result.message.name == value * count
    assert result.irregular == ()
    assert result.message.layer[0].name == "l"


def test_a_required_field_must_be_there() -> None:
    assert typed("clip_param { min: 0 max: 6 }", "LayerParameter").irregular == ()
    with pytest.raises(PrototxtError, match=r"1:1: clip_param.max is missing, but is required"):
        typed("clip_param { min: 0 }", "LayerParameter")
    with pytest.raises(PrototxtError, match=r"1:9: layer.clip_param.min is missing"):
        typed("layer { clip_param: < max: 1 > }", "NetParameter")


def test_a_truth_value_in_capitals_is_read_and_irregular() -> None:
    result = typed("force_backward: TRUE")
    assert result.message.force_backward is True
    assert result.irregular == (("force_backward", 16),)


@pytest.mark.parametrize("literal", ["yes", "2", "-1", '"true"', "1.0", "on"])
def test_what_is_no_truth_value(literal: str) -> None:
    assert failure(f"force_backward: {literal}") == f"1:17: force_backward: expected true or false, found {literal}"


# ---- Enumerators ----


@pytest.mark.parametrize("literal", ["AVE", "1", "0x1"])
def test_enumerators_by_name_and_by_number(literal: str) -> None:
    assert regular(f"pool: {literal}", "PoolingParameter").pool == 1


@pytest.mark.parametrize("literal", ['"AVE"', "'AVE'"])
def test_enumerators_in_quotes_are_read_and_irregular(literal: str) -> None:
    result = typed(f"layer {{ pooling_param {{ pool: {literal} }} }}")
    assert result.message.layer[0].pooling_param.pool == 1
    assert result.irregular == (("layer.pooling_param.pool", 30),)
    assert result.unknown == ()


@pytest.mark.parametrize("literal", ["AVERAGE", "ave", "7", "-1", "4294967296"])
def test_enumerators_of_forks_are_left_out_and_listed(literal: str) -> None:
    result = typed(f"layer {{ pooling_param {{ pool: {literal} kernel_size: 2 }} }}")
    assert not result.message.layer[0].pooling_param.HasField("pool")
    assert result.message.layer[0].pooling_param.kernel_size == 2
    assert result.unknown == ((f"layer.pooling_param.pool: {literal}", 30),)


@pytest.mark.parametrize("literal", ["1.5", "-MAX", "0x", "1e0"])
def test_what_is_no_enumerator(literal: str) -> None:
    assert failure(f"pool: {literal}", "PoolingParameter").startswith("1:7: pool: expected ")


# ---- Unquoted strings ----


@pytest.mark.parametrize("literal", ["InnerProduct", "conv1_1", "a.b-c", "true", "inf"])
def test_strings_without_quotes_are_read_and_irregular(literal: str) -> None:
    result = typed(f"layer {{ type: {literal} }}")
    assert result.message.layer[0].type == literal
    assert result.irregular == (("layer.type", 14),)


@pytest.mark.parametrize("literal", ["5", "-5", "0.5", "-x"])
def test_a_number_is_no_string(literal: str) -> None:
    assert failure(f"name: {literal}") == f"1:7: name: expected a string in quotes, found {literal}"


# ---- Fields ----


def test_unknown_fields_are_left_out_and_listed_in_order() -> None:
    text = "colour: RED\nlayer {\n  fork_param { a: 1 }\n  name: 'x'\n  pooling_param { b: 2 }\n}\n[of.a.fork]: 1\n"
    result = typed(text)
    assert text_format.MessageToString(result.message, as_one_line=True) == 'layer { name: "x" pooling_param { } }'
    assert result.unknown == (
        ("colour", 0),
        ("layer.fork_param", text.index("fork_param")),
        ("layer.pooling_param.b", text.index("b: 2")),
        ("[of.a.fork]", text.index("[of")),
    )


def test_names_are_exact() -> None:
    assert [path for path, _ in typed("Name: 'x' Layer {} name.x: 1").unknown] == ["Name", "Layer", "name.x"]


def test_repeated_fields_gather_what_is_said_anywhere() -> None:
    net = regular(
        "input: 'a' input_dim: [1, 2] layer {} input: 'b' input_dim: 3 input_dim: [] layer {}", "NetParameter"
    )
    assert (net.input, net.input_dim, len(net.layer)) == (["a", "b"], [1, 2, 3], 2)


def test_lists_of_messages() -> None:
    net = regular("layer [{ name: 'a' }, < name: 'b' >]", "NetParameter")
    assert [layer.name for layer in net.layer] == ["a", "b"]


def test_an_empty_message_is_present() -> None:
    assert regular("layer { pooling_param {} }", "NetParameter").layer[0].HasField("pooling_param")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layer: 1", "1:8: layer is a message: expected '{', found a value"),
        ("layer: [{}, 1]", "1:13: layer is a message: expected '{', found a value"),
        ("state: 'x'", "1:8: state is a message: expected '{', found a value"),
        ("name { a: 1 }", "1:6: name is a single value, found a message in braces"),
        ("input_dim: [1, {}]", "1:16: input_dim is a single value, found a message in braces"),
        ("name: ['x', 'y']", "1:1: name takes one value, found a list"),
        ("name: []", "1:1: name takes one value, found a list"),
        ("layer { pooling_param: [{}] }", "1:9: layer.pooling_param takes one value, found a list"),
    ],
)
def test_a_message_is_no_value_and_a_list_is_not_one_value(text: str, expected: str) -> None:
    assert failure(text) == expected


def test_a_field_given_twice_with_one_meaning_is_irregular() -> None:
    result = typed(
        "name: 'x'\nlayer { pooling_param { pool: MAX pool: 0 kernel_size: 2 kernel_size: 0x2 } }\nname: \"x\""
    )
    assert result.message.name == "x"
    assert [path for path, _ in result.irregular] == [
        "layer.pooling_param.pool",
        "layer.pooling_param.kernel_size",
        "name",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "name: 'x'\nname: 'y'",
        "state { phase: TEST }\nstate { phase: TRAIN }",
        "state { phase: TEST }\nstate { phase: TEST }",
        "name: ''\nname: 'x'",
        "force_backward: false\nforce_backward: true",
    ],
)
def test_a_field_given_twice_with_two_meanings_is_refused(text: str) -> None:
    name = text.split(maxsplit=1)[0].rstrip(":")
    assert failure(text) == f"2:1: {name} is given twice, but takes one value; remove one"


@pytest.mark.parametrize("text", ["pool: AVE\npool: FOO", "pool: FOO\npool: AVE", "pool: FOO\npool: MAX"])
def test_an_unknown_enumerator_does_not_agree_with_a_known_one(text: str) -> None:
    assert failure(text, "PoolingParameter") == "2:1: pool is given twice, but takes one value; remove one"


# ---- The form of an error ----


@pytest.mark.parametrize("literal", ['"a"\n  "b"', "'a' # c\n'b'", '"\x1b[31m"', '"' + "x" * 100_000 + '"', "x" * 1000])
def test_an_error_stays_on_its_line(literal: str) -> None:
    found = failure(f"layer {{\n  loss_weight: {literal}\n}}")
    assert found.startswith("2:16: layer.loss_weight: expected a number, found ")
    assert len(found) < 200
    assert "\x1b" not in found


def test_bytes_that_are_no_text_can_be_printed_in_an_error() -> None:
    assert failure(b'input_dim: "\xff"').startswith("1:12: input_dim: expected a whole number, found ")


@pytest.mark.thorough
@given(st.sampled_from(["name", "layer", "input_dim", "force_backward", "state", "colour"]), st.data())
@settings(max_examples=200)
def test_any_value_for_any_field_is_read_or_refused(name: str, data: st.DataObject) -> None:
    value = data.draw(st.text(st.sampled_from([*"ab01-.xeEfF\"'\\#\n {}[],<>", "\udcff", "\u00e9"]), max_size=12))
    try:
        typed(f"{name}: {value}".encode("utf-8", "surrogateescape"))
    except PrototxtError as error:
        str(error).encode()
        assert str(error).count("\n") == 2
