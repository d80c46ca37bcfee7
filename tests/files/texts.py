"""Random prototxts for the tests of the text side: texts by grammar, nets by schema, and small changes of nets.

A net is a random message of the schema, spelled in one of the many ways that the text format allows:
that gives a text together with what it must read as. Everything draws from one `Random`, so that
hypothesis can replay and shrink it.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

from caffe_fcn import schema
from caffe_fcn.files.prototxt import Block, Document, Field, Scalar, TextEdit, parse
from caffe_fcn.files.textmessage import to_message
from caffe_fcn.schema import OLD, is_repeated, is_required

NAMES = ["layer", "name", "a", "_x9", "inf", "top", "E"]
WORDS = ["MAX", "true", "inf", "nan", "-inf", "x.y-z", "lmdb"]
NUMBERS = ["0", "1", "-1", "0x1F", "017", "1.5", ".5", "5.", "1e-5", "1E+5f", "-0.25F", "- 3", "1_000"]
STRINGS = [
    *('""', "''", '"a"', "'a'", '"#"', "'{'", r'"\""', r"'\''", r'"\\"', '"it\'s"', "'\"'", '"\u00e9\u2028"'),
    *(r'"\x41\101\u00e9"', '"\udcff"', '"}"'),
]
COMMENTS = ["#", "# a comment", "#{ it's \"", "# caf\udce9", "#\t# \u2028 twice", "# }"]
SPACES = ["", " ", "\t", "  ", "\n", "\r\n", "\n\n\t", " \r\n  ", "\v\f"]


def read(text: str | bytes | Document) -> Any:
    """What TEXT reads as: a NetParameter."""
    return to_message(text if isinstance(text, Document) else parse(text), schema.message_class("NetParameter")).message


def splice(text: str, edits: Sequence[TextEdit]) -> str:
    """TEXT after EDITS that lie in order and apart, from the last to the first."""
    for edit in reversed(edits):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


# ---- Texts by grammar ----


def randoms() -> st.SearchStrategy[Random]:
    """A source of chance that hypothesis controls."""
    return st.randoms(use_true_random=False)


@st.composite
def prototxts(draw: st.DrawFn) -> str:
    """A text that follows the grammar, of fields that no schema need know; bytes that are not UTF-8 as surrogates."""
    random = draw(randoms())
    start = random.choice(["", "\ufeff"])
    return start + _gap(random) + _fields(random, 4) + _gap(random) + random.choice(["", "# the end"])


def _gap(random: Random, least: str = "") -> str:
    """White space and comments between two tokens; LEAST if they would otherwise join."""
    gap = random.choice(SPACES)
    if random.random() < 0.2:
        gap += random.choice(COMMENTS) + random.choice(["\n", "\r\n"]) + random.choice(SPACES)
    return gap or least


def _fields(random: Random, depth: int) -> str:
    return "".join(_field(random, depth) for _ in range(random.randrange(4)))


def _field(random: Random, depth: int) -> str:
    name = random.choice(NAMES)
    kind = random.random()
    if kind < 0.5 or depth == 0:
        value = _gap(random) + ":" + _gap(random) + _scalar(random)
    elif kind < 0.6:
        values = (_gap(random) + _scalar(random) + _gap(random) for _ in range(random.randrange(4)))
        value = random.choice(["", " "]) + ":" + _gap(random) + "[" + ",".join(values) + "]"
    elif kind < 0.65:
        values = (_gap(random) + _block(random, depth) + _gap(random) for _ in range(random.randrange(3)))
        value = random.choice(["", " ", ":"]) + "[" + ",".join(values) + "]"
    else:
        value = _gap(random) + random.choice(["", ":" + _gap(random)]) + _block(random, depth)
    separator = random.choice(["", "", ";", ",", " ;", "\n,"])
    return name + value + separator + _gap(random, " ")


def _block(random: Random, depth: int) -> str:
    opening, closing = random.choice([("{", "}"), ("<", ">")])
    return opening + _gap(random) + _fields(random, depth - 1) + closing


def _scalar(random: Random) -> str:
    if random.random() < 0.4:
        return _gap(random).join(random.choices(STRINGS, k=random.choice([1, 1, 2, 3])))
    return random.choice(NUMBERS + WORDS)


# ---- Nets by schema ----

LETTERS = ["a", "b", "fc6", "-", " ", "'", '"', "\\", "#", "{", "\n", "\u00e9", "\u2028", "\x85", "\x7f", "\x01", "5"]
REALS = [0.0, 1.0, -2.5, 0.10000000149011612, 9.999999747378752e-06, 3e10, 16777216.0, float("inf"), float("-inf")]
INTEGERS = [0, 1, 2, 7, 10, 255, 2**31 - 1]
AT_THE_TOP = ["name", "input", "input_dim", "input_shape", "force_backward", "state", "layer"]


@st.composite
def nets(draw: st.DrawFn) -> tuple[Any, str]:
    """A random NetParameter and a text that spells it, in a random style and with a comment here and there."""
    random = draw(randoms())
    net = schema.message_class("NetParameter")()
    for name in AT_THE_TOP:
        if name == "layer" or random.random() < 0.25:
            put(random, net, net.DESCRIPTOR.fields_by_name[name])
    return net, Speller(random).net(net)


def put(random: Random, message: Any, field: FieldDescriptor, depth: int = 3) -> None:
    """Give MESSAGE a random value of FIELD; if that is repeated, one to three more values."""
    for _ in range(random.choice([1, 1, 2, 3]) if is_repeated(field) else 1):
        slot = getattr(message, field.name)
        if field.message_type is not None:
            target = slot.add() if is_repeated(field) else slot
            target.SetInParent()
            for inner in some_fields(random, field.message_type, depth):
                put(random, target, inner, depth - 1)
        elif is_repeated(field):
            slot.append(any_value(random, field))
        else:
            setattr(message, field.name, any_value(random, field))


def some_fields(random: Random, descriptor: Any, depth: int) -> list[FieldDescriptor]:
    """Up to three fields of a message type and those that it must have, scalars only where no more DEPTH is left; never
    weights."""
    fields = [
        field
        for field in descriptor.fields
        if field.name != "blobs" and field.number < OLD and (depth > 0 or field.message_type is None)
    ]
    chosen = random.sample(fields, min(len(fields), random.randrange(4)))
    return chosen + [field for field in fields if is_required(field) and field not in chosen]


def any_value(random: Random, field: FieldDescriptor) -> Any:
    """A random value for a field that is not a message."""
    if field.enum_type is not None:
        return random.choice([value.number for value in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes(random.choices([0, 10, 34, 65, 255], k=random.randrange(4)))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "".join(random.choices(LETTERS, k=random.randrange(4)))
    choices: dict[int, list[Any]] = {
        FieldDescriptor.CPPTYPE_BOOL: [False, True],
        FieldDescriptor.CPPTYPE_FLOAT: REALS,
        FieldDescriptor.CPPTYPE_DOUBLE: REALS,
    }
    return random.choice(choices.get(field.cpp_type, INTEGERS))


class Speller:
    """Spells messages, each block in a way of its own; every comment is numbered, so that it can be found again."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.comments = 0
        self.newline = random.choice(["\n", "\n", "\r\n"])

    def net(self, net: Any) -> str:
        """NET as a whole file."""
        start = self.random.choice(["", "", "\ufeff"])
        end = self.random.choice([self.newline, self.newline, "", self.newline + "# the end"])
        lines = self.lines(net)
        return start + self.newline.join(lines) + (end if lines else "")

    def comment(self, often: float) -> str:
        """A comment, or none."""
        if self.random.random() >= often:
            return ""
        self.comments += 1
        return f"# comment {self.comments}"

    def lines(self, message: Any, indent: str = "") -> list[str]:
        """The fields of MESSAGE, each on a line of its own or several together."""
        lines: list[str] = []
        for spelled in self.fields(message, indent):
            if lines and self.random.random() < 0.1 and "#" not in lines[-1].rsplit("\n", 1)[-1]:
                lines[-1] += " " + spelled
            else:
                if comment := self.comment(0.15):
                    lines.append(indent + comment)
                lines.append(indent + spelled)
            if "#" not in lines[-1] and (comment := self.comment(0.15)):
                lines[-1] += "  " + comment
        return lines

    def fields(self, message: Any, indent: str) -> list[str]:
        """The fields of MESSAGE, those of other names in random order."""
        groups = [self.group(field, value, indent) for field, value in message.ListFields()]
        self.random.shuffle(groups)
        return [spelled for group in groups for spelled in group]

    def group(self, field: FieldDescriptor, value: Any, indent: str) -> list[str]:
        """All values of one field."""
        end = self.random.choice(["", "", "", ";", ",", " ;"])
        if field.message_type is None and is_repeated(field) and self.random.random() < 0.3:
            literals = self.random.choice([",", ", "]).join(spell(self.random, field, each) for each in value)
            return [f"{field.name}: [{literals}]{end}"]
        values = list(value) if is_repeated(field) else [value]
        return [self.field(field, each, indent) + end for each in values]

    def field(self, field: FieldDescriptor, value: Any, indent: str) -> str:
        """One value with its name."""
        if field.message_type is None:
            return f"{field.name}:{self.random.choice(['', ' ', '  '])}{spell(self.random, field, value)}"
        opening, closing = self.random.choice([("{", "}"), ("{", "}"), (": {", "}"), ("<", ">")])
        name = field.name + self.random.choice(["", " "]) + opening
        if self.random.random() < 0.3:
            inner = " ".join(self.fields(value, ""))
            return f"{name} {inner} {closing}" if "\n" not in inner else f"{name} {inner}{self.newline}{closing}"
        deeper = indent + self.random.choice(["  ", "\t", ""])
        head = name + (" " + comment if (comment := self.comment(0.1)) else "")
        last = [deeper + comment] if (comment := self.comment(0.1)) else []
        return self.newline.join([head, *self.lines(value, deeper), *last, indent + closing])


