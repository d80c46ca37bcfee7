"""The report on the times of the engines for a picture, for people (a line for each) and for programs (JSON)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caffe_fcn import __version__
from caffe_fcn.display import visible
from caffe_fcn.engines.registry import ENGINES
from caffe_fcn.engines.timing import Timing
from caffe_fcn.net.shapes import show
from caffe_fcn.wording import option

_MIB = 1 << 20


def lines(found: Timing) -> Iterator[str]:
    """Return the report for people, safe to print with any names of files."""
    yield from map(visible, _lines(found))


def _lines(found: Timing) -> Iterator[str]:
    runs = len(found.timed[0].seconds)
    size = f"{show(found.size)}, {found.megapixels:.2f} megapixels"
    yield f"{found.net} on {found.picture} ({size}); medians of {runs} runs by turns"
    yield f"  {'':12} {'a picture':>12} {'a megapixel':>12} {'memory':>10}"
    for each in found.timed:
        memory = "-" if each.memory is None else f"{each.memory / _MIB:,.0f} MiB"
        yield f"  {each.engine:12} {each.median:10.4f} s {each.median / found.megapixels:10.4f} s {memory:>10}"
    for other in found.left_out:
        yield f"  {other.engine:12} left out: {other.reason}"
    yield _advice(found)


def _advice(found: Timing) -> str:
    """Return the recommended engine, and the option for it."""
    best, default = found.best, next(iter(ENGINES))
    if best.engine == default:
        return f"use {default}, the default: no other available engine is clearly faster"
    reference = next((each for each in found.timed if each.engine == default), None)
    factor = f", {reference.median / best.median:.1f} times as fast as {default}, the default" if reference else ""
    return f"use {option('engine', best.engine)}{factor}"


def document(found: Timing) -> dict[str, Any]:
    """Return the report as a JSON document."""
    return {
        "caffe_fcn": __version__,
        "net": found.net,
        "weights": found.weights,
        "picture": found.picture,
        "height": found.size[0],
        "width": found.size[1],
        "engines": [
            {
                "engine": each.engine,
                "seconds": list(each.seconds),
                "median": each.median,
                "per_megapixel": each.median / found.megapixels,
                "memory_bytes": each.memory,
            }
            for each in found.timed
        ],
        "left_out": [each._asdict() for each in found.left_out],
        "use": found.best.engine,
    }
