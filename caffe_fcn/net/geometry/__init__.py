"""Where each cell of a map lies on the input, what it sees there, and where it is exactly a sliding window."""

from caffe_fcn.net.geometry.exactness import Cause, Exactness, Reason, exactness_of, summed_up, words
from caffe_fcn.net.geometry.inference import Geometry, ends_of_maps, infer_geometry
from caffe_fcn.net.geometry.moves import JOINS
from caffe_fcn.net.geometry.phases import AxisGeometry, Phase

__all__ = [
    "JOINS",
    "AxisGeometry",
    "Cause",
    "Exactness",
    "Geometry",
    "Phase",
    "Reason",
    "ends_of_maps",
    "exactness_of",
    "infer_geometry",
    "summed_up",
    "words",
]
