"""Where each cell of a map lies on the input, what it sees there, and where it is exactly a sliding window."""

from caffe_fcn.net.geometry.exactness import Cause, Exactness, Reason, exactness_of, summed_up, words
from caffe_fcn.net.geometry.inference import JOINS, Geometry, infer_geometry

__all__ = ["JOINS", "Cause", "Exactness", "Geometry", "Reason", "exactness_of", "infer_geometry", "summed_up", "words"]
