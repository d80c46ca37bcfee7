"""What an inspection finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.errors import CaffeFcnError, NetError, ShapeError, SurgeryError, WeightsError
from caffe_fcn.inspection.records import InspectSettings
from caffe_fcn.net.options import Selection
from tests.cli.conftest import trained
from tests.files.encodings import bytes_field
from tests.net.nets import data, layer
from tests.paths import GOLDEN, ROOT, SHARED_MODELS
from tests.report.inspections import CONV, FC, LENET, MODELS, NET, Bench, net_inside, shown

# ---- The net ----


def test_what_comes_into_the_net(bench: Bench) -> None:
    text = data(2, 3, 8, 8) + data(2, name="label") + layer("Parameter", "parameter_param { shape { dim: 7 } }", "")
    found = bench.text('name: "small"\n' + text)
    assert (found.name, found.format, found.phase) == ("small", "V2", "TEST")
    assert found.inputs == {"data": (2, 3, 8, 8), "label": (2,)}
    assert found.batch == 2


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        (data(2, 3, 8, 8) + data(5, 4, name="rois"), 2),
        (data(2, 3, 8, 8) + data(3, 3, 8, 8, name="pair"), None),
        (data(7, 4), 7),
        (layer("Input", "", "", "data"), None),
        (
            data(5, 2, 4, name="x") + data(5, 2, name="c") + layer("LSTM", "recurrent_param { num_output: 3 }", "x c"),
            None,
        ),
    ],
)
def test_the_batch_is_that_of_the_images(bench: Bench, text: str, batch: int | None) -> None:
    assert bench.text(text).batch == batch


def test_legacy_input_fields_are_a_layer(bench: Bench) -> None:
    found = bench.files(GOLDEN / "layers" / "legacy_input_dim" / "net.prototxt")
    assert (found.layers[0].name, found.layers[0].type) == ("input", "Input")
    assert found.inputs == {"data": (2, 3, 8, 8)}


@pytest.mark.parametrize(("name", "form"), [("v0.in", "V0"), ("v1.in", "V1")])
def test_nets_of_old_formats(bench: Bench, name: str, form: str) -> None:
    found = bench.files(ROOT / "tests" / "files" / "documents" / f"{name}.prototxt")
    assert found.format == form
    assert f"old format {form}" in shown(found)


TRAIN_ONLY = layer("Input", "include { phase: TRAIN } input_param { shape { dim: 2 dim: 3 } }", "", "data", "in")


def test_the_phase_is_test_or_what_can_be_built(bench: Bench) -> None:
    both = data(2, 3) + layer("Dropout", "include { phase: TRAIN }")
    assert [each.name for each in bench.text(both).layers] == ["data"]
    asked = bench.text(both, selection=Selection(phase="TRAIN"))
    assert ([each.name for each in asked.layers], asked.phase) == (["data", "layer"], "TRAIN")
    found = bench.text(TRAIN_ONLY + layer("InnerProduct", FC))
    assert found.phase == "TRAIN"
    assert "shown in phase TRAIN, because the file has no net in phase TEST" in found.notes


def test_geometry_is_of_the_first_top_that_is_a_map(bench: Bench) -> None:
    text = data(1, 4, 8, 8) + layer("Slice", "", "data", "a b", "cut") + layer("Flatten", "", "a", "c", "flat")
    cut, flat = bench.text(text, geometry=True).layers[1:]
    assert cut.geometry is not None and cut.geometry.window == (1, 1)
    assert flat.geometry is None
    assert bench.text(text).layers[1].geometry is None


def test_layers_asked_for(bench: Bench) -> None:
    found = bench.files(MODELS / "alexnet.prototxt", None, InspectSettings(layers=("fc[67]", "conv1")))
    assert [each.name for each in found.layers] == ["conv1", "fc6", "fc7"]
    assert found.selected is not None and found.totals is not None
    assert found.selected.parameters == 34_944 + 37_752_832 + 16_781_312
    assert found.totals.parameters == 60_965_224
    with pytest.raises(
        CaffeFcnError, match=r"alexnet\.prototxt: no layer has the name 'FC\*'; expected one of: data, conv1,"
    ):
        bench.files(MODELS / "alexnet.prototxt", None, InspectSettings(layers=("fc*", "FC*")))


def test_groups_are_of_names_that_begin_alike(bench: Bench) -> None:
    names = ["a/one", "b/one", "a/two", "rest", "/odd"]
    text = data(1, 3) + "".join(layer("InnerProduct", FC, "data", name, name) for name in names)
    found = bench.text(text)
    assert [(group.prefix, group.total.layers, group.total.parameters) for group in found.groups] == [
        ("a", 2, 40),
        ("b", 1, 20),
        ("", 1, 20),
        (None, 2, 20),
    ]
    assert bench.text(text.replace("a/two", "c/two")).groups == ()


# ---- Another input size ----


def test_another_input_size(bench: Bench) -> None:
    text = data(2, 3, 8, 8) + data(2, name="label") + layer("Convolution", CONV)
    found = bench.text(text, input_size=(10, 12))
    assert found.inputs == {"data": (2, 3, 10, 12), "label": (2,)}
    assert found.layers[-1].tops[0].shape == (2, 4, 8, 10)
    assert found.layers[-1].cost.macs == 2 * 4 * 80 * 27


@pytest.mark.parametrize(
    ("text", "size", "told"),
    [
        (
            data(1, 3, 8, 8) + layer("InnerProduct", FC),
            (9, 9),
            "does not suit the net: layer 'layer' (InnerProduct) would need parameters of 5×243, but has 5×192",
        ),
        (data(1, 3, 8, 8) + layer("Convolution", CONV), (2, 2), 'does not suit the net: layer "layer" (Convolution): '),
        (data(1, 3), (9, 9), "no input of the net is known to have 2 spatial axes"),
        (data(1, 3, 8, 8), (9, 9, 9), "no input of the net is known to have 3 spatial axes"),
        (layer("Input", "", "", "data"), (9, 9), "give its shape with `shapes`"),
        (data(1, 3, 8, 8) + data(1, 3, 6, 6, name="other"), (9, 9), "'data' 8x8, 'other' 6x6; edit the file"),
    ],
)
def test_an_input_size_that_the_net_does_not_take(bench: Bench, text: str, size: tuple[int, ...], told: str) -> None:
    with pytest.raises(SurgeryError) as error:
        bench.text(text, input_size=size)
    assert f"net.prototxt: input_size={size}" in str(error.value)
    assert told in str(error.value)


def test_what_a_layer_has_learned_is_not_resized(bench: Bench) -> None:
    text = data(1, 3, 8, 8) + layer("Parameter", "parameter_param { shape { dim: 1 dim: 3 dim: 5 dim: 5 } }", "")
    found = bench.text(text, input_size=(9, 9))
    assert found.layers[1].tops[0].shape == (1, 3, 5, 5)


# ---- What is not known ----


def test_the_cause_of_what_is_not_known_and_the_option_that_tells_it(bench: Bench) -> None:
    text = layer("HDF5Data", "", "", "data label", "h5") + layer("InnerProduct", FC) + layer("Riddle", "", "out", "r")
    found = bench.text(text)
    assert found.inputs == {"data": None, "label": None}
    assert found.notes == (
        "layer types that BVLC Caffe does not have: Riddle",
        "layer 'h5' does not define the shape of 'data': its shape is in an HDF5 file, not in the net; "
        "give it with shapes={'data': (N, C, H, W)}",
        "layer 'h5' does not define the shape of 'label': its shape is in an HDF5 file, not in the net; "
        "give it with shapes={'label': (N, C, H, W)}",
        "layer 'layer' does not define the shape of 'r': unknown layer type \"Riddle\"; "
        "give it with shapes={'r': (N, C, H, W)}",
    )
    assert found.totals is not None
    assert found.totals[-3:] == (2, 2, 3)


def test_what_is_told_is_known(bench: Bench) -> None:
    text = layer("HDF5Data", "", "", "data", "h5") + layer("InnerProduct", FC)
    found = bench.text(text, selection=Selection(shapes={"data": (1, 3)}))
    assert found.notes == ()
    assert found.totals is not None and found.totals.parameters == 20


def test_many_unknown_shapes_are_not_all_told(bench: Bench) -> None:
    text = data(1, 3) + "".join(layer("Riddle", "", "data", f"r{index}", f"r{index}") for index in range(20))
    notes = bench.text(text).notes
    assert len(notes) == 8
    assert notes[-1] == "14 more shapes are not defined by their layers"


def test_a_net_that_cannot_be(bench: Bench) -> None:
    with pytest.raises(NetError, match=r"net\.prototxt: .*nowhere"):
        bench.text(data(1, 3) + layer("ReLU", "", "nowhere"))
    with pytest.raises(ShapeError, match=r"net\.prototxt: layer \"layer\""):
        bench.text(data(1, 3) + layer("LRN", ""))
    with pytest.raises(ShapeError, match=r"net\.prototxt: 'data' is 1×3 in the file"):
        bench.text(data(1, 3), selection=Selection(shapes={"data": (1, 4)}))


# ---- Weights ----


def test_weights_beside_the_net(bench: Bench) -> None:
    weights = trained(("a", "InnerProduct", [(5, 3), (5,)]), ("old", "InnerProduct", [(2,)]), ("x", "ReLU", []))
    found = bench.text(NET, weights).weights
    assert found is not None
    assert found[1:] == ("V2", len(weights), ("float32",), 2, 2, ("b",), ("old",))
    assert "for 1 of 2 layers with parameters; missing: b; not in the net: old" in shown(bench.text(NET, weights))


def test_weights_of_another_net(bench: Bench) -> None:
    with pytest.raises(WeightsError, match=r"blob 0: expected 15 values \(5×3\), found 20"):
        bench.text(NET, trained(("a", "InnerProduct", [(5, 4), (5,)])))
    with pytest.raises(WeightsError, match="are these the weights of another net"):
        bench.text(NET, trained(("z", "InnerProduct", [(5, 4), (5,)])))


def test_weights_tell_what_a_data_layer_leaves_out(bench: Bench) -> None:
    text = layer("Data", "data_param { batch_size: 8 } transform_param { crop_size: 6 }", "", "data", "db")
    found = bench.text(
        text + layer("Convolution", CONV, "data", "conv", "conv"),
        trained(("conv", "Convolution", [(4, 2, 3, 3), (4,)])),
    )
    assert found.inputs == {"data": (8, 2, 6, 6)}


def test_a_caffemodel_alone_is_shown_with_the_net_inside(bench: Bench) -> None:
    weights = net_inside(
        ("a", "", [(5, 3), (5,)]), ("b", "", [(5, 5), (5,)]), text='state { phase: TRAIN } name: "in"' + NET
    )
    found = bench.weights(weights)
    assert (found.name, found.phase, len(found.layers), found.batch) == ("in", "TRAIN", 3, 1)
    assert found.weights is not None and (found.weights.wanted, found.weights.missing) == (2, ())
    assert [(row.layer, row.position) for row in found.blobs] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_a_phase_that_nothing_tells_is_not_told(bench: Bench) -> None:
    weights = net_inside(("a", "", [(5, 3), (5,)]), text=NET)
    assert bench.weights(weights).phase is None
    assert bench.weights(weights, selection=Selection(phase="TEST")).phase == "TEST"


def test_parameters_come_from_the_weights_where_the_input_is_unknown(bench: Bench) -> None:
    text = layer("HDF5Data", "", "", "data", "h5") + NET[len(data(1, 3)) :]
    found = bench.weights(net_inside(("a", "", [(5, 3), (5,)]), ("b", "", [(5, 5), (5,)]), text=text))
    assert [each.cost.parameters for each in found.layers] == [0, 20, 30]
    assert found.weights is not None and found.weights.wanted == 2
    assert [each.cost.macs for each in found.layers] == [0, None, None]


def test_a_net_inside_that_is_not_whole_gives_way_to_the_blobs(bench: Bench) -> None:
    found = bench.weights(net_inside(("a", "", [(5, 3), (5,)]), text=NET.replace(data(1, 3), "")))
    assert (found.layers, found.totals, found.selected) == ((), None, None)
    assert [(row.layer, row.shape, row.values, row.size) for row in found.blobs] == [
        ("a", (5, 3), 15, 60),
        ("a", (5,), 5, 20),
    ]
    assert 'layer "a" needs the blob "data", which no layer makes' in found.notes[0]
    assert found.notes[0].endswith("; these are its blobs")


def test_a_net_inside_that_is_impossible_gives_way_to_the_blobs(bench: Bench) -> None:
    found = bench.weights(net_inside(("a", "", [(5, 3), (5,)]), text=NET + layer("LRN", "", "a", "n", "norm")))
    assert found.totals is None
    assert 'layer "norm" (LRN)' in found.notes[0]


def test_a_net_inside_that_cannot_be_upgraded_gives_way_to_the_blobs(bench: Bench) -> None:
    weights = schema.NetParameter(name="old")
    weights.layers.add(name="a", type=5).blobs.add(num=1, channels=1, height=5, width=3, data=[1.0] * 15)
    weights.layers[0].layer.name = "both"
    weights.layers[0].layer.type = "no such type"
    found = bench.weights(weights.SerializeToString())
    assert found.totals is None
    assert found.format == "V0"
    assert found.blobs[0].shape == (1, 1, 5, 3)


def test_what_needs_a_net_is_refused_without_one(bench: Bench) -> None:
    weights = net_inside(("a", "", [(5, 3), (5,)]), text=NET.replace(data(1, 3), ""))
    with pytest.raises(NetError, match=r"net\.caffemodel: .*give its prototxt too"):
        bench.weights(weights, input_size=(9, 9))
    with pytest.raises(NetError):
        bench.weights(weights, selection=Selection(shapes={"data": (1, 3)}))


def test_weights_that_do_not_suit_the_net_they_brought_are_shown(bench: Bench) -> None:
    found = bench.weights(net_inside(("a", "", [(5, 4), (5,)]), text=NET))
    assert len(found.layers) == 3
    assert found.notes[-1].startswith('layer "a" (InnerProduct), blob 0: expected 15 values')


def test_hdf5_weights_have_no_net_but_blobs(bench: Bench) -> None:
    pytest.importorskip("h5py")
    path = LENET / "variants" / "net.caffemodel.h5"
    found = bench.files(path)
    assert (found.format, found.phase, found.totals) == ("HDF5", None, None)
    assert [row.layer for row in found.blobs][::2] == ["conv1", "conv2", "ip1", "ip2"]
    assert found.notes == ("an HDF5 file holds weights but no net; give the prototxt first; these are its blobs",)
    beside = bench.files(LENET / "net.prototxt", path, InspectSettings(statistics=True))
    binary = bench.files(LENET / "net.prototxt", LENET / "net.caffemodel", InspectSettings(statistics=True))
    assert beside.blobs == binary.blobs
    assert beside.weights is not None and (beside.weights.wanted, beside.weights.missing) == (4, ())


def test_shared_blobs_that_hdf5_leaves_to_their_owner(bench: Bench) -> None:
    h5py = pytest.importorskip("h5py")
    shared = "param { name: 'w' } param { name: 'b' }"
    net = data(1, 5) + "".join(layer("InnerProduct", shared + FC, "data", name, name) for name in ("one", "two"))
    net = net.replace("name: 'b'", "name: 'c'", 1)
    (bench.path / "net.prototxt").write_text(net)
    with h5py.File(bench.path / "w.h5", "w") as file:
        for name, shape in (("one/0", (5, 5)), ("one/1", (5,)), ("two/1", (5,))):
            file.create_dataset(f"data/{name}", data=np.ones(shape, "f4"))
    alone = bench.files(bench.path / "w.h5")
    assert [(row.layer, row.position) for row in alone.blobs] == [("one", 0), ("one", 1), ("two", 1)]
    beside = bench.files(bench.path / "net.prototxt", bench.path / "w.h5")
    assert [(row.layer, row.shape) for row in beside.blobs] == [
        ("one", (5, 5)),
        ("one", (5,)),
        ("two", (5, 5)),
        ("two", (5,)),
    ]


@pytest.mark.parametrize("variant", sorted((LENET / "variants").glob("*.caffemodel")), ids=lambda path: path.stem)
def test_statistics_are_the_same_in_every_encoding(bench: Bench, variant: Path) -> None:
    net = LENET / "net.prototxt"
    plain = bench.files(net, LENET / "net.caffemodel", InspectSettings(statistics=True))
    found = bench.files(net, variant, InspectSettings(statistics=True))
    values = np.load(LENET / "golden.npz")
    assert len(values) and len(found.blobs) == 8
    for ours, theirs in zip(found.blobs, plain.blobs, strict=True):
        assert ours.statistics is not None and theirs.statistics is not None
        assert tuple(ours.statistics) == pytest.approx(tuple(theirs.statistics), rel=1e-12)


def test_only_the_values_of_listed_layers_are_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffe_fcn.inspection import inspect as inspection

    read = []
    monkeypatch.setattr(inspection, "blob_statistics", lambda weights, blob: read.append(blob.shape))
    bench.files(LENET / "net.prototxt", LENET / "net.caffemodel")
    assert read == []
    bench.files(LENET / "net.prototxt", LENET / "net.caffemodel", InspectSettings(statistics=True, layers=("ip2",)))
    assert read == [(10, 32), (10,)]


# ---- Real weights ----


@pytest.mark.parametrize("name", ["det2", "det3"])
def test_trained_nets_that_people_use(bench: Bench, name: str) -> None:
    case = SHARED_MODELS / name
    if not case.exists():
        pytest.skip(f"{name} is not here: the shared models lie beside the checkout")
    beside = bench.files(case / "net.prototxt", case / "net.caffemodel", InspectSettings(statistics=True))
    assert beside.weights is not None and beside.weights.missing == ()
    assert all(row.statistics and not row.statistics.nan for row in beside.blobs)
    assert beside.totals is not None and beside.totals.parameters > 100_000
    alone = bench.files(case / "net.caffemodel")  # trained by a fork that nobody has published
    assert alone.totals is not None and alone.totals.parameters >= beside.totals.parameters
    assert len(alone.blobs) >= len(beside.blobs)
    assert alone.notes[0].startswith(
        "field 4 of loss_param, field 3 of loss_param cannot be read with certainty, and have no"
    )


def test_a_field_that_no_schema_knows_leaves_the_blobs(bench: Bench) -> None:
    found = bench.weights(net_inside(("a", "", [(5, 3), (5,)]), text=NET) + bytes_field(9001, b"fork"))
    assert not found.layers and len(found.blobs) == 2
    assert found.notes[0].startswith("the net: field 9001 cannot be read as BVLC Caffe's or as one of 17 forks'")
