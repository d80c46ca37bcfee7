"""What tests of report pages share: a page read as a browser would read it, without a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from caffe_fcn.inspection.inspect import open_inspected
from caffe_fcn.page.build import build_page
from caffe_fcn.page.options import ReportOptions
from caffe_fcn.page.records import Page
from caffe_fcn.page.render import render

VOID = {"meta", "link", "img", "input", "br", "hr"}
ATTRIBUTES_WITH_ADDRESSES = {"href", "src", "srcset", "xlink:href", "action", "data", "poster"}


@dataclass
class Element:
    """An element of a page: its TAG, its ATTRIBUTES, and all TEXT in it."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Parsed(HTMLParser):
    """A page: its elements in order. Raises AssertionError for elements that are not closed in order."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        self.elements.append(Element(tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an empty element."""
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        assert self.open and self.open[-1].tag == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        """Note text."""
        for each in self.open:
            each.text += data

    def all(self, tag: str) -> list[Element]:
        """The elements of TAG."""
        return [each for each in self.elements if each.tag == tag]

    def with_class(self, name: str) -> list[Element]:
        """The elements of a class."""
        return [each for each in self.elements if name in (each.attributes.get("class") or "").split()]


def parsed(html: str) -> Parsed:
    """The page HTML, all of whose elements are closed."""
    found = Parsed()
    found.feed(html)
    found.close()
    assert not found.open
    return found


def page_of(net: Path, weights: Path | None = None, options: ReportOptions | None = None) -> Page:
    """The page of the files NET and WEIGHTS, without a picture."""
    files = open_inspected(str(net), None if weights is None else str(weights))
    try:
        return build_page(files, options=options)
    finally:
        if files.weights is not None:
            files.weights.close()


def html_of(net: Path, weights: Path | None = None) -> str:
    """The same as HTML."""
    return render(page_of(net, weights))
