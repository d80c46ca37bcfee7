"""Segmentation nets as published: layers, names, kernels, offsets and paddings, and which skips a style has."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_fcn.files import prototxt
from caffe_fcn.model.opening import open_model
from caffe_fcn.net.source import interpret
from caffe_fcn.schema import Message
from tests.passes.nets import conv, data, fc, layer
from tests.passes.segment.nets import INDEX, VGG, layers_of, segmented
from tests.paths import CORPUS, ROOT

Row = tuple[str, str, str, int, int, int]
"""A layer's name, type and bottoms, its kernel and its stride, or the offset of a Crop."""

FCN_32S: list[Row] = [
    ("score_fr", "Convolution", "fc7", 1, 1, 0),
    ("upscore", "Deconvolution", "score_fr", 64, 32, 0),
    ("score", "Crop", "upscore data", 0, 0, 19),
]
FCN_16S: list[Row] = [
    ("score_fr", "Convolution", "fc7", 1, 1, 0),
    ("upscore2", "Deconvolution", "score_fr", 4, 2, 0),
    ("score_pool4", "Convolution", "pool4", 1, 1, 0),
    ("score_pool4c", "Crop", "score_pool4 upscore2", 0, 0, 5),
    ("fuse_pool4", "Eltwise", "upscore2 score_pool4c", 0, 0, 0),
    ("upscore16", "Deconvolution", "fuse_pool4", 32, 16, 0),
    ("score", "Crop", "upscore16 data", 0, 0, 27),
]
FCN_8S: list[Row] = [
    *FCN_16S[:5],
    ("upscore_pool4", "Deconvolution", "fuse_pool4", 4, 2, 0),
    ("score_pool3", "Convolution", "pool3", 1, 1, 0),
    ("score_pool3c", "Crop", "score_pool3 upscore_pool4", 0, 0, 9),
    ("fuse_pool3", "Eltwise", "upscore_pool4 score_pool3c", 0, 0, 0),
    ("upscore8", "Deconvolution", "fuse_pool3", 16, 8, 0),
    ("score", "Crop", "upscore8 data", 0, 0, 31),
]
FCN_ALEXNET: list[Row] = [
    ("score_fr", "Convolution", "fc7", 1, 1, 0),
    ("upscore", "Deconvolution", "score_fr", 63, 32, 0),
    ("score", "Crop", "upscore data", 0, 0, 18),
]
VGG_16, ALEXNET = (ROOT / "models" / f"{name}.prototxt" for name in ("vgg16", "alexnet"))


def rows(net: Message) -> list[Row]:
    """The layers behind the last ReLU and Dropout of NET, as the tables have them; a suffix of a conversion is none."""
    last = max(place for place, each in enumerate(net.layer) if each.type in ("ReLU", "Dropout"))
    made = []
    for each in net.layer[last + 1 :]:
        kernel, stride = (
            [*field, 0][0] for field in (each.convolution_param.kernel_size, each.convolution_param.stride)
        )
        bottoms = " ".join(bottom.removesuffix("-conv") for bottom in each.bottom)
        offset = next(iter(each.crop_param.offset), 0)
        made.append((each.name, each.type, bottoms, kernel, stride or int(each.type == "Convolution"), offset))
    return made


