"""What a conversion must not change, held without any knowledge of views: parameters, counts of values, outputs."""

from __future__ import annotations

import pytest

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.changes import Decision, DropLayer, Rewire
from caffe_fcn.net.graph import Blob
from caffe_fcn.net.shapes import Shape
from caffe_fcn.passes.convolutionalize.kept import Original, Twin, check_kept
from tests.engines.nets import net_of
from tests.passes.nets import conv, data, layer

HEAD = data(shape="1 3 8 8") + conv("c", "data", 4, 8)
DROP_R = DropLayer(2, "r", "Reshape")


def reshape(name: str, bottom: str, dims: str) -> str:
    shape = " ".join(f"dim: {extent}" for extent in dims.split())
    return layer(name, "Reshape", bottom, params=f"reshape_param {{ shape {{ {shape} }} }}")


def check(before: str, after: str, origins: tuple[int, ...], *edits: DropLayer | Rewire, **promised: Shape) -> None:
    """Check AFTER, the twin that EDITS are said to make of BEFORE, with other shapes as PROMISED."""
    original, twin = net_of(before), net_of(after)
    check_kept(
        Original(original.graph, original.shapes, {Blob(name, 0): shape for name, shape in promised.items()}),
        Twin(twin.graph, origins, twin.shapes),
        Decision(tuple(edits)),
    )


def test_parameters_of_another_shape_are_a_defect() -> None:
    before = HEAD + reshape("r", "c", "0 2 2") + layer("slope", "PReLU", "r")
    after = HEAD + layer("slope", "PReLU", "c")
    expected = r"'slope' \(PReLU\): expected parameters 2, found 4; .* defect of caffe-fcn"
    with pytest.raises(SurgeryError, match=expected):
        check(before, after, (0, 1, 3), DROP_R, slope=(1, 4, 1, 1))
    flat = HEAD + reshape("r", "c", "0 4") + layer("slope", "PReLU", "r")
    check(flat, after, (0, 1, 3), DROP_R, slope=(1, 4, 1, 1))
    with pytest.raises(SurgeryError, match=r"expected 1×4 for 'slope', found 1×4×1×1; .* defect"):
        check(flat, after, (0, 1, 3), DROP_R)


def test_a_top_of_another_count_is_a_defect_whatever_was_promised() -> None:
    cut = layer("cut", "Slice", "r", "a b", "slice_param { slice_point: 1 }")
    before, after = HEAD + reshape("r", "c", "0 2 2") + cut, HEAD + cut.replace('"r"', '"c"')
    with pytest.raises(SurgeryError, match=r"'cut' \(Slice\): expected 1×1×2 for 'a', found 1×1×1×1; "):
        check(before, after, (0, 1, 3), DROP_R, a=(1, 1, 1, 1))


def test_an_output_that_is_read_is_lost() -> None:
    before, reader = HEAD + layer("out", "Flatten", "c"), layer("end", "Silence", "c", "")
    check(before, HEAD, (0, 1), DropLayer(2, "out", "Flatten"))
    with pytest.raises(SurgeryError, match=r"its output 'out' is missing from the converted net; .*defect"):
        check(before + reader, HEAD + reader, (0, 1, 3), DropLayer(2, "out", "Flatten"))


def test_an_output_of_the_same_name_from_another_layer_is_another() -> None:
    before = HEAD + layer("out", "Flatten", "c") + layer("twice", "Power", "c")
    after = HEAD.replace('top: "c"', 'top: "x"') + layer("twice", "Power", "x", "c")
    with pytest.raises(SurgeryError, match=r"layer 'c' \(Convolution\): its output 'out' is missing"):
        check(before, after, (0, 1, 3), DropLayer(2, "out", "Flatten"))


def test_an_output_keeps_its_maker_under_another_name() -> None:
    before = HEAD + layer("out", "Flatten", "c")
    check(
        before,
        HEAD.replace('top: "c"', 'top: "x"'),
        (0, 1),
        DropLayer(2, "out", "Flatten"),
        Rewire(1, "c", {}, {"c": "x"}),
    )
    with pytest.raises(SurgeryError, match=r"layer 'c' \(Convolution\): its output 'out' is missing"):
        check(before, HEAD.replace('top: "c"', 'top: "x"'), (0, 1), DropLayer(2, "out", "Flatten"))
