"""Makes the picture under a map small enough for a page.

A large picture is read in bands, and each pixel of the page is the mean of the pixels that it stands for, so memory
does not grow with the picture. A drawing becomes a PNG, a photo a JPEG.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.predict.draw.view import beneath, view_of
from caffe_fcn.predict.images.picture import Box, Picture, pillow

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 1600
"""The maximum number of pixels per side on the page."""

_QUALITY = 85
"""The quality of a JPEG: its faults are not seen."""

_FEW_COLOURS, _FEW_PIXELS = 1 << 12, 1 << 17
"""A picture with this number of colours, or of pixels, becomes a PNG if that is not larger than a JPEG, or is small."""

_SMALL = 100 << 10

_COLOURS = 3
_BAND = 16 << 20
"""The bytes of a picture that are read together, if the rows of one row of the page are not more."""


class Backdrop(NamedTuple):
    """A picture for a page: its height and width in PIXELS, the media TYPE of its file and the bytes of this."""

    pixels: tuple[int, int]
    type: str
    data: bytes

    @property
    def uri(self) -> Any:
        """The picture as a data URI, marked as HTML, because text of this length would be shortened."""
        from markupsafe import Markup

        return Markup(f"data:{self.type};base64,{base64.b64encode(self.data).decode('ascii')}")


def backdrop_of(picture: Picture) -> Backdrop:
    """Return PICTURE for a page, of at most `MOST` pixels per side. Raises PictureError if it cannot be read.

    Other pixels than grey or colours of 8 bits are shown as `beneath` shows them in drawings.
    """
    high, wide = picture.size
    first = picture.read(Box(0, 0, 1, 1))
    if first.dtype.kind != "u" or first.shape[2] not in (1, _COLOURS):
        made = beneath(picture, view_of(picture, MOST)._replace(zoom=1), colour=True)
    else:
        made = _reduced(picture, max(1, max(high, wide) // MOST))
    image = _image(made)
    longest = max(image.size)
    if longest > MOST:
        image = image.resize(tuple(max(1, round(side * MOST / longest)) for side in image.size), pillow().LANCZOS)
    return Backdrop((image.height, image.width), *_file(image))


def _file(image: Any) -> tuple[str, bytes]:
    """Return IMAGE as a file: its media type and its bytes."""
    jpeg = _written(image, "JPEG", quality=_QUALITY, optimize=True)
    if image.width * image.height <= _FEW_PIXELS or image.getcolors(_FEW_COLOURS) is not None:
        png = _written(image, "PNG")
        if len(png) <= max(_SMALL, len(jpeg)):
            return "image/png", png
    return "image/jpeg", jpeg


def _reduced(picture: Picture, step: int) -> NDArray[Any]:
    """Return PICTURE with the mean of each STEP×STEP pixels as one; at the ends there may be fewer."""
    import numpy as np

    high, wide = picture.size
    rows = max(1, _BAND // (step * wide * _COLOURS)) * step
    bands = []
    for top in range(0, high, rows):
        pixels = picture.read(Box(top, 0, min(top + rows, high), wide))
        reduced = np.asarray(_image(pixels).reduce(step))
        bands.append(reduced.reshape(*reduced.shape[:2], -1))
    return np.concatenate(bands)


def _image(pixels: NDArray[Any]) -> Any:
    """Return PIXELS, H×W×1 or H×W×3, as an image of pillow."""
    import numpy as np

    return pillow().fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def _written(image: Any, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
