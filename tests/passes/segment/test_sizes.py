"""The sizes at which crops fit, held against the shapes of the written net, size by size."""

from __future__ import annotations

import random

import pytest

from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import infer_shapes, refuse_empty
from tests.passes.nets import conv, data, layer
from tests.passes.segment.nets import Segmented, segmented


def net(seed: int) -> str:
    """A small net with windows that differ along height and width, and a pooling or a strided convolution for each
    stride."""
    draw = random.Random(seed)
    text, bottom = data(shape="1 2 70 75"), "data"
    for number in range(draw.randint(2, 3)):
        high = draw.randint(1, 4)
        wide = high + draw.choice([0, 2])
        pads = f"pad_h: {draw.randint(0, high // 2)} pad_w: {draw.randint(0, wide // 2)}"
        stride = draw.choice(["", "stride: 2"]) if number == 0 else ""
        window = f"num_output: 3 kernel_h: {high} kernel_w: {wide} {pads} {stride}"
        text += layer(f"conv{number}", "Convolution", bottom, params=f"convolution_param {{ {window} }}")
        kernel = draw.randint(2, 4)
        pool = f"pool: MAX kernel_size: {kernel} stride: 2 {draw.choice(['', 'pad: 1'])}"
        text += layer(f"pool{number}", "Pooling", f"conv{number}", params=f"pooling_param {{ {pool} }}")
        bottom = f"pool{number}"
    return text + conv("fc", bottom, 4, draw.randint(1, 3))


def takes(plan: Segmented, size: tuple[int, int]) -> bool:
    """Whether the new net takes an image of this SIZE, by the shapes of all its blobs."""
    graph = plan.model.graph
    try:
        refuse_empty(graph, infer_shapes(graph, given={"data": (1, 2, *size)}))
    except ShapeError:
        return False
    return True


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(12))
def test_what_fits_is_what_the_shapes_say(seed: int) -> None:
    text, draw = net(seed), random.Random(seed)
    skips: tuple[str, ...] = ("pool0",) if draw.random() < 0.7 else ()
    try:
        plan = segmented(text, skip=skips, pad=draw.choice(["auto", "least", "auto", 12, 20]))
    except SurgeryError:
        plan = segmented(text)
    for axis, fits in enumerate(plan.head.padding.fits):
        sizes = [*range(1, 80), *draw.sample(range(80, 2000), 20)]
        height, width = plan.model.shapes["TEST"].blobs[Blob("data", 0)][2:]  # type: ignore[index]
        found = {size: takes(plan, (size, width) if axis == 0 else (height, size)) for size in sizes}
        assert found == {size: size in fits for size in sizes}


@pytest.mark.thorough
def test_every_size_is_taken_with_the_least_padding_and_no_less() -> None:
    for seed in range(4):
        plan = segmented(net(seed))
        pad = plan.head.padding.pad
        assert pad is not None and all(fits.every for fits in plan.head.padding.fits)
        assert all(takes(plan, (size, size)) for size in range(1, 60))
        if pad:
            try:
                less = segmented(net(seed), pad=pad - 1)
            except SurgeryError:
                continue
            assert not all(takes(less, (size, size)) for size in range(1, 60))
