"""OpenCV as an engine: what it runs is Caffe's, and what it would get wrong it refuses by name."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.engines import opencv
from caffe_fcn.engines.nets import one_net
from caffe_fcn.engines.opencv import OpenCv
from caffe_fcn.errors import EngineError, ExtraError, LoweringError, OutputError, WeightsError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.source import read_net
from caffe_fcn.report.verify import lines
from caffe_fcn.verify.settings import VerifySettings
from tests.engines import test_batch_norm as batch_norms
from tests.engines.nets import add_layer, case, difference, load, net_of, weights_of
from tests.passes.nets import conv, data, fc, layer
from tests.paths import GOLDEN, SHARED_MODELS
from tests.verify import twins

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: pip install 'opencv-python-headless==4.*'")

CONVERSIONS = sorted(path for path in (GOLDEN / "conversions").iterdir() if path.is_dir())
CONVERSIONS += [SHARED_MODELS / name for name in ("det2", "det3")]
LAYERS = sorted(path.name for path in (GOLDEN / "layers").iterdir())
TOLERANCE = 1e-5

NOT_THE_ORIGINAL = {
    "argmax": 'Can\'t create layer "pred" of type "ArgMax"',
    "transpose": '"fc1" (InnerProduct): inner_product_param.transpose is ignored; "fc2"',
}
NOT_THE_TWIN = {"argmax"}
REFUSED = {
    "ip_transpose": "inner_product_param.transpose is ignored",
    "log": "log_param.base is ignored, log_param.shift is ignored",
    "pool_stride_gt_kernel": "a window may be outside the map",
    "swish": "swish_param.beta is ignored",
}
UNKNOWN = set(
    "accuracy argmax argmax_axis1 argmax_val batch_reindex bias bias_two_bottoms conv_axis2 dummy_data embed "
    "euclidean_loss im2col lstm parameter reduction_asum reduction_mean_axis1 reduction_sum reshape_insert slice_even "
    "split spp threshold tile".split()
)
"""What OpenCV 4.14 says itself that it does not do."""


@pytest.fixture(params=CONVERSIONS, ids=lambda path: path.name)
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    if not path.exists():
        pytest.skip(f"{path.name} is not here: the shared models lie beside the checkout")
    return path


@pytest.mark.thorough
def test_originals_and_twins_are_verified(folder: Path, tmp_path: Path) -> None:
    pair = twins.case(folder, tmp_path)
    if folder.name in NOT_THE_ORIGINAL:
        found = pair.verify(VerifySettings(engine=OpenCv()))
        assert not found.holds and NOT_THE_ORIGINAL[folder.name] in "\n".join(lines(found))
        return
    assert pair.verify(VerifySettings(engine=OpenCv())).holds


def test_twins_are_caffes_at_both_sizes(folder: Path, tmp_path: Path) -> None:
    if folder.name in NOT_THE_TWIN:
        pytest.skip(f"OpenCV does not run the twin of {folder.name}: it has no ArgMax")
    pair = twins.case(folder, tmp_path)
    pair.fcn.rename(tmp_path / "net.prototxt")
    pair.fcn_weights.rename(tmp_path / "net.caffemodel")
    with np.load(folder / "golden.npz") as file:
        measured = dict(file)
    with case(tmp_path) as (net, weights):
        session = OpenCv(1).load(net, weights)
    (image,) = session.inputs
    for size in ("large", "same"):
        made = session.run({image: measured[f"in:{size}"]})
        assert made
        for name, blob in made.items():
            expected = measured[f"{size}:{name.removesuffix('-conv')}"]
            assert difference(blob.reshape(expected.shape), expected) < TOLERANCE


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in UNKNOWN])
def test_layers_are_caffes_or_refused(name: str) -> None:
    with np.load(GOLDEN / "layers" / name / "io.npz") as file:
        measured = dict(file)
    with case(GOLDEN / "layers" / name) as (net, weights):
        told = REFUSED.get(name)
        if any(not row_of(node.type).bvlc for node in net.graph.nodes):
            told = "this type is missing"
        if told is not None:
            with pytest.raises(EngineError, match="OpenCV does not compute the same as Caffe") as caught:
                OpenCv().load(net, weights)
            assert told in str(caught.value)
            return
        session = OpenCv().load(net, weights)
    made = session.run({blob: measured[f"in:{blob}"] for blob in session.inputs})
    assert made
    for blob, values in made.items():
        if f"out:{blob}" in measured:
            assert difference(values, measured[f"out:{blob}"]) < TOLERANCE


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_what_opencv_does_not_know_it_says_itself(name: str) -> None:
    with np.load(GOLDEN / "layers" / name / "io.npz") as file:
        measured = dict(file)
    with case(GOLDEN / "layers" / name) as (net, weights), pytest.raises((EngineError, LoweringError)) as caught:
        session = OpenCv().load(net, weights)
        session.run({blob: measured[f"in:{blob}"] for blob in session.inputs})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (layer("l", "LRN", "data", params="lrn_param { k: 2 }"), '"l" (LRN): lrn_param.k is ignored'),
        (layer("l", "MVN", "data", params="mvn_param { eps: 0.1 }"), '"l" (MVN): mvn_param.eps is ignored'),
        (
            layer("l", "Pooling", "data", params="pooling_param { pool: STOCHASTIC kernel_size: 2 }"),
            '"l" (Pooling): stochastic pooling is random',
        ),
        (
            layer("l", "Pooling", "data", params="pooling_param { kernel_size: 1 stride: 2 }"),
            '"l" (Pooling): a window may be outside the map',
        ),
        (
            layer("l", "Deconvolution", "data", params="convolution_param { num_output: 2 kernel_size: 1 pad: 1 }"),
            '"l" (Deconvolution): the padding of a 1×1 kernel',
        ),
        (layer("l", "Concat", "data"), '"l" (Concat): a single bottom is not copied'),
        (
            layer("flat", "Reshape", "data", params="reshape_param { shape { dim: -1 } }")
            + layer("l", "Softmax", "flat", params="softmax_param { axis: 0 }"),
            '"l" (Softmax): a blob with one axis',
        ),
        (
            layer("l", "Scale", "data", params="scale_param { axis: -1 }"),
            '"l" (Scale): a negative scale_param.axis',
        ),
        (
            layer("l", "Scale", "data data", params="scale_param { axis: 0 bias_term: true }"),
            '"l" (Scale): scale_param.bias_term with two bottoms',
        ),
    ],
    ids=[
        "lrn",
        "mvn",
        "stochastic",
        "outside",
        "padding",
        "one bottom",
        "one axis",
        "axis from the back",
        "two bottoms",
    ],
)
def test_what_it_would_get_wrong_is_refused(text: str, told: str, tmp_path: Path) -> None:
    net = net_of(data() + text)
    with (
        weights_of(net_of(data() + conv("c", "data", 2)), tmp_path / "w") as weights,
        pytest.raises(EngineError) as error,
    ):
        OpenCv().load(net, weights)
    assert told in str(error.value) and "use engine='onnxruntime'" in str(error.value)


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_where_nothing_is_said_caffes_default_counts(region: str, tmp_path: Path) -> None:
    """OpenCV's own alpha of LRN is another."""
    net = net_of(data(shape="1 3 6 6") + layer("l", "LRN", "data", params=f"lrn_param {{ norm_region: {region} }}"))
    with weights_of(net, tmp_path / "w") as weights:
        image = np.random.default_rng(0).standard_normal((1, 3, 6, 6), dtype=np.float32)
        made, expected = (engine.run({"data": image}) for engine in (OpenCv().load(net, weights), load(net, weights)))
    assert difference(made["l"], expected["l"]) < TOLERANCE


