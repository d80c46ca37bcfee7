"""What an inspection finds, its documents for programs, and its page for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError

from caffe_fcn import __version__, schema
from caffe_fcn.errors import CaffeFcnError, NetError, ShapeError, SurgeryError, WeightsError
from caffe_fcn.net.selection import Selection
from caffe_fcn.report.inspect import inspect, open_model
from caffe_fcn.report.inspect_document import document, to_csv, to_json
from caffe_fcn.report.inspect_page import human, human_bytes, page
from caffe_fcn.report.inspect_records import Inspection, InspectSettings
from caffe_fcn.report.tables import cells, render
from tests.cli.conftest import trained
from tests.files.encodings import bytes_field, model, packed, shape_field
from tests.files.encodings import layer as record
from tests.net.nets import data, layer
from tests.paths import GOLDEN, ROOT, SHARED_MODELS

MODELS = ROOT / "models"
LENET = GOLDEN / "conversions" / "lenet"
SCHEMA = json.loads((ROOT / "docs" / "schema" / "inspect.json").read_text(encoding="utf-8"))
FC = "inner_product_param { num_output: 5 }"
CONV = "convolution_param { num_output: 4 kernel_size: 3 }"


class Bench:
    """Looks into models in a directory of its own, and closes them at the end."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self._stack = stack

    def files(self, net: Path, weights: Path | None = None, settings: InspectSettings | None = None) -> Inspection:
        opened = open_model(str(net), str(weights) if weights else None)
        if opened.weights is not None:
            self._stack.enter_context(opened.weights)
        return inspect(opened, settings or InspectSettings())

    def text(self, text: str, weights: bytes | None = None, **settings: Any) -> Inspection:
        """What is found in the net TEXT, with WEIGHTS, the bytes of a file."""
        net, trained_net = self.path / "net.prototxt", self.path / "net.caffemodel"
        net.write_text(text)
        if weights is not None:
            trained_net.write_bytes(weights)
        return self.files(net, trained_net if weights is not None else None, InspectSettings(**settings))

    def weights(self, weights: bytes, **settings: Any) -> Inspection:
        """What is found in a weight file alone."""
        (self.path / "net.caffemodel").write_bytes(weights)
        return self.files(self.path / "net.caffemodel", None, InspectSettings(**settings))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def shown(found: Inspection, width: int | None = None) -> str:
    return render(page(found, width), width)


def net_inside(*layers: tuple[str, str, list[tuple[int, ...]]], text: str) -> bytes:
    """A caffemodel of the net TEXT with blobs, as Caffe snapshots it."""
    from tests.net.nets import parse_net

    net = parse_net(text)
    held = {each.name: each for each in schema.NetParameter.FromString(trained(*layers)).layer}
    for each in net.layer:
        if each.name in held:
            each.blobs.extend(held[each.name].blobs)
    made: bytes = net.SerializeToString()
    return made


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
    assert "shown in phase TRAIN: the file does not make a net in phase TEST" in found.notes


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
    with pytest.raises(CaffeFcnError, match=r"alexnet\.prototxt: no layer is called 'FC\*'; there are: data, conv1,"):
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
            "does not suit the net: layer 'layer' (InnerProduct) would need parameters of 5×243, and has 5×192",
        ),
        (data(1, 3, 8, 8) + layer("Convolution", CONV), (2, 2), 'does not suit the net: layer "layer" (Convolution): '),
        (data(1, 3), (9, 9), "the net has no input known to have 2 spatial axes"),
        (data(1, 3, 8, 8), (9, 9, 9), "the net has no input known to have 3 spatial axes"),
        (layer("Input", "", "", "data"), (9, 9), "say its shape with `shapes`"),
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
        "layer 'h5' does not tell the shape of 'data': its shape is in an HDF5 file, not in the net; "
        "say it with shapes={'data': (N, C, H, W)}",
        "layer 'h5' does not tell the shape of 'label': its shape is in an HDF5 file, not in the net; "
        "say it with shapes={'label': (N, C, H, W)}",
        "layer 'layer' does not tell the shape of 'r': unknown layer type \"Riddle\"; "
        "say it with shapes={'r': (N, C, H, W)}",
    )
    assert found.totals is not None
    assert found.totals[-3:] == (2, 2, 3)


def test_what_is_told_is_known(bench: Bench) -> None:
    text = layer("HDF5Data", "", "", "data", "h5") + layer("InnerProduct", FC)
    found = bench.text(text, selection=Selection(given={"data": (1, 3)}))
    assert found.notes == ()
    assert found.totals is not None and found.totals.parameters == 20


