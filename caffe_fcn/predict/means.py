"""Reads the mean of the pictures of a net: numbers, or an image in a file, and checks it against the net and its
input.

A mean image belongs to pixels. It is subtracted where its pixels correspond to those of the picture. An array with
other axes is refused, with the next step.
"""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn import schema
from caffe_fcn.errors import PictureError
from caffe_fcn.files.reading import reading
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.predict.images.npy import MAGIC, npy_array
from caffe_fcn.predict.images.picture import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_MOST_BYTES = 1 << 30
"""The maximum size of a mean image in bytes."""

_IMAGE = 3
"""The axes of an image, C×H×W."""


class Frame(NamedTuple):
    """The part of a picture that is the input of a net: the pixels in WINDOW of a picture of SIZE. If MIRRORED, its
    last column comes first."""

    size: tuple[int, int]
    window: Box
    mirrored: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the part."""
        return self.window.bottom - self.window.top, self.window.right - self.window.left


def whole(size: tuple[int, int]) -> Frame:
    """Return the frame for the whole picture of SIZE."""
    return Frame(size, Box(0, 0, *size))


class Mean(NamedTuple):
    """The mean that is subtracted; messages call it NAME. VALUES are one number for all channels, without an axis; one
    for each channel of the net in its order, C; or a mean image, C×H×W. SHAPE is that of the array in the file."""

    name: str
    values: NDArray[Any]
    shape: Shape = ()

    @property
    def is_image(self) -> bool:
        """Whether each pixel has its own mean."""
        return self.values.ndim == _IMAGE

    def turned(self, transposed: bool) -> Mean:
        """Return the mean for pictures that are not TRANSPOSED, if it is an image for transposed ones."""
        return self._replace(values=self.values.swapaxes(1, 2)) if transposed and self.is_image else self

    def of_channels(self) -> NDArray[Any]:
        """The mean of each channel, C, or the one number for all."""
        import numpy as np

        averages = self.values.mean((1, 2), np.float64) if self.is_image else self.values
        return np.asarray(averages, np.float32)

    def check(self, channels: int, size: tuple[int, int] | None = None) -> None:
        """Raise PictureError if the mean does not fit a net with CHANNELS; SIZE is the only size of pictures that the
        net accepts, if given."""
        held = self.values.shape[0] if self.values.ndim else channels
        if held != channels or self.values.ndim == _IMAGE - 1:
            if self.shape:
                hint = _transposition(self.shape, channels)
                raise PictureError(
                    source=self.name,
                    role="mean",
                    expected=f"{channels}×H×W, or {channels} values, for the channels of the net",
                    found=f"{show(self.shape)}{hint}",
                )
            raise PictureError(
                source=self.name, role="mean", expected=f"{_count(channels)} for this net", found=str(held)
            )
        if size is None or not self.is_image or not _smaller(self.values.shape[1:], size):
            return
        averages = ",".join(f"{value:.6g}" for value in self.of_channels().tolist())
        raise PictureError(
            source=self.name,
            role="mean",
            expected=f"at least {show(size)} pixels, the size of the net's input",
            found=show(self.values.shape[1:]),
            hint=f"give the image that the net was trained with, or the means of its channels, {averages}",
        )

    def part(self, frame: Frame, box: Box) -> NDArray[Any]:
        """Return the mean for the pixels at BOX of FRAME, the input of the net: C×h×w, or C×1×1.

        For an image of the whole picture it is the part at the same place, as in Caffe's data layers, which mirror the
        difference; for an image larger than the input it is the centre; for a smaller one the means of its channels.
        """
        if not self.is_image:
            return self.values[..., None, None]
        size = self.values.shape[1:]
        same = size == frame.size
        if not same and _smaller(size, frame.shape):
            return self.of_channels()[:, None, None]
        top, left = (frame.window.top, frame.window.left) if same else _centre(size, frame.shape)
        high, wide = frame.shape
        image = self.values[:, top : top + high, left : left + wide]
        if same and frame.mirrored:
            image = image[:, :, ::-1]
        return image[:, box.top : box.bottom, box.left : box.right]

    def note(self, frame: Frame) -> str | None:
        """A note if the mean image has another size than FRAME."""
        size = self.values.shape[1:]
        if not self.is_image or size in (frame.size, frame.shape):
            return None
        took = "the means of its channels" if _smaller(size, frame.shape) else "its centre"
        return f"mean {self.name}: the mean is {show(size)} pixels and the input is {show(frame.shape)}; used {took}"


def _smaller(size: tuple[int, ...], other: tuple[int, int]) -> bool:
    """Return whether an image of SIZE is smaller than the OTHER size along an axis."""
    return size[0] < other[0] or size[1] < other[1]


def _centre(size: tuple[int, ...], part: tuple[int, int]) -> tuple[int, int]:
    """Return where the centre PART of SIZE begins. An odd pixel is left over at the end, as in Caffe."""
    return (size[0] - part[0]) // 2, (size[1] - part[1]) // 2


def _count(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


def _transposition(shape: Shape, channels: int) -> str:
    """Return the next step for an array of SHAPE that is not C×H×W: the transposition, if its axes have another
    order."""
    if len(shape) == 2 and channels == 1:
        return ", which is H×W; add the axis of the channels: mean[None]"
    if len(shape) == _IMAGE and shape[2] == channels:
        return ", which is H×W×C; transpose it: mean.transpose(2, 0, 1)"
    if len(shape) == _IMAGE + 1 and shape[3] == channels:
        return ", which is 1×H×W×C; transpose it: mean[0].transpose(2, 0, 1)"
    held = shape[-_IMAGE] if len(shape) >= _IMAGE else shape[0] if len(shape) == 1 else 1
    return f", of {_count(held)}; give the mean of the pictures that the net was trained on"


def read_mean(text: str) -> Mean:
    """Return the mean in TEXT: numbers with commas between them, or the name of a .npy or a binaryproto.

    Raises PictureError if it is neither; OSError if a file cannot be read.
    """
    import numpy as np

    if re.fullmatch(rf"{_NUMBER}(\s*,\s*{_NUMBER})*", text) and not os.path.isfile(text):
        numbers = [float(value) for value in text.split(",")]
        return Mean(text, _single(text, np.array(numbers if len(numbers) > 1 else numbers[0])))
    if os.path.exists(text) or text.lower().endswith((".npy", ".binaryproto")):
        stored = _file(text)
        values = _single(text, stored[0] if stored.ndim == _IMAGE + 1 else stored)
        return Mean(text, values.reshape(-1) if values.shape[1:] == (1, 1) else values, stored.shape)
    raise PictureError(
        source=text,
        role="mean",
        expected="numbers such as 104,117,123, or a .npy or .binaryproto",
        found="no such file",
    )


def _single(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return VALUES in single precision. Raises PictureError for NaN."""
    import numpy as np

    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if not np.isfinite(single).all():
        raise PictureError(source=name, role="mean", expected="numbers", found="NaN or infinity")
    return single


