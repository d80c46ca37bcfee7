"""`caffe-fcn`: the group of commands, and the one place where errors become exit codes.

0 done; 1 the model cannot be processed; 2 wrong usage. Nothing but click is imported until a command runs.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from caffe_fcn import __version__
from caffe_fcn.cli.convert import convert
from caffe_fcn.errors import CaffeFcnError

DONE, FAILED = 0, 1
_DEBUG = "CAFFE_FCN_DEBUG"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="caffe-fcn")
def app() -> None:
    """Rewrite Caffe classifiers as fully convolutional networks, without Caffe.

    \b
    caffe-fcn convert deploy.prototxt net.caffemodel
    """


app.add_command(convert)


def main() -> None:
    """Run the command line and exit."""
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)  # all files are closed; taking the interpreter apart would take as long as starting it


def run(arguments: list[str]) -> int:
    """Run the command line on ARGUMENTS and return the exit code. No exception leaves it."""
    try:
        result = app.main(arguments, prog_name="caffe-fcn", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return result if isinstance(result, int) else DONE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted; no file is half written")
    except BrokenPipeError:
        return FAILED
    except CaffeFcnError as error:
        return _fail(str(error))
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _fail(f"{name}{error.strerror or error}")
    except MemoryError:
        return _fail("out of memory; no file is half written")
    except Exception as error:  # the last line of defence: no traceback reaches a user
        return _fail(
            f"a defect of caffe-fcn ({type(error).__name__}: {error}); please report it, with what {_DEBUG}=1 shows"
        )


def _fail(message: str) -> int:
    if os.environ.get(_DEBUG):
        import traceback

        traceback.print_exc()
    from caffe_fcn.files.literals import visible

    lines = [visible(line) for line in message.split("\n")]
    with suppress(OSError):
        click.echo("\n".join([f"caffe-fcn: {lines[0]}", *lines[1:]]), err=True)
    return FAILED
