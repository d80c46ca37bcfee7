"""`caffe-fcn diff`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from caffe_fcn.cli.failures import DONE, FAILED, TROUBLE, exit_codes, explain, in_one_line, tell
from caffe_fcn.cli.nets import File, files_of
from caffe_fcn.cli.options import file_name, fork_option, not_negative, option_of, selection_options
from caffe_fcn.cli.options import text as any_text
from caffe_fcn.cli.streams import print_json, print_lines
from caffe_fcn.compare.options import DiffOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caffe_fcn.compare.records import NetDiff
    from caffe_fcn.net.options import Selection
    from caffe_fcn.report.diff import StyledLine


@click.command(
    epilog=exit_codes("both are equal", "they differ", "a file cannot be compared, or wrong usage"),
)
@click.argument("files", metavar="OLD [WEIGHTS] NEW [WEIGHTS]", nargs=-1, required=True, type=file_name)
@option_of(DiffOptions, "rtol", type=not_negative, metavar="X")
@option_of(DiffOptions, "atol", type=not_negative, metavar="X")
@option_of(DiffOptions, "layers", type=any_text, multiple=True, metavar="GLOB")
@option_of(DiffOptions, "ignore_names")
@option_of(DiffOptions, "weights_only")
@selection_options
@fork_option
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
@click.option("--brief", is_flag=True, help="Print only one line: whether they differ, and how many layers.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; the exit code tells.")
@click.option("--git", is_flag=True, help="Take the seven arguments that git gives to diff.NAME.command.")
def diff(files: tuple[str, ...], git: bool, **choices: Any) -> int:
    """Compare two nets, their weights, or both, layer by layer.

    OLD and NEW are prototxt files of any format, caffemodels, HDF5 files, or ONNX files as `export` writes them; a
    prototxt may have weights after it. A caffemodel contains a net too. Layers are paired by name, else by what they
    compute and from which blobs. Old formats are compared as their current equivalent. "-" is standard input.

    \b
    -  a layer that only OLD has
    +  a layer that only NEW has
    ~  a layer that differs: fields, type, bottoms, names, shapes, weights

    A field that is not given equals its default. Weights are equal if their bits are; 0 equals -0. Other weights are
    reshaped, reordered (transposed, channels reversed ...) or changed, by how much is told.

    \b
    caffe-fcn diff deploy.prototxt other.prototxt
    caffe-fcn diff snapshot_1000.caffemodel snapshot_2000.caffemodel --layers 'ip*'
    caffe-fcn diff lenet.caffemodel lenet.onnx
    """
    try:
        return _git(files, choices) if git else _diff(files, **choices)
    except (click.ClickException, click.Abort, BrokenPipeError):
        raise
    except Exception as error:
        tell(explain(error))
        raise SystemExit(TROUBLE) from error  # a return would flush stdout, which may have failed


def _diff(
    words: Sequence[str],
    selection: Selection,
    fork: str | None,
    as_json: bool,
    brief: bool,
    quiet: bool,
    **choices: Any,
) -> int:
    from caffe_fcn.display import visible
    from caffe_fcn.report.diff import document, lines

    if "" in words:
        raise click.UsageError("a file's name is empty")
    if not 2 <= len(words) <= 4:
        found_files = f"{len(words)} file{'s'[: len(words) != 1]}"
        raise click.UsageError(f"expected two nets, each of one or two files, found {found_files}")
    if words.count("-") > 1:
        raise click.UsageError("only one file can come from stdin")
    with ExitStack() as stack:
        found = _compared(stack, _sides(files_of(stack, words)), selection, fork, DiffOptions(**choices))
    for note in found.notes if not (quiet or as_json) else ():
        click.echo(visible(f"note: {note}"), err=True)
    if as_json:
        print_json(document(found))
    elif not quiet:
        told = list(lines(found))
        print_lines(told[-1:] if brief else told)
    return DONE if found.equal else FAILED


def _compared(
    stack: ExitStack, sides: Sequence[Sequence[File]], selection: Selection, fork: str | None, options: DiffOptions
) -> NetDiff:
    """Compare the nets in the files SIDES, which stay open until STACK closes."""
    from caffe_fcn.compare.diff import compare
    from caffe_fcn.compare.sides import open_side

    old, new = (open_side(stack, [each.path for each in side], [each.name for each in side], fork) for side in sides)
    return compare(old, new, options, selection)


def _sides(files: Sequence[File]) -> list[Sequence[File]]:
    """Group FILES, two to four, into two nets: a prototxt may have weights after it. Raises UsageError; OSError if a
    file cannot be read."""
    from caffe_fcn.compare.sides import is_prototxt

    kinds = ["prototxt" if is_prototxt(file.path) else "weights" for file in files]
    pairs = [at for at in range(len(files) - 1) if kinds[at : at + 2] == ["prototxt", "weights"]]
    if len(files) == 2:
        return [files[:1], files[1:]]
    if len(files) == 3 and pairs:
        return [files[:2], files[2:]] if pairs[0] == 0 else [files[:1], files[1:]]
    if pairs == [0, 2]:
        return [files[:2], files[2:]]
    given = ", ".join(f"{file.name or file.path} ({kind})" for file, kind in zip(files, kinds, strict=True))
    raise click.UsageError(f"expected two nets, each a file, or a prototxt before its weights; found {given}")


def _git(words: Sequence[str], choices: dict[str, Any]) -> int:
    """Compare two versions of a file for git, which gives WORDS: path, file, hash and mode of the old version, and of
    the new one; after a rename, also the new path and a message. /dev/null is a version that is not there.

    git stops at any exit code but 0, so an error is part of what is printed, and the texts are compared.
    """
    from caffe_fcn.report.diff import StyledLine

    for name in ("as_json", "brief", "quiet"):
        if choices.pop(name):
            raise click.UsageError("--git does not go with --json, --brief and --quiet")
    if len(words) == 1:
        print_lines([StyledLine("head", f"* Unmerged path {words[0]}")])
        return DONE
    if len(words) not in (7, 9):
        raise click.UsageError(f"--git: expected the seven arguments that git gives, found {len(words)}")
    path, renamed = words[0], words[7] if len(words) == 9 else words[0]
    print_lines(
        [
            StyledLine("head", f"diff --git a/{path} b/{renamed}"),
            *_told_to_git((words[1], words[4]), (f"a/{path}", f"b/{renamed}"), **choices),
        ],
        colour=bool(os.environ.get("GIT_PAGER_IN_USE")),
    )
    return DONE


def _told_to_git(paths: tuple[str, str], names: tuple[str, str], **choices: Any) -> Iterator[StyledLine]:
    """What differs between the files at PATHS, which are called NAMES: as nets, else as texts. Texts are also told of
    equal nets: a change of comments is a change."""
    from caffe_fcn.report.diff import StyledLine
    from caffe_fcn.report.text_diff import text_differences

    try:
        told, equal = _nets_to_git(paths, names, **choices)
        why = ["note: the nets are equal, these files are not"]
    except (click.ClickException, click.Abort, BrokenPipeError):
        raise
    except Exception as error:
        told, equal, why = [], True, f"note: not compared as nets: {explain(error)}".split("\n")
    yield from told
    if not equal:
        return
    there = [os.devnull if path == os.devnull else name for path, name in zip(paths, names, strict=True)]
    try:
        found = list(text_differences(*paths, (there[0], there[1])))
    except OSError as error:
        found = [StyledLine("", in_one_line(error))]
    if found or not told:
        yield from (StyledLine("dim", line) for line in why)
    yield from found


def _nets_to_git(
    paths: tuple[str, str], names: tuple[str, str], selection: Selection, fork: str | None, **choices: Any
) -> tuple[list[StyledLine], bool]:
    """What differs between two nets, and whether they are two that are equal."""
    from caffe_fcn.report.diff import StyledLine, in_short, lines

    there = [File(path, name) for path, name in zip(paths, names, strict=True) if path != os.devnull]
    with ExitStack() as stack:
        sides = [[each] for each in (there * 2)[:2]]
        found = _compared(stack, sides, selection, fork, DiffOptions(**choices))
    if len(there) == 1:
        style, what = ("new", "new file") if paths[0] == os.devnull else ("old", "deleted file")
        return [StyledLine(style, f"{what}: {in_short(found)}")], False
    notes = [StyledLine("dim", f"note: {note}") for note in found.notes]
    told = [line for line in lines(found) if line.text[:4] not in ("--- ", "+++ ")]
    return [*notes, *told], found.equal
