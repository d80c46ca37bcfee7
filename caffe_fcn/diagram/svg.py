"""Paints a drawing as SVG: a file of its own, or a part of an HTML page.

Colours are CSS variables, `--drawing-text` and the like, so a page can set them; the file has those for light and dark.
Programs that do not know variables use the plain light colours. All text is escaped; a name cannot become markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape

from caffe_fcn.diagram.colours import DARK, FAMILY_NAMES, LIGHT, Theme
from caffe_fcn.diagram.drawing import NetDrawing, PlacedBox
from caffe_fcn.diagram.lines import HEAD, Line, path_of
from caffe_fcn.diagram.measures import CHIP, CHIP_HEIGHT, LABEL, NAME, PADDING, TYPE, Port, pill_width
from caffe_fcn.diagram.records import DrawnLayer
from caffe_fcn.display import visible
from caffe_fcn.inspection.words import shape_of

Link = Callable[[int], str | None]
"""From the index of a layer to the address of what tells more about it; None for no link."""

_LONGEST = 1000
"""The characters of a name that a tooltip has."""
_NOT_XML = re.compile("[\ufffe\uffff]")
"""The visible characters that XML does not allow."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def svg_file(drawing: NetDrawing) -> str:
    """DRAWING as the text of an SVG file."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {_size(drawing)} class="drawing" role="img">'
    ground = f'<rect class="ground" width="{drawing.width}" height="{drawing.height}"/>'
    light, dark = _variables(_colours(LIGHT)), _variables(_colours(DARK))
    css = f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{rules()}"
    parts = [head, _title(drawing), f"<style>\n{css}\n</style>", ground, *_parts(drawing, lambda _: None), "</svg>"]
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', *parts]) + "\n"


def svg_part(drawing: NetDrawing, link: Link) -> str:
    """DRAWING as an SVG element for an HTML page that has the CSS of `page_style`. The box of each layer is a link to
    what LINK gives for its index."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {_size(drawing)} class="drawing" role="group">'
    return "\n".join([head, _title(drawing), *_parts(drawing, link), "</svg>"])


def page_style() -> str:
    """The CSS for drawings in a page. They are light or dark as the CSS property `color-scheme` of the page says."""
    dark = _colours(DARK)
    both = {name: f"light-dark({colour}, {dark[name]})" for name, colour in _colours(LIGHT).items()}
    return f"{_variables(both)}\n{rules()}"


def _variables(colours: Mapping[str, str]) -> str:
    own = " ".join(f"--drawing-{name}: {colour};" for name, colour in colours.items())
    return f".drawing {{ {own} }}"


def _colours(theme: Theme) -> dict[str, str]:
    """The colours of THEME, by the names of their variables."""
    found = {"ground": theme.ground, "text": theme.text, "quiet": theme.quiet, "line": theme.line}
    for name, paint in theme.families.items():
        found |= {name: paint.fill, f"{name}-line": paint.line}
    return found


def rules() -> str:
    """The CSS rules of a drawing, by its variables."""

    def set_(property_: str, name: str, colour: str) -> str:
        return f"{property_}: {colour}; {property_}: var(--drawing-{name}, {colour});"

    light = LIGHT
    found = [
        f".drawing {{ font-family: {_FONT}; }}",
        f".drawing text {{ {set_('fill', 'text', light.text)} font-size: {TYPE}px; }}",
        f".drawing .ground {{ {set_('fill', 'ground', light.ground)} }}",
        f".drawing .name {{ font-size: {NAME}px; font-weight: 600; }}",
        f".drawing .chip text, .drawing .pill {{ font-size: {CHIP}px; }}",
        f".drawing .label, .drawing .far {{ {set_('fill', 'quiet', light.quiet)} font-size: {LABEL}px; }}",
        ".drawing .strong { font-weight: 600; }",
        f".drawing .line {{ fill: none; {set_('stroke', 'line', light.line)} stroke-width: 1.5px; }}",
        f".drawing .head {{ {set_('fill', 'line', light.line)} stroke: none; }}",
        f".drawing .end {{ {set_('fill', 'ground', light.ground)} {set_('stroke', 'line', light.line)} "
        "stroke-width: 2px; }",
        ".drawing a { cursor: pointer; }",
        ".drawing a:hover rect, .drawing a:focus-visible rect { stroke-width: 2.5px; }",
        ".drawing a:focus { outline: none; }",
        ".drawing g:hover > .line { stroke-width: 3px; }",
        ".drawing rect { stroke-width: 1.2px; }",
        ".drawing .ground { stroke: none; }",
        ".drawing .unknown rect { stroke-dasharray: 4 3; }",
    ]
    for name, paint in light.families.items():
        found.append(
            f".drawing .{name} rect {{ {set_('fill', name, paint.fill)} {set_('stroke', f'{name}-line', paint.line)} }}"
        )
    return "\n".join(found)


