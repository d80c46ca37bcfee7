"""InnerProducts over joined maps of different grids, cut at the joints: the text, the columns, the proof."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from caffe_fcn import schema
from caffe_fcn.errors import SurgeryError
from caffe_fcn.model.opening import meet, open_inputs
from caffe_fcn.model.passing import Claim
from caffe_fcn.model.writing import write_model
from caffe_fcn.passes.conversion import Settings, plan
from caffe_fcn.passes.cut import cut
from caffe_fcn.passes.planning import Plan
from caffe_fcn.report.convert import document, lines
from tests.files.datasets import weights
from tests.files.encodings import parsed
from tests.passes.nets import conv, data, fc, kernels, layer, layers, model_of, planned, reasons
from tests.paths import ROOT

GRIDS = (
    data()
    + conv("c1", "data", 3, 1)
    + conv("c2", "c1", 2)
    + layer("f1", "Flatten", "c1")
    + layer("f2", "Flatten", "c2")
)
JOINED = GRIDS + layer("cat", "Concat", "f1 f2")
NET = JOINED + fc("fc", "cat", 5) + layer("prob", "Softmax", "fc")
"""Maps of 3×8×10 and 2×6×8: 240 and 96 columns."""
SUMMED = """\
layer { name: "fc_1-conv" type: "Convolution" bottom: "c1" top: "fc_1-conv"  convolution_param { num_output: 5 \
kernel_h: 8 kernel_w: 10 } }
layer { name: "fc_2-conv" type: "Convolution" bottom: "c2" top: "fc_2-conv" convolution_param { num_output: 5 \
bias_term: false kernel_h: 6 kernel_w: 8 } }
layer { name: "fc" type: "Eltwise" bottom: "fc_1-conv" bottom: "fc_2-conv" top: "fc" }
"""


def test_one_convolution_for_each_grid() -> None:
    made = planned(NET)
    end = conv("c2", "c1", 2) + SUMMED + layer("prob", "Softmax", "fc")
    assert made.document.text.split()[-len(end.split()) :] == end.split()
    assert kernels(made) == {"fc_1": (8, 10), "fc_2": (6, 8)}
    (change,) = made.of_kind("cut")
    assert change.describe() == "columns cut into fc_1, fc_2, and summed"
    assert change.document() == {"layer": "fc", "into": ["fc_1", "fc_2"]}
    assert [result.claim for result in made.results] == [Claim.SAME_FUNCTION, Claim.SAME_BITS]
    assert made.new_names == {"fc_1": "fc_1-conv", "fc_2": "fc_2-conv"}


def test_it_is_told() -> None:
    made = planned(NET)
    assert "  fc   columns cut into fc_1, fc_2, and summed" in list(lines(made, (), True))
    told = document(made, {"net": None, "weights": None}, True)
    assert told["cut"] == [{"layer": "fc", "into": ["fc_1", "fc_2"]}]
    Draft202012Validator(json.loads((ROOT / "docs/schema/convert.json").read_text())).validate(told)


def test_what_stays_in_the_parts() -> None:
    """The bias, its rate and filler go with the first; rules go with all."""
    more = 'bias_filler { value: 2 } weight_filler { type: "xavier" }'
    params = "param { lr_mult: 1 } param { lr_mult: 2 } include { phase: TEST }"
    first, second, total = list(layers(planned(JOINED + fc("fc", "cat", 5, more, params))).values())[-3:]
    assert [each.lr_mult for each in first.param] == [1, 2] and [each.lr_mult for each in second.param] == [1]
    assert first.convolution_param.bias_filler.value == 2 and not second.convolution_param.HasField("bias_filler")
    assert first.convolution_param.weight_filler == second.convolution_param.weight_filler
    assert not second.convolution_param.bias_term and first.convolution_param.bias_term
    assert first.include == second.include == total.include and len(total.include) == 1


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_columns(transposed: bool, legacy: bool, tmp_path: Path) -> None:
    matrix = np.arange(5 * 336, dtype="<f4").reshape(5, 336)
    stored = matrix.T if transposed else matrix
    net = NET.replace("num_output: 5", "num_output: 5 transpose: true") if transposed else NET
    (tmp_path / "n.prototxt").write_text(net)
    held = schema.NetParameter(name="net")
    for name, blobs in (("c1", [(3, 2, 1, 1), (3,)]), ("c2", [(2, 3, 3, 3), (2,)])):
        convolution = held.layer.add(name=name, type="Convolution", bottom=["x"], top=[name])
        for shape in blobs:
            convolution.blobs.add(shape={"dim": shape}, data=np.zeros(shape).ravel())
    product = held.layer.add(name="fc", type="InnerProduct", bottom=["cat"], top=["fc"])
    shapes = {"num": 1, "channels": 1, "height": stored.shape[0], "width": stored.shape[1]}
    product.blobs.add(**(shapes if legacy else {"shape": {"dim": stored.shape}}), data=stored.ravel())
    product.blobs.add(shape={"dim": [5]}, data=np.arange(5))
    (tmp_path / "w.caffemodel").write_bytes(held.SerializeToString())
    converted(tmp_path, "w.caffemodel")
    made = {each.name: each for each in parsed(tmp_path / "out.caffemodel").layer}
    assert [name for name in made if name not in ("c1", "c2")] == ["fc_1-conv", "fc_2-conv", "fc"]
    assert list(made["fc"].bottom) == ["fc_1-conv", "fc_2-conv"] and list(made["fc"].top) == ["fc"]
    for name, columns, shape in (
        ("fc_1-conv", matrix[:, :240], (5, 3, 8, 10)),
        ("fc_2-conv", matrix[:, 240:], (5, 2, 6, 8)),
    ):
        assert tuple(made[name].blobs[0].shape.dim) == shape
        np.testing.assert_array_equal(made[name].blobs[0].data, columns.ravel())
    assert list(made["fc_1-conv"].blobs[1].data) == [0, 1, 2, 3, 4] and len(made["fc_2-conv"].blobs) == 1


def converted(path: Path, name: str) -> Plan:
    source, opened = open_inputs(str(path / "n.prototxt"), str(path / name))
    assert opened is not None
    with opened:
        made = plan(meet(source, opened), Settings())
        write_model(made.model, str(path / "out.prototxt"), str(path / "out.caffemodel"), force=True)
    return made


def test_weights_in_hdf5(tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_text(NET)
    matrix = np.arange(5 * 336, dtype="<f4").reshape(5, 336)
    c1, c2 = ([np.ones(shape, "<f4"), np.ones(shape[0], "<f4")] for shape in ((3, 2, 1, 1), (2, 3, 3, 3)))
    weights(tmp_path / "w.h5", c1=c1, c2=c2, fc=[matrix, np.ones(5, "<f4")])
    converted(tmp_path, "w.h5")
    made = {each.name: each for each in parsed(tmp_path / "out.caffemodel").layer if each.blobs}
    np.testing.assert_array_equal(made["fc_2-conv"].blobs[0].data, matrix[:, 240:].ravel())


@pytest.mark.parametrize(
    ("net", "skip"),
    [
        (JOINED + layer("r", "ReLU", "cat", "r") + fc("fc", "r", 5), ()),  # not one after the other
        (JOINED + fc("fc", "cat", 5, "", 'param { name: "w" }'), ()),
        (NET, ("f*",)),
    ],
)
def test_what_is_not_cut(net: str, skip: tuple[str, ...]) -> None:
    made = planned(net, skip=skip)
    assert not made.of_kind("cut", "converted")
    assert set(reasons(made)) == {"fc"}


def test_grids_that_are_the_same_are_joined_in_their_channels() -> None:
    same = data() + layer("f1", "Flatten", "data") + layer("f2", "Flatten", "data") + layer("cat", "Concat", "f1 f2")
    made = planned(same + fc("fc", "cat", 5))
    assert kernels(made) == {"fc": (8, 10)} and not made.of_kind("cut")


def test_names_that_are_taken() -> None:
    assert not cut(model_of(NET + layer("fc_2", "ReLU", "prob"))).changes


def test_a_join_that_others_read_stays() -> None:
    made = cut(model_of(NET + layer("s", "Silence", "cat", "")))
    assert [change.kind for change in made.changes] == ["cut"]
    assert [each.name for each in made.model.net.layer][-6:] == ["cat", "fc_1", "fc_2", "fc", "prob", "s"]


def test_grids_of_different_strides_are_refused() -> None:
    net = NET.replace("kernel_size: 3 ", "kernel_size: 3 stride: 2")
    with pytest.raises(SurgeryError, match=r"fc \(Eltwise\) would join .* different strides on a larger input"):
        planned(net)
