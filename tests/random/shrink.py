"""A net with a fault made smaller: layers are left out as long as the fault stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from caffe_fcn import schema
from caffe_fcn.schema import Message
from tests.random.nets import RandomNet

Bad = Callable[[RandomNet], bool]


def shrink(net: RandomNet, bad: Bad) -> RandomNet:
    """The smallest net found, beginning at NET, that is still BAD."""
    while True:
        smaller = next((each for each in _smaller(net) if bad(each)), None)
        if smaller is None:
            return net
        net = smaller


def _smaller(net: RandomNet) -> Iterator[RandomNet]:
    """NET without a layer, and all behind it or not, from the end on."""
    for place in reversed(range(len(net.net.layer))):
        for rest in (_without(net.net, place), _around(net.net, place)):
            if rest is not None:
                yield replace(net, net=rest)


def _without(net: Message, place: int) -> Message | None:
    """NET without the layer at PLACE, and those that would read what it makes."""
    dropped, gone = {place}, set(net.layer[place].top)
    for later, layer in enumerate(net.layer):
        if later > place and not gone.isdisjoint(layer.bottom):
            dropped.add(later)
            gone.update(layer.top)
    gone_inputs = [layer for index, layer in enumerate(net.layer) if index in dropped and layer.type == "Input"]
    kept = [layer for index, layer in enumerate(net.layer) if index not in dropped]
    return None if gone_inputs or not kept else _of(net, kept)


def _around(net: Message, place: int) -> Message | None:
    """NET with the readers of the layer at PLACE reading its bottom instead."""
    layer = net.layer[place]
    if len(layer.bottom) < 1 or len(layer.top) != 1:
        return None
    kept = []
    for index, each in enumerate(net.layer):
        if index != place:
            copy = schema.LayerParameter()
            copy.CopyFrom(each)
            if index > place:
                copy.bottom[:] = [layer.bottom[0] if name == layer.top[0] else name for name in each.bottom]
            kept.append(copy)
    return _of(net, kept)


def _of(net: Message, layers: list[Message]) -> Message:
    made = schema.NetParameter()
    made.CopyFrom(net)
    del made.layer[:]
    made.layer.extend(layers)
    return made
