"""`caffe-fcn run --peaks`, and where the class of --class stands: as text, JSON, a table and boxes on the picture."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

import caffe_fcn
from caffe_fcn import schema
from tests.cli.conftest import CommandLine
from tests.cli.running import FCN, NAMED, NET, SCALE, checked, refuses, runs, truth
from tests.engines.nets import add_layer, net_of, weights_of

pytestmark = pytest.mark.thorough


def found_once(peaks: Iterable[tuple[int, tuple[int, int, int, int]]]) -> tuple[int, int]:
    """How many digits of the picture PEAKS find, each a class and a box; and how many peaks are no digit, or one that
    was found before."""
    left, wrong = list(truth()), 0
    for label, (top, start, bottom, end) in peaks:
        middle = (top + bottom - 1) / 2, (start + end - 1) / 2
        near = [
            each for each in left if each[0] == label and max(abs(each[1] - middle[0]), abs(each[2] - middle[1])) < 4
        ]
        wrong += not near
        left = [each for each in left if each not in near]
    return 14 - len(left), wrong


def table(cli: CommandLine, name: str) -> list[dict[str, str]]:
    """The rows of the file NAME, by the names of the columns."""
    with open(cli.path / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def box_of(row: Mapping[str, str]) -> tuple[int, int, int, int]:
    """The box in a ROW of a table."""
    return int(row["top"]), int(row["left"]), int(row["bottom"]), int(row["right"])


def test_every_digit_is_found_once_and_nothing_else(digits: CommandLine) -> None:
    files = "--boxes", "b.png", "--csv", "p.csv"
    result = runs(digits, *FCN, "scattered.png", *NAMED, "--peaks", *files)
    lines = result.out.decode().splitlines()
    assert lines[3] == "    14 peaks with a score above 0.5" and len(lines) == 18
    assert lines[4] == "      1.0000  8  rows 88–107, columns 100–119"
    assert result.err == "wrote b.png, p.csv\n"
    document = checked(runs(digits, *FCN, "scattered.png", *NAMED, *files, "--json", "--force").document)
    picture = document["pictures"][0]
    found = picture["peaks"]
    assert found_once((each["class"], each["box"]) for each in found) == (14, 0)
    assert [each["score"] for each in found] == sorted((each["score"] for each in found), reverse=True)
    assert all(each["box"] == each["place"]["window"] for each in found)
    about = {"blob": "prob", "threshold": 0.5, "nms": 0.3, "boxes": "windows", "before": 14, "peaks": 14}
    assert picture["search"] == about and picture["classes"] == []
    rows = table(digits, "p.csv")
    assert [(int(row["class"]), row["name"], float(row["score"])) for row in rows] == [
        (each["class"], each["name"], each["score"]) for each in found
    ]
    assert [[*box_of(row)] for row in rows] == [each["box"] for each in found]
    assert {(row["picture"], row["blob"], row["scale"]) for row in rows} == {("scattered.png", "prob", "1")}
    with Image.open(digits.path / "b.png") as drawn:
        assert drawn.mode == "RGB" and drawn.width == 3 * 256 and drawn.height > 3 * 192


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--tile", "64"), (14, 0)),
        (("--stride", "2"), (14, 1)),
        (("--stride", "2", "--threshold", "0.9"), (14, 0)),
        (("--scales", "0.8,1,1.25", "--threshold", "0.95"), (14, 0)),
        (("--class", "2"), (3, 0)),
    ],
    ids=lambda each: " ".join(map(str, each)),
)
def test_peaks_of_other_maps(digits: CommandLine, options: tuple[str, ...], expected: tuple[int, int]) -> None:
    runs(digits, *FCN, "scattered.png", *NAMED, "--csv", "p.csv", *options, "-q")
    rows = table(digits, "p.csv")
    assert found_once((int(row["class"]), box_of(row)) for row in rows) == expected
    assert {row["scale"] for row in rows} <= {"0.8", "1", "1.25"}


def test_less_suppression_leaves_more_boxes(digits: CommandLine) -> None:
    def count(nms: str) -> int:
        arguments = *FCN, "scattered.png", *NAMED, "--stride", "1", "--nms", nms, "--csv", f"{nms}.csv", "-q"
        assert runs(digits, *arguments).out == b""
        return len((digits.path / f"{nms}.csv").read_text().splitlines()) - 1

    assert [count(nms) for nms in ("0", "0.3", "1")] == [16, 16, 33]


def test_only_the_best_of_many_peaks_are_printed(digits: CommandLine) -> None:
    asked = *FCN, "scattered.png", *NAMED, "--stride", "1", "--nms", "1", "--csv", "p.csv"
    printed = runs(digits, *asked).out.decode().splitlines()
    rows = table(digits, "p.csv")
    assert len(rows) == 33
    lines = printed[printed.index("    33 peaks with a score above 0.5") + 1 :]
    assert len(lines) == 21 and lines[-1] == "      and 13 more; --csv writes all"
    assert [float(line.split()[0]) for line in lines[:-1]] == [round(float(row["score"]), 4) for row in rows[:20]]


def test_no_peak(digits: CommandLine) -> None:
    Image.new("L", (30, 25)).save(digits.path / "black.png")
    told = runs(digits, *FCN, "black.png", *NAMED, "--peaks", "--csv", "p.csv", "--boxes", "b.png").out.decode()
    assert told.splitlines()[-1] == "    no peak with a score above 0.5"
    assert (digits.path / "p.csv").read_text().count("\n") == 1
    told = runs(digits, *FCN, "scattered.png", *NAMED, "--threshold", "1", "--peaks", "--top", "1").out.decode()
    assert told.splitlines()[-2:] == [
        "    no peak with a score above 1",
        "    1.0000  8  rows 88–107, columns 100–119",
    ]


def test_the_threshold_is_arbitrary_for_scores_that_are_no_probabilities(digits: CommandLine) -> None:
    arguments = *FCN, "scattered.png", *NAMED, "--blob", "ip2-conv", "--peaks"
    note = "so a threshold of 0.5 is arbitrary; choose one with --threshold"
    assert note in runs(digits, *arguments).err
    assert runs(digits, *arguments, "--threshold", "6").err == ""
    assert note in checked(runs(digits, *arguments, "--json").document)["notes"][0]


def test_what_has_no_peaks(digits: CommandLine) -> None:
    told = refuses(digits, *FCN, "scattered.png", *NAMED[:2], "--blob", "conv2", "--peaks")
    assert told.startswith("fcn.prototxt: 'conv2' holds 1×32×6×6 numbers, which are not scores of classes")
    told = refuses(digits, *NET, "window.png", *NAMED, "--boxes", "b.png")
    assert "'prob' is 1×11, but --peaks needs a map; make the net fully convolutional first" in told


def test_many_pictures_have_a_table_each(digits: CommandLine) -> None:
    arguments = "--out-dir", "out", "--csv", ".csv", "--boxes", "boxes.png"
    runs(digits, *FCN, "scattered.png", "window.png", *NAMED, *arguments)
    names = sorted(file.name for file in (digits.path / "out").iterdir())
    assert names == ["scattered.csv", "scattered_boxes.png", "window.csv", "window_boxes.png"]


# ---- A cell for each pixel, and cells that see everything ----

PIXELS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 12 dim: 16 } } }
layer { name: "score" type: "Convolution" bottom: "data" top: "score"
        convolution_param { num_output: 2 kernel_size: 3 pad: 1 } }
layer { name: "prob" type: "Sigmoid" bottom: "score" top: "prob" }
"""


