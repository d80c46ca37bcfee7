"""What is no twin, or not any more: each damage fails the proof that sees it, and is named."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.errors import WeightsError
from caffe_fcn.model.opening import NetAndWeights, open_inputs
from caffe_fcn.net.geometry import Cause, Reason
from caffe_fcn.schema import Message
from caffe_fcn.verify.records import Verification
from caffe_fcn.verify.settings import VerifySettings
from caffe_fcn.verify.verify import verify
from tests.passes.nets import conv, data, fc, layer
from tests.paths import CASES, GOLDEN
from tests.verify.twins import (
    CHANNELS_LAST,
    DOES_NOT_APPLY,
    FAILS,
    HOLDS,
    NOT_SHOWN,
    Pair,
    array,
    case,
    change_one,
    ends,
    failures,
    fill,
    written,
)

LENET = GOLDEN / "conversions" / "lenet"


def fields(found: Verification) -> list[tuple[str, ...]]:
    """Layer, field, what was expected and what was found, of all that differ."""
    assert found.weights_proof is not None
    return [(each.layer, *each[2:]) for each in found.weights_proof.fields]


@pytest.fixture
def lenet(tmp_path: Path) -> Pair:
    return case(LENET, tmp_path)


@pytest.mark.thorough
def test_one_weight_changed(lenet: Pair) -> None:
    lenet.blobs(lambda layers: change_one(layers["ip1-conv"].blobs[0]))
    found = lenet.verify()
    assert ends(found)[0] is FAILS
    assert failures(found) == (
        ("layer 'ip1', 'ip1-conv' in the converted net, blob 0: 1 of 6,144 values differ from the original"),
    )


@pytest.mark.thorough
def test_the_last_bit_of_one_weight_shows_in_the_weights_alone(lenet: Pair) -> None:
    def nudge(layers: dict[str, Message]) -> None:
        values = array(layers["conv1"].blobs[0])
        values.ravel()[3] = np.nextafter(values.ravel()[3], np.float32(9))
        fill(layers["conv1"].blobs[0], values)

    assert ends(lenet.blobs(nudge).verify()) == [FAILS, HOLDS, HOLDS]


@pytest.mark.thorough
def test_a_kernel_in_the_wrong_order(lenet: Pair) -> None:
    def turn(layers: dict[str, Message]) -> None:
        blob = layers["ip1-conv"].blobs[0]
        fill(blob, array(blob).swapaxes(2, 3))

    found = lenet.blobs(turn).verify()
    assert ends(found) == [FAILS, FAILS, FAILS]
    assert "'ip1-conv' in the converted net, blob 0" in failures(found)[0]


@pytest.mark.thorough
def test_a_matrix_left_transposed(tmp_path: Path) -> None:
    pair = case(GOLDEN / "conversions" / "transpose", tmp_path)

    def back(layers: dict[str, Message]) -> None:
        blob = layers["fc1-conv"].blobs[0]
        fill(blob, array(blob).reshape(len(array(blob)), -1).T)

    assert "'fc1-conv' in the converted net, blob 0" in failures(pair.blobs(back).verify())[0]


@pytest.mark.thorough
def test_columns_left_in_their_order(tmp_path: Path) -> None:
    pair = written(CHANNELS_LAST, tmp_path)
    original = schema.NetParameter.FromString(pair.weights.read_bytes())
    matrix = next(layer.blobs[0] for layer in original.layer if layer.name == "fc")
    pair.blobs(lambda layers: fill(layers["fc-conv"].blobs[0], array(matrix)))
    assert ends(pair.verify())[:2] == [FAILS, FAILS]


@pytest.mark.thorough
def test_a_stride_that_shows_on_larger_inputs_only(lenet: Pair) -> None:
    found = lenet.text(lambda text: text.replace("kernel_size: 4", "kernel_size: 4 stride: 2")).verify()
    assert ends(found) == [FAILS, HOLDS, FAILS]
    assert fields(found) == [("ip1", "stride", "1×1", "2×2")]
    assert found.dense is not None
    assert found.dense.outputs[0].explanation == "its cells are 8x8 pixels apart, expected 4x4"


def test_a_stride_that_leaves_no_room(lenet: Pair) -> None:
    found = lenet.text(lambda text: text.replace("kernel_size: 5", "kernel_size: 5 stride: 2", 1)).verify()
    assert ends(found) == [NOT_SHOWN, FAILS, NOT_SHOWN]
    assert found.same_size is not None and "ip1-conv" in found.same_size.failures[0]


SQUARE = (
    data(shape="1 3 19 19")
    + conv("one", "data", 3, more="pad: 1")
    + layer("relu", "ReLU", "one", "one")
    + conv("two", "one", 3, more="pad: 1")
    + fc("fc", "two", 4)
)


@pytest.mark.thorough
def test_layers_swapped_in_the_text(tmp_path: Path) -> None:
    pair = written(SQUARE, tmp_path)
    pair.text(
        lambda text: text.replace('"one" type', '"?" type').replace('"two" type', '"one" type').replace("?", "two")
    )
    found = pair.verify()
    assert ends(found)[:2] == [FAILS, FAILS]
    assert failures(found)[0].startswith("layer 'one', 'two' in the converted net, blob 0: ")


@pytest.mark.thorough
def test_layers_swapped_in_the_weights(tmp_path: Path) -> None:
    def swap(layers: dict[str, Message]) -> None:
        layers["one"].name, layers["two"].name = "two", "one"

    found = written(SQUARE, tmp_path).blobs(swap).verify()
    assert ends(found)[:2] == [FAILS, FAILS]
    assert failures(found)[0].startswith("layer 'one', blob 0: ")


@pytest.mark.thorough
def test_a_coefficient_changed_in_the_twin(tmp_path: Path) -> None:
    text = data() + conv("c", "data", 3) + fc("a", "c", 4) + fc("b", "c", 4)
    text += layer("s", "Eltwise", "a b", params="eltwise_param { operation: SUM coeff: 1 coeff: -1 }")
    pair = written(text, tmp_path).text(lambda text: text.replace("coeff: -1", "coeff: -2"))
    found = pair.verify()
    assert ends(found) == [FAILS, FAILS, FAILS]
    assert fields(found) == [("s", "eltwise_param.coeff", "1.0 -1.0", "1.0 -2.0")]


def test_wires_crossed_keep_the_weights_and_lose_the_answers(tmp_path: Path) -> None:
    text = data() + conv("c", "data", 3) + fc("a", "c", 4) + fc("b", "c", 4)
    text += layer("s", "Eltwise", "a b", params="eltwise_param { operation: SUM coeff: 1 coeff: -1 }")
    pair = written(text, tmp_path)
    pair.text(lambda text: text.replace('bottom: "a-conv" bottom: "b-conv"', 'bottom: "b-conv" bottom: "a-conv"'))
    found = pair.verify()
    assert ends(found)[1:] == [FAILS, NOT_SHOWN]
    assert found.same_size is not None and found.same_size.failures[0] == "the converted net has no output for 's'"


@pytest.mark.thorough
@pytest.mark.parametrize("converted", [True, False])
def test_outputs_that_exchange_their_names(converted: bool, tmp_path: Path) -> None:
    """All is computed, and who asks for "age" gets "sex"; but a name that the original does not have does no harm."""
    text = data() + (fc if converted else conv)("age", "data", 3) + (fc if converted else conv)("sex", "data", 3)
    pair = written(text, tmp_path)
    ending = "-conv" if converted else ""
    others = {f'top: "age{ending}"': 'top: "sex"', f'top: "sex{ending}"': 'top: "age"'}
    pair.text(lambda text: re.sub("|".join(others), lambda found: others[found[0]], text))
    found = pair.verify()
    assert not found.holds and found.same_size is not None
    assert list(found.same_size.failures) == [
        "the output 'age' of the converted net matches 'sex' of the original",
        "the output 'sex' of the converted net matches 'age' of the original",
    ]
    pair.text(lambda text: text.replace('top: "age"', 'top: "years"'))
    assert not pair.verify().holds, "the name of one is still that of the other"
    assert pair.text(lambda text: text.replace('top: "sex"', 'top: "gender"')).verify().holds


def test_a_padding_changed_in_the_twin(tmp_path: Path) -> None:
    pair = written(SQUARE, tmp_path).text(lambda text: text.replace("pad: 1", "pad: 2", 1).replace("pad: 1", "pad: 0"))
    found = pair.verify()
    assert ends(found) == [FAILS, FAILS, DOES_NOT_APPLY], "at the nominal size every cell sees the changed borders"
    assert fields(found)[0] == ("one", "pad", "1×1", "2×2")


@pytest.mark.thorough
def test_a_difference_that_borders_do_not_explain(tmp_path: Path) -> None:
    """Over a single cell a padded kernel sees its centre alone, however far apart its other taps are."""
    text = data(shape="1 2 5 5") + conv("whole", "data", 3, kernel=5) + conv("around", "whole", 3, more="pad: 1")
    pair = written(text + fc("fc", "around", 4), tmp_path)
    found = pair.verify()
    assert found.holds and found.dense is not None
    assert found.dense.outputs[0].reasons == (Reason(Cause.PADS, "around"),)
    found = pair.text(lambda text: text.replace("pad: 1", "pad: 2 dilation: 2")).verify()
    assert ends(found) == [FAILS, HOLDS, DOES_NOT_APPLY], "its nominal map has no cell that does not see them"


@pytest.mark.thorough
def test_a_weight_changed_behind_padding(tmp_path: Path) -> None:
    """Crops differ by their borders, and the twin by more than that."""

    def double(layers: dict[str, Message]) -> None:
        blob = layers["fc-conv"].blobs[0]
        fill(blob, 2 * array(blob))

    text = data(shape="1 2 6 6") + conv("padded", "data", 3, more="pad: 1") + fc("fc", "padded", 4)
    found = written(text, tmp_path).blobs(double).verify()
    assert ends(found) == [FAILS, FAILS, FAILS] and found.dense is not None
    assert found.dense.outputs[0].explanation == "it differs by more than the borders explain"


def test_weights_of_another_net(tmp_path: Path, lenet: Pair) -> None:
    other = tmp_path / "other"
    other.mkdir()
    lenet.fcn_weights = case(GOLDEN / "conversions" / "rnet", other).fcn_weights
    found = lenet.verify()
    assert ends(found) == [FAILS, FAILS, NOT_SHOWN]
    assert found.weights_proof is not None and "are these the weights of another net" in found.weights_proof.failures[0]


@pytest.mark.thorough
def test_weights_that_caffe_would_not_load(lenet: Pair) -> None:
    """The values are right, in their order, but not the shape; which no engine but Caffe looks at."""

    def squeeze(layers: dict[str, Message]) -> None:
        layers["ip2-conv"].blobs[0].shape.dim[:] = [10, 32]

    found = lenet.blobs(squeeze).verify()
    assert ends(found) == [FAILS, HOLDS, HOLDS]
    assert failures(found) == ("layer 'ip2-conv', blob 0: expected 10×32×1×1, found 10×32, which Caffe refuses",)


def test_the_case_of_a_twin_with_weights_stored_the_other_way_round() -> None:
    models = []
    with ExitStack() as stack:
        for net, weights in (
            ("transposed_blob", "transposed_blob_ok"),
            ("transposed_blob_fcn", "transposed_blob_fcn_bad"),
        ):
            source, opened = open_inputs(str(CASES / f"{net}.prototxt"), str(CASES / f"{weights}.caffemodel"))
            assert opened is not None
            models.append(NetAndWeights(source, stack.enter_context(opened)))
        found = verify(models[0], models[1])
    assert ends(found) == [FAILS, FAILS, NOT_SHOWN]
    assert 'layer "fc-conv" (Convolution), blob 0: expected 6×8×6×6, found 8×6×6×6' in failures(found)[0]


def test_another_net_altogether(tmp_path: Path, lenet: Pair) -> None:
    other = tmp_path / "other"
    other.mkdir()
    rnet = case(GOLDEN / "conversions" / "rnet", other)
    lenet.fcn, lenet.fcn_weights = rnet.fcn, rnet.fcn_weights
    assert FAILS in ends(lenet.verify()) and not lenet.verify().holds


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(value: float, tmp_path: Path) -> None:
    net = schema.NetParameter.FromString((LENET / "net.caffemodel").read_bytes())
    next(layer for layer in net.layer if layer.name == "conv2").blobs[0].data[5] = value
    (tmp_path / "nan.caffemodel").write_bytes(net.SerializeToString())
    with pytest.raises(WeightsError, match=r'layer "conv2": expected numbers, found 1 value that is NaN or infinite'):
        Pair(LENET / "net.prototxt", tmp_path / "nan.caffemodel", tmp_path).verify()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_in_the_twin_alone_fail_with_their_place(tmp_path: Path, value: float) -> None:
    pair = Pair(LENET / "net.prototxt", LENET / "net.caffemodel", tmp_path)

    def diverge(held: dict[str, Message]) -> None:
        held["conv2"].blobs[0].data[3] = value

    found = pair.blobs(diverge).verify()
    assert ends(found) == [FAILS, FAILS, NOT_SHOWN] and found.same_size is not None and found.dense is not None
    (told,) = failures(found)
    assert told == "layer 'conv2', blob 0: 1 of 1,800 values differ from the original, 1 by NaN or infinity"
    for told in (found.same_size.failures[0], found.dense.not_shown):
        assert 'layer "conv2", blob 0: expected numbers, found NaN or infinity' in told and "BatchNorm" not in told


def test_nets_with_little_in_common_are_not_taken_for_made_of_each_other(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    stem = conv("c1", "data", 4) + layer("relu", "ReLU", "c1", "c1")
    first = written(data() + stem + fc("fc", "c1", 3) + fc("fc2", "fc", 3) + layer("prob", "Softmax", "fc2"), one)
    text = data(shape="1 3 19 19") + conv("c1", "data", 4) + "".join(conv(f"d{n}", f"d{n - 1}", 5) for n in range(1, 7))
    second = written(text.replace('"d0"', '"c1"'), other)
    first.fcn, first.fcn_weights, second.fcn, second.fcn_weights = second.net, second.weights, first.net, first.weights
    told = "the nets have little in common: 1 of the 5 layers of the original has a counterpart in the new net"
    assert first.verify().notes == (told,)
    assert first.verify(VerifySettings(bisect=True)).notes == (told,)
    assert second.verify().notes == (told.replace("5", "7"),), "the nets are not swapped"
