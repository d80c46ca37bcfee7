"""`caffe-fcn run`: what it tells, the files it makes, and its documents."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from caffe_fcn import schema
from caffe_fcn.engines.options import ENGINES, EngineOptions
from caffe_fcn.engines.registry import engine
from caffe_fcn.errors import ExtraError
from tests.cli.conftest import CommandLine, Result
from tests.cli.running import FCN, NAMED, NET, SCALE, SCHEMA, checked, refuses, rejects, runs, truth
from tests.paths import CASES, GOLDEN, ROOT, SHARED_MODELS

TIMING = json.loads((ROOT / "docs" / "schema" / "benchmark.json").read_bytes())


# ---- What it tells ----


def test_a_classifier_tells_the_top_classes(digits: CommandLine) -> None:
    result = runs(digits, *NET, "window.png", *NAMED, "--top", "2")
    lines = result.out.decode().splitlines()
    assert lines[0] == "window.png: 20×20 pixels" and len(lines) == 3
    classes = [line.split() for line in lines[1:]]
    assert all(0 <= float(score) <= 1 and name in (index, "background") for score, index, name in classes)
    assert result.err == ""


def test_a_map_tells_where_each_class_stands(digits: CommandLine) -> None:
    lines = runs(digits, *FCN, "scattered.png", *NAMED, "--top", "10").out.decode().splitlines()
    assert lines[1] == "  prob 11×44×60: each cell sees 20×20 pixels, the next one 4 further"
    assert lines[2].startswith("    of the cells background 97.0 %, 2 0.7 %")
    stand = {(digit, row, column) for digit, row, column in truth()}
    for line in lines[3:]:
        _, digit, _, rows, _, columns = line.replace(",", "").split()
        middle = [sum(map(int, each.split("–"))) / 2 for each in (rows, columns)]
        assert any(int(digit) == each and abs(middle[0] - r) < 4 and abs(middle[1] - c) < 4 for each, r, c in stand)
    assert {line.split()[1] for line in lines[3:]} == set("0123456789")


def test_names_are_not_needed(digits: CommandLine) -> None:
    told = runs(digits, *FCN, "scattered.png", "--scale", SCALE).out.decode()
    assert "    of the cells class 10 97.0 %, class 2 0.7 %, " in told


def test_quiet(digits: CommandLine) -> None:
    assert runs(digits, *FCN, "scattered.png", "-q", "--resize", "40x40") == Result(0, b"", "")


@pytest.mark.thorough
def test_borders_are_told_with_their_cause(cli: CommandLine) -> None:
    for name in NET:
        shutil.copy(GOLDEN / "conversions" / "rnet" / name, cli.path / name)
    cli.converts(*NET, "-o", FCN[0], "-w", FCN[1])
    np.save(cli.path / "x.npy", np.zeros((50, 60, 3), np.uint8))
    result = runs(cli, *FCN, "x.npy", "--blob", "prob1", "--json")
    found = checked(result.document)["pictures"][0]["maps"][0]
    assert (
        found["exactness"] == "away from borders"
        and 'layer "pool1" has a partial window at the border' in found["reasons"]
    )
    told = runs(cli, *FCN, "x.npy", "--blob", "prob1").out.decode()
    assert '; near borders not a function of the window alone: layer "' in told


# ---- Sizes and preprocessing ----


@pytest.mark.thorough
def test_the_map_is_the_classifier_at_each_window(digits: CommandLine) -> None:
    picture = np.array(Image.open(digits.path / "scattered.png"))[:40, :60]
    np.save(digits.path / "part.npy", picture)
    runs(digits, *FCN, "part.npy", "--scale", SCALE, "-o", "map.npy")
    found = np.load(digits.path / "map.npy")
    assert found.shape == (11, 6, 11) and found.dtype == np.float32
    for row, column in ((0, 0), (5, 10), (2, 7)):
        np.save(digits.path / "w.npy", picture[4 * row : 4 * row + 20, 4 * column : 4 * column + 20])
        runs(digits, *NET, "w.npy", "--scale", SCALE, "-o", "one.npy", "--force")
        one = np.load(digits.path / "one.npy")
        assert one.shape == (1, 11)
        np.testing.assert_allclose(found[:, row, column], one[0], rtol=1e-4, atol=1e-6)


def test_another_size_is_refused_or_made_to_fit(digits: CommandLine) -> None:
    told = refuses(digits, *NET, "scattered.png")
    assert told == (
        "scattered.png: expected 20×20 pixels, the only size that the net accepts, found 192×256 pixels; "
        "resize it with --resize 20x20, or crop it with --crop center"
    )
    result = runs(digits, *NET, "scattered.png", "--resize", "net", "--json")
    picture = checked(result.document)["pictures"][0]
    assert (picture["size"], picture["resized"]) == ([192, 256], [20, 20])
    assert "resized from 192×256 to 20×20 pixels" in runs(digits, *NET, "scattered.png", "--resize", "20x20").err


def test_a_picture_smaller_than_the_window(digits: CommandLine) -> None:
    np.save(digits.path / "small.npy", np.zeros((19, 50), np.uint8))
    told = refuses(digits, *FCN, "small.npy")
    assert told.startswith(
        "small.npy: expected a picture of at least 20×20 pixels, the smallest size that the net accepts, "
    )
    told = refuses(digits, *FCN, "window.png", "--scales", "0.5")
    assert told.startswith("window.png at scale 0.5: expected a picture of at least 20×20 pixels")


def colour_net(cli: CommandLine, transform: str = "") -> tuple[str, str]:
    """A net whose scores are the means of its three channels, the size of its pictures left to the picture."""
    text = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 2 dim: 2 } } '
        f"{transform} }}\n"
        'layer { name: "score" type: "Pooling" bottom: "data" top: "score" '
        "pooling_param { pool: AVE kernel_size: 2 stride: 2 } }"
    )
    cli.write(colour=text)
    (cli.path / "colour.caffemodel").write_bytes(schema.NetParameter(name="colour").SerializeToString())
    cli.write(colour=schema.NetParameter(layer=[{"name": "score", "type": "Pooling"}]).SerializeToString())
    return "colour.prototxt", "colour.caffemodel"


def means(cli: CommandLine, files: tuple[str, str], *options: str) -> list[float]:
    runs(cli, *files, "red.png", "-o", "m.npy", "--force", *options)
    return [float(value) for value in np.load(cli.path / "m.npy").reshape(3)]


@pytest.mark.thorough
def test_preprocessing_as_caffe_s_users_know_it(cli: CommandLine) -> None:
    files = colour_net(cli)
    Image.new("RGB", (2, 2), (200, 100, 50)).save(cli.path / "red.png")
    assert means(cli, files) == [50, 100, 200]
    assert means(cli, files, "--swap-channels") == [200, 100, 50]
    assert means(cli, files, "--mean", "10,20,30", "--scale", "0.5") == [20, 40, 85]
    np.save(cli.path / "mean.npy", np.arange(12).reshape(3, 2, 2))
    assert means(cli, files, "--mean", "mean.npy") == [48.5, 94.5, 190.5]
    assert "expected 3 channels" in refuses(cli, *files, "red.png", "--mean", "1,2")
    assert "found no such file" in refuses(cli, *files, "red.png", "--mean", "nowhere")


@pytest.mark.thorough
def test_an_image_of_the_mean(cli: CommandLine) -> None:
    """Subtracted where its pixels are those of the picture; a larger one is cut at its borders, a wrong one refused."""
    for name in ("mean_clf.prototxt", "mean_clf.caffemodel", "mean_grey.binaryproto"):
        shutil.copy(CASES / name, cli.path / name)
    files = ("mean_clf.prototxt", "mean_clf.caffemodel", "picture.npy")
    random = np.random.default_rng(0)
    np.save(cli.path / "picture.npy", random.integers(0, 256, (32, 32, 3)).astype(np.uint8))
    mean = random.integers(0, 256, (3, 41, 38)).astype(np.float32)

    def answer(name: str, array: Any, *told: str) -> Any:
        np.save(cli.path / name, array)
        result = runs(cli, *files, "--mean", name, "-o", "answer.npy", "--force")
        assert all(each in result.err for each in told), result.err
        return np.load(cli.path / "answer.npy")

    centre = answer("centre.npy", mean[:, 4:36, 3:35])
    note = "mean larger.npy: the mean is 41×38 pixels and the input is 32×32; used its centre"
    np.testing.assert_array_equal(answer("larger.npy", mean, note), centre)
    assert not np.array_equal(answer("numbers.npy", mean.mean((1, 2))), centre)
    np.save(cli.path / "turned.npy", mean.transpose(1, 2, 0))
    np.save(cli.path / "smaller.npy", mean[:, :31])
    for name, told in {
        "mean_grey.binaryproto": "expected 3×H×W, or 3 values, for the channels of the net, found 1×1×32×32",
        "turned.npy": "found 41×38×3, which is H×W×C; transpose it: mean.transpose(2, 0, 1)",
        "smaller.npy": "expected at least 32×32 pixels, the size of the net's input, found 31×38",
    }.items():
        assert told in refuses(cli, *files, "--mean", name)


@pytest.mark.thorough
def test_what_the_net_states_is_the_default(cli: CommandLine) -> None:
    files = colour_net(cli, "transform_param { mean_value: 10 mean_value: 20 mean_value: 30 scale: 0.5 }")
    Image.new("RGB", (2, 2), (200, 100, 50)).save(cli.path / "red.png")
    assert means(cli, files) == [20, 40, 85]
    assert means(cli, files, "--mean", "0") == [25, 50, 100]
    assert means(cli, files, "--scale", "1") == [40, 80, 170]
    notes = checked(runs(cli, *files, "red.png", "--json").document)["notes"]
    assert any("10,20,30" in note for note in notes) and any("0.5" in note for note in notes)
    assert "comes from layer 'data'" in runs(cli, *files, "red.png").err


@pytest.mark.thorough
def test_scales_make_a_pyramid(digits: CommandLine) -> None:
    options = ("--scales", "0.5,1,2", *NAMED, "-o", "m.npz", "--heatmap", "h.png", "--label-map", "l.png", "--json")
    maps = checked(runs(digits, *FCN, "scattered.png", *options).document)["pictures"][0]["maps"]
    assert [each["scale"] for each in maps] == [0.5, 1, 2]
    assert [each["window"] for each in maps] == [[40, 40], [20, 20], [10, 10]]
    assert [each["stride"] for each in maps] == [[8, 8], [4, 4], [2, 2]]
    assert maps[0]["cells"][0]["window"] == [0, 0, 40, 40]
    with np.load(digits.path / "m.npz") as held:
        kinds = ("", ".window", ".stride", ".offset")
        assert set(held) == {f"prob_{scale}{kind}" for kind in kinds for scale in ("0.5", "1", "2")}
        assert held["prob_2"].shape == (11, 92, 124) and held["prob_0.5.offset"].tolist() == [19.5, 19.5]
    assert ".npz" in rejects(digits, *FCN, "scattered.png", "--scales", "1,2", "-o", "x.npy")


# ---- Files ----


@pytest.mark.thorough
def test_the_archive_holds_where_the_cells_lie(digits: CommandLine) -> None:
    first = runs(digits, *FCN, "scattered.png", "--scale", SCALE, "-o", "a.npz")
    assert first.err == "wrote a.npz\n"
    with np.load(digits.path / "a.npz") as held:
        assert set(held) == {"prob", "prob.window", "prob.stride", "prob.offset"}
        assert held["prob"].shape == (11, 44, 60) and held["prob"].dtype == np.float32
        assert [held[f"prob.{kind}"].tolist() for kind in ("window", "stride", "offset")] == [
            [20, 20],
            [4, 4],
            [9.5, 9.5],
        ]
    runs(digits, *FCN, "scattered.png", "--scale", SCALE, "-o", "b.npz", "--tile", "64")
    assert (digits.path / "a.npz").read_bytes() == (digits.path / "b.npz").read_bytes()
    assert zipfile.ZipFile(digits.path / "a.npz").testzip() is None


def test_the_map_on_stdout(digits: CommandLine) -> None:
    result = runs(digits, *FCN, "scattered.png", "--scale", SCALE, "-o", "-")
    assert np.load(io.BytesIO(result.out)).shape == (11, 44, 60)
    assert result.err.startswith("scattered.png: 192×256 pixels\n")
    assert "both print to stdout" in rejects(digits, *FCN, "scattered.png", "-o", "-", "--json")


@pytest.mark.thorough
def test_each_digit_lights_up_where_it_stands(digits: CommandLine) -> None:
    runs(digits, *FCN, "scattered.png", *NAMED, "--heatmap", "h.png", "--label-map", "l.png")
    heat = np.array(Image.open(digits.path / "h.png").convert("L"), np.float32)
    zoom = heat.shape[1] // 256
    lit = {(r, c): heat[int(r * zoom), int(c * zoom)] for _, r, c in truth()}
    assert min(lit.values()) > 128
    dark = np.ones((192, 256), bool)
    for row, column in lit:
        dark[max(0, int(row) - 16) : int(row) + 17, max(0, int(column) - 16) : int(column) + 17] = False
    assert np.percentile(heat[: 192 * zoom][dark.repeat(zoom, 0).repeat(zoom, 1)], 99) < 64


@pytest.mark.thorough
def test_the_heat_of_one_class(digits: CommandLine) -> None:
    for option in ("3", "background"):
        runs(digits, *FCN, "scattered.png", *NAMED, "--heatmap", f"{option}.png", "--class", option)
    assert (digits.path / "3.png").read_bytes() != (digits.path / "background.png").read_bytes()
    told = refuses(digits, *FCN, "scattered.png", *NAMED, "--heatmap", "h.png", "--class", "11")
    assert told == "class 11: expected 0 to 10, the net has 11 classes"
    told = refuses(digits, *FCN, "scattered.png", *NAMED, "--heatmap", "h.png", "--class", "x")
    assert told.startswith("class 'x': expected a name from labels.txt")
    told = refuses(digits, *FCN, "scattered.png", "--heatmap", "h.png")
    assert told.endswith(
        "none of them is known as the background; choose the one to draw with --class, or give their names with "
        "--labels, one of them background"
    )


def test_files_are_not_overwritten(digits: CommandLine) -> None:
    (digits.path / "m.npy").write_bytes(b"precious")
    assert "already exists" in refuses(
        digits, *FCN, "scattered.png", "-o", "m.npy", "--heatmap", "h.png", "--class", "1"
    )
    runs(digits, *FCN, "scattered.png", "-o", "m.npy", "--force")
    assert np.load(digits.path / "m.npy").shape == (11, 44, 60)
    assert "same file as the input" in refuses(digits, *FCN, "m.npy", "-o", "m.npy", "--force")


def test_nothing_is_left_of_a_run_that_fails(digits: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("caffe_fcn.predict.maps.os.posix_fallocate", full)
    assert "m.npy: the disk is full: 116,160 bytes are needed" in refuses(digits, *FCN, "scattered.png", "-o", "m.npy")


# ---- Tiles, engines ----


@pytest.mark.thorough
@pytest.mark.parametrize("tile", ["40", "64", "150"])
def test_tiles_make_the_same_map(digits: CommandLine, tile: str) -> None:
    runs(digits, *FCN, "scattered.png", "--scale", SCALE, "-o", "whole.npy")
    told = runs(digits, *FCN, "scattered.png", "--scale", SCALE, "-o", "tiled.npy", "--tile", tile).out.decode()
    assert " tiles\n" in told
    whole, tiled = (np.load(digits.path / name) for name in ("whole.npy", "tiled.npy"))
    np.testing.assert_allclose(tiled, whole, rtol=1e-5, atol=1e-7)


@pytest.mark.thorough
def test_tiles_that_cannot_be(digits: CommandLine) -> None:
    told = refuses(digits, *FCN, "scattered.png", "--tile", "19")
    assert told == "--tile 19: expected at least 20 pixels, the window of one cell of the map"
    told = refuses(digits, *NET, "window.png", "--tile", "64")
    assert "'prob' is 1×11, but --tile needs a map" in told
    for option in (["--heatmap", "x.png"], ["--label-map", "x.png"], ["--scales", "1,2"]):
        assert f"but {option[0]} needs a map; make the net fully conv" in refuses(digits, *NET, "window.png", *option)


@pytest.mark.thorough
def test_a_finer_map_says_where_its_cells_lie(digits: CommandLine) -> None:
    files = ("-o", "fine.npz", "--heatmap", "heat.png", "--label-map", "labels.png")
    (picture,) = checked(runs(digits, *FCN, "scattered.png", *NAMED, *files, "--stride", "4x2", "--json").document)[
        "pictures"
    ]
    (level,) = picture["maps"]
    assert (level["shape"], level["stride"], level["offset"]) == ([11, 44, 119], [4, 2], [9.5, 9.5])
    assert (level["shifts"], level["tiles"], level["exactness"]) == (2, 2, "everywhere")
    assert level["cells"][118]["window"] == [0, 236, 20, 256] and level["cells"][119]["window"] == [4, 0, 24, 20]
    with np.load(digits.path / "fine.npz") as held:
        assert held["prob.stride"].tolist() == [4, 2] and held["prob"].shape == (11, 44, 119)
    told = refuses(digits, *FCN, "scattered.png", "--stride", "3")
    assert told.endswith("--stride 3: expected a divisor of 4, the stride of the map 'prob': 1, 2, 4")
    assert "but --stride needs a map; make the net fully conv" in refuses(digits, *NET, "window.png", "--stride", "1")
    assert "expected a stride in pixels, N or HxW, found '1x2x3'" in rejects(
        digits, *FCN, "scattered.png", "--stride", "1x2x3"
    )


@pytest.mark.thorough
def test_label_maps_are_indexed_and_areas_are_told(digits: CommandLine) -> None:
    files = ("--label-map", "l.png", "--overlay", "o.png", "--palette", "voc")
    result = runs(digits, *FCN, "scattered.png", *NAMED, *files, "--upsample")
    assert b"    of the pixels background 83.6 % (41,114), 2 0.5 % (231), " in result.out
    assert b", no answer 14.1 % (6,912)\n" in result.out and result.err.endswith("wrote l.png, o.png\n")
    document = checked(runs(digits, *FCN, "scattered.png", *NAMED, *files, "--upsample", "--json", "--force").document)
    picture = document["pictures"][0]
    assert {kind: file for kind, file in picture["outputs"].items() if file} == {
        "label_map": "l.png",
        "overlay": "o.png",
    }
    ground = {"blob": "prob", "class": 10, "name": "background", "pixels": 41114, "share": 0.836466471}
    assert picture["areas"][10:] == [ground, {**ground, "class": None, "name": None, "pixels": 6912, "share": 0.140625}]
    with Image.open(digits.path / "l.png") as labels, Image.open(digits.path / "o.png") as drawn:
        assert (labels.mode, labels.size, drawn.mode) == ("P", (256, 192), "RGB")
        assert np.bincount(np.asarray(labels).ravel())[10] == 41114
    told = refuses(digits, *NET, "window.png", "--overlay", "x.png")
    assert "but --overlay needs a map; make the net fully conv" in told
    (digits.path / "two.txt").write_text("1 2 3\n4 5 6\n")
    told = refuses(digits, *FCN, "scattered.png", "--label-map", "x.png", "--palette", "two.txt")
    assert told == "two.txt: expected 11 colours, one for each class of the net, found 2"
    assert "--palette is for --label-map and --overlay" in rejects(digits, *FCN, "scattered.png", "--palette", "voc")
    assert "ends in .png" in rejects(digits, *FCN, "scattered.png", "--overlay", "x.jpg")


@pytest.mark.thorough
def test_caffe_is_quiet_and_its_end_is_an_error(
    digits: CommandLine, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried with a stand-in, that prints as Caffe does."""
    path = tmp_path_factory.mktemp("python")
    (path / "caffe.py").write_text("from tests.engines.stand_in_caffe import *\n")
    monkeypatch.syspath_prepend(path)
    monkeypatch.setenv("STAND_IN_KEEPS", str(path))
    command = [*FCN, "window.png", "--scale", SCALE, "--engine", "caffe", "-q"]
    told = runs(digits, *command, "-o", "caffe.npy")
    assert (told.out, told.err) == (b"", "")
    runs(digits, *command[:-3], "-q", "-o", "onnxruntime.npy")
    first, second = (np.load(digits.path / f"{engine}.npy") for engine in ("caffe", "onnxruntime"))
    np.testing.assert_allclose(first, second, rtol=1e-6)
    monkeypatch.setenv("STAND_IN", "abort run")
    told_of = refuses(digits, *command, "-o", "none.npy")
    assert "Caffe aborted while it ran the net, by SIGABRT: conv_layer.cpp:16: Check failed: 3 == 2" in told_of


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in ENGINES[1:] if name != "caffe"])
def test_other_engines_give_the_same(name: str, digits: CommandLine) -> None:
    try:
        engine(EngineOptions(name))
    except ExtraError as error:
        pytest.skip(str(error))
    for each in (ENGINES[0], name):
        command = [*FCN, "scattered.png", "--scale", SCALE, "-o", f"{each}.npy", "--engine", each, "--threads", "1"]
        assert json.loads(runs(digits, *command, "--json").out)["engine"] == each
    first, second = (np.load(digits.path / f"{each}.npy") for each in (ENGINES[0], name))
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-5)
    told = refuses(digits, *NET, "scattered.png", "--engine", name)
    assert "expected 20×20 pixels, the only size" in told


