"""Resizes pictures, in two ways.

The input of a net is resized as Caffe's tools do it (`resampled`): by bilinear interpolation between the centres of the
four nearest pixels, as in OpenCV's `resize` in `convert_imageset` and in pycaffe's `resize_image`. Pixels further away
have no effect, even if the picture becomes much smaller. The levels of a pyramid are made by pillow's bilinear filter
(`resized`), which uses all pixels when it makes a picture smaller. Bytes stay bytes in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caffe_fcn.errors import PictureError
from caffe_fcn.net.shapes import show
from caffe_fcn.predict.images.picture import Box, HeldPicture, Picture, pillow
from caffe_fcn.predict.options import MAX_PIXELS
from caffe_fcn.wording import Option, advise, offered

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[int, int]

_BILINEAR = 2
"""The number of the filter in pillow."""

_BAND = 1 << 22
"""The number of values that are interpolated at once."""


def resized(picture: Picture, size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> Picture:
    """Return PICTURE with the height and width SIZE. Raises PictureError, also if SIZE is more than MAX_PIXELS."""
    import numpy as np

    if size == picture.size:
        return picture
    check_pixels(picture.path, size, max_pixels)
    package = pillow()
    pixels = picture.read(Box(0, 0, *picture.size))
    made = np.empty((*size, pixels.shape[2]), pixels.dtype)
    for channel in range(pixels.shape[2]):
        image = package.fromarray(np.ascontiguousarray(pixels[:, :, channel]))
        made[:, :, channel] = np.asarray(image.resize((size[1], size[0]), _BILINEAR))
    return HeldPicture(picture.path, made)


def check_pixels(name: str, size: tuple[int, int], most: int) -> None:
    """Raise PictureError if a picture of SIZE, made from the one called NAME, has more than MOST pixels."""
    if size[0] * size[1] > most:
        way = advise("make it smaller")
        if offered("max_pixels"):
            way = advise(way, ", or give ", Option("max_pixels", size[0] * size[1]))
        raise PictureError(
            source=name,
            expected=f"at most {most:,} pixels",
            found=f"{show(size)} after scaling",
            hint=way,
        )


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return SIZE, SCALE times as large, rounded to whole pixels."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def padded(size: Size, multiple: int | None) -> Size:
    """Return SIZE, each side enlarged to a MULTIPLE, if that is given."""
    high, wide = (side if multiple is None else -(-side // multiple) * multiple for side in size)
    return high, wide


def shorter_side(size: Size, side: int) -> Size:
    """Return SIZE with its shorter side changed to SIDE and the longer one in proportion, rounded to whole pixels."""
    high, wide = (max(side, (2 * side * extent + min(size)) // (2 * min(size))) for extent in size)
    return high, wide


def resampled(picture: Picture, size: Size, max_pixels: int = MAX_PIXELS) -> Picture:
    """Return PICTURE with the height and width SIZE; bytes are rounded to bytes. Raises PictureError, also if SIZE is
    more than MAX_PIXELS."""
    import numpy as np

    if size == picture.size:
        return picture
    check_pixels(picture.path, size, max_pixels)
    pixels = picture.read(Box(0, 0, *picture.size))
    made = np.empty((*size, pixels.shape[2]), pixels.dtype)
    (left, right, across), step = _places(picture.size[1], size[1]), max(1, _BAND // (size[1] * pixels.shape[2]))
    above, below, down = _places(picture.size[0], size[0])
    for first in range(0, size[0], step):
        band = slice(first, first + step)
        part = down[band, None, None]
        upper, lower = (_between(pixels, rows[band], left, right, across) for rows in (above, below))
        found = upper * (1 - part) + lower * part
        made[band] = np.floor(found + np.float32(0.5)).clip(0, 255) if made.dtype == np.uint8 else found
    return HeldPicture(picture.path, made)


def _places(held: int, wanted: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return for each of the WANTED positions along an axis of HELD pixels: the pixel before it, the pixel after it,
    and its position between the two, from 0 to 1. At the ends both are the last pixel."""
    import numpy as np

    place = ((np.arange(wanted) + 0.5) * (held / wanted) - 0.5).clip(0, held - 1)
    before = np.floor(place).astype(np.intp)
    return before, np.minimum(before + 1, held - 1), (place - before).astype(np.float32)


def _between(
    pixels: NDArray[Any], rows: NDArray[Any], left: NDArray[Any], right: NDArray[Any], part: NDArray[Any]
) -> NDArray[Any]:
    """Interpolate PIXELS in ROWS across; PART is the position from LEFT to RIGHT, from 0 to 1."""
    import numpy as np

    picked = pixels.take(rows, 0)
    found, second = (picked.take(columns, 1).astype(np.float32) for columns in (left, right))
    found *= 1 - part[:, None]  # in place: the arrays are large, and this is most of the time for a photograph
    second *= part[:, None]
    found += second
    return found
