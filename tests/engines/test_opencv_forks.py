"""OpenCV on layers of forks, detectors included: as the fork computes them, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_fcn
from caffe_fcn.engines.nets import one_net
from caffe_fcn.engines.opencv import OpenCv
from caffe_fcn.engines.protocol import Array
from caffe_fcn.errors import EngineError, LoweringError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.net.source import read_net
from tests.engines.detection import (
    Boxes,
    Output,
    detections,
    prior_boxes,
    psroi_pooling,
    reorg,
    roi_pooling,
)
from tests.engines.nets import difference, load, net_of, weights_of
from tests.passes.nets import conv, data, layer
from tests.paths import SHARED_MODELS

pytest.importorskip("cv2", reason="OpenCV is not installed: pip install 'opencv-python-headless==4.*'")

TOLERANCE = 1e-5
MAP = "2 6 5 7"
REGIONS = np.array(
    [[0, 0, 0, 20, 20], [1, 4, 6, 12, 14], [0, 10, 10, 10, 10], [1, 30, 30, 40, 40], [0, 1.4, 2.6, 9.5, 10.5]],
    np.float32,
)


def made_of(text: str, fed: dict[str, Array], path: Path) -> dict[str, Array]:
    """What OpenCV makes of the net TEXT."""
    net = net_of(text)
    with weights_of(net, path / "w") as weights:
        return OpenCv(1).load(net, weights).run(fed)


@pytest.mark.parametrize(
    ("kind", "params", "shape"),
    [
        ("Normalize", "norm_param { across_spatial: false channel_shared: false }", MAP),
        ("Normalize", "norm_param { across_spatial: false channel_shared: true eps: 0.5 }", MAP),
        ("Normalize", "norm_param { eps: 0.5 }", MAP),
        ("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", MAP),
        ("Permute", "permute_param { order: 2 }", MAP),
        ("Permute", "permute_param { order: 0 order: 2 order: 1 }", "2 3 4"),
        ("Interp", "interp_param { height: 9 width: 13 }", MAP),
        ("Interp", "interp_param { zoom_factor: 3 }", MAP),
        ("ShuffleChannel", "shuffle_channel_param { group: 3 }", MAP),
        ("ReLU6", "", MAP),
        ("Mish", "", MAP),
        ("ConvolutionDepthwise", "convolution_param { num_output: 6 kernel_size: 3 pad: 1 stride: 2 }", MAP),
        ("DepthwiseConvolution", "convolution_param { num_output: 6 kernel_size: 3 }", MAP),
    ],
)
def test_layers_of_forks_are_what_the_default_engine_makes(kind: str, params: str, shape: str, tmp_path: Path) -> None:
    net = net_of(data(shape=shape) + layer("l", kind, "data", params=params))
    values = 4 * np.random.default_rng(0).standard_normal([int(each) for each in shape.split()], dtype=np.float32)
    with weights_of(net, tmp_path / "w") as weights:
        made, expected = (engine.run({"data": values}) for engine in (OpenCv(1).load(net, weights), load(net, weights)))
    assert difference(made["l"], expected["l"]) < TOLERANCE


@pytest.mark.parametrize(
    ("params", "boxes"),
    [
        ("min_size: 8", Boxes([8])),
        ("min_size: 8 variance: 0.3", Boxes([8], variance=[0.3])),
        ("min_size: 8 max_size: 14 aspect_ratio: 2 aspect_ratio: 3 clip: true", Boxes([8], [14], [2, 3], clip=True)),
        ("min_size: 8 aspect_ratio: 2 aspect_ratio: 0.5 aspect_ratio: 1", Boxes([8], (), [2, 0.5, 1])),
        ("min_size: 8 aspect_ratio: 2 flip: false", Boxes([8], (), [2], flip=False)),
        (
            "min_size: 8 min_size: 12 max_size: 14 max_size: 20 aspect_ratio: 2 "
            "variance: 0.1 variance: 0.2 variance: 0.3 variance: 0.4",
            Boxes([8, 12], [14, 20], [2], variance=[0.1, 0.2, 0.3, 0.4]),
        ),
        ("min_size: 20 step: 9", Boxes([20], step=(9, 9))),
        ("min_size: 20 step_h: 9 step_w: 7 offset: 0.25", Boxes([20], step=(9, 7), offset=0.25)),
    ],
)
def test_prior_boxes(params: str, boxes: Boxes, tmp_path: Path) -> None:
    """With the fields that OpenCV requires, and without them."""
    text = data("map", "1 2 3 4") + data("picture", "1 3 30 44")
    text += layer("l", "PriorBox", "map picture", params=f"prior_box_param {{ {params} }}")
    fed = {"map": np.zeros((1, 2, 3, 4), np.float32), "picture": np.zeros((1, 3, 30, 44), np.float32)}
    assert difference(made_of(text, fed, tmp_path)["l"], prior_boxes((3, 4), (30, 44), boxes)) < TOLERANCE


USUAL = "code_type: CENTER_SIZE confidence_threshold: 0.3 nms_param { nms_threshold: 0.45 top_k: 400 } keep_top_k: 200"


@pytest.mark.parametrize(
    ("params", "output"),
    [
        (USUAL, Output(3, True, 0, 0.45, 400, "CENTER_SIZE", 200, 0.3)),
        (USUAL + " background_label_id: 1", Output(3, True, 1, 0.45, 400, "CENTER_SIZE", 200, 0.3)),
        (USUAL + " share_location: false", Output(3, False, 0, 0.45, 400, "CENTER_SIZE", 200, 0.3)),
        ("keep_top_k: 100", Output(3, keep_top_k=100)),
        ("keep_top_k: 5 nms_param { top_k: 4 }", Output(3, top_k=4, keep_top_k=5)),
        ("keep_top_k: 9 confidence_threshold: 0.99", Output(3, keep_top_k=9, confidence_threshold=0.99)),
    ],
    ids=["usual", "background", "places by class", "defaults", "few", "none"],
)
@pytest.mark.parametrize("items", [1, 2])
def test_detections(params: str, output: Output, items: int, tmp_path: Path) -> None:
    """Without the zeros that OpenCV puts behind them, and in Caffe's order."""
    random, priors = np.random.default_rng(0), 12
    places = random.standard_normal((items, priors * 4 * (1 if output.share_location else 3)), np.float32) / 2
    scores = random.random((items, priors, 3), np.float32)
    scores = (scores / scores.sum(2, keepdims=True)).reshape(items, -1)
    corners = random.random((priors, 2)) * 0.6
    boxes = np.concatenate([corners, corners + 0.1 + random.random((priors, 2)) * 0.3], 1).ravel()
    prior = np.stack([boxes, np.resize([0.1, 0.1, 0.2, 0.2], boxes.shape)])[None].astype(np.float32)
    fed = {"places": places, "scores": scores, "prior": prior}
    text = "".join(data(name, " ".join(map(str, values.shape))) for name, values in fed.items())
    text += layer(
        "l", "DetectionOutput", "places scores prior", params=f"detection_output_param {{ num_classes: 3 {params} }}"
    )
    made, expected = made_of(text, fed, tmp_path)["l"], detections(places, scores, prior, output)
    assert made.shape == expected.shape
    assert difference(made, expected) < TOLERANCE


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0625])
def test_regions(scale: float, tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((2, 18, 12, 13), dtype=np.float32)
    text = data("map", "2 18 12 13") + data("regions", "1 5")
    roi = layer(
        "l",
        "ROIPooling",
        "map regions",
        params=f"roi_pooling_param {{ pooled_h: 2 pooled_w: 3 spatial_scale: {scale} }}",
    )
    own = layer(
        "l",
        "PSROIPooling",
        "map regions",
        params=f"psroi_pooling_param {{ output_dim: 2 group_size: 3 spatial_scale: {scale} }}",
    )
    fed = {"map": values, "regions": REGIONS}
    assert difference(made_of(text + roi, fed, tmp_path)["l"], roi_pooling(values, REGIONS, (2, 3), scale)) < TOLERANCE
    assert difference(made_of(text + own, fed, tmp_path)["l"], psroi_pooling(values, REGIONS, 2, 3, scale)) < TOLERANCE


@pytest.mark.parametrize("stride", [2, 3])
def test_reorg(stride: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((2, 36, 6, 12), dtype=np.float32)
    text = data(shape="2 36 6 12") + layer("l", "Reorg", "data", params=f"reorg_param {{ stride: {stride} }}")
    assert difference(made_of(text, {"data": values}, tmp_path)["l"], reorg(values, stride)) == 0


OUTPUT = "num_classes: 3 keep_top_k: 9"


@pytest.mark.parametrize(
    ("kind", "params", "told"),
    [
        ("Normalize", "norm_param { channel_shared: false }", "one factor for each channel is not supported"),
        ("Normalize", "normalize_param { eps: 0.5 }", "without norm_param"),
        ("Interp", "interp_param { shrink_factor: 2 }", "interp_param.shrink_factor is ignored"),
        ("Interp", "interp_param { height: 4 width: 4 pad_beg: -1 }", "interp_param.pad_beg is ignored"),
        ("ReLU6", "relu6_param { negative_slope: 0.1 }", "relu6_param.negative_slope is ignored"),
        ("Reorg", "reorg_param { stride: 2 reverse: true }", "reorg_param.reverse is ignored"),
        ("Reorg", "reorg_param { stride: 3 }", "the channels are not a multiple of the squared stride"),
        ("Flip", "flip_param { flip_width: true }", "this type is missing, or was not compared"),
        ("PriorBox", "prior_box_param { min_size: 8.5 }", "sizes that are not integers"),
        ("PriorBox", "prior_box_param { min_size: inf }", "min_size is inf, but must be a finite number"),
        ("PriorBox", "prior_box_param { min_size: 8 img_size: 60 }", "ignored fields: prior_box_param.img_size"),
        ("DetectionOutput", "num_classes: 3", "keep_top_k of -1 is not supported"),
        ("DetectionOutput", OUTPUT + " background_label_id: -1", "background_label_id of -1"),
        ("DetectionOutput", OUTPUT + " nms_param { top_k: 0 }", "nms_param.top_k of 0"),
        ("DetectionOutput", OUTPUT + " nms_param { eta: 0.5 }", "nms_param.eta is ignored"),
        ("DetectionOutput", OUTPUT + " variance_encoded_in_target: true", "variance_encoded_in_target"),
        ("DetectionOutput", OUTPUT + " code_type: CORNER_SIZE", "code_type of CORNER_SIZE is not supported"),
    ],
)
def test_what_it_would_get_wrong_is_refused(kind: str, params: str, told: str, tmp_path: Path) -> None:
    if kind == "DetectionOutput":
        text = data("a", "1 8") + data("b", "1 6") + data("c", "1 2 8")
        text += layer("l", kind, "a b c", params=f"detection_output_param {{ {params} }}")
    elif kind == "PriorBox":
        text = data("a", "1 2 3 4") + data("b", "1 3 30 44") + layer("l", kind, "a b", params=params)
    else:
        text = data(shape="1 4 6 6") + layer("l", kind, "data", params=params)
    net = net_of(text)
    with (
        weights_of(net_of(data() + conv("c", "data", 2)), tmp_path / "w") as weights,
        pytest.raises(EngineError) as error,
    ):
        OpenCv().load(net, weights)
    assert f'"l" ({kind}): ' in str(error.value) and told in str(error.value)


def test_a_second_bottom_of_interp_is_refused(tmp_path: Path) -> None:
    text = data(shape="1 3 5 5") + data("size", "1 3 9 9") + layer("l", "Interp", "data size")
    with weights_of(net_of(text), tmp_path / "w") as weights, pytest.raises(EngineError, match="a second bottom"):
        OpenCv().load(net_of(text), weights)


@pytest.mark.thorough
def test_a_published_detector() -> None:
    """Up to its boxes OpenCV is the default engine; what follows is told from them in numpy."""
    folder = SHARED_MODELS / "res10"
    if not folder.exists():
        pytest.skip(f"{folder} is not here: the shared models lie beside the checkout")
    picture = 60 * np.random.default_rng(0).standard_normal((1, 3, 300, 300), dtype=np.float32)
    names = ["mbox_loc", "mbox_conf_flatten"]
    with open_caffemodel(folder / "net.caffemodel") as weights:
        net, held, _ = one_net(read_net(folder / "net.prototxt"), weights)
        made = OpenCv(2).load(net, held, outputs=[*names, "mbox_priorbox", "detection_out"]).run({"data": picture})
        expected = load(net, held, names).run({"data": picture})
        with pytest.raises(LoweringError, match="engine='opencv', which supports DetectionOutput and PriorBox"):
            load(net, held)
    assert all(difference(made[name], expected[name]) < TOLERANCE for name in names)
    output = Output(2, True, 0, 0.45, 400, "CENTER_SIZE", 200, 0.01)
    boxes = detections(made["mbox_loc"], made["mbox_conf_flatten"], made["mbox_priorbox"], output)
    assert boxes.shape == made["detection_out"].shape == (1, 1, 200, 7)
    assert difference(made["detection_out"], boxes) < TOLERANCE


def test_rounding_is_measured_by_opencv_where_onnx_lacks_a_layer(tmp_path: Path) -> None:
    """What runs the nets is OpenCV; the advice to use it helps nobody who does."""
    prior = "prior_box_param { min_size: 3 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }"
    text = (
        data() + conv("c", "data", 4) + layer("bn", "BatchNorm", "c") + layer("p", "PriorBox", "bn data", params=prior)
    )
    (tmp_path / "net.prototxt").write_text(text)
    with weights_of(net_of(text), tmp_path / "net.caffemodel"):
        pass
    with caffe_fcn.open(tmp_path / "net.prototxt", tmp_path / "net.caffemodel") as net:
        folded = net.fold()
        assert folded.verify(net, engine="opencv").holds
        assert folded.verify(net).same_size.not_shown.endswith("use engine='opencv', which supports PriorBox")  # type: ignore[union-attr]
