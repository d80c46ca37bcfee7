"""What tests of `caffe-fcn run` share: the digits net, and runs that succeed or fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

from tests.cli.conftest import DIGITS, CommandLine, Result, listing, the_message
from tests.paths import ROOT

SCALE = "0.00392157"
SCHEMA = json.loads((ROOT / "docs" / "schema" / "run.json").read_bytes())
NET = ("net.prototxt", "net.caffemodel")
FCN = ("fcn.prototxt", "fcn.caffemodel")
NAMED = ("--scale", SCALE, "--labels", "labels.txt")


def runs(cli: CommandLine, *arguments: str | Path) -> Result:
    """A run that must succeed."""
    result = cli.run("run", *arguments)
    assert result.code == 0, result.err
    return result


def refuses(cli: CommandLine, *arguments: str | Path) -> str:
    """What a run tells that must fail with exit code 1, one message, and nothing written."""
    before = listing(cli.path)
    result = cli.run("run", *arguments)
    assert (result.code, result.out) == (1, b""), result.err
    assert listing(cli.path) == before
    return the_message(result.err)


def rejects(cli: CommandLine, *arguments: str | Path) -> str:
    """What a run tells that must fail as wrong usage: exit code 2, and nothing written."""
    before = listing(cli.path)
    result = cli.run("run", *arguments)
    assert (result.code, result.out) == (2, b""), result.err
    assert listing(cli.path) == before and "Traceback" not in result.err
    return result.err.splitlines()[-1]


def checked(document: Any) -> Any:
    """DOCUMENT, if the schema describes it."""
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


def truth() -> Iterator[tuple[int, float, float]]:
    """The digits in the picture: which, and the row and column of the middle."""
    for each in json.loads((DIGITS / "scattered.json").read_bytes())["digits"]:
        yield each["digit"], each["center"][1], each["center"][0]
