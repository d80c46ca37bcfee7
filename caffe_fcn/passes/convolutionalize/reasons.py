"""Why a convolutionalization leaves a layer as it is."""

from __future__ import annotations

from enum import Enum


class Stays(Enum):
    """Why an InnerProduct or a global pooling stays, with room for what is to blame."""

    ALONG_AXIS = "works along axis {}, on vectors within its input"
    AS_ASKED = "left as asked"
    BEHIND = "its input comes from {} ({})"
    BEHIND_LEFT = "its input comes from {}, which is left alone"
    CARRIES_WEIGHTS = "fed by DummyData with no height and width, kept to carry weights"
    CLASH = "{} {}"
    FEEDS = "feeds {}, which stays an InnerProduct"
    GATE = "a gate, or like one: what it pools meets a map again in {}"
    GATED = "part of a gate: what {} pools meets a map again in {}; takes any size already"
    MOVES_SPACE = "{} ({}) moves the spatial axes of its input"
    NO_MAP = "its input {!r}, made by {} ({}), has no height and width"
    REGIONS = "behind {} ({}): takes regions of one size, whatever the image's"
    RUN_TIME = "the shape of its input is known only at run time: {}"
    SEQUENCE = "its input comes from {} ({}), a sequence"
    SHARED = "shares the weight {!r} with {}, which holds it transposed"
    UNKNOWN = "the shape of its input is unknown: {}"
