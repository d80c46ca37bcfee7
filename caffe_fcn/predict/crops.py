"""Pictures brought to the size of a net's input as Caffe's tools do it: resized, then cropped.

The one idea: a resized or cropped picture is a picture. It is resized by bilinear interpolation between the centres of
the four nearest pixels, as by OpenCV's `resize` in `convert_imageset` and by pycaffe's `resize_image`: no pixel
further away counts, however much smaller the picture becomes.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from caffe_fcn.predict.images.picture import Box, HeldPicture, Picture
from caffe_fcn.predict.means import Frame, whole
from caffe_fcn.predict.options import MAX_PIXELS
from caffe_fcn.predict.pyramid import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[int, int]

_BAND = 1 << 22
"""Values that are interpolated at once."""


class Crop(Enum):
    """Which parts of a picture a net is fed."""

    NONE = "none"
    CENTER = "center"
    TEN = "ten"


class Cropped:
    """The part FRAME of a PICTURE, as a picture."""

    def __init__(self, picture: Picture, frame: Frame) -> None:
        self.path = picture.path
        self.frame = frame
        self._picture = picture

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        return self.frame.shape

    def read(self, box: Box, step: int = 1) -> NDArray[Any]:
        """The pixels in BOX as H×W×C."""
        window, wide = self.frame.window, self.size[1]
        left, right = (wide - box.right, wide - box.left) if self.frame.mirrored else (box.left, box.right)
        lies = Box(window.top + box.top, window.left + left, window.top + box.bottom, window.left + right)
        if not self.frame.mirrored:
            return self._picture.read(lies, step)
        return self._picture.read(lies)[::step, ::-1][:, ::step]


def frame_of(picture: Picture) -> Frame:
    """Which part of a whole picture PICTURE is."""
    return picture.frame if isinstance(picture, Cropped) else whole(picture.size)


def center(picture: Picture, size: Size) -> Picture:
    """The centre of PICTURE, of SIZE, which is not larger. A pixel that is left over stays at the end."""
    top, left = (picture.size[0] - size[0]) // 2, (picture.size[1] - size[1]) // 2
    window = Box(top, left, top + size[0], left + size[1])
    return picture if picture.size == size else Cropped(picture, Frame(picture.size, window))


def ten(picture: Picture, size: Size) -> tuple[Picture, ...]:
    """The four corners and the centre of PICTURE, of SIZE, which is not larger; then all of them mirrored."""
    high, wide = picture.size[0] - size[0], picture.size[1] - size[1]
    corners = [(top, left) for top in (0, high) for left in (0, wide)]
    windows = [Box(top, left, top + size[0], left + size[1]) for top, left in (*corners, (high // 2, wide // 2))]
    frames = [Frame(picture.size, window, mirrored) for mirrored in (False, True) for window in windows]
    return tuple(Cropped(picture, frame) for frame in frames)


def shorter_side(size: Size, side: int) -> Size:
    """SIZE with its shorter side brought to SIDE, the longer one in proportion, rounded to whole pixels."""
    high, wide = (max(side, (2 * side * extent + min(size)) // (2 * min(size))) for extent in size)
    return high, wide


def resampled(picture: Picture, size: Size, max_pixels: int = MAX_PIXELS) -> Picture:
    """PICTURE with the height and width SIZE; bytes are rounded to bytes. Raises PictureError, also where that is more
    than MAX_PIXELS."""
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
    """For each of the WANTED places along an axis of so many pixels as are HELD: the pixels before and behind it, and
    how far it lies from the first to the second. At the ends both are the last pixel."""
    import numpy as np

    place = ((np.arange(wanted) + 0.5) * (held / wanted) - 0.5).clip(0, held - 1)
    before = np.floor(place).astype(np.intp)
    return before, np.minimum(before + 1, held - 1), (place - before).astype(np.float32)


def _between(
    pixels: NDArray[Any], rows: NDArray[Any], left: NDArray[Any], right: NDArray[Any], part: NDArray[Any]
) -> NDArray[Any]:
    """PIXELS in ROWS at places across, which are PART of the way from LEFT to RIGHT."""
    import numpy as np

    picked = pixels.take(rows, 0)
    found, second = (picked.take(columns, 1).astype(np.float32) for columns in (left, right))
    found *= 1 - part[:, None]  # in place: the arrays are large, and this is most of what a photograph costs
    second *= part[:, None]
    found += second
    return found