def spell(random: Random, field: FieldDescriptor, value: Any) -> str:
    """A literal that reads as VALUE."""
    if field.enum_type is not None:
        return random.choice([field.enum_type.values_by_number[value].name, str(value)])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return random.choice(["true", "1", "t"] if value else ["false", "0", "f"])
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return random.choice([repr(value), repr(value).upper()])
    if field.cpp_type != FieldDescriptor.CPPTYPE_STRING:
        return random.choice([str(value), hex(value), f"0{value:o}"])
    data = value if isinstance(value, bytes) else value.encode()
    quote = random.choice("\"'")
    return quote + "".join(_spell_byte(random, byte, quote) for byte in data) + quote


def _spell_byte(random: Random, byte: int, quote: str) -> str:
    if 32 <= byte < 127 and chr(byte) not in f"\\{quote}":
        return chr(byte)
    return f"\\{chr(byte)}" if chr(byte) in "\\'\"" else random.choice([f"\\{byte:03o}", f"\\x{byte:02x}"])


# ---- Small changes of nets ----


def change(random: Random, message: Any, depth: int = 4) -> None:
    """Change one thing in MESSAGE or below it: set, add or drop a value, clear a field. Layers keep their number."""
    below = [value for field, value in message.ListFields() if field.message_type is not None]
    inner = [each for value in below for each in (value if hasattr(value, "add") else [value])]
    if inner and depth > 0 and random.random() < 0.7:
        change(random, random.choice(inner), depth - 1)
        return
    present = [field for field, _ in message.ListFields() if field.name != "layer" and not is_required(field)]
    if present and random.random() < 0.6:
        field = random.choice(present)
        if is_repeated(field) and random.random() < 0.6:
            values = getattr(message, field.name)
            del values[random.randrange(len(values))]
        else:
            message.ClearField(field.name)
        if random.random() < 0.6:
            put(random, message, field, 1)
        return
    for field in some_fields(random, message.DESCRIPTOR, 1):
        if field.name not in ("layer", "layers"):
            put(random, message, field, 1)


