"""Twins whose map has a finer stride: old cells are the original's answers, those between its answers to windows."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.model.passing import Claim
from caffe_fcn.passes.atrous import atrous
from caffe_fcn.passes.conversion import Settings
from caffe_fcn.passes.convolutionalize import convolutionalize
from caffe_fcn.passes.fold import fold
from tests.passes.nets import conv, data, fc, layer
from tests.passes.test_atrous import RESIDUAL, UNPOOLED
from tests.paths import GOLDEN, ROOT
from tests.verify.test_folded_twins import Pass, made
from tests.verify.twins import DOES_NOT_APPLY, FAILS, HOLDS, Pair, array, ends, fill, written

POOLED = (
    data(shape="1 1 22 22")
    + conv("a", "data", 4, 3)
    + layer("p1", "Pooling", "a", params="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    + conv("b", "p1", 4, 3)
    + layer("p2", "Pooling", "b", params="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    + fc("f", "p2", 5)
    + layer("prob", "Softmax", "f")
)
PADDED = (
    data(shape="1 1 20 20")
    + conv("a", "data", 4, 3, "pad: 1 stride: 2")
    + layer("relu", "ReLU", "a", "a")
    + conv("b", "a", 4, 3, "stride: 2")
    + fc("f", "b", 5)
)
"""At stride 2 there are 2×2 cells at the nominal size, of which the original has one."""


def finer(text: str, out: Path, *stride: int) -> Pair:
    return written(text, out, Settings(stride=stride))


@pytest.mark.parametrize(
    ("text", "stride"),
    [(POOLED, (2, 2)), (PADDED, (2, 2)), (PADDED, (2, 4)), (RESIDUAL, (4, 4))],
    ids=["exact", "padded", "one axis", "a map"],
)
def test_finer_maps_are_proven(text: str, stride: tuple[int, int], tmp_path: Path) -> None:
    found = finer(text, tmp_path, *stride).verify()
    assert found.holds and ends(found) == [HOLDS] * 3 and found.claim is Claim.SAME_BITS, found
    assert found.dense is not None
    assert [each.stride for each in found.dense.outputs] == [stride]


def test_windows_show_nothing_where_a_dilated_layer_pads(tmp_path: Path) -> None:
    """Its cells see the border of the nominal map, which is not there on a larger input."""
    found = finer(UNPOOLED, tmp_path, 1, 2).verify()
    assert found.holds and ends(found) == [HOLDS, HOLDS, DOES_NOT_APPLY]


@pytest.mark.thorough
def test_the_digits_at_every_second_pixel(tmp_path: Path) -> None:
    digits = ROOT / "models" / "digits"
    found = Pair(digits / "digits.prototxt", digits / "digits.caffemodel", tmp_path, Settings(stride=(2, 2))).verify()
    assert ends(found) == [HOLDS] * 3


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (POOLED, "dilation: 2", ""),
        (POOLED, "dilation: 2", "dilation: 1 dilation: 2"),
        (UNPOOLED, "pad: 2", "pad: 1"),
        (PADDED, "dilation: 2", "dilation: 3"),
        (UNPOOLED, "dilation: 4", "dilation: 2"),
    ],
)
def test_wrong_windows_are_found(text: str, old: str, new: str, tmp_path: Path) -> None:
    pair = finer(text, tmp_path, 1 if text is UNPOOLED else 2, 1 if text is UNPOOLED else 2)
    found = pair.text(lambda told: told.replace(old, new, 1)).verify()
    assert not found.holds and FAILS in ends(found)


def test_a_stride_alone_is_no_finer_map(tmp_path: Path) -> None:
    """The stride of the last pooling is gone, and nothing is dilated: another function."""
    pair = written(POOLED, tmp_path).text(lambda told: "stride: 1".join(told.rsplit("stride: 2", 1)))
    found = pair.verify()
    assert ends(found)[0] is FAILS and ends(found)[2] is FAILS


def test_wrong_weights_are_found(tmp_path: Path) -> None:
    def change(layers: dict[str, object]) -> None:
        blob = layers["f-conv"].blobs[0]  # type: ignore[attr-defined]
        fill(blob, array(blob)[:, :, ::-1])

    found = finer(POOLED, tmp_path, 2, 2).blobs(change).verify()
    assert ends(found) == [FAILS] * 3


@pytest.mark.parametrize("order", ["folded first", "folded last"])
def test_a_folded_net_may_be_finer_too(order: str, tmp_path: Path) -> None:
    folds: list[Pass] = [lambda model: fold(model).model]
    steps: list[Pass] = [lambda model: convolutionalize(model).model, lambda model: atrous(model, (1, 1)).model]
    case = GOLDEN / "folds" / "residual"
    passes = [*folds, *steps] if order == "folded first" else [*steps, *folds]
    found = made(case / "net.prototxt", case / "net.caffemodel", tmp_path, *passes).verify()
    assert found.holds and found.claim is Claim.SAME_FUNCTION, found
