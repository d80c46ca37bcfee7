"""`caffe-fcn run --resize` and `--crop`: what is fed, what a net states itself, and what does not go together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.cli.conftest import CommandLine
from tests.cli.running import checked, refuses, rejects, runs
from tests.engines.nets import net_of, weights_of
from tests.passes.nets import layer
from tests.paths import SHARED_MODELS

DATA = """
layer { name: "data" type: "%s" top: "data" top: "label" transform_param { crop_size: 20 scale: 0.01 } %s }
"""
REST = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 5 } }
layer { name: "score" type: "%s" bottom: "conv" top: "score" %s }
layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""
CLASSIFIER = REST % ("InnerProduct", "inner_product_param { num_output: 3 }")
DENSE = REST % ("Convolution", "convolution_param { num_output: 3 kernel_size: 16 }")
DATABASE = DATA % ("Data", 'data_param { source: "x" batch_size: 2 }')
LIST = DATA % ("ImageData", 'image_data_param { source: "x" batch_size: 2 new_height: 24 new_width: 26 }')
NAME = "net.prototxt"
STATED = (
    "layer 'data' crops pictures to 20×20, which is done here too, at the centre; choose otherwise with "
    "--resize and --crop"
)


def net(cli: CommandLine, text: str) -> tuple[str, str]:
    """The files of the net TEXT, and two pictures, 30×44 and 20×20, the second the centre of the first."""
    (cli.path / NAME).write_text(text)
    with weights_of(net_of(text), cli.path / "net.caffemodel", 0.1):
        pass
    picture = np.random.default_rng(0).integers(0, 256, (30, 44, 3)).astype(np.uint8)
    np.save(cli.path / "large.npy", picture)
    np.save(cli.path / "centre.npy", picture[5:25, 12:32])
    return NAME, "net.caffemodel"


def answer(cli: CommandLine, *arguments: str) -> Any:
    """What comes out, and what is told of it on stderr."""
    told = runs(cli, *arguments, "-o", "answer.npy", "--force").err
    return np.load(cli.path / "answer.npy"), told


@pytest.mark.thorough
def test_the_centre_is_the_default_where_the_net_states_a_crop(cli: CommandLine) -> None:
    files = net(cli, DATABASE + CLASSIFIER)
    centre, told = answer(cli, *files, "centre.npy")
    found, told = answer(cli, *files, "large.npy")
    np.testing.assert_array_equal(found, centre)
    assert f"note: {STATED}\n" in told and "note: large.npy: used the centre, 20×20 of 30×44 pixels\n" in told
    resized, told = answer(cli, *files, "large.npy", "--resize", "net")
    assert "resized from 30×44 to 20×20 pixels" in told and "used the centre" not in told
    assert not np.array_equal(resized, centre)
    told = refuses(cli, *files, "large.npy", "--crop", "none")
    assert told.endswith("found 30×44 pixels; resize it with --resize 20x20, or crop it with --crop center")
    np.save(cli.path / "low.npy", np.zeros((19, 44, 3), np.uint8))
    told = refuses(cli, *files, "low.npy")
    assert told.endswith("to crop the input from, found 19×44; enlarge it, for example with --resize 20")


@pytest.mark.thorough
def test_the_size_of_pictures_where_the_net_tells_none(cli: CommandLine) -> None:
    """As LeNet's train_test, whose weights fit 25 to 28 pixels, because its pooling rounds."""
    pool = layer("pool", "Pooling", "data", params="pooling_param { pool: MAX kernel_size: 4 stride: 4 }")
    text = DATABASE.replace("crop_size: 20 ", "") + pool + CLASSIFIER.replace('bottom: "data"', 'bottom: "pool"')
    (cli.path / NAME).write_text(text)
    with weights_of(net_of(text, given={"data": (2, 3, 28, 28)}), cli.path / "net.caffemodel", 0.1):
        pass
    np.save(cli.path / "x.npy", np.random.default_rng(0).integers(0, 256, (28, 27, 3)).astype(np.uint8))
    files = (NAME, "net.caffemodel", "x.npy")
    found, told = answer(cli, *files)
    assert (
        "note: the net does not define the size of its pictures; used 28×27, the size of the first picture, which"
        in told
    )
    np.testing.assert_array_equal(found, answer(cli, *files, "--input-shape", "data=2,3,28,27")[0])
    assert answer(cli, *files, "--resize", "26x28")[1].count("used 26×28") == 1
    assert "resized from 28×27 to 25×25" in answer(cli, *files, "--resize", "net")[1]
    assert "the only size that the net accepts, found 29×29 pixels" in refuses(cli, *files, "--resize", "29x29")


