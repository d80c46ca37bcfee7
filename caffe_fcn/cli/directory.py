"""The directory of `--out-dir`, which is made if it does not exist."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def directory(name: str) -> Iterator[None]:
    """Make the directory NAME if it does not exist; remove it again if it stays empty. Raises OutputError."""
    from pathlib import Path  # here, because help does not need it

    from caffe_fcn.errors import OutputError
    from caffe_fcn.files.atomic import output_error

    path = Path(name)
    missing = [each for each in (path, *path.parents) if not os.path.lexists(each)]
    try:
        try:
            for each in reversed(missing):
                each.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(name, error) from error
        if not path.is_dir():
            raise OutputError(
                source=name, expected="a directory to write into", found="a file", hint="choose another name"
            )
        yield
    finally:
        for each in missing:
            with suppress(OSError):
                each.rmdir()
