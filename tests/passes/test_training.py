"""The net that trains a net of scores, and its solver."""

from __future__ import annotations

import os
from typing import Literal

import pytest

from caffe_fcn import schema
from caffe_fcn.errors import SurgeryError
from caffe_fcn.files import prototxt
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import meet
from caffe_fcn.model.passing import Claim
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems import examine
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.training import training
from caffe_fcn.passes.training.files import frozen, training_files
from caffe_fcn.passes.training.solver import Task, solver_text
from caffe_fcn.passes.training_options import TrainOptions
from tests.passes.nets import conv, data, layer, model_of

NET = "# the net\n" + data("data", "1 3 4 5") + conv("score", "data", 5, 1)
FIELDS = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 5\n' + conv("score", "data", 5, 1)
KINDS = ("imagedata", "lmdb", "keep")


def trained(text: str, **options: object) -> Model:
    return training(model_of(text), TrainOptions(**options)).model  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [NET, FIELDS], ids=["layer", "fields"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_phases_are_nets_that_caffe_builds(kind: str, text: str) -> None:
    made = trained(text, data=kind)
    assert not examine(bytes(made.document), "net.prototxt").problems
    size = (1, 3, 4, 5)
    given: dict[str, tuple[int, ...]] = {} if kind == "keep" else {"data": size, "label": (1, 1, *size[2:])}
    for phase in ("TRAIN", "TEST"):
        model = meet(interpret(made.document), None, Selection(phase=phase, shapes=given))
        shapes = {blob.name: shape for blob, shape in model.shapes[phase].blobs.items()}
        assert shapes["data"] == size
        assert shapes["score"] == (1, 5, *size[2:]) and shapes["label"] == (1, 1, *size[2:])
        assert shapes["loss"] == () and ("accuracy" in shapes) == (phase == "TEST")
        assert not model.notes
    assert str(made.document.text).startswith("# the net") == (text == NET)


def test_lists_are_read_in_step() -> None:
    layers = [each for each in trained(NET).net.layer if each.type == "ImageData"]
    assert [each.top[0] for each in layers] == ["data", "label", "data", "label"]
    assert [each.include[0].phase for each in layers] == [0, 0, 1, 1]
    params = [each.image_data_param for each in layers]
    assert not any(each.shuffle for each in params) and {each.batch_size for each in params} == {1}
    assert [each.is_color for each in params] == [True, False, True, False]
    assert len({each.source for each in params}) == 4


def test_grey_pictures_are_read_as_grey() -> None:
    text = data("data", "1 1 4 4")
    layers = [each for each in trained(text + conv("score", "data", 5, 1)).net.layer if each.type == "ImageData"]
    assert not any(each.image_data_param.is_color for each in layers)


def test_lists_of_pictures_have_one_or_three_channels() -> None:
    text = data("data", "1 2 4 4") + conv("score", "data", 5, 1)
    with pytest.raises(SurgeryError, match="1 or 3 channels, but the net takes 2; use data='lmdb'"):
        trained(text)
    trained(text, data="lmdb")


def test_databases_are_those_of_digits() -> None:
    layers = [each for each in trained(NET, data="lmdb").net.layer if each.type == "Data"]
    assert [list(each.top) for each in layers] == [["data"], ["label"]] * 2
    lmdb = schema.enum_number("DataParameter", "DB", "LMDB")
    assert {each.data_param.backend for each in layers} == {lmdb} and len(
        {each.data_param.source for each in layers}
    ) == 4


@pytest.mark.parametrize("normalize", [False, True])
def test_the_loss_ignores_255(normalize: bool) -> None:
    layers = {each.name: each for each in trained(NET, normalize=normalize).net.layer}
    assert list(layers["loss"].bottom) == list(layers["accuracy"].bottom) == ["score", "label"]
    assert layers["loss"].loss_param.ignore_label == layers["accuracy"].accuracy_param.ignore_label == 255
    assert layers["loss"].loss_param.normalize is normalize


def test_names_that_are_taken() -> None:
    names = [each.name for each in trained(NET.replace('"score"', '"loss"')).net.layer]
    assert names[-3:] == ["loss", "loss_2", "accuracy"]


def test_weights_are_the_same_bits() -> None:
    made = training(model_of(NET), TrainOptions())
    assert made.claim is Claim.SAME_BITS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (NET + conv("other", "data", 3, 1), "found score, other"),
        (NET + layer("p", "Pooling", "score", "p", "pooling_param { global_pooling: true }")
         + layer("f", "Flatten", "p", "f"), "found f"),
    ],
)  # fmt: skip
def test_other_outputs_are_refused(text: str, found: str) -> None:
    with pytest.raises(SurgeryError, match=f"one output .* {found}"):
        trained(text)


