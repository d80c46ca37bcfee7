"""The lossless document: every byte kept, every decision of the grammar, edits, and errors that show the place."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.errors import PrototxtError
from caffe_fcn.files.prototxt import MAX_DEPTH, Block, Document, Scalar, TextEdit, comments, decode, parse, read
from tests.files.texts import prototxts, randoms, splice, tree_edits

PLACE = re.compile(r"net\.prototxt:(\d+):(\d+): (.*)")


def tree(text: str) -> list[tuple[str, object]]:
    """The tree of TEXT as names and literals."""

    def of(block: Block) -> list[tuple[str, object]]:
        return [(field.name, [value(each) for each in field.values]) for field in block.fields]

    def value(node: Scalar | Block) -> object:
        return document.text[node.start : node.end] if isinstance(node, Scalar) else of(node)

    document = parse(text)
    return of(document.root)


def failure(text: str | bytes) -> tuple[int, int, str, str, str]:
    """Line, column, message, the line shown and the line of the caret of the error that TEXT gives."""
    with pytest.raises(PrototxtError) as caught:
        parse(text, "net.prototxt")
    head, shown, caret = str(caught.value).split("\n")
    place = PLACE.fullmatch(head)
    assert place is not None, head
    assert shown.startswith("  ")
    assert caret.startswith("  ")
    return int(place[1]), int(place[2]), place[3], shown[2:], caret[2:]


# ---- Lossless ----


@pytest.mark.thorough
@given(prototxts())
@settings(max_examples=200)
def test_what_is_read_is_what_is_written(text: str) -> None:
    document = parse(text)
    assert str(document) == text
    assert bytes(document) == text.encode("utf-8", "surrogateescape")
    assert bytes(parse(bytes(document))) == bytes(document)
    assert str(document.with_edits([])) == text


@pytest.mark.thorough
@given(st.binary(max_size=200).filter(lambda data: b"\0" not in data))
@settings(max_examples=200)
def test_any_bytes_in_a_comment_survive(data: bytes) -> None:
    data = b"name: 'x' # " + data.replace(b"\n", b"\n#") + b"\n"
    assert bytes(parse(data)) == data


@pytest.mark.thorough
@given(prototxts())
@settings(max_examples=100)
def test_every_node_points_at_what_it_is(text: str) -> None:
    document = parse(text)

    def check(block: Block) -> None:
        done = block.start
        for field in block.fields:
            assert done <= field.start < field.end <= block.end
            assert text[field.start :].startswith(field.name)
            assert field.listed == (text[field.end - 1] == "]")
            done = field.start + len(field.name)
            for value in field.values:
                assert done <= value.start < value.end <= field.end
                if isinstance(value, Block):
                    assert text[value.start] + text[value.end - 1] in ("{}", "<>")
                    check(value)
                else:
                    assert text[value.start : value.end].strip(" \t\r\n{}<>[],;:")
                done = value.end
            done = field.end

    check(document.root)


def test_a_file_is_read_as_bytes(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbfname: "x"\r\n# caf\xe9\r\n'
    path = tmp_path / "net.prototxt"
    path.write_bytes(data)
    document = read(path)
    assert bytes(document) == data
    assert document.name == str(path)


@pytest.mark.parametrize("text", ["", "\ufeff", "\n", "# only a comment", " \t\r\n"])
def test_a_file_without_fields_is_a_document(text: str) -> None:
    document = parse(text)
    assert document.root.fields == []
    assert str(document) == text


# ---- Grammar ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1", [("a", ["1"])]),
        ("a:1", [("a", ["1"])]),
        ("a :\n 1", [("a", ["1"])]),
        ("a { b: 1 }", [("a", [[("b", ["1"])]])]),
        ("a: { b: 1 }", [("a", [[("b", ["1"])]])]),
        ("a{b{}}", [("a", [[("b", [[]])]])]),
        ("a < b: 1 >", [("a", [[("b", ["1"])]])]),
        ("a: < b { c: 1 } >", [("a", [[("b", [[("c", ["1"])]])]])]),
        ("a: 1; b: 2, c: 3", [("a", ["1"]), ("b", ["2"]), ("c", ["3"])]),
        ("a {}; b {}, c: 1\n; d: 2", [("a", [[]]), ("b", [[]]), ("c", ["1"]), ("d", ["2"])]),
        ("a: 1 b: 2", [("a", ["1"]), ("b", ["2"])]),
        ('a: "x"b: 2', [("a", ['"x"']), ("b", ["2"])]),
        ("a: [1, 2 ,3]", [("a", ["1", "2", "3"])]),
        ("a: []", [("a", [])]),
        ("a [{ b: 1 }, < c: 2 >]", [("a", [[("b", ["1"])], [("c", ["2"])]])]),
        ("a: 'x' \"y\"", [("a", ["'x' \"y\""])]),
        ('a: "x" # c\n "y"', [("a", ['"x" # c\n "y"'])]),
        (r'a: "\"" b: "\\" c: "\n"', [("a", [r'"\""']), ("b", [r'"\\"']), ("c", [r'"\n"'])]),
        ("a: \"# no comment, 'nor' { an end }\"", [("a", ["\"# no comment, 'nor' { an end }\""])]),
        ("a: -1 b: - 1 c: -inf", [("a", ["-1"]), ("b", ["- 1"]), ("c", ["-inf"])]),
        ("a: 1e-5 b: 1E+5f c: .5 d: 5.", [("a", ["1e-5"]), ("b", ["1E+5f"]), ("c", [".5"]), ("d", ["5."])]),
        ("a: 0x1F b: 017", [("a", ["0x1F"]), ("b", ["017"])]),
        ("a: MAX # c }\nb: x.y-z", [("a", ["MAX"]), ("b", ["x.y-z"])]),
        ("\ufeffa: 1", [("a", ["1"])]),
        ("[of.a.fork]: 1 [other] { b: 2 }", [("[of.a.fork]", ["1"]), ("[other]", [[("b", ["2"])]])]),
    ],
)
def test_what_is_accepted(text: str, expected: list[tuple[str, object]]) -> None:
    assert tree(text) == expected


def test_the_separator_is_not_part_of_a_field() -> None:
    first, second = parse("a: 1; b {} ,").root.fields
    assert (first.start, first.end) == (0, 4)
    assert (second.start, second.end) == (6, 10)


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("a {\n  b: 1\n", 3, 1, r"expected '}' for the one opened at 1:3, found the end of the file"),
        ("a <\n  b: 1\n", 3, 1, r"expected '>' for the one opened at 1:3, found the end of the file"),
        ("a: 1\n}", 2, 1, r"found '}', but no message or list is open here"),
        ("a {}\n  >", 2, 3, r"found '>', but no message or list is open here"),
        ("a { b: 1 >", 1, 10, r"expected '}', found '>'"),
        ("a < b: 1 }", 1, 10, r"expected '>', found '}'"),
        ("a", 1, 2, r"expected ':' or '{' after 'a', found the end of the file"),
        ("a b: 1", 1, 3, r"expected ':' or '{' after 'a', found 'b'"),
        ("a:", 1, 3, r"expected a value, found the end of the file"),
        ("a { b: }", 1, 8, r"expected a value, found '}'"),
        ("a: : 1", 1, 4, r"expected a value, found ':'"),
        ("a: --1", 1, 5, r"expected a value, found '-'"),
        ("a: -'x'", 1, 5, "expected a value, found \"'x'\""),
        ("a: 1;; b: 2", 1, 6, r"expected a field name, found ';'"),
        ("a: 1 2", 1, 6, r"expected a field name, found '2'"),
        ("a: 1-2", 1, 5, r"expected a field name, found '-'"),
        (": 1", 1, 1, r"expected a field name, found ':'"),
        ('"a": 1', 1, 1, r"""expected a field name, found '"a"'"""),
        ("a: [1 2]", 1, 7, r"expected ',' or ']' in a list, found '2'"),
        ("a: [1, 2", 1, 9, r"expected ',' or ']' in a list, found the end of the file"),
        ("a: [[1]]", 1, 5, r"expected a value, found '['"),
        ("[a.b", 1, 1, r"expected ']', found the end of the file"),
        ('a: "x\nb: 1', 1, 4, r'expected a closing " on the same line'),
        ("a: 'x", 1, 4, r"expected a closing ' on the same line"),
        ('a: "x\\"', 1, 4, r'expected a closing " on the same line'),
        ("a: 1\nb = 2", 2, 3, r"expected a field or a value, found '='"),
        ("// a: 1", 1, 1, r"expected a field or a value, found '/'"),
        ("a: 1 \ufeff", 1, 6, r"expected a field or a value, found '\ufeff'"),
        ("a: \u00a01", 1, 4, r"expected a field or a value, found '\xa0'"),
        ("a: 1 \0", 1, 6, r"expected a field or a value, found '\x00'"),
    ],
)
def test_what_is_refused_and_where(text: str, line: int, column: int, expected: str) -> None:
    assert failure(text)[:3] == (line, column, expected)


@pytest.mark.parametrize(
    ("text", "column", "hint"),
    [
        ("num_output: ${NUM_OUTPUT}", 13, "placeholder"),
        ("num_output: $NUM_OUTPUT", 13, "placeholder"),
        ("num_output: {{ classes }}", 14, "placeholder"),
        ("num_output: %(classes)d", 13, "placeholder"),
        ("num_output: @CLASSES@", 13, "placeholder"),
        ("{{ layers }}", 1, "placeholder"),
        ("{% for layer in layers %}", 1, "placeholder"),
        ("num_output: <CLASSES>", 21, "expected ':' or '{' after 'CLASSES'"),
    ],
)
def test_a_templates_placeholder_is_called_one(text: str, column: int, hint: str) -> None:
    line, found, message, shown, _ = failure(f'name: "x"\n{text}\n')
    assert (line, found) == (2, column)
    assert hint in message
    assert shown == text


@pytest.mark.parametrize(("opening", "closing"), [("a{", "}"), ("a:<", ">"), ("a[{", "}]")])
def test_nesting_has_a_limit(opening: str, closing: str) -> None:
    deepest = opening * MAX_DEPTH + closing * MAX_DEPTH
    assert str(parse(deepest)) == deepest
    assert f"expected at most {MAX_DEPTH} nested levels" in failure(opening + deepest + closing)[2]


@pytest.mark.parametrize("data", [b"\x0a\x05Alex\0\x12", b"\x89HDF\r\n\x1a\n\0\0", b"\0"])
def test_a_binary_file_is_called_one(data: bytes) -> None:
    with pytest.raises(PrototxtError, match=r"^net\.prototxt: expected a prototxt \(text\), found a binary file; .*"):
        parse(data, "net.prototxt")


def test_bytes_that_are_not_utf8_become_surrogates() -> None:
    assert decode(b"# caf\xe9", "x") == "# caf\udce9"


# ---- The form of an error ----


def test_an_error_shows_the_line_and_a_caret() -> None:
    with pytest.raises(PrototxtError) as caught:
        parse('name: "net"\nlayer {\n  type = "ReLU"\n}\n', "dir/net.prototxt")
    assert str(caught.value) == (
        "dir/net.prototxt:3:8: expected a field or a value, found '='\n    type = \"ReLU\"\n         ^"
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "shown", "margin"),
    [
        ("\t\ta\t= 1", 1, 5, "  a = 1", "    "),
        ("\ufeffa = 1", 1, 3, "a = 1", "  "),
        ("\ufeff# c\r\n a = 1\r\n", 2, 4, " a = 1", "   "),
        ("a: 1\r\nb = 2\r\n", 2, 3, "b = 2", "  "),
        ('a: "\u00e9\u4e16" = ', 1, 9, 'a: "\u00e9\u4e16" = ', " " * 8),
        ("a {\r\n", 2, 1, "", ""),
        ("=", 1, 1, "=", ""),
    ],
)
def test_the_caret_stands_under_the_column(text: str, line: int, column: int, shown: str, margin: str) -> None:
    found = failure(text)
    assert found[:2] == (line, column)
    assert found[3:] == (shown, f"{margin}^")


def test_bytes_that_are_not_utf8_are_shown_as_question_marks() -> None:
    assert failure(b'a: "\xff\xfe" = 1')[3:] == ('a: "??" = 1', " " * 8 + "^")


@pytest.mark.thorough
@pytest.mark.parametrize("before", [0, 10, 59, 60, 61, 300, 100_000])
@pytest.mark.parametrize("after", [0, 30, 300])
def test_a_long_line_is_shown_around_the_caret(before: int, after: int) -> None:
    line = "a: 1 " * (before // 5) + " " * (before % 5) + "=" + "b" * after
    _, column, _, shown, caret = failure(line)
    assert column == before + 1
    assert len(shown) <= 120
    assert shown in line
    assert shown[len(caret) - 1] == "="


@pytest.mark.parametrize("text", ["x" * 100_000, "a: " + "x" * 100_000 + " =", "[" + "x" * 100_000 + "] 1"])
def test_an_error_is_short_however_long_the_token(text: str) -> None:
    assert sum(map(len, failure(text)[2:])) < 500


@pytest.mark.parametrize("char", ["\x1b", "\x07", "\b", "\x0b", "\x0c", "\r", "\x7f", "\x85", "\x9b"])
def test_control_characters_never_reach_a_terminal(char: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        parse(f"# {char}[31m\na: '{char}' = {char}", "net.prototxt")
    assert char not in str(caught.value)


# ---- Edits ----


@pytest.mark.thorough
@given(prototxts(), randoms())
@settings(max_examples=200)
def test_edits_change_what_they_name_and_nothing_else(text: str, random: Random) -> None:
    document = parse(text)
    edits = tree_edits(random, document.root)
    expected = splice(text, edits)
    random.shuffle(edits)
    assert str(document.with_edits(edits)) == expected
    assert str(document) == text


def test_edits_at_one_place_apply_in_the_order_given() -> None:
    document = parse("a: 1\n")
    edits = [TextEdit(5, 5, "b: 2\n"), TextEdit(5, 5, "c: 3\n"), TextEdit(0, 4, "z: 0")]
    assert str(document.with_edits(edits)) == "z: 0\nb: 2\nc: 3\n"


def test_an_edit_may_begin_where_another_ends() -> None:
    assert str(parse("a: 1 b: 2").with_edits([TextEdit(5, 9, "d: 4"), TextEdit(0, 5, "c: 3, ")])) == "c: 3, d: 4"


@pytest.mark.parametrize(
    "edits", [[TextEdit(0, 4, "b: 1"), TextEdit(3, 4, "2")], [TextEdit(0, 4, "b: 1"), TextEdit(1, 1, "x")]]
)
def test_edits_must_not_overlap(edits: list[TextEdit]) -> None:
    with pytest.raises(ValueError, match=r"edits overlap at offset \d+ of net"):
        parse("a: 1", "net").with_edits(edits)


def test_the_edited_document_keeps_the_name_and_is_parsed() -> None:
    document = parse("a: 1", "net.prototxt").with_edits([TextEdit(4, 4, "\nb: 2")])
    assert document.name == "net.prototxt"
    assert [field.name for field in document.root.fields] == ["a", "b"]
    with pytest.raises(PrototxtError, match=r"net\.prototxt:1:4"):
        document.with_edits([TextEdit(3, 4, "}")])


# ---- Places ----


@pytest.mark.thorough
@given(prototxts(), randoms())
@settings(max_examples=100)
def test_positions_count_lines_and_columns_from_one(text: str, random: Random) -> None:
    offset = random.randrange(len(text) + 1)
    before = text[:offset]
    assert Document(text).position(offset) == (before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def test_line_endings_are_found_line_by_line() -> None:
    document = parse("a: 1\r\nb: 2\nc: 3\r\nd: 4")
    assert [document.newline_at(document.text.index(letter)) for letter in "abcd"] == ["\r\n", "\n", "\r\n", "\r\n"]
    assert parse("a: 1").newline_at(0) == "\n"
    assert parse("").newline_at(0) == "\n"


def test_comments_between_two_places() -> None:
    text = 'a: "# no" # one\n  # two \r\nb { # three\n} # four'
    assert list(comments(text, 0, len(text))) == ["# one", "# two", "# three", "# four"]
    assert list(comments(text, text.index("b"), text.index("}"))) == ["# three"]
