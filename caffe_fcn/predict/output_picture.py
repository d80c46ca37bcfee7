"""Makes a picture of an output with one or three channels, as of a net for super-resolution.

The preprocessing is undone: a value is divided by the scale, the mean of its channel is added, and blue, green and red
become red, green and blue. The result is rounded and clipped to 0..255. With a range of values, the lowest becomes 0
and the highest 255 instead; scale and mean are not used then.

A mean image is added pixel by pixel if the output has a value for each pixel of the input; else the means of its
channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.errors import EngineError
from caffe_fcn.net.shapes import show
from caffe_fcn.predict.crops import frame_of
from caffe_fcn.predict.images.picture import Box, pillow
from caffe_fcn.predict.preprocessing import COLOURS
from caffe_fcn.wording import Option, advise, option

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from caffe_fcn.predict.draw.render import Drawing
    from caffe_fcn.predict.outputs import NetOutput
    from caffe_fcn.predict.run import Answer, BlobResult, RunSettings

_CHANNELS = {1: "grey", COLOURS: "RGB"}
"""The numbers of channels that make a picture, and what they are then."""

_WHITE = 255.0


class Restored(NamedTuple):
    """The picture made of BLOB: PIXELS, H×W×C in bytes. BELOW and ABOVE are the numbers of values that were clipped."""

    blob: str
    pixels: NDArray[Any]
    below: int
    above: int

    @property
    def channels(self) -> str:
        """What its channels are."""
        return _CHANNELS[self.pixels.shape[2]]

    def drawing(self) -> Drawing:
        """Return it as an image."""
        from caffe_fcn.predict.draw.render import Drawing  # here, because few pictures are drawn

        grey = self.pixels.shape[2] == 1
        return Drawing(pillow().fromarray(self.pixels[:, :, 0] if grey else self.pixels), 1, 1)


def pictured_of(outputs: Sequence[NetOutput], settings: RunSettings, source: str) -> NetOutput:
    """Return the one of OUTPUTS of the net SOURCE that can be a picture. Raises EngineError if there is none or more
    than one, or if SETTINGS do not allow it."""
    found = [each for each in outputs if _is_picture(each)]
    if len(found) > 1:
        names = ", ".join(repr(each.name) for each in found)
        raise EngineError(
            expected="one output that can be a picture",
            found=names,
            source=source,
            hint=advise("choose one with ", Option("blob")),
        )
    if not found:
        names = ", ".join(f"{each.name!r} {show(each.shape)}" for each in outputs)
        way = advise("draw a channel of a map with ", Option("heatmap"), " and ", Option("class"))
        raise EngineError(
            expected=f"an output N×C×H×W with one channel (grey) or three, for {option('picture')}",
            found=names,
            source=source,
            hint=advise("choose another with ", Option("blob"), ", or ", way),
        )
    (output,) = found
    if len(settings.scales) > 1:
        raise EngineError(f"{option('picture')} is made at one scale, found {len(settings.scales)}", source=source)
    mean = None if settings.drawing.span else settings.steps.mean
    if mean is not None and mean.values.ndim and len(mean.values) != output.channels:
        raise EngineError(
            f"the mean has {len(mean.values)} channels, which cannot be added to the {output.channels} of "
            f"{output.name!r}",
            source=source,
            hint=advise("give the values of black and white with ", Option("range")),
        )
    return output


def _is_picture(output: NetOutput) -> bool:
    """Return whether OUTPUT is, or may be for a larger input, a picture."""
    shape = output.shape
    if output.counted or len(shape) != 4 or shape[1] not in _CHANNELS:
        return False
    return output.is_map or (shape[0] == 1 and prod(shape[2:]) > 1)


def restored(answer: Answer, output: NetOutput, settings: RunSettings) -> Restored:
    """Return the picture of OUTPUT in ANSWER. Raises ExtraError."""
    import numpy as np

    result = next(each for each in answer.results if each.output.name == output.name)
    pixels, below, above = None, 0, 0
    for row, band, size in _bands(result, settings.column_major):
        if pixels is None:
            pixels = np.empty((*size, len(band)), np.uint8)
        values = _undone(band, row, answer, result, settings).round()
        below, above = below + int((values < 0).sum()), above + int((values > _WHITE).sum())
        found = np.moveaxis(values.clip(0, _WHITE).astype(np.uint8), 0, 2)
        swapped = found.shape[2] == COLOURS and not settings.steps.rgb
        pixels[row : row + band.shape[1]] = found[:, :, ::-1] if swapped else found
    if pixels is None:
        raise EngineError(f"{output.name!r} is empty")
    return Restored(output.name, pixels, below, above)


def _bands(result: BlobResult, column_major: bool) -> Iterator[tuple[int, NDArray[Any], tuple[int, int]]]:
    """Yield the values of RESULT, C×h×W, in bands of rows, each with its first row and the size of the whole. If the
    net is COLUMN_MAJOR, only maps are transposed already."""
    if result.levels:
        _, high, wide = result.levels[0].scores.shape
        yield from ((row, band, (high, wide)) for row, band in result.levels[0].scores.bands())
    elif result.values is not None:
        values = result.values[0].swapaxes(1, 2) if column_major else result.values[0]
        yield 0, values, values.shape[1:]


def _undone(band: NDArray[Any], row: int, answer: Answer, result: BlobResult, settings: RunSettings) -> NDArray[Any]:
    """Return BAND of RESULT, from ROW on, without the preprocessing, in double precision."""
    import numpy as np

    values, span, steps = band.astype(np.float64), settings.drawing.span, settings.steps
    if span is not None:
        return (values - span[0]) * (_WHITE / (span[1] - span[0]))
    values /= steps.scale
    if steps.mean is None:
        return values
    size = answer.plan.crops[0].size
    if steps.mean.is_image and result.levels and result.levels[0].scores.shape[1:] == size:
        values += steps.mean.part(frame_of(answer.plan.crops[0]), Box(row, 0, row + band.shape[1], size[1]))
    else:
        values += steps.mean.of_channels().reshape(-1, 1, 1)
    return values
