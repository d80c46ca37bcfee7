"""Computes where each cell of a map lies on the input, what it sees there, and where it is exactly a sliding window."""

from caffe_fcn.net.exactness import Cause, Exactness, Reason, exactness_of, summed_up, words
from caffe_fcn.net.geometry.inference import Geometry, ends_of_maps, infer_geometry, is_idle
from caffe_fcn.net.geometry.nominal import Inner, inner_cells
from caffe_fcn.net.geometry.phases import AxisGeometry, CellPhase

__all__ = [
    "AxisGeometry",
    "Cause",
    "CellPhase",
    "Exactness",
    "Geometry",
    "Inner",
    "Reason",
    "ends_of_maps",
    "exactness_of",
    "infer_geometry",
    "inner_cells",
    "is_idle",
    "summed_up",
    "words",
]
