"""Report pages in a browser: links, sorting, colours, the keyboard, narrow windows, and what axe-core finds.

`opened` also asserts for each page that nothing is printed to the console as an error, and nothing is requested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import caffe_fcn
from tests.page.browser import opened
from tests.page.test_render import HOSTILE, net_with
from tests.paths import GOLDEN, ROOT

pytestmark = pytest.mark.thorough

DIGITS = ROOT / "models" / "digits"
RESNET = GOLDEN / "conversions" / "resnet"
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
DARK = {"color_scheme": "dark"}
NAMES = ("classifier", "dense", "residual", "hostile")
RARE = ("classifier", "residual")
"""Pages that are looked at in the slow tests only."""
GRAVE = {"serious", "critical"}

FOCUS = """() => {
  const each = document.activeElement;
  const box = each.getBoundingClientRect(), style = getComputedStyle(each);
  return {
    what: each.id || each.className.baseVal || each.className || each.getAttribute("href") || each.tagName,
    seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    outlined: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 1)
      || [...each.querySelectorAll("rect")].some((box) => parseFloat(getComputedStyle(box).strokeWidth) >= 2),
  };
}"""
"""What has the focus: whether it is in the window, and whether it can be seen that it has the focus."""

REACHED = "a[href], button, input, select, summary, [tabindex='0']"
NUMBERED = """.filter((each) => each.checkVisibility() && !each.disabled)
  .map((each, place) => { each.dataset.place = place; return place; })"""

WIDER = """() => {
  const wide = document.documentElement.clientWidth;
  const boxed = (each) => {
    for (let at = each.parentElement; at; at = at.parentElement)
      if (getComputedStyle(at).overflowX !== "visible") return true;
  };
  const outside = (each) => each.getBoundingClientRect().right > wide + 1 && !boxed(each);
  const found = [...document.body.querySelectorAll("*")].filter(outside);
  return [document.documentElement.scrollWidth - wide, ...found.map((each) => each.outerHTML.slice(0, 90))];
}"""
"""How much wider the page is than the window, and the elements that are outside, unless a box of their own scrolls."""


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages as the command makes them: of a classifier, of a dense net on a picture, of a residual net, and of one in
    which all names are hostile."""
    directory = tmp_path_factory.mktemp("reports")
    hostile = directory / "hostile.prototxt"
    hostile.write_text(net_with(HOSTILE), encoding="utf-8")
    classifier = caffe_fcn.open(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel")
    options: Any = {"scale": 1 / 255, "labels": DIGITS / "labels.txt"}
    pages = {name: directory / f"{name}.html" for name in NAMES}
    classifier.save_report(pages["classifier"])
    classifier.convolutionalize().save_report(pages["dense"], DIGITS / "scattered.png", **options)
    caffe_fcn.open(RESNET / "net.prototxt", RESNET / "net.caffemodel").save_report(pages["residual"])
    caffe_fcn.open(hostile).save_report(pages["hostile"])
    return pages


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] * (name in RARE)) for name in NAMES])
def report(request: pytest.FixtureRequest, reports: dict[str, Path]) -> Path:
    """Each of the pages."""
    return reports[request.param]


@pytest.fixture
def window(browser: Any, reports: dict[str, Path]) -> Iterator[Any]:
    """The page of the dense net in a window."""
    with opened(browser, reports["dense"]) as found:
        yield found


def open_all(window: Any) -> None:
    """Open every part of the page that can be opened."""
    window.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


# ---- Every page ----


def test_every_link_leads_to_something_that_is_seen(browser: Any, report: Path) -> None:
    with opened(browser, report) as window:
        targets = dict.fromkeys(
            window.evaluate("[...document.querySelectorAll('a')].map((each) => each.getAttribute('href'))")
        )
        assert len(targets) > 6
        for target in targets:
            assert target.startswith("#") and len(target) > 1
            window.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = false; })")
            window.evaluate(
                "(target) => [...document.querySelectorAll('a')].find((each) => each.getAttribute('href') === target)"
                ".dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))",
                target,
            )
            seen = f"(() => {{ const box = document.getElementById({target[1:]!r}).getBoundingClientRect();"
            seen += " return box.height > 0 && box.top < innerHeight && box.bottom > 0; })()"
            wait(window, seen)


def test_no_window_is_too_narrow(browser: Any, report: Path) -> None:
    with opened(browser, report, **PHONE) as window:
        assert window.evaluate(WIDER) == [0]
        open_all(window)
        assert window.evaluate(WIDER) == [0]


