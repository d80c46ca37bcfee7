"""What Caffe has against the fillers of a layer, the values that its parameter blobs begin with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe_fcn import schema
from caffe_fcn.files.literals import printable
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.shapes.registry import Shape, show

_TYPES = ("bilinear", "constant", "gaussian", "msra", "positive_unitball", "uniform", "xavier")
_FIELDS = {
    "Bias": ("bias_param", "filler"),
    "Convolution": ("convolution_param", "weight_filler", "bias_filler"),
    "Deconvolution": ("convolution_param", "weight_filler", "bias_filler"),
    "Embed": ("embed_param", "weight_filler", "bias_filler"),
    "InnerProduct": ("inner_product_param", "weight_filler", "bias_filler"),
    "LSTM": ("recurrent_param", "weight_filler", "bias_filler"),
    "PReLU": ("prelu_param", "filler"),
    "RNN": ("recurrent_param", "weight_filler", "bias_filler"),
    "Scale": ("scale_param", "filler", "bias_filler"),
}
"""The fillers of each type, in the order of the blobs that they fill."""


def filler_objections(layer: schema.Message, params: Sequence[Shape]) -> Iterator[tuple[Severity, str]]:
    """What Caffe has against the fillers of LAYER, whose parameter blobs have the shapes PARAMS."""
    name, *fields = _FIELDS.get(layer.type, ("",))
    if layer.type == "Scale" and len(layer.bottom) > 1:  # the second bottom takes the place of the first blob
        del fields[0]
    for field, shape in zip(fields, params, strict=False):
        yield from objections_to(getattr(getattr(layer, name), field), f"{name}.{field}", shape)


def objections_to(filler: schema.Message, field: str, shape: Shape) -> Iterator[tuple[Severity, str]]:
    """What Caffe has against the FILLER in FIELD for a blob of SHAPE."""
    if filler.type not in _TYPES:
        yield Severity.BVLC, f"{field}.type is {printable(filler.type)!r}, but BVLC Caffe has {', '.join(_TYPES)}"
    elif filler.sparse != -1 and filler.type != "gaussian":
        yield Severity.ERROR, f"{field}.sparse is given, but only a gaussian filler can be sparse, not {filler.type}"
    elif filler.type == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
        yield Severity.ERROR, f"{field}.type is bilinear, but the blob is {show(shape)}, no square kernel over two axes"
