"""Selects the skips: the blobs that the user names, or those of the papers, by their strides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from caffe_fcn.errors import SurgeryError
from caffe_fcn.net.graph import Blob, Graph, Node
from caffe_fcn.passes.segment.geometry import AXES, ScoreMaps
from caffe_fcn.wording import Option, nearest

STYLES = {"32s": 32, "16s": 16, "8s": 8}
"""The stride of the finest scores that each style of the papers sums."""


class Skip(NamedTuple):
    """A finer blob whose scores are added, multiplied by a fixed SCALE before, if there is one. OPTION asked for it."""

    blob: str
    option: Option
    scale: float | None = None


def parse_skip(text: str) -> Skip:
    """Return the skip in TEXT, BLOB or BLOB:SCALE; the name of a blob may be "conv:0". Raises ValueError for a scale
    that is not finite."""
    blob, colon, number = text.rpartition(":")
    option = Option("skip", [text])
    try:
        scale = float(number) if blob and colon else None
    except ValueError:
        return Skip(text, option)
    if scale is not None and not math.isfinite(scale):
        raise ValueError(f"the scale of a skip: expected a number, such as pool4:0.01, found {text!r}")
    return Skip(blob, option, scale) if scale else Skip(text, option)


def asked(graph: Graph, skips: Sequence[Skip]) -> list[Blob]:
    """Return the blobs of SKIPS in GRAPH, after all layers that work on them in place. Raises SurgeryError for a name
    that no blob has, and for a name that is given twice."""
    found: list[Blob] = []
    for skip in skips:
        blob = graph.latest(skip.blob)
        if blob is None:
            near = nearest(skip.blob, {each.name for each in graph.producer})
            raise SurgeryError(
                f"no blob is called {skip.blob!r}",
                source=graph.source,
                place=skip.option,
                hint=f"did you mean {near!r}?" if near else None,
            )
        if blob in found:
            raise SurgeryError(f"the blob {skip.blob!r} is given twice", place=skip.option)
        found.append(blob)
    return found


def check_before(graph: Graph, head: Node, skips: Sequence[Skip], blobs: Sequence[Blob]) -> None:
    """Raise SurgeryError if one of SKIPS, with its BLOBS, depends on the classifier, which ends in HEAD."""
    for skip, blob in zip(skips, blobs, strict=True):
        if head.index in graph.before([graph.producer[blob]]):
            raise SurgeryError(
                f"the blob {skip.blob!r} depends on the classifier {head.name!r}",
                source=graph.source,
                place=skip.option,
                hint="name a finer blob before it",
            )


def of_style(maps: ScoreMaps, style: str) -> list[Blob]:
    """Return the skips of a STYLE of the papers: one for each stride that is half the one before, down to the
    style's."""
    stride, least = _stride(maps, maps.coarse), STYLES[style]
    if stride != (stride[0],) * AXES or stride[0] < least or math.log2(stride[0] / least) % 1:
        raise SurgeryError(
            f"the stride of its scores, {'×'.join(map(str, dict.fromkeys(stride)))}, cannot be halved down to {least}",
            source=maps.graph.source,
            place=Option("style", style),
            hint="name the blobs to add yourself",
        )
    found = []
    wanted = stride[0] / 2
    while wanted >= least:
        found.append(_typical(maps, wanted, style))
        wanted /= 2
    return found


def _stride(maps: ScoreMaps, blob: Blob) -> tuple[Fraction, ...]:
    return tuple(each.stride for each in maps.place(blob))


def _typical(maps: ScoreMaps, stride: Fraction, style: str) -> Blob:
    """Return the blob of this STRIDE that papers use: the output of the pooling that makes this stride; if a
    convolution makes it, the last blob of it on which all the scores depend."""
    there = [
        (node, blob)
        for node in maps.nodes
        for blob in node.tops
        if maps.image in maps.places[blob] and _stride(maps, blob) == (stride,) * AXES
    ]
    if not there:
        raise SurgeryError(
            f"no blob has the stride {stride}",
            source=maps.graph.source,
            place=Option("style", style),
            hint="name the blobs to add yourself",
        )
    whole = _passed_by_all(maps)
    passed = [(node, blob) for node, blob in there if blob in whole] or there
    pooled = passed[0] == there[0] and passed[0][0].type == "Pooling"
    _, blob = passed[0] if pooled else passed[-1]
    return maps.graph.latest(blob.name) or blob


def _passed_by_all(maps: ScoreMaps) -> set[Blob]:
    """Return the blobs that are on every path from the image to the scores: no layer after them reads a blob before
    them."""
    made = {blob: place for place, node in enumerate(maps.nodes) for blob in node.tops}
    found: set[Blob] = set()
    first_read = len(maps.nodes)
    for place in range(len(maps.nodes) - 1, -1, -1):
        node = maps.nodes[place]
        if first_read >= place:
            found.update(node.tops)
        read = [made[blob] for blob in node.bottoms if maps.image in maps.places[blob]]
        first_read = min([first_read, *read])
    return found
