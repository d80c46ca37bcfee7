"""The library: compare two nets."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.net import Net
from caffe_fcn.api.options import given
from caffe_fcn.compare.diff import compare
from caffe_fcn.compare.options import DiffOptions
from caffe_fcn.compare.records import LayerDiff, NetDiff
from caffe_fcn.compare.sides import DiffSide, open_side, side_of
from caffe_fcn.net.options import OpenOptions, Selection
from caffe_fcn.report.diff import document, lines


@dataclass(frozen=True, repr=False)
class NetDifference:
    """The result of `diff`. `str` gives what `caffe-fcn diff` prints. It is true if the nets differ."""

    found: NetDiff

    def __repr__(self) -> str:
        return f"<NetDifference: {'equal' if self.found.equal else f'{len(self.found.differing)} layers differ'}>"

    def __str__(self) -> str:
        return "".join(f"{line.text}\n" for line in lines(self.found))

    def __bool__(self) -> bool:
        return not self.found.equal

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.found.equal

    @property
    def layers(self) -> tuple[LayerDiff, ...]:
        """The layers that differ, in the order of the new net; those that are gone where they were."""
        return self.found.differing

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user: what could not be compared, and other formats."""
        return self.found.notes

    def report(self) -> dict[str, Any]:
        """The report, as `caffe-fcn diff --json` prints it."""
        return document(self.found)


@checked(DiffOptions, Selection, OpenOptions)
def diff(
    old: Net | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    new: Net | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    rtol: float = DiffOptions.rtol,
    atol: float = DiffOptions.atol,
    layers: str | Sequence[str] = DiffOptions.layers,
    ignore_names: bool = DiffOptions.ignore_names,
    weights_only: bool = DiffOptions.weights_only,
    phase: Literal["TRAIN", "TEST"] | None = Selection.phase,
    stages: str | Sequence[str] = Selection.stages,
    level: int | None = Selection.level,
    shapes: Mapping[str, Sequence[int]] | None = Selection.shapes,
    crop_offset: Literal["auto", "zero"] | None = Selection.crop_offset,
    ignore_fields: str | Collection[str] = Selection.ignore_fields,
    fork: str | None = OpenOptions.fork,
) -> NetDifference:
    """Compare the nets OLD and NEW, their weights, or both, layer by layer.

    Each is a net that is open, a prototxt, a caffemodel, an HDF5 file, an ONNX file (its initializers, as `export`
    names them), or a prototxt and one of the others. What only one of them has, a net or weights, is not compared.
    Values are read in chunks.

    Raises CaffeFcnError if a file cannot be read, or if they have nothing in common that could be compared; OSError if
    a prototxt cannot be read.
    """
    options, selection = given(DiffOptions, locals()), given(Selection, locals())
    with ExitStack() as stack:
        return NetDifference(compare(_side(stack, old, fork), _side(stack, new, fork), options, selection))


def _side(
    stack: ExitStack, files: Net | str | os.PathLike[str] | Sequence[str | os.PathLike[str]], fork: str | None
) -> DiffSide:
    if isinstance(files, Net):
        found = files._files()
        return side_of(found.source, found.weights)
    paths = [files] if isinstance(files, str | os.PathLike) else list(files)
    if not 1 <= len(paths) <= 2:
        raise ValueError(f"diff: expected a file, or a prototxt and weights, found {len(paths)} files")
    return open_side(stack, [os.fspath(path) for path in paths], fork=fork)
