"""Shape rules of the layers that bring data in.

A net often leaves out part of what it reads: an axis that is None is to be found elsewhere (see the
module on completion), a top that is Missing must be told by the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from caffe_fcn import schema
from caffe_fcn.errors import ShapeError
from caffe_fcn.net.shapes.registry import Bottoms, Missing, Shape, Top, Unknown, rule

_RGB = 3
_BOX_LABEL = 8
"""A box of AnnotatedData: item, class, instance, four corners, difficulty."""
_PARAMS = {
    "AnnotatedData": "data_param",
    "Data": "data_param",
    "DenseImageData": "dense_image_data_param",
    "ImageData": "image_data_param",
    "ImageSegData": "image_data_param",
    "WindowData": "window_data_param",
}
_CROPS = (("crop_size", "crop_size"), ("crop_h", "crop_w"), ("crop_height", "crop_width"))
_RESIZES = (("new_height", "new_width"),)
_MOVED = frozenset({"Data", "ImageData", "WindowData"})
"""Types whose crop moved to transform_param in 2014; Caffe does not look at the old place, which V1 nets leave."""
_COLOURED = frozenset({"DenseImageData", "ImageData", "ImageSegData", "VideoData"})
"""Types that read image files, as `is_color` says, so that they know their channels."""


def _param(layer: schema.Message) -> schema.Message:
    """The message in which LAYER says what it reads."""
    if layer.type == "VideoData":
        return layer.video_data_param if layer.HasField("video_data_param") else layer.image_data_param
    return getattr(layer, _PARAMS.get(layer.type, "data_param"))


def _size(layer: schema.Message) -> tuple[int | None, int | None]:
    """Height and width of the images, as far as LAYER says: cropped, else resized."""
    param, transform = _param(layer), layer.transform_param
    for height, width in (
        *_pairs(transform, _CROPS),
        *_pairs(param, () if layer.type in _MOVED else _CROPS),
        *_pairs(param, _RESIZES),
        (transform.resize_param.height, transform.resize_param.width),
    ):
        if height and width:
            return height, width
    return None, None


def _pairs(param: schema.Message, names: Sequence[tuple[str, str]]) -> Iterator[tuple[int, int]]:
    """The values of pairs of fields; what a message lacks counts as 0."""
    for height, width in names:
        yield getattr(param, height, 0), getattr(param, width, 0)


def _batch(layer: schema.Message) -> int:
    return max(1, int(_param(layer).batch_size))


def declared_channels(layer: schema.Message) -> int | None:
    """The channels of the images that the data LAYER reads, as far as its own parameters tell."""
    transform = layer.transform_param
    if len(transform.mean_value) > 1:
        return len(transform.mean_value)
    if layer.type in _COLOURED:
        return _RGB if _param(layer).is_color else 1
    if transform.force_color or layer.data_param.force_encoded_color or layer.type == "WindowData":
        return _RGB
    return 1 if transform.force_gray else None


@rule("Data", "ImageData", "WindowData", bottoms=0)
def images(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """DataLayer, ImageDataLayer, WindowDataLayer: images N×C×H×W and a label for each."""
    batch = _batch(layer)
    if layer.type == "WindowData" and None in _size(layer):
        raise ShapeError("crop_size is missing")
    return [(batch, None, *_size(layer)), (batch,)]


@rule("AnnotatedData", bottoms=0)
def annotated_images(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """AnnotatedData of SSD: images, and boxes of which one is taken to be there."""
    return [(_batch(layer), None, *_size(layer)), (1, 1, 1, _BOX_LABEL)]


@rule("DenseImageData", "ImageSegData", bottoms=0)
def labelled_maps(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """DenseImageData of SegNet, ImageSegData of DeepLab: images, a label for each place, the images' sizes."""
    batch, size = _batch(layer), _size(layer)
    return [(batch, None, *size), (batch, 1, *size), (batch, 1, 1, 2)]


