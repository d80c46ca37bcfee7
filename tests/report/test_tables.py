"""Tables at any width: what is folded, what is left out, and that no number is ever cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fcn.report.tables import GAP, LONGEST, Column, Heading, Part, Table, cells, fit, fits, folded, render, shown

NAME = Column("layer", least=6)
BOTTOMS = Column("bottoms", least=8, soft=8, spare=1)
EXTRA = Column("extra", True, spare=2)
COUNT = Column("count", True)
TABLE = Table(
    (NAME, BOTTOMS, EXTRA, COUNT),
    [["conv1/7x7_s2", "data, more_data", "5", "37,752,832"], ["relu", "conv1", "-", "-"]],
    ["total", "", "5", "37,752,832"],
)
"""Its columns take 12, 15, 5 and 10 cells."""

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def titles(table: Table, width: int | None) -> list[str]:
    return [table.columns[place.position].title for place in fit(table, width)]


def widths(table: Table, width: int | None) -> list[int]:
    return [place.width for place in fit(table, width)]


# ---- What fits ----


def test_a_place_without_bounds_shows_all() -> None:
    assert render([TABLE], None) == (
        "layer         bottoms          extra       count\n"
        "────────────────────────────────────────────────\n"
        "conv1/7x7_s2  data, more_data      5  37,752,832\n"
        "relu          conv1                -           -\n"
        "────────────────────────────────────────────────\n"
        "total                              5  37,752,832\n"
    )


@pytest.mark.parametrize(
    ("width", "wanted", "cells_wide"),
    [
        (48, ["layer", "bottoms", "extra", "count"], [12, 15, 5, 10]),
        (47, ["layer", "bottoms", "extra", "count"], [12, 14, 5, 10]),
        (41, ["layer", "bottoms", "extra", "count"], [12, 8, 5, 10]),
        (40, ["layer", "extra", "count"], [12, 5, 10]),
        (30, ["layer", "count"], [12, 10]),
        (23, ["layer", "count"], [11, 10]),
        (18, ["layer", "count"], [6, 10]),
        (3, ["layer", "count"], [6, 10]),
    ],
)
def test_columns_are_folded_then_left_out_then_folded_all(width: int, wanted: list[str], cells_wide: list[int]) -> None:
    assert (titles(TABLE, width), widths(TABLE, width)) == (wanted, cells_wide)


def test_the_widest_is_folded_first() -> None:
    table = Table((Column("a", least=2), Column("b", least=2)), [["x/" * 3, "y/" * 6]])
    assert [widths(table, width) for width in (20, 18, 14, 10, 6)] == [[6, 12], [6, 10], [6, 6], [4, 4], [2, 2]]


def test_whether_a_table_fits_is_a_question_of_what_cannot_be_left_out() -> None:
    assert fits(TABLE, None) and fits(TABLE, 24)
    assert not fits(TABLE, 23)


def test_folded_rows_are_as_high_as_their_highest_text() -> None:
    assert render([TABLE], 18) == (
        "layer        count\n"
        "──────────────────\n"
        "conv1/  37,752,832\n"
        "7x7_s2\n"
        "relu             -\n"
        "──────────────────\n"
        "total   37,752,832\n"
        "left out because\n"
        "the output is too\n"
        "narrow: bottoms,\n"
        "extra\n"
    )


def test_a_text_of_several_lines() -> None:
    table = Table((Column("output"), COUNT), [["1×2\n3", "4"]])
    assert render([table], None) == "output  count\n─────────────\n1×2         4\n3\n"


def test_a_table_without_rows_has_its_titles() -> None:
    assert render([TABLE._replace(rows=[], foot=None)], None).startswith("layer  bottoms  extra  count\n───")


@pytest.mark.thorough
@settings(max_examples=150)
@given(
    rows=st.lists(
        st.tuples(st.text("ab/_ ×é漢", max_size=30), st.text("ab, ", max_size=40), st.integers(0, 10**15)), max_size=6
    ),
    width=st.integers(1, 120),
)
def test_no_number_is_cut_and_no_line_too_long(rows: list[tuple[str, str, int]], width: int) -> None:
    texts = [[name, bottoms, "7", f"{count:,}"] for name, bottoms, count in rows]
    text = render([Table(TABLE.columns, texts)], width)
    for _, _, count in rows:
        assert f"{count:,}" in text
    numbers = max([5, *(cells(row[3]) for row in texts)])
    words = (cells(part) for row in texts for word in row[0].split() for part in re.split(r"(?<=[/_])", word))
    assert max(map(cells, text.splitlines())) <= max(width, max([NAME.least, *words]) + GAP + numbers)


# ---- Folding ----


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("inception_3a/relu_3x3_reduce", 17, ["inception_3a/", "relu_3x3_reduce"]),
        ("inception_3a/relu_3x3_reduce", 28, ["inception_3a/relu_3x3_reduce"]),
        ("pool1, conv_2a/output", 14, ["pool1,", "conv_2a/output"]),
        ("10×256×13×13", 8, ["10×256×", "13×13"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("a b", 1, ["a", "b"]),
        ("漢字漢字", 5, ["漢字", "漢字"]),
        ("one\ntwo three", 5, ["one", "two", "three"]),
        ("", 3, [""]),
    ],
)
def test_texts_are_broken_where_they_read_best(text: str, width: int, lines: list[str]) -> None:
    assert folded(text, width) == lines


@given(text=st.text("ab/_- ×漢", max_size=40), width=st.integers(2, 20))
def test_folding_loses_nothing_but_spaces(text: str, width: int) -> None:
    lines = folded(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(cells(line) <= width for line in lines)


@pytest.mark.parametrize(("text", "wide"), [("abc", 3), ("1×2", 3), ("漢字", 4), ("e\u0301", 1), ("a\u200bb", 2)])
def test_cells_of_a_terminal(text: str, wide: int) -> None:
    assert cells(text) == wide


# ---- Prose, colour, and texts that nobody should trust ----


def test_prose_is_folded_under_its_second_column() -> None:
    parts: list[Part] = [Heading("AlexNet  models/alexnet.prototxt"), "inputs   data 1×3, label 1", ""]
    assert render(parts, 26) == ("AlexNet  models/\n         alexnet.prototxt\ninputs   data 1×3, label 1\n\n")
    assert render(parts, None) == "AlexNet  models/alexnet.prototxt\ninputs   data 1×3, label 1\n\n"


def test_colour_changes_nothing_but_the_colour() -> None:
    parts: list[Part] = [Heading("AlexNet"), TABLE, Table((NAME, COUNT), [["odd", "?"]])]
    plain, coloured = render(parts, 41), render(parts, 41, colour=True)
    assert "\x1b" not in plain
    assert "\x1b[1mAlexNet\x1b[0m" in coloured and "?\x1b[0m" in coloured.split("\x1b[33m")[1]
    stripped = [line.rstrip() for line in ESCAPE.sub("", coloured).split("\n")]
    assert stripped == plain.split("\n")


@pytest.mark.parametrize("colour", [False, True])
def test_markup_and_emoji_codes_are_only_text(colour: bool) -> None:
    table = Table((NAME,), [["[red]x[/]"], [":smile:"], ["[link=http://x]"]])
    text = render([table, "[bold]prose[/bold]"], None, colour=colour)
    assert all(part in text for part in ("[red]x[/]", ":smile:", "[link=http://x]", "[bold]prose[/bold]"))


def test_names_of_models_cannot_steer_a_terminal() -> None:
    assert shown("a\x1b[31mb\x07\n\tc\x9b1m") == "a?[31mb???c?1m"
    assert shown("x" * LONGEST) == "x" * LONGEST
    assert shown("x" * (LONGEST + 1)) == "x" * (LONGEST - 1) + "…"


def test_no_word_is_broken_and_no_column_goes_unsaid() -> None:
    """At 60 columns, where more is left out before a word is."""
    costs = (COUNT, Column("MACs", True, spare=4), Column("memory", True, spare=3))
    columns = (NAME, Column("type", least=8), BOTTOMS, Column("output", least=11), *costs)
    row = ["conv2d_1_expand_dw", "InnerProduct", "a, b, c", "1×128×100×100", "37,752,832", "365.9 k", "52.9 KiB"]
    table = Table(columns, [row])
    for width in range(45, 90):
        text = render([table], width)
        for word in ("InnerProduct", "1×128×100×100", "expand_", "37,752,832"):
            assert word in text
        shown_titles = text.splitlines()[0].split()
        told = " ".join(text.split()).partition("left out because the output is too narrow: ")[2]
        left_out = told.split(", ") if told else []
        assert sorted(shown_titles + left_out) == sorted(column.title for column in columns)
        assert max(map(cells, text.splitlines())) <= max(width, 57)