@pytest.mark.parametrize(
    "options",
    [{}, pytest.param(DARK, marks=pytest.mark.slow), pytest.param(PHONE, marks=pytest.mark.slow)],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing_grave(browser: Any, report: Path, options: dict[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    with opened(browser, report, **options) as window:
        open_all(window)
        found = axe.Axe().run(window).response["violations"]
        grave = [each for each in found if each["impact"] in GRAVE]
        assert [(each["id"], each["help"], each["nodes"][0]["html"][:200]) for each in grave] == []


def test_a_page_does_not_run_what_is_in_a_name(browser: Any, reports: dict[str, Path]) -> None:
    asked: list[str] = []
    with opened(browser, reports["hostile"]) as window:
        window.on("dialog", lambda dialog: decline(dialog, asked))
        open_all(window)
        for link in window.locator("main a[href]").all()[:40]:
            link.dispatch_event("click")
        assert window.evaluate("document.querySelectorAll('main script:not([type]), iframe, object').length") == 0
        assert window.url.startswith("file:") and asked == []
        assert "<script>alert(1)</script>" in window.locator("main").inner_text()


def decline(dialog: Any, asked: list[str]) -> None:
    """Close a DIALOG that the page should not have opened."""
    asked.append(dialog.message)
    dialog.dismiss()


def wait(window: Any, condition: str) -> None:
    """Wait until CONDITION holds; the page forbids what playwright has for this."""
    for _ in range(100):
        if window.evaluate(condition):
            return
        window.wait_for_timeout(20)
    pytest.fail(f"never: {condition}")


# ---- The table of costs ----


def column(window: Any, number: int) -> list[str]:
    """The cells of a column of the table of costs, from top to bottom."""
    script = "(number) => [...document.querySelectorAll('#costs-table tbody tr')]"
    found: list[str] = window.evaluate(f"{script}.map((row) => row.cells[number].innerText.trim())", number)
    return found


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_a_heading_sorts_the_table(window: Any, way: str) -> None:
    def activate(name: str) -> str | None:
        button = window.locator("#costs-table thead button", has_text=re.compile(f"^{name}$"))
        if way == "pointer":
            button.click()
        else:
            button.focus()
            window.keyboard.press("Enter")
        order: str | None = button.evaluate("each => each.closest('th').getAttribute('aria-sort')")
        return order

    before = column(window, 0)
    assert activate("MACs") == "descending"
    names = column(window, 1)
    assert names[:2] == ["conv2", "conv1"]
    assert sorted(column(window, 0)) == sorted(before) and column(window, 0) != before
    assert activate("MACs") == "ascending"
    known = [name for name in names if name in ("conv1", "conv2", "ip1-conv", "ip2-conv")]
    assert [name for name in column(window, 1) if name in known] == known[::-1]
    assert window.get_by_role("button", name="MACs", exact=True).count() == 1  # without the arrow
    assert activate("layer") == "ascending"
    assert column(window, 1) == sorted(column(window, 1))
    assert activate("#") == "ascending" or activate("#") == "ascending"
    assert column(window, 0) == before
    assert window.locator("#costs-table [aria-sort]").count() == 1


# ---- Colours ----


def test_dark_is_dark_and_can_be_chosen(browser: Any, reports: dict[str, Path]) -> None:
    def lightness(window: Any) -> tuple[float, float]:
        found = window.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
            ".map((each) => each.match(/[0-9.]+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 765)"
        )
        return found[0], found[1]

    with opened(browser, reports["dense"]) as window:
        ground, ink = lightness(window)
        assert ground > 0.9 and ink < 0.3
        button = window.get_by_role("button", name="Colours")
        button.click()
        assert lightness(window) == (ground, ink)
        button.click()
        chosen = lightness(window)
        assert button.inner_text() == "Colours: dark" and chosen[0] < 0.2 and chosen[1] > 0.7
    with opened(browser, reports["dense"], **DARK) as window:
        assert lightness(window) == chosen


# ---- The keyboard ----


def test_all_can_be_reached_by_keyboard_and_is_seen(window: Any) -> None:
    wanted = set(window.evaluate(f"[...document.querySelectorAll({REACHED!r})]{NUMBERED}"))
    reached: set[int] = set()
    hidden: list[str] = []
    for _ in range(len(wanted) + 5):
        window.keyboard.press("Tab")
        place = window.evaluate("document.activeElement.dataset.place")
        if place is None:
            break
        reached.add(int(place))
        found = window.evaluate(FOCUS)
        if not (found["seen"] and found["outlined"]):
            hidden.append(found["what"])
    assert len(wanted) > 40 and wanted - reached == set() and hidden == []


def test_links_and_layers_open_by_keyboard(window: Any) -> None:
    window.keyboard.press("Tab")
    assert window.evaluate("document.activeElement.className") == "skip"
    window.keyboard.press("Enter")
    assert window.evaluate("document.activeElement.id") == "main"
    link = window.locator("#costs-table a", has_text="conv2")
    link.focus()
    window.keyboard.press("Enter")
    wait(window, "document.activeElement.closest('details')?.open === true")
    assert window.evaluate("document.activeElement.id") == link.get_attribute("href")[1:]
    drawn = window.locator("#graph-box a").nth(3)
    drawn.focus()
    window.keyboard.press("Enter")
    wait(window, f"document.activeElement.id === {drawn.get_attribute('href')[1:]!r}")
    summary = window.locator("details.net-layer summary").first
    summary.focus()
    opened_before = window.evaluate("document.querySelector('details.net-layer').open")
    window.keyboard.press("Enter")
    assert window.evaluate("document.querySelector('details.net-layer').open") is not opened_before


def test_the_graph_is_made_larger_and_smaller(window: Any) -> None:
    def wide() -> float:
        found: float = window.evaluate("document.querySelector('#graph-box svg').getBoundingClientRect().width")
        return found

    box, before = window.locator("#graph-box"), wide()
    box.focus()
    window.keyboard.press("+")
    assert wide() == pytest.approx(1.25 * before, rel=0.01)
    window.keyboard.press("-")
    assert wide() == pytest.approx(before, rel=0.01)
    window.get_by_role("button", name="Larger").click()
    assert wide() > before
    window.get_by_role("button", name="Fit").click()
    assert wide() <= window.evaluate("document.getElementById('graph-box').clientWidth")


def test_the_filter_leaves_the_layers_that_it_names(window: Any) -> None:
    window.get_by_label("Filter by name or type").fill("relu")
    shown = window.locator("details.net-layer:visible h3").all_text_contents()
    assert shown and all("relu" in each for each in shown)
    assert window.locator("#filtered").inner_text() == f"{len(shown)} of 11 layers"
    window.locator("#costs-table a", has_text="conv2").click()
    wait(
        window,
        "[...document.querySelectorAll('details.net-layer[open]')].some((each) => each.textContent.includes('conv2'))",
    )
