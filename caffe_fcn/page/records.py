"""The records of a report page: what its templates show, and what the modules of its sections get.

A section is made by one module from a `PageSource`. It returns a panel, a frozen dataclass that only the module and the
template of the section know; the frame passes it on:

- `PageLayer.weights`, a `WeightsPanel` of `page/weights.py`, is shown by `weights.html`;
- `PageLayer.activations`, an `ActivationsPanel` of `page/activations.py`, is shown by `activations.html`;
- `Page.dense`, a `DensePanel` of `page/dense.py`, is shown by `dense.html`.

Each of these templates has its panel as `panel`. A panel that is None is not shown. Text in a panel is plain text: the
templates escape it. A picture is the bytes of a PNG.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from caffe_fcn.engines.protocol import Array
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.inspection.records import Inspection
from caffe_fcn.model.model import Model
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems import Severity
from caffe_fcn.net.shapes import Shapes
from caffe_fcn.net.source import SourceNet
from caffe_fcn.page.options import ReportOptions
from caffe_fcn.predict.options import PreparationOptions

if TYPE_CHECKING:
    from PIL.Image import Image

    from caffe_fcn.page.activations import ActivationsPanel
    from caffe_fcn.page.dense import DensePanel
    from caffe_fcn.page.graph import GraphPanel
    from caffe_fcn.page.weights import WeightsPanel


# ---- What the sections get ----


@dataclass(frozen=True, eq=False)
class PageSource:
    """What is known when the sections are made. It equals only itself, so results for it can be kept.

    The layers of a page are those of `inspection.layers`, in this order; they are the nodes of `graph`. A section
    refers to a layer by its position in them.
    """

    inspection: Inspection
    """All that `inspect` shows, with geometry."""
    source: SourceNet | None
    """The net; None if there are weights alone without a usable net. Then `model`, `graph` and `shapes` are None and
    there are no layers."""
    weights: WeightFile | None
    """The open file of the weights; None without weights."""
    model: Model | None
    """The net with its weights. If these do not fit, `model.misfit` is the reason."""
    graph: Graph | None
    """The net in the phase that the page shows."""
    shapes: Shapes | None
    """The shapes for the input size that was asked for, else for the nominal one."""
    picture: str | os.PathLike[str] | Array | Image | None
    """The picture as it was given: a file, an array H×W or H×W×C in RGB from 0 to 255, or a pillow image; None without
    one. `predict.images.picture` opens it."""
    selection: Selection
    preparation: PreparationOptions
    """How the picture is prepared."""
    options: ReportOptions


class Section(Enum):
    """The parts of a page that can be left out."""

    WEIGHTS = "weights"
    ACTIVATIONS = "activations"
    DENSE = "dense map"


class MissingSection(NamedTuple):
    """A SECTION that the page does not have, and the REASON."""

    section: Section
    reason: str


# ---- What the templates show ----


class Fact(NamedTuple):
    """A TERM and its VALUE; EXACT is the same value with all digits, "" if that is no other."""

    term: str
    value: str
    exact: str = ""


class PageBlob(NamedTuple):
    """A bottom or a top: its NAME, its SHAPE in words, a REMARK ("in place") and the ANCHOR of the layer that made it,
    "" for a top."""

    name: str
    shape: str
    remark: str = ""
    anchor: str = ""


class CostShare(NamedTuple):
    """A cost: its VALUE, None if it is unknown, the TEXT shown for it, and its SHARE of the net, 0 to 1."""

    value: int | None
    text: str
    share: float


class PageProblem(NamedTuple):
    """A finding of `check`, with the ANCHOR of its layer, "" for the net itself, and the PLACE in the text, "" for a
    caffemodel."""

    severity: Severity
    message: str
    place: str
    layer: str
    anchor: str


@dataclass(frozen=True)
class PageLayer:
    """A layer of the net. ANCHOR is its id in the page: names are not unique, and not made for this."""

    anchor: str
    number: int
    name: str
    type: str
    family: str
    """The family of its type, as drawings show it, by its name in CSS."""
    numbers: str
    """The few numbers that characterise it, such as "3×3 → 64, pad 1"."""
    settings: tuple[Fact, ...]
    """The fields of the layer that are set."""
    bottoms: tuple[PageBlob, ...]
    tops: tuple[PageBlob, ...]
    geometry: tuple[Fact, ...]
    """The receptive field of a cell; empty where the layer makes no map of the images."""
    window: tuple[int | None, str]
    """The pixels that a cell sees: a number to sort by, None for no map, and the text."""
    inexact: tuple[str, ...]
    """Why its map is not exactly a sliding window."""
    blobs: tuple[Fact, ...]
    """Its parameter blobs and their shapes."""
    parameters: CostShare
    macs: CostShare
    memory: CostShare
    weights: WeightsPanel | None = None
    activations: ActivationsPanel | None = None


class StoredRow(NamedTuple):
    """A blob of weights without a net, in words; the NUMBERS are values, size, min, max and mean."""

    layer: str
    blob: str
    shape: str
    dtype: str
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """A report page."""

    title: str
    version: str
    subtitle: tuple[str, ...]
    totals: tuple[Fact, ...]
    notes: tuple[str, ...]
    problems: tuple[PageProblem, ...]
    layers: tuple[PageLayer, ...]
    inputs: str
    """The inputs for whose shapes the layers are shown, in words."""
    stored: tuple[StoredRow, ...] = ()
    """The blobs of weights without a net."""
    graph: GraphPanel | None = None
    dense: DensePanel | None = None
    left_out: tuple[MissingSection, ...] = ()

    @property
    def reasons(self) -> tuple[tuple[str, str], ...]:
        """The names of the sections that are left out for one reason, in words, and the reason."""
        together: dict[str, list[str]] = {}
        for section, reason in self.left_out:
            together.setdefault(reason, []).append(section.value)
        return tuple((_listed(names), reason) for reason, names in together.items())


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]


Progress: TypeAlias = Callable[[Section, int, int], None]
"""Called while a section is made: how much is done, and of how much. These are bytes of weights, bytes of activations,
and for the dense map runs of the net."""


def no_progress(section: Section, done: int, whole: int) -> None:
    """Do nothing."""
