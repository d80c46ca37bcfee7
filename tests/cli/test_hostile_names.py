"""Nothing that a model, a file's name or a list of labels says steers a terminal, through every command.

All strings are hostile: they break lines, hold escape sequences, and turn the direction of text round.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.display import printable, visible, visible_json, visible_lines
from tests.cli.conftest import LENET, CommandLine, Result

HOSTILE = "\r\nFAKE\t\x1b[31m\x07\x7f\x9b2J\u202e\u2028\u200b\U000e0041"
ESCAPED = "".join(f"\\{byte:03o}" for byte in HOSTILE.encode())
PROB = f"prob{HOSTILE}"
NET, TWIN = f"net{HOSTILE}.prototxt", f"twin{HOSTILE}.prototxt"
WEIGHTS, TWINS = f"net{HOSTILE}.caffemodel", f"twin{HOSTILE}.caffemodel"
ALLOWED = re.compile(r"\x1b\[[0-9;]*m|\n")
"""What a terminal may be sent: our own colours, and line ends."""


def hostile_character(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def assert_harmless(told: str) -> None:
    """TOLD, as a terminal gets it, has no hostile character, and no line that a name began."""
    rest = ALLOWED.sub("", told)
    assert not [char for char in rest if hostile_character(char)], ascii(told)
    assert "\nFAKE" not in told and "\x1b[31mFAKE" not in told


@pytest.fixture
def hostile(cli: CommandLine) -> CommandLine:
    """A LeNet, its twin and a picture, in which all that can have a name has a hostile one."""
    text = (LENET / "net.prototxt").read_text(encoding="utf-8")
    text = re.sub(r'\b(name|top|bottom): "([^"]*)"', lambda match: f'{match[1]}: "{match[2]}{ESCAPED}"', text)
    text += f'layer {{ name: "more{ESCAPED}" type: "Silence" bottom: "prob{ESCAPED}" fork: "{ESCAPED}" }} # \x1b[31m\n'
    Path(NET).write_text(text, encoding="utf-8")
    weights = schema.NetParameter.FromString((LENET / "net.caffemodel").read_bytes())
    for layer in weights.layer:
        layer.name += HOSTILE
    weights.layer.add(name=f"foreign{HOSTILE}", type=HOSTILE).blobs.add(shape={"dim": [1]}, data=[1.0])
    Path(WEIGHTS).write_bytes(weights.SerializeToString())
    result = cli.run("convert", NET, WEIGHTS, "-o", TWIN, "-w", TWINS)
    assert result.code == 0, result.err
    Path("labels").write_bytes(b"\n".join(b"%d\x1b[31m\xc2\x9b\xe2\x80\xaeclass" % label for label in range(10)))
    return cli


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the standard streams say that they are terminals."""
    with monkeypatch.context() as patched:
        patched.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        patched.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        yield


def picture(name: str = f"a{HOSTILE}.png") -> str:
    from PIL import Image

    Image.fromarray(np.arange(28 * 28, dtype="u1").reshape(28, 28)).save(name)
    return name


BLOB = ("--blob", PROB)
"""The only reader of this blob is a Silence."""