def test_a_map_of_pixels_has_a_box_around_each_region(cli: CommandLine) -> None:
    (cli.path / "net.prototxt").write_text(PIXELS)
    values = np.zeros((2, 1, 3, 3))
    values[:, 0, 1, 1] = 0.1, -0.1
    message = schema.NetParameter()
    add_layer(message, "score", [values, np.full(2, -10.0)])
    (cli.path / "net.caffemodel").write_bytes(message.SerializeToString())
    picture = np.zeros((12, 16), np.uint8)
    picture[2:5, 3:9] = 200
    picture[3, 4] = 210
    picture[8:12, 15:] = 190
    Image.fromarray(picture).save(cli.path / "a.png")
    arguments = "net.prototxt", "net.caffemodel", "a.png", "--peaks"
    told = runs(cli, *arguments).out.decode().splitlines()
    assert told[-3:] == [
        "    2 regions with a score above 0.5",
        "      1.0000  class 0  rows 2–4, columns 3–8",
        "      0.9999  class 0  rows 8–11, columns 15–15",
    ]
    document = checked(runs(cli, *arguments, "--json", "--scales", "1,2").document)
    assert document["pictures"][0]["search"]["boxes"] == "regions"
    assert [each["box"] for each in document["pictures"][0]["peaks"]][:2] == [[2, 3, 5, 9], [8, 15, 12, 16]]
    first = document["pictures"][0]["peaks"][0]
    assert document["pictures"][0]["maps"][first["place"]["map"]]["scale"] == first["scale"]
    assert first["place"]["row"] // first["scale"] == 3 and first["place"]["column"] // first["scale"] == 4


