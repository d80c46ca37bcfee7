"""Blobs that are not of the number and the shapes that the net gives its layers are refused, whatever the type."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest

from caffe_fcn import schema
from caffe_fcn.errors import WeightsError
from caffe_fcn.files import prototxt
from caffe_fcn.files.caffemodel import open_caffemodel
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.fitting import loads
from caffe_fcn.model.model import Model
from caffe_fcn.model.opening import meet
from caffe_fcn.net.layers import LAYERS
from caffe_fcn.net.layers.row import no_params
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.source import interpret, read_net
from tests.net.nets import data, graph_of, layer
from tests.paths import CASES, GOLDEN

Shape = tuple[int, ...]
Blobs = list[Shape]


def stored(path: Path) -> dict[str, Blobs]:
    """The shapes of the blobs in the caffemodel at PATH by layer, read by protobuf alone."""
    net = schema.NetParameter.FromString(path.read_bytes())
    return {each.name: [tuple(blob.shape.dim) for blob in each.blobs] for each in net.layer if each.blobs}


MEASURED = {
    case.name: ((case / "net.prototxt").read_text(), stored(case / "net.caffemodel"))
    for case in sorted((GOLDEN / "layers").iterdir())
    if stored(case / "net.caffemodel")
}
"""Nets of a layer with parameters, and the shapes that these have in BVLC Caffe."""

LENET = GOLDEN / "conversions" / "lenet"
VARIANTS = LENET / "variants"
MAP, CONV = data(2, 6, 5, 5), "num_output: 6 kernel_size: 3"
VIDEO, CONV3D = data(1, 3, 4, 5, 5), "convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 2 }"
OTHERS = {
    "ConvolutionDepthwise": MAP + layer("ConvolutionDepthwise", f"convolution_param {{ {CONV} }}"),
    "DepthwiseConvolution": MAP + layer("DepthwiseConvolution", f"convolution_param {{ {CONV} group: 6 }}"),
    "Convolution3D": VIDEO + layer("Convolution3D", CONV3D),
    "Deconvolution3D": VIDEO + layer("Deconvolution3D", CONV3D),
    "Normalize": MAP + layer("Normalize", "norm_param { channel_shared: false }"),
    "Mul": data(2, 6, 5) + layer("Mul", "mul_param { mul_shape: 6 mul_shape: 5 }"),
    "Add": data(2, 6, 5) + layer("Add", "add_param { add_shape: 6 add_shape: 5 }"),
    "RNN": data(5, 2, 3) + data(5, 2, name="marks") + layer("RNN", "recurrent_param { num_output: 4 }", "data marks"),
    "MarginInnerProduct": data(2, 3)
    + data(2, name="label")
    + layer("MarginInnerProduct", "margin_inner_product_param { num_output: 4 }", "data label"),
    "MultiStageMeanfield": data(1, 3, 4, 4) + layer("MultiStageMeanfield", "", "data data data"),
}
"""Nets of a layer of other types that have parameters, where it needs more than a map."""
SHOWN = {
    node.type for text in [*OTHERS.values(), *(text for text, _ in MEASURED.values())] for node in graph_of(text).nodes
}
LEARNING = {name for name, row in LAYERS.items() if row.layouts or row.params not in (None, no_params)}
NETS = {
    **MEASURED,
    **{
        kind: (text, {"layer": list(infer_shapes(graph).params.get(graph.nodes[-1].index, ()))})
        for kind, text in {**OTHERS, **{kind: MAP + layer(kind) for kind in sorted(LEARNING - SHOWN)}}.items()
        for graph in [graph_of(text)]
    },
}


def meeting(path: Path, text: str, blobs: dict[str, Blobs], *, values: int = 0, legacy: bool = False) -> Model:
    """The net TEXT with weights that hold BLOBS; VALUES more than the last one has room for."""
    net = schema.NetParameter()
    for name, shapes in blobs.items():
        each = net.layer.add(name=name, type="Any")
        for shape in shapes:
            blob = each.blobs.add(data=[0.5] * prod(shape))
            if legacy:
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - len(shape)) + shape
            else:
                blob.shape.dim[:] = shape
    blob.data.extend([0.5] * values)
    (path / "w.caffemodel").write_bytes(net.SerializeToString())
    with open_caffemodel(path / "w.caffemodel") as weights:
        return meet(interpret(prototxt.parse(text, "net.prototxt")), weights)


def refused(path: Path, text: str, blobs: dict[str, Blobs], *, values: int = 0) -> str:
    with pytest.raises(WeightsError) as caught:
        meeting(path, text, blobs, values=values)
    return str(caught.value).removeprefix(f"{path / 'w.caffemodel'}: ")


def test_every_type_with_parameters_is_among_the_cases() -> None:
    shown = {node.type for text, _ in NETS.values() for node in graph_of(text).nodes}
    assert shown >= LEARNING
    lacking = [kind for kind, (_, blobs) in NETS.items() if not any(blobs.values())]
    assert lacking == [], "add a net to OTHERS whose layer has parameters"


@pytest.mark.parametrize("name", NETS)
def test_blobs_of_the_right_shapes_fit(tmp_path: Path, name: str) -> None:
    assert meeting(tmp_path, *NETS[name]).notes == ()
    if all(len(shape) <= 4 for shapes in NETS[name][1].values() for shape in shapes):
        assert meeting(tmp_path, *NETS[name], legacy=True).notes == ()


@pytest.mark.thorough
@pytest.mark.parametrize("name", NETS)
def test_blobs_of_other_numbers_and_shapes_are_refused(tmp_path: Path, name: str) -> None:
    text, right = NETS[name]
    owner, blobs = next(iter(right.items()))
    for wrong in (blobs[:-1] or [*blobs, (1,)], [*blobs, *blobs, blobs[0]]):
        assert refused(tmp_path, text, {**right, owner: wrong}).startswith(f'layer "{owner}" (')
    for position, shape in enumerate(blobs):
        place = f"blob {position}: expected "
        others = [(*shape, 2), shape[::-1], (prod(shape),), (2, prod(shape) // 2)]
        for other in (each for each in others if [d for d in each if d != 1] != [d for d in shape if d != 1]):
            if prod(other) == prod(shape) or other == (*shape, 2):
                wrong = [*blobs[:position], other, *blobs[position + 1 :]]
                assert place in refused(tmp_path, text, {**right, owner: wrong})
    last = len(right[[*right][-1]]) - 1
    assert f"blob {last}: expected" in refused(tmp_path, text, right, values=3)


def test_axes_of_one_are_read_with_a_note(tmp_path: Path) -> None:
    """Their values are where they should be, but Caffe demands the shape."""
    (note,) = meeting(tmp_path, MAP + layer("PReLU"), {"layer": [(1, 6, 1, 1)]}).notes
    assert note.startswith("BVLC Caffe refuses the stored weights of layer")
    assert note.endswith("layer 'layer', blob 0: expected 6, found 1×6×1×1")
    assert meeting(tmp_path, MAP + layer("BN"), {"layer": [(6,)] * 4}).notes == ()  # which BVLC does not have


def test_old_shapes_have_their_ones_in_front(tmp_path: Path) -> None:
    net = schema.NetParameter()
    blob = net.layer.add(name="layer").blobs.add(num=1, channels=6, height=1, width=1, data=[0.5] * 6)
    for channels, width, fine in ((6, 1, False), (1, 6, True)):
        blob.channels, blob.width = channels, width
        (tmp_path / "w").write_bytes(net.SerializeToString())
        with open_caffemodel(tmp_path / "w") as weights:
            found = meet(interpret(prototxt.parse(MAP + layer("PReLU"), "net.prototxt")), weights)
        assert bool(found.notes) is not fine


def test_types_that_hold_what_their_code_decides_are_not_judged(tmp_path: Path) -> None:
    python = layer("Python", 'python_param { module: "m" layer: "L" }')
    assert meeting(tmp_path, MAP + python, {"layer": [(2, 3)]}).notes == ()
    assert meeting(tmp_path, MAP + layer("Riddle"), {"layer": [(2, 3)]}).notes == ()


def test_layers_without_parameters_hold_none(tmp_path: Path) -> None:
    text = MAP + layer("PReLU") + layer("ReLU", "", "out", "out", "relu")
    assert refused(tmp_path, text, {"layer": [(6,)], "relu": [(6,)]}).startswith(
        'layer "relu" (ReLU): expected 0 blobs'
    )


def test_a_net_without_parameters_takes_any_weights(tmp_path: Path) -> None:
    assert meeting(tmp_path, MAP + layer("ReLU"), {"other": [(6,)]}).notes == ()


def test_every_phase_is_looked_at(tmp_path: Path) -> None:
    """Layers of one name in both phases, of which one fits."""
    text = "".join(
        MAP.replace("input_param", f"include {{ phase: {phase} }} input_param")
        + layer("InnerProduct", f"include {{ phase: {phase} }} inner_product_param {{ num_output: {outputs} }}")
        for phase, outputs in (("TRAIN", 4), ("TEST", 5))
    )
    assert "expected 600 values (4×150), found 750" in refused(tmp_path, text, {"layer": [(5, 150), (5,)]})


def test_the_case_of_weights_stored_the_other_way_round(tmp_path: Path) -> None:
    text = (CASES / "transposed_blob.prototxt").read_text()
    found = refused(tmp_path, text, stored(CASES / "transposed_blob.caffemodel"))
    assert found.startswith('layer "fc" (InnerProduct), blob 0: expected 6×288, found 288×6, which Caffe refuses')


@pytest.mark.parametrize("variant", sorted(path.name for path in VARIANTS.iterdir() if path.suffix != ".md"))
def test_every_encoding_of_weights_that_caffe_reads_fits(variant: str) -> None:
    """With old axes, unpacked, in doubles, in HDF5: Caffe loads each of them."""
    net = read_net(LENET / "net.prototxt")
    with open_weights(VARIANTS / variant) as weights:
        found = meet(net, weights)
    assert found.weights is not None and found.notes == ()
    expected = {name: shapes for name, shapes in found.params.items() if shapes}
    held = {record.name: record.blobs for record in found.weights.layers if record.blobs}
    assert held.keys() == expected.keys()
    assert all(loads(blob, shape) for name in held for blob, shape in zip(held[name], expected[name], strict=True))
