"""The dialect of OpenCV's reader of Caffe files, and rules for what OpenCV computes wrongly without an error.

A field has an effect only if OpenCV reads it. So required fields are always written, with Caffe's default, and fields
that it ignores or misreads are refused by name. Layer types of forks are supported only if OpenCV was compared with the
results of the fork.
"""

from __future__ import annotations

from caffe_fcn import schema
from caffe_fcn.engines.caffe_files import ReaderDialect, of_forks
from caffe_fcn.errors import LoweringError
from caffe_fcn.net.graph import Node
from caffe_fcn.net.layers import row_of
from caffe_fcn.net.layers.windows import convolution_windows, pooling_windows, rounds_down
from caffe_fcn.net.shapes import Shape
from caffe_fcn.onnx.scope import Scope
from caffe_fcn.schema import Message
from caffe_fcn.wording import Option, advise, offered

COMPARED = frozenset(
    "ConvolutionDepthwise DepthwiseConvolution DetectionOutput "
    "Interp Mish Normalize Permute PriorBox PSROIPooling ReLU6 Reorg ROIPooling ShuffleChannel".split()
)
"""The layer types of forks that OpenCV computes as the fork does, except for what is refused below."""

_DETECTED_FROM = 3
"""The number of bottoms of DetectionOutput."""
_VARIANCE = 0.1
"""The variance of PriorBox if the net gives none."""
_REQUIRED = {
    "prior_box_param": ("flip", "clip", "offset"),
    "detection_output_param": ("share_location", "background_label_id", "code_type", "keep_top_k"),
}
"""Fields that are always written, by message: OpenCV requires them, or its default is another."""


# ---- How a net is written ----


def _told(layer: Message, axes: int) -> str:
    """Change LAYER, whose first bottom has AXES axes, to the fields that OpenCV reads. Return text for fields that our
    schema does not have."""
    if layer.type == "LRN":
        layer.lrn_param.alpha = layer.lrn_param.alpha  # its default is not Caffe's
    for message, names in _REQUIRED.items():
        if layer.HasField(message):
            param = getattr(layer, message)
            for name in names:
                setattr(param, name, getattr(param, name))
    if layer.HasField("prior_box_param") and not layer.prior_box_param.variance:
        layer.prior_box_param.variance.append(_VARIANCE)
    if layer.HasField("detection_output_param"):
        param = layer.detection_output_param.nms_param
        param.nms_threshold = param.nms_threshold
    if layer.HasField("permute_param"):
        order = layer.permute_param.order
        order.extend([axis for axis in range(axes) if axis not in order])  # as the layer does; OpenCV needs all
    if layer.type == "DepthwiseConvolution":
        layer.type = "ConvolutionDepthwise"
    if layer.type != "Reorg":
        return ""
    stride = layer.reorg_param.stride
    layer.ClearField("reorg_param")
    return f"reorg_param {{ reorg_stride: {stride} }}\n"


# ---- What it computes wrongly without an error ----


_ALL_BUT_DEFAULT: tuple[tuple[str, str, str], ...] = (
    ("InnerProduct", "inner_product_param", "transpose"),
    ("LRN", "lrn_param", "k"),
    ("Log", "log_param", "base"),
    ("Log", "log_param", "scale"),
    ("Log", "log_param", "shift"),
    ("MVN", "mvn_param", "eps"),
    ("Swish", "swish_param", "beta"),
)
"""Fields that OpenCV ignores, so that only their defaults are correct: type of the layer, message, field."""


def _ignored(node: Node, scope: Scope) -> str | None:
    found = []
    for kind, message, field in _ALL_BUT_DEFAULT:
        param = getattr(node.layer, message)
        if node.type == kind and getattr(param, field) != param.DESCRIPTOR.fields_by_name[field].default_value:
            found.append(f"{message}.{field} is ignored")
    return ", ".join(found) or None


def _stochastic(node: Node, scope: Scope) -> str | None:
    method = schema.enum_number("PoolingParameter", "PoolMethod", "STOCHASTIC")
    stochastic = node.type == "Pooling" and node.layer.pooling_param.pool == method
    return "stochastic pooling is random" if stochastic else None


def _of_one(node: Node, scope: Scope) -> str | None:
    """Return why OpenCV does not support a single spatial axis, of which it makes two, or a single bottom."""
    if node.type == "Softmax" and len(_extents(node, scope)) == 1:
        return "a blob with one axis is read as a column"
    return "a single bottom is not copied" if node.type == "Concat" and len(node.bottoms) == 1 else None


def _scaled_elsewhere(node: Node, scope: Scope) -> str | None:
    if node.type != "Scale":
        return None
    if node.layer.scale_param.axis < 0:
        return "a negative scale_param.axis is not supported"
    second = len(node.bottoms) > 1 and node.layer.scale_param.bias_term
    return "scale_param.bias_term with two bottoms: the second bottom is read as the bias" if second else None


def _window_outside(node: Node, scope: Scope) -> str | None:
    """Return why a window outside of the map is not supported. The check is for all sizes, because a net is loaded
    once."""
    extents = _extents(node, scope)
    if node.type != "Pooling" or rounds_down(node.layer) or node.layer.pooling_param.global_pooling or not extents:
        return None
    windows = pooling_windows(node.layer, extents[2:])
    jumps = any(stride > kernel for stride, kernel in zip(windows.stride, windows.kernel, strict=True))
    outside = jumps and not any(windows.before + windows.after)
    return "a window may be outside the map; its maximum is then 0" if outside else None


