"""What the library's options may be given as, brought to one form."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from caffe_fcn.net.options import Selection


class SelectionOptions(TypedDict, total=False):
    """The keywords that say which net of a file is meant, and how its layers are read."""

    shapes: Mapping[str, Sequence[int]] | None
    """Shapes by blob, of inputs that the files leave out and of what layers of unknown types make."""
    phase: Literal["TRAIN", "TEST"] | None
    """The phase to look at; by default every phase that the file tells apart, to run and to write it TEST."""
    stages: str | Sequence[str]
    """The stages to build the net for."""
    level: int | None
    """The level to build the net for."""
    crop_offset: Literal["auto", "zero"] | None
    """The offset of Crop layers that give none: computed from the geometry of the net, or 0."""
    ignore_fields: str | Sequence[str]
    """Fields whose effect is not supported and is to be ignored, as "convolution_param.relu"."""


def several(names: str | Sequence[str]) -> tuple[str, ...]:
    """NAMES, or the one name that they are, in a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def selection_of(options: Mapping[str, Any]) -> tuple[Selection, dict[str, Any]]:
    """OPTIONS, the keywords of a function: those of `SelectionOptions` as a Selection, and the others."""
    others = dict(options)
    return _selection(**{name: others.pop(name) for name in SelectionOptions.__annotations__ if name in others}), others


def _selection(
    shapes: Mapping[str, Sequence[int]] | None = None,
    phase: str | None = None,
    stages: str | Sequence[str] = (),
    level: int | None = None,
    crop_offset: Literal["auto", "zero"] | None = None,
    ignore_fields: str | Sequence[str] = (),
) -> Selection:
    given = {name: tuple(shape) for name, shape in (shapes or {}).items()}
    return Selection(phase, several(stages), level, given, crop_offset, frozenset(several(ignore_fields)))


def checked_scale(scale: float | None) -> float | None:
    """SCALE. Raises ValueError where it is 0 or no number."""
    if scale is not None and not (scale and math.isfinite(scale)):
        raise ValueError(f"scale: expected a number other than 0, such as 0.017, found {scale}")
    return scale


def checked_threads(threads: int | None) -> int | None:
    """THREADS. Raises ValueError where these are none."""
    if threads is not None and threads < 1:
        raise ValueError(f"threads: expected at least 1, found {threads}")
    return threads


def mean_text(mean: float | Sequence[float] | str | os.PathLike[str] | None) -> str | None:
    """MEAN as the command line has it: numbers with commas between, or a file."""
    if mean is None or isinstance(mean, str | os.PathLike):
        return None if mean is None else os.fspath(mean)
    values = [mean] if isinstance(mean, int | float) else mean
    return ",".join(repr(float(value)) for value in values)
