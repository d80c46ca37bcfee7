"""Checks that weights, and the numbers that layers compute with, are finite.

Weights are read once, in blocks, before the net is run: an engine may turn NaN into numbers, and a ReLU into zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, isnan

from caffe_fcn import schema
from caffe_fcn.display import printable
from caffe_fcn.errors import WeightsError
from caffe_fcn.files.caffemodel import WeightFile
from caffe_fcn.net.effects import readers_of
from caffe_fcn.net.graph import Graph, Node
from caffe_fcn.schema import Message

_VALUES = 1 << 20
"""The number of weights that are checked together."""

_LARGEST = 3.4028235e38
"""The maximum of float32, the type in which nets are run; a larger double would be infinite."""


def check_finite(weights: WeightFile, graph: Graph) -> None:
    """Raise WeightsError if WEIGHTS of a layer in GRAPH are NaN, or infinite as float32."""
    names = {node.name for node in graph.nodes}
    for record in weights.layers:
        for position, blob in enumerate(record.blobs if record.name in names else ()):
            for start in range(0, blob.count if not blob.absent else 0, _VALUES):
                values = weights.read_values(blob, start, min(start + _VALUES, blob.count))
                # Both are NaN if one value is NaN, and then all comparisons are false.
                if not (float(values.min()) >= -_LARGEST and float(values.max()) <= _LARGEST):
                    raise WeightsError(
                        source=weights.path,
                        layer=record.name,
                        place=f"blob {position}",
                        expected="numbers",
                        found="NaN or infinity",
                        hint="the training diverged; use an earlier snapshot",
                    )


def no_number(graph: Graph) -> str | None:
    """Return why GRAPH cannot be run as in Caffe, if a layer computes with NaN or infinity; else None."""
    for node in graph.nodes:
        for field, value in node.layer.ListFields():
            if node.type in readers_of(field.name):
                for path, number in _numbers(value, f"{field.name}."):
                    if not isfinite(number) and _is_used(node, path) and (node.type != "Clip" or isnan(number)):
                        place = f'layer "{printable(node.name)}" ({printable(node.type)})'
                        return f"{place}: {path} is {number}, but must be a finite number"
    return None


def _numbers(message: Message, prefix: str) -> Iterator[tuple[str, float]]:
    """Return the numbers in MESSAGE without those of fillers; paths of its fields begin with PREFIX."""
    for field, value in message.ListFields():
        values = value if schema.is_repeated(field) else [value]
        for each in values:
            if isinstance(each, float):
                yield prefix + field.name, each
            elif field.message_type is not None and field.message_type.name != "FillerParameter":
                yield from _numbers(each, f"{prefix}{field.name}.")


def _is_used(node: Node, path: str) -> bool:
    """Return whether NODE computes with its field PATH in inference, not only in training."""
    param, _, name = path.partition(".")
    if name == "negative_slope" and param != "relu_param":
        return bool(getattr(getattr(node.layer, param), "relu", True))
    return name != "moving_average_fraction" and (name != "dropout_ratio" or not node.layer.dropout_param.scale_train)