def test_fields_of_forks_are_said_in_its_words_or_refused(tmp_path: Path) -> None:
    text = (
        data(shape="1 2 12 12")
        + conv("c", "data", 3, more="hole: 2")
        + layer("p", "Pooling", "c", params="pooling_param { kernel_size: 3 stride: 2 torch_pooling: true }")
        + layer("q", "Pooling", "p", params="pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }")
        + layer("d", "Dropout", "q", params="dropout_param { scale_train: false }")
        + fc("fc", "d", 4)
    )
    net, refused = net_of(text), net_of(text + conv("e", "q", 2, 1, "relu: true"))
    with weights_of(refused, tmp_path / "w") as weights:
        image = np.random.default_rng(0).standard_normal((1, 2, 12, 12), dtype=np.float32)
        made, expected = (engine.run({"data": image}) for engine in (OpenCv().load(net, weights), load(net, weights)))
        assert difference(made["fc"], expected["fc"]) < TOLERANCE
        told = r'"e" \(Convolution\): convolution_param\.relu is not supported'
        with pytest.raises(EngineError, match=told):
            OpenCv().load(refused, weights)


@pytest.mark.parametrize(
    ("fields", "layout"), [("relu: true", "plain"), ("", "without a shift"), ("relu: true", "scale first")]
)
def test_batch_norms_of_forks_are_several_layers_to_it(tmp_path: Path, fields: str, layout: str) -> None:
    """Each with its blobs; and both what comes of them and what reads that is right."""
    (tmp_path / "net.prototxt").write_text(
        data(shape="1 3 4 5")
        + layer("b", "BatchNorm", "data", params=f"batch_norm_param {{ {fields} }}")
        + layer("c", "AbsVal", "b")
    )
    message = schema.NetParameter()
    add_layer(message, "b", [batch_norms.parts(3, 2.0)[name] for name in batch_norms.LAYOUTS[layout]])
    (tmp_path / "w").write_bytes(message.SerializeToString())
    with open_caffemodel(tmp_path / "w") as weights:
        net, held, _ = one_net(read_net(tmp_path / "net.prototxt"), weights)
        image = np.random.default_rng(0).standard_normal((1, 3, 4, 5), dtype=np.float32)
        made = OpenCv().load(net, held, outputs=["b", "c"]).run({"data": image})
        expected = load(net, held, ["b", "c"]).run({"data": image})
    assert all(difference(made[name], expected[name]) < TOLERANCE for name in "bc")
    assert (expected["b"] >= 0).all() == bool(fields)


