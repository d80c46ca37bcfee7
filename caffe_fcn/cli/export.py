"""`caffe-fcn export`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.nets import files_of, open_trained
from caffe_fcn.cli.options import (
    file_name,
    force_option,
    fork_option,
    one_phase_options,
    option_of,
    preparation_options,
    text,
)
from caffe_fcn.cli.outputs import output_path, tell_found, unnamed
from caffe_fcn.cli.progress import copying
from caffe_fcn.predict.options import ExportOptions, PreparationOptions

if TYPE_CHECKING:
    from caffe_fcn.net.options import Selection


@click.command(
    epilog=exit_codes("done", "the net cannot be exported"),
)
@click.argument("net", type=file_name)
@click.argument("weights", type=file_name, required=False)
@click.option("-o", "--output", type=file_name, metavar="FILE", help="The ONNX file.  [default: NET.onnx beside NET]")
@option_of(ExportOptions, "blobs", "--blob", type=text, multiple=True, metavar="BLOB")
@option_of(ExportOptions, "fixed")
@option_of(ExportOptions, "external_data")
@option_of(ExportOptions, "expand_lrn")
@preparation_options
@option_of(ExportOptions, "labels", type=file_name, metavar="FILE")
@one_phase_options
@fork_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@force_option
@click.option("-q", "--quiet", is_flag=True, help="Print no report.")
def export(
    net: str,
    weights: str | None,
    output: str | None,
    selection: Selection,
    preparation: PreparationOptions,
    fork: str | None,
    as_json: bool,
    force: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Export NET with its WEIGHTS to ONNX. A caffemodel alone is exported with the net inside it.

    Blobs keep their names. The batch is free if every output has a batch axis, and the size of the input if the net
    accepts any size, as a converted net does. Losses and measures are left out, and data layers become inputs. The
    metadata of the file contain the mean and the scale, which the model does not apply, the names of the classes, and
    the positions of the cells of a map.

    Models over 2 GB have their weights in a second file. "-" is standard input or output.

    \b
    caffe-fcn export deploy.prototxt net.caffemodel
    caffe-fcn export deploy.prototxt net.caffemodel -o alexnet.onnx --mean 104,117,123
    """
    from caffe_fcn.predict.export import export_net
    from caffe_fcn.report.export import document, lines

    out = output_path((net, weights), output, ".onnx", "ONNX", as_json=as_json)
    options = ExportOptions(**choices)
    with ExitStack() as stack:
        if output is None:
            stack.enter_context(unnamed(out))
        files = open_trained(stack, files_of(stack, [net] if weights is None else [net, weights]), fork)
        with copying(files.weights.size, quiet) as progress:
            found = export_net(*files, out, selection, options, preparation, force=force, progress=progress)
    tell_found(found, lines, document, as_json=as_json, quiet=quiet)
