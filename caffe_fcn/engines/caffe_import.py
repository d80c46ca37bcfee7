"""Explains why Caffe's Python module cannot be imported, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.wording import option

_PACKAGES = {"cv2": "opencv-python", "google": "protobuf", "PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml"}
"""What packages are called where they are installed from, by the module that they hold."""
_LONG = 300

_LIBRARY = "cannot open shared object file"
_SYMBOL = "undefined symbol"
_PYTHON_2 = "PyInit__caffe"
_NUMPY = ("multiarray", "_ARRAY_API", "module compiled against", "compiled using NumPy")
"""Words of the system's loader and of NumPy for a file that does not fit. They give no other data."""


class Failure(NamedTuple):
    """What Caffe's process reports about an import that failed."""

    missing: str | None
    """The module that there is not, if that is why."""
    file: str | None
    """The file that the loader refused, if that is why."""
    texts: tuple[str, ...]
    """The exception, and those that led to it."""
    place: str
    """The line that raised it."""
    directories: tuple[str, ...]
    """Where the module is."""
    compiled: tuple[str, ...]
    """The files there that may be its compiled part."""
    numpy: str | None
    """The version of NumPy that it got."""
    other: bool
    """Whether there is a module of that name that lacks what Caffe's has."""


def failure(told: Mapping[str, Any]) -> Failure:
    """What the process TOLD."""
    lists = {name: tuple(told[name]) for name in ("texts", "directories", "compiled")}
    return Failure(**{**told, **lists})


def cause(found: Failure) -> str:
    """Why there is no Caffe, and what to do."""
    if found.missing == "caffe":
        return (
            "running a net with Caffe needs its Python module, which is part of Caffe and not on PyPI: build it with "
            f"`make pycaffe` and set PYTHONPATH to its directory python, or use {option('engine', 'onnxruntime')}"
        )
    where = printable(found.directories[0], _LONG) if found.directories else "the path of Python"
    if found.other:
        return f"the module caffe in {where} is not Caffe's; set PYTHONPATH to Caffe's directory python"
    return (
        f"Caffe's Python module in {where} cannot be imported: {_reason(found)}; "
        f"or use {option('engine', 'onnxruntime')}"
    )


def _reason(found: Failure) -> str:
    ours = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    text = printable(found.texts[0].partition("\n")[0], _LONG)
    if found.missing is not None and found.missing.rpartition(".")[2] == "_caffe":
        if not found.compiled:
            return "its compiled module _caffe is missing; run `make pycaffe` in Caffe's directory"
        return (
            f"its compiled module {', '.join(found.compiled)} is not for this Python ({ours}); run `make "
            "pycaffe` with this one, or install caffe-fcn for the other"
        )
    if found.missing is not None:
        module = found.missing.partition(".")[0]
        return f"it needs the module {found.missing}: pip install {_PACKAGES.get(module, module)}"
    if any(word in each for word in _NUMPY for each in found.texts):
        there = f"than the installed {found.numpy}" if found.numpy else "than the installed one"
        return (
            f"it was built for another NumPy {there} ({text}); build it again, or install the NumPy that it "
            "was built for"
        )
    if found.file is not None and _LIBRARY in found.texts[0]:
        return f"a shared library is missing ({text}); install it, or add its directory to LD_LIBRARY_PATH"
    if found.file is not None and _PYTHON_2 in found.texts[0]:
        return f"{found.file} is for Python 2; build it for {ours}"
    if found.file is not None:
        fits = "was built with another Python or another library" if _SYMBOL in found.texts[0] else "does not load"
        return f"{found.file} {fits} ({text}); build it for {ours}"
    numpy = f", and this NumPy, {found.numpy}" if found.numpy else ""
    return f"{text}, at {found.place}; does it belong to this Python, {ours}{numpy}?"
