"""Random classifiers as segmentation nets, held against numpy.

The coarse scores must be the dense map of the net that is only converted, with the same padding. The scores must have
the size of the image at every size that fits, and numpy must refuse the other sizes. The offsets of crops are worked
out of the written net (`coordinates`). Where the kernel of a Deconvolution is odd and no skip is added, the scores in
the middle of a window are the coarse ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.model import Model
from caffe_fcn.model.passing import Result
from caffe_fcn.passes.conversion import Settings, converted
from caffe_fcn.passes.fold import fold
from caffe_fcn.passes.segment.changes import AddHead
from caffe_fcn.passes.segment.fitting import Fits
from caffe_fcn.passes.segment_options import SegmentOptions
from caffe_fcn.passes.segmentation import Segmentation
from caffe_fcn.schema import Message
from tests.random.basics import Array, ImpossibleError
from tests.random.caffe import forward
from tests.random.coordinates import offsets, places
from tests.random.files import blobs_of
from tests.random.images import image_net
from tests.random.nets import RandomNet
from tests.random.running import Answer, Weights, answers, before, in_phase, run, unread
from tests.random.trials import Case

_LARGEST = 60
"""Pixels, along an axis of the images that are tried."""
_SIZES = 5


def segmentable(seed: int) -> RandomNet:
    """The net of SEED."""
    return image_net(seed)


def segmented(model: Model, net: RandomNet, draw: np.random.Generator) -> list[Result]:
    """MODEL as a segmentation net, in ways that are DRAWN; of every third net folded before."""
    first = [fold(model)] if net.seed % 3 == 0 else []
    model = first[0].model if first else model
    made = Segmentation(_options(net, draw)).passes(model)
    return [*first, *made]


def _options(net: RandomNet, draw: np.random.Generator) -> SegmentOptions:
    blobs = run(in_phase(net.net), net.weights, net.inputs)
    (image,) = net.inputs.values()
    there = [
        name
        for name, value in blobs.items()
        if ":" not in name and value.ndim == 4 and 3 < value.shape[2] < image.shape[2] / 1.5
    ]
    chosen = draw.choice(there, min(len(there), int(draw.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))), replace=False)
    keep = bool(draw.random() < 0.75)
    channels = image.shape[1]
    products = [layer.name for layer in net.net.layer if layer.type == "InnerProduct"]
    wanted: list[str | int] = ["auto", "least", "keep", int(draw.integers(0, 50))]
    return SegmentOptions(
        keep_classifier=keep,
        classes=None if keep else int(draw.integers(2, 5)),
        skip=tuple(f"{name}:0.5" if draw.random() < 0.3 else str(name) for name in chosen),
        pad=wanted[int(draw.choice(4, p=[0.4, 0.2, 0.15, 0.25]))],
        at=products[-1] if len(unread(in_phase(net.net))) > 1 else None,
        learn_upsampling=bool(draw.random() < 0.2),
        dense_upsampling=bool(draw.random() < 0.2),
        input_channels=(1 if channels == 3 else channels + 1) if draw.random() < 0.2 else None,
    )


def check(case: Case) -> Iterator[str]:
    """What is wrong with the segmentation net of CASE."""
    message, stored = case.made.read()
    layers, weights = in_phase(message), blobs_of(stored, case.net.weights)
    head = next(change for result in case.results for change in result.changes if isinstance(change, AddHead))
    image = next(iter(case.net.inputs))
    yield from _offsets(layers, image, head)
    yield from _sizes(case, layers, weights, head)
    if case.results[-1].shared is None:
        return
    fed = _image(case, message)
    try:
        expected = _dense(case, head, fed)
    except SurgeryError:  # of a head that the segmentation net does not have; `verify` compares the map too
        return
    made = run(layers, weights, {image: fed})
    if (gap := expected.gap(made[head.coarse])) > 1:
        yield f"coarse: {head.coarse!r} is off by {gap:.3g}"
    elif len(head.stages) == 1 and head.stages[0].kernel % 2:
        yield from _centres(layers, image, head.coarse, expected, made["score"])


def _offsets(layers: Sequence[Message], image: str, head: AddHead) -> Iterator[str]:
    found = {each.layer: each for each in offsets(layers, image)}
    for stage in head.stages:
        each = found.get(stage.crop)
        if each is None:
            yield f"offset: none found of {stage.crop!r}"
        elif not each.written == each.expected == tuple(stage.offset):
            yield f"offset: {stage.crop!r} has {each.written}, told are {stage.offset}, expected {each.expected}"


def _sizes(case: Case, layers: Sequence[Message], weights: Weights, head: AddHead) -> Iterator[str]:
    """Where the shape rules of numpy say otherwise than the report, along one axis with the nominal size of the
    other."""
    image = next(iter(case.net.inputs))
    shape = _image(case, case.results[-1].model.net).shape
    for axis, fits in enumerate(head.padding.fits, 2):
        for size in _tried(fits, case.draw):
            tried = (*shape[:axis], size, *shape[axis + 1 :])
            found = _shape(layers, weights, {image: np.zeros(tried)})
            if (size in fits) is not (found is not None):
                told = "fits" if size in fits else "does not fit"
                yield f"size: {size} along axis {axis} {told}, numpy makes {found}"
            elif found is not None and found != (shape[0], head.classes, *tried[2:]):
                yield f"size: scores of {found} for an image of {tried}"


def _tried(fits: Fits, draw: np.random.Generator) -> list[int]:
    ends = {size + more for first, last in fits.ranges for size in (first, last or first) for more in (-1, 0, 1)}
    near = [size for size in sorted(ends | {1, 2}) if 1 <= size <= _LARGEST]
    others = [int(size) for size in draw.integers(1, _LARGEST, 3)]
    return [*draw.permutation(near)[:_SIZES].tolist(), *others]


def _shape(layers: Sequence[Message], weights: Weights, values: dict[str, Array]) -> tuple[int, ...] | None:
    """The shape of the scores; None where a layer refuses its bottoms, or a blob has no values."""
    try:
        for layer in layers:
            made = forward(layer, [values[bottom] for bottom in layer.bottom], weights.get(layer.name, ()))
            if any(value.size == 0 for value in made):
                return None
            values.update(zip(layer.top, made, strict=True))
    except ImpossibleError:
        return None
    return values["score"].shape


def _image(case: Case, message: Message) -> Array:
    """Random values for the input of MESSAGE, which may have another shape than that of the random net."""
    inner = [layer for layer in message.layer if layer.type == "Input"]
    dims = inner[0].input_param.shape[0].dim if inner else [*message.input_dim] or message.input_shape[0].dim
    return np.random.default_rng((case.net.seed, 31)).standard_normal(tuple(dims))


def _dense(case: Case, head: AddHead, fed: Array) -> Answer:
    """The map of the net that is only converted, with the padding of the new one, for the picture FED."""
    (image, old), *_ = case.net.inputs.items()
    channels = old.shape[1]
    seen = fed[:, :channels] if fed.shape[1] >= channels else np.repeat(fed, channels, 1)
    reference = case.written("dense", converted(case.opened(), Settings())[-1].model)
    message, stored = reference.read()
    if head.padding.pad is not None:
        first = next(layer for layer in message.layer if layer.name == head.first).convolution_param
        for name in ("pad", "pad_h", "pad_w"):
            first.ClearField(name)
        first.pad.append(head.padding.pad)
    weights = blobs_of(stored, case.net.weights)
    return answers(before(in_phase(message), head.coarse), weights, {image: seen}, [head.coarse])[head.coarse]


def _centres(layers: Sequence[Message], image: str, coarse: str, expected: Answer, score: Array) -> Iterator[str]:
    where = places(layers, image)[coarse]
    rows, columns = (
        [(cell, int(first + cell * step)) for cell in range(many) if 0 <= first + cell * step < size]
        for (first, step), many, size in zip(where, expected.clean.shape[2:], score.shape[2:], strict=True)
    )
    if any(first.denominator != 1 for first, _ in where):
        yield "centre: not on a pixel"
        return
    for cell, row in rows:
        for other, column in columns:
            gap = abs(score[:, :, row, column] - expected.clean[:, :, cell, other]).max()
            if gap > expected.limit + 1e-5 * expected.scale:
                yield f"centre: the scores at {row}×{column} are off by {gap:.3g}"
                return
