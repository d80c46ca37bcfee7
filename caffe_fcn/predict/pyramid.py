"""Pictures made larger or smaller, each of them a level of a pyramid.

The one idea: a picture of another size is a picture. pillow's bilinear filter makes it, which takes all pixels into
account where it makes a picture smaller; bytes stay bytes, as with OpenCV.
"""

from __future__ import annotations

from caffe_fcn.errors import PictureError
from caffe_fcn.net.shapes import show
from caffe_fcn.predict.images.picture import Box, HeldPicture, Picture, pillow
from caffe_fcn.predict.options import MAX_PIXELS
from caffe_fcn.wording import offered, option

_BILINEAR = 2
"""pillow's number of the filter."""


def resized(picture: Picture, size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> Picture:
    """PICTURE with the height and width SIZE. Raises PictureError, also where that is more than MAX_PIXELS."""
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
    """Raise PictureError where a picture of SIZE, made of the one called NAME, is more than MOST pixels."""
    if size[0] * size[1] > most:
        way = f", or give {option('max_pixels', size[0] * size[1])}" if offered("max_pixels") else ""
        raise PictureError(
            source=name,
            expected=f"at most {most:,} pixels",
            found=f"{show(size)} to make of it",
            hint=f"make it smaller{way}",
        )


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """SIZE, SCALE times as large, rounded to whole pixels."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
