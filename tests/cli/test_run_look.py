"""`caffe-fcn run`: options of what is looked at, drawings and values."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import CommandLine
from tests.cli.running import FCN, NAMED, NET, checked, refuses, rejects, runs
from tests.engines.nets import net_of, weights_of

PICTURE = (*FCN, "scattered.png", *NAMED)


# ---- Drawings ----


def test_a_range_makes_colours_comparable(digits: CommandLine) -> None:
    """With a range of 0 to 1000 every score has the first colour."""
    for name, given in (("auto.png", "auto"), ("unit.png", "0,1"), ("far.png", "0,1e3")):
        found = checked(runs(digits, *PICTURE, "--heatmap", name, "--range", given, "--json").document)["drawing"]
        assert found == {
            "range": None if given == "auto" else [*map(float, given.split(","))],
            "under": "grey",
            "upsample": False,
        }
    auto, unit, far = (np.asarray(Image.open(digits.path / f"{name}.png"))[:576] for name in ("auto", "unit", "far"))
    np.testing.assert_array_equal(auto, unit)
    assert (unit[:, :, 0].astype(int) - unit[:, :, 2]).max() > 100 > (far[:, :, 0].astype(int) - far[:, :, 2]).max()


@pytest.mark.parametrize("given", ["1,0", "1,1", "0", "0,1,2", "0,inf", "nan,1", "a,b", ""])
def test_a_range_has_two_numbers(digits: CommandLine, given: str) -> None:
    told = rejects(digits, *PICTURE, "--heatmap", "h.png", "--range", given)
    assert "expected auto, or two numbers, the lower one first, such as 0,1" in told


def test_options_of_drawings_need_a_drawing(digits: CommandLine) -> None:
    assert "--range is for --heatmap" in rejects(digits, *PICTURE, "--label-map", "l.png", "--range", "0,1")
    assert "--under is for --heatmap" in rejects(digits, *PICTURE, "--under", "colour")
    indexed = "--label-map", "l.png", "--palette", "voc"
    assert "--under is for --heatmap" in rejects(digits, *PICTURE, *indexed, "--under", "colour")


def test_a_net_for_grey_pictures_has_no_colour_below(digits: CommandLine) -> None:
    result = runs(digits, *PICTURE, "--overlay", "o.png", "--under", "colour")
    assert "note: the net takes grey pictures, and so the picture below a drawing is grey" in result.err
    assert runs(digits, *NET, "window.png", *NAMED).err == ""


# ---- Values that are not scores ----


def regressor(cli: CommandLine, layers: str) -> tuple[str, ...]:
    """The files of a net for pictures of 6×8 pixels that ends in LAYERS, with random weights, and of a picture."""
    net = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 6 dim: 8 } } }'
        + layers
    )
    (cli.path / "net.prototxt").write_text(net)
    with weights_of(net_of(net), cli.path / "net.caffemodel", 0.1):
        pass
    np.save(cli.path / "x.npy", np.random.default_rng(0).integers(0, 9, (6, 8)).astype(np.uint8))
    return "net.prototxt", "net.caffemodel", "x.npy"


MARKS = (
    'layer { name: "marks" type: "InnerProduct" bottom: "data" top: "marks" inner_product_param { num_output: 3 } }'
    'layer { name: "age" type: "InnerProduct" bottom: "data" top: "age" inner_product_param { num_output: 1 } }'
)
MAP = (
    'layer { name: "at" type: "Convolution" bottom: "data" top: "at" '
    "convolution_param { num_output: 3 kernel_size: 3 } }"
)


def test_values_are_told_in_their_order_with_their_names(cli: CommandLine) -> None:
    files = regressor(cli, MARKS)
    (cli.path / "names.txt").write_text("left\nnose tip\nright\n")
    arguments = (*files, "--no-scores", "--labels", "names.txt", "-o", "all.npz", "--force")
    lines = runs(cli, *arguments).out.decode().splitlines()
    with np.load(cli.path / "all.npz") as held:
        (marks,), (age,) = held["marks"], held["age"]
    told = [
        f"    {place}  {name:<8}  {value: .6g}"
        for place, (name, value) in enumerate(zip(("left", "nose tip", "right"), marks, strict=True))
    ]
    assert lines == ["x.npy: 6×8 pixels", "  marks 1×3", *told, "  age 1×1", f"    0  {age[0]: .6g}"]
    found = checked(runs(cli, *arguments, "--json").document)
    assert {each["blob"]: each["names"] for each in found["pictures"][0]["values"]} == {
        "age": None,
        "marks": ["left", "nose tip", "right"],
    }
    assert {each["holds"] for each in found["blobs"]} == {"values"} and found["pictures"][0]["top"] == []


def test_a_map_of_values_tells_the_range_of_each_channel(cli: CommandLine) -> None:
    files = regressor(cli, MAP)
    (cli.path / "names.txt").write_text("dx\ndy\nangle\n")
    arguments = (*files, "--no-scores", "--labels", "names.txt")
    lines = runs(cli, *arguments, "-o", "at.npy", "--heatmap", "h.png", "--class", "dy").out.decode().splitlines()
    values = np.load(cli.path / "at.npy").astype(float)
    told = [
        f"    {channel}  {name:<5}  from {found.min():.5g} to {found.max():.5g}, mean {found.mean():.5g}"
        for channel, (name, found) in enumerate(zip(("dx", "dy", "angle"), values, strict=True))
    ]
    assert lines[1].startswith("  at 3×4×6: each cell sees 3×3 pixels") and lines[2:-1] == told
    row, column = np.unravel_index(values[1].argmax(), values[1].shape)
    place = f"rows {row}–{row + 2}, columns {column}–{column + 2}"
    assert lines[-1] == f"    dy: highest {values[1].max():.5g}, {place}"
    (found,) = checked(runs(cli, *arguments, "--json").document)["pictures"][0]["maps"]
    assert [each["name"] for each in found["channels"]] == ["dx", "dy", "angle"] and found["cells"] == []
    np.testing.assert_allclose([each["norm"] for each in found["channels"]], np.sqrt((values**2).sum((1, 2))), 1e-6)


def test_without_scores_there_are_no_top_classes(cli: CommandLine) -> None:
    files = regressor(cli, MARKS)
    for option in ("--label-map", "--overlay"):
        assert "--no-scores gives no top classes, which" in rejects(cli, *files, "--no-scores", option, "x.png")
    assert "--no-scores gives no scores, of which --peaks" in rejects(cli, *files, "--no-scores", "--csv", "x.csv")
    assert "leave out --top" in rejects(cli, *files, "--no-scores", "--top", "3")
    (cli.path / "names.txt").write_text("one\ntwo\n")
    told = refuses(cli, *files, "--no-scores", "--labels", "names.txt")
    assert told.endswith("for the values of an output: 3 of 'marks', 1 of 'age', found 2")
