"""Makes the input of a net from pixels, with the preprocessing of its training.

The order of the steps is that of Caffe's `transform_param`: pixels of 0..255, blue before green before red, minus the
mean, times the scale. Nets trained on values of 0..1 have the scale 1/255; no other option is needed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.errors import PictureError
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.layers.data import crops, resizes
from caffe_fcn.predict.images.picture import Box
from caffe_fcn.predict.means import Frame, Mean
from caffe_fcn.wording import option

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLOURS = 3
"""The channels of a picture in colour."""


class Preprocessing(NamedTuple):
    """The steps from pixels to the input of a net. With RGB the net takes red first; by default blue."""

    mean: Mean | None = None
    scale: float = 1.0
    rgb: bool = False

    def blob(self, pixels: NDArray[Any], box: Box, frame: Frame) -> NDArray[Any]:
        """Return the input C×H×W, in float32, for PIXELS, H×W×C in RGB, which are at BOX in the input picture FRAME."""
        import numpy as np

        channels = pixels.shape[2]
        made = np.empty((channels, *pixels.shape[:2]), np.float32)
        swapped = channels == COLOURS and not self.rgb
        made[:] = np.moveaxis(pixels[:, :, ::-1] if swapped else pixels, 2, 0)
        if self.mean is not None:
            made -= self.mean.part(frame, box)
        if self.scale != 1.0:
            made *= np.float32(self.scale)
        return made

    def check(self, channels: int, size: tuple[int, int] | None = None) -> None:
        """Raise PictureError if the mean does not fit a net with CHANNELS; SIZE is the only size of pictures that the
        net accepts, if given."""
        if self.mean is not None:
            self.mean.check(channels, size)

    def note(self, frame: Frame) -> str | None:
        """Return notes on these steps for a picture; FRAME is the input of the net."""
        return None if self.mean is None else self.mean.note(frame)


# ---- The preprocessing that the net defines ----


class Transform(NamedTuple):
    """The preprocessing in a data layer of a net: it subtracts the MEANS, or those in a file, and scales."""

    layer: str
    means: tuple[float, ...] = ()
    mean_file: str = ""
    scale: float = 1.0


def transform_of(graph: Graph, feed: str | None = None) -> Transform | None:
    """Return the transform_param of the data layer that makes the blob FEED, or of the first layer that has one.

    Raises PictureError for a mean or a scale that is not a number.
    """
    for node in graph.nodes:
        param = node.layer.transform_param
        if node.bottoms or (feed is not None and feed not in [blob.name for blob in node.tops]):
            continue
        if not all(map(math.isfinite, (*param.mean_value, param.scale))):
            raise PictureError(
                source=graph.source, layer=node.name, expected="a mean and a scale", found="NaN or infinity"
            )
        found = Transform(node.name, tuple(param.mean_value), param.mean_file, param.scale)
        if found != Transform(node.name):
            return found
    return None


class StatedSize(NamedTuple):
    """How the data LAYER of a net changes the size of pictures: RESIZED to a height and width, if any, and then CROPPED
    or not."""

    layer: str
    resized: tuple[int, int] | None
    cropped: bool


def size_of(graph: Graph, feed: str) -> StatedSize | None:
    """Return how the data layer that makes the blob FEED changes the size of pictures; None if it does not."""
    for node in graph.nodes:
        if not node.bottoms and feed in [blob.name for blob in node.tops]:
            found = StatedSize(node.name, resizes(node.layer), crops(node.layer))
            return found if found.resized or found.cropped else None
    return None


def mean_stated(transform: Transform) -> Mean:
    """Return the mean with the numbers in TRANSFORM; a single one is for all channels, as in Caffe."""
    import numpy as np

    values = transform.means if len(transform.means) > 1 else transform.means[0]
    return Mean(f"of layer {printable(transform.layer)!r}", np.array(values, np.float32))


class ChosenSteps(NamedTuple):
    """The steps for a picture, and notes on those that come from the net."""

    steps: Preprocessing
    notes: tuple[str, ...]


def with_defaults(
    transform: Transform | None, mean: Mean | None, scale: float | None, rgb: bool = False
) -> ChosenSteps:
    """Return the steps with MEAN and SCALE if given, else those in TRANSFORM, with notes on what the net defines.

    Files named in a net are not opened.
    """
    stated = transform or Transform("")
    notes = stated_notes(stated, mean, scale)
    if mean is None and stated.means:
        mean = mean_stated(stated)
    return ChosenSteps(Preprocessing(mean, stated.scale if scale is None else scale, rgb), notes)


def stated_notes(stated: Transform, mean: Mean | None, scale: float | None) -> tuple[str, ...]:
    """Return notes on the mean and the scale in STATED, from the net, if MEAN and SCALE are not given."""
    layer = f"layer {printable(stated.layer)!r}"
    notes = []
    if mean is None and stated.means:
        text = ",".join(f"{value:.6g}" for value in stated.means)
        notes.append(f"the mean {text} comes from {layer}; choose another with {option('mean')}")
    elif mean is None and stated.mean_file:
        name = printable(stated.mean_file, 80)
        notes.append(f"{layer} subtracts the mean in {name!r}, which is not opened; give it with {option('mean')}")
    if scale is None and stated.scale != 1:
        notes.append(f"the scale {stated.scale:.6g} comes from {layer}; choose another with {option('scale')}")
    return tuple(notes)
