"""The types of arguments and options (names of files, sizes, shapes, rename rules), and the options that several
commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import click

from caffe_fcn.net.options import OpenOptions, Selection
from caffe_fcn.options import meanings


class _Path(click.types.UnprocessedParamType):
    """A path that a shell can complete. Whether the file exists is checked elsewhere."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return a completion that lets the shell complete the path."""
        from click.shell_completion import CompletionItem  # here, because only completion needs it

        return [CompletionItem(incomplete, type=self.kind)]


file_name = _Path("file", "file")
directory_name = _Path("dir", "directory")


def check_name(option: str, path: str | None, *kinds: str) -> None:
    """Raise UsageError if PATH, an output given to OPTION, has the ending of a kind of file not in KINDS, names of
    `files.names.Kind`. None and "-" are always accepted."""
    from caffe_fcn.files.names import Kind, check_kind

    if path is None or path == "-":
        return
    try:
        check_kind(path, *(Kind[kind] for kind in kinds))
    except ValueError as error:
        raise click.UsageError(f"{option} {error}") from error


def size(value: str) -> tuple[int, ...]:
    """Parse HxW, in pixels; one number for a square."""
    return _extents(value, "HxW in pixels, such as 451x451")


def stride(value: str) -> tuple[int, ...]:
    """Parse N or HxW, in pixels."""
    return _extents(value, "a stride in pixels, N or HxW, such as 4")


def _extents(value: str, expected: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9][0-9]{0,5}(x[1-9][0-9]{0,5})*", value.lower()):
        raise click.BadParameter(f"expected {expected}, found {value!r}")
    extents = tuple(int(extent) for extent in value.lower().split("x"))
    return extents * 2 if len(extents) == 1 else extents


