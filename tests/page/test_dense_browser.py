"""The map of a dense net in a browser: the chooser, the colours, the pointer and the keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import caffe_fcn
from caffe_fcn.api.prediction import Prediction
from caffe_fcn.predict.draw import bare, colours
from tests.page.browser import opened
from tests.page.test_dense import DIGITS, PADDED, SEVERAL, WHITE
from tests.predict.test_tiling import model_of

pytestmark = pytest.mark.thorough

PIXEL = """([x, y]) => {
  const canvas = document.querySelector(".map-stage canvas"), image = document.querySelector(".map-stage img");
  const scale = canvas.width / JSON.parse(document.querySelector("[data-map] script").textContent).size[1];
  return [...canvas.getContext("2d").getImageData(Math.floor(x * scale), Math.floor(y * scale), 1, 1).data];
}"""
"""The colour and the opacity of the canvas at a place in pixels of the picture."""


class Panel:
    """The panel of the page in a WINDOW."""

    def __init__(self, window: Any) -> None:
        self.window = window
        window.wait_for_selector(".map-side:not([hidden])")
        self.canvas = window.locator(".map-stage canvas")
        self.size = window.evaluate("JSON.parse(document.querySelector('[data-map] script').textContent).size")

    def told(self, name: str) -> str:
        """The text with NAME."""
        found: str = self.window.locator(f'[data-text="{name}"]').inner_text()
        return found

    def control(self, name: str) -> Any:
        """The control with NAME."""
        return self.window.locator(f'[data-control="{name}"]')

    def choose(self, title: str) -> None:
        """Choose a class by the beginning of its title."""
        chooser = self.control("class")
        labels = chooser.locator("option").all_inner_texts()
        chooser.select_option(index=next(place for place, each in enumerate(labels) if each.startswith(title)))

    def point(self, row: float, column: float) -> None:
        """Point at a place in pixels of the picture."""
        self.canvas.scroll_into_view_if_needed()
        box = self.canvas.bounding_box()
        self.window.mouse.move(
            box["x"] + box["width"] * column / self.size[1], box["y"] + box["height"] * row / self.size[0]
        )

    def pixel(self, row: float, column: float) -> list[int]:
        """The colour of the canvas at a place in pixels of the picture."""
        found: list[int] = self.window.evaluate(PIXEL, [column, row])
        return found

    def table(self) -> list[tuple[str, str]]:
        """The lines of the table."""
        lines = self.window.locator(".map-side tbody tr:visible").all()
        return [(line.locator("td").nth(0).inner_text(), line.locator("td").nth(1).inner_text()) for line in lines]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Prediction]:
    """The page of the digits model on the scattered digits, and what the net makes of them."""
    directory = tmp_path_factory.mktemp("report")
    net = caffe_fcn.open(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel").convolutionalize()
    options: Any = {"scale": 1 / 255, "labels": DIGITS / "labels.txt"}
    net.save_report(directory / "page.html", DIGITS / "scattered.png", **options)
    return directory / "page.html", net.run(DIGITS / "scattered.png", **options)


@pytest.fixture(scope="module")
def shown(browser: Any, report: tuple[Path, Prediction]) -> Iterator[Panel]:
    """The panel of the report, opened once."""
    with opened(browser, report[0]) as window:
        yield Panel(window)


@pytest.fixture
def panel(shown: Panel) -> Panel:
    """The panel of the report as it is when it is opened."""
    shown.choose("all but the background")
    shown.control("range").select_option("fixed")
    shown.control("opacity").fill("75")
    shown.control("grey").check()
    return shown


def middle(prediction: Prediction, row: int, column: int) -> tuple[float, float]:
    """The place of a cell in pixels of the picture, from its edge, away from the outline of the cell."""
    rows, columns = prediction.answer.results[0].levels[0].cells
    return float(rows.offset + rows.stride * row) + 0.5, float(columns.offset + columns.stride * column) + 0.5


def wait(window: Any, condition: str) -> None:
    """Wait until CONDITION holds; the page forbids what playwright has for this."""
    for _ in range(100):
        if window.evaluate(condition):
            return
        window.wait_for_timeout(20)
    pytest.fail(f"never: {condition}")


def colour_of(value: float) -> tuple[list[int], float]:
    """The colour of a value from 0 to 1, and its opacity when the page is opened."""
    ramp, shares = colours.sequential()
    return ramp[round(255 * value)].round().tolist(), float(shares[round(255 * value)])


def test_the_chooser_changes_the_map(panel: Panel, report: tuple[Path, Prediction]) -> None:
    scores = report[1].scores
    eight, four = (divmod(int(scores[digit].argmax()), scores.shape[2]) for digit in (8, 4))
    for digit in (8, 4):
        panel.choose(str(digit))
        panel.point(1, 1)  # so that no rectangle is in the way
        for cell in (eight, four):
            *found, opacity = panel.pixel(*middle(report[1], *cell))
            expected, share = colour_of(float(scores[(digit, *cell)]))
            assert found == pytest.approx(expected, abs=3) and opacity == pytest.approx(255 * share, abs=2)
    assert scores[(8, *eight)] > 0.9 > 0.1 > scores[(4, *eight)]


def test_the_pointer_tells_what_a_cell_sees(panel: Panel, report: tuple[Path, Prediction]) -> None:
    prediction = report[1]
    (dense,) = prediction.maps
    for row, column in ((0, 0), (43, 59), (17, 30)):
        panel.point(*middle(prediction, row, column))
        top, left, bottom, right = dense.window(row, column)
        assert panel.told("where") == f"Cell in row {row}, column {column} of 44×60"
        assert panel.told("field") == f"20×20 pixels: rows {top}–{bottom - 1}, columns {left}–{right - 1}"
        for place in ((top + 0.3, (left + right) / 2), ((top + bottom) / 2, right - 0.3)):
            assert min(panel.pixel(*place)) > 150, "the frame is white, its edges a little less"
        for place in ((top + 1.5, (left + right) / 2), ((top + bottom) / 2, right - 1.5)):
            assert min(panel.pixel(*place)) < 60
        ranked = sorted(range(11), key=lambda index: -prediction.scores[index, row, column])[:5]
        names = [(DIGITS / "labels.txt").read_text().split()[index] for index in ranked]
        assert [name for name, _ in panel.table()] == names
        for index, (_, number) in zip(ranked, panel.table(), strict=True):
            digits = len(number.partition(".")[2])
            assert digits >= 4 and number == f"{prediction.scores[index, row, column]:.{digits}f}"


def test_places_without_an_answer_are_hatched(panel: Panel) -> None:
    panel.point(3, 100)
    assert panel.told("where").startswith("No answer here") and panel.table() == []
    found = {tuple(panel.pixel(3, column)) for column in range(60, 100)}
    assert {each[:3] for each in found} <= {tuple(stripe) for stripe in bare.STRIPES} | {(29, 29, 35), (31, 31, 37)}
    assert len(found) > 1 and {each[3] for each in found} == {round(255 * bare.SHARE)}


def test_the_keyboard_moves_from_cell_to_cell(panel: Panel) -> None:
    panel.canvas.focus()
    ways = (
        ("Enter", 22, 25),
        ("ArrowRight", 22, 26),
        ("ArrowDown", 23, 26),
        ("Shift+ArrowLeft", 23, 16),
        ("Home", 23, 0),
        ("ArrowLeft", 23, 0),
        ("End", 23, 59),
        ("Shift+ArrowUp", 13, 59),
    )
    for key, row, column in ways:
        panel.window.keyboard.press(key)
        assert panel.told("where") == f"Cell in row {row}, column {column} of 44×60", key
    assert panel.window.locator(".map-where").get_attribute("aria-live") == "polite"
    panel.window.keyboard.press("Tab")
    assert panel.window.evaluate("document.activeElement.closest('.map-side') !== null")


def test_colours_and_opacity(panel: Panel, report: tuple[Path, Prediction]) -> None:
    scores = report[1].scores
    panel.choose("7")
    peak = divmod(int(scores[7].argmax()), scores.shape[2])
    panel.control("range").select_option("own")
    assert float(panel.told("high")) == pytest.approx(float(scores[7].max()), rel=1e-3)
    panel.point(1, 1)
    *found, _ = panel.pixel(*middle(report[1], *peak))
    assert found == pytest.approx(colour_of(1.0)[0], abs=3)
    panel.control("opacity").fill("0")
    assert panel.pixel(*middle(report[1], *peak))[3] == 0
    assert "map-grey" in panel.window.locator(".map-stage").get_attribute("class")
    panel.control("grey").uncheck()
    assert "map-grey" not in panel.window.locator(".map-stage").get_attribute("class")


def test_a_class_of_the_table_can_be_chosen(panel: Panel) -> None:
    panel.window.locator(".map-side button").nth(1).click()
    name = panel.table()[1][0] if not panel.table()[0][0].isdigit() else panel.table()[0][0]
    chosen = panel.control("class").evaluate("each => each.selectedOptions[0].textContent")
    assert chosen.split()[0] == panel.told("value").partition(":")[0] == name


def test_a_phone(browser: Any, report: tuple[Path, Prediction]) -> None:
    options = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "device_scale_factor": 3}
    with opened(browser, report[0], **options) as window:
        panel = Panel(window)
        panel.canvas.scroll_into_view_if_needed()
        box = panel.canvas.bounding_box()
        row, column = middle(report[1], 17, 30)
        window.touchscreen.tap(box["x"] + box["width"] * column / 256, box["y"] + box["height"] * row / 192)
        assert panel.told("where") == "Cell in row 17, column 30 of 44×60"
        wide, canvas, inner = window.evaluate(
            "[document.documentElement.scrollWidth, document.querySelector('.map-stage canvas').width, innerWidth]"
        )
        assert wide <= inner == 360 and canvas == pytest.approx(3 * box["width"], abs=2)
        window.set_viewport_size({"width": 700, "height": 740})
        wait(window, "document.querySelector('.map-stage canvas').width > 1500")


def test_the_crop_of_the_classifier_and_padding(browser: Any, tmp_path: Path) -> None:
    with model_of(PADDED, tmp_path):  # it writes the weights
        pass
    (tmp_path / "net.prototxt").write_text(PADDED)
    net = caffe_fcn.open(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    net.save_report(tmp_path / "page.html", WHITE)
    with opened(browser, tmp_path / "page.html") as window:
        panel = Panel(window)
        panel.canvas.focus()
        window.keyboard.press("Home")
        for _ in range(20):
            window.keyboard.press("ArrowUp")
        assert panel.told("field") == (
            "13×13 pixels: rows 0–10, columns 0–10; beyond the picture 2 at the top, 2 at the left"
        )
        assert panel.told("crop") == "9×9 pixels: rows 0–8, columns 0–8"
        blue = [0x56, 0xB4, 0xE9]
        assert panel.pixel(8.95, 4.5)[:3] == pytest.approx(blue, abs=2)
        assert panel.pixel(10.95, 5)[:3] == [255, 255, 255]
        beyond = {panel.pixel(9 + step / 50, 0.03)[:3] == [255, 255, 255] for step in range(10, 90)}
        assert beyond == {True, False}, "the side in the padding is dashed"


def test_a_net_with_several_maps(browser: Any, tmp_path: Path) -> None:
    with model_of(SEVERAL, tmp_path):
        pass
    (tmp_path / "net.prototxt").write_text(SEVERAL)
    net = caffe_fcn.open(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    net.save_report(tmp_path / "page.html", WHITE)
    with opened(browser, tmp_path / "page.html") as window:
        panel = Panel(window)
        assert re.match(r"class \d: ", panel.told("value"))
        panel.control("map").select_option(label="up")
        wait(window, "document.querySelector('[data-text=kind]').textContent === 'Channel'")
        assert panel.told("value").startswith("channel 0: ")
        assert [name for name, _ in panel.table()] == ["channel 0", "channel 1", "channel 2"]


def test_an_old_browser_says_so(browser: Any, report: tuple[Path, Prediction]) -> None:
    context = browser.new_context()
    context.add_init_script("delete window.DecompressionStream")
    window = context.new_page()
    window.goto(report[0].resolve().as_uri())
    window.wait_for_selector(".map-failed:not([hidden])")
    assert window.locator(".map-controls").is_hidden() and window.locator(".map-stage img").is_visible()
    context.close()
