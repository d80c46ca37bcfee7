"""Writes one or several output files together: all of them appear, or none.

All bytes are written to hidden files in the directories of the outputs. The hidden files get their final names when all
are complete. A failure before that, Ctrl-C included, leaves nothing behind.

While several names change, signals wait, and the files that are overwritten are kept under hidden names. If one rename
fails, all earlier ones are undone: the same files are put back, not copies of them. Only an end of the process that
cannot be delayed (SIGKILL, a power failure) can leave a mixed pair, with the old files under their hidden names.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from caffe_fcn.errors import OutputError
from caffe_fcn.files.interruption import uninterrupted
from caffe_fcn.wording import Option, advise

FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
"""The messages for the errors of a file system that is full."""


@dataclass
class OutputFile:
    """An output file while it is written. Bytes go to `fd`, or to the file `temp`; after the commit they are at
    `path`."""

    path: str
    """The path that the caller gave; errors name it."""
    final: str
    """The file that gets the bytes: `path` with links followed."""
    temp: str | None
    """The hidden file that has the bytes until the commit; None for a pipe or a device, which gets them at once."""
    overwrite: bool
    fd: int = field(default=-1, repr=False)
    aside: str | None = field(default=None, repr=False)
    """The hidden name of the old file at `final` while names change."""
    placed: bool = field(default=False, repr=False)
    """Whether the file at `final` is the new one."""

    def write(self, data: bytes) -> None:
        """Append DATA. Raises OutputError if it cannot be written."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.fd, view) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise output_error(self.path, error, needed=len(data)) from error

    def close(self) -> None:
        """Close the descriptor; a second call does nothing. Raises OutputError: some file systems write only now."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            try:
                os.close(fd)
            except OSError as error:
                raise output_error(self.path, error) from error


class OutputFiles:
    """A context for outputs: `add` each, write them, `commit`. Leaving without a commit discards all.

    Nothing is synchronised to the disk, as with `cp`: other processes never see half a file, but a power failure can
    lose it.
    """

    def __init__(self) -> None:
        self._outputs: list[OutputFile] = []

    def __enter__(self) -> OutputFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._discard()

    def add(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> OutputFile:
        """Return a new output for PATH. Raises OutputError if it cannot be made, or if it exists and OVERWRITE is
        false."""
        name = os.fspath(path)
        check_outputs([name], force=overwrite)
        final = os.path.realpath(name)
        temp = None if _is_special(name) else _hidden_name(final, ".tmp")
        output = OutputFile(name, final, temp, overwrite)
        # It is listed before it exists, so that an interrupt in between cannot leave it behind.
        self._outputs.append(output)
        flags = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0)
        try:
            if temp is None:
                output.fd = os.open(name, flags)
                return output
            output.fd = os.open(temp, flags | os.O_CREAT | os.O_EXCL, 0o666)
            with suppress(FileNotFoundError):
                os.chmod(temp, os.stat(final).st_mode & 0o777)
        except OSError as error:
            raise output_error(name, error) from error
        return output

    def commit(self) -> None:
        """Give every output its name. If one fails, put all old files back and raise OutputError."""
        files = [output for output in self._outputs if output.temp is not None]
        with uninterrupted():
            for output in self._outputs:
                output.close()
            try:
                # Outputs that must not exist come first: they are the most likely to fail.
                for output in sorted(files, key=lambda output: output.overwrite):
                    _place(output, keep=len(files) > 1)
            except BaseException as error:
                lost = [output for output in reversed(files) if not _put_back(output)]
                if lost or isinstance(error, OSError):
                    raise _failed(output, error, lost) from error
                raise
            for output in files:
                if output.aside is not None:
                    with suppress(OSError):
                        os.unlink(output.aside)
            self._outputs.clear()

    def _discard(self) -> None:
        """Remove all outputs that do not have their name yet."""
        with uninterrupted():
            while self._outputs:
                output = self._outputs.pop()
                with suppress(OutputError):
                    output.close()
                if output.temp is not None:
                    with suppress(OSError):
                        os.unlink(output.temp)


def _hidden_name(final: str, ending: str) -> str:
    """Return a hidden name beside FINAL that is not longer than the file system allows."""
    directory, base = os.path.split(final)
    start = os.fsdecode(os.fsencode(base)[:200])
    return os.path.join(directory, f".{start}.{os.urandom(4).hex()}{ending}")


def _place(output: OutputFile, keep: bool) -> None:
    """Move a finished output to its place. If KEEP, keep the file that it overwrites."""
    assert output.temp is not None
    # Each step is noted before it is done, so that it can be undone at any time.
    if output.overwrite:
        if keep:
            _set_aside(output)
        output.placed = True
        os.replace(output.temp, output.final)
        return
    try:
        os.link(output.temp, output.final)  # unlike a rename, this fails if the name exists
        output.placed = True
    except OSError as error:
        output.placed = _is_one_file(output.temp, output.final)  # a network may lose the answer
        if not output.placed:
            if isinstance(error, FileExistsError):
                raise
            # The file system has no links: create the name first, then move the file there.
            fd = os.open(output.final, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            output.placed = True
            os.close(fd)
            os.replace(output.temp, output.final)
            return
    os.unlink(output.temp)


def _set_aside(output: OutputFile) -> None:
    """Keep the file at the place of OUTPUT, if there is one, under a hidden name too."""
    try:
        status = os.lstat(output.final)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):  # the rename of the output will fail
        return
    output.aside = _hidden_name(output.final, ".old")
    # With a second name there is no moment without a file. A link to a file of another user can be impossible to
    # remove.
    if status.st_uid == os.geteuid():
        try:
            os.link(output.final, output.aside, follow_symlinks=False)
            return
        except OSError:  # a file system without links
            pass
    os.rename(output.final, output.aside)


def _put_back(output: OutputFile) -> bool:
    """Undo `_place`, as far as it got. Return whether that was possible."""
    try:
        if output.aside is not None:
            if _is_one_file(output.aside, output.final):  # nothing was replaced
                os.unlink(output.aside)
            elif os.path.lexists(output.aside):
                os.replace(output.aside, output.final)
        elif output.placed or _is_one_file(str(output.temp), output.final):
            with suppress(FileNotFoundError):
                os.unlink(output.final)
    except OSError:
        return False
    return True


def _is_one_file(one: str, other: str) -> bool:
    """Return whether two paths are names of one file; links are not followed."""
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except FileNotFoundError:
        return False


def _failed(output: OutputFile, error: BaseException, lost: Collection[OutputFile]) -> OutputError:
    """Return the error for OUTPUT, which got no name; LOST are the outputs whose old files could not be put back."""
    failed = OutputError(f"{error!r}", source=output.path)
    if isinstance(error, OSError):
        failed = output_error(output.path, error)
    for each in lost:
        where = f"the old file is {each.aside}" if each.aside else "remove it"
        before = (failed.hint, "; ") if failed.hint else ()
        failed.hint = advise(*before, f"{each.path} is already the new file and cannot be put back: {where}")
    return failed


def check_outputs(
    outputs: Collection[str | os.PathLike[str]],
    inputs: Collection[str | os.PathLike[str]] = (),
    *,
    force: bool = False,
) -> None:
    """Raise OutputError if OUTPUTS cannot be written. Call it before any work is done.

    An output must not be one of INPUTS, under any name and even with FORCE. It must not be another output or a
    directory. Its directory must exist and be writable. Without FORCE the output must not exist.
    """
    names = [os.fspath(output) for output in outputs]
    for position, name in enumerate(names):
        for other in inputs:
            if _same(name, os.fspath(other)):
                raise OutputError(
                    f"the output is the same file as the input {os.fspath(other)}",
                    source=name,
                    hint="choose another name",
                )
        for other in names[:position]:
            if _same(name, other):
                raise OutputError(f"the same file as the output {other}", source=name, hint="choose another name")
        _check_place(name, force)


def _check_place(name: str, force: bool) -> None:
    """Raise OutputError if the output NAME cannot be created in its directory."""
    final = os.path.realpath(name)
    if not name or os.path.isdir(final) or name.endswith(os.sep):
        source = name or "the output"
        raise OutputError(source=source, expected="a file name", found="a directory", hint="add a file name")
    if _is_special(name):
        return
    directory = os.path.dirname(final)
    if not os.path.isdir(directory):
        raise OutputError(
            f"the directory {os.path.dirname(name) or directory} does not exist", source=name, hint="create it first"
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OutputError(f"the directory {directory} is not writable", source=name, hint="choose another place")
    try:
        os.lstat(name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise output_error(name, error) from error
    if not force:
        raise OutputError(
            "already exists",
            source=name,
            hint=advise("overwrite it with ", Option("force", True), " or choose another name"),
        )


def _is_special(path: str) -> bool:
    """Return whether PATH is a pipe, a socket or a character device; these are written to and never replaced."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _same(one: str, other: str) -> bool:
    """Return whether two paths are one regular file, or would be if it existed."""
    try:
        return os.path.samefile(one, other) and not _is_special(one)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def output_error(name: str, error: OSError, needed: int | None = None) -> OutputError:
    """Return the OutputError for an OSError of writing NAME; NEEDED is the size of the whole file in bytes."""
    if error.errno in FULL:
        return OutputError(
            f"{FULL[error.errno]}{_room(needed)}", source=name, hint="free some space or choose another place"
        )
    if error.errno == errno.EFBIG:
        size = f" of {needed:,} bytes" if needed is not None else ""
        return OutputError(f"a file{size} is larger than the file system or `ulimit -f` allows", source=name)
    if isinstance(error, FileExistsError):
        return OutputError(
            "already exists",
            source=name,
            hint=advise("overwrite it with ", Option("force", True), " or choose another name"),
        )
    return OutputError(f"cannot be written: {error.strerror or error}", source=name, hint="choose another place")


def _room(needed: int | None) -> str:
    """Return the room that the file needs, for the message about a full disk. The free space would be misleading,
    because the start of the file itself fills the disk."""
    return "" if needed is None else f": {needed:,} bytes are needed"
