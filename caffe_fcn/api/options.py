"""What the library's options may be given as, brought to the form that the code takes."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.net.options import Selection
from caffe_fcn.passes.options import ConvertOptions
from caffe_fcn.passes.reduce.amounts import parse_layers
from caffe_fcn.passes.reduce.options import ReduceOptions
from caffe_fcn.passes.reducing import Reduction
from caffe_fcn.predict.options import PreparationOptions, RunOptions


def several(names: str | Collection[str]) -> tuple[str, ...]:
    """NAMES, or the one name that they are, in a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def selection_of(
    *,
    phase: Literal["TRAIN", "TEST"] | None,
    stages: str | Sequence[str],
    level: int | None,
    shapes: Mapping[str, Sequence[int]] | None,
    crop_offset: Literal["auto", "zero"] | None,
    ignore_fields: str | Collection[str],
) -> Selection:
    """Which net of a file is meant."""
    given = {name: tuple(shape) for name, shape in (shapes or {}).items()}
    return Selection(phase, several(stages), level, given, crop_offset, frozenset(several(ignore_fields)))


def conversion_of(
    *,
    input_size: int | Sequence[int] | None,
    suffix: str,
    rename: str | Sequence[str],
    only: str | Sequence[str],
    skip: str | Sequence[str],
    global_pooling: Literal["window", "keep"],
    strict: bool,
) -> ConvertOptions:
    """How a net is converted. Raises ValueError for a size that is none."""
    size = (input_size, input_size) if isinstance(input_size, int) else input_size
    if size is not None and (not size or not all(isinstance(extent, int) and extent > 0 for extent in size)):
        raise ValueError(f"input_size: expected pixels, such as (451, 451), found {input_size!r}")
    return ConvertOptions(
        input_size=None if size is None else tuple(size),
        suffix=suffix,
        rename=several(rename),
        only=several(only),
        skip=several(skip),
        global_pooling=global_pooling,
        strict=strict,
    )


def reduction_of(
    layers: Mapping[str, int | str], dilation: Mapping[str, int] | None, suffix: str, *, cut_outputs: bool
) -> Reduction:
    """How layers lose filters and taps. Raises ValueError for amounts and dilations that are none."""
    for name, value in (dilation or {}).items():
        if value < 1:
            raise ValueError(f"dilation: expected at least 1 for {name!r}, found {value}")
    amounts = parse_layers(f"{name}={amount}" for name, amount in layers.items())
    return Reduction(amounts, ReduceOptions(dilation=dilation, suffix=suffix, cut_outputs=cut_outputs))


def engine_of(engine: str, threads: int | None, *, low_memory: bool = False, gpu: bool = False) -> EngineOptions:
    """What runs a net. Raises ValueError for threads that are none."""
    if threads is not None and threads < 1:
        raise ValueError(f"threads: expected at least 1, found {threads}")
    return EngineOptions(engine, threads, low_memory, gpu)


def preparation_of(
    mean: float | Sequence[float] | str | os.PathLike[str] | None, scale: float | None, swap_channels: bool
) -> PreparationOptions:
    """How pictures become a net's input. Raises ValueError for a scale of 0 or that is no number."""
    if scale is not None and not (scale and math.isfinite(scale)):
        raise ValueError(f"scale: expected a number other than 0, such as 0.017, found {scale}")
    return PreparationOptions(_mean_text(mean), scale, swap_channels)


def _mean_text(mean: float | Sequence[float] | str | os.PathLike[str] | None) -> str | None:
    """MEAN as the command line has it: numbers with commas between, or a file."""
    if mean is None or isinstance(mean, str | os.PathLike):
        return None if mean is None else os.fspath(mean)
    values = [mean] if isinstance(mean, int | float) else mean
    return ",".join(repr(float(value)) for value in values)


def running_of(
    *,
    resize: tuple[int, int] | int | Literal["net"] | None,
    crop: Literal["none", "center", "ten"] | None,
    scales: Sequence[float],
    labels: str | os.PathLike[str] | None,
    blobs: str | Sequence[str],
    stride: tuple[int, int] | int | None,
    tile: int | None,
    max_pixels: int,
) -> RunOptions:
    """How pictures are looked at. Raises ValueError for sizes and scales that are none."""
    if not scales or not all(0 < each <= 100 for each in scales):
        raise ValueError(f"scales: expected numbers above 0 and up to 100, found {scales!r}")
    size, steps = _new_size(resize), None if stride is None else _sides("stride", stride, "the same for both")
    return RunOptions(size, crop, tuple(scales), labels, several(blobs), steps, tile, max_pixels)


def _new_size(resize: Any) -> tuple[int, int] | int | Literal["net"] | None:
    if resize is None or resize == "net":
        return None if resize is None else "net"
    sides = _sides("resize", resize, 'the shorter side, or "net"')
    return resize if isinstance(resize, int) else sides


def _sides(name: str, value: Any, or_else: str) -> tuple[int, int]:
    """What VALUE of the keyword NAME says down and across; both are the same for one number. Raises ValueError."""
    sides = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(sides) != 2 or not all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in sides):
        raise ValueError(f"{name}: expected (height, width) in pixels, {or_else}, found {value!r}")
    return sides[0], sides[1]
