"""Converts the arguments of the library's functions to the option dataclasses."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, TypeVar

from caffe_fcn.options import meanings
from caffe_fcn.verify.options import PROOFS

Options = TypeVar("Options")


def given(options: type[Options], arguments: Mapping[str, Any]) -> Options:
    """Return OPTIONS with those of ARGUMENTS, the local variables of a function, that are fields of it.

    A field with several words may be given as one word. Raises ValueError for a number out of range.
    """
    kinds = options.__dataclass_fields__  # type: ignore[attr-defined]
    values = {name: arguments[name] for name in meanings(options) if name in arguments}
    for name, value in values.items():
        if kinds[name].type == "tuple[str, ...]":
            value = several(value)
        values[name] = _FORMS[name](value) if name in _FORMS else value
    return options(**values)


def several(names: str | Collection[str]) -> tuple[str, ...]:
    """Return NAMES as a tuple; a single name becomes a tuple of one."""
    return (names,) if isinstance(names, str) else tuple(names)


def _at_least(least: int, name: str) -> Callable[[int | None], int | None]:
    def form(value: int | None) -> int | None:
        if value is not None and value < least:
            raise ValueError(f"{name}: expected at least {least}, found {value}")
        return value

    return form


def _not_negative(name: str) -> Callable[[float], float]:
    def form(value: float) -> float:
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}: expected a number from 0 on, found {value}")
        return value

    return form


def _dilation(dilation: Mapping[str, int] | None) -> Mapping[str, int] | None:
    for name, value in (dilation or {}).items():
        if value < 1:
            raise ValueError(f"dilation: expected at least 1 for {name!r}, found {value}")
    return dilation


def _input_size(size: int | Sequence[int] | None) -> tuple[int, ...] | None:
    return _extents("input_size", size, "(451, 451)")


def _extents(name: str, value: int | Sequence[int] | None, example: str) -> tuple[int, ...] | None:
    """Return VALUE of the keyword NAME for each axis; one number is for height and width. Raises ValueError."""
    extents = (value, value) if isinstance(value, int) else value
    if extents is not None and (not extents or not all(isinstance(each, int) and each > 0 for each in extents)):
        raise ValueError(f"{name}: expected pixels, such as {example}, found {value!r}")
    return None if extents is None else tuple(extents)


def _mean(mean: float | Sequence[float] | str | os.PathLike[str] | None) -> str | None:
    """Return MEAN in the form of the command line: numbers with commas between them, or a file."""
    if mean is None or isinstance(mean, str | os.PathLike):
        return None if mean is None else os.fspath(mean)
    values = [mean] if isinstance(mean, int | float) else mean
    return ",".join(repr(float(value)) for value in values)


def _proofs(proofs: tuple[str, ...]) -> tuple[str, ...]:
    if not set(proofs) <= set(PROOFS):
        raise ValueError(f"proofs: expected some of {', '.join(PROOFS)}, found {proofs!r}")
    return proofs


def _resize(resize: Any) -> tuple[int, int] | int | Literal["net"] | None:
    if resize is None or resize == "net":
        return None if resize is None else "net"
    sides = tuple(resize) if isinstance(resize, Sequence) else (resize, resize)
    if len(sides) != 2 or not all(isinstance(each, int) and each > 0 for each in sides):
        raise ValueError(f'resize: expected (height, width) in pixels, the shorter side, or "net", found {resize!r}')
    return resize if isinstance(resize, int) else (sides[0], sides[1])


def _stride(stride: Sequence[int] | int | None) -> tuple[int, ...] | None:
    return _extents("stride", stride, "(16, 16)")


def _scale(scale: float | None) -> float | None:
    if scale is not None and not (scale and math.isfinite(scale)):
        raise ValueError(f"scale: expected a number other than 0, such as 0.017, found {scale}")
    return scale


def _value_range(found: Sequence[float] | Literal["auto"]) -> tuple[float, float] | Literal["auto"]:
    if isinstance(found, str):
        return "auto"
    ends = tuple(float(each) for each in found)
    if len(ends) != 2 or not all(map(math.isfinite, ends)) or not ends[0] < ends[1]:
        raise ValueError(f'value_range: expected "auto" or two numbers, the lower one first, found {found!r}')
    return ends[0], ends[1]


def _scales(scales: Sequence[float]) -> tuple[float, ...]:
    if not scales or not all(0 < each <= 100 for each in scales):
        raise ValueError(f"scales: expected numbers above 0 and up to 100, found {scales!r}")
    return tuple(scales)


def _shapes(shapes: Mapping[str, Sequence[int]] | None) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in (shapes or {}).items()}


def _threshold(threshold: float | None) -> float | None:
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"threshold: expected a number, such as 0.5, found {threshold}")
    return threshold


def _nms(nms: float) -> float:
    if not 0 <= nms <= 1:
        raise ValueError(f"nms: expected a number from 0 to 1, found {nms}")
    return nms


def _tolerance(tolerance: float | None) -> float | None:
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise ValueError(f"tolerance: expected a number from 0 to 1, found {tolerance}")
    return tolerance


_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "atol": _not_negative("atol"),
    "dilation": _dilation,
    "ignore": lambda labels: (labels,) if isinstance(labels, int) else tuple(labels),
    "ignore_fields": lambda fields: frozenset(several(fields)),
    "input_channels": _at_least(1, "input_channels"),
    "input_size": _input_size,
    "mean": _mean,
    "nms": _nms,
    "pad_to": _at_least(1, "pad_to"),
    "pictures": tuple,
    "proofs": _proofs,
    "resize": _resize,
    "rtol": _not_negative("rtol"),
    "samples": _at_least(1, "samples"),
    "scale": _scale,
    "scales": _scales,
    "seed": _at_least(0, "seed"),
    "shapes": _shapes,
    "threshold": _threshold,
    "threads": _at_least(1, "threads"),
    "stride": _stride,
    "tolerance": _tolerance,
    "value_range": _value_range,
    "windows": _at_least(1, "windows"),
}
"""The functions that convert a value to the form of the option, by the name of the field."""