def _size(drawing: NetDrawing) -> str:
    return f'width="{drawing.width}" height="{drawing.height}" viewBox="0 0 {drawing.width} {drawing.height}"'


def _title(drawing: NetDrawing) -> str:
    return f"<title>{_text(drawing.diagram.title)}</title>"


def _text(text: str) -> str:
    """TEXT as it can stand in XML: visible characters, with markup escaped."""
    return escape(_NOT_XML.sub("?", visible(text)))


def _parts(drawing: NetDrawing, link: Link) -> Iterator[str]:
    yield from _heading(drawing)
    yield '<g class="lines">'
    yield from (_line(line, drawing) for line in drawing.lines)
    yield "</g>"
    for placed in drawing.boxes:
        yield from _box(placed, link)


def _heading(drawing: NetDrawing) -> Iterator[str]:
    if drawing.heading is None:
        return
    x, y = drawing.heading.x, drawing.heading.y
    yield f'<text class="name" x="{x}" y="{y + 12}">{_text(drawing.heading.title)}</text>'
    for entry in drawing.heading.entries:
        yield (
            f'<g class="{entry.family}"><rect x="{entry.x}" y="{entry.y}" width="14" height="12" rx="3"/>'
            f'<text x="{entry.x + 20}" y="{entry.y + 10}">{_text(FAMILY_NAMES[entry.family])}</text></g>'
        )


def _line(line: Line, drawing: NetDrawing) -> str:
    blob = drawing.boxes[line.source].box.blobs[line.position]
    heads = "".join(
        f"M{at.x - HEAD.x:g} {at.y - HEAD.y:g}h{2 * HEAD.x:g}l{-HEAD.x:g} {HEAD.y:g}z" for _, at in line.heads
    )
    head = f'<path class="head" d="{heads}"/>' if heads else ""
    end = f'<circle class="end" cx="{line.end.x:g}" cy="{line.end.y:g}" r="4"/>' if line.end else ""
    title = _text(f"{blob.name[:_LONGEST]} {shape_of(blob.shape)}")
    return f'<g><title>{title}</title><path class="line" d="{path_of(line.pieces)}"/>{head}{end}</g>'


def _box(placed: PlacedBox, link: Link) -> Iterator[str]:
    """The box, a link if there is one, and the links of the layers in it."""
    size, layer = placed.measure, placed.box.layer
    yield f'<g transform="translate({placed.x} {placed.y})">'
    parts = [f'<rect width="{size.width}" height="{size.height}" rx="6"/>']
    parts.append(f'<text class="name" x="{PADDING}" y="20">{_text(size.name)}</text>')
    parts.append(f'<text x="{PADDING}" y="35">{_text(size.type)}</text>')
    for at, far in enumerate(size.far):
        parts.append(f'<text class="far" x="{PADDING}" y="{49 + 14 * at}">{_text(far)}</text>')
    if placed.box.input:
        right = size.width - PADDING - pill_width("input") / 2
        parts.append(f'<text class="pill strong" x="{right:g}" y="20" text-anchor="middle">input</text>')
    yield _linked(layer, "layer", parts, link)
    for chip, folded in zip(size.chips, placed.box.folded, strict=True):
        rect = f'<rect x="{chip.x}" y="{chip.y}" width="{chip.width}" height="{CHIP_HEIGHT}" rx="4"/>'
        middle = f'x="{chip.x + chip.width / 2:g}" y="{chip.y + 11.5}" text-anchor="middle"'
        yield _linked(folded, "chip", [rect, f"<text {middle}>{_text(chip.text)}</text>"], link)
    for port in size.ports:
        yield from _labels(port, size.width // 2 + port.shift + 6, size.height)
    yield "</g>"


def _labels(port: Port, x: int, bottom: int) -> Iterator[str]:
    for at, text in enumerate(port.label):
        strong = " strong" if port.output and at == 0 else ""
        yield f'<text class="label{strong}" x="{x}" y="{bottom + 14 + 13 * at}">{_text(text)}</text>'


def _linked(layer: DrawnLayer, kind: str, parts: Iterable[str], link: Link) -> str:
    """PARTS with the tooltip of LAYER, as a link if LINK gives one."""
    about = "\n".join(map(_text, layer.about))
    inner = f"<title>{about}</title>{''.join(parts)}"
    target = link(layer.index)
    if target is None:
        return f'<g class="{kind} {layer.family}">{inner}</g>'
    return f'<a class="{kind} {layer.family}" href="{escape(target)}">{inner}</a>'