def test_many_unknown_shapes_are_not_all_told(bench: Bench) -> None:
    text = data(1, 3) + "".join(layer("Riddle", "", "data", f"r{index}", f"r{index}") for index in range(20))
    notes = bench.text(text).notes
    assert len(notes) == 8
    assert notes[-1] == "14 more shapes are not told by their layers"


def test_a_net_that_cannot_be(bench: Bench) -> None:
    with pytest.raises(NetError, match=r"net\.prototxt: .*nowhere"):
        bench.text(data(1, 3) + layer("ReLU", "", "nowhere"))
    with pytest.raises(ShapeError, match=r"net\.prototxt: layer \"layer\""):
        bench.text(data(1, 3) + layer("LRN", ""))
    with pytest.raises(ShapeError, match=r"net\.prototxt: 'data' is 1×3 in the file"):
        bench.text(data(1, 3), selection=Selection(given={"data": (1, 4)}))


# ---- Weights ----

NET = data(1, 3) + layer("InnerProduct", FC, "data", "a", "a") + layer("InnerProduct", FC, "a", "b", "b")


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
    with pytest.raises(NetError, match=r"net\.caffemodel: .*give its prototxt as well"):
        bench.weights(weights, input_size=(9, 9))
    with pytest.raises(NetError):
        bench.weights(weights, selection=Selection(given={"data": (1, 3)}))


def test_weights_that_do_not_suit_the_net_they_brought_are_shown(bench: Bench) -> None:
    found = bench.weights(net_inside(("a", "", [(5, 4), (5,)]), text=NET))
    assert len(found.layers) == 3
    assert found.notes[-1].startswith("layer 'a' (InnerProduct), blob 0: expected 15 values")


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
    from caffe_fcn.report import inspect as inspection

    read = []
    monkeypatch.setattr(inspection, "blob_statistics", lambda weights, blob: read.append(blob.shape))
    bench.files(LENET / "net.prototxt", LENET / "net.caffemodel")
    assert read == []
    bench.files(LENET / "net.prototxt", LENET / "net.caffemodel", InspectSettings(statistics=True, layers=("ip2",)))
    assert read == [(10, 32), (10,)]


# ---- Documents for programs ----


def various(bench: Bench) -> Iterator[Inspection]:
    """Inspections of all kinds."""
    lenet, weights = LENET / "net.prototxt", LENET / "net.caffemodel"
    yield bench.files(lenet)
    yield bench.files(lenet, None, InspectSettings(geometry=True, layers=("ip*",)))
    yield bench.files(GOLDEN / "conversions" / "flatten" / "net.prototxt")
    yield bench.files(lenet, weights, InspectSettings(statistics=True))
    yield bench.files(weights, None, InspectSettings(statistics=True))
    yield bench.files(LENET / "variants" / "v1.caffemodel")
    yield bench.files(GOLDEN / "conversions" / "resnet" / "net.caffemodel", None, InspectSettings(geometry=True))
    yield bench.files(MODELS / "googlenet.prototxt", None, InspectSettings(geometry=True))
    yield bench.text(data(1, 3, 8, 8) + layer("Convolution", CONV), input_size=(16, 16))
    yield bench.files(ROOT / "tests" / "files" / "documents" / "v0.in.prototxt", None, InspectSettings(geometry=True))
    yield bench.text(layer("HDF5Data", "", "", "data label", "h5") + layer("InnerProduct", FC), geometry=True)
    yield bench.text(NET.replace("inner_product_param", 'param { name: "w" } inner_product_param', 1))
    odd = np.array([np.nan, np.inf], "<f4")
    model(bench.path / "odd.caffemodel", record("a", [shape_field((2,)) + packed(5, odd), shape_field(())]))
    yield bench.files(bench.path / "odd.caffemodel", None, InspectSettings(statistics=True))


@pytest.mark.thorough
def test_documents_are_what_the_schema_says(bench: Bench) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    keys = set()
    for found in various(bench):
        made = json.loads(to_json(found), parse_constant=pytest.fail)
        assert made == document(found)
        validator.validate(made)
        keys.add(tuple(made))
    assert len(keys) == 1


def _objects(schema_part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema_part, dict):
        if "properties" in schema_part:
            yield path, schema_part
        for key, part in schema_part.items():
            yield from _objects(part, f"{path}/{key}")
    elif isinstance(schema_part, list):
        for index, part in enumerate(schema_part):
            yield from _objects(part, f"{path}/{index}")


def test_the_schema_describes_every_key_and_allows_no_other() -> None:
    for path, part in _objects(SCHEMA):
        assert part["additionalProperties"] is False, path
        assert part["required"] == list(part["properties"]), path
        assert all("description" in each or "$ref" in each for each in part["properties"].values()), path


