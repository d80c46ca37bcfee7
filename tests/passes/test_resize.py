"""The size of the inputs as a pass of its own."""

from __future__ import annotations

import pytest

from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.passing import Claim
from caffe_fcn.passes.resize import resize
from tests.passes.nets import conv, data, fc, model_of


def test_the_model_has_the_shapes_of_the_new_size() -> None:
    before = model_of(data() + conv("c", "data", 3))
    result = resize(before, (20, 30))
    (change,) = result.changes
    assert (change.describe(), change.document()) == ("input 20×30", {"layer": "data", "input_size": [20, 30]})
    assert result.claim is Claim.SAME_BITS and result.origins == (0, 1)
    assert result.model.shapes["TEST"].blobs[result.model.graph.outputs[0]] == (1, 3, 18, 28)
    assert b"dim: 1 dim: 2 dim: 20 dim: 30" in bytes(result.model.document)
    assert list(before.net.layer[0].input_param.shape[0].dim) == [1, 2, 8, 10], "a model is a value"


def test_a_net_that_needs_its_size_is_refused() -> None:
    with pytest.raises(SurgeryError, match=r"input_size=\(9, 11\) does not suit the converted net: .*'fc'"):
        resize(model_of(data() + fc("fc", "data", 3)), (9, 11))
