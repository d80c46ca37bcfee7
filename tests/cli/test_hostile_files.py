"""Hostile files: whatever is in them, they are converted, or refused in one line."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffe_fcn import schema
from tests.cli.conftest import CommandLine, listing
from tests.cli.test_bad_input import NET, blob, model
from tests.files.encodings import packed, shape_field
from tests.passes.nets import data, fc, layer

SMALL = schema.NetParameter(name="n")
SMALL.layer.add(name="data", type="Input", top=["data"], input_param={"shape": [{"dim": [1, 1, 4, 4]}]})
SMALL.layer.add(
    name="p", type="Pooling", bottom=["data"], top=["p"], pooling_param={"pool": "AVE", "kernel_size": 2, "stride": 2}
)
SMALL.layer.add(name="flat", type="Flatten", bottom=["p"], top=["flat"])
SMALL.layer.add(
    name="fc",
    type="InnerProduct",
    bottom=["flat"],
    top=["fc"],
    inner_product_param={"num_output": 3},
    blobs=[{"shape": {"dim": [3, 4]}, "data": [0.5] * 12}, {"shape": {"dim": [3]}, "data": [1, 2, 3]}],
)
SMALL_BYTES = SMALL.SerializeToString()
SMALL_TEXT = data(shape="1 1 4 4") + (
    layer("p", "Pooling", "data", params="pooling_param { pool: AVE kernel_size: 2 stride: 2 }")
    + layer("flat", "Flatten", "p")
    + fc("fc", "flat", 3)
)
HOSTILE = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def is_handled(cli: CommandLine, *arguments: str) -> None:
    """Whatever is in the files: done, or one message and nothing written."""
    before = listing(cli.path)
    result = cli.convert(*arguments)
    assert result.code in (0, 1)
    assert "defect" not in result.err and "Traceback" not in result.err
    if result.code:
        assert result.err.startswith("caffe-fcn: ")
        assert listing(cli.path) == before
    for name in cli.names - set(before):
        (cli.path / name).unlink()


def test_the_small_net_converts(cli: CommandLine) -> None:
    """Or the tests below would test nothing."""
    cli.write(net=SMALL_TEXT)
    cli.write(w=SMALL_BYTES)
    cli.converts("net.prototxt", "w.caffemodel")
    cli.converts("w.caffemodel", "--force")
    assert cli.blobs("w_fcn.caffemodel") == {"fc-conv": [(3, 1, 2, 2), (3,)]}


@pytest.mark.thorough
@HOSTILE
@given(noise=st.binary(max_size=300))
def test_random_bytes_as_a_caffemodel(cli: CommandLine, noise: bytes) -> None:
    cli.write(net=SMALL_TEXT)
    cli.write(w=noise)
    is_handled(cli, "net.prototxt", "w.caffemodel")
    is_handled(cli, "w.caffemodel")


@pytest.mark.thorough
@HOSTILE
@given(
    changes=st.lists(st.tuples(st.integers(0, len(SMALL_BYTES) - 1), st.integers(0, 255)), min_size=1, max_size=4),
    size=st.just(len(SMALL_BYTES)) | st.integers(0, len(SMALL_BYTES)),
)
def test_a_damaged_caffemodel(cli: CommandLine, changes: list[tuple[int, int]], size: int) -> None:
    damaged = bytearray(SMALL_BYTES)
    for position, value in changes:
        damaged[position] = value
    cli.write(net=SMALL_TEXT)
    cli.write(w=bytes(damaged[:size]))
    is_handled(cli, "net.prototxt", "w.caffemodel")
    is_handled(cli, "w.caffemodel")


WORDS = SMALL_TEXT.split(" ")
STRANGE = [
    *sorted(set(WORDS)),
    *"-1 0 4294967296 nan 1e30 'data' { } [ ] : # < > ,".split(),
    *'"" "\\377" "Data" "Reshape" "Concat" "LSTM" "Permute" "ArgMax" "Slice"'.split(),
]


@pytest.mark.thorough
@HOSTILE
@given(changes=st.lists(st.tuples(st.integers(0, len(WORDS) - 1), st.sampled_from(STRANGE)), min_size=1, max_size=3))
def test_a_damaged_prototxt(cli: CommandLine, changes: list[tuple[int, str]]) -> None:
    words = list(WORDS)
    for position, word in changes:
        words[position] = word
    cli.write(net=" ".join(words))
    cli.write(w=SMALL_BYTES)
    is_handled(cli, "net.prototxt", "w.caffemodel")


def test_blobs_in_dialects_that_lie(cli: CommandLine) -> None:
    """A blob that says its shape twice, differently, and one with its values in two fields."""
    import numpy as np

    values = np.zeros(800, "<f4")
    cli.write(net=NET)
    cli.write(w=model(shape_field((5, 160)) + shape_field((9, 9)) + packed(5, values), blob([5], 5)))
    is_handled(cli, "net.prototxt", "w.caffemodel")
    cli.write(w=model(shape_field((5, 160)) + packed(5, values) + packed(8, values[:3]), blob([5], 5)))
    is_handled(cli, "net.prototxt", "w.caffemodel")
