"""The measured classifiers, run by onnxruntime: the originals, and what the conversion makes of them, at the nominal
size and, in one session, at a larger one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_fcn.engines.onnxruntime import OnnxRuntimeSession
from caffe_fcn.engines.protocol import Array
from caffe_fcn.model.opening import meet, open_inputs
from caffe_fcn.model.writing import write_model
from caffe_fcn.net.shapes import infer_shapes
from caffe_fcn.passes.conversion import Settings, plan
from tests.engines.nets import case, difference, load
from tests.paths import GOLDEN, SHARED_MODELS

TOLERANCE = 5e-6
"""Relative to the range of an output. Sums have thousands of terms, each rounded to 6e-8 of itself."""

CASES = sorted(path for path in (GOLDEN / "conversions").iterdir() if path.is_dir())
MODELS = [SHARED_MODELS / name for name in ("det2", "det3")]


@pytest.fixture(params=CASES + MODELS, ids=lambda path: path.name)
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    if not path.exists():
        pytest.skip(f"{path.name} is not here: the shared models lie beside the checkout")
    return path


@pytest.fixture
def measured(folder: Path) -> dict[str, Array]:
    with np.load(folder / "golden.npz") as file:
        return dict(file)


def convert(folder: Path, directory: Path) -> Path:
    """Convert the net in FOLDER into DIRECTORY."""
    source, opened = open_inputs(str(folder / "net.prototxt"), str(folder / "net.caffemodel"))
    assert opened is not None
    with opened:
        made = plan(meet(source, opened), Settings())
        write_model(made.model, str(directory / "net.prototxt"), str(directory / "net.caffemodel"))
    return directory


def check(session: OnnxRuntimeSession, measured: dict[str, Array], size: str) -> None:
    """Hold what SESSION makes of the input of SIZE against what was MEASURED; only names may have changed."""
    (image,) = session.inputs
    made = {name.removesuffix("-conv"): blob for name, blob in session.run({image: measured[f"in:{size}"]}).items()}
    expected = {name.removeprefix(f"{size}:"): blob for name, blob in measured.items() if name.startswith(f"{size}:")}
    assert made.keys() == expected.keys()
    for name, blob in expected.items():
        flat = made[name].reshape(blob.shape) if made[name].size == blob.size else made[name]
        span = float(np.ptp(blob)) or 1.0
        assert difference(flat, blob) * float(abs(blob).max()) / span < TOLERANCE


def test_the_original_is_caffes(folder: Path, measured: dict[str, Array]) -> None:
    image = measured["in:same"].shape
    with case(folder) as (net, weights):
        session = load(net, weights)
    batch, *size = next(iter(session.inputs.values()))
    pools_all = any(node.layer.pooling_param.global_pooling for node in net.graph.nodes)
    assert tuple(size) == ((image[1], None, None) if pools_all else image[1:]), "a classifier takes one size"
    assert batch is None
    check(session, measured, "same")


def test_the_converted_net_is_caffes_at_both_sizes(folder: Path, measured: dict[str, Array], tmp_path: Path) -> None:
    with case(convert(folder, tmp_path)) as (net, weights):
        session = load(net, weights)
    dims = next(iter(session.inputs.values()))
    assert dims[0] is None and set(dims[2:]) == {None}
    check(session, measured, "same")
    check(session, measured, "large")


def test_a_converted_net_takes_a_batch(folder: Path, measured: dict[str, Array], tmp_path: Path) -> None:
    with case(convert(folder, tmp_path)) as (net, weights):
        session = load(net, weights)
    (image,) = session.inputs
    one = measured["in:large"][:1]
    alone = session.run({image: one})
    several = session.run({image: np.concatenate([one, 2 * one, one])})
    graph = session.lowered.scope.graph
    shapes = infer_shapes(graph, given={image: (3, *one.shape[1:])}).blobs
    for blob in session.lowered.scope.outputs:
        assert several[blob.name].shape == shapes[blob]
        assert difference(several[blob.name][2:], alone[blob.name]) < TOLERANCE