@pytest.mark.parametrize("change", ["missing", "further", "wrong"])
def test_a_document_that_differs_is_not_what_the_schema_says(bench: Bench, change: str) -> None:
    made = document(bench.files(LENET / "net.prototxt"))
    if change == "missing":
        del made["layers"][0]["macs"]
    elif change == "further":
        made["layers"][0]["flops"] = 1
    else:
        made["totals"]["parameters"] = "8,474"
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMA).validate(made)


def test_the_document_in_full(bench: Bench) -> None:
    made = document(bench.text('name: "n"' + NET, layers=("a",), geometry=True))
    path = str(bench.path / "net.prototxt")
    sums = {"layers": 3, "parameters": 50, "statistics": 0, "macs": 40, "activation_bytes": 52}
    unknown = {"parameters": 0, "macs": 0, "activation_bytes": 0}
    assert made == {
        "caffe_fcn": __version__,
        "net": path,
        "name": "n",
        "format": "V2",
        "phase": "TEST",
        "weights": None,
        "input_size": None,
        "inputs": {"data": [1, 3]},
        "batch": 1,
        "layers": [
            {
                "name": "a",
                "type": "InnerProduct",
                "bottoms": ["data"],
                "tops": [{"name": "a", "shape": [1, 5], "in_place": False}],
                "parameters": 20,
                "statistics": 0,
                "macs": 15,
                "activation_bytes": 20,
                "parameter_shapes": [[5, 3], [5]],
                "shared_with": [],
                "geometry": None,
            }
        ],
        "misaligned": [],
        "totals": {**sums, "unknown": unknown},
        "selected": {
            "layers": 1,
            "parameters": 20,
            "statistics": 0,
            "macs": 15,
            "activation_bytes": 20,
            "unknown": unknown,
        },
        "groups": [],
        "blobs": [],
        "notes": [],
    }


def test_json_keeps_names_and_steers_no_terminal(bench: Bench) -> None:
    name = "a\x1b[31m\u009b1m é 漢 [1,\\n2]"
    text = to_json(bench.text(data(1, 3) + layer("ReLU", "", "data", "out", name.replace("\x1b", "\\033"))))
    assert not any((ord(character) < 32 and character != "\n") or 0x7F <= ord(character) < 0xA0 for character in text)
    assert "é 漢" in text
    assert json.loads(text)["layers"][1]["name"] == name.replace("\\n", "\n")


def test_shapes_stand_on_one_line_in_json(bench: Bench) -> None:
    text = to_json(bench.files(MODELS / "lenet.prototxt", None, InspectSettings(geometry=True)))
    assert '"shape": [1, 20, 24, 24],' in text
    assert '"offset": [2.5, 2.5],' in text


def rows(found: Inspection) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(found))))


def test_csv_of_layers(bench: Bench) -> None:
    found = rows(bench.files(MODELS / "alexnet.prototxt", None, InspectSettings(geometry=True)))
    assert len(found) == 24
    assert found[5] == {
        "name": "conv2",
        "type": "Convolution",
        "bottoms": "pool1",
        "tops": "conv2",
        "shapes": "1x256x27x27",
        "in_place": "no",
        "parameters": "307456",
        "statistics": "0",
        "macs": "223948800",
        "activation_bytes": "746496",
        "parameter_shapes": "256x48x5x5;256",
        "shared_with": "",
        "window": "51x51",
        "stride": "8x8",
        "offset": "9x9",
        "phases": "1x1",
        "exactness": "away from borders",
        "reasons": 'layer "conv2" pads',
    }
    assert found[-1]["window"] == ""
    assert sum(int(row["parameters"]) for row in found) == 60_965_224


def test_a_window_that_is_a_whole_axis_is_no_number(bench: Bench) -> None:
    """In the map, in each phase of it, in the table and in CSV; a fixed number would move on from cell to cell."""
    text = data(1, 2, 31, 41) + layer("Softmax", "softmax_param { axis: 3 }", "data", "along")
    text += layer("Pooling", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }", "along", "pool")
    text += layer("Deconvolution", "convolution_param { num_output: 2 kernel_size: 4 stride: 3 }", "pool", "up")
    found = bench.text(text, geometry=True)
    made = document(found)
    Draft202012Validator(SCHEMA).validate(made)
    up = made["layers"][-1]["geometry"]
    assert up["window"] == [4, None]
    assert [[phase["window"] for phase in axis] for axis in up["phases"]] == [[4, 2, 2], [None, None, None]]
    assert rows(found)[-1]["window"] == "4xall"
    assert any(" 2-4×all " in line for line in shown(found, 140).splitlines())


