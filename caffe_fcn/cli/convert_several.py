"""`convert --out-dir`: finds out which files belong together, and converts each net separately.

A net that fails does not stop the others; only Ctrl-C and a closed pipe do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import click

from caffe_fcn.cli.directory import directory
from caffe_fcn.cli.failures import DONE, FAILED, explain, in_one_line, is_about, tell
from caffe_fcn.cli.nets import holds_weights
from caffe_fcn.cli.options import WriteManner, check_fork
from caffe_fcn.cli.rewriting import Files, Rewriting, rewrite_files
from caffe_fcn.cli.streams import print_json


def convert_all(
    paths: Sequence[str],
    out_dir: str,
    rewriting: Rewriting,
    manner: WriteManner,
    *,
    verify: str | None,
    fork: str | None,
) -> int:
    """Convert the nets and weights in PATHS, in any order, into OUT_DIR, and return the exit code. FORK is the Caffe
    that wrote caffemodels without a prototxt. Raises UsageError before anything is written, OutputError if the
    directory cannot be made."""
    jobs = pair(paths, out_dir)
    _check_names(jobs)
    check_fork(fork, alone=any(holds_weights(files.net) for files in jobs))
    documents: list[dict[str, Any]] = []
    failed = 0
    with nullcontext() if manner.dry_run else directory(out_dir):
        for files in jobs:
            try:
                documents.append(_convert(files, paths, rewriting, manner, verify=verify, fork=fork))
            except (click.ClickException, BrokenPipeError):
                raise
            except Exception as error:  # any error belongs to this net and must not stop the others
                documents.append({"net": files.net, "error": _failure(files, error)})
                failed += 1
    if manner.as_json:
        print_json(documents)
    if failed:
        click.echo(f"caffe-fcn: {failed} of {len(jobs)} nets failed", err=True)
    return FAILED if failed else DONE


def _convert(
    files: Files,
    inputs: Sequence[str],
    rewriting: Rewriting,
    manner: WriteManner,
    *,
    verify: str | None,
    fork: str | None,
) -> dict[str, Any]:
    from caffe_fcn.model.opening import open_model

    alone = fork if holds_weights(files.net) else None
    model = open_model(files.net, files.weights, rewriting.selection, fork=alone)
    with model.weights or nullcontext():
        return rewrite_files(model, files, rewriting, manner, verify=verify, inputs=inputs)


def _failure(files: Files, error: Exception) -> str:
    """Print ERROR, and return it on one line."""
    name = "" if is_about(error, files.inputs) else f"{files.net}: "
    tell(f"{name}{explain(error)}")
    return f"{name}{in_one_line(error)}"


def pair(paths: Sequence[str], out_dir: str) -> list[Files]:
    """Return the nets in PATHS, each with its weights if any, and the output files in OUT_DIR.

    Weights belong to the net with the same name; else to the net directly before them, if it has no weights yet; else
    they are converted alone, with the net inside them.
    """
    trained = [holds_weights(path) for path in paths]
    by_stem: dict[str, int] = {}
    for at, path in enumerate(paths):
        if not trained[at]:
            by_stem.setdefault(_stem(path), at)
    weights_of: dict[int, int] = {}
    for at, path in enumerate(paths):
        if trained[at] and _stem(path) in by_stem:
            weights_of.setdefault(by_stem[_stem(path)], at)
    for at in range(1, len(paths)):
        if trained[at] and not trained[at - 1] and at not in weights_of.values():
            weights_of.setdefault(at - 1, at)
    jobs = []
    for at, path in enumerate(paths):
        if at not in weights_of.values():
            jobs.append(_files(path, paths[weights_of[at]] if at in weights_of else None, trained[at], out_dir))
    return jobs


def _files(net: str, weights: str | None, alone: bool, out_dir: str) -> Files:
    """Return the job of NET and WEIGHTS. If ALONE, NET is a caffemodel, and is both net and weights."""
    text, trained = (f"{_stem(net)}.prototxt", net) if alone else (net, weights)
    out = os.path.join(out_dir, os.path.basename(text))
    out_weights = None if trained is None else os.path.join(out_dir, os.path.basename(trained))
    return Files(net, weights, out, out_weights)


def _stem(path: str) -> str:
    """Return PATH without the endings that show the kind of the file."""
    from caffe_fcn.files.names import ENDINGS, Kind

    path = os.path.normpath(path)
    known = (".caffemodel.h5", ".caffemodel.hdf5", *ENDINGS[Kind.WEIGHTS], *ENDINGS[Kind.TEXT])
    ending = next((each for each in known if path.lower().endswith(each)), "")
    return path[: len(path) - len(ending)]


def _check_names(jobs: Sequence[Files]) -> None:
    """Raise UsageError if two outputs would have one name."""
    makers: dict[str, str] = {}
    for files in jobs:
        for maker, output in ((files.net, files.out), (files.weights or files.net, files.out_weights)):
            if output is not None and output in makers:
                raise click.UsageError(
                    f"{makers[output]} and {maker} would both be written to {output}; convert them separately"
                )
            if output is not None:
                makers[output] = maker
