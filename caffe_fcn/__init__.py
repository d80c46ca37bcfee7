"""Rewrite Caffe classifiers as fully convolutional networks, without Caffe.

The library is in `caffe_fcn.api`, which also has the list of its names. It is loaded when a name of it is asked for, so
that `import caffe_fcn` and `caffe-fcn --help` cost next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # a type checker is to miss the names that there are not
    from caffe_fcn.api import *  # noqa: F403
else:

    def __getattr__(name: str) -> Any:
        """A name of the library, loaded when it is first asked for; a module of the package imports itself."""
        is_name = name == "__all__" or not name.startswith("__")
        if is_name and PathFinder.find_spec(f"{__name__}.{name}", [*__spec__.submodule_search_locations]) is None:
            names = __dir__()
            if name == "__all__":
                return names
            if name in names:
                return getattr(import_module("caffe_fcn.api"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*import_module("caffe_fcn.api").__all__, "__version__"])
