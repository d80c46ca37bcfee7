"""The library: the shapes of a net."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from caffe_fcn.api.arguments import check_models, check_options
from caffe_fcn.api.options import SelectionOptions, selection_of
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.model.opening import meet
from caffe_fcn.net.shapes import Shape, Unknown
from caffe_fcn.net.source import SourceNet

if TYPE_CHECKING:
    pass

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack


class NetShapes(NamedTuple):
    """The shapes of a net, in one phase."""

    blobs: Mapping[str, Shape | Unknown]
    """By blob; one that layers work on in place has the last one's. An `Unknown` says why, and what would tell."""
    params: Mapping[str, tuple[Shape, ...]]
    """The parameter blobs by layer; without the layers whose parameters cannot be known."""
    notes: tuple[str, ...]
    """What had to be assumed, and what else there is to know."""

    def __repr__(self) -> str:
        return f"<NetShapes: {len(self.blobs)} blobs, {sum(map(bool, self.params.values()))} layers with parameters>"


def infer_shapes(
    net: SourceNet,
    weights: WeightFile | None = None,
    **options: Unpack[SelectionOptions],
) -> NetShapes:
    """The shapes of all blobs and parameter blobs of NET in one phase, by default TEST, as Caffe would set them up.

    OPTIONS are `SelectionOptions`; WEIGHTS tell the channels, and often the size, of images in a database. Raises
    NetError for a net that cannot be built, ShapeError for one that Caffe would refuse.
    """
    check_models("infer_shapes", optional=True, net=net, weights=weights)
    check_options("infer_shapes", options, SelectionOptions)
    selection, _ = selection_of(options)
    trained = meet(net, weights, replace(selection, phase=selection.phase or "TEST"), every=False)
    found = trained.shapes[trained.phase]
    return NetShapes({blob.name: shape for blob, shape in found.blobs.items()}, trained.params, trained.notes)
