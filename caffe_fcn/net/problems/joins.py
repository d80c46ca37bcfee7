"""Reports joined maps whose cells do not coincide, and Crop layers without an offset. Most of it is information."""

from __future__ import annotations

from collections.abc import Iterator

from caffe_fcn.display import printable
from caffe_fcn.net import crops
from caffe_fcn.net.geometry import alignment
from caffe_fcn.net.geometry.crops import Trouble, read_crops, told
from caffe_fcn.net.graph import Graph
from caffe_fcn.net.objections import Severity
from caffe_fcn.net.options import Selection
from caffe_fcn.net.problems.findings import Problem
from caffe_fcn.net.problems.places import place_of
from caffe_fcn.net.shapes import Shapes
from caffe_fcn.net.source import SourceNet
from caffe_fcn.wording import option


def joins(source: SourceNet, graph: Graph, selection: Selection, shapes: Shapes) -> Iterator[Problem]:
    """Return problems of the Crop layers of GRAPH without an offset, and of joined maps whose cells do not coincide."""
    readings = () if graph.crops_at_zero else read_crops(graph, shapes)
    decided = crops.is_automatic(source, selection)
    impossible = any(each.trouble is not None for each in readings)
    for each in readings:
        if decided and each.trouble is not None:
            severity = Severity.ERROR if selection.crop_offset == "auto" else Severity.BVLC
            message = f"the geometry of the net gives no offset for this Crop: {told(each)}"
        elif not decided and not each.is_zero and each.trouble is not Trouble.UNCONNECTED:
            severity = Severity.INFORMATION
            way = option("crop_offset", "zero" if impossible else None)
            message = f"it has no offset: {crops.BOTH}{told(each)}; write it in crop_param, or choose one with {way}"
        else:
            continue
        yield Problem(*place_of(source, each.layer), f'layer "{printable(each.name)}" (Crop): {message}', severity)
    for found in alignment.misaligned(graph, shapes):
        message = f'layer "{printable(found.name)}" ({found.type}): {alignment.told(found)}'
        yield Problem(*place_of(source, found.layer), message, Severity.INFORMATION)
