"""What the commands' arguments and options accept: names of files, sizes, shapes, rename rules, each an option's
type; and the options that several commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from caffe_fcn.net.selection import CropOffset


class _Path(click.types.UnprocessedParamType):
    """A name that a shell completes as one of a file or directory; whether there is such a thing, others say."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """What tells the shell to look itself."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type=self.kind)]


file_name = _Path("file", "file")
directory_name = _Path("dir", "directory")


def check_name(option: str, path: str | None, *kinds: str) -> None:
    """Raise UsageError where PATH, given to OPTION as the name of an output, is a name for another kind of file than
    KINDS, which are names of a `files.names.Kind`; None and "-" are no names."""
    from caffe_fcn.files.names import Kind, check_kind

    if path is None or path == "-":
        return
    try:
        check_kind(path, *(Kind[kind] for kind in kinds))
    except ValueError as error:
        raise click.UsageError(f"{option} {error}") from error


def size(value: str) -> tuple[int, ...]:
    """HxW, in pixels; one number for a square."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}(x[1-9][0-9]{0,5})*", value.lower()):
        raise click.BadParameter(f"expected HxW in pixels, such as 451x451, found {value!r}")
    extents = tuple(int(extent) for extent in value.lower().split("x"))
    return extents * 2 if len(extents) == 1 else extents


def blob_shape(value: str) -> tuple[str, tuple[int, ...]]:
    """BLOB=N,C,H,W."""
    blob, _, dims = value.rpartition("=")
    if not blob or not re.fullmatch(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*", dims):
        raise click.BadParameter(f"expected BLOB=N,C,H,W, such as data=1,3,224,224, found {value!r}")
    return blob, tuple(int(extent) for extent in dims.split(","))


def level(value: str) -> int:
    """A whole number of 32 bits."""
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", value) or not -(2**31) <= int(value) < 2**31:
        raise click.BadParameter(f"expected a whole number of 32 bits, found {value!r}")
    return int(value)


def fraction(value: str) -> float:
    """A number from 0 to 1; click's own range lets NaN pass."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise click.BadParameter(f"expected a number from 0 to 1, such as 0.0001, found {value!r}")
    return number


def scale(value: str) -> float:
    """A finite number other than 0, or a fraction of two."""
    above, _, below = value.partition("/")
    try:
        number = float(above) / (float(below) if "/" in value else 1)
    except (ValueError, ZeroDivisionError):
        number = math.nan
    if not math.isfinite(number) or number == 0:
        raise click.BadParameter(f"expected a number other than 0, such as 0.017 or 1/255, found {value!r}")
    return number


def text(value: str) -> str:
    """A text that can stand in a model."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("expected UTF-8 text, found other bytes") from None
    return value


def field_name(value: str) -> str:
    """PARAM.FIELD, a field of a layer's parameters."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", value):
        raise click.BadParameter(f"expected PARAM.FIELD, such as convolution_param.relu, found {value!r}")
    return value


def fork_name(value: str) -> str:
    """A fork of Caffe whose format is known, or BVLC."""
    from caffe_fcn.schema.layouts import named

    try:
        return named(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def rename_rule(value: str) -> str:
    """PATTERN=REPLACEMENT, a regular expression."""
    from caffe_fcn.passes.convolutionalize.naming import parse_rule

    try:
        parse_rule(text(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return value


fork_option = click.option(
    "--fork",
    type=fork_name,
    metavar="NAME",
    help="The Caffe that wrote a caffemodel without its prototxt: BVLC, SSD, NVIDIA ...",
)
"""The option that says by whose numbers a caffemodel alone is read."""


low_memory_option = click.option(
    "--low-memory",
    is_flag=True,
    help="Use large weights where they lie in onnxruntime, which takes less memory and more time.  "
    "[default: for few and small pictures, and where memory is short]",
)
"""The option that chooses memory over time."""


def check_fork(fork: str | None, *, alone: bool) -> None:
    """Raise UsageError where FORK is given, and no caffemodel stands ALONE."""
    if fork is not None and not alone:
        raise click.UsageError("--fork says who wrote a caffemodel without its prototxt, and there is none")


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which net of a file is meant, handed to COMMAND as one `selection`."""

    @click.option(
        "--input-shape",
        type=blob_shape,
        multiple=True,
        metavar="BLOB=N,C,H,W",
        help="Shape of an input that the files leave out.",
    )
    @click.option(
        "--shape",
        type=blob_shape,
        multiple=True,
        metavar="BLOB=N,C,H,W",
        help="Shape of a blob that an unknown layer makes.",
    )
    @click.option("--phase", type=click.Choice(["train", "test"], case_sensitive=False), help="Look at one phase only.")
    @click.option("--stage", type=text, multiple=True, metavar="NAME", help="Stage to build the net for; repeatable.")
    @click.option("--level", type=level, metavar="N", help="Level to build the net for.")
    @click.option(
        "--crop-offset",
        type=click.Choice(["auto", "zero"]),
        help="Offset of Crop layers that give none: from the net's geometry, or 0.",
    )
    @click.option(
        "--ignore-field",
        type=field_name,
        multiple=True,
        metavar="PARAM.FIELD",
        help="Ignore a field whose effect is not supported; repeatable.",
    )
    @wraps(command)
    def with_selection(
        input_shape: tuple[tuple[str, tuple[int, ...]], ...],
        shape: tuple[tuple[str, tuple[int, ...]], ...],
        phase: str | None,
        stage: tuple[str, ...],
        level: int | None,
        crop_offset: CropOffset | None,
        ignore_field: tuple[str, ...],
        **others: Any,
    ) -> Any:
        from caffe_fcn.net.selection import Selection

        given = {**dict(input_shape), **dict(shape)}
        phase = phase.upper() if phase else None
        selection = Selection(phase, stage, level, given, crop_offset, frozenset(ignore_field))
        return command(selection=selection, **others)

    return with_selection


class WriteManner(NamedTuple):
    """How files are written, and told of."""

    dry_run: bool
    diff: bool
    as_json: bool
    force: bool
    quiet: bool


def writing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how files are written, handed to COMMAND as one `manner`."""

    @click.option("--dry-run", is_flag=True, help="Report, and write nothing.")
    @click.option("--diff", is_flag=True, help="Print the prototxt's unified diff.")
    @click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
    @click.option("--force", is_flag=True, help="Overwrite files that exist.")
    @click.option("-q", "--quiet", is_flag=True, help="Print no report.")
    @wraps(command)
    def with_manner(dry_run: bool, diff: bool, as_json: bool, force: bool, quiet: bool, **others: Any) -> Any:
        return command(manner=WriteManner(dry_run, diff, as_json, force, quiet), **others)

    return with_manner


class Preparation(NamedTuple):
    """What the options say of how pictures become a net's input; what they leave open is None."""

    mean: str | None
    scale: float | None
    rgb: bool


def preparation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how pictures become a net's input, handed to COMMAND as one `preparation`."""

    @click.option(
        "--mean",
        type=file_name,
        metavar="B,G,R|FILE",
        help="Subtract this: a number, one for each channel, or a .npy or .binaryproto.",
    )
    @click.option(
        "--scale", type=scale, metavar="X", help="Multiply by this, such as 1/255, after the mean is subtracted."
    )
    @click.option("--swap-channels", is_flag=True, help="The net takes red first; Caffe's take blue first.")
    @wraps(command)
    def with_preparation(mean: str | None, scale: float | None, swap_channels: bool, **others: Any) -> Any:
        return command(preparation=Preparation(mean, scale, swap_channels), **others)

    return with_preparation
