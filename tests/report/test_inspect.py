"""The page of an inspection for people."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_fcn.inspection.records import InspectSettings
from caffe_fcn.inspection.words import human, human_bytes
from caffe_fcn.report.tables import cells
from tests.files.encodings import layer as record
from tests.files.encodings import model, packed, shape_field
from tests.net.nets import data, layer
from tests.report.inspections import CONV, FC, MODELS, Bench, shown


def test_a_page(bench: Bench) -> None:
    text = (
        'name: "small"\n'
        + data(2, 4, 8, 8)
        + layer("Convolution", "param { name: 'w' }" + CONV, "data", "a/x", "a/x")
        + layer("Convolution", "param { name: 'w' }" + CONV, "data", "a/y", "a/y")
        + layer("BatchNorm", "", "a/y", "a/y", "norm")
        + layer("Slice", "", "a/y", "b c", "cut")
        + layer("Flatten", "", "a/x", "f", "flat")
        + layer("Silence", "", "b", "", "quiet")
    )
    found = bench.text(text)
    assert shown(found).splitlines()[1:] == [
        "inputs   data 2×4×8×8",
        "",
        "layer  type         bottoms  output           parameters  statistics    MACs    memory",
        "──────────────────────────────────────────────────────────────────────────────────────",
        "data   Input                 2×4×8×8                   -           -       -   2.0 KiB",
        "a/x    Convolution  data     2×4×6×6                 148           -  10.4 k   1.1 KiB",
        "a/y    Convolution  data     2×4×6×6               * 148           -  10.4 k   1.1 KiB",
        "norm   BatchNorm    a/y      2×4×6×6                   -           9       -  in place",
        "cut    Slice        a/y      2×2×6×6, 2 tops           -           -       -   1.1 KiB",
        "flat   Flatten      a/x      2×144                     -           -       -    shared",
        "quiet  Silence      b        -                         -           -       -         -",
        "──────────────────────────────────────────────────────────────────────────────────────",
        "total  7 layers                                      152           9  20.7 k   5.4 KiB",
        "",
        "152 parameters and 9 statistics (644 B in single precision), 20,736 multiply-accumulates for a batch of 2",
        "* shared parameters, counted once in the sums: a/y with a/x",
        "",
        "group     layers  parameters  statistics    MACs   memory",
        "─────────────────────────────────────────────────────────",
        "a/             2         152           -  20.7 k  2.2 KiB",
        "(others)       5           -           9       -  3.1 KiB",
    ]


def test_a_page_of_unknowns(bench: Bench) -> None:
    text = (
        layer("HDF5Data", "", "", "data", "h5") + layer("InnerProduct", FC) + layer("EuclideanLoss", "", "out out", "l")
    )
    lines = shown(bench.text(text)).splitlines()
    assert lines[1] == "inputs   data ?"
    assert lines[-3:] == [
        "total  3 layers                                  ?     ?   ≥ 4 B",
        "",
        "unknown and not in the sums: the parameters of 1 layer, the multiply-accumulates of 1 layer, "
        "the memory of 2 layers",
    ]


def test_a_page_of_listed_layers_has_their_sums_and_those_of_the_net(bench: Bench) -> None:
    text = shown(bench.files(MODELS / "alexnet.prototxt", None, InspectSettings(layers=("fc*",))))
    assert "listed  3 of 24 layers" in text
    assert " 58,631,144 " in text
    assert "in all: 60,965,224 parameters" in text


def test_footnotes_say_why_a_window_is_not_exact(bench: Bench) -> None:
    text = shown(bench.files(MODELS / "googlenet.prototxt", None, InspectSettings(geometry=True)), 140)
    row = next(line for line in text.splitlines() if line.startswith("inception_3a/5x5 "))
    assert row.split()[-5:] == ["67", "8", "2.5", "inside", "1-4,6"] or row.split()[-2:] == ["inside", "1-4,6"]
    assert '\n  6  layer "inception_3a/5x5" pads\n' in text
    assert text.count("\nconv1/7x7_s2 ") == 1


def test_geometry_has_a_table_of_its_own_where_it_does_not_fit(bench: Bench) -> None:
    found = bench.files(MODELS / "alexnet.prototxt", None, InspectSettings(geometry=True))
    assert shown(found, 140).count("\nconv5 ") == 1
    narrow = shown(found, 80)
    assert narrow.count("\nconv5 ") == 2
    assert "\nconv5  1×256×13×13     163      16      17  inside 1-4\n" in narrow


@pytest.mark.thorough
@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("name", ["lenet", "alexnet", "vgg16", "googlenet"])
def test_pages_keep_to_their_width(bench: Bench, name: str, width: int) -> None:
    text = shown(bench.files(MODELS / f"{name}.prototxt", None, InspectSettings(geometry=True)), width)
    assert max(map(cells, text.splitlines())) <= width


def test_a_page_of_blobs(bench: Bench) -> None:
    values = np.array([0, 0.5, np.nan, -2, np.inf], "<f4")
    model(
        bench.path / "odd.caffemodel",
        record("a", [shape_field((5,)) + packed(5, values)]),
        record("b", [shape_field((2,)) + packed(8, np.array([1e-9, 3], "<f8"))]),
        record("b", [shape_field(())]),
    )
    found = bench.files(bench.path / "odd.caffemodel", None, InspectSettings(statistics=True))
    assert shown(found).splitlines()[3:] == [
        "layer  blob  shape    type     values    min  max  mean  deviation  zeros  NaN  Inf",
        "───────────────────────────────────────────────────────────────────────────────────",
        "a         0  5        float32       5     -2  0.5  -0.5       1.08      1    1    1",
        "b         0  2        float64       2  1e-09    3   1.5        1.5      -    -    -",
        "b         0  scalar   float32       0      -    -     -          -      -    -    -",
        "───────────────────────────────────────────────────────────────────────────────────",
        "total        3 blobs                7",
    ]


def test_the_type_has_a_column_at_any_width_where_there_are_several(bench: Bench) -> None:
    one = shape_field((2,)) + packed(5, np.ones(2, "<f4"))
    other = shape_field((2,)) + packed(8, np.ones(2, "<f8"))
    for blobs, there in (([one, one], False), ([one, other], True)):
        model(bench.path / "w.caffemodel", record("a", blobs))
        found = bench.files(bench.path / "w.caffemodel", None, InspectSettings(statistics=True))
        assert ("  type  " in shown(found, 30)) is there
        assert "  type  " in shown(found)


def test_infinities_have_a_column_at_any_width_where_there_are_any(bench: Bench) -> None:
    for values, there in (([1.0, 2.0], False), ([1.0, np.inf], True)):
        model(bench.path / "w.caffemodel", record("a", [shape_field((2,)) + packed(5, np.array(values, "<f4"))]))
        found = bench.files(bench.path / "w.caffemodel", None, InspectSettings(statistics=True))
        assert ("  Inf\n" in shown(found, 30)) is there
        assert "Inf" in shown(found)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0 k"),
        (999_949, "999.9 k"),
        (999_950, "1.0 M"),
        (105_415_200, "105.4 M"),
        (15_470_264_320, "15.5 G"),
        (10**21, "1000000.0 P"),
    ],
)
def test_numbers_for_people(value: int, text: str) -> None:
    assert human(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_166_400, "1.1 MiB"), (2**40, "1.0 TiB")]
)
def test_bytes_for_people(value: int, text: str) -> None:
    assert human_bytes(value) == text
