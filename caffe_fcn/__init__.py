"""Rewrite Caffe classifiers as fully convolutional networks, without Caffe."""

__version__ = "0.1.0"