def test_the_layer_that_opencv_does_not_do_is_named(tmp_path: Path) -> None:
    """It tells no name itself, or that of the top."""
    text = data(shape="1 4 8 8") + data("other", "1 4 8 8") + conv("first", "data", 4, 1)
    text += layer("sum", "Eltwise", "first other") + conv("last", "sum", 2)
    for place, bottom in (("early", "first"), ("late", "last")):
        net = net_of(text + layer(place, "Tile", bottom, "t", "tile_param { tiles: 2 }") + fc("fc", "t", 2))
        with weights_of(net, tmp_path / "w") as weights, pytest.raises(EngineError) as error:
            OpenCv().load(net, weights, outputs=["fc", "last"])
        assert f'net.prototxt: OpenCV cannot run the net: "{place}" (Tile): Tile: repeats needs' in str(error.value)


def test_a_full_disk_names_the_copy_and_where_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with case(GOLDEN / "conversions" / "lenet") as (net, weights):
        for name in ("write_parts", "open"):
            with monkeypatch.context() as patched, pytest.raises(OutputError) as error:
                patched.setattr(
                    f"caffe_fcn.{'files.rewrite' if name == 'write_parts' else 'engines.caffe_files'}.{name}",
                    full,
                    raising=False,
                )
                OpenCv().load(net, weights)
            assert f"a temporary copy of {weights.path} in " in str(error.value) and "TMPDIR" in str(error.value)


def test_what_forks_write_beside_what_a_layer_reads_does_not_reach_it(tmp_path: Path) -> None:
    """A field unknown to it would set all others to their defaults."""
    text = data(shape="1 2 8 8") + conv("c", "data", 3, more="} permute_param { order: 0")
    text += layer("p", "Pooling", "c", params="pooling_param { kernel_size: 2 stride: 2 round_mode: CEIL }")
    net = net_of(text)
    with weights_of(net, tmp_path / "w") as weights:
        image = np.random.default_rng(0).standard_normal((1, 2, 8, 8), dtype=np.float32)
        made, expected = (engine.run({"data": image}) for engine in (OpenCv().load(net, weights), load(net, weights)))
    assert difference(made["p"], expected["p"]) < TOLERANCE
    refused = net_of(data() + layer("p", "Pooling", "data", params="pooling_param { pool: AVE_TF kernel_size: 2 }"))
    with weights_of(net, tmp_path / "w") as weights, pytest.raises(EngineError) as error:
        OpenCv().load(refused, weights)
    assert '"p" (Pooling): pooling_param.pool: AVE_TF is not supported' in str(error.value)


