"""Pictures made larger or smaller, each of them a level of a pyramid, or of the one size that a net takes.

The one idea: a picture of another size is a picture. pillow's bilinear filter makes it, which takes all pixels into
account where it makes a picture smaller; bytes stay bytes, as with OpenCV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe_fcn.errors import PictureError
from caffe_fcn.net.shapes import show
from caffe_fcn.run.images import MAX_PIXELS, Box, Held, Picture, pillow

if TYPE_CHECKING:
    pass

_BILINEAR = 2
"""pillow's number of the filter."""


def resized(picture: Picture, size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> Picture:
    """PICTURE with the height and width SIZE. Raises PictureError, also where that is more than MAX_PIXELS."""
    import numpy as np

    if size == picture.size:
        return picture
    if size[0] * size[1] > max_pixels:
        raise PictureError(
            f"{picture.path}: expected at most {max_pixels:,} pixels, found {show(size)} to make of it; make it "
            f"smaller, or give --max-pixels {size[0] * size[1]}"
        )
    package = pillow()
    pixels = picture.read(Box(0, 0, *picture.size))
    made = np.empty((*size, pixels.shape[2]), pixels.dtype)
    for channel in range(pixels.shape[2]):
        image = package.fromarray(np.ascontiguousarray(pixels[:, :, channel]))
        made[:, :, channel] = np.asarray(image.resize((size[1], size[0]), _BILINEAR))
    return Held(picture.path, made)


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """SIZE, SCALE times as large, rounded to whole pixels."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
