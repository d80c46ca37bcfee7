"""A twin whose InnerProduct was cut at the joints of a Concat: it holds, and what is wrong in it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caffe_fcn.schema import Message
from tests.passes.nets import conv, data, fc, layer
from tests.passes.test_cut import NET
from tests.verify.twins import FAILS, HOLDS, array, change_one, ends, failures, fill, written

TRANSPOSED = NET.replace("num_output: 5", "num_output: 5 transpose: true")
TURNED = (
    data()
    + conv("a", "data", 4)
    + conv("b", "data", 2, 1)
    + layer("pa", "Permute", "a", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
    + layer("fa", "Flatten", "pa")
    + layer("fb", "Flatten", "b")
    + layer("cat", "Concat", "fa fb")
    + fc("fc", "cat", 5)
)
"""One of the maps is flattened position by position."""


@pytest.mark.parametrize("weights", ["fcn.caffemodel", "fcn.caffemodel.h5"])
@pytest.mark.parametrize("net", [NET, TRANSPOSED, TURNED], ids=["by rows", "transposed", "turned"])
def test_a_cut_layer_holds(net: str, weights: str, tmp_path: Path) -> None:
    found = written(net, tmp_path, weights=weights).verify()
    assert ends(found) == [HOLDS] * 3 and failures(found) == ()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "change",
    [
        lambda held: change_one(held["fc_2-conv"].blobs[0]),
        lambda held: change_one(held["fc_1-conv"].blobs[0]),
        lambda held: fill(held["fc_2-conv"].blobs[0], array(held["fc_2-conv"].blobs[0])[::-1]),
        lambda held: fill(held["fc_1-conv"].blobs[1], array(held["fc_1-conv"].blobs[1])[::-1]),
    ],
    ids=["a value of the second", "a value of the first", "rows in another order", "the bias"],
)
def test_what_is_wrong_in_a_part_is_found(change: Callable[[dict[str, Message]], Any], tmp_path: Path) -> None:
    found = written(NET, tmp_path).blobs(change).verify()
    assert ends(found)[:2] == [FAILS, FAILS]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('bottom: "fc_1-conv" bottom: "fc_2-conv"', 'bottom: "fc_1-conv" bottom: "fc_1-conv"'),
        lambda text: text.replace('top: "fc" }', 'top: "fc" eltwise_param { operation: MAX } }'),
        lambda text: text.replace('top: "fc" }', 'top: "fc" eltwise_param { coeff: 1 coeff: 2 } }'),
    ],
    ids=["one part twice", "the greater", "twice the second"],
)
def test_another_sum_is_found(change: Callable[[str], str], tmp_path: Path) -> None:
    assert FAILS in ends(written(NET, tmp_path).text(change).verify())
