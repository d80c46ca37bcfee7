"""`caffe-fcn draw`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.nets import files_of
from caffe_fcn.cli.options import (
    file_name,
    force_option,
    fork_option,
    one_phase_options,
    option_of,
    size,
)
from caffe_fcn.cli.outputs import output_path, unnamed
from caffe_fcn.diagram.options import DrawOptions

if TYPE_CHECKING:
    from caffe_fcn.inspection.records import InspectedFiles
    from caffe_fcn.net.options import Selection


_OUTPUT = "The drawing.  [default: NET.svg beside NET; NET_compared.svg for two nets]"


@click.command(
    epilog=exit_codes("done", "the net cannot be drawn"),
)
@click.argument("net", type=file_name)
@click.argument("weights", type=file_name, required=False)
@click.option("-o", "--output", type=file_name, metavar="FILE", help=_OUTPUT)
@option_of(DrawOptions, "format", type=click.Choice(["svg", "png", "dot"]))
@option_of(DrawOptions, "compare", type=file_name, metavar="FILE")
@option_of(DrawOptions, "input_size", type=size, metavar="HxW")
@one_phase_options
@fork_option
@force_option
@click.option("-q", "--quiet", is_flag=True, help="Print no report.")
def draw(
    net: str,
    weights: str | None,
    output: str | None,
    selection: Selection,
    fork: str | None,
    force: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Draw the graph of NET, from top to bottom: a box for each layer, with the shapes of blobs at the lines between.

    Colours show families of layers. Layers that work in place are in the box of the layer before them. A tooltip has
    more about a layer. NET is a prototxt, or a caffemodel that contains its net; WEIGHTS tell the shapes that a
    prototxt does not have.

    --compare draws a second net beside NET, and marks what is new, gone, replaced or changed.

    PNG needs pillow, and is refused for very large nets. "-" is standard input or output.

    \b
    caffe-fcn draw deploy.prototxt
    caffe-fcn draw deploy.prototxt --compare deploy_fcn.prototxt -o both.svg
    caffe-fcn draw train_val.prototxt --phase train -o train.png
    caffe-fcn draw deploy.prototxt -o - --format dot > net.dot
    """
    from caffe_fcn.diagram.saving import format_of, save_drawing

    options = DrawOptions(**choices)
    ending = f"{'' if options.compare is None else '_compared'}.{options.format or 'svg'}"
    out = output_path((net, weights, options.compare), output, ending, "DRAWING", "PICTURE", as_json=False)
    try:
        format_of(out, options.format)
    except ValueError as error:
        raise click.UsageError(f"-o {error}") from error
    with ExitStack() as stack:
        if output is None:
            stack.enter_context(unnamed(out))
        files = _opened(stack, [net] if weights is None else [net, weights], fork)
        compared = None if options.compare is None else _opened(stack, [options.compare], fork)
        found = save_drawing(files, out, selection, options, compared, force=force)
    if not quiet:
        from caffe_fcn.report.draw import lines

        for line in lines(found):
            click.echo(line, err=True)


def _opened(stack: ExitStack, words: list[str], fork: str | None) -> InspectedFiles:
    """Open the files that WORDS name, a net with or without weights, until STACK closes."""
    from caffe_fcn.inspection.inspect import open_inspected

    files = files_of(stack, words)
    found = open_inspected(files[0].path, files[1].path if files[1:] else None, (files[0].name, files[-1].name), fork)
    if found.weights is not None:
        stack.enter_context(found.weights)
    return found
