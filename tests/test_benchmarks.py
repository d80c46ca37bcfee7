"""What the benchmarks measure is what they say: weights as Caffe writes them, contenders that do one job in turns."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import dense
import environments
import nets
import numpy as np
import peer
import pytest
import run as benchmarks
import session
from dense import DenseMap, Loading, MissingError, Picture, Worker, make_files
from environments import InstallError, python_with
from make_weights import RECORD_LIMIT, write_weights
from measuring import Bench, Contender, ContenderError, Series, compare, measure
from run import CASES

from caffe_fcn import schema
from caffe_fcn.files.prototxt import parse
from caffe_fcn.model.opening import meet
from caffe_fcn.net.graph import build_graph
from caffe_fcn.net.shapes import Shape, infer_shapes
from caffe_fcn.net.source import interpret
from caffe_fcn.passes.conversion import Settings, plan
from tests.passes.nets import data, fc, layer
from tests.paths import ROOT

pytestmark = pytest.mark.thorough

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
HERE = {name: replace(each, requirement=None) for name, each in dense.PEERS.items()}
"""The peers, as they are in this environment."""


@pytest.fixture
def left_out() -> dict[str, tuple[str, bool]]:
    return {}


@pytest.fixture
def bench(tmp_path: Path, left_out: dict[str, tuple[str, bool]]) -> Bench:
    def leave_out(name: str, reason: str, needed: bool) -> None:
        left_out[name] = reason, needed

    return Bench(tmp_path, 1, lambda text: None, leave_out, tmp_path / "cache")


def test_all_answer_the_same_windows(bench: Bench) -> None:
    """What the twin makes of the picture, the original makes of its windows; 16 of them in one batch."""
    files = make_files(PICTURE, bench)
    picture = np.random.default_rng(0).random((1, 3, 11, 11), dtype=np.float32)
    windows = [picture[:, :, y : y + 8, x : x + 8] for y in range(4) for x in range(4)]
    made = session.load("onnxruntime", str(files.fcn), str(files.fcn_weights), 1).run({"data": picture})
    sliding = session.load("onnxruntime", str(files.net), str(files.weights), 1).run({"data": np.concatenate(windows)})
    np.testing.assert_allclose(made["fc-conv"][0].reshape(2, 16).T, sliding["fc"], atol=1e-5)


def test_peers_make_the_map_that_the_engine_makes(bench: Bench) -> None:
    files = make_files(PICTURE, bench)
    run_python("-m", "caffe_fcn", "export", files.fcn, files.fcn_weights, "-o", files.exported, "--quiet")
    picture = np.random.default_rng(0).random((1, 3, 11, 11), dtype=np.float32)
    expected = session.load("onnxruntime", str(files.fcn), str(files.fcn_weights), 1).run({"data": picture})["fc-conv"]
    for name, each in HERE.items():
        pytest.importorskip({"opencv": "cv2"}.get(each.kind, each.kind), reason=f"{name} is not installed")
        model = files.exported if each.exported else files.fcn
        run, version = peer.PEERS[each.kind](str(model), str(files.fcn_weights), 1)
        np.testing.assert_allclose(run(picture), expected, atol=1e-5)
        assert version[0].isdigit()


def test_operations_are_counted(bench: Bench) -> None:
    files = make_files(PICTURE, bench)
    assert dense.operations(files.fcn, (1, 3, 11, 11)) == 2 * (9 * 9 * 2 * 27 + 4 * 4 * 2 * 72)
    assert dense.operations(files.net, (16, 3, 8, 8)) == 2 * 16 * (6 * 6 * 2 * 27 + 2 * 72)


def test_a_dense_map_is_compared_with_all_that_can_be_had(
    bench: Bench, left_out: dict[str, tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def python_with(requirement: str, cache: Path) -> Path:
        raise InstallError(f"no {requirement} in {cache.name}")

    peers = {"onnxruntime, exported": dense.PEERS["onnxruntime, exported"], "OpenCV 4.11": dense.PEERS["OpenCV 4.11"]}
    monkeypatch.setattr(dense, "PEERS", peers)
    monkeypatch.setattr(dense, "python_with", python_with)
    monkeypatch.setattr(dense, "_SIDE", 64)
    found = {each.name: each for each in DenseMap(PICTURE)(bench)}
    assert [*found] == ["run's engine", "onnxruntime, exported", "sliding window", "matrix product"]
    assert all(len(each.seconds) == len(each.peaks) == 1 and each.peak > 1 << 20 for each in found.values())
    assert found["run's engine"].work == found["onnxruntime, exported"].work < found["sliding window"].work
    assert found["matrix product"].work == 2 * 64**3 and all(each.version and each.speed > 0 for each in found.values())
    assert left_out["OpenCV 4.11"] == ("no opencv-python-headless==4.11.* in cache", True)
    assert "needs its Python module" in left_out["pycaffe"][0] and not left_out["pycaffe"][1]
    assert [*left_out] == ["OpenCV 4.11", "pycaffe"]


def test_a_peer_that_makes_another_map_is_no_peer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Worker("other", dense.peer(sys.executable, "matrices", Path("a"), Path("b"), (2, 2)))
    same = Worker("same", dense.peer(sys.executable, "matrices", Path("a"), Path("b"), (3, 3)))
    with other, same:
        other.run()
        same.run()
        dense._check(same, same)
        with pytest.raises(ContenderError, match="other makes 4 values, same makes 9"):
            dense._check(other, same)


def test_loading_takes_both_nets(
    bench: Bench, left_out: dict[str, tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "ENGINES", ("onnxruntime", dense.LOW_MEMORY, "caffe"))
    found = Loading(PICTURE)(bench)
    engines = ("onnxruntime", "onnxruntime --low-memory")
    assert [each.name for each in found] == [f"{net}, {engine}" for engine in engines for net in ("twin", "original")]
    assert all(len(each.seconds) == len(each.peaks) == 1 for each in found)
    assert {name: needed for name, (_, needed) in left_out.items()} == {"twin, caffe": False, "original, caffe": False}


def test_a_worker_that_fails_says_why(bench: Bench) -> None:
    files = make_files(PICTURE, bench)
    wrong = Worker("broken", dense.session("onnxruntime", files.net, files.weights, (1, 3, 9, 9)))
    with wrong, pytest.raises(ContenderError, match="broken ended with 1: ") as caught:
        wrong.run()
    assert "expected any×3×8×8, found 1×3×9×9" in str(caught.value)
    with pytest.raises(MissingError, match="needs its Python module"):
        Worker("missing", dense.session("caffe", files.net, files.weights, (1, 3, 8, 8)))


def test_the_nets_that_are_compared_have_as_many_windows_as_is_said() -> None:
    for name in ("alexnet", "googlenet", "resnet50", "vgg16"):
        case = CASES[f"{name}-dense"]
        assert isinstance(case.run, DenseMap)
        picture = case.run.picture
        graph = build_graph(interpret(parse(picture.prototxt())).net)
        assert sum(prod(shape) for shapes in infer_shapes(graph).params.values() for shape in shapes) * 4 == (
            pytest.approx(picture.size_of_model, rel=0.01)
        ), name
        twin = build_graph(plan(meet(interpret(parse(picture.prototxt(), f"{name}.prototxt")), None), Settings()).net)
        last = twin.nodes[-1].tops[0]
        shape = infer_shapes(twin, given={"data": (1, 3, picture.size, picture.size)}).blobs[last]
        assert shape == (1, 1000, picture.cells, picture.cells), name


# ---- Environments, and the verdict ----


class Commands:
    """Stands in for what runs commands; those with a word of FAIL in them fail."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fail = "nothing"

    def __call__(self, command: list[str | Path]) -> None:
        words = [str(word) for word in command]
        if self.fail in words:
            raise InstallError("no index")
        self.ran.append("venv" if "venv" in words else words[-1])
        if "venv" in words:
            Path(words[-1]).mkdir(parents=True, exist_ok=True)


