"""`caffe-fcn`: the group of commands, and the only place where errors become exit codes.

0: done; 1: the model cannot be processed; 2: wrong usage, and for `diff` all trouble; 128 + N: signal N, as in a shell:
130 for Ctrl-C, 141 if the reader of a pipe has ended. Only click is imported until a command runs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from caffe_fcn.cli.arguments import expanded
from caffe_fcn.cli.failures import BY_SIGNAL, DONE, FAILED, INTERRUPTED, READER_GONE, exit_codes, explain, tell
from caffe_fcn.cli.version import show_version
from caffe_fcn.passes.table import PASSES
from caffe_fcn.wording import as_command

_NAME = "caffe-fcn"
_COMPLETE = "_CAFFE_FCN_COMPLETE"
"""The variable by which a shell asks for completions, for every name of the program."""


_COMMANDS = {
    **{name: row.help for name, row in PASSES.items() if row.help},
    "check": "Check prototxt files and report what is wrong.",
    "diff": "Compare two nets or weights layer by layer.",
    "draw": "Draw nets as SVG, PNG or DOT.",
    "export": "Write nets as ONNX.",
    "inspect": "Show nets and weights layer by layer.",
    "report": "Write a page that shows a net, its weights and activations.",
    "run": "Run nets on pictures: top classes, dense maps.",
    "score": "Score segmentations: accuracy, IU, confusion matrix.",
    "upgrade": "Rewrite old files in the current format.",
    "verify": "Prove that a converted or folded net equals the original.",
}
"""The commands, each with its line of help. Commands that make a net from a net are in the table of passes."""


class _Commands(Mapping[str, click.Command]):
    """The commands by name. Each is the function with the name of its module in `cli/`. A module is loaded when its
    command is needed: the help of the program needs none of them, and a command only its own."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in _COMMANDS:
            raise KeyError(name)
        command: click.Command = getattr(import_module(f"caffe_fcn.cli.{name}"), name)
        command.short_help = _COMMANDS[name]
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(_COMMANDS))

    def __len__(self) -> int:
        return len(_COMMANDS)


class _ReaderGoneError(Exception):
    """A pipe that is written to has no reader. This replaces BrokenPipeError, which click would turn into exit code
    1."""


@contextmanager
def _readers_watched() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGoneError from error


class _App(click.Group):
    """The group of commands; it hides BrokenPipeError from click."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help lines of the commands without loading the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))

    def make_context(self, *words: Any, **others: Any) -> click.Context:
        """Parse the command line, or show the help."""
        with _readers_watched():
            return super().make_context(*words, **others)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _readers_watched():
            return super().invoke(ctx)


@click.group(
    cls=_App,
    commands=_Commands(),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exit_codes(
        "done", "a model cannot be processed or a check failed", "wrong usage (`diff`: 1 different, 2 any trouble)"
    ),
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    callback=show_version,
    help="Show the versions for a bug report and exit.",
)
def app() -> None:
    """Rewrite Caffe classifiers as fully convolutional networks, prove and run them, without Caffe.

    \b
    caffe-fcn convert deploy.prototxt net.caffemodel
    caffe-fcn verify deploy.prototxt net.caffemodel deploy_fcn.prototxt net_fcn.caffemodel
    caffe-fcn run deploy_fcn.prototxt net_fcn.caffemodel street.png --heatmap heat.png --class 281

    @FILE is replaced by the words in FILE, quoted as in a shell, with # before comments; globs in it are expanded only
    for the pictures of `run`. For a file named @NAME write ./@NAME. "-" is standard input or output.

    \b
    For completion, put one of these in the shell's start-up file:
    eval "$(_CAFFE_FCN_COMPLETE=bash_source caffe-fcn)"
    eval "$(_CAFFE_FCN_COMPLETE=zsh_source caffe-fcn)"
    _CAFFE_FCN_COMPLETE=fish_source caffe-fcn | source
    """
    context = click.get_current_context()
    command = app.commands.get(context.invoked_subcommand or "")
    context.with_resource(as_command(options_of(command) if command else ()))


def options_of(command: click.Command) -> frozenset[str]:
    """Return the options of COMMAND, by their names in messages."""
    flags = [flag for parameter in command.params for flag in parameter.opts]
    return frozenset(flag[2:].replace("-", "_") for flag in flags if flag.startswith("--"))


def main() -> None:
    """Run the command line and exit."""
    _end_by_first_signal()
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)  # all files are closed; ending the interpreter normally would take as long as starting it


_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


def _end_by_first_signal() -> None:
    """Let the first of the signals that end a program raise KeyboardInterrupt, so that no half-written files stay."""
    for name in _ENDING:
        number = getattr(signal, name, None)
        handlers = signal.SIG_DFL, signal.default_int_handler
        if number is not None and signal.getsignal(number) in handlers:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)


def _interrupt(number: int, _: object) -> NoReturn:
    """End the program by a signal. Later ones are ignored: `timeout` sends two, and the second would interrupt the
    removal of half-written files."""
    for name in _ENDING:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def run(arguments: list[str]) -> int:
    """Run the command line on ARGUMENTS and return the exit code. No exception leaves it."""
    with as_command(()):
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    try:
        result = app.main(expanded(arguments), prog_name=_NAME, complete_var=_COMPLETE, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return result if isinstance(result, int) else DONE
    except SystemExit as done:  # completions are shown, or the command has told an error
        return done.code if isinstance(done.code, int) else DONE
    except click.ClickException as error:
        from caffe_fcn.display import visible

        if not isinstance(error, click.exceptions.NoArgsIsHelpError):  # this shows the help
            vars(error)["message"] = visible(error.message)  # click quotes words of the command line
        with suppress(OSError):
            error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        tell("interrupted; no file is half written")
        number = (error.__cause__ or error).args[:1]  # click turns an interrupt into an Abort
        return BY_SIGNAL + number[0] if number and isinstance(number[0], int) else INTERRUPTED
    except (_ReaderGoneError, BrokenPipeError):
        return READER_GONE
    except Exception as error:  # no traceback must reach a user
        tell(explain(error))
    return FAILED
