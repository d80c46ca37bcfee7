"""What a net is fed, made of pixels: the steps that its training took, and nothing else.

The one idea: the order is that of Caffe's `transform_param`. Pixels of 0..255, blue before green before red, minus
the mean, times the scale. Nets trained on values of 0..1 have 1/255 for a scale, and no other option is needed.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn import schema
from caffe_fcn.errors import PictureError
from caffe_fcn.files.literals import printable
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.shapes import show
from caffe_fcn.run.images import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_MOST_BYTES = 1 << 30
"""No image of a mean is larger."""

_COLOURS = 3


class Mean(NamedTuple):
    """What is subtracted: one value, one for each channel of the net in its order, or an image of them, C×H×W."""

    name: str
    values: NDArray[Any]

    def suits(self, channels: int) -> bool:
        """Whether a net of so many CHANNELS can take it. One number serves all channels; an image of one channel, as
        nets for grey pictures have it, serves no others."""
        held = int(self.values.shape[0])
        return held == channels or (held == 1 and self.values.ndim == 1)


class Preprocessing(NamedTuple):
    """The steps from pixels to a net's input. With RGB the net takes red first, by default blue."""

    mean: Mean | None = None
    scale: float = 1.0
    rgb: bool = False

    def blob(self, pixels: NDArray[Any], box: Box, size: tuple[int, int]) -> NDArray[Any]:
        """The input C×H×W, in float32, for PIXELS, H×W×C in RGB, which lie at BOX in a picture of SIZE."""
        import numpy as np

        channels = pixels.shape[2]
        made = np.empty((channels, *pixels.shape[:2]), np.float32)
        swapped = channels == _COLOURS and not self.rgb
        made[:] = np.moveaxis(pixels[:, :, ::-1] if swapped else pixels, 2, 0)
        if self.mean is not None:
            made -= _subtracted(self.mean, box, size)
        if self.scale != 1.0:
            made *= np.float32(self.scale)
        return made

    def check(self, channels: int) -> None:
        """Raise PictureError where the mean is none for a net of so many CHANNELS."""
        if self.mean is not None and not self.mean.suits(channels):
            found = self.mean.values.shape[0]
            raise PictureError(f"mean {self.mean.name}: expected {channels} channels, as the net takes, found {found}")

    def note(self, size: tuple[int, int]) -> str | None:
        """What to tell of these steps on a picture of SIZE: that an image of the mean is of another size, so that
        the means of its channels are taken, as in Caffe's own examples."""
        if self.mean is None or self.mean.values.ndim == 1 or self.mean.values.shape[1:] == size:
            return None
        held = show(self.mean.values.shape[1:])
        return f"mean {self.mean.name}: of {held} pixels, the picture of {show(size)}; took the means of its channels"


def _subtracted(mean: Mean, box: Box, size: tuple[int, int]) -> NDArray[Any]:
    """What to subtract from the pixels at BOX of a picture of SIZE."""
    import numpy as np

    values = mean.values
    if values.shape[1:] == size:
        return values[:, box.top : box.bottom, box.left : box.right]
    return np.asarray(values.reshape(values.shape[0], -1).mean(1, np.float64), np.float32)[:, None, None]


# ---- What the net says ----


class Transform(NamedTuple):
    """What a data layer of a net does to its pictures: it subtracts the MEANS, or else those in a file, and scales."""

    layer: str
    means: tuple[float, ...] = ()
    mean_file: str = ""
    scale: float = 1.0


def transform_of(graph: Graph, feed: str | None = None) -> Transform | None:
    """What the data layer that makes the blob FEED says in its transform_param, or the first layer that says anything.

    Raises PictureError for a mean or a scale that is no number.
    """
    for node in graph.nodes:
        param = node.layer.transform_param
        if node.bottoms or (feed is not None and feed not in [blob.name for blob in node.tops]):
            continue
        if not all(map(math.isfinite, (*param.mean_value, param.scale))):
            raise PictureError(
                f"{graph.source}: layer {node.name!r}: expected a mean and a scale, found NaN or infinity"
            )
        found = Transform(node.name, tuple(param.mean_value), param.mean_file, param.scale)
        if found != Transform(node.name):
            return found
    return None


