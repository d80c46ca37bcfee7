"""What tests of weights and activations on a page share: nets with given weights, and pictures as arrays."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from caffe_fcn import schema
from caffe_fcn.inspection.inspect import open_inspected
from caffe_fcn.page.build import look_at
from caffe_fcn.page.records import PageSource
from caffe_fcn.page.tiles import TilePicture, _palette
from caffe_fcn.page.weights import WeightsPanel, weights_panel
from tests.engines.nets import add_layer

Array = NDArray[Any]


def input_layer(*shape: int) -> str:
    dims = " ".join(f"dim: {extent}" for extent in shape)
    return f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}\n'


def layer(name: str, kind: str, parameters: str = "", bottom: str = "data") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" {parameters} }}\n'


def written(path: Path, text: str, **blobs: Sequence[Array]) -> tuple[Path, Path]:
    """The files of the net TEXT with the BLOBS of its layers."""
    net = schema.NetParameter()
    for name, arrays in (blobs or {"of another net": [np.ones(1)]}).items():
        add_layer(net, name, arrays, type="Any")
    (path / "net.prototxt").write_text(text, encoding="utf-8")
    (path / "net.caffemodel").write_bytes(net.SerializeToString())
    return path / "net.prototxt", path / "net.caffemodel"


@contextmanager
def looked_at(net: Path, weights: Path, **arguments: Any) -> Iterator[PageSource]:
    """What the sections of the page of NET and WEIGHTS get."""
    files = open_inspected(str(net), str(weights))
    assert files.weights is not None
    with files.weights:
        yield look_at(files, **arguments)[1]


def weights_of(net: Path, weights: Path, name: str, **arguments: Any) -> WeightsPanel:
    """The weights of the layer NAME on the page."""
    with looked_at(net, weights, **arguments) as source:
        assert source.graph is not None
        position = [node.name for node in source.graph.nodes].index(name)
        found = weights_panel(source, position)
        assert found is not None
        return found


def opened(picture: TilePicture | None) -> Image.Image:
    """PICTURE as pillow reads it."""
    assert picture is not None
    return Image.open(io.BytesIO(picture.png))


def codes_of(picture: TilePicture | None) -> Array:
    """The codes of the colours in PICTURE, height × width."""
    image = opened(picture)
    assert image.mode == "P"
    palette = image.getpalette() or []
    known = [palette[3 * place : 3 * place + 3] for place in range(len(palette) // 3)]
    table = [list(colour) for colour in _palette()]
    codes: Array = np.array([table.index(colour) for colour in known])[np.array(image)]
    return codes
