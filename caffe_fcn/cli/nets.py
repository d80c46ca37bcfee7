"""Nets with weights on a command line: a prototxt followed by its weights, or a caffemodel alone, with its own net.

The contents of the files decide which it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import click

from caffe_fcn.cli.streams import STDIN, as_file

if TYPE_CHECKING:
    from caffe_fcn.model.opening import NetAndWeights


class File(NamedTuple):
    """A file to be read: its path, and its name in messages if that is not the path."""

    path: str
    name: str | None = None

    @property
    def is_text(self) -> bool:
        """Return whether it holds text. Raises OSError if it cannot be read."""
        from caffe_fcn.files.prototxt import is_text_file

        return is_text_file(self.path)


def files_of(stack: ExitStack, words: Sequence[str]) -> list[File]:
    """Return the files that WORDS name; "-" and a pipe of the shell become temporary files that exist until STACK
    closes."""
    paths = [stack.enter_context(as_file(word)) for word in words]
    names = [STDIN if word == "-" else word for word in words]
    return [File(path, None if path == name else name) for path, name in zip(paths, names, strict=True)]


def open_trained(stack: ExitStack, files: Sequence[File], fork: str | None = None) -> NetAndWeights:
    """Open the net in FILES, one or two, and its weights, until STACK closes. FORK is the Caffe that wrote a caffemodel
    without a prototxt, if known. Raises UsageError for a prototxt alone, CaffeFcnError; OSError if a prototxt cannot be
    read."""
    from caffe_fcn.model.opening import NetAndWeights, open_inputs

    alone = len(files) == 1
    weights, names = None if alone else files[1].path, (files[0].name, files[-1].name)
    opened = open_inputs(files[0].path, weights, names, fork)
    if opened.weights is None:
        raise click.UsageError(f"{opened.source.name} is a prototxt; give its weights after it")
    return NetAndWeights(opened.source, stack.enter_context(opened.weights))


def two_nets(files: Sequence[File]) -> list[Sequence[File]]:
    """Group FILES by nets: a prototxt with the weights after it, or a caffemodel alone. Raises UsageError unless they
    are two nets in this order, CaffemodelError for a file that is neither; OSError if a file cannot be read."""
    from caffe_fcn.files.reading import reading
    from caffe_fcn.files.recognition import HEAD, refuse_others

    for file in files:
        with reading(file.path, file.name) as opened:
            refuse_others(opened.read(HEAD), file.name or file.path)
    kinds = ["prototxt" if file.is_text else "weights" for file in files]
    groups: list[Sequence[File]] = []
    at = 0
    while at < len(files) and (kinds[at] == "weights" or kinds[at + 1 : at + 2] == ["weights"]):
        groups.append(files[at : at + 1 + (kinds[at] == "prototxt")])
        at += len(groups[-1])
    if at < len(files) or len(groups) != 2:
        given = ", ".join(f"{file.name or file.path} ({kind})" for file, kind in zip(files, kinds, strict=True))
        raise click.UsageError(
            f"expected two nets, each a prototxt before its weights or a caffemodel alone; found {given}"
        )
    return groups


def holds_weights(path: str) -> bool:
    """Return whether the file at PATH has weights, by its contents. The name decides if the contents cannot, or if the
    weights are damaged."""
    from caffe_fcn.files.names import Kind, kind_of
    from caffe_fcn.files.prototxt import is_text_file

    named = kind_of(path) is Kind.WEIGHTS
    if named or not os.path.isfile(path):
        return named
    try:
        return not is_text_file(path)
    except OSError:  # the error is reported when the file is opened for use
        return False


def is_another_net(path: str) -> bool:
    """Return whether PATH, in the place of weights, is a prototxt by its name and by its contents."""
    from caffe_fcn.files.names import Kind, kind_of

    return kind_of(path) is Kind.TEXT and os.path.isfile(path) and not holds_weights(path)


def net_and_pictures(stack: ExitStack, words: Sequence[str]) -> tuple[list[File], Sequence[str]]:
    """Return the files of the net at the start of WORDS, and the words that name pictures. Raises UsageError if there
    are no pictures; OSError if the net cannot be read."""
    net, pictures = net_and_others(stack, words, "IMAGE...")
    if not pictures:
        kind = "WEIGHTS and an IMAGE" if net[0].is_text else "an IMAGE"
        raise click.UsageError(f"expected {kind} after NET, found {'only ' + words[1] if words[1:] else 'nothing'}")
    return net, pictures


def net_and_others(stack: ExitStack, words: Sequence[str], others: str) -> tuple[list[File], Sequence[str]]:
    """Return the files of the net at the start of WORDS, a prototxt with the weights after it, if there is another
    word, or weights alone; and the other words, called OTHERS in messages. Raises UsageError if the first word is
    neither; OSError if the net cannot be read."""
    net = files_of(stack, words[:1])
    if not net[0].is_text and words[0] != "-" and not _is_model(words[0]):
        raise click.UsageError(f"{words[0]} is neither a prototxt nor weights; the order is NET [WEIGHTS] {others}")
    if len(words) == 1 or (not net[0].is_text and not _is_model(words[1])):
        return net, words[1:]
    return net + files_of(stack, words[1:2]), words[2:]


def _is_model(word: str) -> bool:
    """Return whether WORD, in the place of a picture or of weights, is a prototxt or weights."""
    from caffe_fcn.errors import CaffemodelError
    from caffe_fcn.files.reading import reading
    from caffe_fcn.files.weights import open_weights

    if word == "-":
        return True
    if not os.path.isfile(word):
        return False
    with reading(word) as file:
        plain_picture = file.read(2) in (b"P1", b"P2", b"P3")
    if File(word).is_text:
        return not plain_picture
    try:
        open_weights(word).close()
    except CaffemodelError:
        return False
    return True
