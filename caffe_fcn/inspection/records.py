"""The records of an inspection, independent of the output format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.files.statistics import Statistics
from caffe_fcn.inspection.options import InspectOptions
from caffe_fcn.model.model import Model
from caffe_fcn.net.cost import Cost, Total
from caffe_fcn.net.geometry import Geometry
from caffe_fcn.net.geometry.alignment import Misaligned
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.net.shapes import Shape, Shapes
from caffe_fcn.net.source import SourceNet


@dataclass(frozen=True, kw_only=True)
class InspectSettings(InspectOptions):
    """The user's choice of parts, and the selection of the net."""

    selection: Selection = ANY_NET


class InspectedFiles(NamedTuple):
    """The contents of the files: a net, weights, or both. WHY is the reason if the weights contain no net."""

    name: str
    source: SourceNet | None
    weights: WeightFile | None
    why: str = ""


class Top(NamedTuple):
    """A top of a layer; SHAPE is None if it is unknown."""

    name: str
    shape: Shape | None
    in_place: bool


class Layer(NamedTuple):
    """A layer of the net. SHARES: its tops are another view of data in memory."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[Top, ...]
    cost: Cost
    shares: bool
    geometry: Geometry | None


class Group(NamedTuple):
    """The layers whose names begin with PREFIX and a slash; None for those without."""

    prefix: str | None
    total: Total


class BlobRow(NamedTuple):
    """A blob in the weight file. VALUES: the number of values that it holds, whatever its shape; SIZE: their bytes."""

    layer: str
    position: int
    shape: Shape
    dtype: str
    values: int
    size: int
    statistics: Statistics | None


class Match(NamedTuple):
    """The comparison of a file of weights with the net. HELD layers of the file have blobs. WANTED is the number of
    layers with parameters in the net, None without a net; some of them are MISSING in the file. FOREIGN layers are not
    in the net."""

    file: str
    format: str
    size: int
    dtypes: tuple[str, ...]
    held: int
    wanted: int | None
    missing: tuple[str, ...]
    foreign: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """The result of an inspection. Without a net, `layers` is empty and `totals` None; `blobs` are those of the
    weights.

    `misaligned` are layers that join maps whose cells do not coincide, if geometry was requested. `totals` is for the
    whole net, `selected` and `groups` are for the listed layers. `batch` is the first extent of the images of all
    inputs, None if they differ.
    """

    file: str
    name: str
    format: str
    phase: str | None
    settings: InspectSettings
    inputs: Mapping[str, Shape | None]
    batch: int | None
    weights: Match | None
    layers: tuple[Layer, ...]
    misaligned: tuple[Misaligned, ...]
    totals: Total | None
    selected: Total | None
    groups: tuple[Group, ...]
    blobs: tuple[BlobRow, ...]
    notes: tuple[str, ...]


class InspectedNet(NamedTuple):
    """An INSPECTION with the MODEL that it was made of, and its SHAPES, those of the images asked for. Without a net
    both are None."""

    inspection: Inspection
    model: Model | None
    shapes: Shapes | None
