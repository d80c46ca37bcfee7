"""The standard streams: stdin as a file, because weights are read at random, nets and weights that may come from there,
and documents on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, cast

from caffe_fcn.errors import CaffeFcnError

if TYPE_CHECKING:
    from caffe_fcn.files.caffemodel import WeightFile
    from caffe_fcn.net.source import SourceNet

STDIN = "<stdin>"
"""What messages call it."""


@contextmanager
def as_file(path: str) -> Iterator[str]:
    """PATH, or for "-" a temporary file with all of stdin: weights are read at random."""
    if path != "-":
        yield path
        return
    import shutil
    import tempfile

    from caffe_fcn.files.atomic import output_error

    if sys.stdin is None:
        raise CaffeFcnError("stdin: expected to read from it, found it closed; name a file instead")
    with tempfile.NamedTemporaryFile(prefix="caffe-fcn-") as file:
        try:
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
        except OSError as error:
            raise output_error("a temporary copy of stdin", error) from error
        yield file.name


def open_trained(stack: ExitStack, net: str, weights: str) -> tuple[SourceNet, WeightFile]:
    """The files NET and WEIGHTS, one of which may be "-", open until STACK closes. Raises CaffeFcnError; OSError where
    the prototxt cannot be read."""
    from caffe_fcn.surgery.convert import open_inputs

    paths = [stack.enter_context(as_file(path)) for path in (net, weights)]
    names = [STDIN if path == "-" else None for path in (net, weights)]
    source, opened = open_inputs(paths[0], paths[1], (names[0], names[1]))
    return source, stack.enter_context(cast("WeightFile", opened))  # there is one where weights are given


def print_json(value: Any) -> None:
    """Print VALUE to stdout as a JSON document. Raises OutputError where that is closed or full."""
    import json

    from caffe_fcn.surgery.writing import to_stdout

    to_stdout(f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode("utf-8", "replace"))
