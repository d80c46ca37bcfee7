"""What docs/caffe-facts.md says of sharing weights, and of the weights that Caffe demands of an HDF5 file."""

from __future__ import annotations

from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.opening import meet, open_inputs
from caffe_fcn.model.writing import write_model
from caffe_fcn.passes.conversion import Settings, plan
from caffe_fcn.passes.convolutionalize import Options
from tests.files.encodings import matrix
from tests.passes.nets import data, fc, kernels, planned
from tests.paths import GOLDEN

LENET = GOLDEN / "conversions" / "lenet"


def rewritten(net: Path, weights: Path, out: Path) -> None:
    """WEIGHTS of NET written to OUT, in the format that its name asks for, with nothing converted."""
    source, opened = open_inputs(str(net), str(weights))
    assert opened is not None
    with opened:
        write_model(plan(meet(source, opened), Settings(options=Options(skip=("*",)))).model, None, str(out))


def test_hdf5_is_written_with_the_shapes_that_caffe_demands(tmp_path: Path) -> None:
    rewritten(LENET / "net.prototxt", LENET / "variants" / "v1.caffemodel", tmp_path / "out.caffemodel.h5")
    with (
        h5py.File(tmp_path / "out.caffemodel.h5") as made,
        h5py.File(LENET / "variants" / "net.caffemodel.h5") as wanted,
    ):
        for name in ("conv1", "conv2", "ip1", "ip2"):
            for position in "01":
                ours, theirs = made["data"][name][position], wanted["data"][name][position]
                assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
                np.testing.assert_array_equal(ours[()], theirs[()])


def test_hdf5_leaves_a_shared_blob_to_its_first_layer(tmp_path: Path) -> None:
    shared = 'param { name: "w" }'
    text = data("a", "1 3") + data("b", "1 3") + fc("one", "a", 2, params=shared) + fc("two", "b", 2, params=shared)
    (tmp_path / "net.prototxt").write_text(text)
    weight, bias = matrix(2, 3), matrix(1, 2).ravel()
    with h5py.File(tmp_path / "w.caffemodel.h5", "w") as file:
        file["data/one/0"], file["data/one/1"], file["data/two/1"] = weight, bias, bias + 1
    rewritten(tmp_path / "net.prototxt", tmp_path / "w.caffemodel.h5", tmp_path / "out.caffemodel")
    new = schema.NetParameter.FromString((tmp_path / "out.caffemodel").read_bytes())
    assert {each.name: [[*blob.data] for blob in each.blobs] for each in new.layer if each.blobs} == {
        "one": [weight.ravel().tolist(), bias.tolist()],
        "two": [weight.ravel().tolist(), (bias + 1).tolist()],
    }


def test_sharers_agree_on_the_shape_or_where_permissive_on_the_count() -> None:
    inputs = data("a", "1 2 3 4") + data("b", "1 4 3 2")
    first = fc("fa", "a", 5, params='param { name: "w" }')
    with pytest.raises(SurgeryError, match="would need different shapes of it"):
        planned(inputs + first + fc("fb", "b", 5, params='param { name: "w" }'))
    lenient = fc("fb", "b", 5, params='param { name: "w" share_mode: PERMISSIVE }')
    assert kernels(planned(inputs + first + lenient)) == {"fa": (3, 4), "fb": (3, 2)}
