"""Which fields of two layers agree: by their effect in a net that is used, and to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.compare.effective import Fields, effective, hashable
from caffe_fcn.engines.protocol import ShapedNet
from caffe_fcn.verify.fields import differing
from tests.engines.nets import net_of
from tests.passes.nets import conv, data, fc, layer
from tests.verify.twins import FAILS, HOLDS, Pair, ends, written


def pair_with(one: str, tmp_path: Path) -> Pair:
    """A classifier with the layer ONE between `c` and `x`, and its twin."""
    return written(data() + conv("c", "data", 4) + one + fc("fc", "x", 3), tmp_path)


def fields(kind: str, params: str) -> Fields:
    bottoms = "data data" if kind == "Eltwise" else "data"
    net = net_of(data(shape="1 2 1 1") + layer("x", kind, bottoms, params=params))
    return effective(net.graph.nodes[-1], net.shapes, "TEST")


def between(kind: str, params: str) -> str:
    return layer("x", kind, "c", params=params)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "params", "changed", "field"),
    [
        (
            "LRN",
            "lrn_param { local_size: 3 beta: 0.75 }",
            "lrn_param { local_size: 3 beta: 0.7500001 }",
            "lrn_param.beta",
        ),
        ("LRN", "lrn_param { local_size: 3 k: 1 }", "lrn_param { local_size: 3 k: 1.0000001 }", "lrn_param.k"),
        ("ReLU", "", "relu_param { negative_slope: 1e-9 }", "relu_param.negative_slope"),
        ("Power", "power_param { scale: 2 }", "power_param { scale: 2 shift: 1e-30 }", "power_param.shift"),
        ("BatchNorm", "", "batch_norm_param { eps: 1.00001e-5 }", "batch_norm_param.eps"),
        (
            "BatchNorm",
            "",
            "batch_norm_param { use_global_stats: false }",
            "batch_norm_param.use_global_stats",
        ),
        (
            "Pooling",
            "pooling_param { kernel_size: 2 }",
            "pooling_param { kernel_size: 2 pool: AVE }",
            "pooling_param.pool",
        ),
        (
            "Pooling",
            "pooling_param { kernel_size: 3 pad: 1 }",
            "pooling_param { kernel_h: 5 kernel_w: 3 pad_h: 2 pad_w: 1 }",
            "kernel",
        ),
        ("Softmax", "", "softmax_param { axis: 2 }", "softmax_param.axis"),
    ],
    ids=lambda value: value if "." in value else None,
)
def test_a_field_changed_in_the_twin(kind: str, params: str, changed: str, field: str, tmp_path: Path) -> None:
    pair = pair_with(between(kind, params), tmp_path)
    line = next(line for line in pair.fcn.read_text().splitlines() if '"x" type' in line)
    new = line.replace(params, changed) if params else line.replace(" }", f" {changed} }}")
    found = pair.text(lambda text: text.replace(line, new)).verify()
    assert ends(found)[0] is FAILS and found.weights_proof is not None
    assert ("x", field) in [(each.layer, each.field) for each in found.weights_proof.fields]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "params", "same"),
    [
        ("LRN", "lrn_param { local_size: 3 }", "lrn_param { local_size: 3 beta: 0.75 engine: CAFFE }"),
        ("ReLU", "", "relu_param { negative_slope: 0 }"),
        ("Pooling", "pooling_param { kernel_size: 2 }", "pooling_param { kernel_h: 2 kernel_w: 2 stride: 1 pad: 0 }"),
        ("BatchNorm", "", "batch_norm_param { use_global_stats: true moving_average_fraction: 0.5 }"),
        ("Softmax", "", "softmax_param { axis: -3 }"),
        ("Scale", "", "param { lr_mult: 3 } scale_param { filler { value: 2 } } loss_weight: 0"),
        (
            "Convolution",
            "convolution_param { num_output: 4 kernel_size: 1 }",
            (
                "convolution_param { num_output: 4 kernel_h: 1 kernel_w: 1 pad: 0 dilation: 2 group: 1 bias_term: true "
                'axis: 1 weight_filler { type: "msra" } }'
            ),
        ),
    ],
    ids=lambda value: value if value.isalnum() else None,
)
def test_the_same_said_in_other_words(kind: str, params: str, same: str, tmp_path: Path) -> None:
    pair = pair_with(between(kind, params), tmp_path)
    line = next(line for line in pair.fcn.read_text().splitlines() if '"x" type' in line)
    new = line.replace(params, same) if params else line.replace(" }", f" {same} }}")
    found = pair.text(lambda text: text.replace(line, new)).verify()
    assert ends(found)[:2] == [HOLDS, HOLDS], found.weights_proof


def test_one_padding_on_all_sides_is_one_field() -> None:
    node, other, behind = (
        net_of(
            data(shape="1 2 8 8") + layer("x", "Pooling", "data", params=f"pooling_param {{ kernel_size: 3 {pad} }}")
        )
        for pad in ("pad: 1", "pad: 0", "pad_l: 1 pad_t: 1 pad_r: 0 pad_b: 0")
    )

    def told(ours: ShapedNet, theirs: ShapedNet) -> list[str]:
        nodes = ours.graph.nodes[-1], ours.shapes, theirs.graph.nodes[-1], theirs.shapes
        return [each.field for each in differing(*nodes, phase="TEST", same_axes=True)]

    assert told(node, other) == ["pad"]
    assert told(node, behind) == ["pad behind"]


@pytest.mark.parametrize(
    ("kind", "params", "same", "other"),
    [
        ("Squeeze", "squeeze_param { axis: -1 }", "squeeze_param { axis: 3 }", "squeeze_param { axis: 2 }"),
        (
            "Reshape",
            "reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }",
            "reshape_param { shape { dim: 1 } axis: 4 num_axes: 0 }",
            "reshape_param { shape { dim: 1 } axis: 3 num_axes: 0 }",
        ),
    ],
)
def test_axes_are_counted_as_the_layer_counts_them(kind: str, params: str, same: str, other: str) -> None:
    assert fields(kind, params) == fields(kind, same) != fields(kind, other)


@pytest.mark.parametrize(
    ("kind", "params"), [("LRN", "lrn_param { beta: %s }"), ("Eltwise", "eltwise_param { coeff: %s coeff: 1 }")]
)
def test_a_nan_equals_a_nan(kind: str, params: str) -> None:
    first, second, other = (hashable(fields(kind, params % value)) for value in ("nan", "nan", "2"))
    assert first == second != other and hash(first) == hash(second)


@pytest.mark.thorough
def test_what_a_converted_layer_must_say(tmp_path: Path) -> None:
    pair = written(data() + conv("c", "data", 4) + fc("fc", "c", 3), tmp_path)
    for kernel in ("kernel_h: 6 kernel_w: 8 pad: 1", "kernel_h: 6 kernel_w: 8 stride: 2"):
        found = pair.text(lambda text, kernel=kernel: text.replace("kernel_h: 6 kernel_w: 8", kernel)).verify()  # type: ignore[misc]
        assert ends(found)[0] is FAILS
        pair.text(lambda text, kernel=kernel: text.replace(kernel, "kernel_h: 6 kernel_w: 8"))  # type: ignore[misc]
    assert pair.verify().holds
