from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_fcn.net.blobs import current_shape
from tests.files.encodings import parsed
from tests.paths import GOLDEN

LENET = GOLDEN / "conversions" / "lenet"
TYPES = (
    "BatchNorm",
    "Bias",
    "Convolution",
    "Convolution3D",
    "Deconvolution",
    "Embed",
    "InnerProduct",
    "PReLU",
    "Scale",
)


def test_what_caffe_itself_makes_of_old_blobs() -> None:
    """The same weights as Caffe wrote them with four axes, and as it writes them today."""
    old = {layer.name: layer for layer in parsed(LENET / "variants" / "v1.caffemodel").layers}
    new = [layer for layer in parsed(LENET / "net.caffemodel").layer if layer.blobs]
    assert len(new) == 4
    for layer in new:
        for position, blob in enumerate(layer.blobs):
            was = old[layer.name].blobs[position]
            shape = (was.num, was.channels, was.height, was.width)
            assert current_shape(layer.type, position, shape) == tuple(blob.shape.dim)


@pytest.mark.parametrize(
    ("layer_type", "position", "old", "new"),
    [
        ("InnerProduct", 0, (1, 1, 10, 64), (10, 64)),
        ("InnerProduct", 0, (1, 1, 1, 64), (1, 64)),
        ("InnerProduct", 0, (1, 1, 10, 1), (10, 1)),
        ("InnerProduct", 1, (1, 1, 1, 10), (10,)),
        ("InnerProduct", 1, (1, 1, 1, 1), (1,)),
        ("InnerProduct", 0, (1, 1, 1, 10, 64), (10, 64)),  # of C3D
        ("InnerProduct", 2, (1, 1, 1, 10), (1, 1, 1, 10)),  # of a fork: nobody knows
        ("Convolution", 0, (1, 1, 3, 3), (1, 1, 3, 3)),
        ("Convolution", 1, (1, 1, 1, 8), (8,)),
        ("Convolution3D", 0, (8, 3, 3, 3, 3), (8, 3, 3, 3, 3)),
        ("Convolution3D", 1, (1, 1, 1, 1, 8), (8,)),
        ("Deconvolution", 1, (1, 1, 1, 8), (8,)),
        ("PReLU", 0, (1, 1, 1, 8), (8,)),
        ("Scale", 1, (1, 1, 1, 8), (8,)),
        ("BatchNorm", 2, (1, 1, 1, 1), (1,)),
        ("Embed", 0, (1, 1, 5, 7), (5, 7)),
        ("LSTM", 0, (1, 1, 5, 7), (1, 1, 5, 7)),
        ("Unknown", 0, (1, 1, 5, 7), (1, 1, 5, 7)),
        ("InnerProduct", 0, (10, 64, 1, 1), (10, 64, 1, 1)),  # not as Caffe fills up
        ("InnerProduct", 0, (10, 64), (10, 64)),
        ("InnerProduct", 1, (10,), (10,)),
        ("InnerProduct", 0, (64,), (64,)),
        ("InnerProduct", 0, (), ()),
        ("Scale", 0, (1, 3, 5, 7), (1, 3, 5, 7)),  # over several axes
    ],
)
def test_axes(layer_type: str, position: int, old: tuple[int, ...], new: tuple[int, ...]) -> None:
    assert current_shape(layer_type, position, old) == new


@pytest.mark.thorough
@given(kind=st.sampled_from(TYPES), position=st.integers(0, 3), shape=st.lists(st.integers(0, 3), max_size=6))
def test_no_value_is_lost_and_a_second_time_changes_nothing(kind: str, position: int, shape: list[int]) -> None:
    new = current_shape(kind, position, tuple(shape))
    assert prod(new) == prod(shape)
    assert tuple(shape[len(shape) - len(new) :]) == new
    assert current_shape(kind, position, new) == new
