"""Dense maps against sliding windows, cell by cell: the two are equal just where the geometry says that they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_fcn.net.geometry import Exactness, infer_geometry, words
from caffe_fcn.net.shapes import infer_shapes
from tests.net.nets import data, graph_of, layer
from tests.net.reference import Array, convolved, pooled


class Step(NamedTuple):
    """A layer over one axis: a convolution with kernel, or a max pooling."""

    kind: str
    kernel: int
    stride: int = 1
    pad: int = 0


def outputs(steps: list[Step], x: Array) -> Array:
    """What the net of STEPS makes of a signal; its convolutions all have the weights 1, -2, 3, -4..."""
    for step in steps:
        signal: Array = x[None, None, None, :]
        if step.kind == "Pooling":
            signal = pooled(signal, (1, step.kernel), (1, step.stride), (0, step.pad), "MAX")
        else:
            taps = np.array([(-1) ** tap * (tap + 1.0) for tap in range(step.kernel)])
            wide = np.pad(signal, ((0, 0), (0, 0), (0, 0), (step.pad, step.pad)))
            signal = convolved(wide, taps[None, None, None, :], step.stride)
        x = signal[0, 0, 0]
    return x


def geometry_of(steps: list[Step], width: int) -> Any:
    text, bottom = data(1, 1, 1, width), "data"
    for index, step in enumerate(steps):
        window = f"kernel_h: 1 kernel_w: {step.kernel} pad_h: 0 pad_w: {step.pad} stride_h: 1 stride_w: {step.stride}"
        message = "pooling_param { " if step.kind == "Pooling" else "convolution_param { num_output: 1 "
        text += layer(step.kind, f"{message}{window} }}", bottom, f"b{index}", f"l{index}")
        bottom = f"b{index}"
    graph = graph_of(text)
    blobs = infer_geometry(graph, infer_shapes(graph))
    return blobs[graph.outputs[0]]


def dense_minus_sliding(steps: list[Step], x: Array, nominal: int, stride: int) -> Array:
    """The cells of the dense map less the answers for the windows of the NOMINAL size, one every STRIDE."""
    windows = [x[start : start + nominal] for start in range(0, len(x) - nominal + 1, stride)]
    sliding: Array = np.concatenate([outputs(steps, window) for window in windows])
    return outputs(steps, x)[: len(sliding)] - sliding


STEPS = st.lists(
    st.builds(Step, st.sampled_from(["Convolution", "Pooling"]), st.integers(1, 4), st.integers(1, 3), st.just(0)),
    min_size=1,
    max_size=3,
)


@pytest.mark.thorough
@given(STEPS, st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_without_padding_and_partial_windows_dense_is_sliding(steps: list[Step], more: int, seed: int) -> None:
    nominal = geometry_of(steps, 99).window[1]
    geometry = geometry_of(steps, nominal + more)
    if geometry.exactness is Exactness.EVERYWHERE:
        x = np.random.default_rng(seed).normal(size=nominal + more)
        np.testing.assert_allclose(dense_minus_sliding(steps, x, nominal, int(geometry.stride[1])), 0, atol=1e-9)


@pytest.mark.parametrize(
    ("steps", "nominal", "wide", "reason"),
    [
        ([Step("Convolution", 3), Step("Convolution", 3)], 5, 9, None),
        ([Step("Convolution", 3, pad=1), Step("Convolution", 5)], 5, 9, "pads"),
        ([Step("Pooling", 3, 2, pad=1), Step("Convolution", 4)], 7, 9, "pads"),
        ([Step("Pooling", 3, 2), Step("Convolution", 2)], 5, 9, None),
        ([Step("Pooling", 3, 2), Step("Convolution", 3)], 6, 10, "partial window"),
    ],
)
def test_padding_and_partial_windows_make_the_borders_differ(
    steps: list[Step], nominal: int, wide: int, reason: str | None
) -> None:
    geometry = geometry_of(steps, wide)
    x = np.arange(wide) ** 2.0
    assert len(outputs(steps, x[:nominal])) == 1
    differ = np.abs(dense_minus_sliding(steps, x, nominal, int(geometry.stride[1]))).max() > 1e-3
    assert (differ, geometry.exactness is Exactness.EVERYWHERE) == (reason is not None, reason is None)
    assert reason is None or reason in words(geometry.reasons[0])
