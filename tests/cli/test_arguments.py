"""`@FILE` on the command line: the words in the file stand in its place."""

from __future__ import annotations

import os
import shlex

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffe_fcn.cli.arguments import expanded
from caffe_fcn.cli.options import scale
from tests.cli.conftest import CommandLine


def words(cli: CommandLine, text: str | bytes) -> list[str]:
    """The words in a file with TEXT."""
    (cli.path / "list").write_bytes(text if isinstance(text, bytes) else text.encode())
    return expanded(["@list"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t\r\n", []),
        ("a.prototxt", ["a.prototxt"]),
        ("a b\nc\n", ["a", "b", "c"]),
        ("--only fc6\r\n--skip fc7\r\n", ["--only", "fc6", "--skip", "fc7"]),
        ("'a b' \"c d\" e\\ f", ["a b", "c d", "e f"]),
        ("a' 'b\" \"c", ["a b c"]),
        ('"it\'s" \'say "x"\' "\\""', ["it's", 'say "x"', '"']),
        ("'' \"\"", ["", ""]),
        ("# a comment with 'half a quotation\na # another\n#end", ["a"]),
        ("a#b --rename=x=#1 \\# '#'", ["a#b", "--rename=x=#1", "#", "#"]),
        ("a \\\n  b \\\r\n  c", ["a", "b", "c"]),
        ("# no continuation \\\na", ["a"]),
        ("fc(\\\\d+)=conv 'fc(\\d+)=conv\\1'", ["fc(\\d+)=conv", "fc(\\d+)=conv\\1"]),
        ("$HOME *.prototxt ~ `ls`", ["$HOME", "*.prototxt", "~", "`ls`"]),
        ("@nested ./@x", ["@nested", "./@x"]),
        ("'two\nlines'", ["two\nlines"]),
        ('"two \\\nlines"', ["two \\\nlines"]),
        ("\ufeffé 名", ["é", "名"]),
        ("a\u00a0b", ["a\u00a0b"]),
    ],
    ids=ascii,
)
def test_words_are_those_of_a_shell(cli: CommandLine, text: str, expected: list[str]) -> None:
    assert words(cli, text) == expected


def test_names_that_are_not_utf_8_survive(cli: CommandLine) -> None:
    assert words(cli, b"n\xff.prototxt") == [os.fsdecode(b"n\xff.prototxt")]


@pytest.mark.thorough
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_what_a_shell_quotes_is_read_back(cli: CommandLine, wanted: list[str]) -> None:
    (cli.path / "list").write_bytes(" ".join(map(shlex.quote, wanted)).encode())
    assert expanded(["@list"]) == wanted


def test_several_files_stand_in_their_places(cli: CommandLine) -> None:
    (cli.path / "one").write_text("b c", encoding="utf-8")
    (cli.path / "two").write_text("e", encoding="utf-8")
    assert expanded(["a", "@one", "d", "@two", "x@one", "./@one", "--suffix=@one"]) == [
        *"abcde",
        "x@one",
        "./@one",
        "--suffix=@one",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a\nb 'c\n", "@list: line 2: found no closing '"),
        (b'a "b\\"', '@list: line 1: found no closing "'),
        (b"a\n\nb\\", "@list: line 3: found nothing after a \\"),
        (b"net\0", "@list: expected a text file with arguments, found a binary file"),
    ],
    ids=ascii,
)
def test_a_file_that_is_no_list_of_words(cli: CommandLine, text: bytes, expected: str) -> None:
    with pytest.raises(click.UsageError, match="@list"):
        words(cli, text)
    assert cli.rejects("@list") == f"Error: {expected}"


@pytest.mark.parametrize(
    ("name", "reason"), [("nope", "No such file or directory"), (".", "Is a directory"), ("a/b", "No such file")]
)
def test_a_file_that_cannot_be_read_is_wrong_usage(cli: CommandLine, name: str, reason: str) -> None:
    message = cli.rejects(f"@{name}")
    assert f"@{name}: cannot be read: {reason}" in message and f"./@{name}" in message


def test_an_at_sign_alone_is_wrong_usage(cli: CommandLine) -> None:
    assert "name of a file" in cli.rejects("@")


def test_every_command_takes_them(lenet: CommandLine) -> None:
    (lenet.path / "all").write_text("# what and how\nnet.prototxt\n--dry-run --json --only 'ip1'\n", encoding="utf-8")
    assert [each["layer"] for each in lenet.converts("@all").document["converted"]] == ["ip1"]
    (lenet.path / "command").write_text("check -v net.prototxt", encoding="utf-8")
    assert lenet.run("@command").err.startswith("net.prototxt: net V2, ok\n")


def test_a_literal_at_sign(lenet: CommandLine) -> None:
    os.rename("net.prototxt", "@net.prototxt")
    lenet.converts("./@net.prototxt", "-o", "out.prototxt", "--suffix=@new")
    assert "ip1@new" in lenet.read("out.prototxt")


def test_the_help_tells_of_it(cli: CommandLine) -> None:
    assert b"@FILE is replaced by the words in FILE" in cli.run("--help").out


def test_a_scale_is_a_number_or_a_fraction() -> None:
    assert scale("1/255") == 1 / 255 and scale("-2") == -2 and scale("1e-2/2") == 0.005
    for wrong in ("1/0", "0/3", "/", "1/", "1/2/3", "0", "nan", "inf", "1e308/1e-308", "x"):
        with pytest.raises(click.BadParameter, match="or 1/255"):
            scale(wrong)


def test_no_glob_in_a_file_of_words_is_expanded(lenet: CommandLine) -> None:
    """And the help says so."""
    (lenet.path / "list").write_text("*.prototxt")
    assert "*.prototxt" in lenet.run("check", "@list").err
    told = " ".join(lenet.run("--help").out.decode().split())
    assert "globs in it are expanded only for the pictures of `run`" in told


@pytest.mark.parametrize("command", ["run", "convert"])
@pytest.mark.parametrize("value", ["0", "x", "4x", "-4", "2.5"])
def test_a_stride_that_is_none(cli: CommandLine, command: str, value: str) -> None:
    result = cli.run(command, "net.prototxt", "net.caffemodel", "a.png", f"--stride={value}")
    assert result.code == 2
    assert result.err.endswith(f"expected a stride in pixels, N or HxW, such as 4, found {value!r}\n")
