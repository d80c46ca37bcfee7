"""The parts of pictures that are the input of a net: the centre, or ten crops. A part of a picture is a picture."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from caffe_fcn.predict.images.picture import Box, Picture
from caffe_fcn.predict.means import Frame, whole
from caffe_fcn.predict.resizing import Size

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Crop(Enum):
    """The choice of parts of a picture."""

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
    """Return the part of the whole picture that PICTURE is."""
    return picture.frame if isinstance(picture, Cropped) else whole(picture.size)


def center(picture: Picture, size: Size) -> Picture:
    """Return the centre of PICTURE, of SIZE, which is not larger. An odd pixel is left over at the end."""
    top, left = (picture.size[0] - size[0]) // 2, (picture.size[1] - size[1]) // 2
    window = Box(top, left, top + size[0], left + size[1])
    return picture if picture.size == size else Cropped(picture, Frame(picture.size, window))


def ten(picture: Picture, size: Size) -> tuple[Picture, ...]:
    """Return the four corners and the centre of PICTURE, of SIZE, which is not larger; then all of them mirrored."""
    high, wide = picture.size[0] - size[0], picture.size[1] - size[1]
    corners = [(top, left) for top in (0, high) for left in (0, wide)]
    windows = [Box(top, left, top + size[0], left + size[1]) for top, left in (*corners, (high // 2, wide // 2))]
    frames = [Frame(picture.size, window, mirrored) for mirrored in (False, True) for window in windows]
    return tuple(Cropped(picture, frame) for frame in frames)