COMMANDS: dict[str, list[str]] = {
    "inspect": ["inspect", NET],
    "inspect, weights": ["inspect", NET, WEIGHTS, "--weights"],
    "inspect, geometry": ["inspect", NET, WEIGHTS, "--geometry"],
    "inspect, alone": ["inspect", WEIGHTS],
    "inspect, csv": ["inspect", NET, WEIGHTS, "--csv", "--geometry"],
    "inspect, no such layer": ["inspect", NET, "--layer", HOSTILE],
    "check": ["check", NET, "-v"],
    "convert": ["convert", NET, WEIGHTS, "--dry-run"],
    "convert, verify": ["convert", NET, WEIGHTS, "-o", HOSTILE, "-w", HOSTILE + "w", "--verify"],
    "convert, diff": ["convert", NET, "--dry-run", "--diff"],
    "convert, exists": ["convert", NET, "-o", TWIN],
    "convert, skip": ["convert", NET, "--skip", HOSTILE, "--dry-run"],
    "convert, out-dir": ["convert", NET, WEIGHTS, "--out-dir", HOSTILE],
    "convert, size": ["convert", NET, "--input-size", HOSTILE],
    "upgrade": ["upgrade", WEIGHTS, HOSTILE],
    "upgrade, diff": ["upgrade", NET, HOSTILE, "--dry-run", "--diff"],
    "export": ["export", NET, WEIGHTS, "-o", HOSTILE],
    "export, no such blob": ["export", NET, WEIGHTS, "-o", HOSTILE, "--blob", HOSTILE],
    "verify": ["verify", NET, WEIGHTS, TWIN, TWINS],
    "verify, fails": ["verify", NET, WEIGHTS, TWIN, WEIGHTS],
    "verify, bisect": ["verify", NET, WEIGHTS, TWIN, TWINS, "--bisect"],
    "diff": ["diff", NET, WEIGHTS, TWIN, TWINS],
    "diff, no such layer": ["diff", NET, TWIN, "--layers", HOSTILE],
    "run": ["run", NET, WEIGHTS, "PICTURE", *BLOB, "--labels", "labels"],
    "run, maps": ["run", TWIN, TWINS, "PICTURE", *BLOB, "--labels", "labels", "--label-map", f"{HOSTILE}.png"],
    "run, peaks": [
        "run",
        TWIN,
        TWINS,
        "PICTURE",
        *BLOB,
        "--labels",
        "labels",
        "--class",
        "3",
        "--boxes",
        f"{HOSTILE}b.png",
    ],
    "run, no scores": ["run", NET, WEIGHTS, "PICTURE", *BLOB, "--labels", "labels", "--no-scores"],
    "run, no such class": ["run", TWIN, TWINS, "PICTURE", *BLOB, "--heatmap", "a.png", "--class", HOSTILE],
    "run, no picture": ["run", NET, WEIGHTS, f"none{HOSTILE}"],
    "no file": ["inspect", f"none{HOSTILE}"],
    "no option": ["inspect", f"--{HOSTILE}"],
    "no command": [HOSTILE],
    "no response file": [f"@{HOSTILE}"],
}


def told(result: Result) -> str:
    assert "Traceback" not in result.err and "defect of caffe-fcn" not in result.err, result.err
    return result.err + result.out.decode()


