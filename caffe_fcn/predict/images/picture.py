"""Reads pictures, one piece at a time.

A picture returns any box of its pixels as H×W×C in RGB or grey, as the net needs, and makes no larger array. A .npy
and an uncompressed TIFF are read in place; pillow decodes other files once and holds them in the bytes per pixel of
the file.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from caffe_fcn.errors import PictureError, missing
from caffe_fcn.files.names import ENDINGS, Kind
from caffe_fcn.files.reading import reading
from caffe_fcn.net.shapes import Shape, show
from caffe_fcn.predict.images import stored
from caffe_fcn.predict.images.stored import StoredPixels
from caffe_fcn.predict.options import MAX_PIXELS
from caffe_fcn.wording import Option, advise, offered

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = frozenset((*ENDINGS[Kind.PICTURE], ".npy"))
"""The endings of names of pictures in a folder."""

GREY = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in grey, of ITU-R 601, as in OpenCV and pillow."""

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""The formats that pillow may read. Some readers for other formats start programs, and some formats are not
pictures."""

_TO_BYTE = 257
_ORIENTATION = 0x0112


class Box(NamedTuple):
    """A region of a picture, from the first row and column to before the last."""

    top: int
    left: int
    bottom: int
    right: int


class Picture(Protocol):
    """A picture whose pixels are read by the box."""

    path: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""

    def read(self, box: Box, step: int = 1) -> NDArray[Any]:
        """Return the pixels in BOX as H×W×C, in bytes or float32; with STEP only every STEP-th pixel, for a small view.

        Raises PictureError.
        """


def open_picture(path: str | os.PathLike[str], channels: int = 3, max_pixels: int = MAX_PIXELS) -> Picture:
    """Open the picture at PATH for a net with CHANNELS: 1 makes it grey, 3 makes it RGB; any other number must be that
    of the picture.

    A .npy has shape H×W or H×W×C; its values are used unchanged, and so are the numbers in a TIFF of 32 bits. Other
    values are from 0 to 255; 16 bits are scaled to this range. The picture is turned as its EXIF says, as in viewers,
    OpenCV and so Caffe. Of several pictures the first is used; transparency is ignored.

    Raises PictureError if the file is not a picture, or has more than MAX_PIXELS; ExtraError if pillow is needed and
    not installed; OSError if the file cannot be read.
    """
    name = os.fspath(path)
    mode = os.stat(name).st_mode
    if not stat.S_ISREG(mode):
        found = "a directory" if stat.S_ISDIR(mode) else "a pipe or a device; save it to a file first"
        raise PictureError(source=name, expected="a picture in a file", found=found)
    with reading(name) as file:
        head = file.read(6)
    if not head:
        raise PictureError(source=name, expected="a picture", found="an empty file")
    if head == b"\x93NUMPY":
        return _in_place(name, stored.npy(name), channels, max_pixels)
    with opened(name) as image:
        if image.format == "TIFF":
            lies = stored.tiff(name, image.tag_v2, ">" if image.tag_v2.prefix == b"MM" else "<")
            if lies is not None:
                return _in_place(name, lies, channels, max_pixels)
        check_size(name, image.height, image.width, max_pixels)
        image.load()
        return _Decoded(name, image, channels)


def picture_from(given: Any, channels: int = 3, max_pixels: int = MAX_PIXELS) -> Picture:
    """Return GIVEN as a picture for a net with CHANNELS: a file's name as `open_picture` takes it, else as `picture_of`
    does. Raises what they raise."""
    if isinstance(given, str | os.PathLike):
        return open_picture(given, channels, max_pixels)
    return picture_of(given, channels)


def picture_of(given: Any, channels: int = 3, name: str = "the picture") -> Picture:
    """Return GIVEN, an array H×W or H×W×C in RGB, or a pillow image, as a picture for a net with CHANNELS. It is
    handled as `open_picture` handles a file.

    Raises PictureError if it is neither.
    """
    import numpy as np

    if hasattr(given, "tobitmap"):  # only pillow's images have it
        return _Decoded(name, given, channels)
    values = np.asarray(given)
    if values.dtype.kind not in "buif" or values.ndim not in (2, 3) or 0 in values.shape:
        found = (
            f"{values.dtype}, {show(values.shape)}"
            if values.ndim
            else "None"
            if given is None
            else type(given).__name__
        )
        raise PictureError(source=name, expected="a file name, pixels H×W or H×W×C, or a pillow image", found=found)
    pixels = values if values.ndim == 3 else values[:, :, None]
    _check_channels(name, pixels.shape, channels)
    whole = Box(0, 0, *pixels.shape[:2])
    known = pixels if pixels.dtype == np.uint8 else _float(name, pixels, whole, 1)
    return HeldPicture(name, _with_channels(known, channels))


class HeldPicture:
    """A picture in memory: PIXELS as `Picture.read` returns them; messages call the file PATH."""

    def __init__(self, path: str, pixels: NDArray[Any]) -> None:
        self.path = path
        self._pixels = pixels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._pixels.shape[0], self._pixels.shape[1]

    def read(self, box: Box, step: int = 1) -> NDArray[Any]:
        """The pixels in BOX as H×W×C."""
        return self._pixels[box.top : box.bottom : step, box.left : box.right : step]


def check_size(name: str, high: int, wide: int, most: int) -> None:
    """Raise PictureError if a picture NAME of HIGH × WIDE pixels has more than MOST pixels."""
    if high * wide > most:
        way = advise("accept it with ", Option("max_pixels", high * wide)) if offered("max_pixels") else None
        raise PictureError(source=name, expected=f"at most {most:,} pixels", found=show((high, wide)), hint=way)


# ---- Plain values in a file ----


class _Plain:
    """A picture in a file of plain values."""

    def __init__(self, path: str, lies: StoredPixels, channels: int) -> None:
        self.path = path
        self._stored = lies
        self._channels = channels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._stored.shape[:2]

    def read(self, box: Box, step: int = 1) -> NDArray[Any]:
        """The pixels in BOX as H×W×C."""
        import numpy as np

        rows, columns = range(box.top, box.bottom, step), range(box.left, box.right, step)
        found = stored.read(self.path, self._stored, rows, columns)
        if found.dtype.kind == "b":
            found = found.astype(np.uint8)
        if found.dtype != np.uint8:
            found = _float(self.path, found, box, step)
        if self._stored.divisor != 1:
            found /= np.float32(self._stored.divisor)
        return _with_channels(found, self._channels)


def _float(path: str, pixels: NDArray[Any], box: Box, step: int) -> NDArray[Any]:
    """Return PIXELS, the pixels in BOX or every STEP-th of them, as float32. Raises PictureError for NaN."""
    import numpy as np

    with np.errstate(over="ignore"):
        values = pixels.astype(np.float32)
    if not np.isfinite(values).all():
        row, column = (int(place) * step for place in np.argwhere(~np.isfinite(values))[0][:2])
        raise PictureError(
            f"row {box.top + row}, column {box.left + column}: expected a number, found NaN or infinity", source=path
        )
    return values


def _in_place(name: str, lies: StoredPixels, channels: int, max_pixels: int) -> Picture:
    _check_channels(name, lies.shape, channels)
    check_size(name, *lies.shape[:2], max_pixels)
    return _Plain(name, lies, channels)


def _check_channels(name: str, shape: Shape, channels: int) -> None:
    """Raise PictureError if pixels H×W×C cannot be a picture with CHANNELS."""
    held = shape[2]
    if held != channels and not (channels in (1, 3) and held in (1, 2, 3, 4)):
        raise PictureError(
            source=name, expected=f"a picture H×W×C with {channels} channels for this net", found=show(shape)
        )


def _with_channels(pixels: NDArray[Any], channels: int) -> NDArray[Any]:
    """Return PIXELS, H×W×C, as grey or RGB."""
    import numpy as np

    held = pixels.shape[2]
    if channels == 1 and held >= 3:
        grey = pixels[:, :, :3].astype(np.float32) @ np.array(GREY, np.float32)
        return (grey.round().astype(np.uint8) if pixels.dtype == np.uint8 else grey)[:, :, None]
    if channels == 3 and held < 3:
        return np.repeat(pixels[:, :, :1], 3, axis=2)
    return pixels[:, :, :channels]


# ---- Pictures to be decoded ----


class _Decoded:
    """A picture that pillow has decoded. Each piece is turned as the EXIF says."""

    def __init__(self, path: str, image: Any, channels: int) -> None:
        self.path = path
        self._image = image
        self._channels = channels
        if channels not in (1, 3):
            raise PictureError(
                source=path,
                expected=f"a picture with {channels} channels for this net",
                found=f"one in {image.mode}",
                hint="give it as a .npy of H×W×C",
            )
        self._turned = _turned(image)
        self.read(Box(0, 0, 1, 1))  # shows whether pillow can convert it to grey or RGB

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        size = self._image.height, self._image.width
        return size[::-1] if self._turned.transposed else size

    def read(self, box: Box, step: int = 1) -> NDArray[Any]:
        """The pixels in BOX as H×W×C."""
        import numpy as np

        (high, wide), (transposed, upside_down, mirrored) = self.size, self._turned
        top, bottom = (high - box.bottom, high - box.top) if upside_down else (box.top, box.bottom)
        left, right = (wide - box.right, wide - box.left) if mirrored else (box.left, box.right)
        lies = (top, left, bottom, right) if transposed else (left, top, right, bottom)
        whole = lies == (0, 0, self._image.width, self._image.height)
        pixels = self._pixels(self._image if whole else self._image.crop(lies))
        if transposed:
            pixels = np.moveaxis(pixels, 0, 1)
        pixels = pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1][::step, ::step]
        return pixels if pixels.dtype == np.uint8 else _float(self.path, pixels, box, step)

    def _pixels(self, part: Any) -> NDArray[Any]:
        """Return PART of the picture, not turned, as an array."""
        import numpy as np

        if part.mode == "F" or part.mode.startswith("I"):
            of_16 = part.mode.startswith("I;16") or (part.mode == "I" and self._image.format != "TIFF")
            values = np.asarray(part).astype(np.float32)[:, :, None] / np.float32(_TO_BYTE if of_16 else 1)
            return _with_channels(values, self._channels)
        if part.mode in ("P", "PA"):
            part = part.convert("RGB")
        mode = "L" if self._channels == 1 else "RGB"
        pixels = np.asarray(part if part.mode == mode else part.convert(mode))
        return pixels[:, :, None] if pixels.ndim == 2 else pixels


class _Turned(NamedTuple):
    """The orientation of a picture in its file. To get the picture that is seen, it is TRANSPOSED, then turned
    UPSIDE_DOWN, so that the last row comes first, then MIRRORED, so that the last column comes first."""

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False


def _turned(image: Any) -> _Turned:
    """Return the orientation by the EXIF of IMAGE, which is decoded. pillow turns a TIFF while decoding; whether the
    EXIF then still has the orientation depends on pillow's version."""
    if image.format == "TIFF":
        return _Turned()
    known = {2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1), 8: (1, 1, 0)}
    try:
        return _Turned(*map(bool, known.get(image.getexif().get(_ORIENTATION), ())))
    except Exception:  # EXIF that cannot be read is ignored, as in OpenCV
        return _Turned()


