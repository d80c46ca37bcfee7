"""Lowers layers that work on each value, and layers that combine several blobs value by value."""

from __future__ import annotations

from collections.abc import Callable
from math import e, inf, log, pow

from caffe_fcn.onnx.extents import extents, reshape, shape_from
from caffe_fcn.onnx.graph import Attribute, Builder
from caffe_fcn.onnx.registry import FixedSizeError, LoweringSite, RefusalError, lowering
from caffe_fcn.schema import Message

_FLOAT = 1
_PROD, _SUM = 0, 1
"""EltwiseParameter.EltwiseOp; the third is MAX."""
_E = -1
"""The number for the base e in Exp and Log."""

_PLAIN: dict[str, tuple[str, Callable[[Message], dict[str, Attribute]]]] = {
    "AbsVal": ("Abs", lambda layer: {}),
    "BNLL": ("Softplus", lambda layer: {}),
    "HardSwish": ("HardSwish", lambda layer: {}),
    "Mish": ("Mish", lambda layer: {}),
    "Sigmoid": ("Sigmoid", lambda layer: {}),
    "TanH": ("Tanh", lambda layer: {}),
}
"""Layer type to its single operation, and the attributes of that."""


@lowering(*sorted(_PLAIN))
def plain(site: LoweringSite) -> str:
    """Lower layers that are a single ONNX operator."""
    op, attributes = _PLAIN[site.node.type]
    return site.build.node(op, site.inputs[0], **attributes(site.layer))


@lowering("Split")
def split(site: LoweringSite) -> list[str]:
    """Lower SplitLayer: the bottom, several times."""
    return [site.inputs[0]] * len(site.tops)


@lowering("Dropout")
def dropout(site: LoweringSite) -> str:
    """Lower DropoutLayer, which has an effect in training only. With Fast R-CNN's scale_train: false, training did not
    scale, so values are scaled here, by the fraction that training kept."""
    kept = 1.0 if site.layer.dropout_param.scale_train else 1 - site.layer.dropout_param.dropout_ratio
    return _affine(site.build, site.inputs[0], kept, 0)


@lowering("ReLU")
def relu(site: LoweringSite) -> str:
    """Lower ReLULayer, leaky if negative_slope is set."""
    return rectified(site.build, site.inputs[0], site.layer.relu_param.negative_slope)


def rectified(build: Builder, value: str, slope: float = 0) -> str:
    """Return VALUE where it is positive, and else SLOPE times VALUE."""
    return build.node("LeakyRelu", value, alpha=slope) if slope else build.node("Relu", value)


@lowering("ELU")
def elu(site: LoweringSite) -> str:
    """Lower ELULayer; NVCaffe's has a factor, `lambda`."""
    param = site.layer.elu_param
    return _affine(site.build, site.build.node("Elu", site.inputs[0], alpha=param.alpha), getattr(param, "lambda"), 0)


@lowering("ReLU6")
def relu6(site: LoweringSite) -> str:
    """Lower ReLU6 of mobile nets: a ReLU with the maximum 6, leaky if negative_slope is set."""
    slope = site.layer.relu6_param.negative_slope
    if slope:
        return site.build.node("Min", rectified(site.build, site.inputs[0], slope), site.build.number(6))
    return _clip(site, 0, 6)


@lowering("Clip")
def clip(site: LoweringSite) -> str:
    """Lower ClipLayer: limits values to min and max."""
    return _clip(site, site.layer.clip_param.min, site.layer.clip_param.max)


def _clip(site: LoweringSite, least: float, most: float) -> str:
    return site.build.node("Clip", site.inputs[0], site.build.number(least), site.build.number(most))


@lowering("Threshold")
def threshold(site: LoweringSite) -> str:
    """Lower ThresholdLayer: 1 above the threshold, else 0."""
    build = site.build
    above = build.node("Greater", site.inputs[0], build.number(site.layer.threshold_param.threshold))
    return build.node("Cast", above, to=_FLOAT)


