"""Checks layer types along each axis of a map that is reshaped: refused by name, or right at every size.

If the net is converted, the answers of the converted net are compared with those of the original in numpy, at the
nominal size and, window by window, on a larger input. A fixed part of all combinations is run here, and all of them by
`python -m tests.random.test_reshapings`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from caffe_fcn.passes.conversion import Settings
from tests.random.basics import ImpossibleError
from tests.random.draft import Draft
from tests.random.examining import Outcome, examined
from tests.random.formats import Form
from tests.random.nets import RandomNet


@dataclass(frozen=True)
class Combination:
    """A map from SOURCE, reshaped to SHAPES one after the other, a layer with its FIELDS, and the layers after it."""

    source: str
    shapes: tuple[tuple[int, ...], ...]
    kind: str
    fields: dict[str, Any]
    end: str

    def __str__(self) -> str:
        shapes = "-".join("x".join(map(str, shape)) for shape in self.shapes)
        fields = ",".join(f"{name}={value}" for name, value in self.fields.items())
        return f"{self.source}-{shapes}-{self.kind}({fields})-{self.end}"


MAPS = [(), ((0, -1),), ((0, 4, 6),), ((0, 8, 3),), ((0, 2, 12),), ((0, 1, 24),), ((0, 24, 1),), ((0, 6, 4),)]
MAPS += [
    ((0, 4, 2, 3),),
    ((0, 2, 2, 2, 3),),
    ((0, 4, 3, 2),),
    ((0, 2, 3, 4),),
    ((0, -1), (0, 4, 2, 3)),
    ((0, 4, 6, 1),),
]
VECTORS = [(), ((0, 4, 1),), ((0, 1, 4),), ((0, 2, 2),), ((0, 4, 1, 1),), ((0, 1, 4, 1),), ((0, 1, 1, 4),), ((0, -1),)]
SOURCES = {"map": MAPS, "turned": MAPS, "single": MAPS[:5], "fc": VECTORS, "window": VECTORS}


def combinations() -> Iterator[Combination]:
    """Yield all combinations; those that Caffe would refuse are left out when they are built."""
    for source, reshapings in SOURCES.items():
        for shapes in reshapings:
            for kind, fields in _layers():
                for end in ("fc", "flat fc", *([""] if source in ("fc", "window") else [])):
                    yield Combination(source, shapes, kind, fields, end)


def _layers() -> Iterator[tuple[str, dict[str, Any]]]:
    axes = (*range(1, 5), -1, -2, -3)
    for kind in ("Softmax", "Concat", "Slice", "Tile", "Reduction", "ArgMax", "InnerProduct"):
        for axis in (0, *axes):
            yield kind, {"axis": axis} | ({"tiles": 2} if kind == "Tile" else {})
    for kind, axis, many in product(("Scale", "Bias"), axes, (0, 1, 2, -1)):
        yield kind, {"axis": axis, "num_axes": many}
    for kind in ("PReLU", "BatchNorm", "MVN", "LRN", "Eltwise", "ReLU", "ArgMax", "Pooling", "Convolution", "Product"):
        yield kind, {}
    yield "PReLU", {"channel_shared": True}
    yield "ArgMax", {"top_k": 2}
    yield "Concat", {"concat_dim": 2}
    yield "Slice", {"slice_dim": 1}
    yield from (("Normalize", {"across_spatial": across, "channel_shared": True}) for across in (False, True))
    for axes_of in (3, 4):
        yield from (("Permute", {"order": [0, *order]}) for order in list(permutations(range(1, axes_of)))[1:])


def built(each: Combination, seed: int) -> RandomNet:
    """Return the net of a combination. Raises ImpossibleError if Caffe would refuse it."""
    d = Draft(np.random.default_rng(seed), odd_names=False)
    data = d.input((2, 3, 4, 5))
    blob = _reshaped(d, each, _start(d, each.source, data))
    tops = _layer(d, each, data, blob)
    for top in tops if each.end else ():
        if each.end == "flat fc":
            top = d.add("Flatten", [top])[0]
        _inner_product(d, top, 3)
    return RandomNet(seed, d.net, d.weights, d.inputs, Form(), Settings())


def _start(d: Draft, source: str, data: str) -> str:
    channels = 1 if source == "single" else 4
    if source == "fc":
        return _inner_product(d, data, channels)
    weights = [d.spread(channels, 3, 3, 3), d.spread(channels)]
    blob = d.add("Convolution", [data], blobs=weights, num_output=channels, kernel_size=[3])[0]
    if source == "window":
        return d.add("Pooling", [blob], pool="AVE", global_pooling=True)[0]
    return d.add("Permute", [blob], order=[0, 2, 3, 1])[0] if source == "turned" else blob


def _reshaped(d: Draft, each: Combination, blob: str) -> str:
    for shape in each.shapes:
        dims = list(shape)
        if each.source == "single" and dims[1] > 1:
            dims[1] //= 4
        blob = d.add("Reshape", [blob], shape={"dim": dims})[0]
    return blob


def _inner_product(d: Draft, bottom: str, outputs: int, axis: int = 1) -> str:
    shape = d.shape(bottom)
    columns = int(np.prod(shape[axis:]))
    weights = [d.spread(outputs, columns), d.spread(outputs)]
    return d.add("InnerProduct", [bottom], blobs=weights, num_output=outputs, axis=axis)[0]


def _layer(d: Draft, each: Combination, data: str, blob: str) -> Sequence[str]:
    shape, fields = d.shape(blob), each.fields
    kind = {"Product": "Scale"}.get(each.kind, each.kind)
    axis = fields.get("axis", fields.get("slice_dim", 1))
    if not -len(shape) <= axis < len(shape) or len(fields.get("order", ())) > len(shape):
        raise ImpossibleError("no such axis")
    if kind == "InnerProduct":
        columns = int(np.prod(shape[axis % len(shape) :]))
        return d.add(kind, [blob], blobs=[d.spread(2, columns), d.spread(2)], num_output=2, **fields)
    if each.kind in ("Concat", "Eltwise", "Product"):
        other = _reshaped(d, each, _start(d, each.source, data))
        along: dict[str, Any] = {"axis": 0} if each.kind == "Product" else fields
        return d.add(kind, [blob, other], **along)
    if kind in ("Scale", "Bias"):
        first, many = axis % len(shape), fields["num_axes"]
        operand = shape[first:] if many == -1 else shape[first : first + many]
        if many > len(shape) - first:
            raise ImpossibleError("no such axes")
        return d.add(kind, [blob], blobs=[d.random.standard_normal(operand)], **fields)
    blobs: dict[str, list[Any]] = {
        "PReLU": [d.random.standard_normal(() if fields else shape[1])],
        "Normalize": [d.random.standard_normal(())],
        "BatchNorm": [d.spread(shape[1]), d.spread(shape[1]) ** 2 + 0.5, np.array([2.0])],
        "Convolution": [d.spread(2, shape[1], *[1] * (len(shape) - 2))],
    }
    more: dict[str, Any] = {
        "Convolution": {"num_output": 2, "kernel_size": [1], "bias_term": False},
        "Pooling": {"pool": "MAX", "kernel_size": 1},
        "LRN": {"local_size": 3},
    }
    if len(shape) < {"Convolution": 3, "Pooling": 4}.get(kind, 0) or (kind == "Pooling" and len(shape) > 4):
        raise ImpossibleError("no spatial axes")
    return d.add(
        kind, [blob], tops=2 if kind == "Slice" else 1, blobs=blobs.get(kind, ()), **fields, **more.get(kind, {})
    )


def outcomes(part: int, parts: int) -> Iterator[tuple[Combination, Outcome]]:
    """Return the outcomes of every PARTS-th combination that Caffe accepts, beginning with the number PART."""
    for number, each in enumerate(combinations()):
        if number % parts != part:
            continue
        try:
            net = built(each, number)
        except ImpossibleError:
            continue
        yield each, examined(net)


PARTS = 149


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_a_layer_behind_a_reshaping_is_right_or_refused_by_name(part: int) -> None:
    found = list(outcomes(part, PARTS))
    assert {str(each): outcome.faults for each, outcome in found if outcome.faults} == {}
    assert sum(outcome.dense == "equal" for _, outcome in found) > len(found) // 4


def main() -> None:
    """Run all combinations."""
    seen: Counter[str] = Counter()
    for each, outcome in outcomes(0, 1):
        for fault in outcome.faults:
            print(f"{each}: {fault}")
        seen["faults" if outcome.faults else "refused" if outcome.refused else outcome.dense] += 1
    print(seen)


if __name__ == "__main__":
    main()
