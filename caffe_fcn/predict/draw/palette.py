"""Palettes: the colours of classes in an indexed PNG, in which each pixel is the number of a class.

The palette of the PASCAL VOC challenge gives class i a colour by the bits of i: three bits at a time, from the lowest
on, are the next lower bits of red, green and blue, from the highest on. Index 255 means that a pixel has no class.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.errors import PictureError, TextPlace
from caffe_fcn.files.reading import reading
from caffe_fcn.predict.draw.colours import Colour
from caffe_fcn.predict.images.picture import pillow
from caffe_fcn.wording import Option, advise

VOC = "voc"
"""The name of the palette of PASCAL VOC."""

VOID = 255
"""The index of pixels without a class; in label images of PASCAL VOC also of pixels that are not scored."""

_SIZE = 256
_MOST_BYTES = 1 << 20
_PNG = b"\x89PNG"
_COLOUR = re.compile(r"([0-9]{1,3})[\s,;]+([0-9]{1,3})[\s,;]+([0-9]{1,3})(?:[\s,;].*)?|#?([0-9a-fA-F]{6})(?:\s.*)?")


class Palette(NamedTuple):
    """The colours of the first classes; messages call the palette SOURCE."""

    colours: tuple[Colour, ...]
    source: str

    @property
    def table(self) -> bytes:
        """Return the 256 colours of a PNG, three bytes each; colours that the palette lacks are black, and VOID is
        VOC's."""
        rest = ((0, 0, 0),) * (VOID - len(self.colours)) + (voc_colour(VOID),)
        return bytes(value for colour in (*self.colours, *rest)[:_SIZE] for value in colour)

    def check(self, classes: int, source: str) -> None:
        """Raise PictureError if there are not enough colours for the CLASSES of the net SOURCE."""
        if classes > VOID:
            raise PictureError(
                source=source,
                expected=f"at most {VOID} classes for an indexed PNG",
                found=f"{classes}",
                hint=advise("leave ", Option("palette"), " out, or write the numbers with ", Option("output")),
            )
        if classes > len(self.colours):
            raise PictureError(
                source=self.source,
                expected=f"{classes} colours, one for each class of the net",
                found=f"{len(self.colours)}",
            )


def voc_colour(index: int) -> Colour:
    """Return the colour of class INDEX in PASCAL VOC."""
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
    return channels[0], channels[1], channels[2]


def read_palette(name: str | os.PathLike[str]) -> Palette:
    """Return the palette NAME: VOC, or a file. The file is a text with a colour in each line, as "R G B" from 0 to 255
    or as #RRGGBB; or an indexed PNG, whose palette is used.

    Raises PictureError if the file has no palette; OSError if it cannot be read.
    """
    path = os.fspath(name)
    if path == VOC:
        return Palette(tuple(map(voc_colour, range(_SIZE))), VOC)
    with reading(path) as file:
        data = file.read(_MOST_BYTES + 1)
    if data.startswith(_PNG):
        return _of_png(path)
    if len(data) > _MOST_BYTES or b"\0" in data:
        raise PictureError(source=path, expected="a palette: voc, a text or an indexed PNG", found="another file")
    colours = []
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        text = line.partition("//")[0].strip()
        if text and not text.startswith("# "):
            colours.append(_parsed(path, number, text))
    if not 0 < len(colours) <= _SIZE:
        raise PictureError(source=path, expected=f"1 to {_SIZE} colours, one in each line", found=f"{len(colours)}")
    return Palette(tuple(colours), path)


def _parsed(path: str, number: int, text: str) -> Colour:
    found = _COLOUR.fullmatch(text)
    if found is not None and found[4]:
        return int(found[4][:2], 16), int(found[4][2:4], 16), int(found[4][4:], 16)
    values = [int(each) for each in found.groups()[:3]] if found is not None else []
    if not values or max(values) >= _SIZE:
        place = TextPlace(number)
        raise PictureError(
            source=path, place=place, expected='a colour, such as "128 0 0" or #800000', found=printable(text, 40)
        )
    return values[0], values[1], values[2]


def _of_png(path: str) -> Palette:
    try:
        with pillow().open(path, formats=("PNG",)) as image:
            values = image.getpalette() if image.mode == "P" else None
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureError(source=path, expected="a palette", found=f"a PNG that cannot be read: {error}") from error
    if not values:
        raise PictureError(source=path, expected="an indexed PNG, to take its palette", found="a PNG without one")
    colours = zip(values[::3], values[1::3], values[2::3], strict=True)
    return Palette(tuple(colours), path)
