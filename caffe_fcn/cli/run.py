"""`caffe-fcn run`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from caffe_fcn.cli.directory import directory
from caffe_fcn.cli.failures import exit_codes
from caffe_fcn.cli.nets import net_and_pictures, open_trained
from caffe_fcn.cli.options import file_name, fork_option, one_phase_options, preparation_options
from caffe_fcn.cli.run_files import KINDS, expanded, targets_of
from caffe_fcn.cli.run_options import (
    TellManner,
    Wanted,
    drawing_options,
    engine_options,
    running_options,
    telling_options,
    wanted_options,
)

if TYPE_CHECKING:
    from caffe_fcn.cli.run_pictures import Job
    from caffe_fcn.engines.options import EngineOptions
    from caffe_fcn.net.options import Selection
    from caffe_fcn.predict.options import DrawingOptions, PreparationOptions, RunOptions
    from caffe_fcn.predict.outputs import NetOutput
    from caffe_fcn.predict.preparing import PreparedNet


_MANY, _LARGE = 4, 4 << 20
"""The number of pictures, or of their bytes, from which on it is faster to prepare the large weights of a net."""


@click.command(
    epilog=exit_codes("done", "a net or a picture cannot be processed"),
)
@click.argument("words", metavar="NET [WEIGHTS] IMAGE...", nargs=-1, required=True, type=file_name)
@wanted_options
@drawing_options
@preparation_options
@running_options
@engine_options
@click.option("--benchmark", is_flag=True, help="Only time all engines on one picture and recommend one.")
@one_phase_options
@fork_option
@telling_options
def run(
    words: tuple[str, ...],
    wanted: Wanted,
    drawing: DrawingOptions,
    preparation: PreparationOptions,
    options: RunOptions,
    use: EngineOptions,
    benchmark: bool,
    selection: Selection,
    fork: str | None,
    manner: TellManner,
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
    caffe-fcn run superres.prototxt superres.caffemodel small.png --scale 1/255 --picture large.png
    caffe-fcn run deploy_fcn.prototxt net_fcn.caffemodel street.png --peaks --boxes found.png --csv found.csv
    caffe-fcn run deploy_fcn.prototxt net_fcn.caffemodel street.png --benchmark
    caffe-fcn run deploy_fcn.prototxt net_fcn.caffemodel photos/ --out-dir maps --output .npz --label-map .png
    """
    from caffe_fcn.cli.benchmark import check_alone, prepared, time_all
    from caffe_fcn.cli.run_pictures import run_all
    from caffe_fcn.engines.registry import engine as engine_called
    from caffe_fcn.files.atomic import check_outputs
    from caffe_fcn.predict.draw.palette import VOC

    _check_usage(words, wanted, drawing, options, manner)
    if benchmark:
        check_alone(wanted)
    with ExitStack() as stack:
        net, images = net_and_pictures(stack, words)
        paths = expanded(images)
        if benchmark:
            how = {"as_json": manner.as_json, "quiet": manner.quiet}
            return time_all(
                stack, net, paths, use, preparation, options, drawing, selection=selection, fork=fork, **how
            )
        if wanted.files.output == "-" and len(paths) > 1:
            raise click.UsageError(f"--output - takes one picture, found {len(paths)}; use --out-dir")
        targets = targets_of(paths, wanted.files, wanted.out_dir)
        if wanted.out_dir is not None:
            stack.enter_context(directory(wanted.out_dir))
        others = options.labels, preparation.mean, None if drawing.palette == VOC else drawing.palette
        read = [path for path in (*words[: len(net)], *paths, *others) if path not in (None, "-")]
        check_outputs([file for each in targets for file in each.files], read, force=manner.force)
        runner = engine_called(use, brief=_is_brief(paths))
        files = open_trained(stack, net, fork)
        made = prepared(*files, runner, paths[0], selection, preparation, options, drawing)
        return run_all(_job(made, files.weights.path, use.engine, wanted), paths, targets, manner)


def _is_brief(paths: Sequence[str]) -> bool:
    """Return whether the pictures at PATHS are few and small, by the sizes of their files."""
    return len(paths) < _MANY and sum(os.path.getsize(path) for path in paths if os.path.isfile(path)) < _LARGE


