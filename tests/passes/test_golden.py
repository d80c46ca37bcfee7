"""The conversions measured with the reference Caffe: kernels, windows, shapes on a larger input, and weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.files import prototxt
from caffe_fcn.model.opening import meet, open_inputs
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.source import interpret, read_net
from caffe_fcn.passes.conversion import Settings, plan
from caffe_fcn.passes.convolutionalize.changes import WindowPooling
from caffe_fcn.schema import Message
from tests.paths import GOLDEN, SHARED_MODELS

CASES = sorted(path for path in (GOLDEN / "conversions").iterdir() if path.is_dir())
MODELS = [SHARED_MODELS / name for name in ("det2", "det3")]
VARIANTS = sorted((GOLDEN / "conversions" / "lenet" / "variants").glob("*.caffemodel"))


@pytest.fixture(params=CASES + MODELS, ids=lambda path: path.name)
def case(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    if not path.exists():
        pytest.skip(f"{path.name} is not here: the shared models lie beside the checkout")
    return path


def convert(case: Path, directory: Path, weights: Path | None = None, settings: Settings | None = None) -> Path:
    """Convert CASE into DIRECTORY, as fcn.prototxt and fcn.caffemodel."""
    source, opened = open_inputs(str(case / "net.prototxt"), str(weights or case / "net.caffemodel"))
    assert opened is not None
    chosen = settings or Settings()
    with opened:
        write_model(
            plan(meet(source, opened, chosen.selection), chosen).model,
            str(directory / "fcn.prototxt"),
            str(directory / "fcn.caffemodel"),
        )
    return directory


def blobs(path: Path) -> dict[str, list[np.ndarray]]:
    """The parameter blobs of a current caffemodel by layer, read by protobuf alone."""
    net = schema.NetParameter.FromString(path.read_bytes())
    return {layer.name: [array(blob) for blob in layer.blobs] for layer in net.layer if layer.blobs}


def array(blob: Message) -> np.ndarray:
    shape = blob.shape.dim if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    return np.array(blob.double_data or blob.data).reshape([*shape])


def test_kernels_and_windows(case: Path) -> None:
    golden = json.loads((case / "golden.json").read_text())
    source, _ = open_inputs(str(case / "net.prototxt"), None)
    made = plan(meet(source, None), Settings())
    assert {edit.layer: list(edit.kernel) for edit in made.conversions} == golden["kernels"]
    windows = [edit for edit in made.changes if isinstance(edit, WindowPooling)]
    assert {edit.layer: list(edit.kernel) for edit in windows} == golden["pooled"]


def test_shapes_on_a_larger_input(case: Path, tmp_path: Path) -> None:
    golden = json.loads((case / "golden.json").read_text())
    large = np.load(case / "golden.npz")["in:large"]
    graph = build_graph(read_net(convert(case, tmp_path) / "fcn.prototxt").net)
    image = next(blob.name for node in graph.nodes if not node.bottoms for blob in node.tops)
    shapes = infer_shapes(graph, given={image: large.shape}).blobs
    renamed = {blob.name.removesuffix("-conv"): list(shapes[blob]) for blob in graph.outputs}  # type: ignore[arg-type]
    assert renamed == golden["large_shapes"]


def test_weights_are_the_originals(case: Path, tmp_path: Path) -> None:
    before, after = blobs(case / "net.caffemodel"), blobs(convert(case, tmp_path) / "fcn.caffemodel")
    source, _ = open_inputs(str(case / "net.prototxt"), None)
    edits = {edit.layer: edit for edit in plan(meet(source, None), Settings()).conversions}
    assert {name.removesuffix("-conv") for name in after} == {name.removesuffix("-conv") for name in before}
    for name, old in before.items():
        new = after[f"{name}-conv" if name in edits else name]
        for position, (was, now) in enumerate(zip(old, new, strict=True)):
            if name in edits and position == 0:
                assert now.shape == edits[name].weight_shape
                was = (was.T if edits[name].transposed else was).reshape(now.shape)
            assert was.shape == now.shape and np.array_equal(was, now)


def test_bytes_of_untransposed_weights_are_the_same_bytes(tmp_path: Path) -> None:
    case = GOLDEN / "conversions" / "caffenet"
    old = schema.NetParameter.FromString((case / "net.caffemodel").read_bytes())
    new = (convert(case, tmp_path) / "fcn.caffemodel").read_bytes()
    for layer in old.layer:
        for blob in layer.blobs:
            assert np.array(blob.data, np.float32).tobytes() in new


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
def test_every_encoding_gives_the_same_weights(variant: Path, tmp_path: Path) -> None:
    case = GOLDEN / "conversions" / "lenet"
    after = blobs(convert(case, tmp_path, variant) / "fcn.caffemodel")
    expected = blobs(case / "net.caffemodel")
    assert after["ip1-conv"][0].shape == (32, 12, 4, 4)
    for name in ("ip1", "ip2"):
        for was, now in zip(expected[name], after[f"{name}-conv"], strict=True):
            np.testing.assert_allclose(now.ravel(), was.ravel(), rtol=1e-7)


def test_converting_twice_changes_nothing_more(case: Path, tmp_path: Path) -> None:
    once = convert(case, tmp_path)
    source, weights = open_inputs(str(once / "fcn.prototxt"), str(once / "fcn.caffemodel"))
    assert weights is not None
    with weights:
        again = plan(meet(source, weights), Settings())
        assert not again.changes and bytes(again.document) == (once / "fcn.prototxt").read_bytes()
        write_model(again.model, str(tmp_path / "again.prototxt"), str(tmp_path / "again.caffemodel"))
    assert (tmp_path / "again.caffemodel").read_bytes() == (once / "fcn.caffemodel").read_bytes()


def test_columns_in_channels_last_order_are_put_in_caffes(tmp_path: Path) -> None:
    channels, height, width, outputs = 3, 2, 4, 5
    (tmp_path / "net.prototxt").write_text(
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: {channels} dim: {height} '
        f"dim: {width} }} }} }}\n"
        'layer { name: "nhwc" type: "Permute" bottom: "data" top: "nhwc" '
        "permute_param { order: 0 order: 2 order: 3 order: 1 } }\n"
        'layer { name: "flat" type: "Flatten" bottom: "nhwc" top: "flat" }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "flat" top: "fc" '
        f"inner_product_param {{ num_output: {outputs} bias_term: false }} }}\n"
    )
    weights = np.arange(outputs * height * width * channels, dtype=np.float32).reshape(outputs, -1)
    net = schema.NetParameter()
    layer = net.layer.add(name="fc", type="InnerProduct")
    layer.blobs.add(data=weights.ravel(), shape={"dim": weights.shape})
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    new = blobs(convert(tmp_path, tmp_path) / "fcn.caffemodel")["fc-conv"][0]
    wanted = weights.reshape(outputs, height, width, channels).transpose(0, 3, 1, 2)
    assert np.array_equal(new, wanted)


def test_caffes_own_fully_convolutional_net(corpus: Path) -> None:
    """CaffeNet's deploy net at 451 pixels becomes the net that Caffe publishes for its net surgery."""
    published = interpret(prototxt.read(corpus / "BVLC+caffe" / "7abbbe68-bvlc_caffenet_full_conv.prototxt")).net
    source, _ = open_inputs(str(corpus / "BVLC+caffe" / "d927168d-deploy.prototxt"), None)
    ours = interpret(plan(meet(source, None), Settings(input_size=(451, 451))).document).net
    assert [layer.name for layer in ours.layer if layer.name.endswith("-conv")] == ["fc6-conv", "fc7-conv", "fc8-conv"]
    ours.name = published.name
    ours.layer[0].input_param.shape[0].dim[0] = 1
    ours.layer[0].name = published.layer[0].name  # the upgrade of V1's input field calls it "input"
    assert ours == published
