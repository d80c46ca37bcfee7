"""Steps that make a random net: those on maps, and those on each value.

A step adds a layer, or a few that belong together, behind a blob. It takes the draft and the blob and returns the blobs
that it made. A step that does not suit the blob raises `ImpossibleError`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from tests.random.basics import Array, need
from tests.random.draft import Draft

Step: TypeAlias = Callable[[Draft, str], "list[str]"]


# ---- Maps ----


def _window(d: Draft, spatial: tuple[int, ...], *, dilated: bool = True) -> dict[str, Any]:
    """The fields of a convolution over SPATIAL axes."""
    square = len(spatial) != 2 or d.chance(0.7)
    most = max(1, min(4, *spatial)) if spatial else 1
    fields: dict[str, Any] = {}
    if square:
        fields["kernel_size"] = [d.whole(1, most)]
        if d.chance(0.3):
            fields["stride"] = [d.whole(1, 3)]
        if d.chance(0.35):
            fields["pad"] = [d.whole(0, 2)]
    else:
        fields["kernel_h"], fields["kernel_w"] = d.whole(1, most), d.whole(1, most)
        if d.chance(0.2):
            fields["stride_h"], fields["stride_w"] = d.whole(1, 2), d.whole(1, 2)
        if d.chance(0.3):
            fields["pad_h"], fields["pad_w"] = d.whole(0, 2), d.whole(0, 1)
    if square and len(spatial) > 1 and d.chance(0.1):
        fields["kernel_size"] = [d.whole(1, most) for _ in spatial]
    if dilated and d.chance(0.12):
        fields["dilation"] = [2]
    return fields


def _kernel(fields: dict[str, Any], axes: int) -> list[int]:
    if "kernel_h" in fields:
        return [fields["kernel_h"], fields["kernel_w"]]
    return list(fields["kernel_size"]) if len(fields["kernel_size"]) == axes else fields["kernel_size"] * axes


def convolution(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    need(len(shape) >= 3, "no map")
    group = d.pick([each for each in (1, 2, 3, shape[1]) if shape[1] % each == 0]) if d.chance(0.25) else 1
    outputs = group * d.whole(1, max(1, 6 // group))
    fields = _window(d, shape[2:])
    bias = d.chance(0.8)
    weight = d.spread(outputs, shape[1] // group, *_kernel(fields, len(shape) - 2))
    if group > 1:
        fields["group"] = group
    if not bias:
        fields["bias_term"] = False
    blobs = [weight, d.spread(outputs, scale=0.5)] if bias else [weight]
    return share(d, "Convolution", blob, blobs, num_output=outputs, **fields)


def deconvolution(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    need(len(shape) >= 3 and max(shape[2:]) <= 8, "no small map")
    group = shape[1] if d.chance(0.3) else 1
    outputs = group if group > 1 else d.whole(1, 4)
    fields: dict[str, Any] = {"kernel_size": [d.whole(1, 4)], "stride": [d.whole(1, 3)]}
    if d.chance(0.4):
        fields["pad"] = [1]
    weight = d.spread(shape[1], outputs // group, *_kernel(fields, len(shape) - 2), scale=0.4)
    bias = d.chance(0.6)
    blobs = [weight, d.spread(outputs, scale=0.5)] if bias else [weight]
    if group > 1:
        fields["group"] = group
    return d.add("Deconvolution", [blob], blobs=blobs, num_output=outputs, bias_term=bias, **fields)


def pooling(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    need(len(shape) == 4 and min(shape[2:]) > 1, "no map")
    fields: dict[str, Any] = {"pool": d.pick(["MAX", "AVE"], [6, 4])}
    kernel = d.whole(1, min(4, *shape[2:]))
    if d.chance(0.8):
        fields["kernel_size"] = kernel
    else:
        fields["kernel_h"], fields["kernel_w"] = kernel, d.whole(1, min(4, shape[3]))
    fields["stride"] = d.pick([1, 2, 3, kernel], [2, 5, 1, 2])
    if d.chance(0.25):
        fields["pad"] = d.whole(0, max(0, kernel - 1))
    if d.chance(0.1):
        fields["round_mode"] = "FLOOR"
    need("round_mode" not in fields, "later")
    tops = 2 if fields["pool"] == "MAX" and d.chance(0.04) else 1
    return d.add("Pooling", [blob], tops=tops, **fields)


def global_pooling(d: Draft, blob: str) -> list[str]:
    need(len(d.shape(blob)) == 4, "no map")
    return d.add("Pooling", [blob], pool=d.pick(["MAX", "AVE"]), global_pooling=True)


def lrn(d: Draft, blob: str) -> list[str]:
    fields: dict[str, Any] = {"local_size": d.pick([1, 3, 5]), "alpha": float(d.pick([0.1, 0.5, 2.0]))}
    if d.chance(0.6):
        fields["beta"] = float(d.pick([0.5, 0.75, 1.5]))
    if d.chance(0.3):
        fields["k"] = 2.0
    if d.chance(0.4):
        fields["norm_region"] = "WITHIN_CHANNEL"
        fields.pop("k", None)
    return d.add("LRN", [blob], **fields)


def mvn(d: Draft, blob: str) -> list[str]:
    return d.add("MVN", [blob], across_channels=d.chance(0.5), normalize_variance=d.chance(0.7))


def normalize(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    need(len(shape) == 4, "no map")
    shared = d.chance(0.4)
    factors = d.spread(*(() if shared else (shape[1],)), scale=2.0)
    return d.add("Normalize", [blob], blobs=[factors], across_spatial=d.chance(0.4), channel_shared=shared)


def im2col(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    need(len(shape) == 4, "no map")
    return d.add("Im2col", [blob], kernel_size=[d.whole(1, 2)], stride=[d.whole(1, 2)])


def crop(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    others = [name for name in d.values if len(d.shape(name)) == len(shape) >= 3 and name != blob]
    need(bool(others), "nothing to crop to")
    like = d.pick(others)
    room = [mine - other for mine, other in zip(shape[2:], d.shape(like)[2:], strict=True)]
    need(min(room) >= 0 < max(room), "no room")
    return d.add("Crop", [blob, like], axis=2, offset=[d.whole(0, extent) for extent in room])


def share(d: Draft, kind: str, blob: str, blobs: list[Array], **fields: Any) -> list[str]:
    """A layer that now and then shares its weights with an earlier one that has such weights."""
    twins = [layer for layer in d.net.layer if layer.name in d.weights and layer.type == kind]
    alike = [layer for layer in twins if d.weights[layer.name][0].shape == blobs[0].shape]
    if not alike or not d.chance(0.3):
        made = d.add(kind, [blob], blobs=blobs, **fields)
        if d.chance(0.2):
            d.last.param.add(lr_mult=1.0)
        return made
    other = d.pick(alike)
    made = d.add(kind, [blob], blobs=[d.weights[other.name][0], *blobs[1:]], **fields)
    if not other.param:
        other.param.add()
    if not other.param[0].name:
        other.param[0].name = d.name("w")
    d.last.param.add(name=other.param[0].name)
    return made


def shuffle_channel(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    need(len(shape) == 4 and shape[1] > 3, "few channels")
    return d.add("ShuffleChannel", [blob], group=2)


def spp(d: Draft, blob: str) -> list[str]:
    return d.add("SPP", [blob], pyramid_height=d.whole(1, 2), pool=d.pick(["MAX", "AVE"]))


# ---- Factors and statistics ----


def batch_norm(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    need(len(shape) >= 2, "no channels")
    factor = float(d.pick([1.0, 2.0, 0.5]))
    mean, variance = d.spread(shape[1], scale=0.5), d.random.random(shape[1]) + 0.5
    fields: dict[str, Any] = {}
    if d.chance(0.3):
        fields["eps"] = float(d.pick([1e-3, 0.5]))
    if d.chance(0.3):
        fields["use_global_stats"] = d.chance(0.95)
    blobs = [mean * factor, variance * factor, np.array([factor])]
    made = d.add("BatchNorm", [blob], in_place=d.chance(0.4), blobs=blobs, **fields)
    return scale(d, made[0]) if d.chance(0.5) else made


def _axes(d: Draft, blob: str) -> tuple[dict[str, int], tuple[int, ...]]:
    """Where a Scale or Bias works, and the shape of its values."""
    shape = d.shape(blob)
    if d.chance(0.75) and len(shape) > 1:
        return {}, shape[1:2]
    axis = d.axis(blob)
    many = d.pick([-1, 0, 1])
    first = axis % len(shape)
    need(many <= len(shape) - first, "num_axes")
    operand = shape[first:] if many == -1 else shape[first : first + many]
    return {"axis": axis, "num_axes": many}, operand


def scale(d: Draft, blob: str) -> list[str]:
    fields, shape = _axes(d, blob)
    blobs = [d.spread(*shape, scale=1.0)]
    more: dict[str, Any] = dict(fields)
    if d.chance(0.5):
        more["bias_term"] = True
        blobs.append(d.spread(*shape, scale=0.5))
    return d.add("Scale", [blob], in_place=d.chance(0.4), blobs=blobs, **more)


def bias(d: Draft, blob: str) -> list[str]:
    fields, shape = _axes(d, blob)
    return d.add("Bias", [blob], in_place=d.chance(0.4), blobs=[d.spread(*shape, scale=0.5)], **fields)


def prelu(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    need(len(shape) >= 2, "no channels")
    shared = d.chance(0.2)
    blobs = [d.spread(*(() if shared else shape[1:2]), scale=0.5)]
    return d.add("PReLU", [blob], in_place=d.chance(0.5), blobs=blobs, **({"channel_shared": True} if shared else {}))


def factor(d: Draft, blob: str) -> list[str]:
    """A Scale or Bias whose operand is another blob."""
    shape = d.shape(blob)
    places = [
        (name, axis)
        for name in d.values
        for axis in range(len(shape))
        if name != blob and d.shape(name) and d.shape(name) == shape[axis : axis + len(d.shape(name))]
    ]
    need(bool(places), "no operand")
    name, axis = d.pick(places)
    return d.add(d.pick(["Scale", "Bias"]), [blob, name], axis=axis)


# ---- Each value by itself ----


_ACTIVATIONS = (
    "ReLU ReLU ReLU ReLU Sigmoid TanH ELU AbsVal BNLL Power Dropout Dropout Exp Threshold Swish Clip Log ReLU6 Split"
)


def activation(d: Draft, blob: str) -> list[str]:
    in_place = d.chance(0.6)
    kind = d.pick(_ACTIVATIONS.split())
    fields: dict[str, Any] = {}
    if kind == "ReLU" and d.chance(0.3):
        fields["negative_slope"] = 0.25
    if kind == "ELU" and d.chance(0.5):
        fields["alpha"] = 0.5
    if kind == "Power":
        fields = {"power": float(d.pick([1, 1, 2, 3])), "scale": float(d.pick([1, 0.5, -1])), "shift": 0.5}
    if kind == "Exp":
        fields = {"scale": 0.25}
    if kind in ("AbsVal", "Split"):
        in_place = False  # Caffe does not let them
    if kind == "Clip":
        fields = {"min": -0.5, "max": 1.5}
    if kind == "Log":
        blob = d.add("AbsVal", [blob])[0]
        fields = {"shift": 1.0, "base": float(d.pick([-1, 2]))}
    if kind == "Dropout" and d.chance(0.5):
        fields["dropout_ratio"] = 0.3
    return d.add(kind, [blob], in_place=in_place, **fields)