def _check_usage(
    words: tuple[str, ...], wanted: Wanted, drawing: DrawingOptions, options: RunOptions, manner: TellManner
) -> None:
    """Raise UsageError for options that do not fit together."""
    asked, out_dir, *_ = wanted
    if "" in (*words, *asked, out_dir):
        raise click.UsageError("a file's name is empty")
    if words[:2] == ("-", "-"):
        raise click.UsageError("only one of NET and WEIGHTS can come from stdin")
    if "-" in words[2:]:
        raise click.UsageError("pictures are not read from stdin; name a file")
    if asked.output not in (None, "-") and not str(asked.output).lower().endswith((".npy", ".npz")):
        raise click.UsageError(f"--output {asked.output}: expected a name that ends in .npy or .npz")
    if drawing.palette is not None and asked.label_map is None and asked.overlay is None:
        raise click.UsageError("--palette is for --label-map and --overlay; give one of them too")
    if options.no_scores and (asked.label_map or asked.overlay):
        raise click.UsageError("--no-scores gives no top classes, which --label-map and --overlay draw; leave one out")
    if options.no_scores and wanted.peaks is not None:
        raise click.UsageError("--no-scores gives no scores, but --peaks, --boxes and --csv need scores; leave it out")
    if options.no_scores and click.get_current_context().get_parameter_source("top") is not ParameterSource.DEFAULT:
        raise click.UsageError("--no-scores gives no top classes; leave out --top")
    if drawing.value_range != "auto" and asked.heatmap is None and asked.picture is None:
        raise click.UsageError("--range is for --heatmap and --picture; give one of them too")
    over_picture = asked.heatmap, asked.overlay, asked.boxes, asked.label_map if drawing.palette is None else None
    if drawing.under != "grey" and not any(over_picture):
        told = "--under is for --heatmap, --overlay, --boxes, and --label-map without --palette; give one too"
        raise click.UsageError(told)
    for kind, file in zip(KINDS, asked, strict=True):
        ending = ".csv" if kind == "csv" else ".png"
        if file is not None and kind != "output" and not file.lower().endswith(ending):
            raise click.UsageError(f"--{kind.replace('_', '-')} {file}: expected a name that ends in {ending}")
    if len(options.scales) > 1 and asked.output is not None and not asked.output.lower().endswith(".npz"):
        raise click.UsageError(
            f"--output {asked.output}: can hold one map, but --scales makes {len(options.scales)}; use .npz"
        )
    if out_dir is not None and not any(asked):
        raise click.UsageError(
            "--out-dir needs a file to write: --output .npy, --heatmap .png, --label-map .png, --overlay .png, "
            "--picture .png, --boxes .png or --csv .csv"
        )
    if out_dir is not None and any(file == "-" or (file and os.path.basename(file) != file) for file in asked):
        raise click.UsageError("with --out-dir, FILE must be the end of a name, such as .npy or heat.png")
    if asked.output == "-" and manner.as_json:
        raise click.UsageError("--json and --output - both print to stdout; choose one")


def _job(net: PreparedNet, weights: str, engine: str, wanted: Wanted) -> Job:
    """Return the job for NET. Raises CaffeFcnError."""
    from caffe_fcn.cli.run_pictures import Job
    from caffe_fcn.errors import EngineError
    from caffe_fcn.predict.choosing import drawn_of, heat_of, labelled_of
    from caffe_fcn.predict.output_picture import pictured_of
    from caffe_fcn.predict.searching import search_for

    asked, _, label, peaks = wanted
    model, settings = net.model, net.settings
    if asked.output is not None and not asked.output.lower().endswith(".npz") and len(model.outputs) > 1:
        names = ", ".join(repr(output.name) for output in model.outputs)
        raise EngineError(
            f"--output {asked.output} can hold one blob, found {names}",
            source=model.source,
            hint="use .npz, or choose one with --blob",
        )
    drawn = heat = labelled = None
    if asked.heatmap is not None:
        drawn = drawn_of(model, "heatmap")
        heat = heat_of(drawn, settings.labels(drawn), label, model.source)
    for name, file in (("label_map", asked.label_map), ("overlay", asked.overlay)):
        if file is not None:
            labelled = labelled_of(model, name, settings.drawing.palette)
    search = search_for(model, settings, label, peaks, drawn)
    notes = net.notes + (search.peaks.notes if search.peaks is not None else ())
    pictured = None
    if asked.picture is not None:
        pictured = pictured_of(model.outputs, settings, model.source)
        model = replace(model, outputs=tuple(_plain(each) if each is pictured else each for each in model.outputs))
    return Job(model, weights, engine, settings, heat, labelled, pictured, search, notes)


def _plain(output: NetOutput) -> NetOutput:
    """Return OUTPUT, which is a picture, without scores of classes."""
    from caffe_fcn.predict.outputs import Holds

    return replace(output, holds=Holds.VALUES)
