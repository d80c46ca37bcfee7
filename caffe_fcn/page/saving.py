"""Writes the report page of a net into a file."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from caffe_fcn.files.atomic import OutputFiles, check_outputs
from caffe_fcn.files.stdout import STDOUT, to_stdout
from caffe_fcn.inspection.records import InspectedFiles
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.page.build import build_page
from caffe_fcn.page.options import ReportOptions
from caffe_fcn.page.records import Page, Progress, no_progress
from caffe_fcn.page.render import check_packages, render
from caffe_fcn.predict.options import PreparationOptions


class SavedPage(NamedTuple):
    """A PAGE in the file OUTPUT, of SIZE bytes; NET and WEIGHTS are the files that it shows, PICTURE that of the
    picture, "" for one that is no file."""

    page: Page
    output: str
    size: int
    net: str
    weights: str | None
    picture: str | None


def save_page(
    files: InspectedFiles,
    output: str | os.PathLike[str],
    picture: Any = None,
    selection: Selection = ANY_NET,
    preparation: PreparationOptions | None = None,
    options: ReportOptions | None = None,
    *,
    force: bool = False,
    progress: Progress = no_progress,
) -> SavedPage:
    """Write the page of the net in FILES to OUTPUT, "-" for stdout. The other arguments are as in `build_page`.

    Raises CaffeFcnError if the net is impossible or the options do not fit, OutputError if the file cannot be written,
    ExtraError if a package for the page is not installed; OSError if a file cannot be read.
    """
    path = os.fspath(output)
    if path != STDOUT:
        check_outputs([path], _inputs(files, picture, preparation, options), force=force)
    check_packages()  # before the long work
    page = build_page(files, picture, selection, preparation, options, progress)
    data = render(page).encode()
    if path == STDOUT:
        to_stdout(data)
    else:
        with OutputFiles() as outputs:
            outputs.add(path, overwrite=force).write(data)
            outputs.commit()
    weights = None if files.weights is None else files.weights.path
    return SavedPage(page, path, len(data), files.name, weights, _name(picture))


def _inputs(
    files: InspectedFiles, picture: Any, preparation: PreparationOptions | None, options: ReportOptions | None
) -> list[str | os.PathLike[str]]:
    """Return the files that are read."""
    others = [preparation.mean] if preparation is not None else []
    read = [files.name, files.weights.path if files.weights is not None else None, _name(picture), *others]
    labels = [options.labels] if options is not None and options.labels is not None else []
    return [*filter(None, read), *labels]


def _name(picture: Any) -> str | None:
    if picture is None:
        return None
    return os.fspath(picture) if isinstance(picture, str | os.PathLike) else ""
