"""Common parts of the rules of Caffe's layers in numpy."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


class ImpossibleError(Exception):
    """A layer that Caffe would refuse, or whose output is not a number."""


def need(condition: bool, message: str) -> None:
    """Raise ImpossibleError with MESSAGE unless CONDITION."""
    if not condition:
        raise ImpossibleError(message)


def axis_of(axis: int, axes: int) -> int:
    """Return AXIS of AXES axes, counted from the front."""
    need(-axes <= axis < axes, f"axis {axis} of {axes}")
    return axis % axes
