"""Loads a net for pictures, with all settings: those of the user, and else those that the net itself defines."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Literal, NamedTuple

from caffe_fcn.display import printable
from caffe_fcn.engines.nets import Size
from caffe_fcn.engines.protocol import Engine
from caffe_fcn.errors import EngineError, PictureError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.options import Selection
from caffe_fcn.net.shapes import show
from caffe_fcn.net.source import SourceNet
from caffe_fcn.predict.choosing import check_maps
from caffe_fcn.predict.crops import Crop
from caffe_fcn.predict.draw.palette import read_palette
from caffe_fcn.predict.labels import Labels, read_labels
from caffe_fcn.predict.loading import load_picture_net
from caffe_fcn.predict.means import read_mean
from caffe_fcn.predict.options import DrawingOptions, PreparationOptions, RunOptions
from caffe_fcn.predict.outputs import Holds
from caffe_fcn.predict.picture_net import PictureNet
from caffe_fcn.predict.preprocessing import COLOURS, size_of, transform_of, with_defaults
from caffe_fcn.predict.resizing import shorter_side
from caffe_fcn.predict.run import DrawingSettings, RunSettings
from caffe_fcn.predict.stitching import check_stride, stride_of
from caffe_fcn.wording import Option, advise, option


def as_they_are() -> str:
    """Return the note if neither the net nor the user defines the preprocessing."""
    return (
        "pixels are used unchanged, from 0 to 255; if the net was trained on other values, "
        f"give {option('mean')} and {option('scale')}"
    )


class PreparedNet(NamedTuple):
    """A net that is loaded for pictures, its settings, and NOTES on both."""

    model: PictureNet
    settings: RunSettings
    notes: tuple[str, ...]


def prepare(
    source: SourceNet,
    weights: WeightFile,
    engine: Engine,
    selection: Selection,
    preparation: PreparationOptions | None = None,
    options: RunOptions | None = None,
    drawing: DrawingOptions | None = None,
    *,
    first: Callable[[int], Size | None] | None = None,
) -> PreparedNet:
    """Load the net SOURCE with its WEIGHTS for pictures. FIRST returns the size of the first picture, for a number of
    channels, for a net that does not define its own. Raises CaffeFcnError; OSError if a file cannot be read."""
    prepared, asked = preparation or PreparationOptions(), options or RunOptions()
    turned = prepared.column_major
    given = None if prepared.mean is None else read_mean(prepared.mean).turned(turned)
    wanted = None if asked.crop is None else Crop(asked.crop)
    like = None if wanted not in (None, Crop.NONE) else _like(asked.resize, first)
    model = load_picture_net(
        source, weights, engine, blobs=asked.blobs, selection=selection, like=like, column_major=turned
    )
    stated = transform_of(model.net.graph, model.feed)
    chosen = with_defaults(stated, given, prepared.scale, prepared.swap_channels)
    as_is = stated is None and prepared.mean is None and prepared.scale is None
    notes = (as_they_are(),) if as_is else chosen.notes
    if asked.no_scores:
        model = replace(model, outputs=tuple(replace(each, holds=Holds.VALUES) for each in model.outputs))
    names = None
    if asked.labels is not None:
        model, names = _values_named(model, asked.labels) if asked.no_scores else _named(model, asked.labels)
    size, crop, told = _brought_to_size(model, model.nominal if asked.resize == "net" else asked.resize, wanted)
    stride = None if asked.stride is None else stride_of(asked.stride)
    settings = RunSettings(chosen.steps, names, size, crop, asked.scales, stride, asked.tile, asked.max_pixels)
    settings = settings._replace(drawing=_drawing(drawing or DrawingOptions()), no_scores=asked.no_scores)
    settings = settings._replace(column_major=turned, pad_to=asked.pad_to)
    check_settings(model, settings)
    if settings.drawing.colour and model.channels < COLOURS:
        told = (*told, "the net takes grey pictures, and so the picture below a drawing is grey")
    return PreparedNet(model, settings, (*model.notes, *notes, *told))


def _drawing(asked: DrawingOptions) -> DrawingSettings:
    """Return how maps are drawn as ASKED. Raises PictureError; OSError if a file cannot be read."""
    return DrawingSettings(
        None if asked.palette is None else read_palette(asked.palette),
        asked.upsample,
        None if isinstance(asked.value_range, str) else asked.value_range,
        asked.under == "colour",
    )


def _like(
    resize: Size | int | Literal["net"] | None, first: Callable[[int], Size | None] | None
) -> Callable[[int], Size | None] | None:
    """Return a function for the size of pictures after RESIZE, if that is known before the net is loaded. FIRST returns
    the size before."""
    if isinstance(resize, tuple):
        return lambda channels: resize
    if resize == "net" or first is None:
        return None

    def size(channels: int) -> Size | None:
        found = first(channels)
        return shorter_side(found, resize) if found is not None and isinstance(resize, int) else found

    return size


def _named(model: PictureNet, labels: str | os.PathLike[str]) -> tuple[PictureNet, Labels]:
    """Return MODEL, and the names of its classes in the file LABELS. If the user names the channels of the only output,
    they are classes. Raises PictureError if they cannot be."""
    found = [output for output in model.outputs if output.of_classes]
    if not found and len(model.outputs) == 1:
        found = [each for each in model.outputs if each.is_map or prod(each.shape) == prod(each.shape[:2])]
    named = [replace(each, holds=Holds.CLASSES) if each in found else each for each in model.outputs]
    model = replace(model, outputs=tuple(named))
    counts = {output.channels for output in found}
    if len(counts) != 1:
        shown = ", ".join(f"{output.name!r} {show(output.shape)}" for output in found or model.outputs)
        raise PictureError(
            expected="scores for one number of classes",
            found=shown,
            source=os.fspath(labels),
            hint=advise("choose a blob with ", Option("blob")),
        )
    return model, read_labels(labels, counts.pop())


def _values_named(model: PictureNet, labels: str | os.PathLike[str]) -> tuple[PictureNet, Labels]:
    """Return MODEL, and the names of the values of its outputs in the file LABELS. Raises PictureError if there are as
    many in no output."""
    names = read_labels(labels, None)
    if all(output.numbers != names.count for output in model.outputs):
        shown = ", ".join(f"{output.numbers} of {output.name!r}" for output in model.outputs)
        raise PictureError(
            expected=f"a name in each line for the values of an output: {shown}",
            found=f"{names.count}",
            source=os.fspath(labels),
        )
    return model, names


def _brought_to_size(
    model: PictureNet, resize: Size | int | None, crop: Crop | None
) -> tuple[Size | int | None, Crop, tuple[str, ...]]:
    """Return RESIZE and CROP, or if they are None those that the net defines, and notes on that. A dense net gets the
    whole picture, whatever it defines."""
    stated = size_of(model.net.graph, model.feed)
    if stated is None or (model.maps and model.fixed is None):
        return resize, crop or Crop.NONE, ()
    done, where = [], ""
    if resize is None and stated.resized is not None:
        resize = stated.resized[::-1] if model.column_major else stated.resized
        done.append(f"resizes pictures to {show(resize)}")
    if crop is None and stated.cropped:
        crop, where = Crop.CENTER, ", at the centre"
        done.append(f"crops {'them' if done else 'pictures'} to {show(model.nominal)}")
    told = (
        f"layer {printable(stated.layer)!r} {' and '.join(done)}, which is done here too{where}; choose otherwise with "
    )
    return resize, crop or Crop.NONE, (f"{told}{option('resize')} and {option('crop')}",) if done else ()


def check_settings(model: PictureNet, settings: RunSettings) -> None:
    """Raise CaffeFcnError if SETTINGS do not fit MODEL, for any picture."""
    settings.steps.check(model.channels, model.fixed if settings.crop is Crop.NONE else model.nominal)
    if settings.tile is not None:
        check_maps(model, "tile")
    if settings.scales != (1.0,):
        check_maps(model, "scales")
    if settings.pad_to is not None:
        check_maps(model, "pad_to")
    if settings.stride is not None:
        check_maps(model, "stride")
        check_stride(model, settings.stride)
    if settings.drawing.upsample:
        check_maps(model, "upsample")
    for output in model.outputs if settings.crop is Crop.TEN else ():
        if output.is_map or output.counted or prod(output.shape) != prod(output.shape[:2]):
            raise EngineError(
                f"{option('crop', 'ten')} averages answers for a whole picture, but {output.name!r}, "
                f"{show(output.shape)}, has answers for positions in it",
                source=model.source,
                hint=advise("use ", Option("crop", "center"), ", or choose another with ", Option("blob")),
            )
