"""The common part of commands that make a new net from a net: reading, verifying, writing and reporting."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import click
from click.core import ParameterSource

from caffe_fcn.cli.nets import is_another_net
from caffe_fcn.cli.options import WriteManner, check_name, engine_option, file_name, option_of
from caffe_fcn.cli.progress import copying
from caffe_fcn.cli.streams import STDIN, as_file, print_diff, print_json
from caffe_fcn.passes.table import PASSES
from caffe_fcn.verify.options import ProveOptions
from caffe_fcn.wording import offered

if TYPE_CHECKING:
    from caffe_fcn.model.model import Model
    from caffe_fcn.net.options import Selection
    from caffe_fcn.passes.planning import Plan
    from caffe_fcn.report.verifier import Verifier


class Files(NamedTuple):
    """The paths of inputs and outputs; "-" is stdin or stdout, None means that there is none."""

    net: str
    weights: str | None
    out: str
    out_weights: str | None
    others: Mapping[str, str] = MappingProxyType({})
    """Further texts that are written, by their keys in the document."""

    @property
    def inputs(self) -> list[str]:
        """The files that are read."""
        return [path for path in (self.net, self.weights) if path is not None and path != "-"]

    @property
    def outputs(self) -> list[str]:
        """The files that are written."""
        return [
            path for path in (self.out, self.out_weights, *self.others.values()) if path is not None and path != "-"
        ]


class Report(Protocol):
    """The interface of a module that reports on a rewriting."""

    def lines(self, plan: Any, outputs: Sequence[str], dry_run: bool) -> Iterator[str]:
        """Return the report for people."""
        ...

    def document(
        self, plan: Any, outputs: dict[str, str | None], dry_run: bool, verification: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the JSON document for programs."""
        ...


class Rewriting(NamedTuple):
    """How a COMMAND rewrites a net: it makes a PLAN for the net chosen by SELECTION, and a REPORT of it."""

    command: str
    plan: Callable[[Model], Plan]
    selection: Selection
    report: Report
    others: Mapping[str, str] = MappingProxyType({})
    """The names of further texts, by their keys in the document; they are written into the folder of the new net."""
    texts: Callable[[Plan, Files], Mapping[str, bytes]] = lambda plan, files: {}
    """Return these texts by path."""

    @property
    def ending(self) -> str:
        """The ending of the names of new files, if the user gives no names."""
        return PASSES[self.command].ending


