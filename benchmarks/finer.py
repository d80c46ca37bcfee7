"""Measures a finer map: `run --stride`, which puts maps of shifted pictures together, beside the map of one run, and
beside the net that `convert --stride` makes, whose layers are dilated.

Each contender is a whole process, which loads the net and writes the map.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from dense import Picture, make_files
from measuring import Bench, Command, Contender, Series, compare, measure

COARSE, SHIFTED, DILATED = "caffe-fcn run", "caffe-fcn run --stride", "caffe-fcn run, dilated net"

PROGRAM: Command = [sys.executable, "-m", "caffe_fcn"]


@dataclass(frozen=True)
class FinerMap:
    """Compare the map of PICTURE with those that have a cell at every STRIDE-th pixel."""

    picture: Picture
    stride: int

    def __call__(self, bench: Bench) -> list[Series]:
        """One run first, then the shifted ones, then the dilated net."""
        files = make_files(self.picture, bench)
        pixels, values = bench.directory / "picture.npy", bench.directory / "map.npy"
        side = self.picture.size
        np.save(pixels, np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))
        dilated = bench.directory / "finer.prototxt", bench.directory / "finer.caffemodel"
        finer: Command = ["--stride", str(self.stride)]
        written: Command = ["-o", dilated[0], "-w", dilated[1], "--quiet"]
        measure([*PROGRAM, "convert", files.net, files.weights, *finer, *written])
        told: Command = [pixels, "-o", values, "--quiet"]
        contenders = [
            Contender(COARSE, [*PROGRAM, "run", files.fcn, files.fcn_weights, *told], (values,)),
            Contender(SHIFTED, [*PROGRAM, "run", files.fcn, files.fcn_weights, *told, *finer], (values,)),
            Contender(DILATED, [*PROGRAM, "run", *dilated, *told], (values,)),
        ]
        return compare(contenders, bench.runs, bench.progress)
