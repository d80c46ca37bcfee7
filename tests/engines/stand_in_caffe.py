"""A stand-in for pycaffe, as far as the engine asks for it: nets run in the default engine, or fail as they are told.

What a process with it does is chosen by the variable STAND_IN of its environment: how it fails, and where; "legacy"
takes weights as pycaffe did before 2016. Where that is set, the net is not run, and every blob is 1×3 zeros.
STAND_IN_KEEPS names a directory for what it was given.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

TEST = 1
TYPES = ["Convolution", "InnerProduct", "Input", "Pooling", "Python", "ReLU", "Softmax"]
FATAL = "F1125 23:21:28.123456 12345 conv_layer.cpp:16] Check failed: 3 == 2 (3 vs. 2) no room"
STACK = "*** Check failure stack trace: ***\n    @     0x7f1 google::LogMessage::Fail()\n    @     0x7f2 (unknown)"
HOW = os.environ.get("STAND_IN", "")
KEEPS = Path(os.environ.get("STAND_IN_KEEPS", os.devnull))


def set_mode_cpu() -> None:
    """Nets run on the CPU."""
    kept = {name: os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "GLOG_logtostderr")}
    (KEEPS / "environment").write_text(repr(kept))
    (KEEPS / "process").write_text(str(os.getpid()))


def layer_type_list() -> list[str]:
    """The types of layers that there are."""
    return TYPES


def fail(where: str) -> None:
    """Do what is asked for, if it is to happen here."""
    how, _, place = HOW.partition(" ")
    if place != where:
        return
    if how == "abort":
        print(FATAL, STACK, sep="\n", file=sys.stderr, flush=True)
        os.abort()
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "sleep":
        (KEEPS / "asleep").touch()
        time.sleep(60)
    elif how == "raise":
        raise RuntimeError("Could not\nopen file")


class StandIn:
    """What pycaffe calls a blob."""

    def __init__(self) -> None:
        self.data: Any = np.zeros((1, 3), np.float32)

    def reshape(self, *shape: int) -> None:
        """Take so many values."""
        self.data = np.zeros(shape, np.float32)


class Net:
    """What pycaffe calls a net."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        legacy = HOW == "legacy"
        if legacy is bool(named):
            raise TypeError("Python argument types did not match C++ signature")
        net, *rest = arguments
        weights = named["weights"] if named else rest.pop(0)
        assert rest == [TEST]
        print("noise on stdout", flush=True)
        text = Path(net).read_text()
        for name in re.findall(r'^layer \{\nname: "(.*)"', text, re.MULTILINE):
            print(f"I1125 23:21:28.1 12345 net.cpp:84] Creating Layer {name}", file=sys.stderr, flush=True)
            fail(name)
        print("I1125 23:21:28.1 12345 net.cpp:255] Network initialization done.", file=sys.stderr, flush=True)
        fail("load")
        shutil.copy(net, KEEPS / "net.prototxt")
        shutil.copy(weights, KEEPS / "net.caffemodel")
        self.blobs = {top: StandIn() for top in re.findall(r'^top: "(.*)"', text, re.MULTILINE)}
        self._inputs = re.findall(r'^type: "Input"\ntop: "(.*)"', text, re.MULTILINE)
        self._session: Any = None
        if not HOW:
            from caffe_fcn.files.caffemodel import open_caffemodel
            from caffe_fcn.onnx.scope import ALL
            from tests.engines.nets import load, net_of

            with open_caffemodel(weights) as opened:
                self._session = load(net_of(text), opened, [ALL])

    def reshape(self) -> None:
        """Nothing: the engine does that as it runs."""

    def forward(self) -> None:
        """Make all blobs of the inputs."""
        fail("run")
        if self._session:
            for name, values in self._session.run({name: self.blobs[name].data for name in self._inputs}).items():
                self.blobs[name].data = values
