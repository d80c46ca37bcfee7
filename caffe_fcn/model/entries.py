"""The layers of a file of weights as a model has them: headers, and tensors that can be read and changed."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.rewrite import Entry
from caffe_fcn.model.tensors import Tensor, stored


@dataclass(frozen=True, repr=False)
class Held(Entry):
    """A layer of the weights of a model, as a writer takes it."""

    tensors: tuple[Tensor, ...]


def held_in(weights: WeightFile) -> tuple[Held, ...]:
    """The layers of WEIGHTS as they are."""
    return tuple(
        Held(None, tuple(stored(weights.source, blob) for blob in record.blobs), record) for record in weights.layers
    )
