"""What Caffe has against a layer whose meaning is plain all the same, as data.

A net is often good for what is asked of it although a Caffe would refuse it: a loss that nobody needs has labels
of another size, a field belongs to a fork. So most of what is wrong with a layer is not raised but collected:
`check` tells all of it, and each command decides what concerns it.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Severity(Enum):
    """How grave a finding is."""

    ERROR = "error"
    """No Caffe could build the net."""
    BVLC = "bvlc"
    """BVLC Caffe refuses it; forks of Caffe, or other programs, may read it."""
    INFORMATION = "information"
    """Every Caffe takes it; it is worth knowing."""


class Objection(NamedTuple):
    """A finding about one layer."""

    severity: Severity
    layer: int
    """The layer, by its `Node.index`."""
    message: str