def test_pictures_and_more_are_refused() -> None:
    text = (
        data()
        + data("more")
        + layer("sum", "Eltwise", "data", "sum").replace('bottom: "data"', 'bottom: "data" bottom: "more"')
    )
    with pytest.raises(SurgeryError, match=r"expected one input of pictures, found data, more; .*data='keep'"):
        trained(text)
    assert trained(text, data="keep").net.layer[-1].name == "accuracy"


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (layer("prob", "Softmax", "score", "prob"), "probabilities of a Softmax in 'prob'"),
        (layer("p", "Pooling", "score", "p", "pooling_param { kernel_size: 2 }"), "a map of 3×4 cells in 'p'"),
    ],
)
def test_what_is_no_score_for_each_pixel_is_refused(more: str, found: str) -> None:
    with pytest.raises(SurgeryError, match=f"needs scores for each pixel; found {found}; .*Net.segment"):
        trained(NET + more)


DATA = (
    'layer {{ name: "data" type: "Data" top: "data" top: "label" {} data_param {{ source: "a" batch_size: 2 }} }}\n'
    + conv("score", "data", 5, 1).replace("{", "{{").replace("}", "}}")
)
GIVEN = Selection(shapes={"data": (2, 3, 4, 5), "label": (2,)})


def model_of_data(transform: str = "") -> Model:
    return meet(interpret(prototxt.parse(DATA.format(transform), "net.prototxt")), None, GIVEN)


@pytest.mark.parametrize("kind", ["imagedata", "lmdb"])
def test_means_and_scale_of_the_old_net_are_kept(kind: Literal["imagedata", "lmdb"]) -> None:
    transform = "transform_param { mean_value: 7 mean_value: 8 mean_value: 9 scale: 0.5 crop_size: 4 mirror: true }"
    made = training(model_of_data(transform), TrainOptions(data=kind)).model
    found = {(*each.top[:1],): each.transform_param for each in made.net.layer if each.HasField("transform_param")}
    assert found.keys() == {("data",)}  # labels have none
    kept = found["data",]
    assert (list(kept.mean_value), kept.scale) == ([7, 8, 9], 0.5)
    assert not kept.HasField("crop_size") and not kept.HasField("mirror")  # labels would not follow


def test_a_mean_image_is_named() -> None:
    made = training(model_of_data('transform_param { mean_file: "m.binaryproto" }'), TrainOptions()).model
    assert "# The old net subtracted the mean image m.binaryproto," in str(made.document.text)
    assert not any(each.HasField("transform_param") for each in made.net.layer)


def test_labels_of_whole_pictures_are_refused() -> None:
    with pytest.raises(SurgeryError, match=r"'label', which are not labels for each pixel; `Net.deploy"):
        training(model_of_data(), TrainOptions(data="keep"))


def test_layers_that_do_not_learn_are_named() -> None:
    text = NET.replace('type: "Convolution"', 'type: "Convolution" param { lr_mult: 0 } param { lr_mult: 0 }')
    paths = {"train_val": "train_val.prototxt", "solver": "solver.prototxt"}
    for net, names in ((NET, ()), (text, ("score",))):
        solver = training_files(model_of(net), paths, None, TrainOptions())["solver.prototxt"].decode()
        assert ("lr_mult: 0: score" in solver) == bool(names) and frozen(model_of(net).graph) == names


# ---- The solver ----


@pytest.mark.parametrize(
    ("skips", "normalize", "size", "rate"),
    [
        (0, False, None, 1e-10),
        (1, False, None, 1e-12),
        (2, False, None, 1e-14),
        (0, True, None, 2.5e-5),
        (0, False, (20, 20), 6.25e-8),
    ],
)
def test_rates(skips: int, normalize: bool, size: tuple[int, int] | None, rate: float) -> None:
    """Those of the published voc-fcn32s, 16s and 8s, and what follows for a mean and for other sizes."""
    task = Task("out/train_val.prototxt", "out/net.caffemodel", size, skips)
    solver = schema.SolverParameter()
    text = solver_text(os.path.join("out", "solver.prototxt"), task, TrainOptions(normalize=normalize))
    from google.protobuf import text_format

    text_format.Parse(text, solver)
    assert solver.base_lr == pytest.approx(rate, rel=1e-3)
    assert (solver.momentum, solver.iter_size, solver.lr_policy) == (pytest.approx(0.99), 1, "fixed")
    assert solver.weight_decay == pytest.approx(0.0005) and solver.net == "train_val.prototxt"
    assert examine(text.encode(), "solver.prototxt").kind == "solver"
    assert not examine(text.encode(), "solver.prototxt").problems


def test_names_of_files_stay_in_their_strings() -> None:
    task = Task('a"b\nbase_lr: 1/train.prototxt', 'w"\nx', None)
    text = solver_text("solver.prototxt", task, TrainOptions())
    read = prototxt.parse(text.encode(), "solver.prototxt")
    assert [field.name for field in read.root.fields].count("base_lr") == 1
