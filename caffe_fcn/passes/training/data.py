"""Makes the layers that feed pictures and label images to a training net.

There are two layers for each phase, TRAIN and TEST: one for the pictures and one for the label images. They must not
shuffle, because a picture and its labels have the same position in both lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from caffe_fcn import schema
from caffe_fcn.model.changes import NewLayer

LABEL = "label"
"""The blob of the labels, batch×1×H×W: the class of each pixel."""
IGNORED = 255
"""The label of pixels that do not count, as in PASCAL VOC."""

PHASES = ("TRAIN", "TEST")
"""In the order of Caffe's numbers for them."""
_FILES = {"TRAIN": "train", "TEST": "val"}
_LABELS = (
    "The labels: for each picture an image of the same height and width, whose values are the classes, from 0;",
    f"{IGNORED} marks pixels that do not count.",
)


class DataBlobs(NamedTuple):
    """The blobs that data layers make, and what they do to the pictures."""

    pictures: str
    channels: int | None
    """The channels of the pictures; None if unknown."""
    labels: str = LABEL
    prepared: schema.Message | None = None
    """The `transform_param` of the layer that fed pictures before, if it had one."""
    told: tuple[str, ...] = ()
    """Comments of another pass in that layer."""


def image_lists(blobs: DataBlobs) -> Iterator[NewLayer]:
    """Return ImageData layers, which read the files named in lists."""
    for phase in PHASES:
        name = _FILES[phase]
        lines = (
            f"{phase}: the pictures, one file and a number on each line: 'pictures/1.jpg 0'. The number is not used.",
            "Fill in the list and the folder that its names begin in. With batch_size 1 each may have its own size.",
            *_means(blobs),
        )
        reads = _image_data(blobs.pictures, f"{name}_pictures.txt", phase, blobs.channels != 1)
        yield NewLayer(_prepare(reads, blobs), comment=lines)
        lines = (
            f"{phase}: the label images, in the same order.",
            *_LABELS,
            "Store them as grey 8-bit PNG: ImageData would read the colours of a palette, not its numbers.",
        )
        yield NewLayer(_image_data(blobs.labels, f"{name}_labels.txt", phase, False), comment=lines)
    unused = schema.LayerParameter(name="unused", type="Silence")
    unused.bottom[:] = [_unused(blobs.pictures), _unused(blobs.labels)]
    yield NewLayer(unused, comment=("The numbers on the lines of the lists.",))


def databases(blobs: DataBlobs) -> Iterator[NewLayer]:
    """Return Data layers, which read LMDB databases as DIGITS makes them."""
    for phase in PHASES:
        name = _FILES[phase]
        lines = (f"{phase}: the LMDB of the pictures. Fill in its folder.", *_means(blobs))
        reads = _database(blobs.pictures, f"{name}_pictures_lmdb", phase)
        yield NewLayer(_prepare(reads, blobs), comment=lines)
        lines = (f"{phase}: the LMDB of the label images, with the same keys and one channel.", *_LABELS)
        yield NewLayer(_database(blobs.labels, f"{name}_labels_lmdb", phase), comment=lines)


def label_input(name: str, shape: tuple[int, ...]) -> NewLayer:
    """Return an Input layer with this NAME for labels of a SHAPE, which the program that calls Caffe fills."""
    layer = schema.LayerParameter(name=name, type="Input", top=[name])
    layer.input_param.shape.add().dim[:] = shape
    return NewLayer(layer, comment=_LABELS)


def _means(blobs: DataBlobs) -> Iterator[str]:
    """Return lines on the mean and the scale of the pictures."""
    old = blobs.prepared
    if old is not None and old.mean_file:
        yield f"The old net subtracted the mean image {old.mean_file}, which fits pictures of one size only."
        yield "Write the mean of each channel as mean_value in transform_param."
    elif old is not None and (old.mean_value or old.HasField("scale")):
        yield "The mean and the scale of the old net are kept."
    elif blobs.told:
        yield from blobs.told
        yield "Write the mean as mean_value and the scale as scale in transform_param."
    else:
        yield "Give the mean and the scale that the classifier was trained with in transform_param, if there were any:"
        if blobs.channels == 3:
            yield "for models of ImageNet often mean_value: 104 mean_value: 117 mean_value: 123 (blue, green, red)."
        else:
            yield "mean_value for all channels or for each, and scale, such as 0.00392157 for 1/255."


def _prepare(layer: schema.Message, blobs: DataBlobs) -> schema.Message:
    """Return LAYER, which reads pictures, with the means and the scale of the old net. Crops and mirrored pictures are
    left out, because the labels would not match."""
    old = blobs.prepared
    if old is not None and old.mean_value:
        layer.transform_param.mean_value.extend(old.mean_value)
    if old is not None and old.HasField("scale"):
        layer.transform_param.scale = old.scale
    return layer


def _image_data(top: str, source: str, phase: str, colour: bool) -> schema.Message:
    layer = _layer(top, "ImageData", phase)
    layer.top.append(_unused(top))
    layer.image_data_param.source = source
    layer.image_data_param.root_folder = "./"
    layer.image_data_param.batch_size = 1
    layer.image_data_param.shuffle = False
    if not colour:
        layer.image_data_param.is_color = False
    return layer


def _database(top: str, source: str, phase: str) -> schema.Message:
    layer = _layer(top, "Data", phase)
    layer.data_param.source = source
    layer.data_param.batch_size = 1
    layer.data_param.backend = schema.enum_number("DataParameter", "DB", "LMDB")
    return layer


def _layer(top: str, kind: str, phase: str) -> schema.Message:
    layer = schema.LayerParameter(name=top, type=kind, top=[top])
    layer.include.add().phase = PHASES.index(phase)
    return layer


def _unused(top: str) -> str:
    return f"{top}_number"
