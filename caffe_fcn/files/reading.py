"""Opens files for reading, so that every error names the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader


@contextmanager
def reading(path: str | os.PathLike[str], name: str | None = None) -> Iterator[BufferedReader]:
    """Open the file at PATH for reading in the block. OSErrors of opening and reading get the name of the file: NAME,
    or PATH if NAME is None."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        if error.errno is not None and (error.filename is None or name is not None):
            error.filename = name or os.fspath(path)
        raise
