"""Loads a net in a separate process and runs it once for each line of input; `dense.py` measures this.

It prints a line of JSON for the loading, with the time and the version, and one for each run, with the time and the
number of values. Each line also has the peak memory so far.

    python benchmarks/session.py ENGINE NET WEIGHTS N,C,H,W THREADS [--low-memory]
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np
from measuring import tell

from caffe_fcn import __version__
from caffe_fcn.engines.options import EngineOptions
from caffe_fcn.engines.protocol import Session, ShapedNet
from caffe_fcn.engines.registry import engine
from caffe_fcn.errors import ExtraError
from caffe_fcn.files.weights import open_weights
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.net.source import read_net

NOT_INSTALLED = 3
"""The exit code for an engine that cannot be had; stderr says why."""


def load(name: str, net: str, weights: str, threads: int, *, low_memory: bool = False) -> Session:
    """NET with WEIGHTS in the engine called NAME."""
    chosen = engine(EngineOptions(name, threads, low_memory))
    graph = build_graph(read_net(net).net, source=net)
    with open_weights(weights) as opened:
        return chosen.load(ShapedNet(graph, infer_shapes(graph)), opened)


def main() -> int:
    """Load, and run as long as lines come in."""
    name, net, weights, shape, threads, *options = sys.argv[1:]
    start = perf_counter()
    try:
        session = load(name, net, weights, int(threads), low_memory="--low-memory" in options)
    except ExtraError as error:
        print(error, file=sys.stderr)
        return NOT_INSTALLED
    tell(perf_counter() - start, version=__version__)
    extents = [int(extent) for extent in shape.split(",")]
    feed = {next(iter(session.inputs)): np.random.default_rng(0).random(extents, dtype=np.float32)}
    for _ in sys.stdin:
        start = perf_counter()
        made = session.run(feed)
        tell(perf_counter() - start, values=sum(blob.size for blob in made.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
