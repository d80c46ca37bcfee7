"""Packages that are not needed by all: what is said where one is not installed, or is and cannot be imported."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import pytest

from caffe_fcn.engines.onnxruntime import onnxruntime
from caffe_fcn.engines.opencv import opencv
from caffe_fcn.engines.openvino import openvino
from caffe_fcn.errors import ExtraError
from caffe_fcn.files.hdf5 import h5py_for
from caffe_fcn.onnx.serialization import onnx_package
from caffe_fcn.predict.images.picture import pillow

PACKAGES: dict[str, Callable[[], Any]] = {
    "PIL": pillow,
    "cv2": opencv,
    "h5py": lambda: h5py_for("a.h5"),
    "onnx": lambda: onnx_package("this"),
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}


def refused(monkeypatch: pytest.MonkeyPatch, module: str, error: Exception) -> str:
    """What is said where the import of MODULE raises ERROR."""
    real = builtins.__import__

    def broken(name: str, *rest: Any, **named: Any) -> Any:
        if name == module:
            raise error
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(ExtraError) as told:
        PACKAGES[module]()
    return str(told.value)


@pytest.mark.parametrize("module", PACKAGES)
def test_a_package_that_is_not_installed(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(monkeypatch, module, ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert "pip install" in told and "cannot be imported" not in told


@pytest.mark.parametrize("module", PACKAGES)
@pytest.mark.parametrize(
    "error",
    [
        ImportError("libGL.so.1: cannot open\nshared object file"),
        ModuleNotFoundError("No module named 'coloredlogs'", name="coloredlogs"),
        AttributeError("_ARRAY_API not found"),
    ],
    ids=["library", "package", "numpy"],
)
def test_a_package_that_cannot_be_imported(module: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(monkeypatch, module, error)
    reason = " ".join(str(error).split())
    assert told.startswith(
        f"the module {module} is installed, but cannot be imported ({type(error).__name__}: {reason})"
    )
    assert "pip install" in told
