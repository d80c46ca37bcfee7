"""PNG: the same drawing as SVG, of bounded size."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from caffe_fcn.diagram import png
from caffe_fcn.diagram.colours import LIGHT
from caffe_fcn.diagram.drawing import NetDrawing, drawing_of
from caffe_fcn.diagram.png import png_file, scale_of
from caffe_fcn.errors import CaffeFcnError, ExtraError
from tests.diagram.nets import drawn
from tests.diagram.test_svg import HOSTILE, net


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def painted(drawing: NetDrawing) -> Any:
    return Image.open(BytesIO(png_file(drawing))).convert("RGB")


@pytest.mark.thorough
def test_boxes_have_the_colours_of_their_families() -> None:
    drawing = drawing_of(drawn(net()))
    image, scale = painted(drawing), scale_of(drawing)
    assert image.size == (drawing.width * 2, drawing.height * 2) and scale == 2
    for placed in drawing.boxes:
        corner = (placed.x + 8) * scale, (placed.y + 4) * scale
        assert image.getpixel(corner) == rgb(LIGHT.families[placed.box.layer.family].fill)
    chip, placed = drawing.boxes[1].measure.chips[0], drawing.boxes[1]
    assert image.getpixel(((placed.x + chip.x + 5) * scale, (placed.y + chip.y + 3) * scale)) == rgb("#fdf0cf")
    start, end = drawing.lines[0].pieces[0]
    assert image.getpixel((start.x * scale, (start.y + end.y) / 2 * scale)) == rgb(LIGHT.line)
    assert image.getpixel((2, 2)) == rgb(LIGHT.ground)


@pytest.mark.thorough
@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_can_be_painted(name: str) -> None:
    assert painted(drawing_of(drawn(net(name)))).size[0] < 2000


def test_the_size_is_bounded() -> None:
    small = drawing_of(drawn(net()))
    assert scale_of(small._replace(width=1000, height=20_000)) == 1
    assert scale_of(small._replace(width=1000, height=60_000)) == 0.75
    assert scale_of(small._replace(width=1000, height=110_000)) == 0.5
    for width, height in ((1000, 200_000), (200_000, 1000), (20_000, 20_000)):
        with pytest.raises(CaffeFcnError, match=r"expected for PNG a drawing of at most 160,000,000 pixels.*\.svg"):
            scale_of(small._replace(width=width, height=height))


@pytest.mark.thorough
def test_bands_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = drawing_of(drawn(net()))
    whole = png_file(drawing)
    monkeypatch.setattr(png, "_BAND", 200_000)
    assert Image.open(BytesIO(png_file(drawing))).tobytes() == Image.open(BytesIO(whole)).tobytes()


def test_a_missing_pillow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ExtraError, match=r"caffe-fcn\[see\]"):
        png_file(drawing_of(drawn(net())))