def blob_shape(value: str) -> tuple[str, tuple[int, ...]]:
    """Parse BLOB=N,C,H,W."""
    blob, _, dims = value.rpartition("=")
    if not blob or not re.fullmatch(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*", dims):
        raise click.BadParameter(f"expected BLOB=N,C,H,W, such as data=1,3,224,224, found {value!r}")
    return blob, tuple(int(extent) for extent in dims.split(","))


def level(value: str) -> int:
    """Parse a whole number of 32 bits."""
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", value) or not -(2**31) <= int(value) < 2**31:
        raise click.BadParameter(f"expected a whole number of 32 bits, found {value!r}")
    return int(value)


def fraction(value: str) -> float:
    """Parse a number from 0 to 1; click's own range accepts NaN."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise click.BadParameter(f"expected a number from 0 to 1, such as 0.0001, found {value!r}")
    return number


def finite(value: str | float) -> float:
    """Parse a finite number."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise click.BadParameter(f"expected a number, such as 0.5, found {value!r}")
    return number


def not_negative(value: str) -> float:
    """Parse a finite number from 0 on."""
    if (number := finite(value)) < 0:
        raise click.BadParameter(f"expected a number from 0 on, such as 1e-6, found {value!r}")
    return number


def scale(value: str) -> float:
    """Parse a finite number other than 0, or a fraction of two numbers."""
    above, _, below = value.partition("/")
    try:
        number = float(above) / (float(below) if "/" in value else 1)
    except (ValueError, ZeroDivisionError):
        number = math.nan
    if not math.isfinite(number) or number == 0:
        raise click.BadParameter(f"expected a number other than 0, such as 0.017 or 1/255, found {value!r}")
    return number


def text(value: str) -> str:
    """Check a text that will be part of a model."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("expected UTF-8 text, found other bytes") from None
    return value


def field_name(value: str) -> str:
    """Parse PARAM.FIELD, a field of a layer's parameters."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", value):
        raise click.BadParameter(f"expected PARAM.FIELD, such as convolution_param.relu, found {value!r}")
    return value


def fork_name(value: str) -> str:
    """Parse the name of a fork of Caffe whose format is known, or BVLC."""
    from caffe_fcn.schema.layouts import named

    try:
        return named(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def rename_rule(value: str) -> str:
    """Parse PATTERN=REPLACEMENT, a regular expression."""
    from caffe_fcn.passes.convolutionalize.naming import parse_rule

    return parsable(value, parse_rule)


def parsable(value: str, parse: Callable[[str], object]) -> str:
    """VALUE as it is. Raises BadParameter if PARSE raises ValueError for it."""
    try:
        parse(text(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return value


Command = TypeVar("Command", bound="Callable[..., Any] | click.Command")
Options = TypeVar("Options")


def option_of(
    options: type, name: str, *flags: str, by_default: str | None = None, **how: Any
) -> Callable[[Command], Command]:
    """Return the click option that sets the field NAME of OPTIONS, with the field's default and meaning. Its name is
    that of the field, or that in FLAGS; BY_DEFAULT replaces what its meaning has; HOW is passed to click."""
    default = getattr(options, name)
    text, generally = meanings(options)[name]
    by_default = generally if by_default is None else by_default
    if how.get("multiple"):
        text = f"{text.removesuffix('.')}; repeatable."
    if by_default:
        text += f"  [default: {by_default}]"
    shown = not by_default and default is not None and default is not False and default != ()
    spelt = flags or (f"--{name.replace('_', '-')}",)
    return click.option(*spelt, name, default=default, is_flag=default is False, help=text, show_default=shown, **how)


def taken(options: type[Options], choices: dict[str, Any]) -> Options:
    """Move the fields of OPTIONS from CHOICES into OPTIONS."""
    return options(**{name: choices.pop(name) for name in meanings(options) if name in choices})


fork_option = option_of(OpenOptions, "fork", type=fork_name, metavar="NAME")
"""The option for the fork whose field numbers a caffemodel without a prototxt has."""


# Dataclasses of options that only some commands have are loaded with these commands: each takes half a millisecond.


def force_option(command: Command) -> Command:
    """Return the option that allows files to be overwritten."""
    from caffe_fcn.files.options import WriteOptions

    return option_of(WriteOptions, "force")(command)


def input_channels_option(options: type) -> Callable[[Command], Command]:
    """Return the option of OPTIONS that changes the channels of the input."""
    return option_of(options, "input_channels", type=click.IntRange(1, 65535), metavar="N")


def engine_option(command: Command) -> Command:
    """Return the option that chooses the engine."""
    from caffe_fcn.engines.options import ENGINES, EngineOptions

    return option_of(EngineOptions, "engine", type=click.Choice(ENGINES))(command)


def threads_option(command: Command) -> Command:
    """Return the option for the number of threads."""
    from caffe_fcn.engines.options import EngineOptions

    return option_of(EngineOptions, "threads", type=click.IntRange(1, 1024), metavar="N")(command)


def check_fork(fork: str | None, *, alone: bool) -> None:
    """Raise UsageError if FORK is given, but no caffemodel is used ALONE, without a prototxt."""
    if fork is not None and not alone:
        raise click.UsageError("--fork is for a caffemodel without its prototxt; found none")


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose the net in a file, by default all its phases. COMMAND gets them as one
    `selection`."""
    return _selecting(command, "every phase in the file")


def one_phase_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same options to a COMMAND that uses only one phase."""
    return _selecting(command, "TEST")


def _selecting(command: Callable[..., Any], phase: str) -> Callable[..., Any]:

    @click.option(
        "--input-shape",
        type=blob_shape,
        multiple=True,
        metavar="BLOB=N,C,H,W",
        help="Shape of an input without a shape in the files.",
    )
    @click.option(
        "--shape",
        type=blob_shape,
        multiple=True,
        metavar="BLOB=N,C,H,W",
        help="Shape of a top of an unknown layer type.",
    )
    @option_of(Selection, "phase", type=click.Choice(["train", "test"], case_sensitive=False), by_default=phase)
    @option_of(Selection, "stages", "--stage", type=text, multiple=True, metavar="NAME")
    @option_of(Selection, "level", type=level, metavar="N")
    @option_of(Selection, "crop_offset", type=click.Choice(["auto", "zero"]))
    @option_of(Selection, "ignore_fields", "--ignore-field", type=field_name, multiple=True, metavar="PARAM.FIELD")
    @wraps(command)
    def with_selection(
        input_shape: tuple[tuple[str, tuple[int, ...]], ...],
        shape: tuple[tuple[str, tuple[int, ...]], ...],
        **others: Any,
    ) -> Any:
        others["phase"] = others["phase"] and others["phase"].upper()
        selection = replace(taken(Selection, others), shapes={**dict(input_shape), **dict(shape)})
        return command(selection=selection, **others)

    return with_selection


class WriteManner(NamedTuple):
    """How files are written and reported."""

    dry_run: bool
    diff: bool
    as_json: bool
    force: bool
    quiet: bool


def writing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for writing files. COMMAND gets them as one `manner`."""

    @click.option("--dry-run", is_flag=True, help="Report only; write nothing.")
    @click.option("--diff", is_flag=True, help="Print a unified diff of the prototxt.")
    @click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
    @force_option
    @click.option("-q", "--quiet", is_flag=True, help="Print no report.")
    @wraps(command)
    def with_manner(dry_run: bool, diff: bool, as_json: bool, force: bool, quiet: bool, **others: Any) -> Any:
        return command(manner=WriteManner(dry_run, diff, as_json, force, quiet), **others)

    return with_manner


def preparation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the preprocessing of pictures. COMMAND gets them as one `preparation`."""
    from caffe_fcn.predict.options import PreparationOptions

    @option_of(PreparationOptions, "mean", type=file_name, metavar="B,G,R|FILE")
    @option_of(PreparationOptions, "scale", type=scale, metavar="X")
    @option_of(PreparationOptions, "swap_channels")
    @option_of(PreparationOptions, "column_major")
    @wraps(command)
    def with_preparation(**choices: Any) -> Any:
        return command(preparation=taken(PreparationOptions, choices), **choices)

    return with_preparation
