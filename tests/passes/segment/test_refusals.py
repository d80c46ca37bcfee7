"""What `segment` refuses: one line that says what is wrong, and the next step."""

from __future__ import annotations

import pytest

from caffe_fcn.errors import SurgeryError
from caffe_fcn.net.options import Selection
from caffe_fcn.wording import Option
from tests.passes.nets import conv, data, layer
from tests.passes.segment.nets import VGG, golden, segmented

FCN = (
    data(shape="1 3 64 64")
    + conv("conv", "data", 3, 4, "stride: 4")
    + conv("up", "conv", 3, 8, "stride: 4").replace("Convolution", "Deconvolution")
    + layer("score", "Crop", "up data")
)
"""A net that is one already."""

ONE_SIZE = (
    data(shape="1 3 16 16")
    + conv("c", "data", 4, 1)
    + layer("s", "Scale", "c", params="scale_param { axis: %d num_axes: 1 }")
    + layer("p", "Pooling", "s", params="pooling_param { kernel_size: 2 stride: 2 }")
    + conv("f", "p", 4, 1)
)
ONE_SIZE_TOLD = r"layer 's' \(Scale\) has parameters for each place of its map, 16, so the net takes images of one size"


@pytest.mark.parametrize(
    ("net", "options", "told"),
    [
        (VGG, {"skip": ("pol2",)}, r"skip='pol2': no blob is called 'pol2'; did you mean 'pool2'\?"),
        (
            VGG,
            {"skip": ("pool3",)},
            "the skip 'pool3' has the stride 8, and the scores before, 'score_fr', 8; expected",
        ),
        (VGG, {"skip": ("pool2:0",)}, "no blob is called 'pool2:0'; did you mean 'pool2'"),
        (VGG, {"skip": ("pool2", "pool2")}, "the blob 'pool2' is given twice"),
        (VGG, {"skip": ("fc8",)}, "the blob 'fc8' depends on the classifier 'fc8'"),
        (VGG, {"skip": ("fc6",)}, "the skip 'fc6-conv' has the stride 8, and the scores before, 'score_fr', 8"),
        (VGG, {"skip": ("pool2", "conv1")}, "the skip 'conv1' has the stride 1, so there is nothing to upsample"),
        (VGG, {"style": "32s"}, "the stride of its scores, 8, cannot be halved down to 32"),
        (VGG, {"pad": 10}, r"the last crop would have the offset -\d+, which is negative; the least that fits is pad="),
        (VGG, {"pad": "keep"}, "which is negative"),
        (VGG, {"expand_score": True}, "expand_score=True: there are no old classes without weights"),
        (data(), {}, r"found no Convolution or InnerProduct .*: the output 'data' leads back to 'data' \(Input\)"),
        (
            FCN,
            {},
            r"the output 'score' leads back to 'up' \(Deconvolution\); this seems to be a segmentation net already; "
            "if not, name the last layer with weights",
        ),
        *[(ONE_SIZE % axis, {"pad": pad}, ONE_SIZE_TOLD) for axis in (2, 3) for pad in ("auto", "keep", 20)],
        (VGG, {"skip": ("prob",)}, "skip='prob': the blob 'prob' is an output of the net; name a finer blob before"),
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
        'the offset of the crop of "side" would not be a whole number: 0.75 with the kernel 4, 1.25 with the kernel 3; '
        'the layers that cause the fraction: "pool"; with pad 1 instead of 0 in "pool" it would be one'
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
        ({"skip": ("pool2:inf",)}, "expected a number, such as pool4:0.01"),
        ({"seed": 4}, r"`seed` is for random scores; give init='xavier' too"),
        ({"init": "xavier", "classes": None, "keep_classifier": True}, "no scores are new with `keep_classifier`"),
        ({"seed": -1, "init": "xavier"}, "expected 0 to 4294967295"),
        ({"skip": ("pool2",), "style": "8s"}, "leave out `skip`"),
        ({"pad": -1}, "a number of pixels"),
        ({"pad": "most"}, "auto, least, keep or a number"),
    ):
        with pytest.raises(ValueError, match=told):
            segmented(VGG, **{"classes": 2, **options})


def test_a_phase_is_chosen() -> None:
    model = golden("lenet", selection=Selection(phase="TEST"))
    assert segmented(model).head.stages[-1].crop == "score"


def test_skips_of_a_style_are_refused_by_its_name() -> None:
    with pytest.raises(SurgeryError) as raised:
        segmented(golden("vgg_fc2", weights=False), style="8s")
    assert raised.value.place == Option("style", "8s")
    assert str(raised.value.hint) == "choose the skips with `skip`"


def test_kernels_that_a_blob_cannot_hold() -> None:
    told = "'upscore', 1000×1000×64×64, would have 4,096,000,000 elements, .*; leave that out"
    with pytest.raises(SurgeryError, match=told) as raised:
        segmented(golden("vgg", weights=False), classes=1000, dense_upsampling=True)
    assert raised.value.place == Option("dense_upsampling", True)