def with_defaults(
    transform: Transform | None, mean: Mean | None, scale: float | None, rgb: bool = False
) -> tuple[Preprocessing, tuple[str, ...]]:
    """The steps by MEAN and SCALE where these are given, else by TRANSFORM, with notes on what comes from there.

    No file that a net names is opened.
    """
    import numpy as np

    stated = transform or Transform("")
    layer = f"layer {printable(stated.layer)!r}"
    notes = []
    if mean is None and stated.means:
        text = ",".join(f"{value:.6g}" for value in stated.means)
        mean = Mean(f"of {layer}", np.array(stated.means, np.float32))
        notes.append(f"{layer} subtracts the mean {text}, and so does this; choose another with --mean")
    elif mean is None and stated.mean_file:
        name = printable(stated.mean_file, 80)
        notes.append(f"{layer} subtracts the mean in {name!r}, which was not opened; give it with --mean")
    if scale is None and stated.scale != 1:
        notes.append(f"{layer} multiplies by {stated.scale:.6g}, and so does this; choose another with --scale")
    return Preprocessing(mean, stated.scale if scale is None else scale, rgb), tuple(notes)


# ---- A mean that is given ----


def read_mean(text: str) -> Mean:
    """The mean that TEXT says: numbers with commas between, or the name of a .npy or a binaryproto.

    Raises PictureError where it says none; OSError where a file cannot be read.
    """
    import numpy as np

    if re.fullmatch(rf"{_NUMBER}(\s*,\s*{_NUMBER})*", text) and not os.path.isfile(text):
        return Mean(text, _single(text, np.array([float(value) for value in text.split(",")])))
    if os.path.exists(text) or text.lower().endswith((".npy", ".binaryproto")):
        return Mean(text, _single(text, _file(text)))
    raise PictureError(
        f"mean {text}: expected numbers such as 104,117,123, or a .npy or .binaryproto, found no such file"
    )


def _single(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """VALUES in single precision. Raises PictureError for NaN."""
    import numpy as np

    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if not np.isfinite(single).all():
        raise PictureError(f"mean {name}: expected numbers, found NaN or infinity")
    return single


def _file(path: str) -> NDArray[Any]:
    """The values in the file at PATH, C or C×H×W."""
    size = os.path.getsize(path)
    if size > _MOST_BYTES:
        raise PictureError(f"mean {path}: expected at most {_MOST_BYTES:,} bytes, found {size:,}")
    with open(path, "rb") as file:
        start = file.read(6)
    values = _npy(path) if start == b"\x93NUMPY" else _binaryproto(path)
    if values.dtype.kind not in "buif" or values.ndim not in (1, 3, 4) or 0 in values.shape:
        raise PictureError(f"mean {path}: expected numbers, C or C×H×W, found {values.dtype}, {show(values.shape)}")
    if values.ndim == 4 and values.shape[0] != 1:
        raise PictureError(f"mean {path}: expected one image, found {values.shape[0]}")
    return values[0] if values.ndim == 4 else values


def _npy(path: str) -> NDArray[Any]:
    """The array in the .npy at PATH."""
    import numpy as np

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.array(np.lib.format.open_memmap(path, mode="r"))  # checks the header against the file's size
    except OSError:
        raise
    except Exception as error:  # numpy has Python parse the header, which fails in many ways
        reason = " ".join(str(error).split())[:80]
        raise PictureError(f"mean {path}: expected an array in .npy, found a damaged file ({reason})") from error


def _binaryproto(path: str) -> NDArray[Any]:
    """The values of the BlobProto at PATH, with four axes, or as many as it says."""
    import numpy as np
    from google.protobuf.message import DecodeError

    with open(path, "rb") as file:
        data = file.read()
    try:
        blob = schema.message_class("BlobProto").FromString(data)
    except DecodeError:
        raise PictureError(f"mean {path}: expected a .npy or a binaryproto, found neither") from None
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    values = blob.double_data or blob.data
    if len(values) != math.prod(shape) or min(shape, default=0) < 1:
        found = f"{len(values)} for {show(shape)}"
        raise PictureError(f"mean {path}: expected as many values as its shape says, found {found}")
    return np.array(values).reshape(shape)
