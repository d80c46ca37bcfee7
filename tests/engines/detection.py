"""What forks of Caffe compute in detectors, written anew in numpy: references for engines that run such layers.

Arrays are in Caffe's order; parameters are called as in the forks' messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from caffe_fcn.engines.protocol import Array

_SQUARE = 1e-6


class Boxes(NamedTuple):
    """The parameters of a PriorBox."""

    min_size: Sequence[int]
    max_size: Sequence[int] = ()
    aspect_ratio: Sequence[float] = ()
    flip: bool = True
    clip: bool = False
    variance: Sequence[float] = (0.1,)
    step: tuple[float, float] | None = None
    offset: float = 0.5


def prior_boxes(cells: tuple[int, int], picture: tuple[int, int], boxes: Boxes) -> Array:
    """PriorBox of SSD on a map of so many CELLS of a PICTURE, each H×W: 1×2×(numbers)."""
    step = boxes.step or tuple(long / many for long, many in zip(picture, cells, strict=True))
    sizes = [size for number in range(len(boxes.min_size)) for size in _sizes(boxes, number)]
    made = []
    for row in range(cells[0]):
        for column in range(cells[1]):
            y, x = (row + boxes.offset) * step[0], (column + boxes.offset) * step[1]
            for high, wide in sizes:
                corners = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]
                made.append(np.array(corners) / [picture[1], picture[0], picture[1], picture[0]])
    places = np.clip(made, 0, 1) if boxes.clip else np.array(made)
    spread = np.resize(boxes.variance, places.shape)
    return np.stack([places.ravel(), spread.ravel()])[None]


def _sizes(boxes: Boxes, number: int) -> list[tuple[float, float]]:
    """Heights and widths of the boxes of the smallest size of that NUMBER."""
    least = int(boxes.min_size[number])
    found: list[tuple[float, float]] = [(least, least)]
    if boxes.max_size:
        middle = float(np.sqrt(least * int(boxes.max_size[number])))
        found.append((middle, middle))
    ratios: list[float] = []
    for ratio in boxes.aspect_ratio:
        if all(abs(ratio - other) >= _SQUARE for other in (1.0, *ratios)):
            ratios += [ratio, 1 / ratio] if boxes.flip else [ratio]
    return found + [(least / float(np.sqrt(ratio)), least * float(np.sqrt(ratio))) for ratio in ratios]


class Output(NamedTuple):
    """The parameters of a DetectionOutput."""

    num_classes: int
    share_location: bool = True
    background_label_id: int = 0
    nms_threshold: float = 0.3
    top_k: int = -1
    code_type: str = "CORNER"
    keep_top_k: int = -1
    confidence_threshold: float = -np.inf


def detections(places: Array, scores: Array, priors: Array, output: Output) -> Array:
    """DetectionOutput of SSD: 1×1×N×7."""
    items, classes = len(places), output.num_classes
    boxes, spread = priors[0].reshape(2, -1, 4).astype(float)
    places = places.reshape(items, len(boxes), -1, 4).astype(float)
    scores = scores.reshape(items, len(boxes), classes)
    rows: list[list[float]] = []
    for item in range(items):
        kept: list[tuple[float, int, Array]] = []
        for label in (each for each in range(classes) if each != output.background_label_id):
            place = places[item, :, 0 if output.share_location else label]
            decoded = [_decoded(*each, output.code_type) for each in zip(place, boxes, spread, strict=True)]
            kept += [
                (scores[item, each, label], label, decoded[each])
                for each in _kept(scores[item, :, label], decoded, output)
            ]
        if 0 <= output.keep_top_k < len(kept):
            kept = sorted(kept, key=lambda each: -each[0])[: output.keep_top_k]
        rows += [[item, label, score, *box] for score, label, box in sorted(kept, key=lambda each: (each[1], -each[0]))]
    nothing = [[item, *[-1] * 6] for item in range(items)]
    return np.array(rows or nothing, np.float32).reshape(1, 1, -1, 7)


def _kept(scores: Array, boxes: Sequence[Array], output: Output) -> list[int]:
    """Which boxes of one class are left, the best first."""
    order = [int(each) for each in np.argsort(-scores, kind="stable") if scores[each] > output.confidence_threshold]
    found: list[int] = []
    for each in order[: output.top_k] if output.top_k >= 0 else order:
        if all(_overlap(boxes[each], boxes[other]) <= output.nms_threshold for other in found):
            found.append(each)
    return found


def _decoded(place: Array, box: Array, spread: Array, code: str) -> Array:
    if code == "CORNER":
        return np.asarray(box + spread * place)
    size, centre = box[2:] - box[:2], (box[:2] + box[2:]) / 2
    middle, half = spread[:2] * place[:2] * size + centre, np.exp(spread[2:] * place[2:]) * size / 2
    return np.concatenate([middle - half, middle + half])


def _overlap(one: Array, other: Array) -> float:
    """The common part of two boxes over all that both cover."""
    shared = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    if (shared < 0).any():
        return 0.0
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    both = float(np.prod(shared))
    return both / (areas[0] + areas[1] - both)


def roi_pooling(values: Array, regions: Array, pooled: tuple[int, int], scale: float) -> Array:
    """ROIPooling of Fast R-CNN: R×C×H×W."""
    made = np.zeros((len(regions), values.shape[1], *pooled), np.float32)
    for number, region in enumerate(regions):
        ends = np.floor(region[1:].astype(float) * scale + 0.5).astype(int)
        rows, columns = (
            _parts(ends[1 - axis], ends[3 - axis], pooled[axis], values.shape[2 + axis]) for axis in (0, 1)
        )
        for place, row, column in _grid(rows, columns):
            window = values[int(region[0]), :, row, column]
            if window.size:
                made[number, :, place[0], place[1]] = window.max((1, 2))
    return made


def _parts(first: int, last: int, many: int, extent: int) -> list[slice]:
    """The cells from FIRST to LAST in so MANY parts, which may overlap."""
    length = max(last - first + 1, 1) / many
    ends = [(int(np.floor(part * length)) + first, int(np.ceil((part + 1) * length)) + first) for part in range(many)]
    return [slice(*np.clip(each, 0, extent)) for each in ends]


def psroi_pooling(values: Array, regions: Array, dim: int, group: int, scale: float) -> Array:
    """PSROIPooling of R-FCN: R×dim×group×group, each place from channels of its own."""
    made = np.zeros((len(regions), dim, group, group), np.float32)
    for number, region in enumerate(regions.astype(np.float32)):  # in which a bound may be just below a whole number
        ends = np.floor(region[1:] + np.float32(0.5)) + np.array([0, 0, 1, 1], np.float32)
        first, last = ends[:2] * np.float32(scale), ends[2:] * np.float32(scale)
        length = np.maximum(last - first, np.float32(0.1)) / np.float32(group)
        parts = []
        for axis in (1, 0):
            starts = np.floor(np.arange(group, dtype=np.float32) * length[axis] + first[axis])
            stops = np.ceil(np.arange(1, group + 1, dtype=np.float32) * length[axis] + first[axis])
            parts.append(
                [
                    slice(*np.clip(each, 0, values.shape[3 - axis]).astype(int))
                    for each in zip(starts, stops, strict=True)
                ]
            )
        for place, row, column in _grid(*parts):
            channels = (np.arange(dim) * group + place[0]) * group + place[1]
            window = values[int(region[0]), channels, row, column]
            if window.size:
                made[number, :, place[0], place[1]] = window.mean((1, 2))
    return made


def _grid(rows: Sequence[slice], columns: Sequence[slice]) -> list[tuple[tuple[int, int], slice, slice]]:
    return [((y, x), row, column) for y, row in enumerate(rows) for x, column in enumerate(columns)]


def reorg(values: Array, stride: int) -> Array:
    """Reorg of MobileNet-YOLO: as darknet, it takes the map for one of C/stride² channels, stride times as large."""
    items, channels, high, wide = values.shape
    places: Any = np.arange(values[0].size).reshape(channels, high, wide)
    channel, row, column = np.indices(places.shape)
    inner = channels // stride**2
    offset = channel // inner
    source = (column * stride + offset % stride) + wide * stride * (
        row * stride + offset // stride + high * stride * (channel % inner)
    )
    made = values.reshape(items, -1)[:, source.ravel()]
    return made.reshape(items, channels * stride**2, high // stride, wide // stride)
