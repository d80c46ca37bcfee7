"""Originals and twins for the tests of verification: measured classifiers, and nets written in a few lines, converted
into a directory, to be verified as they are or with something wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from caffe_fcn import schema
from caffe_fcn.engines.protocol import Array
from caffe_fcn.model.opening import NetAndWeights, meet, open_inputs
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.options import ANY_NET, Selection
from caffe_fcn.passes.conversion import Settings, plan
from caffe_fcn.schema import Message
from caffe_fcn.verify.records import Status, Verification
from caffe_fcn.verify.settings import VerifySettings
from caffe_fcn.verify.verify import verify
from tests.engines.nets import net_of, weights_of
from tests.passes.nets import conv, data, fc, layer

HOLDS, FAILS, NOT_SHOWN, DOES_NOT_APPLY = Status


class Pair:
    """An original and its twin, as files in DIRECTORY."""

    def __init__(
        self,
        net: Path,
        weights_path: Path,
        directory: Path,
        settings: Settings | None = None,
        *,
        weights: str = "fcn.caffemodel",
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.net, self.weights = net, weights_path
        self.fcn, self.fcn_weights = directory / f"{Path(weights).stem}.prototxt", directory / weights
        source, opened = open_inputs(str(net), str(weights_path))
        assert opened is not None
        chosen = settings or Settings()
        with opened:
            write_model(
                plan(meet(source, opened, chosen.selection), chosen).model,
                str(self.fcn),
                str(self.fcn_weights),
            )

    def verify(self, options: VerifySettings | None = None, selection: Selection = ANY_NET) -> Verification:
        """What a verification of the files finds, as they are now."""
        with ExitStack() as stack:
            models = []
            for net, weights in ((self.net, self.weights), (self.fcn, self.fcn_weights)):
                source, opened = open_inputs(str(net), str(weights))
                assert opened is not None
                models.append(NetAndWeights(source, stack.enter_context(opened)))
            return verify(models[0], models[1], selection, options)

    def text(self, change: Callable[[str], str]) -> Pair:
        """The twin's text with a CHANGE, which must be one."""
        before = self.fcn.read_text()
        assert change(before) != before
        self.fcn.write_text(change(before))
        return self

    def blobs(self, change: Callable[[dict[str, Message]], Any]) -> Pair:
        """The twin's weights with a CHANGE to the layers, by name."""
        net = schema.NetParameter.FromString(self.fcn_weights.read_bytes())
        change({layer.name: layer for layer in net.layer})
        self.fcn_weights.write_bytes(net.SerializeToString())
        return self


def case(directory: Path, out: Path) -> Pair:
    """The classifier in DIRECTORY and its twin."""
    return Pair(directory / "net.prototxt", directory / "net.caffemodel", out)


def written(text: str, out: Path, settings: Settings | None = None, *, weights: str = "fcn.caffemodel") -> Pair:
    """The net TEXT, with weights at random, and its twin."""
    (out / "net.prototxt").write_text(text)
    with weights_of(net_of(text), out / "net.caffemodel", scale=0.3):
        pass
    return Pair(out / "net.prototxt", out / "net.caffemodel", out, settings, weights=weights)


def array(blob: Message) -> Array:
    """The values of BLOB in its shape."""
    return np.array(blob.data, np.float32).reshape([*blob.shape.dim])


def fill(blob: Message, values: Array) -> None:
    """Put VALUES into BLOB."""
    blob.data[:] = values.ravel().tolist()


def ends(found: Verification) -> Sequence[Status]:
    """How the three proofs ended: weights, same size, dense."""
    return list(found.statuses.values())


def failures(found: Verification) -> tuple[str, ...]:
    assert found.weights_proof is not None
    return found.weights_proof.failures


def change_one(blob: Message) -> None:
    blob.data[7] += 0.5


CHANNELS_LAST = (
    data(shape="1 3 6 7")
    + conv("a", "data", 4)
    + conv("b", "data", 2)
    + layer("pa", "Permute", "a", params="permute_param { order: 0 order: 2 order: 3 order: 1 }")
    + layer("fa", "Flatten", "pa")
    + layer("fb", "Flatten", "b")
    + layer("both", "Concat", "fa fb")
    + layer("relu", "ReLU", "both", "both")
    + fc("fc", "both", 5)
)
