"""Fillers: the initial values of parameter blobs, and Caffe's objections to them."""

from __future__ import annotations

from collections.abc import Iterator

from caffe_fcn.display import printable
from caffe_fcn.net.layers.row import FillersRule
from caffe_fcn.net.layers.shape import Shape, show
from caffe_fcn.net.objections import Severity
from caffe_fcn.schema import Message

WEIGHT, BIAS = "weight_filler", "bias_filler"
_TYPES = ("bilinear", "constant", "gaussian", "msra", "positive_unitball", "uniform", "xavier")


def objections_to(filler: Message, field: str, shape: Shape) -> Iterator[tuple[Severity, str]]:
    """Caffe's objections to the FILLER in FIELD for a blob of SHAPE."""
    if filler.type not in _TYPES:
        yield Severity.BVLC, f"{field}.type is {printable(filler.type)!r}, but BVLC Caffe has {', '.join(_TYPES)}"
    elif filler.sparse != -1 and filler.type != "gaussian":
        yield Severity.ERROR, f"{field}.sparse is given, but only a gaussian filler can be sparse, not {filler.type}"
    elif filler.type == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
        yield (
            Severity.ERROR,
            f"{field}.type is bilinear, but the blob is {show(shape)}; expected a square kernel over two axes",
        )


def filled(param: str, *names: str) -> FillersRule:
    """The rule of a layer whose fields PARAM.NAMES fill its blobs, in their order."""
    paths = tuple(f"{param}.{name}" for name in names)
    return lambda _layer, _params: paths


def weight_and_bias(param: str) -> FillersRule:
    """The rule of a layer with weights and biases, which are the blobs of one axis."""
    weight, bias = f"{param}.{WEIGHT}", f"{param}.{BIAS}"
    return lambda _layer, params: [bias if len(shape) == 1 else weight for shape in params]
