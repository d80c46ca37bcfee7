"""Which sizes near the one asked for a net takes, against all sizes tried one by one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.sizes import advice
from tests.net.nets import data, graph_of, layer


def decoder(down: str, up: str, pooling: str = "Convolution") -> str:
    """A net that makes a map coarser, brings it back, and joins it with what it was made of."""
    field = "pooling_param" if pooling == "Pooling" else "convolution_param"
    return (
        data(1, 3, 65, 65)
        + layer(pooling, f"{field} {{ {down} }}", top="coarse", name="down")
        + layer("Deconvolution", f"convolution_param {{ {up} }}", bottom="coarse", top="fine", name="up")
        + 'layer { name: "join" type: "Eltwise" bottom: "fine" bottom: "data" top: "out" }'
    )


MULTIPLES = decoder("kernel_size: 8 stride: 8", "num_output: 3 kernel_size: 8 stride: 8", "Pooling")
RESTS = decoder("num_output: 3 kernel_size: 5 stride: 4", "num_output: 3 kernel_size: 5 stride: 4")
ANY = data(1, 3, 65, 65) + layer("Convolution", "convolution_param { num_output: 3 kernel_size: 5 }")


def advised(text: str, size: tuple[int, ...], nominal: tuple[int, ...]) -> str:
    """What is advised where the net TEXT, whose own size is NOMINAL, is asked to take SIZE."""
    graph, shape = graph_of(text), (1, 3, *nominal)
    return advice(graph, infer_shapes(graph, given={"data": shape}), {"data": shape}, size)


def takes(text: str, size: tuple[int, ...]) -> bool:
    """Whether the net TEXT takes SIZE."""
    try:
        infer_shapes(graph_of(text), given={"data": (1, 3, *size)})
    except ShapeError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "nominal", "size", "told"),
    [
        (MULTIPLES, (64, 64), (70, 90), "heights and widths that are multiples of 8, such as 64x88 and 72x96"),
        (MULTIPLES, (64, 64), (64, 90), "heights and widths that are multiples of 8, such as 64x88 and 64x96"),
        (MULTIPLES, (64, 64), (3, 8), "heights and widths that are multiples of 8, such as 8x8"),
        (RESTS, (65, 65), (64, 65), "heights and widths of 4·n + 1, such as 61x65 and 65x65"),
        (ANY, (65, 65), (4, 90), "heights of at least 5, such as 5x90"),
        (ANY, (65, 65), (4, 3), "at least 5x5"),
    ],
)
def test_sizes_that_fit_are_named(text: str, nominal: tuple[int, int], size: tuple[int, int], told: str) -> None:
    """The rule is the one seen when every size is tried, and the examples are the nearest that fit."""
    assert not takes(text, size)
    assert advised(text, size, nominal) == f"; the net takes {told}"
    fit = [extent for extent in range(1, 150) if takes(text, (extent, nominal[1]))]
    step = fit[1] - fit[0]
    assert {later - earlier for earlier, later in pairwise(fit)} == {step}
    assert (f"multiples of {step}" in told or f"{step}·n + {fit[0] % step}" in told) is (step > 1)


def test_one_size_is_no_rule() -> None:
    """Of a net that takes one size, nothing is advised."""
    fixed = data(1, 3, 65, 65) + layer("Reshape", "reshape_param { shape { dim: 1 dim: 12675 } }")
    assert takes(fixed, (65, 65)) and not takes(fixed, (70, 70))
    assert advised(fixed, (70, 70), (65, 65)) == ""


def test_other_parameters_do_not_fit() -> None:
    """A size at which an InnerProduct would need other weights is not advised."""
    classifier = MULTIPLES + layer(
        "InnerProduct", "inner_product_param { num_output: 2 }", bottom="out", top="fc", name="fc"
    )
    assert advised(classifier, (70, 70), (64, 64)) == ""
