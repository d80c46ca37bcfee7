"""Names, sizes and weights of whole nets in ONNX."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.errors import LoweringError, ShapeError
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.net.layers import LAYERS
from caffe_fcn.net.layers.traits import ELEMENTWISE
from caffe_fcn.onnx.lowering import Lowered, lower
from caffe_fcn.onnx.registry import LOWERINGS
from caffe_fcn.onnx.scope import ALL
from tests.engines.nets import add_layer, load, net_of, weights_of
from tests.net.nets import data, layer

CONV = "convolution_param { num_output: 2 kernel_size: 3 }"
NOT_BVLC_LOWERED = frozenset(
    "Accuracy ContrastiveLoss Data EuclideanLoss Filter HDF5Data HDF5Output HingeLoss ImageData InfogainLoss Input "
    "LSTM LSTMUnit MemoryData MultinomialLogisticLoss Python RNN SigmoidCrossEntropyLoss Silence SoftmaxWithLoss "
    "WindowData".split()
)
"""BVLC's types that bring data in, are left out, become another, or are refused."""


def lowered(text: str, tmp_path: Path, *outputs: str, fixed: bool = False, separate: bool = False) -> Lowered:
    net = net_of(text)
    with weights_of(net, tmp_path / "net.caffemodel") as weights:
        return lower(net.graph, net.shapes, weights, outputs=outputs, fixed=fixed, separate=separate)


def test_bvlcs_layers_are_lowered() -> None:
    assert {name for name, row in LAYERS.items() if row.bvlc} - LOWERINGS.keys() == NOT_BVLC_LOWERED
    assert LOWERINGS.keys() <= LAYERS.keys(), "what has no row cannot be lowered"


def test_an_installed_lowering_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise ImportError("no module named gone")

    found = {
        "caffe_fcn.layers": SimpleNamespace(load=lambda: ELEMENTWISE),
        "caffe_fcn.onnx": SimpleNamespace(load=lost, value="gone:lower"),
    }
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group, name: [found[group]])
    why = "the entry point gone:lower for this type cannot be loaded: no module named gone"
    with pytest.raises(LoweringError, match=rf'"layer" \(HalfInstalled\): {why}'):
        lowered(data(1, 2, 3, 3) + layer("HalfInstalled"), tmp_path)


# ---- Names ----


@pytest.mark.thorough
def test_the_last_version_of_a_blob_has_its_name(tmp_path: Path) -> None:
    text = data(1, 1, 4, 4) + layer("Convolution", CONV, top="a", name="one")
    text += layer("ReLU", bottom="a", top="a", name="two") + layer("TanH", bottom="a", top="a", name="three")
    nodes = lowered(text, tmp_path).graph.nodes
    assert [(node.op, node.outputs) for node in nodes] == [("Conv", ("a_v0",)), ("Relu", ("a_v1",)), ("Tanh", ("a",))]


def test_a_suffix_is_no_other_blobs_name(tmp_path: Path) -> None:
    text = data(1, 2) + layer("ReLU", top="a", name="one") + layer("TanH", bottom="a", top="a", name="two")
    text += layer("AbsVal", bottom="a", top="a_v0", name="three")
    names = [name for node in lowered(text, tmp_path).graph.nodes for name in node.outputs]
    assert len(set(names)) == 3 and names[1:] == ["a", "a_v0"]


def test_dropout_in_place_is_not_there(tmp_path: Path) -> None:
    text = data(1, 2) + layer("ReLU", top="a", name="one") + layer("Dropout", bottom="a", top="a", name="two")
    assert [(node.op, node.outputs) for node in lowered(text, tmp_path).graph.nodes] == [("Relu", ("a",))]


def test_an_input_keeps_its_name_whatever_works_on_it_in_place(tmp_path: Path) -> None:
    text = data(1, 2) + layer("Power", "power_param { shift: 1 }", top="data", name="one")
    made = lowered(text + layer("ReLU", top="b", name="two"), tmp_path)
    assert [value.name for value in made.graph.inputs] == ["data"]
    assert [node.inputs[0] for node in made.graph.nodes] == ["data", "data_v1"]


def test_what_an_input_becomes_in_place_comes_out_by_its_name(tmp_path: Path) -> None:
    net = net_of(data(1, 2) + layer("Power", "power_param { shift: 1 }", top="data"))
    with weights_of(net, tmp_path / "w") as weights:
        session = load(net, weights)
    values = np.array([[1, 2]], np.float32)
    assert np.array_equal(session.run({"data": values})["data"], values + 1)


def test_no_two_values_share_a_name(tmp_path: Path) -> None:
    """Layers of one name, and blobs called as the lowering calls its own values."""
    text = data(1, 2, 6, 6) + layer("Swish", "swish_param { beta: 2 }", top="layer/Mul")
    text += layer("Swish", "swish_param { beta: 2 }", bottom="layer/Mul", top="b")
    made = lowered(text, tmp_path).graph
    values = [value.name for value in made.inputs] + [constant.name for constant in made.constants]
    values += [name for node in made.nodes for name in node.outputs]
    assert len(set(values)) == len(values)
    assert len({node.name for node in made.nodes}) == len(made.nodes)


