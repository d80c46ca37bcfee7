"""What the library's options may be given as, brought to one form."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

from caffe_fcn.net.shapes import Shape


def several(names: str | Sequence[str]) -> tuple[str, ...]:
    """NAMES, or the one name that they are, in a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def given_shapes(shapes: Mapping[str, Sequence[int]] | None) -> dict[str, Shape]:
    """SHAPES by blob, as tuples."""
    return {name: tuple(shape) for name, shape in (shapes or {}).items()}


def checked_scale(scale: float | None) -> float | None:
    """SCALE. Raises ValueError where it is 0 or no number."""
    if scale is not None and not (scale and math.isfinite(scale)):
        raise ValueError(f"scale: expected a number other than 0, such as 0.017, found {scale}")
    return scale


def mean_text(mean: float | Sequence[float] | str | os.PathLike[str] | None) -> str | None:
    """MEAN as the command line has it: numbers with commas between, or a file."""
    if mean is None or isinstance(mean, str | os.PathLike):
        return None if mean is None else os.fspath(mean)
    values = [mean] if isinstance(mean, int | float) else mean
    return ",".join(repr(float(value)) for value in values)
