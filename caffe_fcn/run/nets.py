"""The one net of a file that is meant to be run: in one phase, with its weights and all its shapes."""

from __future__ import annotations

from typing import NamedTuple

from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.selection import ANY_NET, Selection
from caffe_fcn.net.source import SourceNet
from caffe_fcn.run.engine import Net
from caffe_fcn.surgery.meeting import meet


class OneNet(NamedTuple):
    """A net to be run, its weights, with headers if they had none, and NOTES on the two."""

    net: Net
    weights: WeightFile
    notes: tuple[str, ...]


def one_net(source: SourceNet, weights: WeightFile, selection: Selection = ANY_NET) -> OneNet:
    """The net of SOURCE in the phase of SELECTION, by default TEST, and its WEIGHTS.

    Raises NetError or ShapeError for a net that Caffe could not build.
    """
    found = meet(source, weights, selection, every=False)
    return OneNet(Net(found.graph, found.shapes[found.phase]), found.completed or weights, found.notes)