@pytest.mark.parametrize(
    ("net", "style", "expected"),
    [(VGG_16, "32s", FCN_32S), (VGG_16, "16s", FCN_16S), (VGG_16, "8s", FCN_8S), (ALEXNET, "32s", FCN_ALEXNET)],
)
def test_the_published_nets(net: Path, style: str, expected: list[Row]) -> None:
    plan = segmented(open_model(str(net)), classes=21, style=style, pad=100)
    assert rows(plan.net) == expected
    assert next(each for each in plan.net.layer if each.type == "Convolution").convolution_param.pad == [100]
    scores = [each for each in plan.net.layer if each.name.startswith("score_") and each.type == "Convolution"]
    assert all(each.convolution_param.num_output == 21 for each in scores)
    assert all([(p.lr_mult, p.decay_mult) for p in each.param] == [(1, 1), (2, 0)] for each in scores)
    assert all(each.param[0].lr_mult == 0 for each in plan.net.layer if each.type == "Deconvolution")


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real nets is not there")
def test_a_published_file_has_the_layers_of_its_kind() -> None:
    """The tables above, against the published net of 8s with its first last offset, three pixels off."""
    text = (CORPUS / "shelhamer+fcn.berkeleyvision.org" / "b06e7515-deploy.prototxt").read_bytes()
    found = rows(interpret(prototxt.parse(text, "published")).net)
    assert (found[:-1], found[-1][-1]) == (FCN_8S[:-1], 34)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("net", "key", "skips"), [(VGG_16, "vgg16", 0), (VGG_16, "vgg16", 1), (VGG_16, "vgg16", 2), (ALEXNET, "alex", 0)]
)
def test_the_least_pads_of_published_nets(net: Path, key: str, skips: int) -> None:
    expected = INDEX["published"][key][f"{skips} skips"]
    style = ("32s", "16s", "8s")[skips]
    for wish, which in (("auto", "from_1"), ("least", "from_least_size")):
        plan = segmented(open_model(str(net)), classes=21, style=style, pad=wish)
        assert plan.head.padding.pad == expected[which]["pad"]
        assert set(plan.head.stages[-1].offset) == set(expected[which]["offset"])


# ---- Styles ----

RESIDUAL = (
    data(shape="1 3 64 64")
    + conv("conv1", "data", 4, 7, "stride: 4 pad: 3")
    + conv("down", "conv1", 4, 3, "stride: 2 pad: 1")
    + layer("down_bn", "BatchNorm", "down", "down")
    + conv("one", "down", 4, 3, "pad: 1")
    + layer("sum", "Eltwise", "down one")
    + layer("relu", "ReLU", "sum", "sum")
    + conv("left", "sum", 4, 3, "stride: 2 pad: 1")
    + conv("between", "sum", 4, 3, "pad: 1")
    + conv("right", "between", 4, 3, "stride: 2 pad: 1")
    + layer("join", "Concat", "left right")
    + layer("pool", "Pooling", "join", params="pooling_param { pool: AVE global_pooling: true }")
    + fc("fc", "pool", 5)
)


def test_a_style_takes_the_blob_that_all_paths_lead_through() -> None:
    """Not `between`, the last blob of its stride in the file, on which only one branch depends."""
    plan = segmented(RESIDUAL, style="8s")
    assert [stage.blob for stage in plan.head.stages] == ["sum", "data"]
    assert list(layers_of(plan)["score_sum"].bottom) == ["sum"]
    assert plan.notes == ()


def test_a_style_takes_the_output_of_a_pooling() -> None:
    assert [stage.blob for stage in segmented(VGG.replace("96", "192"), style="8s").head.stages] == ["data"]
    deep = VGG.replace("96 96", "192 192").replace('"conv1" bottom: "data"', '"conv1" bottom: "pool0"', 1)
    first = conv("conv0", "data", 3, 3, "pad: 1") + layer(
        "pool0", "Pooling", "conv0", params="pooling_param { kernel_size: 2 stride: 2 }"
    )
    lines = deep.split("\n", 1)
    plan = segmented(lines[0] + "\n" + first + lines[1].replace('bottom: "data"', 'bottom: "pool0"', 1), style="8s")
    assert [stage.blob for stage in plan.head.stages] == ["pool2", "data"]


def test_maps_that_do_not_coincide_are_noted() -> None:
    left = conv("left", "sum", 4, 3, "stride: 2 pad: 1")
    one, three = (RESIDUAL.replace(left, conv("left", "sum", 4, kernel, "stride: 2")) for kernel in (1, 2))
    assert segmented(one).notes == ()  # a 1×1 window lies where the middle of a padded 3×3 one does
    told = 'the net joins maps whose cells do not coincide; "score_fr" is aligned by the first bottom of each join'
    assert told in segmented(three).notes