def pillow() -> Any:
    """Return pillow's Image module. Raises ExtraError if it is not installed."""
    try:
        from PIL import Image
    except Exception as error:
        told = "reading and drawing pictures needs more packages: pip install 'caffe-fcn[run]'"
        raise missing(error, "PIL", told) from error
    return Image


@contextmanager
def opened(name: str, formats: Sequence[str] = _FORMATS) -> Iterator[Any]:
    """Open the picture NAME, in one of FORMATS, by pillow, without decoding it. Errors of pillow in the block become
    PictureErrors."""
    package = pillow()
    before, package.MAX_IMAGE_PIXELS = package.MAX_IMAGE_PIXELS, None  # our limit is checked before decoding
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with package.open(name, formats=formats) as image:
                yield image
    except PictureError:
        raise
    except package.UnidentifiedImageError as error:
        known = ", ".join(formats).replace("PPM", "PGM, PPM")
        raise PictureError(
            source=name, expected=f"a picture ({known} or .npy)", found="a file of another kind"
        ) from error
    except Exception as error:  # the readers of pillow raise many errors for damaged files
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = name
            raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise PictureError(
            f"the picture is damaged, or its format is not supported by pillow ({reason})", source=name
        ) from error
    finally:
        package.MAX_IMAGE_PIXELS = before