def test_csv_of_what_is_not_known_and_of_names_that_need_quotes(bench: Bench) -> None:
    text = layer("HDF5Data", "", "", "data label", "a,b") + layer("EuclideanLoss", "", "data label", "=1+1", 'q\\"q')
    first, second = rows(bench.text(text))
    assert (first["name"], first["tops"], first["shapes"], first["activation_bytes"]) == (
        "a,b",
        "data;label",
        "?;?",
        "",
    )
    assert (second["name"], second["tops"], second["shapes"]) == ('q"q', "=1+1", "scalar")
    assert "exactness" not in first


def test_csv_steers_no_terminal(bench: Bench) -> None:
    text = data(1, 3) + layer("ReLU", "", "data", "o\\033ut", "n\\033ame")
    assert "\x1b" not in to_csv(bench.text(text))
    weights = trained(("n\x1bame", "InnerProduct", [(3,)]))
    assert "\x1b" not in to_csv(bench.weights(weights, statistics=True))


def test_csv_of_blobs(bench: Bench) -> None:
    found = rows(bench.files(LENET / "net.prototxt", LENET / "net.caffemodel", InspectSettings(statistics=True)))
    assert [row["shape"] for row in found[:3]] == ["6x1x5x5", "6", "12x6x5x5"]
    assert float(found[0]["min"]) == pytest.approx(-0.24, abs=1e-3)
    without = rows(bench.files(LENET / "variants" / "v1.caffemodel"))
    assert list(without[0]) == ["layer", "index", "shape", "dtype", "values", "bytes"]


# ---- The page for people ----


def test_a_page(bench: Bench) -> None:
    text = (
        'name: "small"\n'
        + data(2, 4, 8, 8)
        + layer("Convolution", "param { name: 'w' }" + CONV, "data", "a/x", "a/x")
        + layer("Convolution", "param { name: 'w' }" + CONV, "data", "a/y", "a/y")
        + layer("BatchNorm", "", "a/y", "a/y", "norm")
        + layer("Slice", "", "a/y", "b c", "cut")
        + layer("Flatten", "", "a/x", "f", "flat")
        + layer("Silence", "", "b", "", "quiet")
    )
    found = bench.text(text)
    assert shown(found).splitlines()[1:] == [
        "inputs   data 2×4×8×8",
        "",
        "layer  type         bottoms  output           parameters  statistics    MACs    memory",
        "──────────────────────────────────────────────────────────────────────────────────────",
        "data   Input                 2×4×8×8                   -           -       -   2.0 KiB",
        "a/x    Convolution  data     2×4×6×6                 148           -  10.4 k   1.1 KiB",
        "a/y    Convolution  data     2×4×6×6               * 148           -  10.4 k   1.1 KiB",
        "norm   BatchNorm    a/y      2×4×6×6                   -           9       -  in place",
        "cut    Slice        a/y      2×2×6×6, 2 tops           -           -       -   1.1 KiB",
        "flat   Flatten      a/x      2×144                     -           -       -    shared",
        "quiet  Silence      b        -                         -           -       -         -",
        "──────────────────────────────────────────────────────────────────────────────────────",
        "total  7 layers                                      152           9  20.7 k   5.4 KiB",
        "",
        "152 parameters and 9 statistics (644 B in single precision), 20,736 multiply-accumulates for a batch of 2",
        "* parameters shared, and counted once in the sums: a/y with a/x",
        "",
        "group     layers  parameters  statistics    MACs   memory",
        "─────────────────────────────────────────────────────────",
        "a/             2         152           -  20.7 k  2.2 KiB",
        "(others)       5           -           9       -  3.1 KiB",
    ]


def test_a_page_of_unknowns(bench: Bench) -> None:
    text = (
        layer("HDF5Data", "", "", "data", "h5") + layer("InnerProduct", FC) + layer("EuclideanLoss", "", "out out", "l")
    )
    lines = shown(bench.text(text)).splitlines()
    assert lines[1] == "inputs   data ?"
    assert lines[-3:] == [
        "total  3 layers                                  ?     ?   ≥ 4 B",
        "",
        "not known, and not in the sums: the parameters of 1 layer, the multiply-accumulates of 1 layer, "
        "the memory of 2 layers",
    ]


def test_a_page_of_listed_layers_has_their_sums_and_those_of_the_net(bench: Bench) -> None:
    text = shown(bench.files(MODELS / "alexnet.prototxt", None, InspectSettings(layers=("fc*",))))
    assert "listed  3 of 24 layers" in text
    assert " 58,631,144 " in text
    assert "in all: 60,965,224 parameters" in text


