"""`caffe-fcn --version`: the versions that a bug report needs.

They are read from the metadata of installed packages, without importing these, so that a broken package is listed
too.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator

import click

from caffe_fcn import __version__

_PACKAGES = ("click", "numpy", "protobuf", "h5py", "onnx", "onnxruntime", "pillow")
"""The packages that the program uses; from h5py on they are optional."""


def show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the versions and exit, if that is WANTED."""
    if wanted and not context.resilient_parsing:
        click.echo("\n".join(_lines()))
        context.exit()


def _lines() -> Iterator[str]:
    from importlib.metadata import PackageNotFoundError, version  # here, because only --version needs it

    yield f"caffe-fcn {__version__}"
    yield f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}"
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"{name} not installed"