def _writes_past_the_end(node: Node, scope: Scope) -> str | None:
    """Return why a padding is not supported with one tap: OpenCV computes a wrong size and writes past its end."""
    extents = _extents(node, scope)
    if node.type != "Deconvolution" or len(extents) < 3:
        return None
    windows = convolution_windows(node.layer, len(extents) - 2)
    single = {*windows.kernel, *windows.stride} == {1} and any(windows.before + windows.after)
    return "the padding of a 1×1 kernel is ignored" if single else None


def _extents(node: Node, scope: Scope) -> Shape:
    shape = scope.shapes.blobs[node.bottoms[0]]
    return shape if isinstance(shape, tuple) else ()


# ---- Layers of forks ----


def _not_compared(node: Node, scope: Scope) -> str | None:
    known = row_of(node.type).bvlc or node.type in COMPARED
    return None if known else "this type is missing, or was not compared with the fork's"


def _resized(node: Node, scope: Scope) -> str | None:
    if node.type != "Interp":
        return None
    if len(node.bottoms) > 1:
        return "a second bottom for the size is not supported"
    return _others(node.layer.interp_param, "interp_param", {"shrink_factor": 1, "pad_beg": 0, "pad_end": 0})


def _normalized(node: Node, scope: Scope) -> str | None:
    if node.type != "Normalize":
        return None
    param = node.layer.norm_param
    if not node.layer.HasField("norm_param"):
        return "without norm_param it is not the layer of SSD"
    several = param.across_spatial and not param.channel_shared
    return "one factor for each channel is not supported when all channels are normalized together" if several else None


def _prior_boxes(node: Node, scope: Scope) -> str | None:
    if node.type != "PriorBox":
        return None
    param = node.layer.prior_box_param
    if not all(float(size).is_integer() for size in (*param.min_size, *param.max_size)):
        return "sizes that are not integers, which Caffe truncates and OpenCV does not"
    given = [f"prior_box_param.{name}" for name in ("img_size", "img_h", "img_w") if param.HasField(name)]
    return f"ignored fields: {', '.join(given)}" if given else None


def _detections(node: Node, scope: Scope) -> str | None:
    if node.type != "DetectionOutput":
        return None
    param, message = node.layer.detection_output_param, "detection_output_param"
    if len(node.bottoms) > _DETECTED_FROM:
        return f"{len(node.bottoms)} bottoms; only the first three are read"
    if param.keep_top_k < 1:
        return f"{message}.keep_top_k of {param.keep_top_k} is not supported"
    if param.background_label_id < 0:
        return f"{message}.background_label_id of {param.background_label_id} is not supported"
    if param.nms_param.HasField("top_k") and param.nms_param.top_k == 0:
        return f"{message}.nms_param.top_k of 0 is read as no limit"
    if param.nms_param.eta != 1:
        return f"{message}.nms_param.eta is ignored"
    if param.variance_encoded_in_target:
        return f"{message}.variance_encoded_in_target needs other boxes"
    size = schema.enum_number("PriorBoxParameter", "CodeType", "CORNER_SIZE")
    return f"{message}.code_type of CORNER_SIZE is not supported" if param.code_type == size else None


def _reorganized(node: Node, scope: Scope) -> str | None:
    """Return why a reorganization is not supported: only one direction is, and if the square of the stride does not
    divide the channels, OpenCV reads past their end."""
    if node.type != "Reorg":
        return None
    if node.layer.reorg_param.reverse:
        return "reorg_param.reverse is ignored"
    channels = [*_extents(node, scope), 0][1]
    uneven = channels % node.layer.reorg_param.stride**2
    return "the channels are not a multiple of the squared stride" if uneven else None


def _leaky(node: Node, scope: Scope) -> str | None:
    slope = node.type == "ReLU6" and node.layer.relu6_param.negative_slope
    return "relu6_param.negative_slope is ignored" if slope else None


def _others(param: Message, message: str, safe: dict[str, int]) -> str | None:
    """Return the fields of PARAM, in the field MESSAGE, that differ from the values that OpenCV assumes."""
    found = [f"{message}.{name} is ignored" for name, value in safe.items() if getattr(param, name) != value]
    return ", ".join(found) or None


DIALECT = ReaderDialect(("float32",), ("ceil_mode", False), frozenset({"scale_train"}), told=_told, scalars=False)
RULES = (
    of_forks(DIALECT),
    _ignored,
    _stochastic,
    _of_one,
    _scaled_elsewhere,
    _window_outside,
    _writes_past_the_end,
    _not_compared,
    _resized,
    _normalized,
    _prior_boxes,
    _detections,
    _reorganized,
    _leaky,
)


def or_opencv(error: LoweringError) -> LoweringError:
    """Return ERROR; if OpenCV has all the missing layer types, and the command has engines, its hint names OpenCV
    too."""
    if offered("engine") and error.lacking and COMPARED.issuperset(error.lacking):
        *first, last = sorted(error.lacking)
        types = f"{', '.join(first)} and {last}" if first else last
        before = (error.hint, ", or ") if error.hint else ()
        error.hint = advise(*before, "use ", Option("engine", "opencv"), f", which supports {types}")
    return error