@lowering("Swish")
def swish(site: LoweringSite) -> str:
    """Lower SwishLayer: x · sigmoid(beta · x)."""
    gate = _affine(site.build, site.inputs[0], site.layer.swish_param.beta, 0)
    return site.build.node("Mul", site.inputs[0], site.build.node("Sigmoid", gate))


def _affine(build: Builder, value: str, factor: float, summand: float) -> str:
    """Return factor · VALUE + summand."""
    scaled = value if factor == 1 else build.node("Mul", value, build.number(factor))
    return scaled if summand == 0 else build.node("Add", scaled, build.number(summand))


@lowering("Power")
def power(site: LoweringSite) -> str:
    """Lower PowerLayer: (shift + scale · x) ^ power; a constant if the bottom has no effect."""
    build, value, param = site.build, site.inputs[0], site.layer.power_param
    if param.scale * param.power == 0:
        constant = 1.0 if param.power == 0 else _raised(param.shift, param.power)
        return build.node("Expand", build.number(constant), shape_from(build, value))
    base = _affine(build, value, param.scale, param.shift)
    if param.power == 1:
        return base
    return build.node("Pow", base, build.number(param.power))


def _raised(base: float, exponent: float) -> float:
    """Return BASE to the EXPONENT in float arithmetic, if that is a number."""
    try:
        return pow(base, exponent)
    except OverflowError:
        return inf
    except ValueError as error:
        raise RefusalError(f"its constant, {base:g} to the power of {exponent:g}, is not a number") from error


@lowering("Exp")
def exponential(site: LoweringSite) -> str:
    """Lower ExpLayer: base ^ (shift + scale · x)."""
    param = site.layer.exp_param
    rate = 1.0 if param.base == _E else log(param.base)
    inner = _affine(site.build, site.inputs[0], rate * param.scale, 0)
    made = site.build.node("Exp", inner)
    return _affine(site.build, made, _raised(e, rate * param.shift), 0)


@lowering("Log")
def logarithm(site: LoweringSite) -> str:
    """Lower LogLayer: the logarithm, to the given base, of shift + scale · x."""
    param = site.layer.log_param
    inner = _affine(site.build, site.inputs[0], param.scale, param.shift)
    made = site.build.node("Log", inner)
    return made if param.base == _E else _affine(site.build, made, 1 / (log(param.base) or 1), 0)


# ---- Several blobs ----


@lowering("Eltwise")
def eltwise(site: LoweringSite) -> str:
    """Lower EltwiseLayer: the product, the sum with a coefficient for each, or the maximum, from left to right."""
    build, param = site.build, site.layer.eltwise_param
    coefficients = list(param.coeff)
    if param.operation == _SUM and coefficients:
        if len(coefficients) != len(site.inputs):
            raise RefusalError(
                f"it has {len(site.inputs)} bottoms and {len(coefficients)} coeff; expected one coeff for each bottom"
            )
        terms = [_affine(build, value, by, 0) for value, by in zip(site.inputs, coefficients, strict=True)]
    elif coefficients:
        raise RefusalError("coeff is supported only for sums")
    else:
        terms = list(site.inputs)
    if param.operation not in (_PROD, _SUM):
        return build.node("Max", *terms)
    made = terms[0]
    for term in terms[1:]:
        made = build.node("Mul" if param.operation == _PROD else "Add", made, term)
    return made


@lowering("Axpy")
def axpy(site: LoweringSite) -> str:
    """Lower Axpy of squeeze-and-excitation nets: a · x + y, where a has one factor for each channel."""
    build, (factor, x, y) = site.build, site.inputs
    if any(extent != 1 for extent in site.bottoms[0][2:]):
        reason = "it has one factor for each position instead of each channel"
        raise FixedSizeError(reason) if None in site.bottoms[0] else RefusalError(reason)
    spatial = [1] * (len(site.bottoms[1]) - 2)
    factors = reshape(build, factor, [*extents(factor, site.bottoms[0], 0, 2), *spatial])
    return build.node("Add", build.node("Mul", factors, x), y)
