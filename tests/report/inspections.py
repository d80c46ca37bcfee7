"""What tests of inspections share: nets, and a bench that looks into them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from caffe_fcn import schema
from caffe_fcn.inspection.inspect import inspect, open_inspected
from caffe_fcn.inspection.records import Inspection, InspectSettings
from caffe_fcn.report.inspect import page
from caffe_fcn.report.tables import render
from tests.cli.conftest import trained
from tests.net.nets import data, layer, parse_net
from tests.paths import GOLDEN, ROOT

MODELS = ROOT / "models"
LENET = GOLDEN / "conversions" / "lenet"
FC = "inner_product_param { num_output: 5 }"
CONV = "convolution_param { num_output: 4 kernel_size: 3 }"
NET = data(1, 3) + layer("InnerProduct", FC, "data", "a", "a") + layer("InnerProduct", FC, "a", "b", "b")


class Bench:
    """Looks into models in a directory of its own, and closes them at the end."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self._stack = stack

    def files(self, net: Path, weights: Path | None = None, settings: InspectSettings | None = None) -> Inspection:
        opened = open_inspected(str(net), str(weights) if weights else None)
        if opened.weights is not None:
            self._stack.enter_context(opened.weights)
        return inspect(opened, settings or InspectSettings())

    def text(self, text: str, weights: bytes | None = None, **settings: Any) -> Inspection:
        """What is found in the net TEXT, with WEIGHTS, the bytes of a file."""
        net, trained_net = self.path / "net.prototxt", self.path / "net.caffemodel"
        net.write_text(text)
        if weights is not None:
            trained_net.write_bytes(weights)
        return self.files(net, trained_net if weights is not None else None, InspectSettings(**settings))

    def weights(self, weights: bytes, **settings: Any) -> Inspection:
        """What is found in a weight file alone."""
        (self.path / "net.caffemodel").write_bytes(weights)
        return self.files(self.path / "net.caffemodel", None, InspectSettings(**settings))


def shown(found: Inspection, width: int | None = None) -> str:
    return render(page(found, width), width)


def net_inside(*layers: tuple[str, str, list[tuple[int, ...]]], text: str) -> bytes:
    """A caffemodel of the net TEXT with blobs, as Caffe snapshots it."""
    net = parse_net(text)
    held = {each.name: each for each in schema.NetParameter.FromString(trained(*layers)).layer}
    for each in net.layer:
        if each.name in held:
            each.blobs.extend(held[each.name].blobs)
    made: bytes = net.SerializeToString()
    return made
