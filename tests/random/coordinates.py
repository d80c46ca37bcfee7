"""Where the cells of each blob lie on the image, worked out of the written net alone.

A cell i of a blob has its centre at the pixel first + i·step, along height and width. A window reaches from
step·i - pad on, so that its centre is (reach - 1)/2 - pad further; a Deconvolution goes the other way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from caffe_fcn.schema import Message
from tests.random.windows import window

Where = tuple[tuple[Fraction, Fraction], ...]
"""First and step, along height and width."""

_MOVING = frozenset({"Flatten", "Im2col", "InnerProduct", "Permute", "Reshape", "SPP", "Reduction", "ArgMax"})
"""After these a blob is no map, or lies elsewhere."""


class Offset(NamedTuple):
    """A Crop, its offset as it is written, and as it should be."""

    layer: str
    written: tuple[int, ...]
    expected: tuple[Fraction, ...]


def places(layers: Sequence[Message], image: str) -> dict[str, Where]:
    """Where the blobs of LAYERS lie on the IMAGE, those of which it can be told; a join lies where its first bottom
    does."""
    known: dict[str, Where] = {image: ((Fraction(0), Fraction(1)),) * 2}
    for layer in layers:
        made = _moved(layer, known.get(layer.bottom[0])) if layer.bottom else None
        for top in layer.top:
            if made is not None:
                known[top] = made
            elif layer.bottom:
                known.pop(top, None)
    return known


def offsets(layers: Sequence[Message], image: str) -> Iterator[Offset]:
    """The offsets of all Crops among LAYERS."""
    for number, layer in enumerate(layers):
        known = places(layers[:number], image) if layer.type == "Crop" else {}
        if not known.keys() >= set(layer.bottom) or not known:
            continue
        cut, like = (known[bottom] for bottom in layer.bottom)
        assert [step for _, step in cut] == [step for _, step in like], layer.name
        written = (*layer.crop_param.offset,) * (2 // len(layer.crop_param.offset))
        yield Offset(layer.name, written, tuple((b - a) / s for (a, s), (b, _) in zip(cut, like, strict=True)))


def _moved(layer: Message, before: Where | None) -> Where | None:
    if before is None or layer.type in _MOVING or (layer.type == "Pooling" and layer.pooling_param.global_pooling):
        return None
    if layer.type == "Crop":
        return tuple((a + s * n, s) for (a, s), n in zip(before, _both(layer.crop_param.offset), strict=True))
    found = window(layer)
    if found is None:
        return before
    made = []
    for (first, step), kernel, stride, pad, dilation in zip(before, *found, strict=True):
        middle = Fraction((kernel - 1) * dilation, 2) - pad
        if layer.type == "Deconvolution":
            made.append((first - step / stride * middle, step / stride))
        else:
            made.append((first + step * middle, step * stride))
    return tuple(made)


def _both(values: Sequence[int]) -> Sequence[int]:
    return list(values) * (2 // len(values)) if values else (0, 0)
