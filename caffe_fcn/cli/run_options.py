"""The options of `run` in groups: each decorator adds one group, and the command gets the group as one value."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import click

from caffe_fcn.cli.options import (
    directory_name,
    engine_option,
    file_name,
    finite,
    force_option,
    fraction,
    option_of,
    size,
    stride,
    taken,
    text,
    threads_option,
)
from caffe_fcn.cli.run_files import Targets
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.predict.options import DrawingOptions, PeakOptions, RunOptions


class Wanted(NamedTuple):
    """The files that the user wants, in the directory OUT_DIR if that is given; and the class LABEL, which is reported,
    drawn in the heat map, and the only one with peaks. PEAKS: they are searched for."""

    files: Targets
    out_dir: str | None
    label: str | None
    peaks: PeakOptions | None


class TellManner(NamedTuple):
    """How results are reported: the TOP classes, as JSON, or not at all. With FORCE files are overwritten."""

    top: int
    as_json: bool
    force: bool
    quiet: bool


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


def value_range(value: str) -> tuple[float, float] | str:
    """Parse LO,HI, two finite numbers, the lower one first, or "auto"."""
    if value == "auto":
        return value
    try:
        low, high = map(float, value.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise click.BadParameter(f"expected auto, or two numbers, the lower one first, such as 0,1, found {value!r}")
    return low, high


def wanted_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the files that are written for a picture. COMMAND gets them as one `wanted`."""

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
        "label",
        type=text,
        metavar="N|NAME",
        help="Report where this class is highest, and draw, or find peaks of, this class only.  "
        "[default: all except the background]",
    )
    @click.option(
        "--label-map",
        type=file_name,
        metavar="FILE.png",
        help="Draw a map of the top class of each cell; with --palette one of class numbers.",
    )
    @click.option(
        "--overlay", type=file_name, metavar="FILE.png", help="Draw the top class of each cell over the picture."
    )
    @click.option("--peaks", is_flag=True, help="Report each place where a class scores higher than around.")
    @option_of(PeakOptions, "threshold", type=finite, metavar="X")
    @option_of(PeakOptions, "nms", type=fraction, metavar="X")
    @click.option("--boxes", type=file_name, metavar="FILE.png", help="Draw the boxes of the peaks over the picture.")
    @click.option("--csv", type=file_name, metavar="FILE.csv", help="Write all peaks as a table, into a file.")
    @click.option(
        "--picture",
        type=file_name,
        metavar="FILE.png",
        help="Write an output of one or three channels as a picture, as of a net for super-resolution: divided by "
        "--scale, plus --mean, and clipped to 0..255; or from --range.",
    )
    @click.option(
        "--out-dir",
        type=directory_name,
        metavar="DIR",
        help="Write into DIR; FILE is then the end of each name: heat.png makes DIR/cat_heat.png.",
    )
    @wraps(command)
    def with_wanted(label: str | None, out_dir: str | None, peaks: bool, **others: Any) -> Any:
        files = Targets(**{kind: others.pop(kind) for kind in Targets._fields})
        search = taken(PeakOptions, others)
        searched = peaks or files.boxes is not None or files.csv is not None
        if not searched and search != PeakOptions():
            name = "threshold" if search.threshold is not None else "nms"
            raise click.UsageError(f"--{name} is for --peaks, --boxes and --csv; give one of them too")
        return command(wanted=Wanted(files, out_dir, label, search if searched else None), **others)

    return with_wanted


def drawing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of how maps are drawn. COMMAND gets them as one `drawing`."""

    @option_of(DrawingOptions, "palette", type=file_name, metavar="voc|FILE")
    @option_of(DrawingOptions, "upsample")
    @option_of(DrawingOptions, "value_range", "--range", type=value_range, metavar="auto|LO,HI")
    @option_of(DrawingOptions, "under", type=click.Choice(["grey", "colour"]))
    @wraps(command)
    def with_drawing(**choices: Any) -> Any:
        return command(drawing=taken(DrawingOptions, choices), **choices)

    return with_drawing


def running_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of how a net is run. COMMAND gets them as one `options`."""

    @option_of(RunOptions, "resize", type=new_size, metavar="HxW|N|net")
    @option_of(RunOptions, "crop", type=click.Choice(["none", "center", "ten"]))
    @option_of(RunOptions, "pad_to", type=click.IntRange(1, 1 << 16), metavar="N")
    @option_of(RunOptions, "scales", type=scales, metavar="X,...")
    @option_of(RunOptions, "labels", type=file_name, metavar="FILE")
    @option_of(RunOptions, "no_scores")
    @option_of(RunOptions, "blobs", "--blob", type=text, multiple=True, metavar="NAME")
    @option_of(RunOptions, "stride", type=_stride, metavar="N|HxW")
    @option_of(RunOptions, "tile", type=click.IntRange(1, 1 << 20), metavar="N")
    @option_of(RunOptions, "max_pixels", type=click.IntRange(1), metavar="N")
    @wraps(command)
    def with_running(**choices: Any) -> Any:
        return command(options=taken(RunOptions, choices), **choices)

    return with_running


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the engine. COMMAND gets them as one `use`."""

    @engine_option
    @threads_option
    @option_of(EngineOptions, "low_memory")
    @option_of(EngineOptions, "gpu")
    @wraps(command)
    def with_engine(**choices: Any) -> Any:
        return command(use=taken(EngineOptions, choices), **choices)

    return with_engine


def telling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of how results are reported. COMMAND gets them as one `manner`."""

    @click.option(
        "--top",
        type=click.IntRange(1),
        metavar="N",
        default=5,
        show_default=True,
        help="Number of top classes to show.",
    )
    @click.option(
        "--json", "as_json", is_flag=True, help="Print everything as JSON, with the window and top class of each cell."
    )
    @force_option
    @click.option("-q", "--quiet", is_flag=True, help="Print only errors.")
    @wraps(command)
    def with_manner(top: int, as_json: bool, force: bool, quiet: bool, **others: Any) -> Any:
        return command(manner=TellManner(top, as_json, force, quiet), **others)

    return with_manner