def _file(path: str) -> NDArray[Any]:
    """Return the values in the file at PATH: C, C×H×W or 1×C×H×W, or in another order."""
    size = os.path.getsize(path)
    if size > _MOST_BYTES:
        raise PictureError(source=path, role="mean", expected=f"at most {_MOST_BYTES:,} bytes", found=f"{size:,}")
    with reading(path) as file:
        start = file.read(len(MAGIC))
    values = npy_array(path, "mean") if start == MAGIC else _binaryproto(path)
    if not 1 <= values.ndim <= _IMAGE + 1 or 0 in values.shape:
        raise PictureError(
            source=path, role="mean", expected="numbers, C or C×H×W", found=f"{values.dtype}, {show(values.shape)}"
        )
    if values.ndim == _IMAGE + 1 and values.shape[0] != 1:
        raise PictureError(source=path, role="mean", expected="one image", found=f"{values.shape[0]}")
    return values


def _binaryproto(path: str) -> NDArray[Any]:
    """Return the values of the BlobProto at PATH, with its axes, or the four old ones."""
    import numpy as np
    from google.protobuf.message import DecodeError

    with reading(path) as file:
        data = file.read()
    try:
        blob = schema.message_class("BlobProto").FromString(data)
    except DecodeError:
        raise PictureError(source=path, role="mean", expected="a .npy or a binaryproto", found="neither") from None
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    values = blob.double_data or blob.data
    if len(values) != math.prod(shape) or min(shape, default=0) < 1:
        found = f"{len(values)} for {show(shape)}"
        raise PictureError(source=path, role="mean", expected="as many values as its shape says", found=found)
    return np.array(values).reshape(shape)
