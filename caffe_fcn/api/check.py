"""The library: check files and nets."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from caffe_fcn.api.arguments import checked
from caffe_fcn.api.net import Net
from caffe_fcn.api.options import given
from caffe_fcn.net.options import OpenOptions, Selection
from caffe_fcn.net.problems import examine
from caffe_fcn.report.check import Checked, check_file
from caffe_fcn.report.options import CheckOptions


@checked(CheckOptions, Selection, OpenOptions)
def check(
    files: str | os.PathLike[str] | Net | Sequence[str | os.PathLike[str] | Net],
    *,
    strict: bool = CheckOptions.strict,
    phase: Literal["TRAIN", "TEST"] | None = Selection.phase,
    stages: str | Sequence[str] = Selection.stages,
    level: int | None = Selection.level,
    shapes: Mapping[str, Sequence[int]] | None = Selection.shapes,
    crop_offset: Literal["auto", "zero"] | None = Selection.crop_offset,
    ignore_fields: str | Collection[str] = Selection.ignore_fields,
    fork: str | None = OpenOptions.fork,
) -> tuple[Checked, ...]:
    """Check FILES, one or more: prototxt files of any format, solvers, caffemodels, or nets that are open.

    Nothing is raised for what is wrong with a file: it is in the result, which has one entry for each file. For a net
    that is open, the lines and columns are those of its `text`, and the options apply that it was opened with.
    """
    selection = given(Selection, locals())
    each_of = (files,) if isinstance(files, str | os.PathLike | Net) else files
    return tuple(_check(each, selection, fork, strict=strict) for each in each_of)


def _check(file: str | os.PathLike[str] | Net, selection: Selection, fork: str | None, *, strict: bool) -> Checked:
    if not isinstance(file, Net):
        return check_file(os.fspath(file), os.fspath(file), selection, fork, strict=strict)
    findings = examine(file.text, file.name, file.model.selection)
    return Checked(file.name, findings.strictly() if strict else findings)
