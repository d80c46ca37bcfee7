"""What the benchmarks measure is what they say: weights as Caffe writes them, contenders that do one job in turns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import nets
import numpy as np
import pytest
import session
from dense import ENGINES, DenseMap, Loading, MissingError, Picture, Worker, make_files
from make_weights import RECORD_LIMIT, write_weights
from measuring import Bench, Contender, ContenderError, compare, measure

from caffe_fcn import schema
from caffe_fcn.files.prototxt import parse
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.net.source import interpret
from tests.paths import ROOT
from tests.surgery.nets import data, fc, layer

LENET = ROOT / "models" / "lenet.prototxt"
LENET_KERNELS = ("ip1=4", "ip2=1")


def parameters(prototxt: str) -> dict[str, tuple[Shape, ...]]:
    graph = build_graph(interpret(parse(prototxt)).net)
    shapes = infer_shapes(graph).params
    return {node.name: shapes[node.index] for node in graph.nodes if node.index in shapes}


def run_python(*command: str | Path) -> None:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- Weights made on the spot ----


def test_weights_are_laid_out_as_protobuf_does(tmp_path: Path) -> None:
    target = tmp_path / "net.caffemodel"
    written = write_weights(LENET, target)
    data = target.read_bytes()
    net = schema.NetParameter.FromString(data)
    assert written == len(data)
    assert net.SerializeToString() == data
    held = {layer.name: tuple(tuple(blob.shape.dim) for blob in layer.blobs) for layer in net.layer}
    assert held == parameters(LENET.read_text(encoding="utf-8")) | {"data": ()}
    assert all(len(blob.data) == prod(blob.shape.dim) for layer in net.layer for blob in layer.blobs)
    values = [value for layer in net.layer for blob in layer.blobs for value in blob.data]
    assert -0.05 <= min(values) < -0.04
    assert 0.04 < max(values) <= 0.05


def test_one_seed_gives_one_file(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("first", "again", "other")]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        write_weights(LENET, file, seed)
    first, again, other = (file.read_bytes() for file in files)
    assert first == again
    assert first != other
    assert len(first) == len(other)


def test_a_layer_that_protobuf_cannot_read_is_refused(tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    shape = "input_param { shape { dim: 1 dim: 32768 } }"
    wide = "inner_product_param { num_output: 16384 }"
    net.write_text(
        f'layer {{ name: "data" type: "Input" top: "data" {shape} }}\n'
        f'layer {{ name: "fc" type: "InnerProduct" bottom: "data" top: "fc" {wide} }}\n'
    )
    with pytest.raises(ValueError, match='layer "fc" would hold'):
        write_weights(net, tmp_path / "net.caffemodel")


# ---- Nets that no file describes ----


def test_the_large_net_exceeds_five_gigabytes_and_no_limit_of_protobuf() -> None:
    layers = parameters(nets.vgg_large())
    assert 5.0e9 < sum(4 * prod(shape) for shapes in layers.values() for shape in shapes) < 5.11e9
    assert max(sum(4 * prod(shape) for shape in shapes) for shapes in layers.values()) < RECORD_LIMIT - 4096
    assert max(prod(shape) for shapes in layers.values() for shape in shapes) < 2**31


def test_the_resnet_has_152_layers() -> None:
    net = interpret(parse(nets.resnet152())).net
    weighted = [layer.name for layer in net.layer if layer.type in ("Convolution", "InnerProduct")]
    assert len([name for name in weighted if not name.endswith("_shortcut")]) == 152
    layers = parameters(nets.resnet152())
    held = {layer.name for layer in net.layer if layer.type != "BatchNorm"}
    # the total that is published for it: 60.19 million
    assert sum(prod(shape) for name in held & set(layers) for shape in layers[name]) == 60_192_808


# ---- The contenders ----


def test_the_plain_script_does_what_convert_does(tmp_path: Path) -> None:
    weights = tmp_path / "net.caffemodel"
    write_weights(LENET, weights)
    ours, plain = tmp_path / "ours", tmp_path / "plain"
    names: Sequence[str] = ("fcn.prototxt", "fcn.caffemodel")
    for directory in (ours, plain):
        directory.mkdir()
    outputs = [ours / name for name in names]
    run_python("-m", "caffe_fcn", "convert", LENET, weights, "-o", outputs[0], "-w", outputs[1], "--quiet")
    run_python("benchmarks/plain_protobuf.py", LENET, weights, *(plain / name for name in names), *LENET_KERNELS)
    texts = [interpret(parse((directory / names[0]).read_bytes())).net for directory in (ours, plain)]
    assert texts[0] == texts[1]
    models = [schema.NetParameter.FromString((directory / names[1]).read_bytes()) for directory in (ours, plain)]
    assert models[0] == models[1]


def test_contenders_take_turns_and_find_no_output(tmp_path: Path) -> None:
    log, output = tmp_path / "log", tmp_path / "output"
    script = 'test ! -e "$2" && echo "$0" >> "$1" && touch "$2"'
    contenders = [Contender(name, ["sh", "-c", script, name, log, output], (output,)) for name in ("a", "b")]
    series = compare(contenders, 3, lambda text: None)
    assert log.read_text().split() == ["a", "b"] * 4
    assert not output.exists()
    assert [(each.name, len(each.seconds), len(each.peaks)) for each in series] == [("a", 3, 3), ("b", 3, 3)]


def test_time_and_memory_are_the_childs() -> None:
    # In a process of its own: whoever measures is the least that can be measured.
    hungry = "import time; block = b'x' * (200 << 20); time.sleep(0.3)"
    script = f"from measuring import *; print(*measure([sys.executable, '-c', {hungry!r}]), floor())"
    command = [sys.executable, "-c", "import sys; sys.path.insert(0, 'benchmarks'); " + script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    seconds, peak, least = map(float, done.stdout.split())
    assert seconds >= 0.3
    assert 200 << 20 <= peak < 300 << 20
    assert 0 < least < 100 << 20


def test_a_contender_that_fails_ends_the_comparison() -> None:
    with pytest.raises(ContenderError, match=r"ended with 3: no such model"):
        measure(["sh", "-c", "echo no such model >&2; exit 3"])


# ---- Dense maps ----

TINY = f"""
{data(shape="1 3 8 8")}
{layer("conv", "Convolution", "data", params="convolution_param { num_output: 2 kernel_size: 3 stride: 1 }")}
{fc("fc", "conv", 2)}
"""
PICTURE = Picture(lambda: TINY, 10_000, window=8, size=11, cells=4)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    left_out: dict[str, str] = {}
    return Bench(tmp_path, 1, lambda text: None, left_out.setdefault)


def test_all_answer_the_same_windows(bench: Bench) -> None:
    """What the twin makes of the picture, the original makes of its windows; 16 of them in one batch."""
    files = make_files(PICTURE, bench)
    picture = np.random.default_rng(0).random((1, 3, 11, 11), dtype=np.float32)
    windows = [picture[:, :, y : y + 8, x : x + 8] for y in range(4) for x in range(4)]
    dense = session.load("onnxruntime", str(files.fcn), str(files.fcn_weights), 1).run({"data": picture})
    sliding = session.load("onnxruntime", str(files.net), str(files.weights), 1).run({"data": np.concatenate(windows)})
    np.testing.assert_allclose(dense["fc-conv"][0].reshape(2, 16).T, sliding["fc"], atol=1e-5)


def test_engines_that_are_not_installed_are_left_out_and_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    left_out: dict[str, str] = {}
    monkeypatch.setattr("dense.ENGINES", ("onnxruntime", "caffe"))
    found = DenseMap(PICTURE)(replace(bench, leave_out=left_out.setdefault))
    assert [each.name for each in found] == ["dense, onnxruntime", "sliding, onnxruntime"]
    assert all(len(each.seconds) == len(each.peaks) == 1 and each.peak > 1 << 20 for each in found)
    assert [*left_out] == ["dense, caffe"] and "needs its Python module" in left_out["dense, caffe"]
    assert ENGINES[-1] == "caffe"


def test_loading_takes_both_nets(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dense.ENGINES", ("onnxruntime",))
    assert [each.name for each in Loading(PICTURE)(bench)] == ["twin, onnxruntime", "original, onnxruntime"]


def test_a_worker_that_fails_says_why(bench: Bench) -> None:
    files = make_files(PICTURE, bench)
    wrong = Worker("onnxruntime", files.net, files.weights, (1, 3, 9, 9), "broken")
    with wrong, pytest.raises(ContenderError, match="broken ended with 1: ") as caught:
        wrong.run()
    assert "expected any×3×8×8, found 1×3×9×9" in str(caught.value)
    with pytest.raises(MissingError, match="needs its Python module"):
        Worker("caffe", files.net, files.weights, (1, 3, 8, 8), "missing")