# ---- Sizes ----


def dims(text: str, tmp_path: Path, name: str = "data") -> tuple[int | str | None, ...]:
    return lowered(text, tmp_path).inputs[name].dims


def test_axes_have_names(tmp_path: Path) -> None:
    assert dims(data(1, 3, 8, 8) + layer("ReLU"), tmp_path) == ("batch", 3, "height", "width")
    assert dims(data(1, 3, 8) + layer("ReLU"), tmp_path) == ("batch", 3, "length")
    assert dims(data(1, 3, 4, 8, 8) + layer("ReLU"), tmp_path) == ("batch", 3, "length", "height", "width")
    assert dims(data(7, 3) + layer("ReLU"), tmp_path) == ("batch", 3)


def test_inputs_of_different_sizes_have_different_names(tmp_path: Path) -> None:
    text = data(1, 3, 8, 8) + data(1, 2, 6, 8, name="size") + layer("Crop", bottom="data size")
    assert dims(text, tmp_path) == ("batch", 3, "height", "width")
    assert dims(text, tmp_path, "size") == ("batch", 2, "size_height", "width")


def test_each_axis_is_fixed_by_itself(tmp_path: Path) -> None:
    """The width is the inputs of an InnerProduct, the height is its batch."""
    text = data(1, 3, 5, 6) + layer("InnerProduct", "inner_product_param { num_output: 4 axis: 3 }")
    made = lowered(text, tmp_path)
    assert made.inputs["data"].dims == ("batch", 3, "height", 6)
    assert made.fixed == ("width is fixed: layer 'layer' (InnerProduct) would need parameters of 4×8, but has 4×6",)


def test_a_join_that_needs_a_square_fixes_the_sides(tmp_path: Path) -> None:
    text = data(1, 3, 8, 8) + layer("Permute", "permute_param { order: 0 order: 1 order: 3 }", top="t", name="t")
    made = lowered(text + layer("Eltwise", bottom="data t"), tmp_path)
    assert made.inputs["data"].dims == ("batch", 3, 8, 8)
    assert all("its bottoms disagree" in reason for reason in made.fixed)


def test_a_reshape_to_a_fixed_batch_fixes_the_batch(tmp_path: Path) -> None:
    made = lowered(data(2, 3, 4, 4) + layer("Reshape", "reshape_param { shape { dim: 2 dim: -1 dim: 4 } }"), tmp_path)
    assert made.inputs["data"].dims[0] == "batch", "what is left goes to the -1"
    made = lowered(data(2, 3, 4, 4) + layer("Reshape", "reshape_param { shape { dim: 2 dim: 48 } }"), tmp_path)
    assert made.inputs["data"].dims == (2, 3, 4, 4)


MIXES = {
    "to one item": ("Reshape", "reshape_param { shape { dim: 1 dim: -1 dim: 4 } }", "makes 1×24×4 from a batch of 2"),
    "into rows": ("Reshape", "reshape_param { shape { dim: -1 dim: 4 } }", "makes 24×4 from a batch of 2"),
    "to a number": ("Reduction", "", "makes a scalar from a batch of 2"),
    "twice": ("Tile", "tile_param { axis: 0 tiles: 2 }", "makes 4×3×4×4 from a batch of 2"),
}


@pytest.mark.parametrize("name", MIXES)
def test_a_layer_that_mixes_the_items_fixes_the_batch(name: str, tmp_path: Path) -> None:
    """Caffe takes larger batches there too, but no output has an axis for the items then; sizes stay free."""
    kind, parameters, told = MIXES[name]
    text = data(1, 3, 4, 4) + layer(kind, parameters, top="out", name="mixes") + layer("ReLU", bottom="out", top="end")
    made = lowered(text, tmp_path, separate=True)
    assert made.inputs["data"].dims[0] == 1 and "batch" not in made.outputs["end"].dims
    reasons = [reason for reason in made.fixed if reason.startswith("batch is fixed")]
    assert reasons == [f"batch is fixed: layer 'mixes' ({kind}) {told}, without a batch axis"]
    assert lowered(text, tmp_path).inputs["data"].dims[0] == "batch", "an engine gives what Caffe gives"


def test_only_outputs_that_depend_on_the_batch_need_its_axis(tmp_path: Path) -> None:
    text = data(1, 3, 4, 4) + layer("Pooling", "pooling_param { global_pooling: true }", top="pooled", name="pool")
    text += 'layer { name: "own" type: "Parameter" top: "own" parameter_param { shape { dim: 1 dim: 5 } } }'
    made = lowered(text + layer("ReLU", bottom="own", top="constant", name="relu"), tmp_path, separate=True)
    assert made.fixed == () and made.inputs["data"].dims == ("batch", 3, "height", "width")
    assert made.outputs["pooled"].dims == ("batch", 3, 1, 1) and made.outputs["constant"].dims == (1, 5)