@pytest.mark.thorough
def test_a_net_without_a_crop_asks_for_one(cli: CommandLine) -> None:
    text = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 20 dim: 20 } } }'
    files = net(cli, text + CLASSIFIER.rpartition("layer")[0])
    assert "or crop it with --crop center" in refuses(cli, *files, "large.npy")
    found, _ = answer(cli, *files, "large.npy", "--crop", "center")
    np.testing.assert_array_equal(found, answer(cli, *files, "centre.npy")[0])


def test_images_from_a_list_are_resized_before(cli: CommandLine) -> None:
    files = net(cli, LIST + CLASSIFIER)
    found, told = answer(cli, *files, "large.npy")
    assert (
        "note: layer 'data' resizes pictures to 24×26 and crops them to 20×20, which is done here too, at the centre"
        in told
    )
    assert "resized from 30×44 to 24×26 pixels" in told and "used the centre, 20×20 of 24×26 pixels" in told
    np.testing.assert_array_equal(found, answer(cli, *files, "large.npy", "--resize", "24x26", "--crop", "center")[0])


@pytest.mark.thorough
def test_a_dense_net_sees_the_whole_picture(cli: CommandLine) -> None:
    files = net(cli, DATABASE + DENSE)
    found, told = answer(cli, *files, "large.npy")
    assert found.shape == (3, 11, 25) and "centre" not in told
    centre, _ = answer(cli, *files, "large.npy", "--crop", "center")
    np.testing.assert_allclose(centre[:, 0, 0], found[:, 5, 12], rtol=1e-4)
    told = refuses(cli, *files, "large.npy", "--crop", "ten")
    assert told.endswith(
        "--crop ten averages answers for a whole picture, but 'prob', 2×3×1×1, has answers for positions in "
        "it; use --crop "
        "center, or choose another with --blob"
    )
    runs(cli, *files, "large.npy", "--crop", "center", "--label-map", "map.png", "--json")


@pytest.mark.thorough
def test_places_in_a_crop_are_places_in_the_picture(cli: CommandLine) -> None:
    """In the report, the JSON and the .npz; what is drawn is the crop, the same as of a file that holds only that."""
    files = net(cli, DATABASE + DENSE)
    whole = json.loads(runs(cli, *files, "large.npy", "--crop", "none", "--json").out)["pictures"][0]
    crop = json.loads(runs(cli, *files, "large.npy", "--crop", "center", "--json").out)["pictures"][0]
    assert whole["size"] == crop["size"] == [30, 44] and crop["cropped"] == [20, 20]
    (cell,) = crop["maps"][0]["cells"]
    there = next(each for each in whole["maps"][0]["cells"] if (each["row"], each["column"]) == (5, 12))
    assert cell["window"] == there["window"] == [5, 12, 25, 32] == crop["top"][0]["place"]["window"]
    shift = [5, 12]
    offsets = [each["maps"][0]["offset"] for each in (whole, crop)]
    assert offsets[1] == [first + more for first, more in zip(offsets[0], shift, strict=True)]
    told = runs(cli, *files, "large.npy", "--crop", "center").out.decode()
    assert "30×44 pixels" in told and "rows 5–24, columns 12–31" in told
    runs(cli, *files, "large.npy", "--crop", "center", "-o", "crop.npz", "--label-map", "crop.png")
    with np.load(cli.path / "crop.npz") as arrays:
        assert arrays["prob.offset"].tolist() == offsets[1]
    runs(cli, *files, "centre.npy", "--label-map", "centre.png")
    drawn = [np.asarray(PIL.Image.open(cli.path / f"{name}.png"))[:100] for name in ("crop", "centre")]
    np.testing.assert_array_equal(drawn[0], drawn[1])


@pytest.mark.thorough
def test_a_net_of_any_size_with_one_answer_is_fed_the_crop_that_it_states(cli: CommandLine) -> None:
    """As SqueezeNet; the whole picture is to be asked for."""
    pool = layer("pool", "Pooling", "conv", params="pooling_param { pool: AVE global_pooling: true }")
    rest = REST.partition('layer { name: "score"')[0] + pool
    files = net(cli, DATABASE + rest)
    centre, told = answer(cli, *files, "large.npy")
    assert STATED in told
    np.testing.assert_array_equal(centre, answer(cli, *files, "centre.npy")[0])
    whole, told = answer(cli, *files, "large.npy", "--crop", "none")
    assert "centre" not in told and not np.array_equal(whole, centre)
    np.save(cli.path / "mean.npy", np.ones((3, 19, 40)))
    told = refuses(cli, *files, "large.npy", "--mean", "mean.npy")
    assert "mean mean.npy: expected at least 20×20 pixels, the size of the net's input, found 19×40" in told


