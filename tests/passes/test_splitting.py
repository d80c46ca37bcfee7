"""BatchNorm layers of forks become layers of BVLC Caffe: text and weights together, and what they compute stays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe_fcn import schema
from caffe_fcn.engines.nets import one_net
from caffe_fcn.errors import NetError, WeightsError
from caffe_fcn.files import prototxt
from caffe_fcn.files.weights import open_weights
from caffe_fcn.model.writing import write_outputs
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.upgrade import check_alone, upgrade_pair
from caffe_fcn.schema import Message
from tests.engines.nets import add_layer, blobs_of, difference, load
from tests.engines.test_batch_norm import LAYOUTS, parts
from tests.files import datasets
from tests.passes.nets import data, layer
from tests.paths import CASES

Array = Any
IMAGE = np.random.default_rng(0).standard_normal((1, 3, 4, 5), dtype=np.float32)
NET = (
    data(shape="1 3 4 5")
    + '# the layer\nlayer {\n  name: "bn"\n  type: "BatchNorm"  # of a fork\n  bottom: "data"\n  %s\n}\n'
)


def bn(fields: str = "", more: str = 'top: "bn"') -> str:
    return NET % f"{more}\n  batch_norm_param {{\n    eps: 0.01\n    {fields}\n  }}"


def trained(path: Path, **layers: list[Array]) -> Path:
    net = schema.NetParameter(name="net")
    for name, blobs in layers.items():
        add_layer(net, name, blobs, type="BatchNorm" if blobs else "Other", bottom=["data"], top=[name])
    (path / "in.caffemodel").write_bytes(net.SerializeToString())
    return path / "in.caffemodel"


def held(layout: str, factor: float = 2.0) -> list[Array]:
    return [parts(3, factor)[name] for name in LAYOUTS[layout]]


def split(path: Path, text: str, weights: Path, out: str = "out.caffemodel") -> tuple[str, Message]:
    """The new text, and the net that it spells; the new weights are in OUT."""
    with open_weights(weights) as opened:
        net, found = upgrade_pair(
            interpret(prototxt.parse(text, "in.prototxt")), opened, hdf5=out.endswith("h5"), bvlc=True
        )
        assert found.output is not None
        target = str(path / "out.prototxt"), str(path / out)
        write_outputs(net.document, target[0], found.output, target[1], force=True)
    made = (path / "out.prototxt").read_text()
    return made, interpret(prototxt.parse(made, "out.prototxt")).written


def outputs(text: str, weights: Path, names: list[str]) -> Mapping[str, Array]:
    with open_weights(weights) as opened:
        net, completed, _ = one_net(interpret(prototxt.parse(text, "net.prototxt")), opened)
        return load(net, completed, names).run({"data": IMAGE})


def layers(net: Message) -> dict[str, tuple[str, list[str], list[str]]]:
    return {each.name: (each.type, list(each.bottom), list(each.top)) for each in net.layer[1:]}


# ---- What becomes of it ----


@pytest.mark.parametrize("ending", ["out.caffemodel", "out.caffemodel.h5"])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("layout", ["statistics first", "without a shift", "scale first"])
def test_the_layer_becomes_two_that_compute_the_same(tmp_path: Path, layout: str, in_place: bool, ending: str) -> None:
    top = "data" if in_place else "bn"
    text = bn(more=f'top: "{top}"') + layer("abs", "AbsVal", top)
    weights = trained(tmp_path, bn=held(layout), other=[np.ones(3)])
    made, net = split(tmp_path, text, weights, ending)
    assert layers(net) == {
        "bn": ("BatchNorm", ["data"], [top]),
        "bn_scale": ("Scale", [top], [top]),
        "abs": ("AbsVal", [top], ["abs"]),
    }
    assert net.layer[2].scale_param.bias_term == (layout != "without a shift")
    assert "# of a fork" in made and "# the layer" in made
    names = ["abs"] if in_place else ["bn", "abs"]
    before, after = outputs(text, weights, names), outputs(made, tmp_path / ending, names)
    assert all(difference(after[name], before[name]) < 1e-6 for name in names)
    with open_weights(tmp_path / ending) as opened:
        shapes = {record.name: [blob.shape for blob in record.blobs] for record in opened.layers if record.blobs}
    scale = [(3,), (3,)] if layout != "without a shift" else [(3,)]
    assert shapes == {"bn": [(3,), (3,), (1,)], "bn_scale": scale, "other": [(3,)]}


def test_the_fields_of_the_fork_go_and_say_what_they_said(tmp_path: Path) -> None:
    fields = "scale_bias: true scale_filler { value: 2 } bias_filler { value: 3 } engine: CUDNN use_global_stats: true"
    made, net = split(tmp_path, bn(fields), trained(tmp_path, bn=held("statistics first")))
    first, second = net.layer[1:]
    assert str(first.batch_norm_param).split() == ["use_global_stats:", "true", "eps:", "0.01"]
    assert (second.scale_param.filler.value, second.scale_param.bias_filler.value) == (2, 3)
    assert "CUDNN" not in made and "scale_bias" not in made
    assert interpret(prototxt.parse(made, "out.prototxt")).foreign == ()


def test_a_message_of_fields_of_forks_alone_goes_whole(tmp_path: Path) -> None:
    text = data(shape="1 3 4 5") + layer(
        "bn", "BatchNorm", "data", params="batch_norm_param { scale_bias: true engine: CUDNN }"
    )
    made, net = split(tmp_path, text, trained(tmp_path, bn=held("statistics first")))
    assert "batch_norm_param" not in made and not net.layer[1].HasField("batch_norm_param")


def test_a_relu_of_its_own_becomes_a_layer(tmp_path: Path) -> None:
    for layout, names in (("plain", ["bn", "bn_relu"]), ("scale first", ["bn", "bn_scale", "bn_relu"])):
        weights = trained(tmp_path, bn=held(layout))
        made, net = split(tmp_path, bn("relu: true"), weights)
        assert list(layers(net)) == names and net.layer[len(names)].type == "ReLU"
        before, after = outputs(bn("relu: true"), weights, ["bn"]), outputs(made, tmp_path / "out.caffemodel", ["bn"])
        assert difference(after["bn"], before["bn"]) < 1e-6 and (before["bn"] >= 0).all()


def test_nvidias_eps_is_written(tmp_path: Path) -> None:
    text = bn("scale_bias: true").replace("0.01", "1e-9")
    _, net = split(tmp_path, text, trained(tmp_path, bn=held("statistics first", 1.0)))
    assert net.layer[1].batch_norm_param.eps == pytest.approx(1e-5)


def test_rates_and_rules_go_with_the_blobs(tmp_path: Path) -> None:
    more = 'top: "bn" include { phase: TEST } ' + " ".join(
        f'param {{ name: "{name}" lr_mult: {rate} decay_mult: 4 }}' for rate, name in enumerate("abcde", 1)
    )
    _, net = split(tmp_path, bn(more=more), trained(tmp_path, bn=held("scale first")))
    first, second = net.layer[1:]
    assert [(each.name, each.lr_mult, each.decay_mult) for each in first.param] == [
        ("c", 0, 4),
        ("d", 0, 4),
        ("e", 0, 4),
    ]
    assert [(each.name, each.lr_mult, each.decay_mult) for each in second.param] == [("a", 1, 4), ("b", 2, 4)]
    assert second.include == first.include and len(second.include) == 1


def test_new_names_are_new(tmp_path: Path) -> None:
    text = bn() + layer("bn_scale", "AbsVal", "bn", "abs")
    _, net = split(tmp_path, text, trained(tmp_path, bn=held("statistics first"), bn_scale2=[np.ones(1)]))
    assert list(layers(net)) == ["bn", "bn_scale3", "bn_scale"]


def test_layers_of_one_name_in_two_phases_stay_one(tmp_path: Path) -> None:
    text = "".join(
        layer("bn", "BatchNorm", "data", params=f"include {{ phase: {phase} }} {fields}")
        for phase, fields in (("TRAIN", "batch_norm_param { scale_bias: true }"), ("TEST", ""))
    )
    _, net = split(tmp_path, data(shape="1 3 4 5") + text, trained(tmp_path, bn=held("statistics first")))
    assert [each.name for each in net.layer[1:]] == ["bn", "bn_scale"] * 2
    assert [each.include[0].phase for each in net.layer[1:]] == [0, 0, 1, 1]


def test_old_shapes_and_formats_are_brought_up_on_the_way(tmp_path: Path) -> None:
    """The text in the format of 2014 has no BatchNorm, but its own input fields; the blobs have four axes."""
    net = schema.NetParameter()
    each = net.layer.add(name="bn", type="BatchNorm", bottom=["data"], top=["bn"])
    for values in held("statistics first"):
        each.blobs.add(num=1, channels=1, height=1, width=len(values), data=values)
    (tmp_path / "in.caffemodel").write_bytes(net.SerializeToString())
    text = 'input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 5 }\n' + bn().partition("\n")[2]
    made, written = split(tmp_path, text, tmp_path / "in.caffemodel")
    assert [each.type for each in written.layer] == ["Input", "BatchNorm", "Scale"] and not written.input
    assert [blob.shape for blob in blobs_of(tmp_path / "out.caffemodel")["bn"]] == [(3,), (3,), (1,)]
    before = outputs(text, tmp_path / "in.caffemodel", ["bn"])
    assert difference(outputs(made, tmp_path / "out.caffemodel", ["bn"])["bn"], before["bn"]) < 1e-6


def test_hdf5_in_and_a_caffemodel_out(tmp_path: Path) -> None:
    weights = trained(tmp_path, bn=held("statistics first"))
    made, _ = split(tmp_path, bn(), weights, "out.caffemodel.h5")
    stored = datasets.weights(tmp_path / "in.h5", bn=[blob.astype(np.float32) for blob in held("statistics first")])
    again, _ = split(tmp_path, bn(), stored)
    assert again == made
    assert [len(blobs) for blobs in blobs_of(tmp_path / "out.caffemodel").values() if blobs] == [3, 2]


def test_nothing_to_split_is_an_upgrade_of_both(tmp_path: Path) -> None:
    made, _ = split(tmp_path, bn(), trained(tmp_path, bn=held("plain")))
    assert made == bn()


def test_the_case(tmp_path: Path) -> None:
    text = (CASES / "bn_fork.prototxt").read_text()
    made, net = split(tmp_path, text, CASES / "bn_fork.caffemodel")
    assert [each.type for each in net.layer] == ["Input", "Convolution", "BatchNorm", "Scale", "InnerProduct"]
    image = np.random.default_rng(1).standard_normal((1, 3, 10, 10), dtype=np.float32)
    found = []
    for each, weights in ((text, CASES / "bn_fork.caffemodel"), (made, tmp_path / "out.caffemodel")):
        with open_weights(weights) as opened:
            ready, completed, notes = one_net(interpret(prototxt.parse(each, "net.prototxt")), opened)
            found.append(load(ready, completed).run({"data": image})["fc"])
    assert difference(found[1], found[0]) < 1e-6 and notes == ()


# ---- What is refused ----


@pytest.mark.parametrize("field", ["disable_mean: true", "strange: 1"])
def test_fields_that_bvlc_has_nothing_for(tmp_path: Path, field: str) -> None:
    with pytest.raises(NetError, match=rf"layer 'bn' \(BatchNorm\): batch_norm_param\.{field.partition(':')[0]} is"):
        split(tmp_path, bn(field), trained(tmp_path, bn=held("statistics first")))


@pytest.mark.parametrize("layout", ["statistics first", "without a shift", "scale first"])
def test_statistics_of_the_batch_beside_a_scale(tmp_path: Path, layout: str) -> None:
    weights = trained(tmp_path, bn=held(layout))
    with pytest.raises(NetError, match=r"layer 'bn' \(BatchNorm\): use_global_stats is false, and forks"):
        split(tmp_path, bn("use_global_stats: false"), weights)
    in_training = bn("use_global_stats: false", 'include { phase: TRAIN }\n  top: "bn"')
    _, net = split(tmp_path, in_training, weights)
    assert [each.type for each in net.layer[1:]] == ["BatchNorm", "Scale"]
    assert net.layer[1].batch_norm_param.HasField("use_global_stats")


def test_statistics_of_the_batch_without_a_scale(tmp_path: Path) -> None:
    _, net = split(tmp_path, bn("use_global_stats: false relu: true"), trained(tmp_path, bn=held("plain")))
    assert [each.type for each in net.layer[1:]] == ["BatchNorm", "ReLU"]


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected 5 blobs"):
        split(tmp_path, bn("scale_bias: true"), trained(tmp_path, bn=held("plain")))


@pytest.mark.parametrize(
    "fields", ["scale_bias: true", "scale_filler { value: 1 }", "relu: true", "use_weight_bias: true"]
)
def test_one_file_alone_is_refused_with_the_way_round(tmp_path: Path, fields: str) -> None:
    way = re.escape("`Net.upgrade(target='bvlc')`")
    with pytest.raises(NetError, match=way):
        check_alone(interpret(prototxt.parse(bn(fields), "in.prototxt")))
    for layout in LAYOUTS:
        with open_weights(trained(tmp_path, bn=held(layout), more=[np.ones(3)])) as opened:
            if layout == "plain":
                assert check_alone(opened) == ()
            else:
                with pytest.raises(NetError, match=way):
                    check_alone(opened)
    (note,) = check_alone(interpret(prototxt.parse(bn(), "in.prototxt")))
    assert note.startswith("only the weights show")
    assert check_alone(interpret(prototxt.parse(data(), "in.prototxt"))) == ()
