"""Steps that make a random net: scores, values moved about, joins, and several layers at once."""

from __future__ import annotations

from math import prod
from typing import Any

from tests.random.basics import need
from tests.random.draft import Draft
from tests.random.maps import Step, activation, convolution, global_pooling, pooling, prelu, share

# ---- Scores ----


def inner_product(d: Draft, blob: str, outputs: int | None = None) -> list[str]:
    shape = d.shape(blob)
    axis = 1 if d.chance(0.9) else d.axis(blob)
    columns = prod(shape[axis:])
    need(columns <= 1500, "too many weights")
    outputs = outputs or d.whole(1, 7)
    transpose = d.chance(0.15)
    weight = d.spread(outputs, columns)
    bias = d.chance(0.8)
    fields: dict[str, Any] = {"num_output": outputs}
    if axis != 1:
        fields["axis"] = axis
    if transpose:
        fields["transpose"] = True
    if not bias:
        fields["bias_term"] = False
    blobs = [weight.T if transpose else weight, *([d.spread(outputs, scale=0.5)] if bias else [])]
    return share(d, "InnerProduct", blob, blobs, **fields)


def tied(d: Draft, blob: str) -> list[str]:
    """An autoencoder whose decoder has the encoder's weights, transposed."""
    columns, hidden = prod(d.shape(blob)[1:]), d.whole(2, 6)
    need(columns <= 300, "too many weights")
    weight, name = d.spread(hidden, columns), d.name("tied")
    code = d.add("InnerProduct", [blob], blobs=[weight], num_output=hidden, bias_term=False)
    d.last.param.add(name=name)
    made = d.add("InnerProduct", code, blobs=[weight], num_output=columns, bias_term=False, transpose=True)
    d.last.param.add(name=name)
    return made


def softmax(d: Draft, blob: str) -> list[str]:
    fields: dict[str, Any] = {} if d.chance(0.7) else {"axis": d.axis(blob)}
    return d.add("Softmax", [blob], in_place=d.chance(0.1), **fields)


def argmax(d: Draft, blob: str) -> list[str]:
    fields: dict[str, Any] = {}
    if d.chance(0.6):
        fields["axis"] = 1 if d.chance(0.6) else d.axis(blob)
    if d.chance(0.25):
        fields["top_k"] = 2
    if d.chance(0.25):
        fields["out_max_val"] = True
    return d.add("ArgMax", [blob], **fields)


