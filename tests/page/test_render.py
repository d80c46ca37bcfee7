"""The page as HTML: it loads nothing, its links lead somewhere, and no name of a model becomes part of it."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise
from pathlib import Path

import pytest

from caffe_fcn.page.render import marked
from tests.page.pages import ATTRIBUTES_WITH_ADDRESSES, html_of, page_of, parsed
from tests.paths import GOLDEN, ROOT

DIGITS = ROOT / "models" / "digits"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{7*7}}{% raw %}",
    "javascript:alert(1)",
    "--><svg/onload=alert(1)>",
    "</title></style></script><b>",
    "two\x07bells\x1b[31m",
    "\u202egnol\u202c\u2028x",
    "&lt;b&gt; &amp;",
    "]]>",
    "x" * 3000,
    " ",
)
"""Names of layers that a page must show and not run."""


def net_with(names: tuple[str, ...]) -> str:
    """A net whose layers, blobs and types have NAMES."""

    def text(value: str) -> str:
        return '"' + "".join(f"\\{byte:03o}" for byte in value.encode()) + '"'

    layers = [
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }',
    ]
    bottom = text("data")
    for name in names:
        layers.append(f'layer {{ name: {text(name)} type: "ReLU" bottom: {bottom} top: {text("top " + name)} }}')
        bottom = text("top " + name)
    layers += [
        f'layer {{ name: "odd" type: {text(name)} bottom: {bottom} top: {text("of " + name)} }}' for name in names
    ]
    return f"name: {text(names[0])}\n" + "\n".join(layers)


@pytest.fixture(scope="module")
def html() -> str:
    return html_of(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("hostile") / "net.prototxt"
    path.write_text(net_with(HOSTILE), encoding="utf-8")
    return html_of(path)


@pytest.fixture(params=["html", "hostile"])
def page(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


def test_every_link_leads_to_an_element(page: str) -> None:
    found = parsed(page)
    ids = [each.attributes["id"] for each in found.elements if "id" in each.attributes]
    links = [each.attributes["href"] or "" for each in found.all("a")]
    assert len(ids) == len(set(ids))
    assert len(links) > 10
    assert [link for link in links if link[:1] != "#" or link[1:] not in ids] == []
    named = [
        each.attributes[name]
        for each in found.elements
        for name in ("aria-labelledby", "for")
        if name in each.attributes
    ]
    assert named and set(named) <= set(ids)


def test_the_graph_and_the_table_lead_to_each_layer(page: str) -> None:
    found = parsed(page)
    layers = [f"#{each.attributes['id']}" for each in found.with_class("body")]
    drawn = [each.attributes["href"] for each in found.all("a") if each.attributes.get("class", "") != ""]
    listed = [each.attributes["href"] for each in found.all("a") if "class" not in each.attributes]
    assert layers and set(layers) <= set(drawn) and set(layers) <= set(listed)


def test_nothing_is_loaded(page: str) -> None:
    for each in parsed(page).elements:
        for name in ATTRIBUTES_WITH_ADDRESSES & each.attributes.keys():
            assert (each.attributes[name] or "").startswith(("#", "data:image/png;base64,")), each
        assert each.tag not in ("link", "iframe", "object", "embed", "base", "form")
    assert not re.search(r"@import|url\(", page)


def test_the_policy_has_the_hashes_of_scripts_and_styles(page: str) -> None:
    found = parsed(page)
    policy = next(each.attributes["content"] or "" for each in found.all("meta") if each.attributes.get("http-equiv"))
    rules = {words[0]: words[1:] for words in (rule.split() for rule in policy.split(";"))}
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        texts = [each.text for each in found.all(tag) if each.attributes.get("type") != "application/json"]
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert texts and rules[rule] == [f"'sha256-{each}'" for each in hashes]
    assert rules["default-src"] == ["'none'"] and rules["img-src"] == ["data:"]
    assert not [each for each in found.elements for name in each.attributes if name == "style" or name[:2] == "on"]


def test_hostile_names_are_text(hostile: str) -> None:
    found = parsed(hostile)
    allowed = {each.tag for each in parsed(html_of(GOLDEN / "conversions" / "lenet" / "net.prototxt")).elements}
    assert {each.tag for each in found.elements} <= allowed | {"ul", "li"}
    names = [each.text for each in found.with_class("net-layer")]
    for name in ("<script>alert(1)</script>", "{{7*7}}{% raw %}", "javascript:alert(1)", "&lt;b&gt; &amp;"):
        assert any(name in each for each in names), name
    assert any("x" * 99 + "…" in each for each in names) and not any("x" * 100 in each for each in names)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028]", hostile)
    assert found.all("title")[0].text.startswith("<script>alert(1)</script>")


def test_text_that_is_no_name_of_a_layer_is_masked_too(tmp_path: Path) -> None:
    net = tmp_path / "two\x07bells\x1b[31m\u202e.prototxt"
    net.write_text(net_with(("relu",)), encoding="utf-8")
    html = html_of(net)
    assert "bells" in html and not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", html)


def test_commands_are_marked_and_nothing_else() -> None:
    told = marked("run `caffe-fcn convert <b>` & `x`, not a ` alone")
    assert told == "run <code>caffe-fcn convert &lt;b&gt;</code> &amp; <code>x</code>, not a ` alone"


def test_headings_are_in_order(page: str) -> None:
    levels = [int(each.tag[1]) for each in parsed(page).elements if re.fullmatch("h[1-6]", each.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_a_page_is_the_same_every_time(html: str) -> None:
    assert html == html_of(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel")


def test_layers_of_one_name_have_places_of_their_own(tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    twice = 'layer { name: "same" type: "ReLU" bottom: "data" top: "data" }\n'
    net.write_text('input: "data" input_shape { dim: 1 dim: 2 }\n' + 2 * twice)
    assert [layer.name for layer in page_of(net).layers] == ["input", "same", "same"]
    assert len({layer.anchor for layer in page_of(net).layers}) == 3
