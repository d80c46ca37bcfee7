"""A net in the making: each layer that is added is run at once, so that shapes are those of real values.

The generator never works out a shape. It asks numpy for the layer's answer at the nominal size, and a
layer that Caffe would refuse, or that makes no numbers, raises `ImpossibleError` and leaves the draft as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from caffe_fcn import schema
from caffe_fcn.schema import Message
from tests.random.basics import Array, ImpossibleError, need
from tests.random.caffe import forward

MOST_VALUES = 6000
"""In a blob, lest a net be slow."""
_LARGEST = 1e4

PARAMS = {
    "ArgMax": "argmax_param",
    "BatchNorm": "batch_norm_param",
    "Deconvolution": "convolution_param",
    "ELU": "elu_param",
    "Im2col": "convolution_param",
    "InnerProduct": "inner_product_param",
    "LRN": "lrn_param",
    "MVN": "mvn_param",
    "Normalize": "norm_param",
    "ShuffleChannel": "shuffle_channel_param",
    "PReLU": "prelu_param",
    "ReLU": "relu_param",
    "TanH": "tanh_param",
}
"""Layer type to the field with its parameters, where that is not the type and `_param`."""

_ODD = ["fc 6", "conv1/3x3_s2", 'a"b', "it's", "λ-κ", "back\\slash", "x:0", "fc[1]*", "Ünï", "a#b", "{x}", "fc6-conv"]


class Draft:
    """The net so far, its weights, and the values of its blobs at the nominal size."""

    def __init__(self, random: np.random.Generator, *, odd_names: bool) -> None:
        self.random = random
        self.net = schema.NetParameter(name="random")
        self.weights: dict[str, list[Array]] = {}
        self.values: dict[str, Array] = {}
        self.read: set[str] = set()
        self.inputs: dict[str, Array] = {}
        self._odd = odd_names
        self._names: set[str] = set()

    # ---- Chance ----

    def chance(self, probability: float) -> bool:
        """True with this PROBABILITY."""
        return bool(self.random.random() < probability)

    def pick(self, values: Sequence[Any], weights: Sequence[float] | None = None) -> Any:
        """One of VALUES."""
        shares = None if weights is None else np.array(weights) / sum(weights)
        return values[int(self.random.choice(len(values), p=shares))]

    def whole(self, low: int, high: int) -> int:
        """A whole number from LOW to HIGH, both included."""
        return int(self.random.integers(low, high + 1))

    def axis(self, blob: str) -> int:
        """An axis of BLOB, counted from the front or from the end; seldom that of the items."""
        axes = len(self.shape(blob))
        found = self.whole(0 if axes == 1 or self.chance(0.04) else 1, axes - 1)
        return found - axes if self.chance(0.4) else found

    def name(self, kind: str) -> str:
        """A new name for a layer of this KIND and for its top."""
        stem = self.pick(_ODD) if self._odd and self.chance(0.4) else kind.lower()
        name = next(found for number in range(1000) if (found := f"{stem}{number or ''}") not in self._names)
        self._names.add(name)
        return name

    # ---- Growth ----

    def input(self, shape: Sequence[int], name: str = "data") -> str:
        """Add an Input layer."""
        layer = self.net.layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add(dim=shape)
        self._names.add(name)
        self.values[name] = self.inputs[name] = self.random.standard_normal(shape)
        return name

    def add(
        self,
        kind: str,
        bottoms: Sequence[str],
        *,
        tops: int = 1,
        in_place: bool = False,
        blobs: Sequence[Array] = (),
        **fields: Any,
    ) -> list[str]:
        """Add a layer of type KIND with its parameter FIELDS and BLOBS; returns its tops. Raises ImpossibleError."""
        need(kind != "PReLU" or len(self.shape(bottoms[0])) <= 4, "Caffe aborts")
        layer = schema.LayerParameter(type=kind, bottom=bottoms)
        if fields:
            set_fields(getattr(layer, PARAMS.get(kind, f"{kind.lower()}_param")), fields)
        in_place = in_place and tops == 1 and bottoms[0] not in self.read and bottoms[0] not in self.inputs
        blobs = [np.asarray(blob, np.float32) for blob in blobs]
        layer.top.extend(["?"] * tops)
        made = forward(layer, [self.values[bottom] for bottom in bottoms], [b.astype(np.float64) for b in blobs])
        for value in made:
            need(0 < value.size <= MOST_VALUES and value.ndim > 0, "too large, or nothing")
            need(bool(np.isfinite(value).all() and np.max(abs(value)) < _LARGEST), "no numbers")
        layer.name = self.name(kind)
        names = [bottoms[0]] if in_place else [layer.name, *(f"{layer.name}_{place}" for place in range(1, tops))]
        if not in_place and self.chance(0.1):
            names[0] = self.name("blob")
        layer.top[:] = names
        self.net.layer.append(layer)
        if blobs:
            self.weights[layer.name] = list(blobs)
        self.values.update(zip(names, made, strict=True))
        self.read.update(bottoms)
        self.read.difference_update(names)
        return names

    @property
    def last(self) -> Message:
        """The layer that was added last."""
        return self.net.layer[-1]

    @property
    def unread(self) -> list[str]:
        """The blobs that nothing reads yet, the oldest first."""
        return [name for name in self.values if name not in self.read and name not in self.inputs]

    def shape(self, blob: str) -> tuple[int, ...]:
        """The shape of BLOB."""
        return self.values[blob].shape

    def spread(self, *shape: int, scale: float | None = None) -> Array:
        """Random weights, by default so large that sums of as many products keep the scale of their terms."""
        fan_in = int(np.prod(shape[1:])) or 1
        return self.random.standard_normal(shape) * (scale or fan_in**-0.5)

    def attempt(self, build: Any, *arguments: Any) -> Any:
        """What BUILD(self, *ARGUMENTS) returns, or None where it meets something impossible: then nothing is added."""
        before = len(self.net.layer), dict(self.weights), dict(self.values), set(self.read), set(self._names)
        try:
            return build(self, *arguments)
        except ImpossibleError:
            del self.net.layer[before[0] :]
            _, self.weights, self.values, self.read, self._names = before
            return None


def set_fields(message: Message, fields: Mapping[str, Any]) -> None:
    """Set FIELDS of MESSAGE: lists, messages as mappings, enumerators by name, single values."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            set_fields(getattr(message, name), value)
        elif isinstance(value, list | tuple):
            getattr(message, name).extend(value)
        elif isinstance(value, str) and (enum := message.DESCRIPTOR.fields_by_name[name].enum_type):
            setattr(message, name, enum.values_by_name[value].number)
        else:
            setattr(message, name, value)