def test_the_axis_of_the_items_grows_with_nothing_else(tmp_path: Path) -> None:
    """At the nominal size there is one row for each item, at others there are more."""
    text = data(2, 4, 1, 1) + layer("Reshape", "reshape_param { shape { dim: -1 dim: 4 } }", name="rows")
    made = lowered(text, tmp_path, separate=True)
    assert made.inputs["data"].dims == ("batch", 4, 1, 1) and made.outputs["out"].dims == ("batch", 4)
    assert [reason.partition(":")[0] for reason in made.fixed] == ["height is fixed", "width is fixed"]


def test_items_may_lie_along_a_later_axis(tmp_path: Path) -> None:
    text = data(2, 3, 5) + layer("Permute", "permute_param { order: 1 order: 0 order: 2 }")
    assert lowered(text, tmp_path, separate=True).outputs["out"].dims == (3, "batch", None)


def test_fixed_holds_all_sizes_still(tmp_path: Path) -> None:
    made = lowered(data(1, 3, 8, 8) + layer("ReLU"), tmp_path, fixed=True)
    assert made.inputs["data"].dims == (1, 3, 8, 8) == made.outputs["out"].dims
    assert made.free == () == made.fixed


def test_a_shape_that_nobody_knows_is_asked_for(tmp_path: Path) -> None:
    text = 'layer { name: "data" type: "HDF5Data" top: "data" }' + layer("ReLU")
    with pytest.raises(ShapeError, match=r'layer "data" \(HDF5Data\), blob "data": .*shapes'):
        lowered(text, tmp_path)


def test_a_blob_without_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="and no values; give another input size"):
        lowered(data(1, 3, 0, 8) + layer("ReLU"), tmp_path)


# ---- Weights ----


def test_of_layers_of_one_name_the_last_in_the_file_counts(tmp_path: Path) -> None:
    net = net_of(data(1, 1) + layer("InnerProduct", "inner_product_param { num_output: 1 bias_term: false }"))
    message = schema.NetParameter()
    for value in (2.0, 3.0):
        add_layer(message, "layer", [np.array([[value]])])
    add_layer(message, "layer", [])
    (tmp_path / "w").write_bytes(message.SerializeToString())
    with open_caffemodel(tmp_path / "w") as weights:
        assert load(net, weights).run({"data": np.ones((1, 1))})["out"] == 3


@pytest.mark.parametrize(("factor", "expected"), [(2.0, (8 - 3) / 2), (0.0, 8 / 1e-2)])
def test_batch_norm_divides_its_statistics_by_their_factor(factor: float, expected: float, tmp_path: Path) -> None:
    net = net_of(data(1, 1, 1, 1) + layer("BatchNorm", "batch_norm_param { eps: 1e-4 }"))
    message = schema.NetParameter()
    add_layer(message, "layer", [np.array([6.0]), np.array([8.0]), np.array([factor])])
    (tmp_path / "w").write_bytes(message.SerializeToString())
    with open_caffemodel(tmp_path / "w") as weights:
        made = load(net, weights).run({"data": np.full((1, 1, 1, 1), 8)})["out"]
    assert made.item() == pytest.approx(expected, rel=1e-4)


def test_every_blob_can_come_out(tmp_path: Path) -> None:
    text = data(1, 1, 6, 6) + layer("Convolution", CONV, top="a", name="one")
    text += layer("ReLU", bottom="a", top="a", name="two") + layer("TanH", bottom="a", top="b", name="three")
    assert list(lowered(text, tmp_path, ALL).outputs) == ["a", "b"]
    assert list(lowered(text, tmp_path, "b", "a").outputs) == ["b", "a"]


def test_a_blob_without_a_name_has_one_in_onnx(tmp_path: Path) -> None:
    net = net_of(data(1, 2, name="") + layer("ReLU", bottom='""').replace('""""', '""'))
    with weights_of(net, tmp_path / "w") as weights:
        session = load(net, weights)
    assert session.run({"": np.array([[-1, 2]])})["out"].tolist() == [[0, 2]]


def test_a_label_of_which_nothing_is_known_is_not_in_the_way(tmp_path: Path) -> None:
    text = 'layer { name: "data" type: "HDF5Data" top: "data" top: "label" }' + layer("ReLU")
    net = net_of(text, given={"data": (2, 3)})
    with weights_of(net, tmp_path / "w") as weights:
        assert load(net, weights).inputs == {"data": (None, 3)}


def test_weights_of_several_bottoms_are_there_once(tmp_path: Path) -> None:
    text = data(1, 1, 4, 4) + data(1, 1, 4, 4, name="more") + layer("Convolution", CONV, "data more", "a b")
    made = lowered(text, tmp_path)
    assert len(made.graph.constants) == 2 and len(made.outputs) == 2
