"""`caffe-fcn run`: options of what is looked at, drawings and values."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import CommandLine
from tests.cli.running import FCN, NAMED, NET, checked, rejects, runs

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
