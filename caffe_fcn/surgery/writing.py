"""A plan carried out: written under temporary names, read back, checked, and only then given its names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

from caffe_fcn.errors import CaffemodelError, OutputError
from caffe_fcn.files.atomic import OutputFiles, output_error
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.rewrite import write
from caffe_fcn.surgery.convert import Plan
from caffe_fcn.surgery.edits import ToConvolution

STDOUT = "-"


def carry_out(
    plan: Plan,
    text_path: str | None,
    weights_path: str | None,
    *,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write what PLAN says to TEXT_PATH and WEIGHTS_PATH: "-" is stdout, None leaves one out. Both appear, or
    neither; what goes to stdout goes last, because it cannot be taken back."""
    with OutputFiles() as outputs:
        if weights_path is not None and weights_path != STDOUT:
            output = outputs.add(weights_path, overwrite=force)
            write_weights(plan, output.fd, output.path, progress)
            if output.temp is not None:
                output.close()
                _read_back_weights(plan, output.temp, output.path)
        if text_path is not None and text_path != STDOUT:
            output = outputs.add(text_path, overwrite=force)
            output.write(bytes(plan.document))
            if output.temp is not None:
                output.close()
                _read_back_text(plan, output.temp, output.path)
        if text_path == STDOUT:
            to_stdout(bytes(plan.document))
        if weights_path == STDOUT:
            write_weights(plan, _stdout().fileno(), "stdout", progress)
        outputs.commit()


def to_stdout(data: bytes) -> None:
    """Write DATA to stdout. Raises OutputError where that is closed or full."""
    out = _stdout().buffer
    try:
        out.write(data)
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error("stdout", error, needed=len(data)) from error


def _stdout() -> TextIO:
    """Stdout, with nothing left in Python's buffer. Raises OutputError where it is closed."""
    if sys.stdout is None:
        raise OutputError("stdout: expected to write to it, found it closed; name a file instead")
    sys.stdout.flush()
    return sys.stdout


def write_weights(plan: Plan, fd: int, name: str, progress: Callable[[int], None] | None = None) -> None:
    """Write the converted caffemodel to an open descriptor; NAME is for messages."""
    if plan.weights is not None and plan.weight_plan is not None:
        upgrade = plan.weight_plan.upgrade_header
        write(plan.weights, fd, plan.weight_plan.edits, progress=progress, upgrade_header=upgrade, name=name)


def _read_back_text(plan: Plan, temp: str, name: str) -> None:
    """Hold the new prototxt, at TEMP but to be called NAME, against the text that was checked. Raises OutputError."""
    with open(temp, "rb") as file:
        if file.read() != bytes(plan.document):
            raise OutputError(f"{name}: read back otherwise than it was written; check the disk")


def _read_back_weights(plan: Plan, temp: str, name: str) -> None:
    """Index the new caffemodel, at TEMP but to be called NAME, and hold its layers and kernels against the plan.

    Raises CaffemodelError.
    """
    renamed = plan.surgery.renamed_layers
    expected: dict[str, ToConvolution] = {renamed.get(e.layer, e.layer): e for e in plan.surgery.conversions}
    with open_caffemodel(temp, name) as written:
        for record in written.layers:
            edit = expected.get(record.name)
            if edit is None or not record.blobs or record.header.type != "Convolution":
                continue
            if record.blobs[0].shape != edit.weight_shape or record.blobs[0].count != edit.weight_count:
                raise CaffemodelError(
                    f"{name}: layer {record.name!r}: expected to read back {edit.weight_shape}, found "
                    f"{record.blobs[0].shape}; nothing was written; check the disk"
                )
        held = {record.name for record in written.layers}
    lost = [new for new, edit in expected.items() if new not in held and edit.layer not in _missing(plan)]
    if lost:
        raise CaffemodelError(f"{name}: layer {lost[0]!r} is missing after writing; check the disk")


def _missing(plan: Plan) -> tuple[str, ...]:
    return plan.weight_plan.missing if plan.weight_plan else ()
