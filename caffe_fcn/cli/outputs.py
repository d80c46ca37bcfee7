"""The one output of a command such as `draw`, `report` and `export`: its path, and what is told of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from caffe_fcn.cli.options import check_name
from caffe_fcn.cli.streams import print_json

Found = TypeVar("Found")


def output_path(inputs: Sequence[str | None], output: str | None, ending: str, *kinds: str, as_json: bool) -> str:
    """Return the path of the output: OUTPUT, else the name of the first of INPUTS with ENDING. KINDS are names of
    `files.names.Kind`. Raises UsageError if names are missing or do not fit."""
    if "" in (*inputs, output):
        raise click.UsageError("a file's name is empty")
    if inputs.count("-") > 1:
        raise click.UsageError("only one file can come from stdin")
    check_name("-o", output, *kinds)
    if output is None:
        output = "-" if inputs[0] == "-" else f"{os.path.splitext(inputs[0] or '')[0]}{ending}"
    if output == "-" and as_json:
        raise click.UsageError("--json prints to stdout, so the output cannot be '-'; name a file")
    return output


@contextmanager
def unnamed(output: str) -> Iterator[None]:
    """Let an error of OUTPUT, a file beside the net that the caller did not name, tell the option that names it."""
    from caffe_fcn.errors import OutputError
    from caffe_fcn.wording import Option, advise

    try:
        yield
    except OutputError as error:
        if error.source == output and error.hint is not None:
            error.hint = advise(error.hint, " with ", Option("output"))
        raise


def tell_found(
    found: Found,
    lines: Callable[[Found], Iterable[str]],
    document: Callable[[Found], Any],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the DOCUMENT of FOUND to stdout, or its LINES to stderr."""
    if as_json:
        print_json(document(found))
    elif not quiet:
        for line in lines(found):
            click.echo(line, err=True)
