"""The offsets of Crop layers as a pass of its own."""

from __future__ import annotations

from caffe_fcn.files import prototxt
from caffe_fcn.model.opening import unbuilt
from caffe_fcn.net.options import Selection
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.crop_offsets import crop_offsets
from tests.passes.nets import conv, data, layer

NET = data(shape="1 2 30 30") + conv("c", "data", 3, 5) + layer("crop", "Crop", "data c", "cropped")
"""Cells of `c` are those of pixels two further in."""


def test_the_geometry_decides() -> None:
    model = unbuilt(interpret(prototxt.parse(NET, "net.prototxt")), Selection(crop_offset="auto"))
    result = crop_offsets(model)
    (change,) = result.changes
    assert (change.describe(), change.document()) == ("offset 2", {"layer": "crop", "offset": [2]})
    assert result.decision.notes == ('offsets of Crop layers, computed from the geometry of the net: "crop" 2',)
    assert b"crop_param { offset: 2 }" in bytes(result.model.document)


def test_nothing_is_decided_that_nobody_asked_for() -> None:
    assert crop_offsets(unbuilt(interpret(prototxt.parse(NET, "net.prototxt")))).changes == ()