def output_options(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the options for the outputs of the command NAME."""
    ending = PASSES[name].ending

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        text, weights = f"NET{ending}.prototxt beside NET", f"WEIGHTS{ending}.caffemodel beside WEIGHTS"
        command = click.option(
            "-w",
            "--output-weights",
            type=file_name,
            metavar="FILE",
            help=f"The new weights: HDF5 if the name ends in .h5, else a caffemodel.  [default: {weights}]",
        )(command)
        return click.option(
            "-o", "--output", type=file_name, metavar="FILE", help=f"The new prototxt.  [default: {text}]"
        )(command)

    return decorate


def proof_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for verification before writing. COMMAND gets the engine, or None, as `verify`. Use it above
    `writing_options`."""

    @option_of(ProveOptions, "verify")
    @engine_option
    @wraps(command)
    def with_proof(verify: bool, engine: str, **others: Any) -> Any:
        source = click.get_current_context().get_parameter_source("engine")
        if verify and others["dry_run"]:
            raise click.UsageError("--verify needs written files, but --dry-run writes none; choose one")
        if source is not ParameterSource.DEFAULT and not verify:
            raise click.UsageError("--engine is for --verify; give that too")
        return command(verify=engine if verify else None, **others)

    return with_proof


def check_usage(files: Sequence[str], output: str | None, output_weights: str | None, manner: WriteManner) -> None:
    """Raise UsageError if FILES and outputs do not fit together, or have endings of other kinds of files."""
    check_names(files, output, output_weights, manner)
    if len(files) > 2 or (len(files) == 2 and is_another_net(files[1]) and is_another_net(files[0])):
        found = f"found {len(files)} files" if len(files) > 2 else f"{files[1]} is another net"
        several = "; for several nets give --out-dir" if offered("out_dir") else ""
        raise click.UsageError(f"expected NET and its WEIGHTS, {found}{several}")
    if list(files) == ["-", "-"]:
        raise click.UsageError("only one of NET and WEIGHTS can come from stdin")
    if list(files[1:]) == ["-"] and output_weights is None:
        raise click.UsageError("WEIGHTS come from stdin; name the new weights with -w")
    if output == "-" and output_weights == "-":
        raise click.UsageError("only one of -o and -w can go to stdout")


def check_names(files: Sequence[str], output: str | None, output_weights: str | None, manner: WriteManner) -> None:
    """Raise UsageError if a name is empty or has the ending of another kind of file, or if two documents go to
    stdout."""
    if "" in (*files, output, output_weights):
        raise click.UsageError("a file's name is empty")
    check_name("-o", output, "TEXT")
    check_name("-w", output_weights, "WEIGHTS")
    if manner.diff and manner.as_json:
        raise click.UsageError("--diff and --json both print to stdout; choose one")


def rewrite(
    named: Sequence[str],
    output: str | None,
    output_weights: str | None,
    rewriting: Rewriting,
    manner: WriteManner,
    *,
    verify: str | None,
    fork: str | None,
) -> None:
    """Rewrite the net in the files NAMED, with or without weights, and write it. If VERIFY names an engine, verify the
    new net first. FORK is the Caffe that wrote a caffemodel without a prototxt."""
    from caffe_fcn.model.opening import open_model

    net, weights = (*named, None)[:2]
    with ExitStack() as stack:
        paths = [stack.enter_context(as_file(path)) if path is not None else None for path in (net, weights)]
        names = [STDIN if path == "-" else path for path in (net, weights)]
        selection, both = rewriting.selection, (names[0], names[1])
        model = open_model(str(paths[0]), paths[1], selection, names=both, fork=fork)
        if model.weights is not None:
            stack.enter_context(model.weights)
        alone = model.weights is not None and weights is None
        files = _files(str(net), weights, output, output_weights, rewriting.ending, alone=alone)
        folder = os.path.dirname(files.out)
        files = files._replace(others={key: os.path.join(folder, name) for key, name in rewriting.others.items()})
        to_stdout = not manner.dry_run and "-" in (files.out, files.out_weights)
        if to_stdout and (manner.diff or manner.as_json):
            raise click.UsageError("--diff and --json print to stdout, so the output cannot be '-'; name a file")
        if verify and "-" in (files.out, files.out_weights):
            raise click.UsageError("--verify reads the written files, so the outputs cannot be '-'; name files")
        if verify and model.weights is None:
            raise click.UsageError("--verify needs WEIGHTS")
        document = rewrite_files(model, files, rewriting, manner, verify=verify)
        if manner.as_json:
            print_json(document)


def _files(
    net: str, weights: str | None, output: str | None, output_weights: str | None, ending: str, *, alone: bool
) -> Files:
    """Return the paths of inputs and outputs; default names of outputs end in ENDING. If ALONE, NET is a caffemodel
    without a prototxt, and is both net and weights."""
    from caffe_fcn.model.writing import beside

    if alone and net == "-" and output_weights is None:
        raise click.UsageError("the caffemodel comes from stdin; name the new one with -w")
    trained = net if alone else weights
    if trained is None and output_weights is not None:
        raise click.UsageError("-w needs WEIGHTS")
    if output is None:
        output = "-" if net == "-" else beside(net, ".prototxt", ending)
    if trained is not None and output_weights is None:
        output_weights = beside(trained, ".caffemodel", ending)
    return Files(net, weights, output, output_weights)


def rewrite_files(
    model: Model,
    files: Files,
    rewriting: Rewriting,
    manner: WriteManner,
    *,
    verify: str | None = None,
    inputs: Sequence[str] = (),
) -> dict[str, Any]:
    """Rewrite MODEL, read from FILES, verify the result if VERIFY names an engine, report, and return the JSON
    document. No output may be one of the INPUTS or an input in FILES. Raises CaffeFcnError."""
    from caffe_fcn.files.atomic import check_outputs

    verifier = _verifier(model, files, verify) if verify else None
    if not manner.dry_run:
        check_outputs(files.outputs, [*files.inputs, *inputs], force=manner.force)
    decided = rewriting.plan(model)
    if verifier is not None:
        verifier.results = decided.results
    texts = rewriting.texts(decided, files)
    if not manner.dry_run:
        _write(decided, files, texts, manner, verifier)
    _tell(decided, files, rewriting.report, manner, verifier)
    outputs = {"net": files.out, "weights": files.out_weights, **files.others}
    return rewriting.report.document(decided, outputs, manner.dry_run, verifier.document if verifier else None)


def _verifier(model: Model, files: Files, engine: str) -> Verifier:
    from caffe_fcn.errors import SurgeryError
    from caffe_fcn.report.verifier import Verifier

    if model.weights is None or files.out_weights is None:
        raise SurgeryError(
            "--verify needs weights, found none", source=model.source.name, hint="give them, or leave --verify out"
        )
    return Verifier(model.source, model.weights, (files.out, files.out_weights), model.selection, engine)


def _write(
    plan: Plan, files: Files, others: Mapping[str, bytes], manner: WriteManner, verifier: Verifier | None
) -> None:
    from caffe_fcn.model.writing import write_model

    check = verifier.check if verifier else None
    with copying(plan.weights.size if plan.weights else 0, manner.quiet) as progress:
        names = files.out, files.out_weights
        write_model(plan.model, *names, force=manner.force, progress=progress, check=check, others=others)


def _tell(plan: Plan, files: Files, report: Report, manner: WriteManner, verifier: Verifier | None) -> None:
    """Print the diff to stdout, the report to stderr."""
    if manner.diff:
        print_diff(plan.diff(files.out))
    if not manner.quiet and not manner.as_json:
        there = " (exists; needs --force)"
        outputs = [path + there * (manner.dry_run and os.path.lexists(path)) for path in files.outputs]
        for line in (*report.lines(plan, outputs, manner.dry_run), *(verifier.lines if verifier else ())):
            click.echo(line, err=True)
