"""A finer map by dilation: every D-th cell is the old one, to the bit, and those between are those of moved inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import caffe_fcn
from caffe_fcn.engines.protocol import Array, ShapedNet
from caffe_fcn.errors import ShapeError, SurgeryError
from caffe_fcn.net.geometry import infer_geometry
from caffe_fcn.net.layers.windows import convolution_windows
from caffe_fcn.passes.atrous import atrous
from caffe_fcn.passes.conversion import ConversionPlan, Settings
from caffe_fcn.report.convert import document, lines
from tests.engines.nets import net_of
from tests.passes.nets import conv, data, fc, layer, layers, model_of, planned
from tests.paths import ROOT
from tests.predict.test_tiling import model_of as trained

RESIDUAL = (
    data(shape="1 2 17 21")
    + conv("a", "data", 3, 3, "pad: 1 stride: 2")
    + conv("left", "a", 4, 1, "stride: 2")
    + conv("r1", "a", 4, 3, "pad: 1 stride: 2")
    + layer("relu", "ReLU", "r1", "r1")
    + conv("r2", "r1", 4, 3, "pad: 1")
    + layer("sum", "Eltwise", "left r2")
    + layer("pool", "Pooling", "sum", params="pooling_param { pool: AVE kernel_size: 2 stride: 2 round_mode: FLOOR }")
    + conv("score", "pool", 2, 2)
)
"""Two paths of one stride that are joined, and padding."""
UNPOOLED = RESIDUAL.replace(
    RESIDUAL[RESIDUAL.index('layer { name: "pool"') : RESIDUAL.index('layer { name: "score"')], ""
)
UNPOOLED = UNPOOLED.replace('bottom: "pool"', 'bottom: "sum"')


def finer(text: str, *stride: int) -> ConversionPlan:
    return planned(text, Settings(stride=stride))


def refused(text: str, *stride: int) -> str:
    with pytest.raises(SurgeryError) as caught:
        finer(text, *stride)
    return str(caught.value)


def pool(name: str, bottom: str, more: str) -> str:
    return layer(name, "Pooling", bottom, params=f"pooling_param {{ pool: MAX {more} }}")


# ---- What is written ----


def test_vgg16_at_stride_16() -> None:
    """The pooling keeps its kernel; fc6 reads every second cell; 1×1 convolutions stay."""
    made = finer((ROOT / "models" / "vgg16.prototxt").read_text(), 16, 16)
    assert [(each.layer, each.describe()) for each in made.of_kind("atrous")] == [
        ("pool5", "stride 2 → 1"),
        ("fc6-conv", "dilation 1 → 2"),
    ]
    assert layers(made)["pool5"].pooling_param.kernel_size == 2
    assert list(layers(made)["fc6-conv"].convolution_param.dilation) == [2]
    assert made.model.shapes["TEST"].blobs[made.model.graph.outputs[0]] == (1, 1000, 1, 1)
    told = document(made, {"net": None, "weights": None}, dry_run=True)["atrous"]
    assert told[0] == {"layer": "pool5", "type": "Pooling", "stride": [1, 1], "dilation": [1, 1], "pad": [0, 0]}
    assert "  fc6-conv  dilation 1 → 2" in list(lines(made, [], dry_run=True))


def test_strides_go_from_the_last_to_the_first_that_is_needed() -> None:
    assert [each.describe() for each in finer(RESIDUAL, 4, 4).of_kind("atrous")] == ["stride 2 → 1", "dilation 1 → 2"]
    assert {each.layer: each.describe() for each in finer(UNPOOLED, 1, 2).of_kind("atrous")} == {
        "a": "stride 2 → 1×2",
        "left": "stride 2 → 1",
        "r1": "stride 2 → 1, dilation 1 → 2×1, pad 1 → 2×1",
        "r2": "dilation 1 → 4×2, pad 1 → 4×2",
        "score": "dilation 1 → 4×2",
    }
    assert not finer(RESIDUAL, 8, 8).changes


def convolution(more: str) -> str:
    return layer("b", "Convolution", "a", params=f"convolution_param {{ num_output: 2 {more} }}")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("kernel_size: 3 pad: 1", "kernel_size: 3 pad: 2 dilation: 2"),
        ("kernel_size: 3 pad: 1 dilation: 3", "kernel_size: 3 pad: 2 dilation: 6"),
        ("kernel_h: 3 kernel_w: 1 pad_h: 1", "kernel_h: 3 kernel_w: 1 pad_h: 2 pad_w: 0 dilation: 2 dilation: 1"),
        ("kernel_size: 3 pad: 1 pad: 0", "kernel_size: 3 pad: 2 pad: 0 dilation: 2"),
        ("kernel_size: 3 hole: 2", "kernel_size: 3 hole: 4"),
        ("kernel_size: 3 pad_t: 1 pad_b: 3", "kernel_size: 3 pad_t: 2 pad_l: 0 pad_b: 6 pad_r: 0 dilation: 2"),
        ("kernel_size: 1 pad: 1", "kernel_size: 1 pad: 2"),
        ("kernel_size: 1", "kernel_size: 1"),
    ],
)
def test_the_fields_that_are_there_are_set(written: str, expected: str) -> None:
    before = data(shape="1 1 20 20") + conv("a", "data", 2, 2, "stride: 2")
    made, wanted = layers(finer(before + convolution(written), 1, 1)), layers(planned(before + convolution(expected)))
    assert list(made["a"].convolution_param.stride) == [1]
    assert made["b"].convolution_param == wanted["b"].convolution_param


# ---- What is refused ----


DECONVOLUTION = layer("d", "Deconvolution", "a", params="convolution_param { num_output: 2 kernel_size: 2 }")
RESHAPE = layer("r", "Reshape", "a", params="reshape_param { shape { dim: 0 dim: 0 dim: 100 } }")
NO_DILATION = "follows a stride that would be removed, and cannot be dilated; `Net.run(stride=...)` gives such"


@pytest.mark.parametrize(
    ("text", "stride", "told"),
    [
        (pool("p", "a", "kernel_size: 3 stride: 1"), 1, f"layer 'p' (Pooling) {NO_DILATION}"),
        (
            layer("n", "LRN", "a", params="lrn_param { norm_region: WITHIN_CHANNEL }"),
            1,
            f"layer 'n' (LRN) {NO_DILATION}",
        ),
        (DECONVOLUTION, 1, "layer 'd' (Deconvolution) follows"),
        (layer("c", "Crop", "a a", params="crop_param { axis: 2 offset: 0 }"), 1, None),
        (
            layer("m", "MVN", "a"),
            1,
            "layer 'm' (MVN) follows a stride that would be removed, and does not slide a window over its input",
        ),
        (layer("s", "Softmax", "a", params="softmax_param { axis: 2 }"), 1, "layer 's' (Softmax) follows"),
        (RESHAPE, 1, "layer 'r' (Reshape) follows"),
        (layer("s", "Softmax", "a"), 3, "stride=3: expected a divisor of the stride of the map: 's' 2×2"),
        (layer("s", "Softmax", "a"), 4, "stride=4: expected a divisor of the stride of the map: 's' 2×2"),
    ],
    ids=["pooling", "lrn", "deconvolution", "crop", "mvn", "softmax", "reshape", "no divisor", "coarser"],
)
def test_what_caffe_cannot_do_is_refused_by_name(text: str, stride: int, told: str | None) -> None:
    text = data(shape="1 1 20 20") + conv("a", "data", 2, 2, "stride: 2") + text
    if told is None:
        assert finer(text, stride, stride).changes
    else:
        assert told in refused(text, stride, stride)


def test_a_map_that_is_as_fine_already_stays() -> None:
    up = layer("d", "Deconvolution", "a", params="convolution_param { num_output: 2 kernel_size: 4 stride: 2 }")
    net = data(shape="1 1 20 20") + conv("a", "data", 2, 2, "stride: 2") + pool("p", "a", "kernel_size: 3 stride: 1")
    assert not finer(net + up.replace('"a"', '"p"'), 1, 1).changes
    assert not finer(net, 2, 2).changes


def test_a_partial_window_cannot_go_on_without_its_stride() -> None:
    def net(size: int, more: str = "") -> str:
        return data(shape=f"1 1 {size} {size}") + pool("p", "data", f"kernel_size: 3 stride: 2 {more}")

    assert "layer 'p' (Pooling) has a partial window at the end of 20×20 cells" in refused(net(20), 1, 1)
    larger = data(shape="1 1 3 3") + conv("c", "data", 1, 4, "stride: 2")  # Caffe rounds -1/2 to 0: one cell
    assert "layer 'c' (Convolution) has a partial window at the end of 3×3 cells" in refused(larger, 1, 1)
    assert not finer(net(20, "round_mode: FLOOR"), 1, 1).notes
    (note,) = finer(net(21), 1, 1).notes
    assert note.startswith("on inputs where the last window of 'p' is partial")


def test_an_inner_product_that_stays_needs_its_input() -> None:
    text = data(shape="1 1 8 8") + conv("a", "data", 2, 2, "stride: 2") + fc("f", "a", 3) + fc("g", "a", 3)
    with pytest.raises(SurgeryError, match=r"layer 'g' \(InnerProduct\) follows a stride"):
        atrous(planned(text, skip=("g",)).model, (1, 1))


def test_a_stride_of_all_axes_is_wanted() -> None:
    with pytest.raises(SurgeryError, match="expected 2 extents, one for each spatial axis"):
        atrous(model_of(RESIDUAL), (1, 2, 1))


# ---- What it computes ----


def both(text: str, directory: Path, stride: tuple[int, int], size: tuple[int, int]) -> tuple[Array, Array, list[int]]:
    """The map of the net TEXT with weights of -1, 0 and 1, on a picture of whole numbers, and that of the finer net;
    and of the cells of the second which are those of the first."""
    with trained(text, directory):
        (directory / "net.prototxt").write_text(text)
    with caffe_fcn.open(directory / "net.prototxt", directory / "net.caffemodel") as net:
        made = net.convolutionalize(stride=stride)
        channels = 2 if text.startswith(data(shape="1 2 17 21")) else 1
        picture = np.random.default_rng(3).integers(0, 8, (1, channels, *size)).astype(np.float32)
        (old,), (new,) = (each.load().run({"data": picture}).values() for each in (net, made))
        strides = [infer_geometry(each.model.graph, each.model.shapes["TEST"]) for each in (net, made)]
        (before, after) = (list(found.values())[-1] for found in strides)
        assert before is not None and after is not None and [*map(int, after.stride)] == [*stride]
        return old, new, [int(one / other) for one, other in zip(before.stride, after.stride, strict=True)]


def check(text: str, directory: Path, stride: tuple[int, int], size: tuple[int, int]) -> None:
    old, new, every = both(text, directory, stride, size)
    np.testing.assert_array_equal(new[:, :, :: every[0], :: every[1]], old)


def test_the_windows_of_an_im2col_are_dilated(tmp_path: Path) -> None:
    text = data(shape="1 1 17 21") + conv("a", "data", 2, 2, "stride: 2")
    text += layer("b", "Im2col", "a", params="convolution_param { kernel_size: 2 stride: 2 }") + conv("c", "b", 2, 2)
    check(text, tmp_path, (1, 2), (17, 21))


@pytest.mark.parametrize("size", [(17, 21), (33, 40), (34, 39)])
@pytest.mark.parametrize(
    ("text", "stride"), [(RESIDUAL, (4, 4)), (UNPOOLED, (1, 1)), (UNPOOLED, (1, 2)), (UNPOOLED, (2, 4))]
)
def test_every_so_manieth_cell_is_the_old_one(
    tmp_path: Path, text: str, stride: tuple[int, int], size: tuple[int, int]
) -> None:
    check(text, tmp_path, stride, size)


@pytest.mark.thorough
def test_the_map_is_that_of_shifted_pictures() -> None:
    digits = ROOT / "models" / "digits"
    with caffe_fcn.open(digits / "digits.prototxt", digits / "digits.caffemodel") as net:
        dilated = net.convolutionalize(stride=2).run(digits / "scattered.png", scale=1 / 255)
        stitched = net.convolutionalize().run(digits / "scattered.png", scale=1 / 255, stride=2)
    assert dilated.maps[0].stride == stitched.maps[0].stride == (2, 2)
    assert dilated.maps[0].window(3, 5) == stitched.maps[0].window(3, 5)
    np.testing.assert_allclose(dilated.scores, stitched.scores, atol=1e-5)


@st.composite
def nets(draw: st.DrawFn) -> str:
    """Convolutions that pad, are dilated and have strides, and paths that are joined."""
    bottom, text = "data", data(shape="1 1 48 40")
    for number in range(draw(st.integers(1, 4))):
        name, kernel = f"l{number}", draw(st.integers(1, 3))
        pad, stride, dilation = draw(st.integers(0, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        if draw(st.booleans()):
            text += conv(f"{name}a", bottom, 2, 1, f"stride: {stride}") + conv(
                f"{name}b", bottom, 2, 3, f"pad: 1 stride: {stride}"
            )
            text += layer(name, "Eltwise", f"{name}a {name}b") + layer(f"{name}r", "ReLU", name, name)
        else:
            text += conv(name, bottom, 2, kernel, f"pad: {pad} stride: {stride} dilation: {dilation}")
        bottom = name
    return text


def whole_windows(net: ShapedNet) -> bool:
    """Whether no kernel is larger than its padded input, which makes a cell of its own in Caffe."""
    for node in net.graph.nodes:
        bottom = net.shapes.blobs[node.bottoms[0]] if node.type == "Convolution" else None
        if isinstance(bottom, tuple):
            windows = convolution_windows(node.layer, 2)
            if any(extent > size for extent, size in zip(windows.extent, windows.padded(bottom[2:]), strict=True)):
                return False
    return True


@pytest.mark.thorough
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(nets(), st.tuples(st.integers(24, 50), st.integers(24, 50)), st.data())
def test_random_nets(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: tuple[int, int], draw: st.DataObject
) -> None:
    try:
        net = net_of(text)
        smaller = net_of(text.replace("dim: 48 dim: 40", "dim: {} dim: {}".format(*size)))
    except ShapeError:
        assume(False)
    assume(all(whole_windows(each) for each in (net, smaller)))
    *_, last = infer_geometry(net.graph, net.shapes).values()
    assert last is not None
    high, wide = (
        draw.draw(st.sampled_from([n for n in range(1, int(each) + 1) if each % n == 0])) for each in last.stride
    )
    check(text, tmp_path_factory.mktemp("net"), (high, wide), size)