# ---- --class ----


def test_a_class_is_told_where_it_is_highest(digits: CommandLine) -> None:
    lines = runs(digits, *FCN, "scattered.png", *NAMED, "--class", "3").out.decode().splitlines()
    place = "rows 124–143, columns 24–43"
    assert lines[-1] == f"    3: highest 0.9998, {place}; there 1st of 11 classes; by its highest score 7th of 10"
    document = checked(runs(digits, *FCN, "scattered.png", *NAMED, "--class", "3", "--json").document)
    (found,) = document["pictures"][0]["classes"]
    assert (found["rank"], found["classes"], found["rank_of_best"], found["others"]) == (1, 11, 7, 10)
    assert found["place"]["window"] == [124, 24, 144, 44] and found["leader"]["class"] == 3


def test_a_class_of_a_classifier(digits: CommandLine) -> None:
    scores = checked(runs(digits, *NET, "window.png", *NAMED, "--top", "11", "--json").document)["pictures"][0]["top"]
    second = scores[1]
    arguments = *NET, "window.png", *NAMED, "--top", "1", "--class", second["name"]
    told = runs(digits, *arguments).out.decode().splitlines()[-1]
    assert told.startswith(f"  {second['name']}: ")
    assert told.endswith(f", 2nd of 11 classes, below {scores[0]['name']} {scores[0]['score']:.4f}")
    (found,) = checked(runs(digits, *arguments, "--json").document)["pictures"][0]["classes"]
    assert (found["rank"], found["place"], found["rank_of_best"]) == (2, None, None)
    assert found["score"] == second["score"]


def test_a_channel_that_is_no_class(digits: CommandLine) -> None:
    arguments = *FCN, "scattered.png", "--scale", SCALE, "--blob", "conv2"
    assert "    channel 31: highest " in runs(digits, *arguments, "--class", "31").out.decode()
    (found,) = checked(runs(digits, *arguments, "--class", "31", "--json").document)["pictures"][0]["classes"]
    assert found["rank"] is None and found["place"] is not None
    told = refuses(digits, *arguments, "--class", "32")
    assert told == "fcn.prototxt: --class 32: expected a channel of 'conv2', 0 to 31"
    assert "no such name" in refuses(digits, *FCN, "scattered.png", *NAMED, "--class", "ten")
    told = refuses(digits, *NET, "window.png", *NAMED[:2], "--blob", "ip1", "--class", "3")
    assert told.startswith("net.prototxt: --class 3: expected scores of classes, or one map, found 'ip1' 1×96")


def test_the_background_is_a_class_if_it_is_asked_for(digits: CommandLine) -> None:
    arguments: Any = *FCN, "scattered.png", *NAMED, "--class", "background", "--peaks"
    lines = runs(digits, *arguments).out.decode().splitlines()
    assert lines[-1].startswith("    background: highest 1.0000, ") and lines[-1].endswith("1st of 11")
    assert " peaks with a score above 0.5" in lines[3]


