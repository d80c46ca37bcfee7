"""Paints a drawing as SVG: a file of its own, or a part of an HTML page.

Colours are CSS variables, `--drawing-text` and the like, so a page can set them; the file has those for light and dark.
Programs that do not know variables use the plain light colours. All text is escaped; a name cannot become markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape

from caffe_fcn.diagram.colours import DARK, LIGHT, Theme
from caffe_fcn.diagram.drawing import DrawingHeading, NetDrawing, PlacedBox
from caffe_fcn.diagram.lines import HEAD, Line, path_of
from caffe_fcn.diagram.measures import CHIP_HEIGHT
from caffe_fcn.diagram.records import DrawnLayer
from caffe_fcn.diagram.texts import FACES, Face, Text, chip_texts, heading_texts, labels_of, texts_of
from caffe_fcn.display import visible
from caffe_fcn.inspection.words import shape_of

Link = Callable[[int], str | None]
"""From the index of a layer to the address of what tells more about it; None for no link."""

_OWN = "-" * 2 + "drawing-"
"""The beginning of the names of our CSS variables."""
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
    around = f"svg.drawing {{ background: var({_OWN}ground); }}"  # what a browser shows beside the drawing
    css = f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{rules()}\n{around}"
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
    own = " ".join(f"{_OWN}{name}: {colour};" for name, colour in colours.items())
    return f".drawing {{ {own} }}"


def _colours(theme: Theme) -> dict[str, str]:
    """The colours of THEME, by the names of their variables."""
    found = {"ground": theme.ground, "text": theme.text, "quiet": theme.quiet, "line": theme.line}
    for name, paint in theme.families.items():
        found |= {name: paint.fill, f"{name}-line": paint.line}
    return found | {f"mark-{mark}": colour for mark, colour in theme.marks.items()}


def rules() -> str:
    """The CSS rules of a drawing, by its variables."""

    def set_(property_: str, name: str, colour: str) -> str:
        return f"{property_}: {colour}; {property_}: var({_OWN}{name}, {colour});"

    light = LIGHT
    found = [
        f".drawing {{ font-family: {_FONT}; }}",
        f".drawing text {{ {set_('fill', 'text', light.text)} }}",
        f".drawing .ground {{ {set_('fill', 'ground', light.ground)} }}",
        *(f".drawing .{style} {{ {_face(face)} }}" for style, face in FACES.items()),
        f"{', '.join(f'.drawing .{style}' for style, face in FACES.items() if face.quiet)} "
        f"{{ {set_('fill', 'quiet', light.quiet)} }}",
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
    found.append(f".drawing .ground-box rect {{ {set_('fill', 'ground', light.ground)} }}")
    for mark, colour in light.marks.items():
        stroke = set_("stroke", f"mark-{mark}", colour)
        dashes = " stroke-dasharray: 7 4;" if mark == "gone" else ""
        found.append(f".drawing .mark-{mark} rect {{ {stroke} stroke-width: 3px;{dashes} }}")
        dashes = " stroke-dasharray: 4 3;" if mark == "gone" else ""
        found.append(f".drawing .folded.mark-{mark} rect {{ stroke-width: 2px;{dashes} }}")
        found.append(f".drawing .mark-{mark} .pill {{ {set_('fill', f'mark-{mark}', colour)} }}")
    return "\n".join(found)


def _face(face: Face) -> str:
    return f"font-size: {face.size:g}px;" + (" font-weight: 600;" if face.bold else "")


def _size(drawing: NetDrawing) -> str:
    return f'width="{drawing.width}" height="{drawing.height}" viewBox="0 0 {drawing.width} {drawing.height}"'


def _title(drawing: NetDrawing) -> str:
    return f"<title>{_text(drawing.diagram.title)}</title>"


def _text(text: str) -> str:
    """TEXT as it can stand in XML: visible characters, with markup escaped."""
    return escape(_NOT_XML.sub("?", visible(text)))


def _parts(drawing: NetDrawing, link: Link) -> Iterator[str]:
    if drawing.heading is not None:
        yield from _heading(drawing.heading)
    yield '<g class="lines">'
    yield from (_line(line, drawing) for line in drawing.lines)
    yield "</g>"
    for placed in drawing.boxes:
        yield from _box(placed, link)


def _heading(heading: DrawingHeading) -> Iterator[str]:
    for entry in heading.entries:
        kind = entry.family or f"ground-box mark-{entry.mark}"
        yield f'<g class="{kind}"><rect x="{entry.x}" y="{entry.y}" width="14" height="12" rx="3"/></g>'
    yield from map(_words, heading_texts(heading))


def _words(text: Text) -> str:
    middle = ' text-anchor="middle"' if text.middle else ""
    return f'<text class="{text.style}" x="{text.x:g}" y="{text.y:g}"{middle}>{_text(text.text)}</text>'


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
    size = placed.measure
    yield f'<g transform="translate({placed.x} {placed.y})">'
    rect = f'<rect width="{size.width}" height="{size.height}" rx="6"/>'
    yield _linked(placed.box.layer, "layer", [rect, *map(_words, texts_of(placed))], link)
    for chip, text, folded in zip(size.chips, chip_texts(placed), placed.box.folded, strict=True):
        rect = f'<rect x="{chip.x}" y="{chip.y}" width="{chip.width}" height="{CHIP_HEIGHT}" rx="4"/>'
        yield _linked(folded, "folded", [rect, _words(text)], link)
    yield from map(_words, labels_of(placed))
    yield "</g>"


def _linked(layer: DrawnLayer, kind: str, parts: Iterable[str], link: Link) -> str:
    """PARTS with the tooltip of LAYER, as a link if LINK gives one."""
    about = "\n".join(map(_text, layer.about))
    inner = f"<title>{about}</title>{''.join(parts)}"
    kind = f"{kind} {layer.family}" + (f" mark-{layer.mark}" if layer.mark else "")
    target = link(layer.index)
    if target is None:
        return f'<g class="{kind}">{inner}</g>'
    return f'<a class="{kind}" href="{escape(target)}">{inner}</a>'