@pytest.mark.thorough
def test_all_engines_are_timed(digits: CommandLine) -> None:
    before = digits.names
    told = runs(digits, *FCN, "scattered.png", "--scale", SCALE, "--benchmark", "--threads", "1")
    rows = told.out.decode().splitlines()
    assert rows[0] == "fcn.prototxt on scattered.png (192×256, 0.05 megapixels); medians of 5 runs by turns"
    assert sorted(row.split()[0] for row in rows[2:-1]) == sorted(ENGINES) and rows[-1].startswith("use ")
    document = json.loads(runs(digits, *FCN, "scattered.png", "--benchmark", "--json").out)
    jsonschema.validate(document, TIMING)
    assert {each["engine"] for each in (*document["engines"], *document["left_out"])} == {*ENGINES}
    assert TIMING["$defs"]["name"]["enum"] == [*ENGINES]
    assert digits.names == before
    for option in (["-o", "a.npy"], ["--heatmap", "a.png"], ["--out-dir", "a", "--output", ".npy"]):
        result = digits.run("run", *FCN, "scattered.png", "--benchmark", *option)
        assert result.code == 2 and "--benchmark writes no files; leave out" in result.err
    for option in (["--peaks"], ["--class", "3"]):
        result = digits.run("run", *FCN, "scattered.png", "--benchmark", *option)
        assert result.code == 2 and f"--benchmark reports only times; leave out {option[0]}" in result.err
    result = digits.run("run", *FCN, "scattered.png", "--benchmark", "--engine", "onnxruntime")
    assert result.code == 2 and "--benchmark times all engines; leave out --engine" in result.err
    result = digits.run("run", *FCN, "scattered.png", "window.png", "--benchmark")
    assert result.code == 2 and "--benchmark takes one picture, found 2" in result.err
    assert "expected 20×20 pixels, the only size" in refuses(digits, *NET, "scattered.png", "--benchmark")


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_picture(digits: CommandLine) -> None:
    side = 4000
    array = np.lib.format.open_memmap(digits.path / "large.npy", "w+", np.uint8, (side, side))
    array[100:120, 3000:3020] = np.array(Image.open(digits.path / "window.png"))
    array.flush()
    code = (
        "import sys\nfrom caffe_fcn.cli.main import run\ncode = run(sys.argv[1:])\n"
        "print(code, next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    options = ["-o", "m.npy", "--heatmap", "h.png", "--label-map", "l.png", *NAMED, "-q", "--threads", "1"]
    words = [sys.executable, "-c", code, "run", *FCN, "large.npy", *options]
    told = subprocess.run(words, cwd=digits.path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    exit_code, peak = map(int, told.stdout.split())
    assert exit_code == 0 and np.load(digits.path / "m.npy", mmap_mode="r").shape == (11, 996, 996)
    assert peak < 800 << 10  # in one piece, the net alone takes five times as much


# ---- Documents ----


@pytest.mark.thorough
def test_the_document_has_every_cell(digits: CommandLine) -> None:
    result = runs(digits, *FCN, "scattered.png", *NAMED, "--json", "--tile", "100")
    document = checked(result.document)
    assert document["labels"][10] == "background" and document["preprocessing"]["channels"] == "grey"
    (level,) = document["pictures"][0]["maps"]
    assert level["shape"] == [11, 44, 60] and level["tiles"] > 1 and level["exactness"] == "everywhere"
    assert [(each["row"], each["column"]) for each in level["cells"]] == [(r, c) for r in range(44) for c in range(60)]
    assert level["cells"][61]["window"] == [4, 4, 24, 24]
    best = document["pictures"][0]["top"][0]
    cell = level["cells"][best["place"]["row"] * 60 + best["place"]["column"]]
    assert (cell["class"], cell["score"], cell["window"]) == (best["class"], best["score"], best["place"]["window"])
    assert sum(each["cells"] for each in level["counts"]) == 44 * 60
    assert runs(digits, *FCN, "scattered.png", *NAMED, "--json", "--tile", "100").out == result.out


def test_the_document_of_a_classifier(digits: CommandLine) -> None:
    document = checked(runs(digits, *NET, "window.png", *NAMED, "--json", "--top", "3").document)
    (picture,) = document["pictures"]
    assert picture["maps"] == [] and len(picture["top"]) == 3 and picture["top"][0]["place"] is None
    scores = [each["score"] for each in picture["top"]]
    assert scores == sorted(scores, reverse=True)


def objects(part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        yield part
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from objects(each)


def test_the_schema_is_closed_and_described() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["engine"]["enum"] == list(ENGINES)
    for part in objects(SCHEMA):
        if part.get("type") == "object" and "properties" in part:
            assert part["additionalProperties"] is False and set(part["required"]) == set(part["properties"])
        if part.get("type", "null") != "null" and isinstance(part["type"], str | list):
            assert part["description"]


# ---- Real nets ----


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["det2", "det3"])
@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason=f"there are no nets in {SHARED_MODELS}")
def test_golden_models(cli: CommandLine, name: str) -> None:
    case = SHARED_MODELS / name
    original = [str(case / "net.prototxt"), str(case / "net.caffemodel")]
    cli.converts(*original, "-o", "fcn.prototxt", "-w", "fcn.caffemodel")
    golden = np.load(case / "golden.npz")
    twin = {"conv5-2": "conv5-2-conv", "conv6-2": "conv6-2-conv", "conv6-3": "conv6-3-conv"}
    for size, files in (("same", original), ("large", ["fcn.prototxt", "fcn.caffemodel"])):
        np.save(cli.path / "x.npy", golden[f"in:{size}"][0].transpose(1, 2, 0))
        for key in golden:
            kind, _, blob = key.partition(":")
            if kind == size:
                shown = blob if size == "same" else twin.get(blob, blob)
                words = (*files, "x.npy", "--swap-channels", "--blob", shown, "-o", "m.npy", "--force", "-q")
                assert cli.run("run", *words).code == 0
                found, expected = np.load(cli.path / "m.npy"), golden[key][0]
                np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
