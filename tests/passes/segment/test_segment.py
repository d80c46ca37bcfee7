"""Segmentation nets made of classifiers, against the reference Caffe's answers and the published nets."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_fcn.api.net import Net
from caffe_fcn.errors import SurgeryError
from caffe_fcn.files import prototxt
from caffe_fcn.model.opening import open_model
from caffe_fcn.net.options import Selection
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.segment.changes import Stage
from caffe_fcn.passes.segment.padding import PadReason
from caffe_fcn.schema import Message
from tests.passes.nets import conv, data, fc, layer
from tests.passes.segment.nets import INDEX, NETS, SEGMENTS, VGG, Segmented, golden, layers_of, segmented
from tests.paths import CORPUS, ROOT

VALUES = [(name, int(key[0])) for name in NETS for key in INDEX[name]["values"]]
HEAD = ("num_output", "bias_term", "kernel_size", "kernel_h", "kernel_w", "stride", "group", "pad")


def kept(name: str, skips: int) -> Segmented:
    """The golden net NAME with so many skips and its own classifier, for the size of its golden input."""
    entry, values = INDEX[name], np.load(SEGMENTS / name / "golden.npz")
    return segmented(
        golden(name),
        keep_classifier=True,
        skip=tuple(list(entry["skips"])[:skips]),
        pad=entry["values"][f"{skips} skips"]["pad"],
        input_size=values["in:data"].shape[2:],
    )


# ---- Against Caffe ----


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "skips"), VALUES)
def test_the_answers_are_those_of_caffe(name: str, skips: int) -> None:
    values, plan = np.load(SEGMENTS / name / "golden.npz"), kept(name, skips)
    coarse = f"{INDEX[name]['last']}-conv"
    found = Net(plan.model, plan).load(blobs=["score", coarse]).run({"data": values["in:data"]})
    for blob, key in (("score", "out"), (coarse, "scores")):
        expected = values[f"{key}:{skips}_skips"]
        assert found[blob].shape == expected.shape
        assert np.abs(found[blob] - expected).max() < 3e-6 * np.ptp(expected)


@pytest.mark.parametrize(("name", "skips"), VALUES)
def test_the_layers_are_those_of_the_measured_nets(name: str, skips: int) -> None:
    text = (SEGMENTS / name / f"segment_{skips}_skips.prototxt").read_bytes()
    expected = interpret(prototxt.parse(text, "golden")).net
    plan = kept(name, skips)
    found = {each.name: each for each in plan.net.layer}
    stages = plan.head.stages
    theirs = [each.name for each in expected.layer if each.type == "Deconvolution"]
    names = dict(zip(theirs, [stage.layer for stage in stages], strict=True))
    assert len(found) == len(expected.layer)
    for wanted in expected.layer:
        made = found[names.get(wanted.name, wanted.name)]
        assert made.type == wanted.type
        assert list(made.bottom) == [names.get(bottom, bottom) for bottom in wanted.bottom]
        assert window(made) == window(wanted)
        assert list(made.crop_param.offset) == list(wanted.crop_param.offset)
        assert made.input_param == wanted.input_param and pooling(made) == pooling(wanted)


def window(layer: Message) -> list[object]:
    values = [getattr(layer.convolution_param, name) for name in HEAD]
    return [list(value) if hasattr(value, "append") else value for value in values]


def pooling(layer: Message) -> list[object]:
    return [getattr(layer.pooling_param, name) for name in ("pool", "kernel_size", "stride", "pad", "global_pooling")]


# ---- Published nets ----

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
def test_the_published_nets(net: object, style: str, expected: list[Row]) -> None:
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
def test_the_least_pads_of_published_nets(net: object, key: str, skips: int) -> None:
    expected = INDEX["published"][key][f"{skips} skips"]
    style = ("32s", "16s", "8s")[skips]
    for wish, which in (("auto", "from_1"), ("least", "from_least_size")):
        plan = segmented(open_model(str(net)), classes=21, style=style, pad=wish)
        assert plan.head.padding.pad == expected[which]["pad"]
        assert set(plan.head.stages[-1].offset) == set(expected[which]["offset"])


# ---- Layers and names ----


def test_skips_are_sorted_and_scaled() -> None:
    plan = segmented(VGG, skip=("pool1:0.01", "pool2"))
    made = layers_of(plan)
    assert [stage.blob for stage in plan.head.stages] == ["pool2", "pool1", "data"]
    scale = made["scale_pool1"]
    assert (scale.param[0].lr_mult, scale.scale_param.filler.type) == (0, "constant")
    assert scale.scale_param.filler.value == pytest.approx(0.01)
    assert list(made["score_pool1"].bottom) == ["scale_pool1"]
    assert "scale_pool2" not in made


def test_two_upsamplings_never_have_one_name() -> None:
    """Both are by 2, the first and the last; published names have the factor of either."""
    made = [stage.layer for stage in segmented(VGG, skip=("pool2", "pool1")).head.stages]
    assert made == ["upscore2", "upscore_pool2", "upscore"]


def test_a_prefix_keeps_names_apart() -> None:
    net = VGG.replace('"fc6"', '"score"')
    with pytest.raises(SurgeryError, match=r"the name 'score' of a new layer is in use; .*prefix"):
        segmented(VGG.replace('"conv1"', '"score"'))
    made = layers_of(segmented(net, prefix="seg_", skip=("pool2",)))
    assert list(made)[-7:-3] == ["seg_score_fr", "seg_upscore2", "seg_score_pool2", "seg_score_pool2c"]
    assert made["seg_score"].type == "Crop"


def test_upsampling_that_learns_and_in_one_group() -> None:
    made = layers_of(segmented(VGG, learn_upsampling=True))["upscore"]
    assert not made.param and made.convolution_param.group == 2
    plan = segmented(VGG, dense_upsampling=True)
    dense = layers_of(plan)["upscore"]
    assert not dense.convolution_param.HasField("group") and not dense.convolution_param.HasField("weight_filler")
    assert "no filler" in plan.notes[-1]


def test_a_padding_that_is_there_is_no_change() -> None:
    net = data(shape="1 3 96 96") + conv("conv1", "data", 4, 7, "stride: 4 pad: {}") + conv("conv2", "conv1", 5, 1)
    pad = segmented(net.replace("{}", "0")).head.padding.pad
    again = segmented(net.replace("{}", str(pad)), pad="keep")
    assert again.of_kind("padding") == [] and again.head.padding.why is PadReason.KEPT
    assert segmented(net.replace("{}", str(pad))).of_kind("padding") == []


# ---- Classifiers ----

POOLED = (
    data(shape="1 3 64 64")
    + conv("conv1", "data", 4, 3, "pad: 1 stride: 2")
    + layer("pool1", "Pooling", "conv1", params="pooling_param { kernel_size: 2 stride: 2 }")
    + layer("pool", "Pooling", "pool1", params="pooling_param { pool: AVE kernel_size: 16 }")
    + layer("drop", "Dropout", "pool", "pool")
    + fc("fc", "pool", 5)
    + layer("prob", "Softmax", "fc")
)


def test_pooling_before_the_classifier_stays_or_goes() -> None:
    with_pooling, without = segmented(POOLED), segmented(POOLED, drop_pooling=True)
    assert list(layers_of(with_pooling)["score_fr"].bottom) == ["pool"]
    made = layers_of(without)
    assert "pool" not in made and list(made["drop"].bottom) == ["pool1"]
    assert with_pooling.head.padding.pad and without.head.padding.pad is not None
    assert without.head.padding.pad < with_pooling.head.padding.pad
    with pytest.raises(SurgeryError, match="there is no pooling over the whole map"):
        segmented(VGG, drop_pooling=True)


def test_pooling_behind_the_classifier_stays_and_a_relu_goes() -> None:
    net = (
        data(shape="1 3 64 64")
        + conv("conv1", "data", 4, 3, "pad: 1 stride: 4")
        + conv("conv10", "conv1", 5, 1)
        + layer("relu10", "ReLU", "conv10", "conv10")
        + layer("pool10", "Pooling", "conv10", params="pooling_param { pool: AVE global_pooling: true }")
        + layer("prob", "Softmax", "pool10")
    )
    made = layers_of(segmented(net))
    assert "relu10" not in made and "prob" not in made
    assert list(made["pool10"].bottom) == ["score_fr"] and list(made["upscore"].bottom) == ["pool10"]
    assert made["pool10"].pooling_param.kernel_size == 16
    kept = layers_of(segmented(net, keep_classifier=True))
    assert "relu10" in kept and kept["upscore"].convolution_param.num_output == 5
    dropped = layers_of(segmented(net, drop_pooling=True))
    assert "pool10" not in dropped and list(dropped["upscore"].bottom) == ["score_fr"]


HEADS = VGG + conv("other", "pool2", 3, 1) + layer("other_prob", "Softmax", "other")


def test_several_classifiers() -> None:
    with pytest.raises(SurgeryError, match="several classifiers: fc8, other; choose one, such as at='other'"):
        segmented(HEADS)
    made = layers_of(segmented(HEADS, at="fc8"))
    assert "other" not in made and "score_fr" in made
    other = segmented(HEADS, at="other")
    assert "fc6-conv" not in layers_of(other) and other.head.stages[-1].factor == 4
    with pytest.raises(SurgeryError, match=r"no layer is called 'fc9'; .*did you mean 'fc8'"):
        segmented(HEADS, at="fc9")


def test_labels_and_losses_go() -> None:
    net = (
        VGG
        + layer("label", "Input", "", "label", "input_param { shape { dim: 1 } }")
        + layer("loss", "SoftmaxWithLoss", "fc8 label")
        + layer("accuracy", "Accuracy", "fc8 label")
    )
    plan = segmented(net)
    assert [blob.name for blob in plan.model.graph.outputs] == ["score"]
    assert {change.layer for change in plan.of_kind("dropped")} == {"prob", "label", "loss", "accuracy"}


def test_one_net_of_several_in_a_file() -> None:
    net = VGG.replace('"data" type', '"data" include { phase: TEST } type', 1) + data(shape="8 3 96 96").replace(
        "type", "include { phase: TRAIN } type"
    )
    with pytest.raises(SurgeryError, match="segment needs a net for phase TEST only"):
        segmented(net)


# ---- What is refused ----


@pytest.mark.parametrize(
    ("net", "options", "told"),
    [
        (VGG, {"skip": ("pol2",)}, r"skip='pol2': no blob is called 'pol2'; did you mean 'pool2'\?"),
        (
            VGG,
            {"skip": ("pool3",)},
            "the skip 'pool3' has the stride 8, and the scores before, 'score_fr', 8; expected",
        ),
        (VGG, {"skip": ("pool2", "pool2")}, "the blob 'pool2' is given twice"),
        (VGG, {"skip": ("fc8",)}, "the blob 'fc8' depends on the classifier 'fc8'"),
        (VGG, {"skip": ("fc6",)}, "the skip 'fc6-conv' has the stride 8, and the scores before, 'score_fr', 8"),
        (VGG, {"skip": ("pool2", "conv1")}, "the skip 'conv1' has the stride 1, so that nothing is left to upsample"),
        (VGG, {"style": "32s"}, "its scores have the stride 8, from which halves do not lead to 32"),
        (VGG, {"pad": 10}, r"the last crop would have the offset -\d+, which is negative; the least that fits is pad="),
        (VGG, {"pad": "keep"}, "which is negative"),
        (data(), {}, "found no classifier"),
    ],
)
def test_one_clear_line(net: str, options: dict[str, object], told: str) -> None:
    with pytest.raises(SurgeryError, match=told) as raised:
        segmented(net, **options)
    assert "\n" not in str(raised.value)


SIDE = (
    data(shape="1 3 100 100")
    + conv("a", "data", 4, 3, "stride: 2 pad: 1")
    + conv("side", "a", 4, 3, "stride: 4 pad: 9")
    + layer("pool", "Pooling", "a", params="pooling_param { kernel_size: KERNEL stride: 4 }")
    + conv("b", "pool", 4, 3, "stride: 2 pad: 1")
    + conv("fc", "b", 5, 1)
)
"""A skip that the coarse scores are not made of."""


def test_an_offset_that_is_no_whole_number() -> None:
    told = (
        'the crop of "side" would begin at no whole cell: at 0.75 with the kernel 4, 1.25 with the kernel 3; '
        'the layers that cause the fraction: "pool"; with pad 1 in place of 0 in "pool" it would begin at one'
    )
    with pytest.raises(SurgeryError) as raised:
        segmented(SIDE.replace("KERNEL", "3"), skip=("side",))
    assert raised.value.message == told
    mended = SIDE.replace("KERNEL", "3 pad: 1")
    assert segmented(mended, skip=("side",)).head.stages[0].kernel == 3
    with pytest.raises(SurgeryError, match=r'"pool"; leave out this skip$'):
        segmented(SIDE.replace("KERNEL", "2"), skip=("side",))


def test_kernels_that_differ_along_the_axes() -> None:
    net = data(shape="1 3 40 40") + conv("fc", "data", 5, 1).replace(
        "kernel_size: 1", "kernel_h: 4 kernel_w: 5 stride: 4"
    )
    with pytest.raises(SurgeryError, match="with the kernel 8 along the height and with 7 along the width"):
        segmented(net, keep_classifier=True)


def test_options_that_are_none() -> None:
    for options, told in (
        ({"classes": 1}, "at least 2"),
        ({"classes": None}, "expected either `classes` or `keep_classifier`"),
        ({"classes": 3, "keep_classifier": True}, "expected either `classes` or `keep_classifier`"),
        ({"skip": ("pool2:0",)}, "a number other than 0"),
        ({"skip": ("pool2",), "style": "8s"}, "leave out `skip`"),
        ({"pad": -1}, "a number of pixels"),
        ({"pad": "most"}, "auto, least, keep or a number"),
    ):
        with pytest.raises(ValueError, match=told):
            segmented(VGG, **{"classes": 2, **options})


def test_a_phase_is_chosen() -> None:
    model = golden("lenet", selection=Selection(phase="TEST"))
    assert segmented(model).head.stages[-1].crop == "score"


# ---- The classifier's own answers ----


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["alexnet", "googlenet", "lenet"])
def test_kept_scores_are_the_dense_map_of_the_converted_net(name: str) -> None:
    values = np.load(SEGMENTS / name / "golden.npz")["in:data"]
    plan = segmented(golden(name), keep_classifier=True, input_size=values.shape[2:])
    coarse, pad = plan.head.coarse, plan.head.padding.pad
    found = Net(plan.model, plan).load(blobs=["score", coarse]).run({"data": values})
    more = (pad or 0) - INDEX[name]["first_pad"]
    padded = np.pad(values, ((0, 0), (0, 0), (more, more), (more, more)))
    converted = Net(golden(name)).convolutionalize(input_size=padded.shape[2:])
    dense = converted.load(blobs=coarse).run({"data": padded})[coarse]
    assert np.abs(dense - found[coarse]).max() <= 1e-6 * np.ptp(dense)
    stage = plan.head.stages[-1]
    if stage.kernel == 2 * stage.factor - 1:
        there, cells = at_centres(found["score"], dense, stage)
        assert there.size and np.abs(there - cells).max() <= 1e-6 * np.ptp(dense)


def at_centres(score: np.ndarray, dense: np.ndarray, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """What SCORE has in the pixels that are the centres of windows, and the cells of DENSE there."""
    cells = []
    for axis, offset in enumerate(stage.offset):
        place = [stage.factor * cell + stage.factor - 1 - offset for cell in range(dense.shape[axis + 2])]
        cells.append([(cell, pixel) for cell, pixel in enumerate(place) if 0 <= pixel < score.shape[axis + 2]])
    (rows, down), (columns, across) = ([list(each) for each in zip(*axis, strict=True)] for axis in cells)
    return score[:, :, down][:, :, :, across], dense[:, :, rows][:, :, :, columns]


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


def test_v1_and_input_fields() -> None:
    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 24 input_dim: 24\n'
    text += 'layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param '
    text += "{ num_output: 4 kernel_size: 3 stride: 2 } blobs_lr: 1 blobs_lr: 2 }\n"
    text += 'layers { name: "ip" type: INNER_PRODUCT bottom: "c" top: "ip" inner_product_param { num_output: 7 } }\n'
    text += 'layers { name: "prob" type: SOFTMAX bottom: "ip" top: "prob" }\n'
    plan = segmented(text)
    assert [each.type for each in plan.net.layer][-3:] == ["Convolution", "Deconvolution", "Crop"]
    assert list(layers_of(plan)["score"].bottom) == ["upscore", "data"]
    assert interpret(plan.document).net == plan.net
