"""Headers of layers: what forks alone have is written under the numbers that they give it, or not at all."""

from __future__ import annotations

import pytest

from caffe_fcn import schema
from caffe_fcn.files.headers import as_forks_number_it, merge_header, parse_header
from caffe_fcn.files.wire import reader_of
from caffe_fcn.schema import Message
from caffe_fcn.schema.forks import forks
from tests.net.forks import net_of


def numbers(message: Message) -> list[int]:
    """The numbers of the fields in the bytes of MESSAGE."""
    data = message.SerializeToString()
    return [part.number for part in reader_of(data).fields(0, len(data))]


def test_fields_of_forks_have_the_numbers_that_the_forks_give_them() -> None:
    """The two are Intel's alone; permute_param has two numbers, of which none can be taken."""
    layer = schema.LayerParameter(name="c", type="Convolution")
    layer.convolution_param.num_output = 3
    layer.convolution_param.relu = True
    layer.convolution_param.negative_slope = 0.5
    layer.permute_param.order.append(0)
    made = as_forks_number_it(layer)
    assert numbers(made.convolution_param) == [1, 19, 20]
    assert numbers(made) == [1, 2, 106]
    assert layer.convolution_param.relu, "it is a copy"


def test_a_number_of_bvlc_caffes_is_not_given_to_another_field() -> None:
    """avg_include_pad is 13 in Intel's fork, which is round_mode in BVLC Caffe."""
    layer = schema.LayerParameter(name="p", type="Pooling")
    layer.pooling_param.avg_include_pad = False
    assert numbers(as_forks_number_it(layer).pooling_param) == []


def test_fields_in_lists_are_written_so_too() -> None:
    net = schema.NetParameter()
    net.layer.add(name="c").dropout_param.scale_train = False
    assert numbers(as_forks_number_it(net).layer[0].dropout_param) == [2]


def test_a_changed_header_has_a_field_of_a_fork() -> None:
    raw = schema.LayerParameter(name="c", type="InnerProduct").SerializeToString()
    new = schema.LayerParameter(name="c", type="Convolution")
    new.convolution_param.negative_slope = 0.5
    read = schema.LayerParameter.FromString(merge_header(raw, new))
    assert read.type == "Convolution" and numbers(read.convolution_param) == [20]


@pytest.mark.parametrize("fork", sorted({*forks()} - {"C3D-1.0"}))
def test_a_changed_header_keeps_every_other_field_of_its_fork(fork: str) -> None:
    """C3D 1.0 has no layers of the current format."""
    for layer in net_of(fork).layer:
        raw = layer.SerializePartialToString()
        new = parse_header("LayerParameter", raw)
        assert new is not None
        new.top[:] = layer.top[:] = ["renamed"]
        assert type(layer).FromString(merge_header(raw, new)) == layer, layer.name
