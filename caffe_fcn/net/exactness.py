"""Exactness: whether each cell of a map depends only on its window, and the reasons why not.

A cell is exact if it is the same function of its window, its receptive field, as all cells of its phase. A map is exact
*everywhere* if all its cells are; *away from borders* if those are that see no border of the input or of a map in
between, however few there are on a small input; *nowhere* if cells depend on more than their windows. A converted net
claims more: its answers on a larger input are those of its original on windows; `nominal` has the reasons against that.

A reason is data: its cause, the layer, and what else the cause needs. The cause decides where the map is exact; the
words are made here.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class Exactness(Enum):
    """Where the cells of a map are the same function of their windows; in a converted net, that of the original."""

    EVERYWHERE = "everywhere"
    AWAY_FROM_BORDERS = "away from borders"
    NOWHERE = "nowhere"


class Cause(Enum):
    """Why a layer makes a map inexact."""

    PADS = "pads"
    PARTIAL_WINDOW = "partial window"
    FEWER_INPUTS = "fewer inputs"
    WHOLE_MAP = "whole map"
    ALONG_AXIS = "along an axis"
    BATCH = "batch"
    OTHER_INPUT = "other input"
    BY_PLACE = "by place"
    BY_INDEX = "by index"
    BY_MASK = "by mask"
    BY_SIZE = "by size"
    NO_WINDOWS = "no windows"
    NOMINAL_BORDERS = "nominal borders"

    __hash__ = object.__hash__  # the hash of Enum is slow, and reasons are merged at each layer


_AT_BORDERS = frozenset({Cause.PADS, Cause.PARTIAL_WINDOW, Cause.FEWER_INPUTS})
"""Causes that matter only where a window reaches over the border of a map."""

_WORDS = {
    Cause.PADS: ("pads", "pad"),
    Cause.PARTIAL_WINDOW: ("has a partial window at the border", "have a partial window at the border"),
    Cause.FEWER_INPUTS: ("has fewer inputs at the border", "have fewer inputs at the border"),
    Cause.WHOLE_MAP: ("reads the whole map", "read the whole map"),
    Cause.ALONG_AXIS: ("reads the whole axis {axis}", "read the whole axis {axis}"),
    Cause.BATCH: ("reads the whole batch", "read the whole batch"),
    Cause.OTHER_INPUT: (
        'joins the map with "{blob}", which is not a map',
        'join the map with "{blob}", which is not a map',
    ),
    Cause.BY_PLACE: ("has one value for each position of the map", "have one value for each position of the map"),
    Cause.BY_INDEX: ("counts positions in the whole map", "count positions in the whole map"),
    Cause.BY_MASK: ("moves values by a mask", "move values by a mask"),
    Cause.NO_WINDOWS: ("produces cells without a window", "produce cells without a window"),
    Cause.NOMINAL_BORDERS: (
        "sees map borders at the nominal size; a larger map does not have them there",
        "see map borders at the nominal size; a larger map does not have them there",
    ),
    Cause.BY_SIZE: ("moves values by the size of the map", "move values by the size of the map"),
}
"""The words for one layer, and for several."""


class Reason(NamedTuple):
    """Why a map is not exact everywhere: the CAUSE in LAYER, its BLOB or AXIS, and whether all cells see the WHOLE axis
    of the input because of it."""

    cause: Cause
    layer: str
    blob: str = ""
    axis: int = 0
    whole: bool = False

    @property
    def exactness(self) -> Exactness:
        """Where a map with this reason only is exact."""
        return Exactness.AWAY_FROM_BORDERS if self.cause in _AT_BORDERS else Exactness.NOWHERE


def exactness_of(reasons: Iterable[Reason]) -> Exactness:
    """Where a map with these REASONS is exact."""
    found = {reason.exactness for reason in reasons}
    worst = (Exactness.NOWHERE, Exactness.AWAY_FROM_BORDERS)
    return next((each for each in worst if each in found), Exactness.EVERYWHERE)


@lru_cache(maxsize=10_000)
def words(reason: Reason) -> str:
    """REASON in words."""
    return f'layer "{reason.layer}" {_told(reason, 0)}'


def summed_up(reasons: Iterable[Reason]) -> list[tuple[list[str], str]]:
    """REASONS grouped: the layers with the same words, and the words."""
    layers: dict[Reason, list[str]] = {}
    for reason in reasons:
        layers.setdefault(reason._replace(layer="", whole=False), []).append(reason.layer)
    return [(names, _told(about, len(names) > 1)) for about, names in layers.items()]


def _told(reason: Reason, several: bool | int) -> str:
    return _WORDS[reason.cause][several].format(blob=reason.blob, axis=reason.axis)
