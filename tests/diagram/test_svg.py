"""SVG: well-formed with any names, links for pages, colours that a page can set."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from caffe_fcn.diagram.colours import DARK, FAMILY_NAMES, LIGHT
from caffe_fcn.diagram.drawing import drawing_of
from caffe_fcn.diagram.svg import page_style, svg_file, svg_part
from tests.diagram.nets import drawn
from tests.net.nets import data, layer

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    "a&b",
    'quo\\"te',
    "]]>",
    "\\n\\t\\033[2J",
    "\\357\\277\\277",
    "é中😀",
    "x" * 10_000,
]


def net(name: str = "conv") -> str:
    convolution = layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", top=name, name=name)
    return data(1, 3, 8, 8) + convolution + layer("ReLU", bottom=name, top=name, name="relu")


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_gives_well_formed_svg(name: str) -> None:
    drawing = drawing_of(drawn(net(name)))
    for text in (svg_file(drawing), svg_part(drawing, lambda index: f"#layer-{index}")):
        root = ElementTree.fromstring(text)
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags <= {"svg", "title", "style", "rect", "g", "path", "circle", "text", "a"}
        assert len(text) < 20_000


def test_each_layer_of_a_part_is_a_link() -> None:
    root = ElementTree.fromstring(svg_part(drawing_of(drawn(net())), lambda index: f"#layer-{index}"))
    links = {link.get("href"): link for link in root.iter(f"{SVG}a")}
    assert list(links) == ["#layer-0", "#layer-1", "#layer-2"]
    assert links["#layer-1"].get("class") == "layer convolution"
    assert links["#layer-2"].get("class") == "folded activation"
    title = links["#layer-1"].findtext(f"{SVG}title")
    assert title is not None and title.startswith("conv (Convolution)\nreads data 1×3×8×8\nmakes conv 1×4×6×6")


def test_a_part_has_no_colours_of_its_own() -> None:
    part = svg_part(drawing_of(drawn(net())), lambda index: None)
    assert not any(word in part for word in ("<style", "<a ", "fill", "stroke", "#"))


def test_a_page_chooses_light_or_dark() -> None:
    style = page_style()
    assert f"--drawing-text: light-dark({LIGHT.text}, {DARK.text});" in style
    assert "@media" not in style


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_can_be_read_on_every_colour(theme: object) -> None:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        high, low = sorted((light(one), light(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert theme in (LIGHT, DARK)
    found = LIGHT if theme is LIGHT else DARK
    assert set(found.families) == set(FAMILY_NAMES)
    for paint in found.families.values():
        assert contrast(found.text, paint.fill) > 7
        assert contrast(paint.line, found.ground) > 3
    assert contrast(found.quiet, found.ground) > 4.5
    assert contrast(found.line, found.ground) > 3
