"""Makes wrong variants of converted nets: one weight, field, bottom or name is changed.

Each mutant must fail `verify`, unless numpy shows that it changes no answer. This is tried on several inputs, at the
nominal size and on a larger one, because a field may matter at only one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from caffe_fcn import schema
from caffe_fcn.schema import Message
from tests.random.basics import Array, ImpossibleError, need
from tests.random.draft import PARAMS
from tests.random.running import Weights, in_phase, run

FIELDS = {
    "ArgMax": "top_k axis out_max_val",
    "BatchNorm": "eps use_global_stats",
    "Bias": "axis num_axes",
    "Concat": "axis",
    "Convolution": "stride pad dilation group bias_term kernel_h axis",
    "Crop": "offset axis",
    "Deconvolution": "stride pad group",
    "ELU": "alpha",
    "Eltwise": "operation coeff",
    "Exp": "scale shift base",
    "Flatten": "axis end_axis",
    "Im2col": "stride pad dilation",
    "InnerProduct": "axis transpose bias_term",
    "LRN": "local_size alpha beta k norm_region",
    "MVN": "across_channels normalize_variance eps",
    "Normalize": "across_spatial channel_shared eps",
    "Permute": "order",
    "Pooling": "pool stride pad kernel_size global_pooling kernel_w",
    "Power": "power scale shift",
    "PReLU": "channel_shared",
    "ReLU": "negative_slope",
    "Reduction": "operation axis coeff",
    "Reshape": "axis num_axes",
    "Scale": "axis num_axes bias_term",
    "Slice": "axis slice_point",
    "Softmax": "axis",
    "Swish": "beta",
    "Threshold": "threshold",
    "Tile": "axis tiles",
}
"""Layer type to the fields that may be changed."""


class Mutant(NamedTuple):
    """A net and its weights, both as messages, and the change in them."""

    what: str
    net: Message
    weights: Message


def mutants(net: Message, weights: Message, random: np.random.Generator, many: int) -> list[Mutant]:
    """Return MANY mutants of NET with WEIGHTS, or fewer if there is little to change."""
    made = []
    for _ in range(4 * many):
        change = _CHANGES[int(random.choice(len(_CHANGES), p=_SHARES))]
        copy, stored = _copy(net), _copy(weights)
        try:
            what = change(copy, stored, random)
        except (ImpossibleError, ValueError):
            continue
        if (copy, stored) != (net, weights):
            made.append(Mutant(what, copy, stored))
        if len(made) == many:
            break
    return made


def _copy(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _any(values: Sequence[Message], random: np.random.Generator) -> Message:
    need(len(values) > 0, "nothing to choose from")
    return values[int(random.integers(len(values)))]


def _weight(net: Message, weights: Message, random: np.random.Generator) -> str:
    """Change a value in a layer that is in TEST."""
    names = {layer.name for layer in in_phase(net)}
    layer = _any([each for each in weights.layer if each.blobs and each.name in names], random)
    position = int(random.integers(len(layer.blobs)))
    values = layer.blobs[position].double_data or layer.blobs[position].data
    need(len(values) > 0, "bytes")
    place = int(random.integers(len(values)))
    values[place] += 0.5 + abs(values[place])
    return f"weight {place} of blob {position} of {layer.name!r}"


def _field(net: Message, weights: Message, random: np.random.Generator) -> str:
    """Change the value of a field, or set a field."""
    layer = _any([each for each in in_phase(net) if each.type in FIELDS], random)
    param = getattr(layer, PARAMS.get(layer.type, f"{layer.type.lower()}_param"))
    name = FIELDS[layer.type].split()[int(random.integers(len(FIELDS[layer.type].split())))]
    described = param.DESCRIPTOR.fields_by_name[name]
    before = getattr(param, name)
    if schema.is_repeated(described):
        _repeated(param, name, random)
    elif described.enum_type is not None:
        numbers = [value.number for value in described.enum_type.values if value.number not in (before, 60000)]
        setattr(param, name, numbers[int(random.integers(len(numbers)))])
    elif described.cpp_type == described.CPPTYPE_BOOL:
        setattr(param, name, not before)
    elif described.cpp_type == described.CPPTYPE_FLOAT:
        setattr(param, name, before * 1.5 + 0.25)
    else:
        setattr(param, name, before + (1 if before < 1 or random.random() < 0.6 else -1))
    return f"{name} of {layer.name!r} ({layer.type})"


def _repeated(param: Message, name: str, random: np.random.Generator) -> None:
    values = getattr(param, name)
    if name == "order":
        values[:] = [values[0], *(int(axis) for axis in random.permutation(values[1:]))]
    elif not values:
        values.append({"stride": 2, "coeff": 1.5}.get(name, 1))
    else:
        values[-1] += 1 if values[-1] < 2 or random.random() < 0.5 else -1


def _wire(net: Message, weights: Message, random: np.random.Generator) -> str:
    """Change a bottom to one that an earlier layer makes, or exchange two."""
    layer = _any(in_phase(net), random)
    place = next(index for index, each in enumerate(net.layer) if each is layer or each == layer)
    earlier = {top for each in net.layer[:place] for top in each.top} | set(net.input)
    position = int(random.integers(len(layer.bottom)))
    others = sorted(earlier - {layer.bottom[position]} - {"label"})
    need(len(others) > 0, "one blob only")
    layer.bottom[position] = others[int(random.integers(len(others)))]
    return f"bottom {position} of {layer.name!r}"


def _turned(net: Message, weights: Message, random: np.random.Generator) -> str:
    """Reorder the bottoms of a join."""
    layer = _any([each for each in in_phase(net) if len(set(each.bottom)) > 1], random)
    layer.bottom[:] = list(layer.bottom)[::-1]
    return f"the order of the bottoms of {layer.name!r}"


def _bypass(net: Message, weights: Message, random: np.random.Generator) -> str:
    """Leave out a layer."""
    layer = _any([each for each in in_phase(net) if len(each.top) == 1], random)
    place, top, bottom = list(net.layer).index(layer), layer.top[0], layer.bottom[0]
    for each in net.layer[place + 1 :]:
        each.bottom[:] = [bottom if name == top else name for name in each.bottom]
    what = f"{layer.name!r} ({layer.type}) left out"
    del net.layer[place]
    return what


def _type(net: Message, weights: Message, random: np.random.Generator) -> str:
    """Change the function that is applied to each value."""
    kinds = ["ReLU", "Sigmoid", "TanH", "AbsVal", "BNLL", "ELU", "Dropout", "Threshold"]
    layer = _any([each for each in in_phase(net) if each.type in kinds], random)
    what = f"the type of {layer.name!r} ({layer.type})"
    layer.type = kinds[(kinds.index(layer.type) + 1) % len(kinds)]
    return what


def _name(net: Message, weights: Message, random: np.random.Generator) -> str:
    """Rename a layer, so that its weights are not found, or are those of another."""
    stored = {layer.name for layer in weights.layer if layer.blobs}
    layer = _any([each for each in in_phase(net) if each.name in stored], random)
    others = sorted(stored - {layer.name})
    what = f"the name of {layer.name!r}"
    layer.name = others[int(random.integers(len(others)))] if others and random.random() < 0.5 else "other"
    return what


_CHANGES: list[Callable[[Message, Message, np.random.Generator], str]] = [
    _weight,
    _field,
    _wire,
    _turned,
    _bypass,
    _type,
    _name,
]
_SHARES = [0.1, 0.45, 0.15, 0.05, 0.1, 0.05, 0.1]


def renamed(net: Message) -> Message:
    """Return NET with other names for all blobs except its inputs: the same net."""
    copy = _copy(net)
    inputs = {top for layer in net.layer if not layer.bottom for top in layer.top} | set(net.input)
    for layer in copy.layer:
        for names in (layer.bottom, layer.top):
            names[:] = [name if name in inputs else f"{name} again" for name in names]
    return copy


def same_answers(
    net: Message, mutant: Message, weights: Weights, others: Weights, feeds: Sequence[dict[str, Array]]
) -> bool:
    """Return whether MUTANT with the weights OTHERS gives the same answers as NET with WEIGHTS for each of FEEDS, in
    numpy, with any names of the answers."""
    for fed in feeds:
        try:
            expected = _put_out(net, weights, fed)
        except ImpossibleError:
            continue  # a size that the new net does not accept
        try:
            found = _put_out(mutant, others, fed)
        except (ImpossibleError, IndexError, KeyError, ValueError):
            return False
        if len(expected) != len(found) or not all(any(_alike(one, other) for other in found) for one in expected):
            return False
    return True


def _alike(expected: Array, found: Array) -> bool:
    scale = float(np.max(abs(expected), initial=1e-3))
    return expected.size == found.size and bool(np.max(abs(found.ravel() - expected.ravel()), initial=0) < 1e-5 * scale)


def _put_out(net: Message, weights: Weights, fed: dict[str, Array]) -> list[Array]:
    layers = in_phase(net)
    made = run(layers, weights, fed)
    unread: set[str] = set()
    for layer in layers:
        unread = (unread - set(layer.bottom)) | set(layer.top)
    return [made[name] for name in unread]
