"""Objections: why Caffe refuses a layer with valid shapes, as data.

A net is often usable although a Caffe would refuse it: a loss that is not needed has labels of another size, or a field
belongs to a fork. So most faults of a layer are collected and not raised: `check` reports all of them, and each command
decides which ones matter.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Severity(Enum):
    """The severity of a finding."""

    ERROR = "error"
    """No Caffe could build the net."""
    BVLC = "bvlc"
    """BVLC Caffe refuses it; forks of Caffe, or other programs, may read it."""
    INFORMATION = "information"
    """Every Caffe accepts it; it is worth knowing."""


class Objection(NamedTuple):
    """A finding about one layer."""

    severity: Severity
    layer: int
    """The layer, by its `Node.index`."""
    message: str