def test_every_layer_in_the_way_is_named(tmp_path: Path) -> None:
    text = data() + fc("a", "data", 3, "transpose: true") + fc("b", "a", 3, "transpose: true")
    with weights_of(net_of(text), tmp_path / "w") as weights, pytest.raises(EngineError, match=r'"a" .*"b" '):
        OpenCv().load(net_of(text), weights)


def test_rules_data_layers_and_work_in_place_do_not_reach_it(tmp_path: Path) -> None:
    """OpenCV would build the layers of both phases, and call blobs after the layers that worked on them."""
    text = (
        data(shape="2 2 8 10")
        + conv("c", "data", 3)
        + layer("r", "ReLU", "c", "c")
        + layer("wrong", "Power", "c", "c", "power_param { scale: 3 } include { phase: TRAIN }")
        + layer("p", "Power", "c", "c", "power_param { scale: 2 } exclude { phase: TRAIN }")
        + fc("fc", "c", 4)
    )
    net = net_of(text)
    with weights_of(net, tmp_path / "w") as weights:
        image = np.random.default_rng(0).standard_normal((2, 2, 8, 10), dtype=np.float32)
        made = OpenCv().load(net, weights, outputs=["c", "fc"]).run({"data": image})
        expected = load(net, weights, ["c", "fc"]).run({"data": image})
    assert made.keys() == expected.keys()
    assert all(difference(made[name], expected[name]) < TOLERANCE for name in made)


def test_old_weights_are_brought_up_to_date(tmp_path: Path) -> None:
    lenet = GOLDEN / "conversions" / "lenet"
    with np.load(lenet / "golden.npz") as file, case(lenet) as (net, _):
        for variant in sorted((lenet / "variants").glob("*.caffemodel")):
            with open_caffemodel(variant) as weights:
                if any(blob.dtype != "float32" for record in weights.layers for blob in record.blobs):
                    with pytest.raises(EngineError, match=r"expected values of float32, found float\d\d"):
                        OpenCv().load(net, weights)
                    continue
                made = OpenCv().load(net, weights).run({"data": file["in:same"]})
            assert difference(made["prob"], file["same:prob"]) < TOLERANCE


def test_inputs_of_another_size() -> None:
    with case(GOLDEN / "conversions" / "lenet") as (net, weights):
        session = OpenCv().load(net, weights)
    with pytest.raises(EngineError, match="at this input size, layer 'ip1'"):
        session.run({"data": np.zeros((1, 1, 40, 40))})
    with pytest.raises(EngineError, match="expected any×1×any×any, found 1×3×28×28"):
        session.run({"data": np.zeros((1, 3, 28, 28))})


def test_weights_of_another_net() -> None:
    lenet, rnet = (case(GOLDEN / "conversions" / name) for name in ("lenet", "rnet"))
    lacks = pytest.raises(WeightsError, match="layers 'ip1', 'ip2', filled by the net with random values")
    with lenet as (net, _), rnet as (_, weights), lacks:
        OpenCv().load(net, weights)


def test_opencv_5_is_told_from_4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "__version__", "5.0.0")
    with pytest.raises(ExtraError, match=r"OpenCV 5\.0\.0 no longer reads Caffe nets; pip install 'opencv-"):
        opencv.opencv()


def test_volumes_are_spelled_out_for_each_axis(tmp_path: Path) -> None:
    """Where a kernel, a stride or a padding is given once for three axes, OpenCV 4.14 reads on behind it: it ends the
    process, or takes whatever stands there."""
    text = data(shape="1 2 5 8 10") + conv("c", "data", 3, more="pad: 1 stride: 2") + fc("fc", "c", 4)
    net = net_of(text)
    with weights_of(net, tmp_path / "w") as weights:
        image = np.random.default_rng(0).standard_normal((1, 2, 5, 8, 10), dtype=np.float32)
        made, expected = (engine.run({"data": image}) for engine in (OpenCv().load(net, weights), load(net, weights)))
    assert difference(made["fc"], expected["fc"]) < TOLERANCE
