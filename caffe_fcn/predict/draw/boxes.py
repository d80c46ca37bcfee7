"""Draws peaks over their picture: a box for each, in the colour of its class, with the name and the score.

Boxes are drawn from the lowest score to the highest, so that better ones lie above. A tag has the name and the score,
or only the score if all boxes are of one class. It is placed where it covers no other box or tag, or else no other tag;
a box has none if there is no such place, or if it is much narrower than the text. A legend below has the classes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.net.shapes import show
from caffe_fcn.predict.draw import colours
from caffe_fcn.predict.draw.colours import Colour
from caffe_fcn.predict.draw.legend import GROUND, Caption, LegendEntry, label_legend
from caffe_fcn.predict.draw.lettering import fitted, style_of, width_of, write
from caffe_fcn.predict.draw.render import MOST, NAMED, Drawing
from caffe_fcn.predict.draw.view import PictureView, beneath, view_of
from caffe_fcn.predict.images.picture import GREY, Box, Picture, pillow
from caffe_fcn.predict.labels import Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PART, _LEAST = 400, 2
"""The width of a line as a fraction of the drawing (1 / this number), and its minimum in pixels."""

_BRIGHT, _DARK = 110, 40
"""Text on a colour that is brighter is black, else white. Lines that are darker have white edges, others black ones."""

_TAG_LEAST, _TAG_PART = 11, 4
"""The minimum height of the text of tags in pixels, and its maximum as a fraction of the median height of the boxes
(1 / this number)."""

_WIDER = 1.5
"""How many times as wide as its box a tag can be."""

_TAGGED = 1000
"""The maximum number of boxes with a tag."""

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


class DrawnPeak(NamedTuple):
    """A peak of class LABEL with its SCORE, and its BOX on the drawn picture."""

    label: int
    score: str
    box: Box


def peak_boxes(
    picture: Picture, peaks: Sequence[DrawnPeak], labels: Labels, told: str, *, most: int = MOST, colour: bool = False
) -> Drawing:
    """Draw PICTURE in grey, or in COLOUR, and over it the boxes of PEAKS, the highest score first. TOLD describes them
    in the legend. Large pictures are drawn smaller, with at most MOST pixels per side.

    Raises PictureError if the picture cannot be read.
    """
    view = view_of(picture, most)
    counts = Counter(peak.label for peak in peaks)
    ranked = sorted(counts, key=lambda label: (-counts[label], label))
    chosen = dict.fromkeys(ranked, colours.OTHERS) | dict(colours.of_classes(ranked, labels.count, labels.background))
    named = [LegendEntry(labels.title(label), chosen[label], f"{counts[label]:,}") for label in ranked[:NAMED]]
    if further := ranked[NAMED:]:
        rest = sum(counts[label] for label in further)
        named.append(LegendEntry(f"{len(further):,} other classes", None, f"{rest:,}"))
    size = f"{show(view.size)} pixels" + (f", shown 1:{view.step}" if view.step > 1 else "")
    caption = Caption("", "", f"{os.path.basename(picture.path)}: {size}; {told}", 0)
    legend = label_legend(view.shown, caption, named, 1)
    (high, wide), pixels = view.shown, beneath(picture, view, colour=colour)
    image = pillow().new("RGB", (max(wide, legend.width), high + legend.height), GROUND)
    shown = pillow().fromarray(pixels if pixels.shape[2] == len(GREY) else pixels[:, :, 0]).convert("RGB")
    _draw(shown, peaks, labels, chosen, view)
    image.paste(shown, (0, 0))
    image.paste(legend, (0, high))
    return Drawing(image, view.step, view.zoom)


def _draw(
    image: Any, peaks: Sequence[DrawnPeak], labels: Labels, chosen: Mapping[int, Colour], view: PictureView
) -> None:
    """Draw the boxes of PEAKS on IMAGE, then their tags."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    line = max(_LEAST, max(view.shown) // _PART)
    boxes = [_on(view, peak.box) for peak in peaks]
    for peak, box in zip(reversed(peaks), reversed(boxes), strict=True):
        edge = _WHITE if _brightness(chosen[peak.label]) < _DARK else _BLACK
        for inside, width, shade in ((0, 1, edge), (1, line, chosen[peak.label]), (1 + line, 1, edge)):
            _outline(draw, _shrunk(box, inside), width, shade)
    heights = sorted(box.bottom - box.top for box in boxes) or [0]
    style = style_of(view.shown, max(_TAG_LEAST, heights[len(heights) // 2] // _TAG_PART))
    tags = _Tags(boxes, view.shown)
    for index, peak in enumerate(peaks[:_TAGGED]):
        name = f"{labels.title(peak.label)}  " if len(chosen) > 1 else ""
        text = fitted(style, f"{name}{peak.score}", view.shown[1] - style.unit)
        size = round(1.3 * style.unit), width_of(style, text) + style.unit // 2
        roomy = size[1] <= _WIDER * (boxes[index].right - boxes[index].left)
        place = tags.place(index, size) if roomy else None
        if place is not None:
            fill = chosen[peak.label]
            draw.rectangle((place.left, place.top, place.right - 1, place.bottom - 1), fill)
            dark = _brightness(fill) <= _BRIGHT
            middle = (place.top + place.bottom) / 2
            write(style, draw, place.left + style.unit // 4, middle, text, _WHITE if dark else _BLACK)


def _on(view: PictureView, box: Box) -> Box:
    """Return BOX in pixels of the drawing."""
    high, wide = view.shown
    top, left, bottom, right = (place * view.zoom // view.step for place in box)
    return Box(top, left, min(high, max(bottom, top + 1)), min(wide, max(right, left + 1)))


def _shrunk(box: Box, by: int) -> Box:
    return Box(box.top + by, box.left + by, box.bottom - by, box.right - by)


def _outline(draw: Any, box: Box, line: int, colour: Colour) -> None:
    """Draw the inner edge of BOX, LINE pixels wide; nothing if there is no room."""
    if box.bottom > box.top and box.right > box.left:
        draw.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), outline=colour, width=line)


def _brightness(colour: Colour) -> float:
    return sum(value * share for value, share in zip(colour, GREY, strict=True))


class _Tags:
    """The places of tags in a drawing of the size SHOWN with BOXES."""

    def __init__(self, boxes: Sequence[Box], shown: tuple[int, int]) -> None:
        import numpy as np

        self._boxes = np.array(boxes, np.int64).reshape(-1, 4)
        self._shown = shown
        self._taken: list[Box] = []

    def place(self, index: int, size: tuple[int, int]) -> Box | None:
        """Return the place for the tag, of SIZE, of the box with this INDEX; None if all are taken."""
        import numpy as np

        others = np.delete(self._boxes, index, 0)
        taken = np.array(self._taken, np.int64).reshape(-1, 4)
        free = [place for place in self._beside(Box(*self._boxes[index].tolist()), size) if not _meets(place, taken)]
        best = next((place for place in free if not _meets(place, others)), free[0] if free else None)
        if best is not None:
            self._taken.append(best)
        return best

    def _beside(self, box: Box, size: tuple[int, int]) -> Iterator[Box]:
        """Yield the places for a tag of SIZE at BOX, the best first, all within the drawing."""
        high, wide = size
        ends = (box.left, box.right - wide)
        lefts = dict.fromkeys(max(0, min(left, self._shown[1] - wide)) for left in ends)
        for top in (box.top - high, box.bottom, box.top, box.bottom - high):
            if 0 <= top <= self._shown[0] - high:
                yield from (Box(top, left, top + high, left + wide) for left in lefts)


def _meets(one: Box, others: NDArray[Any]) -> bool:
    """Return whether ONE has a pixel in common with one of OTHERS, N×4."""
    top, left, bottom, right = others.T
    return bool(((one.top < bottom) & (top < one.bottom) & (one.left < right) & (left < one.right)).any())
