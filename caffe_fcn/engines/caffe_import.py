"""Explains why Caffe's Python module cannot be imported, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.wording import option

_PACKAGES = {"cv2": "opencv-python", "google": "protobuf", "PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml"}
"""The names under which packages are installed, by the module that they contain."""
_LONG = 300

_LIBRARY = "cannot open shared object file"
_SYMBOL = "undefined symbol"
_PYTHON_2 = "PyInit__caffe"
_NUMPY = ("multiarray", "_ARRAY_API", "module compiled against", "compiled using NumPy")
"""Words in errors of the system's loader and of NumPy for a file that does not fit. There are no other data to decide
on."""


class Failure(NamedTuple):
    """The report of Caffe's process on a failed import."""

    missing: str | None
    """The missing module, if that is the reason."""
    file: str | None
    """The file that the loader refused, if that is the reason."""
    texts: tuple[str, ...]
    """The texts of the exception, and of those that caused it."""
    place: str
    """The line that raised it."""
    directories: tuple[str, ...]
    """The directories of the module."""
    compiled: tuple[str, ...]
    """The files there that may be its compiled part."""
    numpy: str | None
    """The version of the imported NumPy."""
    other: bool
    """Whether there is a module of that name that lacks functions of Caffe's."""


def failure(told: Mapping[str, Any]) -> Failure:
    """Return the failure in the report TOLD of the process."""
    lists = {name: tuple(told[name]) for name in ("texts", "directories", "compiled")}
    return Failure(**{**told, **lists})


def cause(found: Failure) -> str:
    """Return the reason why there is no Caffe, and the next step."""
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