def reduction(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    need(len(shape) > 1, "one axis")
    fields: dict[str, Any] = {"operation": d.pick(["SUM", "ASUM", "SUMSQ", "MEAN"]), "axis": d.whole(1, len(shape) - 1)}
    if d.chance(0.3):
        fields["coeff"] = 0.5
    return d.add("Reduction", [blob], **fields)


# ---- Values moved about ----


def flatten(d: Draft, blob: str) -> list[str]:
    fields: dict[str, Any] = {} if d.chance(0.85) else {"axis": d.axis(blob), "end_axis": d.pick([-1, -1, -2])}
    return d.add("Flatten", [blob], **fields)


def reshape(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    inner = prod(shape[1:])
    cuts = [each for each in range(1, inner + 1) if inner % each == 0]
    part = d.pick(cuts)
    forms: list[dict[str, Any]] = [
        {"shape": {"dim": [0, -1]}},
        {"shape": {"dim": [0, -1]}},
        {"shape": {"dim": [shape[0], inner]}},
        {"shape": {"dim": [0, -1, 1, 1]}},
        {"shape": {"dim": [0, 1, -1]}},
        {"shape": {"dim": [-1, inner]}},
        {"shape": {"dim": [0, part, inner // part]}},
        {"shape": {"dim": [0, part, -1, 1]}},
        {"shape": {"dim": [0, 0, -1]}},
        {"shape": {"dim": [0] * len(shape)}},
        {"shape": {"dim": list(shape)}},
        {"shape": {"dim": [-1]}, "axis": 1},
        {"shape": {"dim": [-1]}, "axis": 2},
        {"shape": {"dim": [1]}, "axis": d.whole(1, len(shape)), "num_axes": 0},
        {"shape": {"dim": [1, 1]}, "axis": -1, "num_axes": 0},
        {"shape": {"dim": [-1, 1]}, "axis": 1, "num_axes": 2},
        {"shape": {"dim": [-1]}} if d.chance(0.1) else {"shape": {"dim": [0, -1]}},
    ]
    return d.add("Reshape", [blob], **d.pick(forms))


def squeeze(d: Draft, blob: str) -> list[str]:
    ones = [axis for axis, extent in enumerate(d.shape(blob)) if extent == 1 and axis > 0]
    need(bool(ones), "no axis to drop")
    return d.add("Squeeze", [blob], axis=ones[d.whole(0, len(ones) - 1) :])


def permute(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    need(len(shape) > 2, "few axes")
    if d.chance(0.7):
        order = [0, *range(2, len(shape)), 1]
    else:
        rest = [int(axis) for axis in d.random.permutation(len(shape) - 1) + 1]
        order = [0, *rest][: d.whole(2, len(shape))] if d.chance(0.9) else rest
    return d.add("Permute", [blob], order=order)


def classifier(d: Draft, blob: str) -> list[str]:
    """What stands between a map and its InnerProduct: some of flattening, and the layer."""
    forms: list[list[Step]] = [
        [],
        [flatten],
        [reshape],
        [permute, flatten],
        [permute, reshape],
        [flatten, activation],
        [flatten, prelu],
        [global_pooling],
        [global_pooling, flatten],
        [reshape, flatten],
    ]
    for step in d.pick(forms, [6, 4, 3, 3, 2, 2, 1, 2, 1, 1]):
        blob = step(d, blob)[0]
    return inner_product(d, blob)


def slice_(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    axis = 1 if d.chance(0.8) else d.axis(blob)
    need(-len(shape) <= axis < len(shape) and shape[axis] > 1, "nothing to cut")
    name = "slice_dim" if axis >= 0 and d.chance(0.1) else "axis"
    fields: dict[str, Any] = {} if axis == 1 and d.chance(0.6) else {name: axis}
    if shape[axis] % 2 == 0 and d.chance(0.5):
        return d.add("Slice", [blob], tops=2, **fields)
    return d.add("Slice", [blob], tops=2, slice_point=[d.whole(1, shape[axis] - 1)], **fields)


def tile(d: Draft, blob: str) -> list[str]:
    axis = 1 if d.chance(0.5) else d.axis(blob)
    return d.add("Tile", [blob], axis=axis, tiles=2)


# ---- Joins ----


def concat(d: Draft, blob: str) -> list[str]:
    shape = d.shape(blob)
    axis = 1 if d.chance(0.8) and len(shape) > 1 else d.axis(blob) % len(shape)
    rest = (*shape[:axis], *shape[axis + 1 :])
    others = [
        name
        for name in d.values
        if len(d.shape(name)) == len(shape) and (*d.shape(name)[:axis], *d.shape(name)[axis + 1 :]) == rest
    ]
    if len(others) > 1 and d.chance(0.9):
        others.remove(blob)
    bottoms = [d.pick(others), blob]
    written = axis - len(shape) if d.chance(0.3) else axis
    field = "concat_dim" if d.chance(0.1) and written >= 0 else "axis"
    fields: dict[str, Any] = {} if axis == 1 and d.chance(0.5) else {field: written}
    return d.add("Concat", bottoms[:: d.pick([1, -1])], **fields)


def eltwise(d: Draft, blob: str) -> list[str]:
    others = [name for name in d.values if d.shape(name) == d.shape(blob) and name != blob]
    need(bool(others), "no partner")
    operation = d.pick(["SUM", "PROD", "MAX"], [4, 1, 2])
    fields: dict[str, Any] = {} if operation == "SUM" and d.chance(0.7) else {"operation": operation}
    if operation == "SUM" and d.chance(0.3):
        fields["coeff"] = [1.0, -0.5]
    return d.add("Eltwise", [blob, d.pick(others)], **fields)


def residual(d: Draft, blob: str) -> list[str]:
    """A branch that joins the map it came from."""
    shape = d.shape(blob)
    need(len(shape) >= 3, "no map")
    weight = d.spread(shape[1], shape[1], *[3] * (len(shape) - 2))
    made = d.add("Convolution", [blob], blobs=[weight], num_output=shape[1], kernel_size=[3], pad=[1], bias_term=False)
    return d.add("Eltwise", [blob, made[0]])


def branches(d: Draft, blob: str) -> list[str]:
    """Two steps from one blob, joined."""
    steps: list[Step] = [convolution, pooling, flatten, reshape, permute, activation, inner_product, classifier]
    first, second = (d.pick(steps)(d, blob)[0] for _ in range(2))
    join: Step = d.pick([concat, concat, eltwise])
    return join(d, second if d.chance(0.5) else first)


def heads(d: Draft, blob: str) -> list[str]:
    """Two classifiers of one map with as many scores, joined, or both put out."""
    outputs = d.whole(2, 5)
    first, second = (inner_product(d, blob, outputs) for _ in range(2))
    join: Step = d.pick([concat, eltwise])
    return first + second if d.chance(0.4) else join(d, second[0])


def grids(d: Draft, blob: str) -> list[str]:
    """A classifier of two maps of different grids, flattened and joined."""
    shape = d.shape(blob)
    need(len(shape) == 4 and min(shape[2:]) > 2, "no map")
    flat: list[str] = []
    for kernel in (1, d.whole(2, 3)):
        weight = d.spread(d.whole(1, 3), shape[1], kernel, kernel)
        made = d.add(
            "Convolution", [blob], blobs=[weight], num_output=len(weight), kernel_size=[kernel], bias_term=False
        )
        flat += d.add("Flatten", made)
    return inner_product(d, d.add("Concat", flat)[0])


def gate(d: Draft, blob: str) -> list[str]:
    """Squeeze and excitation."""
    shape = d.shape(blob)
    need(len(shape) == 4, "no map")
    squeezed = d.add("Pooling", [blob], pool="AVE", global_pooling=True)[0]
    if d.chance(0.5):
        blobs = [d.spread(shape[1], shape[1], 1, 1), d.spread(shape[1])]
        made = d.add("Convolution", [squeezed], blobs=blobs, num_output=shape[1], kernel_size=[1])
    else:
        made = inner_product(d, squeezed, shape[1])
    made = d.add("Sigmoid", made, in_place=True)
    if d.shape(made[0]) == (*shape[:2], 1, 1) and d.chance(0.3):
        return d.add("Axpy", [made[0], blob, blob])
    if len(d.shape(made[0])) == 4:
        made = d.add("Reshape", made, shape={"dim": [0, -1]}) if d.chance(0.5) else d.add("Flatten", made)
    return d.add("Scale", [blob, made[0]], axis=0)