def test_ten_crops_are_told(cli: CommandLine) -> None:
    files = net(cli, DATABASE + CLASSIFIER)
    (cli.path / "names").write_text("a\nb\nc\n")
    result = runs(cli, *files, "large.npy", "--crop", "ten", "--resize", "24", "--labels", "names", "--json")
    document = checked(result.document)
    assert document["preprocessing"]["resize"] == 24 and document["preprocessing"]["crop"] == "ten"
    (picture,) = document["pictures"]
    assert (picture["size"], picture["resized"], picture["cropped"]) == ([30, 44], [24, 35], [20, 20])
    assert picture["crops"] == 10 and picture["notes"][1] == "averaged over ten crops of 20×20 pixels"
    assert {each["name"] for each in picture["top"]} == set("abc")
    assert sum(each["score"] for each in picture["top"]) == pytest.approx(1, abs=1e-5)
    _, told = answer(cli, *files, "large.npy", "--crop", "ten", "--resize", "net")
    assert "ten crops of 20×20 pixels, which are all the same without a larger --resize" in told


def test_several_pictures_are_each_brought_to_size(cli: CommandLine) -> None:
    files = net(cli, DATABASE + CLASSIFIER)
    (cli.path / "photos").mkdir()
    for name in ("large.npy", "centre.npy"):
        (cli.path / name).rename(cli.path / "photos" / name)
    runs(cli, *files, "photos", "--out-dir", "out", "-o", ".npy", "--resize", "25", "--crop", "ten")
    found = [np.load(cli.path / "out" / name) for name in ("large.npy", "centre.npy")]
    assert [each.shape for each in found] == [(1, 3)] * 2 and not np.array_equal(*found)
    assert runs(cli, *files, "photos", "-q").out == b""


@pytest.mark.parametrize("crop", [["--crop", "left"], ["--resize", "0"], ["--resize", "24x24x24"], ["--resize", "big"]])
def test_wrong_usage(cli: CommandLine, crop: list[str]) -> None:
    assert rejects(cli, *net(cli, DATABASE + CLASSIFIER), "large.npy", *crop).startswith("Error: ")


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["slim320", "res10"])
@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason=f"there are no nets in {SHARED_MODELS}")
def test_detectors_are_not_averaged(cli: CommandLine, name: str) -> None:
    files = [str(Path(SHARED_MODELS) / name / each) for each in ("net.prototxt", "net.caffemodel")]
    np.save(cli.path / "x.npy", np.zeros((330, 340, 3), np.uint8))
    engine = ["--engine", "opencv" if name == "res10" else "onnxruntime"]
    if name == "res10":
        pytest.importorskip("cv2")
    assert "has answers for positions in it" in refuses(cli, *files, "x.npy", "--crop", "ten", *engine)
    runs(cli, *files, "x.npy", "--crop", "center", "-q", *engine)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "option", [["--heatmap", "h.png"], ["--label-map", "l.png"], ["--tile", "32"], ["--scales", "1,2"]]
)
def test_what_no_conversion_makes_a_map_names_one_that_is(cli: CommandLine, option: list[str]) -> None:
    """The boxes of a detector: `convert` has nothing to convert there. A classifier is to be converted."""
    rows = "reshape_param { shape { dim: 1 dim: -1 dim: 3 } }"
    detector = DENSE.rpartition('layer { name: "prob"')[0] + layer("rows", "Reshape", "score", params=rows)
    files = net(cli, DATABASE.replace("batch_size: 2", "batch_size: 1") + detector)
    told = refuses(cli, *files, "large.npy", *option)
    named = ", and name its channels as classes with --labels" if option[0] == "--label-map" else ""
    assert told.endswith(f"'rows' is 1×1×3, but {option[0]} needs a map; choose a map, as with --blob conv{named}")
    runs(cli, *files, "large.npy", "--blob", "conv", "--heatmap", "found.png", "--class", "1")
    assert "make the net fully convolutional first: `caffe-fcn convert`" in refuses(
        cli, *net(cli, DATABASE + CLASSIFIER), "large.npy", *option
    )


def test_a_note_that_many_pictures_share_is_told_once_with_their_number(cli: CommandLine) -> None:
    files = net(cli, DATABASE + CLASSIFIER)
    for name in ("a", "b", "c"):
        np.save(cli.path / f"{name}.npy", np.zeros((28, 28, 3), np.uint8))
    told = runs(cli, *files, "a.npy", "large.npy", "b.npy", "c.npy", "centre.npy").err
    notes = [line for line in told.splitlines() if "used the centre" in line]
    assert notes == [
        "note: a.npy: used the centre, 20×20 of 28×28 pixels",
        "note: large.npy: used the centre, 20×20 of 30×44 pixels",
        "note: 2 other pictures: used the centre, 20×20 of 28×28 pixels",
    ]