@rule("VideoData", bottoms=0)
def videos(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """VideoData of C3D: clips N×C×L×H×W and a label for each."""
    length = _param(layer).new_length or None
    return [(_batch(layer), None, length, *_size(layer)), (_batch(layer),)]


@rule("MemoryData", bottoms=0)
def memory_data(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """MemoryDataLayer: all four extents are given."""
    param = layer.memory_data_param
    shape = (param.batch_size, param.channels, param.height, param.width)
    if not all(shape):
        raise ShapeError("batch_size, channels, height and width must all be given")
    return [shape, (param.batch_size,)]


@rule("HDF5Data", bottoms=0)
def hdf5_data(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """HDF5DataLayer: only the file knows."""
    return [Missing("input", "its shape is in an HDF5 file, not in the net")] * len(layer.top)


@rule("Input", bottoms=0)
def inputs(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """InputLayer: a shape for each top, one for all, or none, to be told by the program that uses the net."""
    shapes = [tuple(shape.dim) for shape in layer.input_param.shape]
    if not shapes:
        return [Missing("input", "the net does not give the shape of this input")] * len(layer.top)
    return _one_each(shapes, layer, "input_param.shape")


@rule("DummyData", bottoms=0)
def dummy_data(layer: schema.Message, _bottoms: Bottoms) -> Sequence[Top]:
    """DummyDataLayer: shapes as for Input, or num, channels, height and width, each once or for each top."""
    param = layer.dummy_data_param
    legacy = [list(values) for values in (param.num, param.channels, param.height, param.width)]
    if param.shape:
        if any(legacy):
            raise ShapeError("shape is given beside num, channels, height or width; keep shape")
        return _one_each([tuple(shape.dim) for shape in param.shape], layer, "dummy_data_param.shape")
    for values, field in zip(legacy, ("num", "channels", "height", "width"), strict=True):
        if len(values) not in (1, len(layer.top)):
            raise ShapeError(f"{field} is given {len(values)} times, but once or {len(layer.top)} times is expected")
    return [tuple(values[min(top, len(values) - 1)] for values in legacy) for top in range(len(layer.top))]


def _one_each(shapes: list[Shape], layer: schema.Message, field: str) -> list[Shape]:
    """SHAPES for the tops of LAYER: one for each, or one for all."""
    if len(shapes) not in (1, len(layer.top)):
        raise ShapeError(f"{field} is given {len(shapes)} times, but once or {len(layer.top)} times is expected")
    return shapes if len(shapes) == len(layer.top) else shapes * len(layer.top)


_PYTHON: dict[str, Callable[[Bottoms], Sequence[Top]]] = {
    "ProposalLayer": lambda _: [(1, 5), (1, 1, 1, 1)],  # Faster R-CNN: regions and their scores
    "SpatialDropoutLayer": lambda bottoms: [bottoms[0]],  # ENet
}
"""Layers in Python that published nets use, by class."""


@rule("Python", params=None, bottoms=(0, None), partial=True)
def python(layer: schema.Message, bottoms: Bottoms) -> Sequence[Top]:
    """PythonLayer: its code decides, but for the few that are known here."""
    param = layer.python_param
    if param.layer in _PYTHON and bottoms:
        return _PYTHON[param.layer](bottoms)
    reason = f"the Python layer {param.module}.{param.layer} decides on its shape"
    return [Missing("type" if bottoms else "input", reason)] * len(layer.top)


@rule("DetectNetTransformation", bottoms=2, partial=True)
def detectnet_transformation(layer: schema.Message, bottoms: Bottoms) -> Sequence[Top]:
    """DetectNetTransformation of NVCaffe: images of the size given; how many labels, its classes decide."""
    param = layer.detectnet_groundtruth_param
    images_in = bottoms[0]
    batch, channels = (1, _RGB) if isinstance(images_in, Unknown) or len(images_in) < 2 else images_in[:2]
    labels = Missing("type", "its channels depend on the classes of detectnet_groundtruth_param")
    return [(batch, channels, param.image_size_y, param.image_size_x), labels]
