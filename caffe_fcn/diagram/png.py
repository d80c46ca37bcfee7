"""Paints a drawing as PNG, by pillow, in the light colours.

Shapes are painted larger in bands and made smaller, so their borders are smooth and the memory is that of the picture;
texts are painted afterwards. A large drawing is made smaller; one whose texts could not be read is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any, NamedTuple

from caffe_fcn.diagram.colours import LIGHT, Paint
from caffe_fcn.diagram.drawing import NetDrawing
from caffe_fcn.diagram.lines import HEAD, Point
from caffe_fcn.diagram.measures import CHIP_HEIGHT
from caffe_fcn.diagram.records import Mark
from caffe_fcn.diagram.texts import FACES, Text, chip_texts, heading_texts, labels_of, texts_of
from caffe_fcn.errors import CaffeFcnError, missing
from caffe_fcn.net.layers.row import Family
from caffe_fcn.predict.draw.lettering import in_ascii

_SCALES = ((2.0, 24_000_000), (1.0, 40_000_000), (0.75, 40_000_000), (0.5, 40_000_000))
"""The pixels for each unit of a drawing, and the maximum number of pixels of such a picture, the best first."""
_MOST_SIDE = 60_000
"""The maximum height and width; programs for pictures have limits near 65,535."""
_FINER = 2
"""How much larger shapes are painted, in each direction."""
_BAND = 8_000_000
"""The pixels that a band has before it is made smaller."""
_STEPS = 32
"""The straight pieces of a curve."""


class _Shape(NamedTuple):
    """A shape from TOP to BOTTOM. A box has CORNERS, left, top, right and bottom; a line or the head of an arrow has
    POINTS."""

    top: float
    bottom: float
    kind: str
    points: tuple[Point, ...]
    radius: float = 0
    paint: Paint | None = None
    stroke: float = 1.2


def png_file(drawing: NetDrawing) -> bytes:
    """DRAWING as the bytes of a PNG file. Raises CaffeFcnError if it is too large, ExtraError without pillow."""
    image_module = _pillow()
    scale = scale_of(drawing)
    width, height = (max(1, round(side * scale)) for side in (drawing.width, drawing.height))
    image = image_module.new("RGB", (width, height), LIGHT.ground)
    shapes = sorted(_shapes(drawing), key=lambda shape: shape.kind == "box")  # lines lie behind boxes
    rows = max(1, _BAND // (width * _FINER**2))
    for top in range(0, height, rows):
        image.paste(_band(shapes, width, min(rows, height - top), top, scale), (0, top))
    _write(image, drawing, scale)
    data = BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def scale_of(drawing: NetDrawing) -> float:
    """The pixels for each unit of DRAWING. Raises CaffeFcnError if it is too large for a picture."""
    width, height = drawing.width, drawing.height
    for scale, most in _SCALES:
        if width * height * scale**2 <= most and max(width, height) * scale <= _MOST_SIDE:
            return scale
    side, area = round(_MOST_SIDE / scale), round(most / scale**2)
    raise CaffeFcnError(
        source=drawing.diagram.title,
        expected=f"for PNG a drawing of at most {area:,} pixels, and {side:,} on a side",
        found=f"{width:,}×{height:,}",
        hint="choose a name that ends in .svg: SVG has no such limit",
    )


def _pillow() -> Any:
    try:
        from PIL import Image
    except Exception as error:
        told = "PNG needs one more package: pip install 'caffe-fcn[see]'; SVG and DOT do not need it"
        raise missing(error, "PIL", told) from error
    return Image


def _shapes(drawing: NetDrawing) -> Iterator[_Shape]:
    for line in drawing.lines:
        for start, end in line.pieces:
            yield _Shape(start.y, end.y, "line", _sampled(start, end))
        for _, at in line.heads:
            corners = (Point(at.x - HEAD.x, at.y - HEAD.y), Point(at.x + HEAD.x, at.y - HEAD.y), at)
            yield _Shape(at.y - HEAD.y, at.y, "head", corners)
        if line.end is not None:
            x, y = line.end
            yield _box(x - 4, y - 4, 8, 8, 4, Paint(LIGHT.ground, LIGHT.line))
    for placed in drawing.boxes:
        size, x, y = placed.measure, placed.x, placed.y
        yield _box(x, y, size.width, size.height, 6, *_paint(placed.box.layer.family, placed.box.layer.mark))
        for chip, layer in zip(size.chips, placed.box.folded, strict=True):
            yield _box(x + chip.x, y + chip.y, chip.width, CHIP_HEIGHT, 4, *_paint(layer.family, layer.mark, 2))
    if drawing.heading is not None:
        for entry in drawing.heading.entries:
            yield _box(entry.x, entry.y, 14, 12, 3, *_paint(entry.family, entry.mark))


def _paint(family: Family | None, mark: Mark, marked: float = 3) -> tuple[Paint, float]:
    """The colours of a box of FAMILY, and the width of its border, which is MARKED with a MARK."""
    fill, line = LIGHT.families[family] if family is not None else Paint(LIGHT.ground, LIGHT.line)
    return (Paint(fill, LIGHT.marks[mark]), marked) if mark else (Paint(fill, line), 1.2)


def _box(x: float, y: float, width: float, height: float, radius: float, paint: Paint, stroke: float = 1.2) -> _Shape:
    return _Shape(y, y + height, "box", (Point(x, y), Point(x + width, y + height)), radius, paint, stroke)


def _sampled(start: Point, end: Point) -> tuple[Point, ...]:
    """The points of a piece of a line: of one that is not straight, those of the curve that is vertical at both
    ends."""
    if start.x == end.x:
        return start, end
    found = []
    for step in range(_STEPS + 1):
        t = step / _STEPS
        across, down = t * t * (3 - 2 * t), 1.5 * t * (1 - t) + t**3
        found.append(Point(start.x + (end.x - start.x) * across, start.y + (end.y - start.y) * down))
    return tuple(found)


def _band(shapes: list[_Shape], width: int, rows: int, top: int, scale: float) -> Any:
    """ROWS rows of the picture from TOP on, without texts."""
    image_module = _pillow()
    from PIL import ImageDraw

    large = image_module.new("RGB", (width * _FINER, rows * _FINER), LIGHT.ground)
    draw, factor = ImageDraw.Draw(large), scale * _FINER
    stroke = max(1, round(1.4 * factor))
    for shape in shapes:
        if shape.bottom * scale < top - 4 or shape.top * scale > top + rows + 4:
            continue
        points = [(at.x * factor, at.y * factor - top * _FINER) for at in shape.points]
        if shape.kind == "line":
            draw.line(points, LIGHT.line, stroke, joint="curve")
        elif shape.kind == "head":
            draw.polygon(points, LIGHT.line)
        elif shape.paint is not None:
            fill, line = shape.paint
            draw.rounded_rectangle(
                (*points[0], *points[1]), shape.radius * factor, fill, line, round(shape.stroke * factor)
            )
    return large.resize((width, rows), image_module.Resampling.BOX)


def _write(image: Any, drawing: NetDrawing, scale: float) -> None:
    """Write the texts of DRAWING on IMAGE."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    fonts = {style: _font(face.size * scale) for style, face in FACES.items()}
    for x, y, text in _texts(drawing):
        face, font = FACES[text.style], fonts[text.style]
        words = in_ascii(text.text.replace("→", "->"))
        left = (x + text.x) * scale - (font.getlength(words) / 2 if text.middle else 0)
        above = (y + text.y) * scale - _ascent(font)
        colour = LIGHT.quiet if face.quiet else LIGHT.text
        for shift in (0, scale / 3) if face.bold else (0,):
            draw.text((left + shift, above), words, colour, font)


def _texts(drawing: NetDrawing) -> Iterator[tuple[float, float, Text]]:
    """All texts, and the corners from which their places are counted."""
    if drawing.heading is not None:
        yield from ((0, 0, text) for text in heading_texts(drawing.heading))
    for placed in drawing.boxes:
        for found in (texts_of(placed), chip_texts(placed), labels_of(placed)):
            yield from ((placed.x, placed.y, text) for text in found)


def _font(size: float) -> Any:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except (ImportError, OSError, TypeError):  # pillow without FreeType, or before 10.1: a font with one size
        return ImageFont.load_default()


def _ascent(font: Any) -> float:
    """The height of FONT above the base line; its texts are placed by their upper left corner."""
    return float(font.getmetrics()[0]) if hasattr(font, "getmetrics") else 9.0
