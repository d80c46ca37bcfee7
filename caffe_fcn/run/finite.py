"""Whether weights are numbers at all. They are read once, a block at a time, before anything is made of them: an
engine may well make numbers of NaN, and a ReLU zeros."""

from __future__ import annotations

from caffe_fcn.errors import WeightsError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.graph import Graph

_VALUES = 1 << 20
"""How many weights are looked at together."""

_LARGEST = 3.4028235e38
"""Of float32, which is what nets are run with; a double beyond it would be infinite."""


def check_finite(weights: WeightFile, graph: Graph) -> None:
    """Raise WeightsError where WEIGHTS of a layer in GRAPH are NaN, or infinite as float32."""
    names = {node.name for node in graph.nodes}
    for record in weights.layers:
        for position, blob in enumerate(record.blobs if record.name in names else ()):
            for start in range(0, blob.count if not blob.absent else 0, _VALUES):
                values = weights.read_values(blob, start, min(start + _VALUES, blob.count))
                # Both are NaN where one value is, and then no comparison holds.
                if not (float(values.min()) >= -_LARGEST and float(values.max()) <= _LARGEST):
                    raise WeightsError(
                        f"{weights.path}: layer {record.name!r}, blob {position}: expected numbers, found NaN or "
                        "infinity; the training went astray: take an earlier snapshot"
                    )
