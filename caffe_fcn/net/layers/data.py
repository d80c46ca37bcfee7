"""Layers that read data.

A net often does not define the whole shape of its data. An axis that is None is inferred elsewhere (see the module on
completion); the user must give the shape of a top that is Missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from caffe_fcn.errors import ShapeError
from caffe_fcn.net.layers.fillers import objections_to
from caffe_fcn.net.layers.row import ANY, SOME, LayerType
from caffe_fcn.net.layers.shape import Bottoms, Missing, Shape, Top, Unknown
from caffe_fcn.net.layers.traits import DATA, OTHER
from caffe_fcn.net.objections import Severity
from caffe_fcn.schema import Message

_RGB = 3
_FLOW = 1
"""VideoDataParameter.Modality.FLOW."""
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
"""Types whose crop moved to transform_param in 2014. Caffe ignores the old field."""
_COLOURED = frozenset({"DenseImageData", "ImageData", "ImageSegData", "VideoData"})
"""Types that read image files. `is_color` gives the number of their channels."""


def _param(layer: Message) -> Message:
    """The message with the parameters of LAYER."""
    if layer.type == "VideoData":
        return layer.video_data_param if layer.HasField("video_data_param") else layer.image_data_param
    return getattr(layer, _PARAMS.get(layer.type, "data_param"))


def _size(layer: Message) -> tuple[int | None, int | None]:
    """Height and width of the images, cropped or else resized; None where LAYER does not define them."""
    resized = layer.transform_param.resize_param
    pairs = (*_cropped(layer), *_pairs(_param(layer), _RESIZES), (resized.height, resized.width))
    return next((pair for pair in pairs if all(pair)), (None, None))


def _cropped(layer: Message) -> tuple[tuple[int, int], ...]:
    own = _pairs(_param(layer), () if layer.type in _MOVED else _CROPS)
    return (*_pairs(layer.transform_param, _CROPS), *own)


def tells_size(layer: Message) -> bool:
    """Whether LAYER, if it is a data layer, defines the size of its images."""
    return layer.type not in _PARAMS or None not in _size(layer)


def crops(layer: Message) -> bool:
    """Whether the data LAYER crops each image to one size: the centre, or a random part in training."""
    return layer.type != "WindowData" and any(map(all, _cropped(layer)))


def resizes(layer: Message) -> tuple[int, int] | None:
    """The height and width to which the data LAYER resizes images before it crops them, as ImageData does."""
    return next((pair for pair in _pairs(_param(layer), _RESIZES) if all(pair)), None)


def _pairs(param: Message, names: Sequence[tuple[str, str]]) -> Iterator[tuple[int, int]]:
    """The values of pairs of fields; a missing field counts as 0."""
    for height, width in names:
        yield getattr(param, height, 0), getattr(param, width, 0)


def _batch(layer: Message) -> int:
    return max(1, int(_param(layer).batch_size))


def declared_channels(layer: Message) -> int | None:
    """The channels of the images of the data LAYER, if its own parameters define them; else None."""
    transform = layer.transform_param
    if len(transform.mean_value) > 1:
        return len(transform.mean_value)
    if layer.type in _COLOURED:
        return _RGB if _param(layer).is_color else 1
    if transform.force_color or layer.data_param.force_encoded_color or layer.type == "WindowData":
        return _RGB
    return 1 if transform.force_gray else None


def set_channels(layer: Message, position: int, channels: int) -> None:
    """Let LAYER feed so many CHANNELS at its top at POSITION, as far as it says that: in shapes, in what it makes of
    image files, and in its mean, which is 0 for new channels, and the average for a grey one."""
    shapes = layer.input_param.shape if layer.type == "Input" else ()
    if shapes:
        shapes[min(position, len(shapes) - 1)].dim[1] = channels
    if layer.type == "MemoryData":
        layer.memory_data_param.channels = channels
    if layer.type in _COLOURED and channels in (1, _RGB):
        _param(layer).is_color = channels == _RGB
    transform = layer.transform_param
    if transform.force_color and channels == 1:
        transform.ClearField("force_color")
        transform.force_gray = True
    if len(transform.mean_value) > 1:
        means = list(transform.mean_value)
        added = means + [0.0] * (channels - len(means))
        transform.mean_value[:] = [sum(means) / len(means)] if channels == 1 else added


def data_objections(layer: Message, _bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """BVLC Caffe's objections to a data layer: the number of tops, and contradicting parameters."""
    if len(layer.top) != 2 and not (layer.type == "Data" and len(layer.top) == 1):
        wanted = "1 or 2" if layer.type == "Data" else "2"
        yield Severity.BVLC, f"it has {len(layer.top)} tops, but BVLC Caffe makes {wanted}, data and labels"
    param = layer.image_data_param
    if layer.type == "ImageData" and bool(param.new_height) != bool(param.new_width):
        yield Severity.ERROR, "expected both new_height and new_width or neither, found one of them"
    transform = layer.transform_param
    if transform.mean_file and transform.mean_value:
        yield Severity.ERROR, "transform_param has both mean_file and mean_value, but Caffe takes only one; remove one"
    if transform.force_color and transform.force_gray:
        yield (
            Severity.ERROR,
            "transform_param has both force_color and force_gray, which exclude each other; remove one",
        )


