"""Words for amounts, shapes and receptive fields, as the table of `inspect` and the report page show them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from caffe_fcn.net.geometry import Geometry
from caffe_fcn.net.shapes import Shape, show

FORMATS = {"V2": "current format", "V1": "old format V1", "V0": "old format V0", "HDF5": "HDF5"}
"""The formats of files, in words."""


def human(value: int, units: Sequence[str] = ("", " k", " M", " G", " T", " P"), step: int = 1000) -> str:
    """Return VALUE for people, with one decimal and a suitable unit."""
    scaled, unit = float(value), 0
    while round(scaled, 1 if unit else 0) >= step and unit < len(units) - 1:
        scaled, unit = scaled / step, unit + 1
    return f"{scaled:.1f}{units[unit]}" if unit else f"{value}{units[0]}"


def human_bytes(value: int) -> str:
    """Return VALUE bytes for people."""
    return human(value, (" B", " KiB", " MiB", " GiB", " TiB"), 1024)


def count_of(number: int, thing: str) -> str:
    """Return NUMBER things, in words."""
    return f"{number:,} {thing}" + ("s" if number != 1 else "")


def shape_of(shape: Shape | None) -> str:
    """Return SHAPE in words; "?" if it is unknown."""
    return "?" if shape is None else show(shape) if shape else "scalar"


def windows(geometry: Geometry) -> list[str]:
    """Return the pixels that a cell sees along each axis: minimum and maximum if they depend on its phase, or all
    pixels."""
    return [_range([phase.window for phase in axis.phases]) for axis in geometry.axes]


def _range(extents: Sequence[int | None]) -> str:
    """Return the smallest and the largest of EXTENTS; None stands for all pixels."""
    known = [extent for extent in extents if extent is not None]
    least = str(min(known)) if known else "all"
    most = str(max(known)) if len(known) == len(extents) else "all"
    return least if least == most else f"{least}-{most}"


def axes(values: Sequence[int | Fraction | str]) -> str:
    """Return one number if it is the same along all axes, else all."""
    return "×".join(short(value) for value in (values[:1] if len(set(values)) == 1 else values))


def short(value: int | Fraction | str) -> str:
    """Return a number with decimals if these are few, else as a fraction."""
    if isinstance(value, Fraction) and value.denominator in (2, 4, 8):
        return str(float(value))
    return str(value)
