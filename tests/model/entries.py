"""Layers of weights with some of them changed, as the tests of the writers want them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.model.entries import Held, held_in
from caffe_fcn.model.reorder import Reorder
from caffe_fcn.model.tensors import Reordered, Tensor
from caffe_fcn.schema import Message


class Change(NamedTuple):
    """A layer's new header, None to keep it, the new shapes of its blobs, by position, and the order of the values."""

    header: Message | None = None
    shapes: Mapping[int, tuple[int, ...]] = {}
    order: Reorder | None = None


def changed(weights: WeightFile, changes: Mapping[int, Change | None]) -> tuple[Held, ...]:
    """The layers of WEIGHTS with CHANGES by position; without those that are None."""
    return tuple(
        _changed(entry, changes.get(position) or Change())
        for position, entry in enumerate(held_in(weights))
        if position not in changes or changes[position] is not None
    )


def _changed(entry: Held, change: Change) -> Held:
    def tensor(position: int, old: Tensor) -> Tensor:
        shape = change.shapes.get(position)
        if shape is None:
            return old
        return old.reshaped(shape) if change.order is None else Reordered(old, change.order, shape)

    tensors = tuple(tensor(position, old) for position, old in enumerate(entry.tensors))
    return replace(entry, header=change.header, tensors=tensors)
