"""The one net of a file that is meant to be run: in one phase, with its weights and all its shapes."""

from __future__ import annotations

from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.selection import ANY_NET, Selection, check_given, graphs
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.source import SourceNet
from caffe_fcn.run.engine import Net
from caffe_fcn.surgery.bare import with_headers
from caffe_fcn.surgery.weights import blob_shapes


def one_net(source: SourceNet, weights: WeightFile, selection: Selection = ANY_NET) -> tuple[Net, WeightFile]:
    """The net of SOURCE in the phase of SELECTION, by default TEST, and its WEIGHTS, with headers if they had none.

    Raises NetError or ShapeError for a net that Caffe could not build.
    """
    if weights.bare:
        weights = with_headers(weights, source.net)
    graph = next(iter(graphs(source, selection).values()))
    check_given(graph, selection.given)
    return Net(graph, infer_shapes(graph, given=selection.given, weights=blob_shapes(weights))), weights
