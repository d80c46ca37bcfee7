"""Renders a report page as one HTML file that loads nothing: styles, scripts and pictures are inside it.

All text of a model is data. Jinja escapes every value; before that, `display.visible` masks control characters in it.
A content security policy names the hashes of the scripts and styles that are part of this package, so that a browser
runs nothing else, whatever a name contains. Templates therefore have no attributes `style` and `on...`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe_fcn.diagram.svg import page_style
from caffe_fcn.display import visible
from caffe_fcn.errors import missing
from caffe_fcn.page.records import Page

if TYPE_CHECKING:
    from jinja2 import Environment

_MOST_TENTHS = 1000
_COMMAND = re.compile("`([^`]+)`")


class Inlined(NamedTuple):
    """A script or a style of this package: its TEXT, and its HASH for the content security policy."""

    text: Any
    hash: str


def check_packages() -> None:
    """Raise ExtraError if the packages for a page are not installed."""
    _environment()


def render(page: Page) -> str:
    """Return PAGE as HTML. Raises ExtraError without jinja2."""
    environment = _environment()
    scripts, styles = _inlined("js"), (*_inlined("css"), _inline(page_style()))
    return str(environment.get_template("base.html").render(page=page, scripts=scripts, styles=styles))


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        told = "a report page needs more packages: pip install 'caffe-fcn[see]'"
        raise missing(error, "jinja2", told) from error
    environment = Environment(
        loader=PackageLoader("caffe_fcn.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {"png": png, "percent": percent, "marked": marked}
    return environment


def _shown(value: Any) -> Any:
    """Return VALUE as a template shows it: plain text without control characters. Text that is marked as HTML stays as
    it is."""
    return visible(value) if type(value) is str else value


def png(data: bytes) -> Any:
    """Return the PNG file DATA as a data URI."""
    from markupsafe import Markup

    return Markup("data:image/png;base64," + base64.b64encode(data).decode())


def percent(share: float) -> str:
    """Return SHARE, 0 to 1, as a percentage with one decimal."""
    if not share:
        return "0%"
    return "< 0.1%" if round(share * _MOST_TENTHS) < 1 else f"{share:.1%}"


def marked(text: str) -> Any:
    """Return TEXT as HTML, with commands in it, which stand between backquotes, marked as code."""
    from markupsafe import Markup, escape

    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(visible(text)))))


@lru_cache
def _inlined(kind: str) -> tuple[Inlined, ...]:
    """Return the static files of KIND, "js" or "css", that of the frame first, the others by name."""
    found = [each for each in files("caffe_fcn.page").joinpath("static").iterdir() if each.name.endswith(f".{kind}")]
    found.sort(key=lambda each: (each.name != f"page.{kind}", each.name))
    return tuple(_inline(each.read_text(encoding="utf-8").strip()) for each in found)


def _inline(text: str) -> Inlined:
    from markupsafe import Markup

    return Inlined(Markup(text), "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())