@pytest.mark.thorough
@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_terminal_gets(hostile: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    arguments = [picture() if word == "PICTURE" else word for word in COMMANDS[name]]
    with terminal(monkeypatch):
        assert_harmless(told(hostile.run(*arguments)))


@pytest.mark.parametrize("name", [name for name, words in COMMANDS.items() if words[0] in ("verify", "run", "export")])
def test_what_json_says(hostile: CommandLine, name: str) -> None:
    """The text has no hostile characters, and what it says has them."""
    arguments = [picture() if word == "PICTURE" else word for word in COMMANDS[name]]
    result = hostile.run(*arguments, "--json")
    assert_harmless(told(result))
    if result.out:
        assert any(HOSTILE in text for text in strings(json.loads(result.out)))


def strings(value: object) -> Iterator[str]:
    """All strings in a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def test_a_table_of_peaks_has_a_line_for_each(hostile: CommandLine) -> None:
    arguments = [TWIN, TWINS, picture(), *BLOB, "--labels", "labels", "--csv", "p.csv", "--threshold", "-1"]
    result = hostile.run("run", *arguments)
    assert result.code == 0, result.err
    table = Path("p.csv").read_bytes().decode()
    assert_harmless(table)
    assert len(table.splitlines()) == 11
    assert table.splitlines()[1].split(",")[1] == visible(PROB)


def test_a_diff_into_a_pipe_can_be_applied(hostile: CommandLine) -> None:
    """There it has the very bytes."""
    result = hostile.run("convert", NET, "--dry-run", "--diff")
    assert b"# \x1b[31m" in result.out
    assert b"?" not in result.out.split(b"@@", 1)[1]


@pytest.mark.thorough
def test_the_characters_that_are_masked() -> None:
    """All that are controls, formats or line ends to Unicode, and no others but some letters that show nothing."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = "".join(visible(every[at : at + 4096]) for at in range(0, len(every), 4096))
    masked = {char for char, mask in zip(every, shown, strict=True) if mask == "?" != char}
    wanted = set(filter(hostile_character, every))
    assert wanted <= masked
    assigned = {char for char in masked - wanted if unicodedata.category(char) not in ("Cn", "Mn")}
    assert assigned == set("\u115f\u1160\u3164\uffa0")


def test_of_an_endless_word_the_ends_are_shown() -> None:
    path = "/d" * 2000
    assert visible(f'layer "{"x" * 100_000}\x1b" is  {path}') == f'layer "{"x" * 99}…{"x" * 98}?" is  {path}'
    assert printable("\n" * 100) == "?" * 100
    assert printable("\n" * 101) == "?" * 99 + "…"


def test_lines_and_documents_keep_their_line_ends() -> None:
    assert visible_lines("a\x1b\nb\r\n") == "a?\nb?\n"
    assert json.loads(visible_json(json.dumps([HOSTILE, "\udcff"], ensure_ascii=False, indent=1))) == [
        HOSTILE,
        "\udcff",
    ]


HUGE = {"one word": HOSTILE + "x" * 30_000, "many words": HOSTILE + "x y " * 8_000}
MODELS = {
    "ip1 is a Flatten": lambda text: text.replace('"InnerProduct"', '"Flatten"', 1),
    "an unknown type": lambda text: text.replace('"Pooling"', '"NAME"'),
    "no such blob": lambda text: text.replace('bottom: "pool1', 'bottom: "none'),
    "another shape": lambda text: text.replace("num_output: 500", "num_output: 400"),
    "as it is": lambda text: text,
}
EVERY = [
    ["inspect", "net.prototxt", "net.caffemodel"],
    ["check", "net.prototxt"],
    ["convert", "net.prototxt", "net.caffemodel", "--strict", "--only", "NAME"],
    ["convert", "net.prototxt", "net.caffemodel", "--rename", "(.*)=NAME", "--suffix", ""],
    ["fold", "net.prototxt", "net.caffemodel", "-o", "out.prototxt", "-w", "out.caffemodel", "--force"],
    ["upgrade", "net.prototxt", "out.prototxt", "--force"],
    ["export", "net.prototxt", "net.caffemodel", "-o", "out.onnx", "--blob", "NAME"],
    ["verify", "net.prototxt", "net.caffemodel", "twin.prototxt", "twin.caffemodel"],
    ["run", "net.prototxt", "net.caffemodel", "PICTURE", "--blob", "NAME"],
]


@pytest.mark.thorough
@pytest.mark.parametrize("kind", HUGE)
@pytest.mark.parametrize("model", MODELS)
def test_names_of_any_length(cli: CommandLine, kind: str, model: str) -> None:
    """A message quotes no more of a name than a person reads, through every command."""
    name = HUGE[kind]
    escaped = "".join(f"\\{byte:03o}" for byte in HOSTILE.encode()).join(name.split(HOSTILE))
    text = (LENET / "net.prototxt").read_text(encoding="utf-8")
    text = MODELS[model](re.sub(r'\b(name|top|bottom): "([^"]*)"', rf'\1: "\2{"NAME"}"', text)).replace("NAME", escaped)
    Path("net.prototxt").write_text(text, encoding="utf-8")
    weights = schema.NetParameter.FromString((LENET / "net.caffemodel").read_bytes())
    for layer in weights.layer:
        layer.name += name
    Path("net.caffemodel").write_bytes(weights.SerializeToString())
    for other in ("prototxt", "caffemodel"):
        Path(f"twin.{other}").write_bytes((LENET / f"net.{other}").read_bytes())
    for words in EVERY:
        arguments = [picture("a.png") if word == "PICTURE" else word.replace("NAME", name) for word in words]
        result = cli.run(*arguments)
        assert_harmless(told(result))
        assert max(map(len, result.err.split("\n"))) <= 20_100 and len(result.err) < 200_000, words
