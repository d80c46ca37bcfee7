"""The library: the shapes of a net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from caffe_fcn.net.shapes import Shape, Unknown


class NetShapes(NamedTuple):
    """The shapes of a net, in one phase."""

    blobs: Mapping[str, Shape | Unknown]
    """By blob; one that layers work on in place has the last one's. An `Unknown` says why, and what would tell."""
    params: Mapping[str, tuple[Shape, ...]]
    """The parameter blobs by layer; without the layers whose parameters cannot be known."""

    def __repr__(self) -> str:
        return f"<NetShapes: {len(self.blobs)} blobs, {sum(map(bool, self.params.values()))} layers with parameters>"
