"""`caffe-fcn run`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from caffe_fcn.cli.directory import directory
from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.nets import net_and_pictures, open_trained
from caffe_fcn.cli.options import (
    directory_name,
    engine_option,
    file_name,
    force_option,
    fork_option,
    option_of,
    preparation_options,
    selection_options,
    size,
    stride,
    taken,
    text,
    threads_option,
)
from caffe_fcn.cli.run_files import Targets, expanded, targets_of
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.predict.options import PreparationOptions, RunOptions

if TYPE_CHECKING:
    from caffe_fcn.cli.run_pictures import Job
    from caffe_fcn.predict.run import PreparedNet


def scales(value: str | tuple[float, ...]) -> tuple[float, ...]:
    """Parse comma-separated scales; each is above 0 and given once. The default is returned unchanged."""
    if isinstance(value, tuple):
        return value
    try:
        found = tuple(float(part) for part in value.split(","))
    except ValueError:
        found = ()
    if not all(0 < each <= 100 for each in found) or len({f"{each:g}" for each in found}) < max(1, len(found)):
        raise click.BadParameter(f"expected different scales above 0 and up to 100, such as 0.5,1,2, found {value!r}")
    return found


def new_size(value: str) -> tuple[int, ...] | int | str:
    """Parse HxW, one number for the shorter side, or "net" for the size of the net."""
    if value == "net":
        return value
    found = size(value)
    if len(found) != 2:
        raise click.BadParameter(f"expected HxW or the shorter side in pixels, or net, found {value!r}")
    return found if "x" in value.lower() else found[0]


def _stride(value: str) -> tuple[int, ...]:
    """Parse N or HxW, of a picture."""
    found = stride(value)
    if len(found) != 2:
        raise click.BadParameter(f"expected a stride in pixels, N or HxW, found {value!r}")
    return found


_MANY, _LARGE = 4, 4 << 20
"""The number of pictures, or of their bytes, from which on it is faster to prepare the large weights of a net."""


@click.command(
    epilog=exit_codes("done", "a net or a picture cannot be processed"),
)
@click.argument("words", metavar="NET [WEIGHTS] IMAGE...", nargs=-1, required=True, type=file_name)
@click.option(
    "-o",
    "--output",
    type=file_name,
    metavar="FILE",
    help='The values of a blob as .npy, or of all as .npz with the positions of map cells; "-" for .npy on stdout.',
)
@click.option("--heatmap", type=file_name, metavar="FILE.png", help="Draw a heat map of the scores of a class.")
@click.option(
    "--class",
    "wanted",
    type=text,
    metavar="N|NAME",
    help="Class to draw in the heat map.  [default: all except the background]",
)
@click.option(
    "--label-map",
    type=file_name,
    metavar="FILE.png",
    help="Draw a map of the top class of each cell; with --palette one of class numbers.",
)
@click.option("--overlay", type=file_name, metavar="FILE.png", help="Draw the top class of each cell over the picture.")
@option_of(RunOptions, "palette", type=file_name, metavar="voc|FILE")
@option_of(RunOptions, "upsample")
@click.option(
    "--out-dir",
    type=directory_name,
    metavar="DIR",
    help="Write into DIR; FILE is then the end of each name: heat.png makes DIR/cat_heat.png.",
)
@preparation_options
@option_of(RunOptions, "resize", type=new_size, metavar="HxW|N|net")
@option_of(RunOptions, "crop", type=click.Choice(["none", "center", "ten"]))
@option_of(RunOptions, "scales", type=scales, metavar="X,...")
@option_of(RunOptions, "labels", type=file_name, metavar="FILE")
@click.option(
    "--top", type=click.IntRange(1), metavar="N", default=5, show_default=True, help="Number of top classes to show."
)
@option_of(RunOptions, "blobs", "--blob", type=text, multiple=True, metavar="NAME")
@option_of(RunOptions, "stride", type=_stride, metavar="N|HxW")
@option_of(RunOptions, "tile", type=click.IntRange(1, 1 << 20), metavar="N")
@option_of(RunOptions, "max_pixels", type=click.IntRange(1), metavar="N")
@engine_option
@threads_option
@option_of(EngineOptions, "low_memory")
@option_of(EngineOptions, "gpu")
@click.option("--benchmark", is_flag=True, help="Only time all engines on one picture and recommend one.")
@selection_options
@fork_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print everything as JSON, with the window and top class of each cell."
)
@force_option
@click.option("-q", "--quiet", is_flag=True, help="Print only errors.")
def run(
    words: tuple[str, ...],
    output: str | None,
    heatmap: str | None,
    label_map: str | None,
    overlay: str | None,
    wanted: str | None,
    out_dir: str | None,
    as_json: bool,
    force: bool,
    quiet: bool,
    top: int,
    benchmark: bool,
    preparation: PreparationOptions,
    **choices: Any,
) -> int:
    """Run NET with WEIGHTS on pictures: files, folders, or globs in quotes. A caffemodel alone has its net inside.

    A classifier gives the top classes of each picture. A fully convolutional net gives a map, K classes × rows ×
    columns, whose cells are the answers for the windows of the picture. The report shows where each class scores
    highest, and how many cells have it as the top class. For values that are not scores of classes it shows their
    range; --output writes all values. A training net is run without its losses; labels are not needed.

    Pictures are preprocessed with --mean and --scale, or as the net itself states. Large pictures are cut into tiles;
    the map is the same. --stride N gives an answer at every N-th pixel; for a map of stride s this takes (s / N)² runs.
    With --scales, drawings show the highest score of all scales.

    \b
    caffe-fcn run deploy.prototxt net.caffemodel cat.jpg --mean 104,117,123 --resize net --labels synset.txt
    caffe-fcn run deploy.prototxt net.caffemodel cat.jpg --mean 104,117,123 --resize 256x256 --crop ten
    caffe-fcn run net.caffemodel cat.jpg --resize net --blob fc7 --output fc7.npy
    caffe-fcn run deploy_fcn.prototxt net_fcn.caffemodel street.png --heatmap heat.png --class 281
    caffe-fcn run deploy_fcn.prototxt net_fcn.caffemodel street.png --benchmark
    caffe-fcn run deploy_fcn.prototxt net_fcn.caffemodel photos/ --out-dir maps --output .npz --label-map .png
    """
    from caffe_fcn.cli.benchmark import check_alone, prepared, time_all
    from caffe_fcn.cli.run_pictures import TellManner, run_all
    from caffe_fcn.engines.registry import engine as engine_called
    from caffe_fcn.files.atomic import check_outputs
    from caffe_fcn.predict.draw.palette import VOC

    asked = Targets(output, heatmap, label_map, overlay)
    options, use = taken(RunOptions, choices), taken(EngineOptions, choices)
    _check_usage(words, asked, wanted, out_dir, options)
    if output == "-" and as_json:
        raise click.UsageError("--json and --output - both print to stdout; choose one")
    if benchmark:
        check_alone(asked, out_dir)
    manner = TellManner(top, as_json, force, quiet)
    with ExitStack() as stack:
        net, images = net_and_pictures(stack, words)
        paths = expanded(images)
        if benchmark:
            return time_all(stack, net, paths, use, preparation, options, as_json=as_json, quiet=quiet, **choices)
        if output == "-" and len(paths) > 1:
            raise click.UsageError(f"--output - takes one picture, found {len(paths)}; use --out-dir")
        targets = targets_of(paths, asked, out_dir)
        if out_dir is not None:
            stack.enter_context(directory(out_dir))
        others = options.labels, preparation.mean, None if options.palette == VOC else options.palette
        inputs = [path for path in (*words[: len(net)], *paths, *others) if path not in (None, "-")]
        check_outputs([file for each in targets for file in each.files], inputs, force=force)
        runner = engine_called(use, brief=_is_brief(paths))
        files = open_trained(stack, net, choices["fork"])
        made = prepared(*files, runner, paths[0], choices["selection"], preparation, options)
        job = _job(made, files.weights.path, use.engine, asked, wanted)
        return run_all(job, paths, targets, manner)


def _is_brief(paths: Sequence[str]) -> bool:
    """Return whether the pictures at PATHS are few and small, by the sizes of their files."""
    return len(paths) < _MANY and sum(os.path.getsize(path) for path in paths if os.path.isfile(path)) < _LARGE


def _check_usage(
    words: tuple[str, ...], asked: Targets, wanted: str | None, out_dir: str | None, options: RunOptions
) -> None:
    """Raise UsageError for options that do not fit together."""
    if "" in (*words, *asked, out_dir):
        raise click.UsageError("a file's name is empty")
    if words[:2] == ("-", "-"):
        raise click.UsageError("only one of NET and WEIGHTS can come from stdin")
    if "-" in words[2:]:
        raise click.UsageError("pictures are not read from stdin; name a file")
    if wanted is not None and asked.heatmap is None:
        raise click.UsageError("--class is for --heatmap; give that too")
    if asked.output not in (None, "-") and not str(asked.output).lower().endswith((".npy", ".npz")):
        raise click.UsageError(f"--output {asked.output}: expected a name that ends in .npy or .npz")
    if options.palette is not None and asked.label_map is None and asked.overlay is None:
        raise click.UsageError("--palette is for --label-map and --overlay; give one of them too")
    drawn = ("--heatmap", asked.heatmap), ("--label-map", asked.label_map), ("--overlay", asked.overlay)
    for option, file in drawn:
        if file is not None and not file.lower().endswith(".png"):
            raise click.UsageError(f"{option} {file}: expected a name that ends in .png")
    if len(options.scales) > 1 and asked.output is not None and not asked.output.lower().endswith(".npz"):
        raise click.UsageError(
            f"--output {asked.output}: can hold one map, but --scales makes {len(options.scales)}; use .npz"
        )
    if out_dir is not None and not any(asked):
        raise click.UsageError(
            "--out-dir needs a file to write: --output .npy, --heatmap .png, --label-map .png or --overlay .png"
        )
    if out_dir is not None and any(file == "-" or (file and os.path.basename(file) != file) for file in asked):
        raise click.UsageError("with --out-dir, FILE must be the end of a name, such as .npy or heat.png")


def _job(
    net: PreparedNet,
    weights: str,
    engine: str,
    asked: Targets,
    wanted: str | None,
) -> Job:
    """Return the job for NET. Raises CaffeFcnError."""
    from caffe_fcn.cli.run_pictures import Job
    from caffe_fcn.errors import EngineError
    from caffe_fcn.predict.results import check_labelled, drawn_of, heat_of

    model, settings = net.model, net.settings
    if asked.output is not None and not asked.output.lower().endswith(".npz") and len(model.outputs) > 1:
        names = ", ".join(repr(output.name) for output in model.outputs)
        raise EngineError(
            f"--output {asked.output} can hold one blob, found {names}",
            source=model.source,
            hint="use .npz, or choose one with --blob",
        )
    heat = labelled = None
    if asked.heatmap is not None:
        drawn = drawn_of(model, "heatmap")
        heat = heat_of(drawn, settings.labels(drawn), wanted, model.source)
    for name, file in (("label_map", asked.label_map), ("overlay", asked.overlay)):
        if file is not None:
            labelled = drawn_of(model, name)
            check_labelled(model, labelled, name, settings.palette)
    return Job(model, weights, engine, settings, heat, labelled, net.notes)