def test_an_environment_is_made_once_and_kept_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(environments, "_run", commands)
    first = python_with("some==4.*", tmp_path)
    assert python_with("some==4.*", tmp_path) == first and first.is_relative_to(tmp_path)
    assert commands.ran == ["venv", "some==4.*", "some==4.*"]
    assert python_with("some==4.11.*", tmp_path) != first
    commands.fail = "some==4.*"
    assert python_with("some==4.*", tmp_path) == first, "it is complete, and the index is not needed"
    commands.fail = "more"
    for _ in range(2):
        with pytest.raises(InstallError, match="no index"):
            python_with("more", tmp_path)


def test_why_nothing_was_installed_is_told(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"^ERROR: it is not there$"):
        environments._run(["sh", "-c", "echo WARNING: a >&2; echo ERROR: it is not there >&2; echo b >&2; exit 1"])
    with pytest.raises(InstallError, match="No such file"):
        environments._run([tmp_path / "python"])


def ran(series: list[Series], monkeypatch: pytest.MonkeyPatch, missing: Sequence[tuple[str, bool]] = ()) -> int:
    """The exit code where the case of AlexNet gives SERIES and lacks what is MISSING."""

    def run(bench: Bench) -> list[Series]:
        for name, needed in missing:
            bench.leave_out(name, "not there", needed)
        return series

    monkeypatch.setitem(CASES, "alexnet-dense", replace(CASES["alexnet-dense"], run=run))
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "alexnet-dense"])
    return benchmarks.main()


def test_the_exit_code_tells_what_was_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = Series("run's engine", (0.3, 0.2), (1 << 20,), 1e9, "1")
    slow, quick = (Series(name, (seconds,), (1 << 20,), 1e9, "2") for name, seconds in (("a", 0.4), ("b", 0.26)))
    ends = [Series(name, (0.01,), (1 << 20,), 1e9) for name in ("sliding window", "matrix product")]
    assert ran([ours, slow, *ends], monkeypatch) == 0
    told = capsys.readouterr().out
    assert "0.62 ×  reached" in told and re.search(r"run's engine  +0\.250 s .* 1\.00 × .* 4  1\n", told)
    assert ran([ours, slow, quick, *ends], monkeypatch) == 1
    assert "0.96 ×  MISSED" in capsys.readouterr().out
    assert ran([ours, slow, *ends], monkeypatch, [("pycaffe", False)]) == 0
    assert ran([ours, slow, *ends], monkeypatch, [("c", True)]) == 1
    assert re.search(r"c +left out: not there", capsys.readouterr().out)
    assert ran([ours, *ends], monkeypatch) == 1
