"""Files that are read whole or from their beginning: whatever goes wrong names the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader


@contextmanager
def reading(path: str | os.PathLike[str], name: str | None = None) -> Iterator[BufferedReader]:
    """The file at PATH, open to be read in the block. An OSError that comes of it, also of a read, holds the file's
    name, which is NAME where messages call it so."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        if error.errno is not None and (error.filename is None or name is not None):
            error.filename = name or os.fspath(path)
        raise
