"""The colours of a drawing, for light and dark surroundings: a ground and a border for each family of layers.

Families differ in lightness and hue, and every box names its type, so nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from caffe_fcn.diagram.records import Mark
from caffe_fcn.net.layers.row import Family


class Paint(NamedTuple):
    """The ground of a box and its border."""

    fill: str
    line: str


class Theme(NamedTuple):
    """All colours of a drawing, as #rrggbb."""

    ground: str
    text: str
    quiet: str
    line: str
    families: Mapping[Family, Paint]
    marks: Mapping[Mark, str]
    """The borders of boxes that differ from those of another net."""


LIGHT = Theme(
    ground="#ffffff",
    text="#1a222d",
    quiet="#465263",
    line="#8793a4",
    families={
        "convolution": Paint("#dbe9fb", "#3a76c0"),
        "pooling": Paint("#fbdee0", "#bf464d"),
        "activation": Paint("#fdf0cf", "#a5760f"),
        "normalization": Paint("#d7f0e2", "#2c875c"),
        "inner_product": Paint("#e5dff8", "#6c54bd"),
        "join": Paint("#fde3cd", "#bf651b"),
        "reshape": Paint("#ebe6dd", "#817563"),
        "resize": Paint("#d3eef4", "#1d8092"),
        "detection": Paint("#f9ddef", "#ad4188"),
        "data": Paint("#e1e7ef", "#57677c"),
        "loss": Paint("#e8ecc6", "#727b1e"),
        "other": Paint("#eeeeee", "#747474"),
        "unknown": Paint("#ffffff", "#747474"),
    },
    marks={"new": "#116329", "gone": "#b3202c", "replaced": "#7a3fb0", "changed": "#8a5a00"},
)

DARK = Theme(
    ground="#12161c",
    text="#e8edf4",
    quiet="#b3bfce",
    line="#718093",
    families={
        "convolution": Paint("#1c3350", "#6fa8ec"),
        "pooling": Paint("#4a2328", "#ec8a90"),
        "activation": Paint("#423515", "#d9b056"),
        "normalization": Paint("#193c2c", "#6bc598"),
        "inner_product": Paint("#2e2750", "#a793f0"),
        "join": Paint("#472c16", "#eb9e62"),
        "reshape": Paint("#35312a", "#b6a992"),
        "resize": Paint("#143a43", "#60c0d2"),
        "detection": Paint("#451f39", "#e488c4"),
        "data": Paint("#29323e", "#9cafc6"),
        "loss": Paint("#353919", "#bac45e"),
        "other": Paint("#2f2f2f", "#a2a2a2"),
        "unknown": Paint("#12161c", "#a2a2a2"),
    },
    marks={"new": "#56d364", "gone": "#ff7b72", "replaced": "#cda3ff", "changed": "#f0b840"},
)

FAMILY_NAMES: Mapping[Family, str] = {
    "data": "data",
    "convolution": "convolution",
    "inner_product": "inner product",
    "pooling": "pooling",
    "normalization": "normalization",
    "activation": "activation",
    "join": "join",
    "reshape": "reshape",
    "resize": "resize, crop, pad",
    "detection": "detection",
    "loss": "loss, measure",
    "other": "other",
    "unknown": "unknown type",
}
"""The names of the families, in the order of a legend."""
