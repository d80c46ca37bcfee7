"""`caffe-fcn run`: options of what is looked at, drawings and values."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import CommandLine
from tests.cli.running import FCN, NAMED, NET, checked, refuses, rejects, runs
from tests.engines.nets import net_of, weights_of
from tests.paths import SHARED_MODELS

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


def regressor(cli: CommandLine, layers: str, channels: int = 1, high: int = 6) -> tuple[str, ...]:
    """The files of a net for pictures of HIGH×8 pixels that ends in LAYERS, with random weights, and of a picture."""
    data = f"shape {{ dim: 1 dim: {channels} dim: {high} dim: 8 }}"
    net = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ {data} }} }}' + layers
    (cli.path / "net.prototxt").write_text(net)
    with weights_of(net_of(net), cli.path / "net.caffemodel", 0.1):
        pass
    np.save(cli.path / "x.npy", np.random.default_rng(0).integers(0, 9, (high, 8, channels)).astype(np.uint8))
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
    assert "--no-scores gives no scores, but --peaks" in rejects(cli, *files, "--no-scores", "--csv", "x.csv")
    assert "leave out --top" in rejects(cli, *files, "--no-scores", "--top", "3")
    (cli.path / "names.txt").write_text("one\ntwo\n")
    told = refuses(cli, *files, "--no-scores", "--labels", "names.txt")
    assert told.endswith("for the values of an output: 3 of 'marks', 1 of 'age', found 2")


# ---- Outputs as pictures ----


def identity(cli: CommandLine, channels: int, power: str = "") -> tuple[str, ...]:
    """The files of a net that gives each pixel as it gets it, or the POWER of it."""
    layer = f'layer {{ name: "same" type: "Power" bottom: "data" top: "same" power_param {{ {power} }} }}'
    return regressor(cli, layer, channels)[:2]


@pytest.mark.thorough
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("mean", ["", "30", "each", "image"])
def test_the_picture_of_a_net_that_changes_nothing_is_the_same(
    cli: CommandLine, channels: int, swapped: bool, mean: str
) -> None:
    """So all of the preprocessing is undone."""
    random = np.random.default_rng(0)
    files = identity(cli, channels)
    pixels = random.integers(0, 256, (6, 8, channels), np.uint8)
    np.save(cli.path / "x.npy", pixels)
    np.save(cli.path / "image.npy", random.uniform(0, 200, (channels, 6, 8)))
    means = {
        "": (),
        "30": ("--mean", "30"),
        "each": ("--mean", "10,20,30"[: 3 * channels - 1]),
        "image": ("--mean", "image.npy"),
    }
    options = (*means[mean], "--scale", "1/64", *(["--swap-channels"] if swapped else []))
    told = runs(cli, *files, "x.npy", *options, "--picture", "y.png").out.decode()
    made = np.asarray(Image.open(cli.path / "y.png")).reshape(6, 8, channels)
    np.testing.assert_array_equal(made, pixels)
    kind = "grey" if channels == 1 else "RGB"
    assert f"  picture of same, 6×8 pixels, {kind}: clipped none of {48 * channels} values" in told.splitlines()


def test_values_outside_a_picture_are_clipped_and_counted(cli: CommandLine) -> None:
    files = identity(cli, 1, "scale: 2 shift: -100")
    np.save(cli.path / "x.npy", np.array([[0, 49, 50, 60, 177, 178, 255]], np.uint8).repeat(2, 0))
    result = runs(cli, *files, "x.npy", "--picture", "y.png", "--json")
    assert np.asarray(Image.open(cli.path / "y.png"))[1].tolist() == [0, 0, 0, 20, 254, 255, 255]
    found = checked(result.document)["pictures"][0]
    assert found["outputs"]["picture"] == "y.png" and found["made"] == {
        "blob": "same",
        "size": [2, 7],
        "channels": "grey",
        "values": 14,
        "below": 4,
        "above": 4,
    }
    told = runs(cli, *files, "x.npy", "--picture", "y.png", "--force").out.decode().splitlines()[-1]
    assert told == "  picture of same, 2×7 pixels, grey: clipped 4 below 0 and 4 above 255 of 14 values"


def test_a_range_is_that_of_black_and_white(cli: CommandLine) -> None:
    files = identity(cli, 3, "scale: 0.01 shift: -1")
    np.save(cli.path / "x.npy", np.full((2, 3, 3), (0, 100, 200), np.uint8))
    runs(cli, *files, "x.npy", "--mean", "7", "--picture", "y.png", "--range=-1.07,0.93")
    assert np.asarray(Image.open(cli.path / "y.png"))[0, 0].tolist() == [0, 128, 255]


def test_what_cannot_be_a_picture_is_named(cli: CommandLine) -> None:
    np.save(cli.path / "x.npy", np.zeros((6, 8, 2), np.uint8))
    told = refuses(cli, *identity(cli, 2), "x.npy", "--picture", "y.png")
    assert "expected an output N×C×H×W with one channel (grey) or three, for --picture, found 'same' 1×2×6×8" in told
    np.save(cli.path / "x.npy", np.zeros((6, 8), np.uint8))
    files = regressor(cli, MAP.replace("num_output: 3", "num_output: 21") + MARKS)
    told = refuses(cli, *files, "--picture", "y.png")
    assert "found 'at' 1×21×4×6, 'marks' 1×3, 'age' 1×1; choose another with --blob" in told
    files = regressor(cli, MAP + MAP.replace('"at"', '"to"'))
    told = refuses(cli, *files, "--picture", "y.png")
    assert told.endswith("expected one output that can be a picture, found 'at', 'to'; choose one with --blob")
    told = refuses(cli, *identity(cli, 1), "x.npy", "--picture", "y.png", "--scales", "1,2")
    assert told.endswith("--picture is made at one scale, found 2")


def test_a_mean_of_other_channels_cannot_be_added(cli: CommandLine) -> None:
    files = regressor(cli, MAP.replace("num_output: 3", "num_output: 1"), 3)
    given = (*files, "--mean", "1,2,3", "--picture", "y.png")
    told = refuses(cli, *given)
    assert told.endswith("cannot be added to the 1 of 'at'; give the values of black and white with --range")
    runs(cli, *given, "--range", "0,9")


def test_pictures_of_many_pictures(cli: CommandLine) -> None:
    files = identity(cli, 1)
    for name in ("a", "b"):
        np.save(cli.path / f"{name}.npy", np.full((6, 8), ord(name), np.uint8))
    runs(cli, *files, "a.npy", "b.npy", "--picture", "same.png", "--out-dir", "made")
    for name in ("a", "b"):
        assert (np.asarray(Image.open(cli.path / "made" / f"{name}_same.png")) == ord(name)).all()


@pytest.mark.thorough
@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason="the models are not here")
def test_super_resolution_is_as_with_opencv(cli: CommandLine) -> None:
    opencv = pytest.importorskip("cv2")
    files = [str(SHARED_MODELS / "wxsr" / name) for name in ("net.prototxt", "net.caffemodel")]
    modules = np.random.default_rng(0).integers(0, 2, (15, 19), np.uint8) * np.uint8(255)
    pixels = opencv.GaussianBlur(modules.repeat(4, 0).repeat(4, 1), (0, 0), 1.2)
    Image.fromarray(pixels).save(cli.path / "x.png")
    net = opencv.dnn.readNetFromCaffe(*files)
    net.setInput(opencv.dnn.blobFromImage(pixels, 1 / 255))
    expected = (net.forward()[0, 0].astype(float) * 255).round().clip(0, 255)
    options = ("--crop-offset", "zero", "--scale", "1/255", "--tile", "40")
    runs(cli, *files, "x.png", *options, "--picture", "y.png")
    made = np.asarray(Image.open(cli.path / "y.png")).astype(float)
    assert made.shape == expected.shape == (119, 151) and abs(made - expected).max() <= 1
    assert (made != expected).mean() < 0.001


# ---- Sizes ----


def test_a_net_that_takes_multiples_gets_a_padded_picture(cli: CommandLine) -> None:
    """The error without the option names the number for it."""
    layers = (
        'layer { name: "down" type: "Pooling" bottom: "data" top: "down" pooling_param { kernel_size: 4 stride: 4 } }'
        'layer { name: "up" type: "Deconvolution" bottom: "down" top: "up" '
        "convolution_param { num_output: 1 kernel_size: 4 stride: 4 } }"
        'layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "up" top: "sum" }'
    )
    files = regressor(cli, layers, high=8)
    np.save(cli.path / "x.npy", np.zeros((9, 15), np.uint8))
    assert "pad the picture with --pad-to 4, or resize it with --resize" in refuses(cli, *files)
    result = runs(cli, *files, "--pad-to", "4", "-o", "y.npy", "--json")
    assert np.load(cli.path / "y.npy").shape == (1, 9, 15)
    found = checked(result.document)
    assert found["preprocessing"]["pad_to"] == 4 and found["pictures"][0]["resized"] is None
    (note,) = [each for each in found["pictures"][0]["notes"] if "padded" in each]
    assert note == "padded from 9×15 to 12×16 pixels, at the bottom and at the right"