# ---- In the library ----


def test_the_library_finds_the_same(digits: CommandLine) -> None:
    files = [str(digits.path / name) for name in (*FCN, "scattered.png", "labels.txt")]
    with caffe_fcn.open(*files[:2]) as net:
        found = net.run(files[2], scale=float(SCALE), labels=files[3])
        peaks = found.peaks()
        assert found_once((each.label, each.box) for each in peaks) == (14, 0)
        assert found.maps[0].scores[peaks[0].label, peaks[0].row, peaks[0].column] == peaks[0].score
        assert [each.name for each in found.peaks("2", threshold=0.9999)] == ["2", "2"]
        assert found.boxes(2).width == found.boxes().width == 768
        three = found.rank(3)
        assert three[4:8] == (1, 7, 11, 10) and three.window == (124, 24, 144, 44)
        assert three.leader is not None and three.leader[:2] == (3, "3") and found.rank("3") == three
        for wrong in ({"threshold": np.nan}, {"nms": 1.5}, {"wanted": -1}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                found.peaks(**wrong)
        with pytest.raises(caffe_fcn.EngineError, match="holds no scores of classes"):
            net.run(files[2], scale=float(SCALE), blobs="conv2").peaks()


HEADS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "map" type: "Convolution" bottom: "data" top: "map" convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "flat" type: "Reshape" bottom: "map" top: "flat" reshape_param { shape { dim: 0 dim: 24 dim: -1 } } }
layer { name: "all" type: "Softmax" bottom: "flat" top: "all" softmax_param { axis: 2 } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "wide" type: "Convolution" bottom: "pool" top: "wide" convolution_param { num_output: 9 kernel_size: 1 } }
layer { name: "many" type: "Softmax" bottom: "wide" top: "many" }
layer { name: "thin" type: "Convolution" bottom: "pool" top: "thin" convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "few" type: "Softmax" bottom: "thin" top: "few" }
"""


@pytest.fixture
def heads(cli: CommandLine) -> tuple[CommandLine, tuple[str, ...]]:
    """The files of a net with outputs of several numbers of classes, and of a picture."""
    files = "net.prototxt", "net.caffemodel", "p.npy"
    (cli.path / files[0]).write_text(HEADS)
    with weights_of(net_of(HEADS), cli.path / files[1], 0.1):
        pass
    np.save(cli.path / files[2], np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    return cli, files


def test_a_class_is_told_of_the_outputs_that_have_it(heads: tuple[CommandLine, tuple[str, ...]]) -> None:
    cli, files = heads
    both = checked(runs(cli, *files, "--class", "3", "--json").document)["pictures"][0]["classes"]
    assert [each["blob"] for each in both] == ["many", "few"]
    (found,) = checked(runs(cli, *files, "--class", "7", "--json").document)["pictures"][0]["classes"]
    assert (found["blob"], found["class"]) == ("many", 7)
    assert "the net has 9 classes" in refuses(cli, *files, "--class", "9")


def test_a_map_that_is_suggested_has_peaks(heads: tuple[CommandLine, tuple[str, ...]]) -> None:
    """If the net does not show that its channels are classes, the user must say so."""
    cli, files = heads
    map_files = *files, "--blob", "map", "--peaks", "--threshold", "-9"
    told = refuses(cli, *files, "--blob", "all", "--peaks")
    assert told.endswith("choose a map, as with --blob map")
    assert runs(cli, *map_files).out
    joined = 'layer { name: "both" type: "Concat" bottom: "flat" bottom: "flat" top: "flat" }'
    (cli.path / files[0]).write_text(HEADS.replace('layer { name: "all"', f'{joined} layer {{ name: "all"'))
    told = refuses(cli, *files, "--blob", "all", "--peaks")
    assert told.endswith("choose a map, as with --blob map, and name its channels as classes with --labels")
    assert "which are not scores of classes" in refuses(cli, *map_files)
    (cli.path / "labels").write_text("a\nb\n")
    assert runs(cli, *map_files, "--labels", "labels").out
