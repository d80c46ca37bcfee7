"""The library: the shapes of a net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from caffe_fcn.net.shapes import Shape, Unknown


class NetShapes(NamedTuple):
    """The shapes of a net, in one phase."""

    blobs: Mapping[str, Shape | Unknown]
    """The shape of each blob, for blobs in place after the last layer; an `Unknown` gives the reason."""
    params: Mapping[str, tuple[Shape, ...]]
    """The shapes of the parameter blobs of each layer, without layers whose parameters are unknown."""

    def __repr__(self) -> str:
        return f"<NetShapes: {len(self.blobs)} blobs, {sum(map(bool, self.params.values()))} layers with parameters>"