def test_footnotes_say_why_a_window_is_not_exact(bench: Bench) -> None:
    text = shown(bench.files(MODELS / "googlenet.prototxt", None, InspectSettings(geometry=True)), 140)
    row = next(line for line in text.splitlines() if line.startswith("inception_3a/5x5 "))
    assert row.split()[-5:] == ["67", "8", "2.5", "inside", "1-4,6"] or row.split()[-2:] == ["inside", "1-4,6"]
    assert '\n  6  layer "inception_3a/5x5" pads\n' in text
    assert text.count("\nconv1/7x7_s2 ") == 1


def test_geometry_has_a_table_of_its_own_where_it_does_not_fit(bench: Bench) -> None:
    found = bench.files(MODELS / "alexnet.prototxt", None, InspectSettings(geometry=True))
    assert shown(found, 140).count("\nconv5 ") == 1
    narrow = shown(found, 80)
    assert narrow.count("\nconv5 ") == 2
    assert "\nconv5  1×256×13×13     163      16      17  inside 1-4\n" in narrow


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("name", ["lenet", "alexnet", "vgg16", "googlenet"])
def test_pages_keep_to_their_width(bench: Bench, name: str, width: int) -> None:
    text = shown(bench.files(MODELS / f"{name}.prototxt", None, InspectSettings(geometry=True)), width)
    assert max(map(cells, text.splitlines())) <= width


def test_a_page_of_blobs(bench: Bench) -> None:
    values = np.array([0, 0.5, np.nan, -2, np.inf], "<f4")
    model(
        bench.path / "odd.caffemodel",
        record("a", [shape_field((5,)) + packed(5, values)]),
        record("b", [shape_field((2,)) + packed(8, np.array([1e-9, 3], "<f8"))]),
        record("b", [shape_field(())]),
    )
    found = bench.files(bench.path / "odd.caffemodel", None, InspectSettings(statistics=True))
    assert shown(found).splitlines()[3:] == [
        "layer  blob  shape    type     values    min  max  mean  zeros  NaN  Inf",
        "────────────────────────────────────────────────────────────────────────",
        "a         0  5        float32       5     -2  0.5  -0.5      1    1    1",
        "b         0  2        float64       2  1e-09    3   1.5      -    -    -",
        "b         0  scalar   float32       0      -    -     -      -    -    -",
        "────────────────────────────────────────────────────────────────────────",
        "total        3 blobs                7",
    ]


def test_the_type_has_a_column_at_any_width_where_there_are_several(bench: Bench) -> None:
    one = shape_field((2,)) + packed(5, np.ones(2, "<f4"))
    other = shape_field((2,)) + packed(8, np.ones(2, "<f8"))
    for blobs, there in (([one, one], False), ([one, other], True)):
        model(bench.path / "w.caffemodel", record("a", blobs))
        found = bench.files(bench.path / "w.caffemodel", None, InspectSettings(statistics=True))
        assert ("  type  " in shown(found, 30)) is there
        assert "  type  " in shown(found)


def test_infinities_have_a_column_at_any_width_where_there_are_any(bench: Bench) -> None:
    for values, there in (([1.0, 2.0], False), ([1.0, np.inf], True)):
        model(bench.path / "w.caffemodel", record("a", [shape_field((2,)) + packed(5, np.array(values, "<f4"))]))
        found = bench.files(bench.path / "w.caffemodel", None, InspectSettings(statistics=True))
        assert ("  Inf\n" in shown(found, 30)) is there
        assert "Inf" in shown(found)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0 k"),
        (999_949, "999.9 k"),
        (999_950, "1.0 M"),
        (105_415_200, "105.4 M"),
        (15_470_264_320, "15.5 G"),
        (10**21, "1000000.0 P"),
    ],
)
def test_numbers_for_people(value: int, text: str) -> None:
    assert human(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_166_400, "1.1 MiB"), (2**40, "1.0 TiB")]
)
def test_bytes_for_people(value: int, text: str) -> None:
    assert human_bytes(value) == text


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
        "field 4 of loss_param, field 3 of loss_param cannot be read for certain, and have no"
    )


def test_a_field_that_no_schema_knows_leaves_the_blobs(bench: Bench) -> None:
    found = bench.weights(net_inside(("a", "", [(5, 3), (5,)]), text=NET) + bytes_field(9001, b"fork"))
    assert not found.layers and len(found.blobs) == 2
    assert found.notes[0].startswith("the net: field 9001 cannot be read as BVLC Caffe's or as one of 17 forks'")
