"""Offsets of Crop layers that give none, against those of Caffe's own coordinate map."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from caffe_fcn.errors import NetError
from caffe_fcn.files import prototxt
from caffe_fcn.net.crops import settled
from caffe_fcn.net.geometry.crops import Reading, Trouble, read_crops, told
from caffe_fcn.net.options import Selection
from caffe_fcn.net.shapes import Shapes, Unknown, infer_shapes
from caffe_fcn.net.source import SourceNet, interpret, read_net
from caffe_fcn.passes.upgrade import upgrade_file
from tests.net.nets import data, graph_of, layer
from tests.paths import GOLDEN, SHARED

CROPS = GOLDEN / "crops"
INDEX: dict[str, dict[str, Any]] = json.loads((CROPS / "index.json").read_text())
SHAPES: dict[str, dict[str, Any]] = json.loads((CROPS / "shapes.json").read_text())
OFFSETS = {
    name: {crop: offset for crop, offset in found.items() if crop not in ("why", "coord_map")}
    for name, found in INDEX.items()
}
"""By net and Crop layer."""
GIVEN = {name: crops for name, crops in OFFSETS.items() if None not in crops.values()}
TROUBLES = {"half": "FRACTION", "quarter": "FRACTION", "negative": "NEGATIVE", "scale_off": "STRIDES"}
AUTO = Selection(crop_offset="auto")


def readings(source: SourceNet, *, sizes: bool = True) -> dict[str, Reading]:
    graph = graph_of(source.document.text)
    unknown = Shapes({blob: Unknown("input", "", "", "") for blob in graph.producer}, {}, ())
    return {each.name: each for each in read_crops(graph, infer_shapes(graph) if sizes else unknown)}


def offsets_in(source: SourceNet) -> dict[str, list[int]]:
    return {each.name: list(each.crop_param.offset) for each in source.net.layer if each.type == "Crop"}


@pytest.mark.thorough
@pytest.mark.parametrize("name", OFFSETS)
def test_offsets_are_those_of_the_coordinate_map(name: str) -> None:
    found = readings(read_net(CROPS / f"{name}.in.prototxt"), sizes=name not in ("negative", "scale_off"))
    assert found.keys() == OFFSETS[name].keys()
    for crop, expected in OFFSETS[name].items():
        offsets = found[crop].offsets
        assert (list(offsets[:1]) if len(set(offsets)) == 1 else list(offsets)) == (expected or [])
        assert (found[crop].trouble is None) is (expected is not None)


@pytest.mark.parametrize("name", GIVEN)
def test_they_are_written_as_the_reference_writes_them(name: str) -> None:
    source, expected = read_net(CROPS / f"{name}.in.prototxt"), read_net(CROPS / f"{name}.out.prototxt")
    found, notes = settled(source, AUTO)
    assert found.net == expected.net and len(notes) == 1
    upgraded = upgrade_file(source, selection=AUTO)
    assert upgraded.document is not None
    assert upgraded.document.text.split() == expected.document.text.split()
    for size, blobs in SHAPES[name].items():
        shape = tuple(map(int, size.split("x")))
        shapes = infer_shapes(graph_of(upgraded.document.text), given={"data": shape})
        assert {blob.name: list(each) for blob, each in shapes.blobs.items() if isinstance(each, tuple)} == blobs


@pytest.mark.parametrize("name", sorted(OFFSETS.keys() - GIVEN.keys()))
def test_where_there_is_none_the_numbers_say_why(name: str) -> None:
    source = read_net(CROPS / f"{name}.in.prototxt")
    with pytest.raises(NetError, match=r"gives no offset for a Crop: .*crop_offset='zero'") as caught:
        settled(source, AUTO)
    for number in {"half": "19/2", "quarter": "1/2 17/2", "negative": "-1", "scale_off": "2 steps"}.get(name, "").split(
        " "
    ):
        assert number in str(caught.value)
    if name in TROUBLES:
        found = readings(source, sizes=False)
        assert Trouble[TROUBLES[name]] in {each.trouble for each in found.values()}


@pytest.mark.parametrize(
    "path", sorted((CROPS / "v1").glob("*.in.prototxt")), ids=lambda path: path.name.partition(".")[0]
)
def test_layers_of_old_are_cut_so_when_they_are_upgraded(path: Path) -> None:
    upgraded = upgrade_file(read_net(path))
    assert upgraded.document is not None
    assert offsets_in(interpret(upgraded.document)) == OFFSETS[path.name.partition(".")[0]]
    assert any("offsets of Crop layers" in change for change in upgraded.changes)
    at_zero = upgrade_file(read_net(path), selection=Selection(crop_offset="zero"))
    assert at_zero.document is not None
    decided = settled(interpret(at_zero.document), AUTO)[0]
    assert all(offset == [0] for offset in offsets_in(decided).values())


def test_layers_of_old_without_an_offset_are_refused() -> None:
    text = (CROPS / "half.in.prototxt").read_text()
    source = interpret(prototxt.parse(text, "half.prototxt"))
    old = SourceNet(source.document, source.written, source.net, source.origins, "V1")
    with pytest.raises(NetError, match=r'half.prototxt: .* "crop" 19/2, which is not a whole number'):
        settled(old, Selection())
    assert settled(old, Selection(), strict=False)[0].net == source.net


PUBLISHED = SHARED / "corpus" / "shelhamer+fcn.berkeleyvision.org" / "3e2e0b8a-deploy.prototxt"


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the corpus of real nets is not there")
def test_the_published_offsets_of_fcn_8s() -> None:
    found, _ = settled(read_net(PUBLISHED), AUTO)
    assert offsets_in(found) == {"score_pool4c": [5], "score_pool3c": [9], "score": [31]}


def test_the_published_offsets_of_hed() -> None:
    text = (CROPS / "hed.in.prototxt").read_text().replace("pad: 20", "pad: 35")
    found, _ = settled(interpret(prototxt.parse(text, "hed.prototxt")), AUTO)
    assert [offset for (offset,) in offsets_in(found).values()] == [34, 35, 36, 38, 42]


# ---- Which way to an ancestor ----


def conv(name: str, bottom: str, more: str = "kernel_size: 3") -> str:
    return layer("Convolution", f"convolution_param {{ num_output: 4 {more} }}", bottom, name, name)


def reading(text: str) -> Reading:
    graph = graph_of(text)
    (found,) = read_crops(graph, infer_shapes(graph))
    return found


CROP = layer("Crop", "", "large small", "out", "crop")


def test_several_inputs_with_one_answer() -> None:
    text = (
        data(1, 4, 20, 20, name="one") + data(1, 4, 20, 20, name="two") + layer("Eltwise", "", "one two", "sum", "sum")
    )
    found = reading(text + conv("large", "sum", "kernel_size: 1 pad: 3") + conv("small", "sum") + CROP)
    assert found.offsets == (4, 4)


def test_several_inputs_with_two_answers() -> None:
    text = data(1, 4, 20, 20, name="one") + data(1, 4, 20, 20, name="two")
    text += layer("Eltwise", "", "one two", "large", "large") + conv("a", "one")
    text += layer("Crop", "crop_param { offset: 2 }", "two a", "b", "b") + layer("Eltwise", "", "a b", "small", "small")
    found = reading(text + CROP)
    assert (found.trouble, found.offsets) == (Trouble.WAYS, ())
    assert set(found.numbers) == {(Fraction(1),) * 2, (Fraction(2),) * 2}


def test_ways_that_do_not_agree() -> None:
    text = data(1, 4, 20, 20) + conv("a", "data") + layer("Crop", "crop_param { offset: 0 }", "data a", "cut", "cut")
    text += layer("Eltwise", "", "a cut", "large", "large") + conv("small", "data", "kernel_size: 7")
    found = reading(text + CROP)
    assert found.trouble is Trouble.WAYS
    assert told(found) == "none, because the paths through the net give different offsets: 2 and 3"


def test_what_follows_such_a_join_is_compared_there() -> None:
    text = data(1, 4, 20, 20) + conv("a", "data", "kernel_size: 3") + conv("b", "data", "kernel_size: 3 pad: 1")
    text += layer("Crop", "crop_param { offset: 0 }", "b a", "cut", "cut") + layer("Eltwise", "", "a cut", "sum", "sum")
    found = reading(text + conv("large", "sum", "kernel_size: 1") + conv("small", "sum", "kernel_size: 5") + CROP)
    assert found.offsets == (2, 2)


def test_a_given_offset_is_given() -> None:
    text = data(1, 4, 20, 20) + conv("large", "data", "kernel_size: 1 pad: 3") + conv("small", "data")
    graph = graph_of(text + layer("Crop", "crop_param { axis: 2 }", "large small", "out", "crop"))
    assert read_crops(graph, infer_shapes(graph)) == ()


def test_what_does_not_fit_behind_its_offset() -> None:
    text = (
        data(1, 4, 20, 20)
        + conv("large", "data", "kernel_size: 1")
        + layer("Pad", "pad_param { pad_t: 2 }", "large", "more", "more")
    )
    text += conv("half", "data", "kernel_size: 9") + layer(
        "Pad", "pad_param { pad_b: 6 pad_r: 6 }", "half", "small", "small"
    )
    found = reading(text + CROP)
    assert (found.trouble, told(found)) == (
        Trouble.TOO_LARGE,
        "4, at which the first bottom is too small for the second",
    )
