"""`caffe-fcn report`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.nets import net_and_others
from caffe_fcn.cli.options import (
    file_name,
    force_option,
    fork_option,
    one_phase_options,
    option_of,
    preparation_options,
    size,
    taken,
    text,
)
from caffe_fcn.cli.outputs import output_path, tell_found, unnamed
from caffe_fcn.cli.progress import sections
from caffe_fcn.cli.run_options import new_size
from caffe_fcn.page.options import ReportOptions

if TYPE_CHECKING:
    from caffe_fcn.net.options import Selection
    from caffe_fcn.predict.options import PreparationOptions


@click.command(
    epilog=exit_codes("done", "the net or the picture cannot be read"),
)
@click.argument("words", metavar="NET [WEIGHTS] [IMAGE]", nargs=-1, required=True, type=file_name)
@click.option("-o", "--output", type=file_name, metavar="FILE", help="The page.  [default: NET.html beside NET]")
@option_of(ReportOptions, "input_size", type=size, metavar="HxW")
@preparation_options
@option_of(ReportOptions, "resize", type=new_size, metavar="HxW|N|net")
@option_of(ReportOptions, "labels", type=file_name, metavar="FILE")
@option_of(ReportOptions, "wanted", "--class", type=text, metavar="N|NAME")
@one_phase_options
@fork_option
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
@force_option
@click.option("-q", "--quiet", is_flag=True, help="Print no report.")
def report(
    words: tuple[str, ...],
    output: str | None,
    selection: Selection,
    preparation: PreparationOptions,
    fork: str | None,
    as_json: bool,
    force: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Write one HTML page that shows NET: its graph, costs, problems, weights and activations.

    The page is one file. It loads nothing from a network, and works on a phone and by keyboard. WEIGHTS are shown as
    pictures with statistics. IMAGE is the picture whose activations are shown, and for a fully convolutional net its
    map; without IMAGE activations are those of a test pattern. Weights that do not fit the net are told as a problem.

    \b
    caffe-fcn report deploy.prototxt
    caffe-fcn report deploy.prototxt net.caffemodel cat.jpg --mean 104,117,123 --labels synset.txt -o report.html
    """
    from caffe_fcn.inspection.inspect import open_inspected
    from caffe_fcn.page.saving import save_page
    from caffe_fcn.report.report import document, lines

    if "-" in words[2:]:
        raise click.UsageError("a picture is not read from stdin; name a file")
    out = output_path(words, output, ".html", "PAGE", as_json=as_json)
    with ExitStack() as stack:
        if output is None:
            stack.enter_context(unnamed(out))
        net, pictures = net_and_others(stack, words, "[IMAGE]")
        if len(pictures) > 1:
            raise click.UsageError(f"expected one IMAGE, found {len(pictures)}")
        if not pictures:
            _check_alone(choices)
        files = open_inspected(net[0].path, net[1].path if net[1:] else None, (net[0].name, net[-1].name), fork)
        if files.weights is not None:
            stack.enter_context(files.weights)
        options = taken(ReportOptions, choices)
        with sections(quiet) as progress:
            picture = pictures[0] if pictures else None
            found = save_page(files, out, picture, selection, preparation, options, force=force, progress=progress)
    tell_found(found, lines, document, as_json=as_json, quiet=quiet)


def _check_alone(choices: dict[str, Any]) -> None:
    """Raise UsageError for options that need a picture."""
    for name, option in (("wanted", "--class"), ("resize", "--resize")):
        if choices[name] is not None:
            raise click.UsageError(f"{option} is for a picture; give IMAGE too")