def change_layers(random: Random, net: Any) -> list[int | None]:
    """Drop, copy and insert layers of NET; for each layer it has then, the index it had before, None if new."""
    origins: list[int | None] = list(range(len(net.layer)))
    for _ in range(random.randrange(3)):
        at = random.randrange(len(origins) + 1)
        kind = random.choice(["drop", "copy", "insert"])
        if kind == "drop" and at < len(origins):
            del net.layer[at], origins[at]
        elif kind == "copy" and at < len(origins):
            net.layer.insert(at + 1, net.layer[at])
            origins.insert(at + 1, None)
        elif kind == "insert":
            net.layer.insert(at, schema.message_class("LayerParameter")(name="new", type="ReLU", top=["x"]))
            origins.insert(at, None)
    return origins


# ---- Edits ----


def text_edits(random: Random, text: str) -> list[TextEdit]:
    """Random edits of any TEXT, in order and apart."""
    starts = sorted(random.sample(range(len(text) + 1), random.randrange(1, min(len(text), 6) + 1)))
    pieces = ["", "", "x", "new line\n", "\n", "one\ntwo\n", "\r\n", "y: 1"]
    edits = []
    for start, limit in zip(starts, [*starts[1:], len(text)], strict=True):
        edits.append(
            TextEdit(start, random.choice([start, limit, random.randint(start, limit)]), random.choice(pieces))
        )
    return edits


def tree_edits(random: Random, block: Block) -> list[TextEdit]:
    """Edits that leave a document readable: values replaced, fields replaced, fields put in front of others."""
    edits: list[TextEdit] = []
    for field in block.fields:
        kind = random.random()
        if kind < 0.2:
            edits.append(TextEdit(field.start, field.start, "new: 1 # inserted\n"))
        elif kind < 0.4:
            edits.append(TextEdit(field.start, field.end, 'other { name: "x" }'))
        else:
            edits += _inner_edits(random, field)
    return edits


def _inner_edits(random: Random, field: Field) -> list[TextEdit]:
    edits: list[TextEdit] = []
    for value in field.values:
        if isinstance(value, Scalar):
            if random.random() < 0.5:
                edits.append(TextEdit(value.start, value.end, random.choice(["7", '"s"', "WORD"])))
        else:
            edits += tree_edits(random, value)
    return edits
