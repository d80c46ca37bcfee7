"""Finds the modules of layer types: a new module in `net/layers/` or `onnx/layers/` needs no line elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType


def modules_of(package: str, directories: Iterable[str]) -> list[ModuleType]:
    """The modules in DIRECTORIES, those of PACKAGE, imported in the order of their names."""
    names = {name for directory in directories for name in os.listdir(directory)}
    return [import_module(f"{package}.{name[:-3]}") for name in sorted(names - {"__init__.py"}) if name.endswith(".py")]
