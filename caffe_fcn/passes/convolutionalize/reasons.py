"""The reasons why a convolutionalization leaves a layer unchanged."""

from __future__ import annotations

from enum import Enum


class Stays(Enum):
    """Why an InnerProduct or a global pooling stays; {} stands for the names and numbers of the reason."""

    ALONG_AXIS = "works along axis {} of its input, not along axis 1"
    AS_ASKED = "left unchanged as asked"
    BEHIND = "its input comes from {} ({})"
    BEHIND_LEFT = "its input comes from {}, which stays an InnerProduct"
    CARRIES_WEIGHTS = "its input is DummyData without height and width; such a layer only carries weights"
    CLASH = "{} {}"
    FEEDS = "feeds {}, which stays an InnerProduct"
    GATE = "part of a gate: its result joins a map again in {}"
    GATED = "part of a gate: the result of {} joins a map again in {}; takes any input size already"
    MOVES_SPACE = "{} ({}) moves the spatial axes of its input"
    NO_MAP = "its input {!r}, made by {} ({}), has no height and width"
    REGIONS = "reads regions of a fixed size from {} ({}); takes any image size already"
    RUN_TIME = "the shape of its input is known only at run time: {}"
    SEQUENCE = "its input is a sequence from {} ({})"
    SHARED = "shares the weight {!r} with {}, which stores it transposed"
    UNKNOWN = "the shape of its input is unknown: {}"
