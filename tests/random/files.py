"""The two files of a net, as the package opens them and as protobuf alone reads them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from google.protobuf import text_format
from google.protobuf.unknown_fields import UnknownFieldSet

from caffe_fcn import schema
from caffe_fcn.engines.onnxruntime import OnnxRuntime
from caffe_fcn.model.opening import NetAndWeights, open_inputs
from caffe_fcn.model.passing import Result
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.schema import Message
from caffe_fcn.verify.records import Verification
from caffe_fcn.verify.settings import VerifySettings
from caffe_fcn.verify.verify import verify
from tests.random.basics import Array
from tests.random.running import Weights

_RAW_DATA = 12
"""NVCaffe's field of a blob."""


class Files(NamedTuple):
    """The files of a net."""

    net: Path
    weights: Path

    def opened(self, stack: ExitStack) -> NetAndWeights:
        """Open both files until STACK is closed."""
        source, weights = open_inputs(str(self.net), str(self.weights))
        assert weights is not None
        return NetAndWeights(source, stack.enter_context(weights))

    def read(self) -> tuple[Message, Message]:
        """Return both as protobuf reads them."""
        net = text_format.Parse(self.net.read_text(encoding="utf-8"), schema.NetParameter())
        return net, schema.NetParameter.FromString(self.weights.read_bytes())

    def write(self, net: Message, weights: Message) -> Files:
        """Write NET and WEIGHTS beside them, and return the paths."""
        made = Files(self.net.with_name("mutant.prototxt"), self.weights.with_name("mutant.caffemodel"))
        made.net.write_text(text_format.MessageToString(net, as_utf8=True), encoding="utf-8")
        made.weights.write_bytes(weights.SerializeToString())
        return made


def verdict(
    original: NetAndWeights,
    twin: NetAndWeights,
    selection: Selection = ANY_NET,
    results: Sequence[Result] = (),
    *,
    new: bool = False,
) -> Verification:
    """Return the verdict of verify on the new net TWIN, on one thread, with the RESULTS of the passes that made it, if
    known. NEW: whether a new function is claimed. Raises CaffeFcnError."""
    engine = OnnxRuntime(1)
    settings = VerifySettings(claim="new-function" if new else "auto", engine=engine, samples=4, windows=8)
    return verify(original, twin, selection, settings, results)


def blobs_of(weights: Message, like: Weights) -> Weights:
    """Return the blobs of each layer in WEIGHTS; a blob without a shape gets that of its name and size in LIKE."""
    layers = (*weights.layer, *weights.layers)
    return {
        layer.name: [_array(blob, like.get(layer.name, ())[place:]) for place, blob in enumerate(layer.blobs)]
        for layer in layers
    }


def _array(blob: Message, like: Sequence[Array]) -> Array:
    raw = [each.data for each in UnknownFieldSet(blob) if each.field_number == _RAW_DATA]  # type: ignore[attr-defined]
    values = np.frombuffer(raw[0], "<f4") if raw else np.array(blob.double_data or blob.data)
    shape = (blob.num, blob.channels, blob.height, blob.width)
    if blob.HasField("shape"):
        shape = (*blob.shape.dim,)
    elif like and like[0].size == values.size:
        shape = like[0].shape
    return values.astype(np.float64).reshape(shape)