def _with_labels(layer: Message, data: Top, batch: int) -> list[Top]:
    """DATA, a label for each item, and the further tops of forks."""
    more = [Missing("input", "BVLC Caffe does not have this top")] * (len(layer.top) - 2)
    return [data, (batch,), *more]


def images(layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """DataLayer, ImageDataLayer, WindowDataLayer: images N×C×H×W and a label for each."""
    batch = _batch(layer)
    if layer.type == "WindowData" and None in _size(layer):
        raise ShapeError("crop_size is missing")
    return _with_labels(layer, (batch, None, *_size(layer)), batch)


def annotated_images(layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """AnnotatedData of SSD: images, and boxes; one box is assumed."""
    return [(_batch(layer), None, *_size(layer)), (1, 1, 1, _BOX_LABEL)]


def labelled_maps(layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """DenseImageData of SegNet and ENet, ImageSegData of DeepLab: images, a label for each place, the images' sizes."""
    batch, size = _batch(layer), _size(layer)
    factor = layer.dense_image_data_param.label_divide_factor or 1
    labels = [None if extent is None else extent // factor for extent in size]
    return [(batch, None, *size), (batch, 1, *labels), (batch, 1, 1, 2)]


def videos(layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """VideoData: clips N×C×L×H×W of C3D, or N×C×H×W of temporal segment networks, and a label for each.

    A temporal segment network has the frames of all segments as channels: 3 colours, or 2 directions of the flow.
    """
    param, size = _param(layer), _size(layer)
    if layer.video_data_param.HasField("num_segments") or layer.video_data_param.HasField("modality"):
        values = 2 if layer.video_data_param.modality == _FLOW else _RGB
        channels = values * max(1, param.new_length) * max(1, layer.video_data_param.num_segments)
        return [(_batch(layer), channels, *size), (_batch(layer),)]
    return [(_batch(layer), None, param.new_length or None, *size), (_batch(layer),)]


def memory_data(layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """MemoryDataLayer: all four extents are given."""
    param = layer.memory_data_param
    shape = (param.batch_size, param.channels, param.height, param.width)
    if not all(shape):
        raise ShapeError("batch_size, channels, height and width must all be given")
    return _with_labels(layer, shape, param.batch_size)


def hdf5_data(layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """HDF5DataLayer: the shapes are in the HDF5 file."""
    return [Missing("input", "its shape is in an HDF5 file, not in the net")] * len(layer.top)


def inputs(layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """InputLayer: a shape for each top, or one for all. Without a shape, the program that uses the net must set it."""
    shapes = [tuple(shape.dim) for shape in layer.input_param.shape]
    if not shapes:
        return [Missing("input", "the net does not give the shape of this input")] * len(layer.top)
    return _one_each(shapes, layer, "input_param.shape")


def dummy_data_objections(layer: Message, _bottoms: Bottoms) -> Iterator[tuple[Severity, str]]:
    """Caffe's objections to a DummyData: the number and the types of its fillers."""
    fillers, tops = layer.dummy_data_param.data_filler, _dummy_shapes(layer)
    if len(fillers) not in (0, 1, len(tops)):
        yield (
            Severity.ERROR,
            f"it has {len(fillers)} data_filler for {len(tops)} tops; give one for all, or one for each",
        )
    for filler, shape in zip(list(fillers) * (len(tops) if len(fillers) == 1 else 1), tops, strict=False):
        yield from objections_to(filler, "dummy_data_param.data_filler", shape)


def dummy_data(layer: Message, _bottoms: Bottoms) -> Sequence[Top]:
    """DummyDataLayer: values that fillers make."""
    return _dummy_shapes(layer)


def _dummy_shapes(layer: Message) -> Sequence[Shape]:
    """The shapes, given as for Input or by num, channels, height and width, each once or for each top."""
    param = layer.dummy_data_param
    legacy = [list(values) for values in (param.num, param.channels, param.height, param.width)]
    if param.shape:
        if any(legacy):
            raise ShapeError("shape is given beside num, channels, height or width; keep shape")
        return _one_each([tuple(shape.dim) for shape in param.shape], layer, "dummy_data_param.shape")
    for values, field in zip(legacy, ("num", "channels", "height", "width"), strict=True):
        if len(values) not in (1, len(layer.top)):
            raise ShapeError(f"{field} is given {len(values)} times; expected once or {len(layer.top)} times")
    return [tuple(values[min(top, len(values) - 1)] for values in legacy) for top in range(len(layer.top))]


def _one_each(shapes: list[Shape], layer: Message, field: str) -> list[Shape]:
    """SHAPES for the tops of LAYER: one for each, or one for all."""
    if len(shapes) not in (1, len(layer.top)):
        raise ShapeError(f"{field} is given {len(shapes)} times; expected once or {len(layer.top)} times")
    return shapes if len(shapes) == len(layer.top) else shapes * len(layer.top)


_PYTHON: dict[str, Callable[[Bottoms], Sequence[Top]]] = {
    "ProposalLayer": lambda _: [(1, 5), (1, 1, 1, 1)],  # Faster R-CNN: regions and their scores
    "SpatialDropoutLayer": lambda bottoms: [bottoms[0]],  # ENet
}
"""Layers in Python that published nets use, by class."""


def python(layer: Message, bottoms: Bottoms) -> Sequence[Top]:
    """PythonLayer: the shape depends on its code, except for a few known layers."""
    param = layer.python_param
    if param.layer in _PYTHON and bottoms:
        return _PYTHON[param.layer](bottoms)
    reason = f"the Python layer {param.module}.{param.layer} determines its shape when it runs"
    return [Missing("type" if bottoms else "input", reason)] * len(layer.top)


def detectnet_transformation(layer: Message, bottoms: Bottoms) -> Sequence[Top]:
    """DetectNetTransformation of NVCaffe: images of a given size; the number of labels depends on the classes."""
    param = layer.detectnet_groundtruth_param
    images_in = bottoms[0]
    batch, channels = (1, _RGB) if isinstance(images_in, Unknown) or len(images_in) < 2 else images_in[:2]
    labels = Missing("type", "its channels depend on the classes of detectnet_groundtruth_param")
    return [(batch, channels, param.image_size_y, param.image_size_x), labels]


_BVLC = DATA._replace(bvlc=True, tops=SOME)
_IMAGES = _BVLC._replace(shape=images, objections=data_objections)
_MAPS = DATA._replace(shape=labelled_maps)

ROWS: dict[str, LayerType] = {
    "AnnotatedData": DATA._replace(shape=annotated_images, reads="annotated_data_param data_param transform_param"),
    "Data": _IMAGES._replace(reads="data_param transform_param"),
    "DenseImageData": _MAPS._replace(reads="dense_image_data_param transform_param"),
    "DetectNetTransformation": OTHER._replace(
        shape=detectnet_transformation,
        partial=True,
        bottoms=(2, 2),
        reads="detectnet_groundtruth_param transform_param",
    ),
    "DummyData": _BVLC._replace(
        shape=dummy_data, objections=dummy_data_objections, constant=True, reads="dummy_data_param"
    ),
    "HDF5Data": _BVLC._replace(shape=hdf5_data, v1="HDF5_DATA", reads="hdf5_data_param"),
    "ImageData": _IMAGES._replace(reads="image_data_param transform_param"),
    "ImageSegData": _MAPS._replace(reads="image_data_param transform_param"),
    "Input": _BVLC._replace(shape=inputs, makes="values", reads="input_param"),
    "MemoryData": _IMAGES._replace(shape=memory_data, reads="memory_data_param transform_param"),
    "Python": OTHER._replace(bvlc=True, shape=python, params=None, partial=True, bottoms=ANY, reads="python_param"),
    "VideoData": DATA._replace(shape=videos, reads="image_data_param video_data_param transform_param"),
    "WindowData": _IMAGES._replace(reads="window_data_param transform_param"),
}
