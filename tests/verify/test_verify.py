"""Verification: what is a twin passes all three proofs, and what is none fails the right one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.engines.protocol import Session, ShapedNet
from caffe_fcn.errors import EngineError, PictureError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.options import Selection
from caffe_fcn.passes.conversion import Settings
from caffe_fcn.passes.convolutionalize import Options as ConvertOptions
from caffe_fcn.passes.convolutionalize.naming import Naming, parse_rule
from caffe_fcn.report import verify as verification
from caffe_fcn.verify.settings import VerifySettings
from tests.passes.nets import conv, data, fc, layer
from tests.paths import GOLDEN, ROOT, SHARED_MODELS
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

CASES = sorted(path for path in (GOLDEN / "conversions").iterdir() if path.is_dir())
MODELS = [SHARED_MODELS / name for name in ("det2", "det3")]
LENET = GOLDEN / "conversions" / "lenet"
VARIANTS = sorted((LENET / "variants").glob("*.caffemodel"))
PADS = {"c3d", "caffenet", "resnet", "rnet", "vgg", "det2", "det3"}
"""The cases whose maps have borders of another kind than a crop."""


# ---- What is a twin ----


@pytest.mark.thorough
@pytest.mark.parametrize("folder", CASES + MODELS, ids=lambda path: path.name)
def test_converted_classifiers_are_proven(folder: Path, tmp_path: Path) -> None:
    if not folder.exists():
        pytest.skip(f"{folder.name} is not here: the shared models lie beside the checkout")
    found = case(folder, tmp_path).verify()
    assert found.holds, found
    assert found.dense is not None and found.dense.sampled == 16
    for each in found.dense.outputs:
        assert bool(each.reasons) == (folder.name in PADS)
        assert each.crops is not None and (each.features is not None) == (folder.name in PADS)
        if folder.name in PADS:
            assert each.crops.relative > 1e-3, "crops have borders, and that must show"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "head",
    [
        layer("f", "Flatten", "c") + layer("r", "ReLU", "f") + layer("out", "Power", "r") + fc("fc", "r", 5),
        fc("fc", "c", 5) + layer("best", "ArgMax", "fc", params="argmax_param { top_k: 2 }"),
        layer("t", "Permute", "c", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
        + layer("twice", "Tile", "t", params="tile_param { axis: 3 tiles: 2 }")
        + layer("cut", "Slice", "twice", "a b", "slice_param { axis: -1 slice_point: 3 }")
        + layer("p", "Softmax", "a", params="softmax_param { axis: -1 }")
        + fc("fc", "p", 5)
        + fc("other", "b", 3),
    ],
    ids=["flattened map", "argmax", "turned map"],
)
def test_outputs_and_columns_are_compared_whatever_axes_they_have(head: str, tmp_path: Path) -> None:
    pair = written(data(shape="1 3 7 8") + conv("c", "data", 4) + head, tmp_path)
    assert ends(pair.verify()) == [HOLDS] * 3


def test_values_that_come_several_times_are_told_apart(tmp_path: Path) -> None:
    text = data(shape="1 3 7 8") + conv("c", "data", 4) + layer("both", "Concat", "c c")
    text += layer("twice", "Tile", "both", params="tile_param { axis: 2 tiles: 2 }")
    text += layer("t", "Permute", "twice", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
    assert ends(written(text + fc("fc", "t", 5), tmp_path).verify())[:2] == [HOLDS] * 2


@pytest.mark.thorough
def test_the_bundled_model_is_proven(tmp_path: Path) -> None:
    digits = ROOT / "models" / "digits"
    found = Pair(digits / "digits.prototxt", digits / "digits.caffemodel", tmp_path).verify()
    assert found.holds


@pytest.mark.thorough
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
def test_weights_of_every_encoding(variant: Path, tmp_path: Path) -> None:
    assert Pair(LENET / "net.prototxt", variant, tmp_path).verify().holds


@pytest.mark.thorough
@pytest.mark.parametrize("naming", [Naming(""), Naming("", (parse_rule(r"(ip|conv)(.)=\2\1"),))], ids=["kept", "rules"])
def test_names_do_not_matter(naming: Naming, tmp_path: Path) -> None:
    pair = Pair(LENET / "net.prototxt", LENET / "net.caffemodel", tmp_path, Settings(ConvertOptions(naming)))
    assert pair.verify().holds


@pytest.mark.thorough
def test_not_even_names_that_change_places(tmp_path: Path) -> None:
    text = data() + conv("c", "data", 3) + fc("a", "c", 4) + layer("relu", "ReLU", "a", "a") + fc("b", "a", 4)
    naming = Naming("", (parse_rule("a=b"), parse_rule("b=a")))
    assert written(text, tmp_path, Settings(ConvertOptions(naming))).verify().holds


@pytest.mark.thorough
def test_a_twin_written_for_a_larger_input(tmp_path: Path) -> None:
    settings = Settings(input_size=(60, 64))
    found = Pair(LENET / "net.prototxt", LENET / "net.caffemodel", tmp_path, settings).verify()
    assert found.holds and found.same_size is not None and found.same_size.inputs == {"data": (1, 1, 28, 28)}


@pytest.mark.thorough
def test_columns_in_another_order_are_followed(tmp_path: Path) -> None:
    found = written(CHANNELS_LAST, tmp_path).verify()
    assert found.holds and found.weights_proof is not None and found.weights_proof.reordered == ("fc",)


@pytest.mark.thorough
def test_branches_that_are_alike_go_by_their_order(tmp_path: Path) -> None:
    text = data() + conv("c", "data", 3) + fc("a", "c", 4) + fc("b", "c", 4) + layer("s", "Eltwise", "a b")
    assert written(text, tmp_path).verify().holds


@pytest.mark.thorough
def test_layers_of_the_weights_that_the_net_lacks_are_compared(tmp_path: Path) -> None:
    net = schema.NetParameter.FromString((LENET / "net.caffemodel").read_bytes())
    net.layer.add(name="aux").blobs.add(data=[1, 2], shape={"dim": [2]})
    (tmp_path / "more.caffemodel").write_bytes(net.SerializeToString())
    pair = Pair(LENET / "net.prototxt", tmp_path / "more.caffemodel", tmp_path)
    found = pair.verify()
    assert found.holds and found.weights_proof is not None and found.weights_proof.foreign == ("aux",)
    pair.blobs(lambda layers: layers["aux"].blobs[0].data.__setitem__(0, 3))
    assert "'aux'" in failures(pair.verify())[0]


@pytest.mark.thorough
def test_a_training_net_is_looked_at_in_both_phases(tmp_path: Path) -> None:
    text = (
        data(shape="1 2 6 6")
        + conv("c", "data", 3)
        + fc("aux", "c", 4, params="include { phase: TRAIN }")
        + layer("drop", "Silence", "aux", "", "include { phase: TRAIN }")
        + fc("fc", "c", 5)
    )
    (tmp_path / "net.prototxt").write_text(text)
    net = schema.NetParameter()
    for name, shapes in {"c": [(3, 2, 3, 3), (3,)], "aux": [(4, 48), (4,)], "fc": [(5, 48), (5,)]}.items():
        made = net.layer.add(name=name)
        for shape in shapes:
            values = np.random.default_rng(len(name)).normal(size=shape).ravel()
            made.blobs.add(data=values, shape={"dim": shape})
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    pair = Pair(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", tmp_path)
    found = pair.verify()
    assert found.holds and found.weights_proof is not None and found.weights_proof.layers == 3
    pair.blobs(lambda layers: change_one(layers["aux-conv"].blobs[0]))
    assert ends(pair.verify()) == [FAILS, HOLDS, HOLDS]
    assert pair.verify(selection=Selection("TEST")).weights_proof is not None


@pytest.mark.thorough
def test_weights_in_hdf5(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="h5py is not installed: pip install 'caffe-fcn[hdf5]'")
    pair = Pair(LENET / "net.prototxt", LENET / "net.caffemodel", tmp_path, weights="fcn.caffemodel.h5")
    assert pair.verify().holds
    again = Pair(
        LENET / "net.prototxt", LENET / "net.caffemodel", tmp_path, Settings(input_size=(40, 40)), weights="b.h5"
    )
    pair.net, pair.weights = again.fcn, again.fcn_weights
    (tmp_path / "twice").mkdir()
    assert Pair(pair.net, pair.weights, tmp_path / "twice").verify().holds


SHARED = (
    data("left")
    + data("right")
    + fc("a", "left", 4, params='param { name: "w" } param { name: "b" }')
    + fc("z", "right", 4, params='param { name: "w" } param { name: "b" }')
)


@pytest.mark.parametrize("weights", ["fcn.caffemodel", "fcn.h5"])
def test_layers_that_share_their_weights(weights: str, tmp_path: Path) -> None:
    """In HDF5 the second layer has no blobs of its own."""
    pair = written(SHARED, tmp_path, weights=weights)
    net = schema.NetParameter.FromString(pair.weights.read_bytes())
    second = next(layer for layer in net.layer if layer.name == "z")
    first = next(layer for layer in net.layer if layer.name == "a")
    del second.blobs[:]
    second.blobs.extend(first.blobs)
    pair.weights.write_bytes(net.SerializeToString())
    pair = Pair(pair.net, pair.weights, tmp_path / "again", weights=weights)
    assert ends(pair.verify()) == [HOLDS, HOLDS, DOES_NOT_APPLY]


@pytest.mark.thorough
def test_layers_that_do_nothing_may_come_and_go(tmp_path: Path) -> None:
    """As in deploy nets made by hand, which leave out what the training needs."""
    drop = layer("drop", "Dropout", "fc", "fc")
    pair = written(data() + conv("c", "data", 3) + fc("fc", "c", 4) + drop + fc("fc2", "fc", 5), tmp_path)
    line = next(line for line in pair.fcn.read_text().splitlines() if '"Dropout"' in line)
    assert pair.text(lambda text: text.replace(line, "")).verify().holds
    again = line.replace('"fc-conv"', '"fc2-conv"')
    assert again != line
    assert pair.text(lambda text: text + again).verify().holds


@pytest.mark.thorough
def test_outputs_that_are_the_same_are_all_paired(tmp_path: Path) -> None:
    split = 'layer { name: "split" type: "Split" bottom: "fc" top: "one" top: "two" }'
    found = written(data() + conv("c", "data", 3) + fc("fc", "c", 4) + split, tmp_path).verify()
    assert found.holds and found.same_size is not None
    assert [each.output.name for each in found.same_size.outputs] == ["one", "two"]


# ---- What cannot be shown ----


@pytest.mark.filterwarnings("ignore:invalid value")
def test_answers_that_are_no_numbers(tmp_path: Path) -> None:
    """The logarithm of what may be negative: two nets agree on NaN, and that says nothing."""
    found = written(data() + conv("c", "data", 3) + fc("fc", "c", 4) + layer("log", "Log", "fc"), tmp_path).verify()
    assert ends(found) == [HOLDS, NOT_SHOWN, NOT_SHOWN] and not found.holds
    for proof in (found.same_size, found.dense):
        assert proof is not None and "output 'log': expected numbers, found NaN or infinity" in proof.not_shown


def test_a_net_that_the_engine_does_not_run(tmp_path: Path) -> None:
    pair = written(data() + conv("c", "data", 3) + fc("fc", "c", 4), tmp_path)
    assert ends(pair.verify(VerifySettings(engine=Unwilling()))) == [HOLDS, NOT_SHOWN, NOT_SHOWN]


@pytest.mark.thorough
def test_what_differs_is_run_where_the_rest_cannot_be(tmp_path: Path) -> None:
    """The layers before the classifier are the same in both nets."""
    text = (
        data()
        + conv("c", "data", 4)
        + layer("s", "Pooling", "c", params="pooling_param { pool: STOCHASTIC kernel_size: 2 }")
    )
    pair = written(text + fc("fc", "s", 5) + fc("ip", "fc", 3), tmp_path)
    found = pair.verify()
    assert found.holds and ends(found) == [HOLDS, HOLDS, HOLDS], found
    assert found.same_size is not None and found.same_size.inputs == {"s": (1, 4, 5, 7)}
    assert found.notes[-1] == "compared from 's' on; before it, both nets are the same"
    pair.blobs(lambda layers: change_one(layers["ip-conv"].blobs[0]))
    assert ends(pair.verify()) == [FAILS, FAILS, FAILS]
    pair.text(lambda text: text.replace("pool: STOCHASTIC", "pool: STOCHASTIC stride: 1"))
    pair.text(lambda text: text.replace("num_output: 4 kernel_size: 3", "num_output: 4 kernel_size: 3 dilation: 1"))
    assert ends(pair.verify()) == [FAILS, FAILS, FAILS]


STOCHASTIC = layer("s", "Pooling", "c", params="pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }")
CUT = layer("s", "Crop", "c data")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("before", "there", "instead"),
    [
        (conv("c", "data", 3), STOCHASTIC, ("STOCHASTIC", "MAX")),
        (conv("c", "data", 3, more="pad: 1"), STOCHASTIC, ("STOCHASTIC", "MAX")),
        (conv("c", "data", 3, more="stride: 2"), STOCHASTIC, ("STOCHASTIC", "MAX")),
        (conv("c", "data", 3, more="pad: 4"), CUT, ('top: "s"', 'top: "s" crop_param { offset: 3 }')),
    ],
)
def test_exactness_is_told_of_the_whole_net(before: str, there: str, instead: tuple[str, str], tmp_path: Path) -> None:
    """Where the nets are compared from a later blob on, for a layer that no engine runs or a Crop on which nobody
    decided: the same as where that layer is another, and nothing is in the way."""
    told = []
    for number, text in enumerate((there, there.replace(*instead))):
        (out := tmp_path / str(number)).mkdir()
        found = written(data() + before + text + fc("fc", "s", 5) + fc("ip", "fc", 3), out).verify()
        assert ends(found) == [HOLDS, HOLDS, HOLDS], found
        assert any(note.startswith("compared from 's' on") for note in found.notes) == (not number)
        assert found.dense is not None
        (each,) = found.dense.outputs
        told.append((set(each.inexact), each.window, each.stride))
        lines = "\n".join(verification.lines(found))
        assert ("exact everywhere" in lines) == (not each.inexact), lines
        assert number or ("from s on everywhere: off by" in lines) == bool(each.inexact), lines
    assert told[0] == told[1]


class Unwilling:
    """An engine that runs nothing."""

    name = "unwilling"

    def load(self, net: ShapedNet, weights: WeightFile, *, outputs: Sequence[str] = ()) -> Session:
        raise EngineError("it does not run nets today")


# ---- What the user decides ----


@pytest.fixture
def lenet(tmp_path: Path) -> Pair:
    return case(LENET, tmp_path)


@pytest.mark.thorough
def test_pictures_are_compared_as_well(lenet: Pair) -> None:
    picture = np.random.default_rng(3).random((28, 28), dtype=np.float32)
    found = lenet.verify(VerifySettings(pictures=(picture, np.stack([picture[None]] * 2))))
    assert found.holds and found.same_size is not None
    assert (found.same_size.samples, found.same_size.given) == (8, 3)
    assert found.same_size.outputs[0].difference is not None
    assert found.same_size.outputs[0].difference.cells == 11


def test_a_picture_of_another_size(lenet: Pair) -> None:
    with pytest.raises(PictureError, match="expected pictures of 1×28×28, found one of 1×30×28; resize it"):
        lenet.verify(VerifySettings(pictures=(np.zeros((1, 30, 28), np.float32),)))


@pytest.mark.thorough
def test_a_tolerance_takes_the_place_of_the_derived_one(lenet: Pair) -> None:
    found = lenet.verify(VerifySettings(tolerance=0.0))
    assert ends(found) == [HOLDS, FAILS, FAILS] and found.tolerance == 0.0
    assert found.same_size is not None and found.dense is not None
    told = [each.failure for each in found.same_size.outputs] + [each.explanation for each in found.dense.outputs]
    assert told and all(each.endswith("by more than `tolerance` allows") for each in told)
    assert lenet.verify(VerifySettings(tolerance=1e-4)).holds


@pytest.mark.thorough
def test_the_derived_tolerance_is_tight(lenet: Pair) -> None:
    """A ten-thousandth of one kernel is more than rounding."""
    lenet.blobs(
        lambda layers: fill(layers["ip2-conv"].blobs[0], array(layers["ip2-conv"].blobs[0]) * np.float32(1.0001))
    )
    assert ends(lenet.verify()) == [FAILS, FAILS, FAILS]


@pytest.mark.thorough
def test_the_same_seed_gives_the_same_numbers(lenet: Pair) -> None:
    one, two = (lenet.verify(VerifySettings(seed=5, samples=3, windows=7)) for _ in range(2))
    assert one == two and one.dense is not None and one.dense.sampled == 7
    assert lenet.verify(VerifySettings(seed=6, samples=3, windows=7)).same_size != one.same_size


def test_single_proofs(lenet: Pair) -> None:
    found = lenet.verify(VerifySettings(proofs=("weights",)))
    assert found.holds and list(found.statuses) == ["weights"]


@pytest.mark.thorough
def test_answers_that_are_always_the_same_prove_nothing(tmp_path: Path) -> None:
    pair = written(data() + conv("c", "data", 4) + fc("fc", "c", 1) + layer("prob", "Softmax", "fc"), tmp_path)
    found = pair.verify()
    assert ends(found) == [HOLDS, HOLDS, NOT_SHOWN] and found.dense is not None
    assert found.dense.outputs[0].explanation.startswith("the answers are the same in all windows")


def test_the_larger_input_is_not_square(tmp_path: Path) -> None:
    """On a square one, rows taken for columns would not show."""
    found = case(LENET, tmp_path).verify(VerifySettings(proofs=("dense",)))
    assert found.dense is not None
    assert (found.dense.input, found.dense.step, found.dense.windows) == ((1, 1, 40, 44), (4, 4), 20)
