"""One conversion as `convert` carries it out: from open files to written ones, and what is told of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from caffe_fcn.cli.options import WriteManner
from caffe_fcn.cli.progress import copying
from caffe_fcn.cli.streams import print_diff

if TYPE_CHECKING:
    from caffe_fcn.files.caffemodel import WeightFile
    from caffe_fcn.net.source import SourceNet
    from caffe_fcn.passes.conversion import Plan, Settings
    from caffe_fcn.report.verifier import Verifier


class Files(NamedTuple):
    """Where things are read from and written to; "-" is stdin or stdout, None is not at all."""

    net: str
    weights: str | None
    out: str
    out_weights: str | None

    @property
    def inputs(self) -> list[str]:
        """The files that are read."""
        return [path for path in (self.net, self.weights) if path is not None and path != "-"]

    @property
    def outputs(self) -> list[str]:
        """The files that are written."""
        return [path for path in (self.out, self.out_weights) if path is not None and path != "-"]


def convert_files(
    source: SourceNet,
    weights: WeightFile | None,
    files: Files,
    settings: Settings,
    manner: WriteManner,
    *,
    verify: str | None = None,
    inputs: Sequence[str] = (),
) -> dict[str, Any]:
    """Convert SOURCE and WEIGHTS, read from FILES, prove the result by the engine VERIFY if one is named, tell of it,
    and return the JSON document. No output may be one of the INPUTS, nor those of FILES. Raises CaffeFcnError."""
    from caffe_fcn.files.atomic import check_outputs
    from caffe_fcn.passes.conversion import plan
    from caffe_fcn.report.convert import document

    verifier = _verifier(source, weights, files, settings, verify) if verify else None
    if not manner.dry_run:
        check_outputs(files.outputs, [*files.inputs, *inputs], force=manner.force)
    decided = plan(source, weights, settings)
    if not manner.dry_run:
        _write(decided, files, manner, verifier)
    _tell(decided, files, manner, verifier)
    outputs = {"net": files.out, "weights": files.out_weights}
    return document(decided, outputs, manner.dry_run, verifier.document if verifier else None)


def _verifier(source: SourceNet, weights: WeightFile | None, files: Files, settings: Settings, engine: str) -> Verifier:
    from caffe_fcn.errors import SurgeryError
    from caffe_fcn.report.verifier import Verifier

    if weights is None or files.out_weights is None:
        raise SurgeryError(f"{source.name}: --verify needs weights, found none; give them, or leave --verify out")
    return Verifier(source, weights, (files.out, files.out_weights), settings.selection, engine)


def _write(plan: Plan, files: Files, manner: WriteManner, verifier: Verifier | None) -> None:
    from caffe_fcn.model.writing import write_model

    check = verifier.check if verifier else None
    with copying(plan.weights.size if plan.weights else 0, manner.quiet) as progress:
        write_model(plan.model, files.out, files.out_weights, force=manner.force, progress=progress, check=check)


def _tell(plan: Plan, files: Files, manner: WriteManner, verifier: Verifier | None) -> None:
    """The diff to stdout, the report to stderr."""
    from caffe_fcn.report.convert import lines

    if manner.diff:
        print_diff(plan.diff(files.out))
    if not manner.quiet and not manner.as_json:
        there = " (exists; needs --force)"
        outputs = [path + there * (manner.dry_run and os.path.lexists(path)) for path in files.outputs]
        for line in (*lines(plan, outputs, manner.dry_run), *(verifier.lines if verifier else ())):
            click.echo(line, err=True)
